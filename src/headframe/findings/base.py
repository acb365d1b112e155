"""What every kind of finding provides: something that was found in data, rather than predicted for a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from headframe.digests import digest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ID_LENGTH = 16
"""Hexadecimal digits of an id: two of a million findings share one with a chance of 1 in 37 million."""

INTERVAL = pa.struct({"value": pa.float64(), "low": pa.float64(), "high": pa.float64()})
"""A figure with its interval; null where it is not defined, as a limit that is infinite."""


@dataclass(frozen=True)
class Measurements:
    """Figures of findings on some rows.

    Attributes:
        rows: how many rows there are.
        figures: values with their limits, float64 (3, findings), by name; NaN and infinity where there are none.
        p_values: float64 (findings,), how likely rows like these are if the finding does not hold.
    """

    rows: int
    figures: Mapping[str, np.ndarray]
    p_values: np.ndarray

    def columns(self) -> pa.StructArray:
        """Return one struct a finding, as findings tables have it."""
        fields = {"rows": pa.array(np.full(len(self.p_values), self.rows), pa.int64())}
        for name, each in self.figures.items():
            parts = [pa.array(part, pa.float64(), mask=~np.isfinite(part)) for part in each]
            fields[name] = pa.StructArray.from_arrays(parts, fields=list(INTERVAL))
        fields["p"] = pa.array(self.p_values, pa.float64())
        return pa.StructArray.from_arrays(list(fields.values()), names=list(fields))


class FindingKind(ABC):
    """Knows what a finding of one kind says, and how rows that it was not found in confirm it.

    Attributes:
        kind: its name in findings tables.
        body: the Arrow type of what a finding says; equal bodies are one finding.
        figures: names of what `measure` returns; the first is the share of rows that a finding is about.
        alpha: how likely it may be that a confirmed finding, among all of a model, does not hold.
        confidence: of the intervals.
    """

    kind: ClassVar[str]
    body: ClassVar[pa.DataType]
    figures: ClassVar[tuple[str, ...]]
    alpha: float
    confidence: float

    def identify(self, bodies: pa.Array) -> pa.Array:
        """Return the id of each finding: the beginning of the sha256 of its kind and what it says."""
        ids = [digest({"kind": self.kind, "body": body})[:ID_LENGTH] for body in bodies.to_pylist()]
        return pa.array(ids, pa.string())

    @abstractmethod
    def measure(self, bodies: pa.Array, rows: pa.Table) -> Measurements:
        """Measure findings on raw rows, with inputs and targets.

        Raises:
            DataError: a column is missing.
        """

    @abstractmethod
    def describe(self, body: Any) -> str:
        """Return what a finding says in one line, given its body as a Python value."""

    @abstractmethod
    def plots(self, findings: pa.Table) -> dict[str, Figure]:
        """Draw a findings table, by file name without ending."""
