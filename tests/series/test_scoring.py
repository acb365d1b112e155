"""A history is sorted by its time column, and refused where it is gapped, repeated or of another frequency."""

import json
from collections.abc import Callable
from pathlib import Path

import fake_data
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures import Made, make
from shared import scores_of

from headframe.errors import DataError
from headframe.registry.loader import PyfuncModel
from headframe.serving.batch import write_predicted_rows
from headframe.serving.protocol import parse_request

LOOKBACK = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("series"), "etth1")


def history(made: Made, rows: int = 40) -> pa.Table:
    """The first hours of the table, as a client has them."""
    table = pq.read_table(made.root / made.data.split.table.folder / "table.parquet")
    return table.select(["date", *made.plan.dataset.inputs]).slice(0, rows)


def as_csv(rows: pa.Table) -> str:
    """Write rows as CSV, moments as the source has them."""
    lines = [",".join(str(cell) for cell in row.values()) for row in rows.to_pylist()]
    return "\n".join([",".join(rows.column_names), *lines, ""])


def test_the_schema_of_a_model_of_windows_has_the_column_of_time(made: Made) -> None:
    assert made.predictor.schema.field("date").type == pa.timestamp("us")
    assert made.predictor.framing.series.every == "h"


@pytest.mark.parametrize("order", ["newest first", "shuffled"])
def test_a_history_in_any_order_has_the_forecast_of_the_sorted_one(made: Made, order: str, tmp_path: Path) -> None:
    rows = history(made)
    shuffled = np.random.default_rng(0).permutation(rows.num_rows)
    mixed = rows.take(pa.array(np.arange(rows.num_rows)[::-1] if order == "newest first" else shuffled))
    expected = made.predictor.predict(rows)
    assert made.predictor.predict(mixed).equals(expected)
    assert np.array_equal(scores_of(made.predictor, mixed), scores_of(made.predictor, rows))
    body = as_csv(mixed).encode()
    request = parse_request(body, "text/csv", made.predictor.schema, made.predictor.reader, 1000)
    assert made.predictor.predict(request.rows).equals(expected)
    (tmp_path / "rows.csv").write_bytes(body)
    pq.write_table(mixed, tmp_path / "rows.parquet")
    for name in ("rows.csv", "rows.parquet"):
        target = tmp_path / f"{name}.out.parquet"
        write_predicted_rows(made.predictor, str(tmp_path / name), target, made.root)
        assert pq.read_table(target).select(expected.column_names).equals(expected), name


ZONE = "Asia/Shanghai"

WRITTEN: dict[str, Callable[[pd.DatetimeIndex], pd.DatetimeIndex | list[str]]] = {
    "local": lambda times: [str(moment) for moment in times.tz_localize(None)],
    "offset": lambda times: [moment.isoformat() for moment in times],
    "UTC": lambda times: [f"{moment:%Y-%m-%dT%H:%M:%S}Z" for moment in times.tz_convert("UTC")],
    "mixed": lambda times: [str(m.tz_localize(None)) if m.hour % 2 else m.isoformat() for m in times],
}
"""Ways to write moments of a zone."""


@pytest.fixture(scope="module")
def zoned(tmp_path_factory: pytest.TempPathFactory) -> Made:
    settings = fake_data.settings("etth1")
    settings["contract"]["columns"]["date"]["zone"] = ZONE
    return make(tmp_path_factory.mktemp("zoned"), "etth1", dataset=settings)


@pytest.mark.parametrize("way", WRITTEN)
@pytest.mark.parametrize("newest_first", [False, True])
def test_moments_of_a_zone_are_read_alike_from_files_and_requests(
    zoned: Made, way: str, newest_first: bool, tmp_path: Path
) -> None:
    rows, predictor = history(zoned), zoned.predictor
    assert predictor.schema.field("date").type == pa.timestamp("us", ZONE)
    expected = predictor.predict(rows)
    if newest_first:
        rows = rows.take(pa.array(np.arange(rows.num_rows)[::-1]))
    times = pd.DatetimeIndex(rows["date"].to_pandas())
    texts = rows.set_column(0, "date", pa.array(WRITTEN[way](times), pa.string()))
    records = texts.to_pylist()
    (tmp_path / "rows.csv").write_text(as_csv(texts))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    stored = {"local": times.tz_localize(None), "UTC": times.tz_convert("UTC")}.get(
        way, times.tz_convert("Europe/Rome")
    )
    column = pa.array(stored.to_pydatetime(), pa.timestamp("us", None if stored.tz is None else str(stored.tz)))
    pq.write_table(rows.set_column(0, "date", column), tmp_path / "rows.parquet")
    for name in ("rows.csv", "rows.jsonl", "rows.parquet"):
        target = tmp_path / f"{name}.out.parquet"
        write_predicted_rows(predictor, str(tmp_path / name), target, zoned.root)
        assert pq.read_table(target).select(expected.column_names).equals(expected), name
    for body, kind in ((as_csv(texts), "text/csv"), (json.dumps({"dataframe_records": records}), "application/json")):
        request = parse_request(body.encode(), kind, predictor.schema, predictor.reader, 1000)
        assert predictor.predict(request.rows).equals(expected), kind
    frame = texts.to_pandas().assign(date=stored)
    assert PyfuncModel(predictor).predict(frame).equals(expected.to_pandas())


def without(*rows: int) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.take(pa.array([row for row in range(table.num_rows) if row not in rows]))


def every_second(table: pa.Table) -> pa.Table:
    return table.take(pa.array(range(0, table.num_rows, 2)))


def twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table.slice(35, 1)])


def half_an_hour_late(table: pa.Table) -> pa.Table:
    times = table.column("date").to_pylist()
    times[55] = times[55].replace(minute=30)
    return table.set_column(0, "date", pa.array(times, pa.timestamp("us")))


def unknown_time(table: pa.Table) -> pa.Table:
    times = table.column("date").to_pylist()
    return table.set_column(0, "date", pa.array([*times[:-1], None], pa.timestamp("us")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without(45), "the history has a gap of 1 row between .* a forecast needs 24 rows every h"),
        (without(*range(25, 37)), "the history has a gap of 12 rows between"),
        (every_second, "a forecast needs the last 24|has a gap of 1 row between"),
        (twice, "'date' has .* in rows .* one row for each time"),
        (half_an_hour_late, "the rows do not come every h: 'date' has .*:30:00 after .*; resample them"),
        (unknown_time, "'date' has no (time|value) in row"),
    ],
    ids=["one hour", "half a day", "other frequency", "twice", "off the hour", "no time"],
)
def test_a_history_that_is_not_as_in_training_is_refused(
    made: Made, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    rows = change(history(made, 60))
    with pytest.raises(DataError, match=message):
        made.predictor.predict(rows.slice(max(0, rows.num_rows - 40)))


def test_a_gap_before_the_rows_that_count_does_no_harm(made: Made) -> None:
    rows = history(made, 40)
    assert made.predictor.predict(without(3, 4)(rows)).equals(made.predictor.predict(rows))
    with pytest.raises(DataError, match="the history has a gap of 2 rows"):
        scores_of(made.predictor, without(3, 4)(rows))  # which forecasts from each window
