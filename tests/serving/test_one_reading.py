"""A row means the same to the model however it comes: from the table, a source file, CSV, JSON, Parquet or REST."""

import csv
import gzip
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import fake_data
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from scorer import TEXT, Scorer, scorer, settings_of

from headframe.errors import DataError
from headframe.prediction.schema import json_value
from headframe.serving.limits import request_bytes
from headframe.serving.smoke_request import request_content


def delimited(rows: pa.Table, delimiter: str, nothing: str = "") -> str:
    """Write a table as the standard library does, with `nothing` where there is no value."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(rows.column_names)
    writer.writerows([[nothing if cell is None else cell for cell in row.values()] for row in rows.to_pylist()])
    return text.getvalue()


def json_lines(rows: pa.Table) -> str:
    content = request_content(rows)["dataframe_split"]
    records = (dict(zip(content["columns"], row, strict=True)) for row in content["data"])
    return "".join(json.dumps(record, default=json_value) + "\n" for record in records)


SHIPPED = {
    "adult": ("tabular", "classification"),
    "bccd": ("resized_image", "detection"),
    "cardio": ("tabular", "classification"),
    "csl_titles": ("tokens", "classification"),
    "diabetes": ("tabular", "regression"),
    "digits": ("image", "classification"),
    "dsb2018_nuclei": ("pixels", "segmentation"),
    "etth1": ("series", "forecasting"),
    "ionosphere": ("tabular", "classification"),
    "mnist": ("image", "classification"),
    "sms_spam": ("tokens", "classification"),
    "tatoeba_cmn_eng": ("tokens", "translation"),
    "thyroid": ("tabular", "classification"),
    "wine": ("tabular", "classification"),
}  # every shipped data set that a network learns from; each of their readers has one
SCORED_ELSEWHERE = {"groceries", "kosarak10k", "mnist_seeds", "t10i4d100k"}
"""Baskets in `flows/test_findings_life.py`, seeds, which no raw file holds, in `flows/test_generation_life.py`."""


TARGETS = {("diabetes", "progression"), ("wine", "growers"), ("bccd", "annotations"), ("bccd", "lists")}
"""Sources without inputs."""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scorer]:
    made: dict[str, Scorer] = {}

    def make(name: str) -> Scorer:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            made[name] = scorer(fake_data.settings(name), root, fake_data.mirror(name), *SHIPPED[name])
        return made[name]

    return make


def test_every_shipped_data_set_is_proved() -> None:
    assert sorted({*SHIPPED, *SCORED_ELSEWHERE}) == sorted(path.stem for path in fake_data.CONF.glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_source_files_as_they_came_get_the_answers_of_the_table(shipped: Callable[[str], Scorer], name: str) -> None:
    made, table = shipped(name), shipped(name).table
    scored = 0
    for source in made.dataset.sources:
        if (name, source) in TARGETS:
            continue
        if name == "mnist" and source.endswith("labels"):
            continue
        rows = table
        if "part" in table.column_names and source != "images":
            part = {"dev": "validation"}.get(source, source.removesuffix("_images"))
            rows = table.filter(pc.equal(table["part"], part))
        assert made.file(made.source(source)) == made.expected(rows)
        scored += rows.num_rows
    assert scored == table.num_rows


@pytest.mark.parametrize("name", SHIPPED)
def test_every_way_gets_the_answers_of_the_table(shipped: Callable[[str], Scorer], name: str, tmp_path: Path) -> None:
    made = shipped(name)
    rows = made.table.slice(0, 900).select(list(made.predictor.schema.names))
    expected = made.expected(rows)
    pq.write_table(rows, tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text(json_lines(rows))
    ways = {
        "Parquet": made.file(tmp_path / "rows.parquet"),
        "JSON lines": made.file(tmp_path / "rows.jsonl"),
        "REST": made.rest(rows),
        "pyfunc": made.pyfunc(rows),
    }
    if SHIPPED[name][0] not in {"image", "resized_image", "pixels"}:
        for ending, delimiter in {"csv": ",", "tsv": "\t"}.items():
            (tmp_path / f"rows.{ending}").write_text(delimited(rows, delimiter))
        ways["CSV"] = made.file(tmp_path / "rows.csv")
        ways["REST as CSV"] = made.post(delimited(rows, ",").encode(), "text/csv").json()["predictions"]
        if name not in {"sms_spam", "tatoeba_cmn_eng"}:  # whose own files are unquoted text between tabs
            ways["TSV"] = made.file(tmp_path / "rows.tsv")
    assert {way: found == expected for way, found in ways.items()} == dict.fromkeys(ways, True)
    assert len(json_lines(rows)) < request_bytes(rows.schema, rows.num_rows)  # so that a full request is not too large


def test_the_name_of_a_data_set_gets_the_answers_of_its_table(shipped: Callable[[str], Scorer]) -> None:
    made = shipped("adult")
    assert made.file("adult") == made.expected(made.table)


MESSAGES = "".join(
    f'ham\t"see you at noon {n}\nspam\turgent, reply to win {n}\nham\t{n} "fine" thanks\n' for n in range(40)
)


@pytest.fixture
def messages(tmp_path: Path) -> Scorer:
    """The case `msgs`: messages with lone quotation marks, in a file without a header."""
    reader = {"delimiter": "\t", "columns": ["label", "text"], "quoted": False}
    settings = settings_of("msgs", MESSAGES, tmp_path, {"text": TEXT, "label": TEXT}, reader=reader)
    return scorer(settings, tmp_path, None, "tokens", "classification")


def test_quotation_marks_of_unquoted_files_swallow_no_rows_at_scoring(messages: Scorer, tmp_path: Path) -> None:
    expected = messages.expected(messages.table)
    assert len(expected) == 120
    for name, header in {
        "as_it_came.tsv": "",
        "with_header.tsv": "label\ttext\n",
        "other.txt": "label\ttext\n",
    }.items():
        (tmp_path / name).write_text(header + MESSAGES)
        assert messages.file(tmp_path / name) == expected, name


def test_a_cell_that_may_be_enclosed_or_not_is_refused(messages: Scorer, tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text('label\ttext\nham\tfine\nham\t"say ""hi"" now"\n')
    with pytest.raises(DataError, match=r'line 3 holds "say ""hi"" now", which may be text with quotation marks or'):
        messages.file(tmp_path / "rows.tsv")
    # In a file as the data set's own are, it is text with quotation marks.
    (tmp_path / "rows.tsv").write_text('ham\t"say ""hi"" now"\n')
    [found] = messages.file(tmp_path / "rows.tsv")
    assert [found] == messages.expected(pa.table({"text": ['"say ""hi"" now"']}))


def test_a_first_line_that_may_be_names_or_a_row_is_refused(messages: Scorer, tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text("ham\ttext\nham\tfine\n")
    with pytest.raises(DataError, match=r"its first line, ham, text, may name columns or be a row; as names, use only"):
        messages.file(tmp_path / "rows.tsv")


CUSTOMERS = "zip,country,x,n,bought\n" + "".join(
    f"{n:05},{('ZA', '?', '', 'FR')[n % 4]},{n / 7:.3f},{('?', '3', '5')[n % 3]},{('yes', 'no')[n % 2]}\n"
    for n in range(60)
)
CUSTOMER = {
    "zip": TEXT,
    "country": {"dtype": "string", "nullable": True},
    "x": {"dtype": "float"},
    "n": {"dtype": "int", "nullable": True},
    "bought": TEXT,
}


def test_what_means_no_value_means_it_at_scoring(tmp_path: Path) -> None:
    """The case `cust`: `?` and the empty cell are missing."""
    settings = settings_of("cust", CUSTOMERS, tmp_path, CUSTOMER, reader={"missing": ["", "?"]})
    made = scorer(settings, tmp_path, None, "tabular", "classification")
    expected = made.expected(made.table)
    assert made.table["country"].null_count == 30
    shutil.copy(tmp_path / "cust.txt", tmp_path / "cust.csv")
    (tmp_path / "cust.csv.gz").write_bytes(gzip.compress(CUSTOMERS.encode()))
    raw = list(csv.DictReader(io.StringIO(CUSTOMERS)))
    records = [
        {
            "zip": row["zip"],
            "country": row["country"],
            "x": float(row["x"]),
            "n": None if row["n"] == "?" else int(row["n"]),
        }
        for row in raw
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "rows.parquet")
    for file in ("cust.txt", "cust.csv", "cust.csv.gz", "rows.jsonl", "rows.parquet"):
        assert made.file(tmp_path / file) == expected, file
    body = json.dumps({"dataframe_records": records}).encode()
    assert made.post(body, "application/json").json()["predictions"] == expected
    assert made.post(CUSTOMERS.encode(), "text/csv").json()["predictions"] == expected


def test_a_number_that_means_no_value_means_it_however_it_comes(tmp_path: Path) -> None:
    settings = settings_of("cust", CUSTOMERS.replace("?", "-999"), tmp_path, CUSTOMER, reader={"missing": ["", "-999"]})
    made = scorer(settings, tmp_path, None, "tabular", "classification")
    records = [{"zip": "00001", "country": "ZA", "x": 0.5, "n": number} for number in (None, -999, 3)]
    bodies = [
        json.dumps({"instances": records}).encode(),
        b"zip,country,x,n\n00001,ZA,0.5,\n00001,ZA,0.5,-999\n00001,ZA,0.5,3\n",
    ]
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "rows.parquet")
    answers = [
        made.post(body, kind).json()["predictions"]
        for body, kind in zip(bodies, ("application/json", "text/csv"), strict=True)
    ]
    answers.append(made.file(tmp_path / "rows.parquet"))
    for empty, marked, three in answers:
        assert empty == marked != three
    assert answers[0] == answers[1] == answers[2]


def test_a_row_alone_may_leave_out_what_it_may_leave_out_beside_others(tmp_path: Path) -> None:
    settings = settings_of("cust", CUSTOMERS, tmp_path, CUSTOMER, reader={"missing": ["", "?"]})
    made = scorer(settings, tmp_path, None, "tabular", "classification")
    whole = {"zip": "00001", "country": None, "x": 0.5, "n": None}
    expected = made.expected(pa.Table.from_pylist([whole], schema=made.table.select(list(whole)).schema))
    short = {"zip": "00001", "x": 0.5}
    for record in (short, {**short, "n": None}, {**short, "country": ""}):
        (tmp_path / "rows.jsonl").write_text(json.dumps(record) + "\n")
        assert made.file(tmp_path / "rows.jsonl") == expected
        for key in ("dataframe_records", "instances"):
            body = json.dumps({key: [record]}).encode()
            assert made.post(body, "application/json").json()["predictions"] == expected
    misspelt = {**short, "Country": "ZA"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(misspelt) + "\n")
    with pytest.raises(DataError, match=r"column 'country' is missing; came: .*Country"):
        made.file(tmp_path / "rows.jsonl")
    response = made.post(json.dumps({"dataframe_records": [misspelt]}).encode(), "application/json")
    assert (response.status_code, "column 'country' is missing" in response.text) == (400, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("00001,ZA,0.5,0x10,yes", "line 3, column 'n' holds '0x10', which is no whole number"),
        ("00001,ZA,,1,yes", "line 3, column 'x' holds no value"),
        ("00001,ZA,inf,1,yes", "line 3, column 'x' holds 'inf', which is no finite number"),
        ("00001,ZA,0.5,1", "line 3 has 4 cells where 5 were expected"),
        ("00001,ZA,0.5,1,yes,no", "line 3 has 6 cells where 5 were expected"),
    ],
)
def test_a_row_that_training_would_reject_is_refused_at_scoring(tmp_path: Path, line: str, said: str) -> None:
    settings = settings_of("cust", CUSTOMERS.replace("?", ""), tmp_path, CUSTOMER)
    made = scorer(settings, tmp_path, None, "tabular", "classification")
    head, good = CUSTOMERS.splitlines()[0], "00000,ZA,0.000,3,yes"
    content = "\n".join([head, good, line, good, ""])
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(DataError, match=f"rows.csv: {said}"):
        made.file(tmp_path / "rows.csv")
    found = made.post(content.encode(), "text/csv")
    assert (found.status_code, said in found.json()["error"]) == (400, True)


def test_no_value_in_a_column_that_must_have_one_is_refused_whatever_the_encoder_does(tmp_path: Path) -> None:
    settings = settings_of("cust", CUSTOMERS.replace("?", ""), tmp_path, CUSTOMER)
    made = scorer(settings, tmp_path, None, "tabular", "classification")
    for value in (None, ""):
        record = {"zip": value, "country": "ZA", "x": 0.5, "n": 3}
        found = made.post(json.dumps({"instances": [record]}).encode(), "application/json")
        assert found.status_code == 400
        assert found.json()["error"].startswith("column 'zip' has no value in row 1")


def test_a_key_that_comes_twice_in_an_object_is_refused(messages: Scorer, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "text": "b"}\n')
    with pytest.raises(DataError, match="line 1 is no JSON: key 'text' came twice"):
        messages.file(tmp_path / "rows.jsonl")
    found = messages.post(b'{"inputs": {"text": ["a"], "text": ["b"]}}', "application/json")
    assert (found.status_code, found.json()["error"]) == (
        400,
        "the body is no JSON: key 'text' came twice in one object",
    )


@pytest.mark.parametrize("shape", [(16, 4), (4, 16), (64,), (8, 4, 2), (2, 4, 8), (1, 64), (8, 8, 1, 2)])
def test_an_image_of_other_axes_is_refused_even_if_it_has_as_many_pixels(
    shipped: Callable[[str], Scorer], shape: Sequence[int], tmp_path: Path
) -> None:
    made = shipped("digits")
    image = (torch.arange(64 if len(shape) < 4 else 128) % 17).reshape(shape).tolist()
    found = made.post(json.dumps({"instances": [{"image": image}]}).encode(), "application/json")
    said = f"column 'image' needs cells of shape (8, 8, 1), but came {tuple(shape)}"
    assert (found.status_code, found.json()) == (400, {"error": said})
    pq.write_table(pa.table({"image": [image]}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"needs cells of shape \(8, 8, 1\), but came"):
        made.file(tmp_path / "rows.parquet")


def test_an_axis_of_one_entry_may_be_left_out(shipped: Callable[[str], Scorer]) -> None:
    made = shipped("digits")
    rows = made.table.slice(0, 3).select(["image"])
    flat = [
        [[pixel for [pixel] in line] for line in image] for image in request_content(rows)["dataframe_split"]["data"][0]
    ]
    found = made.post(json.dumps({"inputs": {"image": flat}}).encode(), "application/json")
    assert found.json()["predictions"] == made.expected(rows.slice(0, 1))
