"""A row that the data set's contract forbids is refused however it comes, by its number, column, value and bound."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_data
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scorer import TEXT, Scorer, scorer, settings_of

from headframe.errors import DataError
from headframe.prediction.bundle import FORMAT, load_predictor
from headframe.serving import batch

ROWS = 30
GOOD = {"n": 3, "x": 0.5, "colour": "red", "code": "ab12", "title": "short"}
CONTRACT = {
    "n": {"dtype": "int", "min": 1, "max": 5},
    "x": {"dtype": "float", "max": 2.5, "nullable": True},
    "colour": {"dtype": "string", "one_of": ["red", "blue"]},
    "code": {"dtype": "string", "matches": "[a-z]+[0-9]+"},
    "title": {"dtype": "string", "min_length": 2, "max_length": 8},
    "bought": TEXT,
}
BROKEN: dict[str, tuple[str, Any, str]] = {
    "too small": ("n", 0, "at least 1 and at most 5"),
    "too large": ("n", 6, "at least 1 and at most 5"),
    "a fraction too large": ("x", 2.75, "at most 2.5"),
    "another value": ("colour", "Red", "one of red, blue"),
    "no match": ("code", "12ab", "[a-z]+[0-9]+"),
    "a match of a part": ("code", "ab12\n", "[a-z]+[0-9]+"),
    "too short": ("title", "é", "a length of at least 2 and at most 8"),
    "too long": ("title", "x" * 9, "a length of at least 2 and at most 8"),
}


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    root = tmp_path_factory.mktemp("customers")
    lines = [",".join(CONTRACT)]
    lines += [
        f"{1 + n % 5},{n % 3},{'red' if n % 2 else 'blue'},a{n},tt{n},{'yes' if n % 3 else 'no'}" for n in range(60)
    ]
    settings = settings_of("customers", "\n".join(lines) + "\n", root, CONTRACT)
    return scorer(settings, root, None, "tabular", "classification")


def rows_with(column: str, value: Any) -> pa.Table:
    rows = [dict(GOOD) for _ in range(ROWS)]
    rows[6][column] = value
    return pa.Table.from_pylist(rows)


def csv_of(rows: pa.Table) -> str:
    def cell(value: Any) -> str:
        return f'"{value}"' if isinstance(value, str) else str(value)

    return "".join(
        ",".join(map(cell, row)) + "\n" for row in [rows.column_names, *zip(*rows.to_pydict().values(), strict=True)]
    )


def file_ways(made: Scorer, rows: pa.Table) -> dict[str, Callable[[], Any]]:
    """Write the rows into every kind of file that is scored, and return what scores each."""
    places = {ending: made.root / f"rows{ending}" for ending in (".csv", ".txt", ".jsonl", ".parquet")}
    for ending in (".csv", ".txt"):
        places[ending].write_text(csv_of(rows), encoding="utf-8", newline="")
    places[".jsonl"].write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()), encoding="utf-8")
    pq.write_table(rows, places[".parquet"])
    return {ending: lambda place=place: made.file(place) for ending, place in places.items()}


@pytest.mark.parametrize("case", BROKEN)
def test_a_cell_that_the_contract_forbids_is_refused_in_every_way(customers: Scorer, case: str) -> None:
    column, value, bound = BROKEN[case]
    must = {"code": "must match", "title": "must have"}.get(column, "must be")
    sentence = f"column {column!r} holds {value!r} in row 7, but by the data set's contract it {must} {bound}"
    rows = rows_with(column, value)
    for way, score in {**file_ways(customers, rows), "pyfunc": lambda: customers.pyfunc(rows)}.items():
        with pytest.raises(DataError) as refused:
            score()
        assert sentence in str(refused.value), way
    assert not (customers.root / "scored.parquet").exists()
    for found in (customers.post(json.dumps({"dataframe_records": rows.to_pylist()}).encode(), "application/json"),
                  customers.post(csv_of(rows).encode(), "text/csv")):  # fmt: skip
        assert (found.status_code, sentence in found.json()["error"]) == (400, True), found.text


def test_rows_that_keep_the_contract_get_equal_answers_in_every_way(customers: Scorer) -> None:
    rows = pa.concat_tables([rows_with("n", 5), rows_with("n", 1), rows_with("title", "éé")])
    expected = customers.expected(rows)
    for way, score in file_ways(customers, rows).items():
        if "parquet" in way or "jsonl" in way:
            assert score() == expected, way
    assert customers.rest(rows) == expected


def test_pixel_17_is_refused_and_16_is_not(tmp_path: Path) -> None:
    made = scorer(fake_data.settings("digits"), tmp_path, fake_data.mirror("digits"), "image", "classification")
    images = made.table.column("image").combine_chunks().to_numpy_ndarray()[:3].copy()
    assert made.predictor.constraints.contract["image"].max == 16
    for pixel, status in ((16, 200), (17, 400), (255, 400)):
        images[1, 4, 5, 0] = pixel
        found = made.post(json.dumps({"instances": images.tolist()}).encode(), "application/json")
        assert found.status_code == status, found.text
        if status != 200:
            assert found.json() == {
                "error": f"column 'image' holds {pixel} in row 2, but by the data set's contract it must be at least 0 "
                "and at most 16"
            }


def test_a_row_is_named_by_its_number_in_the_file(customers: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCHES", 1)
    good = pa.Table.from_pylist([GOOD] * 1100)
    for ending in (".csv", ".jsonl", ".parquet"):
        rows = pa.concat_tables([good, rows_with("n", 9)])
        with pytest.raises(DataError, match=rf"rows\{ending}: column 'n' holds 9 in row 1107, but"):
            file_ways(customers, rows)[ending]()


def test_a_history_keeps_the_contract_even_where_it_is_too_old_for_a_window(tmp_path: Path) -> None:
    settings = fake_data.settings("etth1")
    columns = settings["contract"]["columns"]
    columns["OT"] = {**columns["OT"], "max": 1000}
    made = scorer(settings, tmp_path, fake_data.mirror("etth1"), "series", "forecasting")
    history = made.table.slice(0, 60).select(made.predictor.schema.names)
    place = history.column_names.index("OT")
    values = history.column("OT").to_pylist()
    values[2] = 1001.0
    broken = history.set_column(place, "OT", pa.array(values))
    pq.write_table(broken, tmp_path / "history.parquet")
    with pytest.raises(DataError, match=r"history.parquet: column 'OT' holds 1001.0 in row 3, but .* at most 1000"):
        made.file(tmp_path / "history.parquet")


def test_a_bundle_of_before_is_refused_by_one_sentence(customers: Scorer) -> None:
    path = customers.root / "bundle" / "bundle.json"
    content = path.read_text(encoding="utf-8")
    try:
        path.write_text(json.dumps({**json.loads(content), "format": FORMAT - 1}), encoding="utf-8")
        with pytest.raises(
            DataError, match=rf"has format {FORMAT - 1}, but .* reads {FORMAT}: the model must be trained again$"
        ):
            load_predictor(customers.root / "bundle")
    finally:
        path.write_text(content, encoding="utf-8")
