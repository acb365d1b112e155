"""Dates of a table as numbers, against pandas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.errors import ConfigurationError, DataError
from headframe.features.dates import CYCLES, PARTS, TabularDates

MOMENTS = pd.date_range("2019-12-25 06:30", periods=800, freq="37h")


def table(moments: pd.Series, **more: list[float]) -> pa.Table:
    zone = str(moments.dt.tz) if moments.dt.tz else None
    return pa.table({"when": pa.array(moments.to_list(), pa.timestamp("us", zone), from_pandas=True), **more})


def standardised(values: np.ndarray) -> np.ndarray:
    deviation = values.std()
    return (values - values.mean()) / (deviation or 1)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_parts_and_cycles_agree_with_pandas(zone: str | None) -> None:
    moments = pd.Series(MOMENTS.tz_localize("UTC").tz_convert(zone) if zone else MOMENTS)
    encoder = TabularDates(parts=[*PARTS, *CYCLES])
    rows = table(moments)
    encoder.fit(rows, ("when",))
    hour = moments.dt.hour + moments.dt.minute / 60
    turns = {"year": (moments.dt.day_of_year - 1) / 365.2425, "week": moments.dt.day_of_week / 7, "day": hour / 24}
    days = (moments - moments.iloc[0]) / pd.Timedelta("1D")
    expected = [days, moments.dt.year, moments.dt.month, moments.dt.day, moments.dt.day_of_week, hour]
    expected += [wave(2 * np.pi * turn) for turn in turns.values() for wave in (np.sin, np.cos)]
    found = encoder.encode(rows)
    assert encoder.spec().shape == (12,)
    for position, values in enumerate(expected):
        np.testing.assert_allclose(found[:, position], standardised(np.asarray(values, float)), atol=2e-4)
    restored = TabularDates(parts=[*PARTS, *CYCLES])
    restored.restore(encoder.state())
    assert np.array_equal(restored.encode(rows), found)
    assert restored.columns == ("when",)


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_a_date_is_its_midnight(kind: pa.DataType) -> None:
    midnights = table(pd.Series(MOMENTS).dt.normalize())
    dates = pa.table({"when": midnights["when"].cast(kind)})
    encoded = []
    for rows in (midnights, dates):
        encoder = TabularDates(parts=["elapsed", "day", "hour"])
        encoder.fit(rows, ("when",))
        encoded.append(encoder.encode(rows))
    np.testing.assert_array_equal(*encoded)


def test_a_missing_date_is_marked_and_a_new_kind_of_cell_refused() -> None:
    moments = pd.Series(MOMENTS).where(np.arange(800) % 7 != 3)
    rows = table(moments, size=[1.0, 2.0] * 400)
    encoder = TabularDates(parts=["elapsed"])
    encoder.fit(rows, ("when", "size"))
    found = encoder.encode(rows)
    assert np.isfinite(found).all()
    assert (found[:, 2] == moments.isna()).all()
    with pytest.raises(DataError, match="'when' holds string, but moments were expected"):
        encoder.encode(pa.table({"when": ["2020-01-01"], "size": [1.0]}))


def test_unknown_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="parts has 'moon'; expected some of elapsed, year"):
        TabularDates(parts=["moon"])


def test_features_that_read_no_dates_say_which_do() -> None:
    project = Project(Path(__file__).resolve().parents[2])
    overrides = ["dataset=etth1", "dataset.inputs=[date,HUFL]", "+dataset.target=OT", "dataset.tasks=[regression]"]
    with pytest.raises(ConfigurationError, match="'date' of dataset etth1 is timestamp; choose features=tabular_dates"):
        load_plan([*overrides, "features=tabular", "task=regression", "model=mlp"], project)
