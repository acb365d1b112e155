"""The records that travel between steps. Paths in them are relative to the project's root; `str` is for people."""

from typing import Literal

from headframe.digests import Record


class TableRecord(Record):
    """A version of a data set's table."""

    dataset: str
    folder: str  # `data/<dataset>`: table.parquet, rejected.parquet, dataset.json
    digest: str  # sha256 of the table's content; equal input gives an equal digest
    rows: int
    rejected: int
    rejected_digest: str = ""  # sha256 of the rows that could not be read

    def __str__(self) -> str:
        rejected = f", {self.rejected:,} rejected" if self.rejected else ""
        return f"{self.dataset}: {self.rows:,} rows{rejected}, version {self.digest[:8]}"


class Validated(Record):
    """A table that meets its contract."""

    table: TableRecord
    expectations: int  # how many were checked; never 0
    report: str  # JSON of each expectation and its result
    series: str = ""  # frequency and gaps of rows that have a time

    def __str__(self) -> str:
        return f"{self.expectations} expectations met" + (f"; {self.series}" if self.series else "")


class SplitRecord(Record):
    """How a table's rows are split."""

    table: TableRecord
    train: int
    validation: int
    test: int
    unused: int
    digest: str  # sha256 of the assignment

    def __str__(self) -> str:
        unused = f", {self.unused:,} unused" if self.unused else ""
        return f"{self.train:,} training, {self.validation:,} validation, {self.test:,} test rows{unused}"


class Trained(Record):
    """What the training program left in its folder."""

    folder: str  # holds `bundle/`, `predictions.parquet`, `probe.parquet`, `result.json`
    bundle: str  # sha256 of the bundle folder
    predictions: str  # sha256 of predictions.parquet
    epochs: int
    parameters: int  # trainable parameters of the network(s); 0 for estimators
    members: tuple[str, ...] = ()
    copies: int = 0  # rows not learned from, since for the features they equal measured ones; the most of any member

    def __str__(self) -> str:
        members = f"{', '.join(self.members)}: " if self.members else ""
        size = f"{self.parameters:,} parameters" if self.parameters else "estimator"
        copies = f"{self.copies:,} copies left out, " if self.copies else ""
        return f"{members}{size}, {copies}weights {self.bundle[:8]}"


class Interval(Record):
    """A metric with its confidence interval; without limits where the test rows cannot tell them."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4f}"
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


PLANNED = "baseline"
"""Name of the plan's own baseline among those that a model is compared with."""


class ValidationTest(Record):
    """A baseline on the validation rows of a model, and the paired test of the model against it."""

    value: float  # primary metric of the baseline
    p_better: float  # p-value of the model being better by it
    p_worse: float  # p-value of its being worse


Verdict = Literal["better", "worse", "no significant difference", "too few rows"]
"""Of a model against a baseline by a paired test; `too few rows`: too few are independent, or they define no metric."""


class BaselineComparison(Record):
    """A baseline on the test rows of a model, and the paired test of the model against it."""

    title: str  # as people read it
    metrics: dict[str, Interval]  # of the baseline
    difference: dict[str, Interval]  # model minus baseline, of each metric that both have
    # Of the model against the baseline, by a paired test.
    verdict: Verdict
    p_better: float  # p-value of the model being better by the primary metric; 1 where there are too few rows
    p_worse: float  # p-value of its being worse; likewise
    # Of the plan's own, where validation rows can tell; natural ones are fitted again where they are needed.
    validation: ValidationTest | None = None


class Evaluated(Record):
    """The measurements on test rows, and the pages that show them."""

    folder: str  # holds `metrics.json`, `slices.json`, `card.md`, `report.html`, `plots/*.png`
    rows: int
    primary_metric: str
    higher_is_better: bool
    metrics: dict[str, Interval]
    baselines: dict[str, BaselineComparison] = {}  # by name: `PLANNED`, and those of the task
    digest: str  # sha256 of metrics.json

    def __str__(self) -> str:
        measured = f"{self.primary_metric} {self.metrics[self.primary_metric]} on {self.rows:,} test rows"
        return "; ".join([measured, *self.verdicts])

    @property
    def verdicts(self) -> list[str]:
        """How the model compares with its baselines, in plain words: what it loses to first."""
        words = {
            "worse": "worse than",
            "too few rows": "measured on too few independent rows to be tested against",
            "no significant difference": "not significantly different from",
            "better": "better than",
        }
        found = []
        for verdict, compared in words.items():
            values = [
                f"{each.title} ({each.metrics[self.primary_metric].value:.4f})"
                if self.primary_metric in each.metrics
                else each.title
                for each in self.baselines.values()
                if each.verdict == verdict
            ]
            found += [f"{compared} {', '.join(values)}"] if values else []
        return found


class Registered(Record):
    """A version in the registry that passed the parity proof."""

    model: str
    version: int
    run_id: str
    model_uri: str  # `models:/NAME/VERSION`
    parity: float  # largest absolute difference between loaded-back and in-memory scores

    def __str__(self) -> str:
        return f"{self.model} version {self.version}, parity {self.parity:.1e}"


class Decision(Record):
    """Whether a version became champion, and why."""

    model: str
    version: int
    champion: int | None  # the version that is champion after the decision
    state: Literal["champion", "challenger", "refused"]  # challenger: passed its gates, and waits for people
    comparable: bool = True  # False: the champion's predictions of the version's test rows could not be computed
    reason: str

    def __str__(self) -> str:
        return self.reason


class SmokeTestResult(Record):
    """Response of a model to one request over the scoring protocol."""

    model: str
    version: int
    row_id: str  # of the (first) row of the request
    status: int  # HTTP
    response: str  # JSON

    def __str__(self) -> str:
        return f"HTTP {self.status} by {self.model} version {self.version}"


class Ingested(Record):
    """A data set that is ingested, validated, split and committed."""

    validated: Validated
    split: SplitRecord


class Lineage(Record):
    """What decided a result besides plan and data: code, libraries, machine; and what encoders learned on the way."""

    commit: str  # git's name of it; empty where nothing was committed, or it is not known
    diff: str | None  # sha256 of `code/code.diff`, what differed from the commit; None where that is not known
    folder: str  # of the project in its repository, such as `mining/`; empty where it is the repository itself
    modules: dict[str, str]  # sha256 of the source of each module of Headframe's or the project's own
    libraries: dict[str, str]  # version of each distribution that these modules import from
    installed: str  # sha256 of `code/installed.txt`, the versions of all distributions
    python: str
    machine: str  # kind of processor
    device: str  # kind of device that the model was trained on: `cpu`, or a GPU's name
    features: dict[str, str]  # sha256 of what each encoder learned, by member; of a single model by an empty name

    @property
    def packages(self) -> list[str]:
        """The project's own packages among the modules, sorted."""
        return sorted({name.partition(".")[0] for name in self.modules} - {"headframe"})


class Provenance(Record):
    """What a registered version rests on; stored with its run as `provenance.json`."""

    data: Ingested
    trained: Trained
    evaluated: Evaluated
    lineage: Lineage


class RegisteredPlan(Record):
    """A plan that is trained, measured and registered, and its data."""

    data: Ingested
    trained: Trained
    evaluated: Evaluated
    registered: Registered

    def __str__(self) -> str:
        return f"{self.evaluated}; {self.registered}"


class RunResult(Record):
    """The result of a whole run: from raw data to the smoke test."""

    plan: str
    fingerprint: str
    result: RegisteredPlan
    decision: Decision
    smoke_test: SmokeTestResult


class Predicted(Record):
    """A file of predictions."""

    model: str
    version: int
    target: str  # path of the Parquet file
    rows: int  # rows written
    digest: str  # sha256 of the file

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"{rows} by {self.model} version {self.version} in {self.target}"
