"""What a reproduction found, stage by stage, and what it may be called."""

from __future__ import annotations

from typing import Literal

from headframe.digests import Record
from headframe.records import Evaluated, Interval, Trained

Word = Literal["bitwise", "within tolerance", "different"]

STAGES = ("plan", "code", "data", "order", "features", "weights", "predictions", "metrics")
"""In the order in which each rests on those before it; the first that differs is the culprit."""

RESULTS = STAGES[2:]
"""What comes out; plan and code are what goes in."""

NUMERIC = ("weights", "predictions", "metrics")
"""What another processor or library may round differently; everything before is exact or another thing."""

SHARE = 0.1
"""Allowed change of a metric, as a share of the half width of its confidence interval.

A shift of a tenth of that is a fifth of a standard error at most: it changes nobody's mind about the model.
"""

RELATIVE = 1e-3
"""Allowed change of a metric, relative to its value; counts where it is more, and where there is no interval."""


class Found(Record):
    """What the process that rebuilds a version left in its folder."""

    modules: dict[str, str]  # as in `records.Origin`
    libraries: dict[str, str]
    machine: str
    device: str
    stopped: Literal["code", "data"] | None = None  # where going on would prove nothing
    why: str = ""
    table: str = ""  # the digests, as far as it came
    split: str = ""
    features: dict[str, str] = {}
    trained: Trained | None = None
    evaluated: Evaluated | None = None
    seconds: dict[str, float] = {}


class Compared(Record):
    """One stage, then and now."""

    stage: str
    recorded: str  # sha256
    found: str | None  # sha256; None where the reproduction did not come so far
    why: str = ""  # what differs, in words

    @property
    def equal(self) -> bool | None:
        """Whether it came out the same; None where that is not known."""
        return None if self.found is None else self.found == self.recorded


class Change(Record):
    """Something about the surroundings that is not what it was."""

    name: str
    recorded: str
    found: str
    decides: bool  # whether the result rests on it; other libraries are installed, but not used


class Metric(Record):
    """A metric on the test rows, then and now."""

    recorded: float
    found: float
    allowed: float  # largest difference that is within tolerance

    @property
    def within(self) -> bool:
        """Whether the difference is allowed."""
        return abs(self.found - self.recorded) <= self.allowed


class Reproduction(Record):
    """The verdict on one version, and what it rests on."""

    model: str
    version: int
    verdict: Word
    first: str | None  # the first stage that differs
    reason: str
    stages: tuple[Compared, ...]
    metrics: dict[str, Metric]
    modules: tuple[Change, ...]  # of Headframe's installed code
    environment: tuple[Change, ...]
    data: str  # where the data came from
    seconds: dict[str, float]
    bundle: str  # sha256 of the registered model
    provenance: str  # sha256 of the version's provenance.json
    entry: str = ""  # digest of the ledger's entry; empty where the verdict was not kept

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"{self.model} version {self.version}: {self.verdict}; {self.reason}"


def allowed(interval: Interval) -> float:
    """Say how far a metric may lie from a recorded one; see `SHARE` and `RELATIVE`."""
    relative = RELATIVE * abs(interval.value)
    if interval.low is None or interval.high is None:
        return relative
    return max(relative, SHARE * (interval.high - interval.low) / 2)


def verdict(stages: tuple[Compared, ...], metrics: dict[str, Metric]) -> Word:
    """Name what came out.

    Other code that comes to equal bits has reproduced them; whether weights, predictions and metrics are all that
    differs decides between the other two.
    """
    by_name = {each.stage: each for each in stages}
    if all(by_name[name].equal for name in RESULTS) and by_name["plan"].equal:
        return "bitwise"
    exact = all(each.equal for each in stages if each.stage not in (*NUMERIC, "code"))
    return "within tolerance" if exact and metrics and all(each.within for each in metrics.values()) else "different"
