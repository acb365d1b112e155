"""Random tables with hostile cells: each way to a model gives the answers of the table or refuses, never others.

`HEADFRAME_FUZZ=10000` tries as many examples, drawn anew each time; the suite tries the same 200.
"""

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headframe.config.build import build
from headframe.config.plan.data import ColumnContract, DatasetConfig
from headframe.datasets.ingest import ingest
from headframe.datasets.table import Table
from headframe.errors import DataError, HeadframeError
from headframe.features.tabular import Tabular
from headframe.places import Places
from headframe.prediction.predictor import Predictor, SinglePredictor
from headframe.registry.versions import ModelVersion
from headframe.serving.batch import write_predicted_rows
from headframe.serving.protocol import parse_request
from headframe.serving.smoke_request import request_content, send_request
from headframe.tasks.regression import Regression

EXAMPLES = int(os.environ.get("HEADFRAME_FUZZ", "200"))

TYPES = ("string", "string", "int", "float", "bool")
"""Of the columns, from left to right; the target follows them."""
NAMES = ("a", "text", "row_id", "prediction", "split", "content", "target", "part", "é ü", "a,b", 'say "x"', "0")
HOSTILE = (
    *("", " ", "?", "NA", "?.", " ? ", "x", " x ", "x.", "x..", "x. .", ".", "None", "null", "nan", "NaN", "true"),
    *('"', '""', '"a"', 'a"b', '"say ""hi"" now"', "'", "#c", "a,b", "a;b", "a\tb", "a\nb", "a\r\nb", "\\", "\ufeff"),
    *("\u2028", "\u00a0x", "免费", "😀", "é", "e\u0301", "0x10", "007", "1_0", "=1+1", "-"),
)
NUMBERS = {
    "int": (
        "0",
        "-0",
        "7",
        "007",
        "-12",
        "9007199254740993",
        "9223372036854775807",
        "0x10",
        "1.0",
        "+5",
        "1_0",
        "",
        "?",
    ),
    "float": ("0.5", "-0.0", "1e-300", "1e22", ".5", "1e400", "nan", "inf", "0.1", "123456789.123456789", "", "NA"),
    "bool": ("true", "false", "True", "1", "0", "yes", ""),
}
GOOD = (("x", "y", "1", "0.25", "true"), ("y", "x", "2", "4.5", "false"))
"""Two rows of which every column can be fitted."""


class Case(NamedTuple):
    """A raw file and how it is read."""

    names: list[str]
    rows: list[tuple[str, ...]]
    reader: dict[str, Any]
    nullable: bool
    ending: str


@st.composite
def cases(draw: Callable[..., Any]) -> Case:
    names = draw(st.permutations(NAMES))[: len(TYPES)]
    text = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
    cells = [text if kind == "string" else st.sampled_from(NUMBERS[kind]) | text for kind in TYPES]
    mild = [text if kind == "string" else st.sampled_from(NUMBERS[kind][:2]) for kind in TYPES]
    rows = draw(st.lists(st.tuples(*(cells if draw(st.booleans()) else mild)), max_size=5))
    reader = {
        "delimiter": draw(st.sampled_from([",", ";", "\t"])),
        "quoted": draw(st.booleans()),
        "missing": draw(st.sampled_from([[""], ["?"], ["", "NA", "?"], ["NA"]])),
        "trim": draw(st.booleans()),
        "comment": draw(st.sampled_from([None, "#"])),
        "endings": draw(st.sampled_from([{}, {names[0]: "."}])),
        "columns": draw(st.sampled_from([None, [*names, "y"]])),
    }
    return Case(names, [*GOOD, *rows], reader, draw(st.booleans()), draw(st.sampled_from([".csv", ".tsv", ".txt", ""])))


def written(rows: list[tuple[str, ...]], header: list[str] | None, reader: dict[str, Any]) -> str:
    """Write rows as the reader's settings describe; unquoted text cannot hold delimiters and line ends."""
    text = io.StringIO(newline="")
    content = ([header] if header else []) + rows
    if reader["quoted"]:
        csv.writer(text, delimiter=reader["delimiter"]).writerows(content)
        return text.getvalue()
    for row in content:
        plain = [cell.replace(reader["delimiter"], "_").replace("\n", "_").replace("\r", "_") for cell in row]
        text.write(reader["delimiter"].join(plain) + "\n")
    return text.getvalue()


def predictor_of(dataset: DatasetConfig, rows: pa.Table) -> Predictor:
    """Give a model that tells any two encoded rows apart."""
    encoder, task = Tabular(), Regression()
    encoder.fit(rows, dataset.inputs)
    task.fit(rows.select(["y"]))
    weights = np.random.default_rng(0).normal(size=encoder.spec().shape)
    schema = pa.schema([rows.schema.field(name) for name in dataset.inputs])
    return SinglePredictor(
        schema,
        build(dataset.reader),
        task,
        encoder,
        lambda inputs: task.columns((inputs @ weights)[:, np.newaxis]),
        contract=dataset.contract.columns,
    )


def answers(predictor: Predictor, source: Path, root: Path) -> list[float] | str:
    """Score a file; what it answers, or the sentence with which it is refused."""
    target = root / "scored.parquet"
    try:
        write_predicted_rows(predictor, str(source), target, root)
    except DataError as error:
        return str(error)
    return pq.read_table(target)["prediction"].to_pylist()


def posted(predictor: Predictor, body: str, kind: str) -> list[float] | str:
    """Send a request; what is answered, or the sentence with which it is refused."""
    try:
        rows, _ = parse_request(body.encode(), kind, predictor.schema, predictor.reader, 1000)
        return predictor.predict(rows)["prediction"].to_pylist()
    except DataError as error:
        return str(error)


@settings(max_examples=EXAMPLES, derandomize=EXAMPLES == 200, suppress_health_check=list(HealthCheck))
@given(cases())
def test_every_way_gives_the_answers_of_the_table_or_refuses(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(case, Path(folder))


def check(case: Case, root: Path) -> None:
    names, reader = case.names, case.reader
    columns = {name: {"dtype": kind, "nullable": case.nullable} for name, kind in zip(names, TYPES, strict=True)}
    raw = [(*row, f"{number}.5") for number, row in enumerate(case.rows)]
    header = None if reader["columns"] else [*names, "y"]
    source = root / f"raw{case.ending}"
    source.write_text(written(raw, header, reader), encoding="utf-8", newline="")
    dataset = DatasetConfig.model_validate(
        {
            "name": "fuzz", "title": "t", "licence": "CC0-1.0", "citation": "c",
            "sources": {"rows": {"uri": f"file:{source.name}"}},
            "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited", **reader},
            "inputs": names, "target": "y",
            "split": {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.2, "test": 0.2},
            "max_rejected": 1000, "contract": {"columns": {**columns, "y": {"dtype": "float"}}},
        }
    )  # fmt: skip
    try:
        record = ingest(dataset, Places(root))
    except HeadframeError:
        return  # such as a comment that hides the header: refused before there is a model
    table = Table.open(root / "data" / "fuzz").read()
    predictor = predictor_of(dataset, table)
    expected = predictor.predict(table)["prediction"].to_pylist()

    as_it_came = answers(predictor, root / source.name if source.suffix else source.rename(root / "raw.dat"), root)
    if record.rejected:
        assert isinstance(as_it_came, str), (case, as_it_came)
    else:
        assert as_it_came == expected or isinstance(as_it_came, str), (case, as_it_came, expected)

    rows = table.select(names)
    pq.write_table(rows, root / "rows.parquet")
    content = request_content(rows)["dataframe_split"]
    records = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    (root / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    # What is typed already has one meaning only, so it is never refused.
    assert answers(predictor, root / "rows.parquet", root) == expected, case
    assert answers(predictor, root / "rows.jsonl", root) == expected, case
    assert posted(predictor, json.dumps({"dataframe_records": records}), "application/json") == expected, case
    assert predictor.predict(rows)["prediction"].to_pylist() == expected, case
    if not record.rejected and len(expected) == len(raw) and reader["quoted"]:
        # Text as it stands in the source, which another program may send.
        for record_, cells in zip(records, case.rows, strict=True):
            record_.update({name: cells[place] for place, name in enumerate(names) if TYPES[place] == "string"})
        assert posted(predictor, json.dumps({"instances": records}), "application/json") == expected, case

    nothing = reader["missing"][0]
    texts = [[nothing if cell is None else str(cell) for cell in row] for row in content["data"]]
    for name, delimiter in {"rows.csv": ",", "rows.tsv": "\t"}.items():
        text = written([tuple(row) for row in texts], names, {"delimiter": delimiter, "quoted": True})
        (root / name).write_text(text, encoding="utf-8", newline="")
        own = reader["delimiter"] == delimiter and (reader["comment"] or not reader["quoted"])
        if not own or reader["columns"] is not None:  # else the file is read as the data set's own, and the log says so
            found = answers(predictor, root / name, root)
            assert found == expected or isinstance(found, str), (case, name, found, expected)
        if delimiter == ",":
            found = posted(predictor, text, "text/csv")
            assert found == expected or isinstance(found, str), (case, "REST", found, expected)


def test_rest_answers_through_the_application_as_the_fuzz_reads_requests() -> None:
    rows = pa.table({"a": ["x", "y"], "y": [0.5, 1.5]})
    encoder, task = Tabular(), Regression()
    encoder.fit(rows, ("a",))
    task.fit(rows.select(["y"]))
    from headframe.datasets.readers.delimited import Delimited

    weights = np.ones(encoder.spec().shape)
    predictor = SinglePredictor(
        rows.select(["a"]).schema,
        Delimited(),
        task,
        encoder,
        lambda x: task.columns((x @ weights)[:, None]),
        contract={"a": ColumnContract(dtype="string")},
    )
    status, body = send_request(predictor, ModelVersion("m", 1), rows.select(["a"]))
    found = [row["prediction"] for row in json.loads(body)["predictions"]]
    assert (status, found) == (200, posted(predictor, "a\nx\ny\n", "text/csv"))
