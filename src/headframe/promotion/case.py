"""Everything that a gate may look at, found through the registry alone: nothing of it depends on who asks, or where.

What is costly is done when the first gate asks for it, and once.
"""

from __future__ import annotations

import hashlib
import json
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
from headframe.config.plan import Plan, Promotion
from headframe.config.project import Project
from headframe.datasets import cells
from headframe.datasets.splits import assign
from headframe.datasets.table import Table
from headframe.errors import DataError, HeadframeError, Refused, Unavailable
from headframe.evaluation.intervals import CONTENT, Resampling, block_length
from headframe.evaluation.slices import find
from headframe.record import digest, file_digest, folder_digest
from headframe.records import Provenance
from headframe.signing.trust import Trust
from headframe.tasks.base import Task
from headframe.tracking.address import open_client, speaking
from headframe.tracking.apart import ask
from headframe.tracking.registry import BUNDLE_TAG, Version, bundle_in, model_files
from headframe.tracking.signature import CODE
from headframe.training.examples import Material, prepare, target_columns
from headframe.validation.checks import REPORT, Report

TABLE_TAG, SPLIT_TAG, PLAN_TAG, PREDICTIONS_TAG = (
    "headframe.table",
    "headframe.split",
    "headframe.plan",
    "headframe.predictions",
)
PREDICTIONS = "training/predictions.parquet"
SEED = 17  # of all draws; were it the plan's, a challenger might look for the luckiest


@dataclass(frozen=True)
class Rival:
    """The champion's answers for the version's own test rows.

    Attributes:
        predictions: in the order of the version's; None where it cannot answer for them.
        origin: where they come from; where there are none, why.
        seen: it was trained on another table or split, so perhaps on some of these rows.
    """

    predictions: pa.Table | None
    origin: str
    seen: bool


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
        promotion: Promotion,
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

    def tag(self, name: str, version: Version | None = None) -> str:
        """Give a tag of the version, or of another.

        Raises:
            DataError: it has none, so that it was not registered by Headframe.
        """
        version = version or self.version
        if name not in version.tags:
            msg = f"{version.uri} has no tag {name}, so Headframe did not register it; register it with: headframe run"
            raise DataError(msg)
        return version.tags[name]

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
        client = open_client(self._uri)
        from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - `open_client` paid for it
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        with speaking(self._uri):
            place = client.get_run(version.run_id).info.artifact_uri
        local = urlsplit(place).scheme in ("", "file")  # such files are read where they lie
        folder = None if local else str(self.scratch / "files" / str(version.number))
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
        try:
            found = download_artifacts(artifact_uri=f"{place}/{name}", dst_path=folder, tracking_uri=self._uri)
        except (OSError, MlflowException) as error:
            msg = (
                f"{name} of {version.uri} cannot be fetched from its run ({error}); the command that trained it writes "
                "it anew"
            )
            raise HeadframeError(msg) from error
        return Path(found)

    @cached_property
    def plan(self) -> Plan:
        """What was run to make the version."""
        content = self.file("plan.json").read_bytes()
        own = (f"{folder.name}." for folder in (self.model / CODE).glob("*") if folder.is_dir())
        trusted = (*Project(self._root).packages, *own)
        try:
            raw = json.loads(content)
            plan = Plan.model_validate(raw, context={"trusted": trusted})
        except (ValueError, ValidationError) as error:
            reason = str(error).splitlines()[0]
            msg = f"plan.json of {self.version.uri} is no plan ({reason}); train and register it again"
            raise DataError(msg) from error
        if digest(raw) != self.tag(PLAN_TAG):
            msg = f"plan.json of {self.version.uri} was changed since it was registered; train and register it again"
            raise Refused(msg)
        return plan

    @cached_property
    def provenance(self) -> Provenance:
        """What the version rests on."""
        try:
            found = Provenance.model_validate_json(self.file("provenance.json").read_bytes())
        except ValidationError as error:
            reason = str(error).splitlines()[0]
            msg = f"provenance.json of {self.version.uri} cannot be read ({reason}); register it again"
            raise DataError(msg) from error
        said = {
            TABLE_TAG: found.data.split.table.digest,
            SPLIT_TAG: found.data.split.digest,
            BUNDLE_TAG: found.trained.bundle,
            PREDICTIONS_TAG: found.trained.predictions,
        }
        for name, came in said.items():
            if came != self.tag(name):
                msg = (
                    f"provenance.json of {self.version.uri} names {came[:12]}, but the version's tag {name} "
                    f"{self.tag(name)[:12]}; one of both was changed, so register it again"
                )
                raise Refused(msg)
        return found

    @cached_property
    def validation(self) -> Report:
        """The report of how the version's table kept its contract.

        Raises:
            HeadframeError: the run has none.
            DataError: it is none.
        """
        name = f"data/{Path(self.provenance.data.validated.report).name or REPORT}"
        try:
            return Report.model_validate_json(self.file(name).read_bytes())
        except ValidationError as error:
            msg = f"{name} of {self.version.uri} is no validation report ({str(error).splitlines()[0]})"
            raise DataError(msg) from error

    @cached_property
    def model(self) -> Path:
        """The version's package: the folder that holds `MLmodel`.

        Raises:
            Refused: its files are not those that were registered.
        """
        folder = self._stack.enter_context(model_files(self.version, self._uri, self._trust))
        self._require_bundle(self.version, folder)
        return folder

    def _require_bundle(self, version: Version, folder: Path) -> None:
        came, promised = folder_digest(bundle_in(folder)), self.tag(BUNDLE_TAG, version)
        if came != promised:
            msg = (
                f"the model of {version.uri} has sha256 {came[:12]}, but {promised[:12]} was registered; it was "
                "changed since, so register it again"
            )
            raise Refused(msg)

    @cached_property
    def task(self) -> Task:
        """The task as the version learned it."""
        task: Task = build(self.plan.task)
        manifest = json.loads((bundle_in(self.model) / "bundle.json").read_bytes())
        task.restore(manifest["task"]["state"])
        return task

    @cached_property
    def table(self) -> Table:
        """The version's table: that in `data/` if it is the one, else restored by its digest into a scratch folder.

        Raises:
            HeadframeError: neither has it.
        """
        wanted, name = self.tag(TABLE_TAG), self.plan.dataset.name
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
                f"cannot be restored ({error})"
            )
            raise DataError(msg) from error

    @cached_property
    def parts(self) -> np.ndarray:
        """For each row of the table `train`, `validation`, `test` or `unused`."""
        return assign(self.plan.dataset, self.table)

    @cached_property
    def predictions(self) -> pa.Table:
        """The version's answers for its test rows: `row_id`, `target`, `prediction`, scores; `content` at the end.

        A forecast's windows are no repetitions of each other, so they have no `content`.
        """
        path = self.file(PREDICTIONS)
        if file_digest(path) != self.tag(PREDICTIONS_TAG):
            msg = (
                f"the predictions of {self.version.uri} were changed since it was registered; train and register it "
                "again"
            )
            raise Refused(msg)
        rows = pq.read_table(path, filters=[("split", "=", "test")])
        if not rows.num_rows:
            msg = f"the predictions of {self.version.uri} hold no test rows; check dataset.split and train again"
            raise DataError(msg)
        return self._with_content(rows)

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
        return self.task.measure(self.predictions)

    @property
    def value(self) -> float:
        """The leading metric."""
        return self.metrics[self.task.lead]

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
    def material(self) -> Material:
        """The version's table as training saw it."""
        return prepare(self.plan.dataset, self.plan.task, self.table)

    @cached_property
    def places(self) -> np.ndarray:
        """Where in `material.rows` the test examples are, int64; of a window, the first row that it predicts."""
        return find(self.predictions, self.material.rows).to_numpy().astype(np.int64)

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
            pq.write_table(self.material.rows, files["rows"], compression="none")
            with Path(files["places"]).open("wb") as stream:
                np.save(stream, self.places)
            ask(
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
    def rival(self) -> Rival:
        """The champion's answers for the same rows: its own where they are of these, else asked anew.

        Raises:
            Unavailable: it may be had in a minute.
        """
        if self.champion is None:
            return Rival(None, "there was no champion before", False)
        champion = self.champion
        number = champion.number
        seen = any(champion.tags.get(name) != self.tag(name) for name in (TABLE_TAG, SPLIT_TAG))
        found = None if seen else self._kept(champion)
        if found is not None:
            return Rival(found, f"predictions that champion version {number} was registered with", seen)
        try:
            with model_files(champion, self._uri, self._trust) as folder:
                self._require_bundle(champion, folder)
                answers = self.answers(folder)
        except Unavailable:
            raise
        except HeadframeError as error:
            way_out = f"to begin anew, register under another name with promotion.model={champion.model}-2"
            why = f"champion version {number} cannot answer for these test rows ({error}); {way_out}"
            return Rival(None, why, seen)
        return Rival(answers, f"champion version {number} was asked anew", seen)

    def _kept(self, champion: Version) -> pa.Table | None:
        """Give the champion's own predictions in the version's order; None where they are not of just these rows."""
        if PREDICTIONS_TAG not in champion.tags:
            return None
        try:
            path = self.file(PREDICTIONS, champion)
        except Unavailable:
            raise
        except HeadframeError:
            return None  # they are gone; its package may still answer
        if file_digest(path) != champion.tags[PREDICTIONS_TAG]:
            return None
        own, found = self.predictions, pq.read_table(path, filters=[("split", "=", "test")])
        expected = [name for name in own.column_names if name != CONTENT]
        if set(found.column_names) != set(expected) or found.num_rows != own.num_rows:
            return None
        positions = pc.index_in(own["row_id"].combine_chunks(), value_set=found["row_id"].combine_chunks())
        if positions.null_count:
            return None
        found = found.take(positions).select(expected)
        if not cells.whole(found["target"]).equals(cells.whole(own["target"])):
            return None
        return self._beside(found.drop_columns(["row_id", "split"]))

    @cached_property
    def rival_metrics(self) -> dict[str, float]:
        """What the champion's answers for these rows measure to; empty where there are none."""
        found = self.rival.predictions
        return {} if found is None else self.task.measure(found)

    @property
    def is_champion(self) -> bool:
        """Whether the version would be compared with itself."""
        return self.champion is not None and self.champion.number == self.version.number


@contextmanager
def open_case(
    version: Version,
    champion: Version | None,
    promotion: Promotion,
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

    from headframe.tracking.loader import open_package  # noqa: PLC0415 - imports torch

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
