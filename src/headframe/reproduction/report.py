"""What a reproduction found, stage by stage, and its verdict."""

from typing import Literal

from headframe.digests import Record
from headframe.records import Evaluated, Interval, Trained

Verdict = Literal["bitwise", "within tolerance", "different"]

STAGES = ("plan", "code", "data", "split", "features", "weights", "predictions", "metrics")
"""In the order in which each depends on those before it."""

NUMERIC = ("weights", "predictions", "metrics")
"""What another processor or library may round differently; everything before is either equal or something else."""

SHARE = 0.1
"""Allowed change of a metric, as a share of the half width of its confidence interval.

A shift of a tenth of that is a fifth of a standard error at most: it changes no conclusion about the model.
"""

RELATIVE = 1e-3
"""Allowed change of a metric, relative to its value; counts where it is more, and where there is no interval."""


REBUILT = "rebuilt.json"
"""File that the process that rebuilds a version writes into its folder."""


class RebuiltVersion(Record):
    """The content of `rebuilt.json`: how far a rebuild went, and with which result."""

    stopped: Literal["plan", "code", "data"] | None = None  # the stage after which going on would prove nothing
    reason: str = ""
    modules: dict[str, str] = {}  # as in `records.Lineage`
    libraries: dict[str, str] = {}
    machine: str = ""
    device: str = ""
    table: str = ""  # digests, empty for stages that were not reached
    split: str = ""
    features: dict[str, str] = {}
    trained: Trained | None = None
    evaluated: Evaluated | None = None
    seconds: dict[str, float] = {}


class StageComparison(Record):
    """One stage, recorded and reproduced."""

    stage: str
    recorded: str  # sha256
    reproduced: str | None  # sha256; None where the reproduction did not reach it
    reason: str = ""  # what differs, in words

    @property
    def equal(self) -> bool | None:
        """Whether it came out the same; None where that is not known."""
        return None if self.reproduced is None else self.reproduced == self.recorded


class Difference(Record):
    """Something in the environment, or a module, that is not as recorded."""

    name: str
    recorded: str
    current: str
    used: bool  # whether the result depends on it; other libraries are only installed


class MetricComparison(Record):
    """A metric on the test rows, recorded and reproduced."""

    recorded: float
    reproduced: float
    tolerance: float  # largest difference that is allowed

    @property
    def within(self) -> bool:
        """Whether the difference is allowed."""
        return abs(self.reproduced - self.recorded) <= self.tolerance


class Reproduction(Record):
    """The verdict on one version, and what it rests on."""

    model: str
    version: int
    verdict: Verdict
    first_difference: str | None  # the first stage that differs
    reason: str
    stages: tuple[StageComparison, ...]
    metrics: dict[str, MetricComparison]
    modules: tuple[Difference, ...]  # of Headframe's installed code
    environment: tuple[Difference, ...]
    data: str = ""  # where the data came from
    seconds: dict[str, float] = {}
    bundle: str  # sha256 of the registered model
    provenance: str  # sha256 of the version's provenance.json
    entry: str = ""  # digest of the ledger's entry; empty where the verdict was not recorded

    def __str__(self) -> str:
        return f"{self.model} version {self.version}: {self.verdict}; {self.reason}"


def tolerance(interval: Interval) -> float:
    """Return how far a metric may be from a recorded one; see `SHARE` and `RELATIVE`."""
    relative = RELATIVE * abs(interval.value)
    if interval.low is None or interval.high is None:
        return relative
    return max(relative, SHARE * (interval.high - interval.low) / 2)


def verdict_of(stages: tuple[StageComparison, ...], metrics: dict[str, MetricComparison]) -> Verdict:
    """Return the verdict.

    Other code that gives equal bits has reproduced them; whether weights, predictions and metrics are all that
    differs decides between the other two.
    """
    differing = {each.stage for each in stages if not each.equal}
    if differing <= {"code"}:
        return "bitwise"
    near = bool(metrics) and all(each.within for each in metrics.values())
    return "within tolerance" if near and differing <= {"code", *NUMERIC} else "different"
