"""Everything that a gate may look at, found through the registry alone: nothing of it depends on who asks, or where.

What is costly is done when the first gate asks for it, and once.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from headframe.config.build import build
from headframe.config.plan.learner import TaskConfig
from headframe.config.plan.plan import Plan
from headframe.config.plan.promotion import PromotionConfig
from headframe.config.project import Project
from headframe.datasets import cells
from headframe.datasets.splits import assign
from headframe.datasets.table import Table
from headframe.digests import file_digest, folder_digest
from headframe.errors import ConfigurationError, DataError, HeadframeError, Refused, Unavailable
from headframe.evaluation.intervals import CONTENT, Resampling, block_length
from headframe.evaluation.slices import find
from headframe.examples.prepare import PreparedData, prepare, target_columns
from headframe.prediction.layout import task_state
from headframe.records import Provenance
from headframe.registry.isolated import call_with_model
from headframe.registry.layout import bundle_in, packages_in
from headframe.registry.signature import Signed
from headframe.registry.signed_record import (
    complaint,
    read_content,
    read_plan,
    read_provenance,
    require_bytes,
    require_signed,
    require_tags,
)
from headframe.registry.versions import Version, signed_files, statement
from headframe.signing.trust import Trust
from headframe.tasks.base import Task
from headframe.tracking.client import make_client
from headframe.tracking.downloads import ArtifactMissing, download
from headframe.tracking.errors import readable_errors
from headframe.validation.checks import REPORT, Report

PREDICTIONS = "training/predictions.parquet"
PLAN, PROVENANCE = "plan.json", "provenance.json"
CLOSE = 1e-6  # difference of a target that its way through its own scale and back explains, relative to the largest
SEED = 17  # of all draws; were it the plan's, a challenger might look for the luckiest


@dataclass(frozen=True)
class ChampionPredictions:
    """The champion's answers for the version's own test rows.

    Attributes:
        predictions: in the order of the version's; None where it cannot answer for them.
        origin: where they come from; where there are none, why.
        seen: it was trained on another table or split, so perhaps on some of these rows.
    """

    predictions: pa.Table | None
    origin: str
    seen: bool


@dataclass(frozen=True)
class Reign:
    """What the champion's author signed.

    Attributes:
        signed: None where nobody who is trusted did.
        task: as the champion's plan has it; None where that is not known.
        why: why something of it is not known.
    """

    signed: Signed | None
    task: TaskConfig | None
    why: str = ""


class Case:
    """One version before its gates.

    Attributes:
        version: which is judged.
        champion: what it is compared with; None where there is none.
        promotion: the policy.
        tries: how many versions, with this one, were compared with this champion so far.
        candidates: how many versions, with this one, were registered since it reigns and not yet compared with it.
        reproduced: what the last attempt to make the version again came to; None where there was none.

    Args:
        version: as the registry has it, with its tags.
        champion: as the registry has it.
        promotion: the policy.
        tries: see above.
        candidates: see above.
        reproduced: see above.
        uri: MLflow's address.
        root: the project's folder; its `data/` is read where it holds the right table.
        trust: whose signatures count.
        stack: closes what was opened on the way.
    """

    def __init__(
        self,
        version: Version,
        champion: Version | None,
        promotion: PromotionConfig,
        *,
        tries: int,
        candidates: int,
        reproduced: str | None,
        uri: str,
        root: Path,
        trust: Trust,
        stack: ExitStack,
    ) -> None:
        self.version = version
        self.champion = champion
        self.promotion = promotion
        self.tries = tries
        self.candidates = candidates
        self.reproduced = reproduced
        self._uri = uri
        self._root = root
        self._trust = trust
        self._stack = stack

    def said(self, name: str) -> str:
        """Give a digest that the version's author signed, by its name there; see `tracking.signature.Signed`."""
        return str(self.signed.claim[name])

    @property
    def signed(self) -> Signed:
        """What the version's author signed; its tags in the registry repeat it, and are never believed.

        Raises:
            Refused: its files, or its tags, are not what was signed.
        """
        return self._opened[1]

    @property
    def model(self) -> Path:
        """The version's package: the folder that holds `MLmodel`.

        Raises:
            Refused: its files, or its tags, are not what was signed.
        """
        return self._opened[0]

    @cached_property
    def _opened(self) -> tuple[Path, Signed]:
        return self._open(self.version)

    def _open(self, version: Version) -> tuple[Path, Signed]:
        folder, signed = self._stack.enter_context(signed_files(version, self._uri, self._trust))
        require_tags(version, signed)
        came, promised = folder_digest(bundle_in(folder)), signed.claim["bundle"]
        if came != promised:
            msg = (
                f"the model of {version.uri} has sha256 {came[:12]}, but {promised[:12]} was signed by "
                f"{signed.signer.name}; train and register it again"
            )
            raise Refused(msg)
        return folder, signed

    @cached_property
    def scratch(self) -> Path:
        """A folder for what is made on the way."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory()))

    def file(self, name: str, version: Version | None = None) -> Path:
        """Give a file of the version's run, or of another's.

        Raises:
            HeadframeError: it cannot be had.
        """
        version = version or self.version
        client = make_client(self._uri)
        with readable_errors(self._uri):
            place = client.get_run(version.run_id).info.artifact_uri
        folder = None  # files on this machine are read where they lie
        if urlsplit(place).scheme not in ("", "file"):
            folder = self.scratch / "files" / str(version.number)
            folder.mkdir(parents=True, exist_ok=True)
        try:
            return download(f"{place}/{name}", self._uri, folder)
        except ArtifactMissing as error:
            msg = (
                f"{name} of {version.uri} cannot be fetched from its run ({error}); the command that trained it writes "
                "it anew"
            )
            raise HeadframeError(msg) from error

    @cached_property
    def plan(self) -> Plan:
        """What was run to make the version."""
        own = (f"{name}." for name in packages_in(self.model))
        trusted = (*Project(self._root).packages, *own)
        return read_plan(self.file(PLAN).read_bytes(), self.version, self.signed, trusted)

    @cached_property
    def provenance(self) -> Provenance:
        """What the version rests on."""
        return read_provenance(self.file(PROVENANCE).read_bytes(), self.version, self.signed)

    @cached_property
    def validation(self) -> Report:
        """The report of how the version's table kept its contract.

        Raises:
            HeadframeError: the run has none.
            DataError: it is none.
            Refused: it is not the one that was signed.
        """
        name = f"data/{Path(self.provenance.data.validated.report).name or REPORT}"
        content = self.file(name).read_bytes()
        require_bytes(content, "validated", name, self.version, self.signed)
        try:
            return Report.model_validate_json(content)
        except ValidationError as error:
            msg = f"{name} of {self.version.uri} is no validation report ({complaint(error)})"
            raise DataError(msg) from error

    @cached_property
    def task(self) -> Task:
        """The task as the version learned it."""
        task: Task = build(self.plan.task)
        task.restore(task_state(bundle_in(self.model)))
        return task

    @cached_property
    def table(self) -> Table:
        """The version's table: that in `data/` if it is the one, else restored by its digest into a scratch folder.

        Raises:
            HeadframeError: neither has it.
        """
        wanted, name = self.said("table"), self.plan.dataset.name
        try:
            present = Table.open(self._root / "data" / name)
        except HeadframeError:
            present = None  # not collected on this machine, or damaged: what was kept decides
        if present is not None and present.digest == wanted:
            return present
        from headframe.datasets.versions import Versions  # noqa: PLC0415 - imports dvc: a second

        try:
            return Versions(self._root).extract(name, wanted, self.scratch / "data" / name)
        except Unavailable:
            raise
        except HeadframeError as error:
            there = "is not there" if present is None else f"is version {present.digest[:12]}"
            msg = (
                f"{self.version.uri} was measured on version {wanted[:12]} of {name}, but data/{name} {there} and it "
                f"cannot be restored ({error}); collect it here: headframe ingest dataset={name}"
            )
            raise DataError(msg) from error

    @cached_property
    def parts(self) -> np.ndarray:
        """For each row of the table `train`, `validation`, `test` or `unused`."""
        return assign(self.plan.dataset, self.table)

    @cached_property
    def stored(self) -> pa.Table:
        """The rows of `predictions.parquet` that it calls test rows: `row_id`, `split`, `target`, `prediction`, scores.

        Raises:
            Refused: the file is not the one that was signed, or names a row twice.
            DataError: there is no such row.
        """
        path = self.file(PREDICTIONS)
        require_signed(file_digest(path), "predictions", PREDICTIONS, self.version, self.signed)
        rows = pq.read_table(path, filters=[("split", "=", "test")])
        if not rows.num_rows:
            msg = f"the predictions of {self.version.uri} hold no test rows; check dataset.split and train again"
            raise DataError(msg)
        counts = pc.value_counts(rows["row_id"].combine_chunks())
        repeated = counts.filter(pc.greater(counts.field("counts"), 1))
        if len(repeated):
            first = repeated[0].as_py()
            msg = (
                f"the predictions of {self.version.uri} hold row {first['values']} {first['counts']} times; each test "
                "row counts once, so train and register it again"
            )
            raise Refused(msg)
        return rows

    @cached_property
    def predictions(self) -> pa.Table:
        """The version's answers for its test rows: `row_id`, `target`, `prediction`, scores; `content` at the end.

        The targets are those of the table. A forecast's windows are no repetitions of each other, so they have no
        `content`.

        Raises:
            Refused: they were measured against other targets than those of the table.
        """
        rows, targets = self.stored, self._targets()
        strange = _strange(rows["target"], targets)
        if len(strange):
            first = rows["row_id"][int(strange[0])].as_py()
            msg = (
                f"{len(strange):,} of {rows.num_rows:,} targets in the predictions of {self.version.uri} are not those "
                f"of its table, first that of row {first}; train and register it again"
            )
            raise Refused(msg)
        return self._with_content(rows.set_column(rows.column_names.index("target"), "target", targets))

    def _targets(self) -> pa.ChunkedArray:
        """Give the targets of the test rows as the table has them, spelled as in a predictions table."""
        task, rows = self.yardstick, self.prepared.rows
        places = find(self.stored, rows).to_numpy().astype(np.int64)
        encoded = task.encode(rows.select(list(target_columns(self.plan.dataset))))
        if task.horizon:
            beyond = places + task.horizon > len(encoded)
            if beyond.any():
                first = self.stored["row_id"][int(np.flatnonzero(beyond)[0])].as_py()
                msg = (
                    f"the predictions of {self.version.uri} begin a window at row {first}, which ends behind the table"
                )
                raise Refused(msg)
            chosen = encoded[places[:, np.newaxis] + np.arange(task.horizon)]
        else:
            chosen = encoded[places]
        return task.predictions(np.zeros((len(places), *task.outputs)), chosen)["target"]

    @cached_property
    def yardstick(self) -> Task:
        """The task by whose metrics versions are measured, fitted to the training rows of the version's table.

        It is the champion's: who could choose another leading metric with the challenger would choose the one by which
        it wins. Without a champion, and where the champion's is not for this version, it is the version's own.
        """
        return self._measured_by[0]

    @cached_property
    def _measured_by(self) -> tuple[Task, str | None]:
        """Give the task to measure by, and why it is not the champion's, though there is one."""
        own = self.prepared.task
        if self.champion is None:
            return own, None
        named = f"champion version {self.champion.number}"
        if self.reign.task is None:
            return own, f"{named} does not say by which metric it is to be compared ({self.reign.why})"
        try:
            task: Task = build(self.reign.task)
            if (task.kind, task.horizon) != (own.kind, own.horizon):
                return own, f"{named} is for {_spell(task)}, but this version for {_spell(own)}"
            task.fit(self.prepared.training_rows().select(list(target_columns(self.plan.dataset))))
        except (ConfigurationError, DataError) as error:
            return own, f"the task of {named} does not fit this version's data ({error})"
        return task, None

    @cached_property
    def _unlike(self) -> str | None:
        """Say why the version's answers cannot be measured as the champion's are; None where they can."""
        task, why = self._measured_by
        if why is not None or self.champion is None:
            return why
        lead = f"{task.lead}, by which champion version {self.champion.number} is judged"
        expected = {*task.predictions(np.zeros((0, *task.outputs)), task.encode(self._no_targets)).column_names}
        lacking = sorted(expected - {*self.stored.column_names})
        if lacking:
            return f"this version's predictions have no {lacking[0]}, so it has no {lead}"
        if task.lead not in self.prepared.task.measure(self.predictions):
            return f"this version's task does not measure {lead}"
        return None

    @property
    def _no_targets(self) -> pa.Table:
        return self.prepared.rows.select(list(target_columns(self.plan.dataset))).slice(0, 0)

    def _with_content(self, rows: pa.Table) -> pa.Table:
        if self.task.horizon:
            return rows
        known = self.table.read(["row_id", CONTENT])
        return rows.append_column(CONTENT, known[CONTENT].take(find(rows, known)))

    @property
    def rows(self) -> int:
        """How many test rows there are; of a forecast, windows."""
        return int(self.predictions.num_rows)

    @cached_property
    def rows_digest(self) -> str:
        """The sha256 of the test rows' names and targets in their order."""
        state = hashlib.sha256()
        cells.update(state, self.predictions.select(["row_id", "target"]))
        return state.hexdigest()

    @cached_property
    def metrics(self) -> dict[str, float]:
        """What the version's answers measure to; computed here, not believed."""
        return self.yardstick.measure(self.predictions)

    @property
    def value(self) -> float:
        """The leading metric.

        Raises:
            DataError: the test rows do not define it.
        """
        lead = self.yardstick.lead
        if lead not in self.metrics:
            msg = (
                f"the {self.rows:,} test rows of {self.version.uri} define no {lead}; choose another task.lead or split"
            )
            raise DataError(msg)
        return self.metrics[lead]

    def resampling(self, resamples: int, rows: int | None = None) -> Resampling:
        """Say how rows are drawn: singly, or where windows overlap, in blocks.

        Args:
            resamples: how many.
            rows: of a part of the test rows; all unless given.
        """
        horizon = self.task.horizon
        block = block_length(horizon, rows or self.rows) if horizon else 1
        return Resampling(confidence=0.95, resamples=resamples, seed=SEED, block=block)

    def raw(self, columns: Sequence[str]) -> pa.Table:
        """Give raw columns of the test rows, of a window those of the first row that it predicts, in their order."""
        known = self.table.read(["row_id", *columns])
        return known.take(find(self.predictions, known)).select(list(columns))

    @cached_property
    def prepared(self) -> PreparedData:
        """The version's table as training saw it."""
        return prepare(self.plan.dataset, self.plan.task, self.table)

    @cached_property
    def places(self) -> np.ndarray:
        """Where in `prepared.rows` the test examples are, int64; of a window, the first row that it predicts."""
        return find(self.predictions, self.prepared.rows).to_numpy().astype(np.int64)

    def answers(self, model: Path) -> pa.Table:
        """Let a packaged model answer for the version's test rows; with code of its own, in a process of its own.

        Args:
            model: the folder that holds `MLmodel`; it may look back otherwise.

        Raises:
            DataError: it takes other columns, knows other classes or needs rows that are not there, or its files were
                changed.
            HeadframeError: code that it brings fails.
        """
        with tempfile.TemporaryDirectory() as scratch:
            files = {name: str(Path(scratch) / name) for name in ("rows", "places", "answers")}
            pq.write_table(self.prepared.rows, files["rows"], compression="none")
            with Path(files["places"]).open("wb") as stream:
                np.save(stream, self.places)
            call_with_model(
                write_answers,
                model,
                **files,
                horizon=self.task.horizon,
                targets=target_columns(self.plan.dataset),
                threads=self.plan.trainer.threads,
            )
            found = pq.read_table(files["answers"])
        own = self.predictions
        expected = [name for name in own.column_names if name not in ("row_id", "split", CONTENT)]
        if set(found.column_names) != set(expected):
            msg = f"it answers with {', '.join(found.column_names)}, not with {', '.join(expected)}"
            raise DataError(msg)
        # Its own copy of the targets went through its own scale and back; the version's copy did not.
        found = found.set_column(found.column_names.index("target"), "target", own.column("target"))
        return self._beside(found.select(expected))

    def _beside(self, answers: pa.Table) -> pa.Table:
        """Put answers in the version's order beside its own names of rows."""
        own = self.predictions
        named = answers.add_column(0, "split", own.column("split")).add_column(0, "row_id", own.column("row_id"))
        return named.append_column(CONTENT, own.column(CONTENT)) if CONTENT in own.column_names else named

    @cached_property
    def reign(self) -> Reign:
        """What the champion's author signed, with its plan's task.

        Raises:
            Refused: its tags or its plan are not what was signed; they must be restored before it is compared with.
            Unavailable: it may be had in a minute.
        """
        if self.champion is None:
            return Reign(None, None, "there was no champion before")
        try:
            signed = statement(self.champion, self._uri, self._trust)
        except Unavailable:
            raise
        except HeadframeError as error:
            return Reign(None, None, str(error))
        require_tags(self.champion, signed)
        try:
            content = self.file(PLAN, self.champion).read_bytes()
        except Unavailable:
            raise
        except HeadframeError as error:
            return Reign(signed, None, str(error))
        told = read_content(content, self.champion, signed)["task"]
        try:
            task = TaskConfig.model_validate(told, context={"trusted": tuple(Project(self._root).packages)})
        except ValidationError as error:
            return Reign(signed, None, f"task of its plan: {complaint(error)}")
        return Reign(signed, task)

    @cached_property
    def rival(self) -> ChampionPredictions:
        """The champion's answers for the same rows: its own where they are of these, else asked anew.

        Raises:
            Refused: what MLflow keeps of the champion is not what its author signed.
            Unavailable: it may be had in a minute.
        """
        if self.champion is None:
            return ChampionPredictions(None, "there was no champion before", False)
        champion, signed = self.champion, self.reign.signed
        number = champion.number
        seen = signed is None or any(signed.claim.get(name) != self.said(name) for name in ("table", "split"))
        if signed is None or self._unlike is not None:
            return ChampionPredictions(None, self._unlike or self.reign.why, seen)
        found = None if seen else self._kept(champion, signed)
        if found is not None:
            return ChampionPredictions(found, f"predictions that champion version {number} was registered with", seen)
        try:
            folder, _ = self._open(champion)
            answers = self.answers(folder)
        except Unavailable:
            raise
        except HeadframeError as error:
            way_out = f"to begin anew, register under another name with promotion.model={champion.model}-2"
            why = f"champion version {number} cannot answer for these test rows ({error}); {way_out}"
            return ChampionPredictions(None, why, seen)
        return ChampionPredictions(answers, f"champion version {number} was asked anew", seen)

    def _kept(self, champion: Version, signed: Signed) -> pa.Table | None:
        """Give the champion's own predictions in the version's order; None where they are not of just these rows."""
        try:
            path = self.file(PREDICTIONS, champion)
        except Unavailable:
            raise
        except HeadframeError:
            return None  # they are gone; its package may still answer
        if file_digest(path) != signed.claim["predictions"]:
            return None
        own, found = self.predictions, pq.read_table(path, filters=[("split", "=", "test")])
        expected = [name for name in own.column_names if name != CONTENT]
        if set(found.column_names) != set(expected) or found.num_rows != own.num_rows:
            return None
        positions = pc.index_in(own["row_id"].combine_chunks(), value_set=found["row_id"].combine_chunks())
        if positions.null_count:
            return None
        found = found.take(positions).select(expected)
        if len(_strange(found["target"], own["target"])):
            return None  # it was measured against something else; its package answers for the table's targets
        found = found.set_column(found.column_names.index("target"), "target", own["target"])
        return self._beside(found.drop_columns(["row_id", "split"]))

    @cached_property
    def rival_metrics(self) -> dict[str, float]:
        """What the champion's answers for these rows measure to; empty where there are none."""
        found = self.rival.predictions
        return {} if found is None else self.yardstick.measure(found)


@contextmanager
def open_case(
    version: Version,
    champion: Version | None,
    promotion: PromotionConfig,
    *,
    tries: int,
    candidates: int,
    reproduced: str | None,
    uri: str,
    root: Path,
    trust: Trust,
) -> Iterator[Case]:
    """Open a case; what it fetches lives while the context lasts. For the arguments see `Case`."""
    with ExitStack() as stack:
        yield Case(
            version,
            champion,
            promotion,
            tries=tries,
            candidates=candidates,
            reproduced=reproduced,
            uri=uri,
            root=root,
            trust=trust,
            stack=stack,
        )


def _strange(came: pa.ChunkedArray, wanted: pa.ChunkedArray) -> np.ndarray:
    """Give the places at which two columns of targets differ, but for rounding."""
    if came.type != wanted.type or came.null_count or len(came) != len(wanted):
        return np.arange(len(wanted))
    if isinstance(wanted.type, pa.FixedShapeTensorType):
        flat = [cells.whole(each).storage.flatten().to_numpy().reshape(len(each), -1) for each in (came, wanted)]
    elif pa.types.is_floating(wanted.type):
        flat = [each.to_numpy().reshape(-1, 1) for each in (came, wanted)]
    else:
        return np.flatnonzero(pc.not_equal(came, wanted).to_numpy())
    allowed = CLOSE * float(np.abs(flat[1]).max(initial=0.0))
    return np.flatnonzero(~(np.abs(flat[0] - flat[1]) <= allowed).all(axis=1))


def _spell(task: Task) -> str:
    return f"{task.kind} {task.horizon} rows ahead" if task.horizon else task.kind


def write_answers(
    *, model: str, rows: str, places: str, answers: str, horizon: int, targets: Sequence[str], threads: int
) -> None:
    """Open a packaged model and write its predictions table for some rows; files are named, since it may run apart.

    Args:
        model: the folder that holds `MLmodel`.
        rows: Parquet: inputs and targets.
        places: NumPy: places in `rows` of what is predicted, of a window that of its first row.
        answers: the Parquet file to write.
        horizon: how many rows ahead must be predicted; 0 where one row is one example.
        targets: names of the target columns.
        threads: how many the version was trained with, since their number changes the last bits.

    Raises:
        DataError: as `Case.answers`.
    """
    import torch  # noqa: PLC0415 - as the loader

    from headframe.registry.loader import open_package  # noqa: PLC0415 - imports torch

    predictor = open_package(Path(model))
    table, chosen = pq.read_table(rows), np.load(places, allow_pickle=False)
    if predictor.horizon != horizon:
        msg = f"it predicts {predictor.horizon or 'no'} rows ahead, not {horizon or 'none'}"
        raise DataError(msg)
    starts = chosen - predictor.lookback
    if starts.min(initial=0) < 0:
        msg = f"it looks back {predictor.lookback} rows, further than the table goes before the first test row"
        raise DataError(msg)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        scores = (
            predictor.scores(table, starts) if predictor.lookback else predictor.scores(table.take(pa.array(chosen)))
        )
    finally:
        torch.set_num_threads(before)
    encoded = predictor.task.encode(table.select(list(targets)))
    target = encoded[chosen[:, np.newaxis] + np.arange(horizon)] if horizon else encoded[chosen]
    pq.write_table(predictor.task.predictions(scores, target), answers)
