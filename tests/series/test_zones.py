"""Local times of a named zone: no hour is lost or doubled where clocks change."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from made_series import collected, dataset_of, forecasting

from headframe.config.plan.data import ROW_ID
from headframe.datasets.splits import assign
from headframe.errors import DataError
from headframe.examples.framing import WindowFraming
from headframe.examples.prepare import prepare
from headframe.prediction.schema import cast_column, schema_from_json, schema_to_json, to_column
from headframe.series.zones import near_set_back, parse_zoned

BERLIN = {"zone": "Europe/Berlin"}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("offset", ["h", "30min", "7min", "D"])
def test_local_times_in_order_are_the_hours_that_passed(zone: str, offset: str) -> None:
    """Clocks of Lord Howe change by half an hour, so that hourly rows do not show which half hour is meant."""
    for start in ("2024-03-01", "2024-10-01"):
        true = pd.date_range(start, periods=60 if offset == "D" else 3000, freq=offset, tz=zone).as_unit("us")
        local = [str(moment.tz_localize(None)) for moment in true]
        found, wrong = parse_zoned(pa.array(local), pa.timestamp("us", zone))
        ambiguous = [row for row, time in enumerate(local) if offset == "h" and time == "2024-04-07 01:30:00"]
        assert list(wrong) == (ambiguous if zone == "Australia/Lord_Howe" else [])
        known = np.setdiff1d(np.arange(len(true)), list(wrong))
        assert pd.DatetimeIndex(found.to_pandas())[known].equals(true[known])


@pytest.mark.parametrize(
    ("local", "is_known"),
    [
        (["01:30", "02:30", "03:30"], False),
        (["01:30", "02:00", "02:30"], False),
        (["01:30", "02:30", "02:30"], True),
        (["01:30", "02:00", "02:40", "02:20"], True),
        (["01:30", "02:30", "02:45+02:00"], True),
        (["01:30", "02:30", "02:30+01:00"], True),
        (["01:30", "02:30", "02:45+01:00"], False),
    ],
)
def test_an_hour_that_may_be_either_of_two_is_refused(local: list[str], is_known: bool) -> None:
    cells = pa.array([f"2024-10-27 {time}" for time in local])
    found, wrong = parse_zoned(cells, pa.timestamp("us", "Europe/Berlin"))
    assert (wrong == {}) == is_known
    if is_known:
        assert found[1].as_py().isoformat() == f"2024-10-27T{local[1]}:00+02:00"
    else:
        assert found[1].as_py() is None
        assert "occurs twice in Europe/Berlin, and the rows around it do not tell which is meant" in wrong[1]
        assert "give its offset" in wrong[1]


def test_what_order_cannot_tell_is_refused_and_offsets_tell() -> None:
    cells = [
        "2024-10-27 02:30",
        "2024-10-27T02:30+01:00",
        "2024-03-31 02:30",
        "soon",
        None,
        "2024-10-27T00:30Z",
        "2024-10-27 02:30:00+01",
    ]
    found, wrong = parse_zoned(pa.array(cells), pa.timestamp("us", "Europe/Berlin"))
    assert np.asarray(found.is_valid()).tolist() == [False, True, False, False, False, True, True]
    assert found[1].as_py().isoformat() == "2024-10-27T02:30:00+01:00"
    assert found[5].as_py().isoformat() == "2024-10-27T02:30:00+02:00"
    assert "occurs twice in Europe/Berlin" in wrong[0]
    assert wrong[2] == "which clocks in Europe/Berlin skip"


@pytest.mark.parametrize("contract", [BERLIN, {**BERLIN, "unique": True}])
def test_a_true_hour_is_kept_where_the_zone_is_named(tmp_path: Path, contract: dict[str, object]) -> None:
    true = pd.date_range("2024-10-25", periods=100, freq="h", tz="Europe/Berlin")
    dataset = dataset_of((60, 20, 20), contract)
    table = collected(tmp_path, true.tz_localize(None), range(100), dataset)
    assert pd.DatetimeIndex(table.read(["t"])["t"].to_pandas()).equals(true.as_unit("us"))
    assert (assign(dataset.training_data, table) != "unused").all()
    prepared = prepare(dataset.training_data, forecasting(3), table)
    assert len(prepared.positions("train", WindowFraming(6, 3, None))) == 60 - 6 - 3 + 1


@pytest.mark.parametrize("size", range(3, 16))
def test_a_batch_does_not_end_where_clocks_are_set_back(tmp_path: Path, monkeypatch, size: int) -> None:
    monkeypatch.setattr("headframe.datasets.readers.delimited.BATCH", size)
    true = pd.date_range("2024-10-26 20:00", periods=14, freq="h", tz="Europe/Berlin")
    table = collected(tmp_path, true.tz_localize(None), range(14), dataset_of((8, 3, 3), BERLIN))
    assert pd.DatetimeIndex(table.read(["t"])["t"].to_pandas()).equals(true.as_unit("us"))
    days = [str(near_set_back(f"2024-{moment}", pa.timestamp("us", "Europe/Berlin")))[0] for moment in (
        "10-26 01:59", "10-26 04:00", "10-27 02:30", "10-27 12:00", "10-28 04:00", "03-31 12:00",
    )]  # fmt: skip
    assert "".join(days) == "FTTTFF"


def test_a_key_of_local_times_names_one_row_where_the_zone_is_named(tmp_path: Path) -> None:
    true = pd.date_range("2024-10-27", periods=10, freq="h", tz="Europe/Berlin")
    with pytest.raises(DataError, match="occurs twice"):
        collected(tmp_path / "local", true.tz_localize(None), range(10), dataset_of((4, 3, 3), key="t"))
    table = collected(tmp_path / "zoned", true.tz_localize(None), range(10), dataset_of((4, 3, 3), BERLIN, key="t"))
    assert table.read([ROW_ID])[ROW_ID].to_pylist()[2:4] == [
        "2024-10-27T02:00:00+02:00", "2024-10-27T02:00:00+01:00",
    ]  # fmt: skip


def test_an_offset_needs_a_zone_and_says_so(tmp_path: Path) -> None:
    true = pd.date_range("2024-10-27", periods=10, freq="h", tz="Europe/Berlin")
    with pytest.raises(DataError, match=r"time with an offset; name the time zone in .*columns.t.zone, such as UTC"):
        collected(tmp_path, true, range(10), dataset_of((4, 3, 3)))
    table = collected(tmp_path, true, range(10), dataset_of((4, 3, 3), {"zone": "UTC"}))
    assert pd.DatetimeIndex(table.read(["t"])["t"].to_pandas()).equals(true.tz_convert("UTC").as_unit("us"))


def test_a_schema_keeps_its_zone() -> None:
    schema = pa.schema([pa.field("t", pa.timestamp("us", "Europe/Berlin"))])
    assert schema_from_json(schema_to_json(schema)) == schema


def test_an_unknown_zone_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no time zone 'Europe/Berln'.*Europe/Berlin"):
        dataset_of(column={"zone": "Europe/Berln"})


def test_a_column_of_any_kind_of_time_is_the_same_points_in_time() -> None:
    true = pd.date_range("2024-10-26 20:00", periods=12, freq="h", tz="Europe/Berlin").as_unit("us")
    field = pa.field("t", pa.timestamp("us", "Europe/Berlin"))
    local = true.tz_localize(None)
    for given in (
        true,
        true.tz_convert("UTC").as_unit("ns"),
        true.tz_convert("America/New_York"),
        local,
        local.as_unit("ns"),
        [moment.isoformat() for moment in true],
        [moment.isoformat() for moment in true.tz_convert("UTC")],
        [str(moment) for moment in local],
        [moment.isoformat() if row % 2 else str(local[row]) for row, moment in enumerate(true)],
    ):
        found = to_column(given if isinstance(given, list) else given.to_series(), field)
        assert pd.DatetimeIndex(found.to_pandas()).equals(true), given
    halves = pa.chunked_array([pa.array(local[:5]), pa.array(local[5:])])
    assert pd.DatetimeIndex(cast_column(halves, field).to_pandas()).equals(true)


@pytest.mark.parametrize("given", [["2024-10-27T02:30+01:00"], ["2024-10-27T02:30Z"], ["27.10.2024"], [1730000000]])
def test_a_column_without_a_zone_takes_no_offset_and_no_number(given: list[object]) -> None:
    with pytest.raises(DataError, match="column 't' holds"):
        to_column(given, pa.field("t", pa.timestamp("us")))
    zoned = pa.array([0], pa.timestamp("us", "Europe/Berlin"))
    with pytest.raises(DataError, match="column 't' holds"):
        to_column(zoned, pa.field("t", pa.timestamp("us")))


@pytest.mark.parametrize(("width", "every", "offset"), [(7, "MS", "MS"), (4, "YS", "YS")])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_months_and_years_are_times(tmp_path: Path, width: int, every: str, offset: str, zone: str | None) -> None:
    moments = pd.date_range("1949-01-01", periods=60, freq=offset)
    texts = [str(moment)[:width] for moment in moments]
    dataset = dataset_of((36, 12, 12), {"zone": zone})
    table = collected(tmp_path, texts, range(60), dataset)
    column = table.read(["t"]).column("t")
    assert pd.DatetimeIndex(column.to_pandas()).tz_localize(None).equals(moments.as_unit("us"))
    assert prepare(dataset.training_data, forecasting(3), table).series.every == every
    field = table.schema.field("t")
    assert to_column(texts, field).equals(column.combine_chunks())
    assert to_column([*texts[:2], str(moments[2])], field).equals(column.slice(0, 3).combine_chunks())
    for wrong in ("1949-13", "1949-1", "49", "19490"):
        with pytest.raises(DataError, match=f"'?{wrong}'?"):
            to_column([texts[0], wrong], field)
