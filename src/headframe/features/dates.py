"""Tables with dates: moments become numbers, which are then encoded like all others."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from headframe.config.ranges import Count, InputColumn
from headframe.errors import DataError
from headframe.features.columns import free_name
from headframe.features.tabular import Tabular

DAY = 86_400_000_000  # microseconds


def _elapsed(moments: Any) -> Any:
    return pc.divide(pc.cast(pc.cast(moments, pa.int64()), pa.float64()), float(DAY))


def _time_of_day(moments: Any) -> Any:
    return pc.divide(pc.cast(pc.add(pc.multiply(pc.hour(moments), 60), pc.minute(moments)), pa.float64()), 60.0)


PARTS: dict[str, Callable[[Any], Any]] = {
    "elapsed": _elapsed,  # days since 1970; standardised, so that no day is the first one
    "year": pc.year,
    "month": pc.month,  # 1 to 12
    "day": pc.day,  # 1 to 31
    "weekday": pc.day_of_week,  # 0 to 6, from Monday
    "hour": _time_of_day,  # 0 to 24, with minutes as its fraction
}
"""Numbers of a moment, in the time zone of its column."""

CYCLES: dict[str, tuple[Callable[[Any], Any], float]] = {
    "year_cycle": (lambda moments: pc.subtract(pc.day_of_year(moments), 1), 365.2425),  # days
    "week_cycle": (pc.day_of_week, 7.0),
    "day_cycle": (_time_of_day, 24.0),
}
"""Positions in a cycle and its length; each becomes a sine and a cosine, so that December is next to January."""


MomentPart = Literal[
    "elapsed", "year", "month", "day", "weekday", "hour", "year_cycle", "week_cycle", "day_cycle"
]  # fmt: skip


class TabularDates(Tabular):
    """A `Tabular` that takes moments, too: each column of them becomes a column for each part, all of them numbers.

    Args:
        parts: what is taken of each moment: `elapsed` (days), `year`, `month`, `day`, `weekday`, `hour`; as sine and
            cosine `year_cycle`, `week_cycle`, `day_cycle`.
        columns: see `Tabular`, as are all that follow; moments are no categories.
    """

    def __init__(
        self,
        *,
        parts: Sequence[MomentPart] = ("elapsed", "year_cycle", "week_cycle", "day_cycle"),
        columns: Sequence[InputColumn] = (),
        categorical: Sequence[InputColumn] = (),
        log: Sequence[InputColumn] = (),
        indicator: bool = True,
        min_count: Count = 1,
        max_values: Count = 256,
    ) -> None:
        super().__init__(
            columns=columns,
            categorical=categorical,
            log=log,
            indicator=indicator,
            min_count=min_count,
            max_values=max_values,
        )
        known = [*PARTS, *CYCLES]
        unknown = [part for part in parts if part not in known]
        if unknown or not parts:
            raise ValueError(f"parts has {unknown[0] if unknown else 'nothing'!r}; expected some of {', '.join(known)}")
        self.parts = tuple(parts)
        self.moments_: list[str] = []

    @override
    def _fit(self, rows: pa.Table) -> None:
        self.moments_ = [name for name in self.columns if _is_moment(rows.schema.field(name).type)]
        self._on_numbers(super()._fit, rows)

    @override
    def _encode(self, rows: pa.Table) -> np.ndarray:
        encoded: np.ndarray = self._on_numbers(super()._encode, rows)
        return encoded

    def _on_numbers(self, work: Callable[[pa.Table], Any], rows: pa.Table) -> Any:
        """Do the work of `Tabular` on rows whose moments are numbers."""
        raw, self.columns = self.columns, ()
        numbers: dict[str, Any] = {}
        for name in raw:
            column = rows.column(name)
            numbers |= self._numbers(name, column, raw) if name in self.moments_ else {name: column}
        try:
            self.columns = tuple(numbers)
            return work(pa.table(numbers))
        finally:
            self.columns = raw

    def _numbers(self, name: str, moments: Any, taken: Sequence[str]) -> dict[str, Any]:
        """Return the parts of a column of moments as float64 columns, empty where there is no moment."""
        if not _is_moment(moments.type):
            raise DataError(f"column {name!r} holds {moments.type}, but moments were expected")
        if pa.types.is_date(moments.type) or moments.type.unit != "us":
            moments = pc.cast(moments, pa.timestamp("us", getattr(moments.type, "tz", None)))
        found: dict[str, Any] = {}
        for part in self.parts:
            if part in PARTS:
                found[free_name(f"{name}.{part}", taken)] = pc.cast(PARTS[part](moments), pa.float64())
                continue
            position, length = CYCLES[part]
            angle = pc.multiply(pc.cast(position(moments), pa.float64()), 2 * np.pi / length)
            found[free_name(f"{name}.{part}.sin", taken)] = pc.sin(angle)
            found[free_name(f"{name}.{part}.cos", taken)] = pc.cos(angle)
        return found

    @override
    def state(self) -> dict[str, Any]:
        return {**super().state(), "moments": self.moments_}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.moments_ = list(state["moments"])


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))
