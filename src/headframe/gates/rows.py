"""The test rows of a version: their truth from its table, its predictions for them, and what these measure to."""

import hashlib
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headframe.config.build import build
from headframe.config.plan.data import ROW_ID
from headframe.datasets import hashing
from headframe.datasets.table import Table
from headframe.errors import ConfigurationError, DataError, Refused, some
from headframe.evaluation.intervals import Resampling, block_length
from headframe.evaluation.slices import append_contents, row_positions
from headframe.examples.framing import gather_each
from headframe.examples.prepare import PreparedData
from headframe.exhaustion import bounded_memory
from headframe.gates.copies import learned_copies
from headframe.gates.predict import write_predictions
from headframe.gates.version_data import VersionData
from headframe.prediction.answers import differing_rows
from headframe.registry.compare_signed import require_signed_bytes
from headframe.registry.isolated import call_with_model
from headframe.tasks.base import Task
from headframe.tracking import layout

ROUNDING = 1e-6  # difference of a target that scaling it there and back explains, relative to the largest target
SEED = 17  # of all draws; were it the plan's, a challenger might look for the luckiest


class VersionRows:
    """Table, test rows and predictions of the version that is judged; or its validation rows.

    Args:
        data: its table, which several of these share.
        split: `test` or `validation`; what is said below of test rows is true of these.
    """

    def __init__(self, data: VersionData, split: str = "test") -> None:
        self.records = data.records
        self.split = split
        self._data = data
        self._request = data.records.request
        self._version = data.records.request.version

    @property
    def table(self) -> Table:
        """The version's table; see `VersionData`."""
        return self._data.table

    @property
    def splits(self) -> np.ndarray:
        """For each row of the table `train`, `validation`, `test` or `unused`."""
        return self._data.splits

    @property
    def prepared(self) -> PreparedData:
        """The version's table as training saw it."""
        return self._data.prepared

    @cached_property
    def stored(self) -> pa.Table:
        """The test rows of `predictions.parquet`: `row_id`, `split`, truth and prediction columns of the task.

        Raises:
            Refused: the file is not the one that was signed, or names a row twice.
            DataError: there is no such row.
        """
        file = self.records.file(layout.PREDICTIONS)
        content = file.read_bytes()
        require_signed_bytes(content, "predictions", layout.PREDICTIONS, self._version, self.records.signed)
        with bounded_memory(file):
            rows = pq.read_table(pa.BufferReader(content), filters=[("split", "=", self.split)])
        if not rows.num_rows:
            raise DataError(
                f"the predictions of {self._version.uri} hold no {self.split} rows; check dataset.split and train again"
            )
        counts = pc.value_counts(rows["row_id"].combine_chunks())
        repeated = counts.filter(pc.greater(counts.field("counts"), 1))
        if len(repeated):
            first = repeated[0].as_py()
            raise Refused(
                f"the predictions of {self._version.uri} hold row {first['values']} {first['counts']} times; each "
                f"{self.split} row counts once, so train and register it again"
            )
        return rows

    @cached_property
    def predictions(self) -> pa.Table:
        """The version's predictions for its test rows: as `stored`, with `content` at the end.

        The truth is that of the table. A forecast's windows, and rows that the data set says are cases of their
        own, are no repetitions of each other, so they have no `content`.

        Raises:
            Refused: they were measured against other targets than those of the table.
        """
        rows, truth = self.stored, self._truth()
        for name in truth.column_names:
            if name not in rows.column_names:
                raise Refused(f"the predictions of {self._version.uri} hold no {name!r}; train and register it again")
            differing = differing_rows(truth[name], rows[name], ROUNDING)
            if len(differing):
                first = rows["row_id"][int(differing[0])].as_py()
                raise Refused(
                    f"{len(differing):,} of {rows.num_rows:,} targets in the predictions of {self._version.uri} are "
                    f"not those of its table, first that of row {first}; train and register it again"
                )
        rows = replaced(rows, truth)
        if self.records.task.horizon:
            return rows
        dataset = self.records.plan.dataset
        return append_contents(rows, self.table, dataset.repeated_columns, dataset.group)

    def _truth(self) -> pa.Table:
        """Return the truth of the test rows from the table, as a predictions table has it."""
        task, rows = self.reference_task, self.prepared.rows
        positions = row_positions(self.stored, rows).to_numpy().astype(np.int64)
        targets = task.targets(rows.select(self.prepared.target_columns))
        if task.horizon:
            beyond = positions + task.horizon > rows.num_rows
            if beyond.any():
                first = self.stored["row_id"][int(np.flatnonzero(beyond)[0])].as_py()
                raise Refused(
                    f"the predictions of {self._version.uri} begin a window at row {first}, which ends behind the table"
                )
            positions = positions[:, np.newaxis] + np.arange(task.horizon)
        return task.truth(gather_each(targets, positions))

    @property
    def reference_task(self) -> Task:
        """The task by whose metrics versions are measured, fitted to the training rows of the version's table.

        It is the champion's: otherwise a challenger could choose the primary metric by which it wins. Without a
        champion, and where the champion's is not for this version, it is the version's own.
        """
        return self._reference[0]

    @property
    def reference_reason(self) -> str | None:
        """Why the reference task is not the champion's, though there is one; None where it is, or there is none."""
        return self._reference[1]

    @cached_property
    def _reference(self) -> tuple[Task, str | None]:
        own, champion = self.prepared.task, self._request.champion
        if champion is None:
            return own, None
        name, record = f"champion version {champion.number}", self.records.champion
        if record.task is None:
            return own, f"the metric that {name} is to be compared by is not known ({record.reason})"
        try:
            task: Task = build(record.task)
            if (task.kind, task.horizon) != (own.kind, own.horizon):
                return own, f"{name} is for {_describe(task)}, but this version for {_describe(own)}"
            task.fit(self.prepared.training_rows(self.prepared.target_columns))
        except (ConfigurationError, DataError) as error:
            return own, f"the task of {name} does not fit this version's data ({error})"
        return task, None

    @property
    def count(self) -> int:
        """How many test rows there are; of a forecast, windows."""
        return int(self.predictions.num_rows)

    @cached_property
    def digest(self) -> str:
        """The sha256 of the test rows' names and truth in their order."""
        state = hashlib.sha256()
        hashing.update_digest(state, self.predictions.select(["row_id", *self.reference_task.truth_columns]))
        return state.hexdigest()

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The metrics of the version's predictions; computed here, not believed."""
        return self.reference_task.measure(self.predictions)

    @property
    def value(self) -> float:
        """The primary metric.

        Raises:
            DataError: the test rows do not define it.
        """
        metric = self.reference_task.primary_metric
        if metric not in self.metrics:
            raise DataError(
                f"the {self.count:,} {self.split} rows of {self._version.uri} define no {metric}; choose another "
                "task.primary_metric or split"
            )
        return self.metrics[metric]

    def resampling(self, resamples: int, rows: int | None = None) -> Resampling:
        """Return how rows are drawn: singly, or where windows overlap, in blocks.

        Args:
            resamples: how many.
            rows: of a slice of the test rows; all unless given.
        """
        horizon = self.records.task.horizon
        block = block_length(horizon, rows or self.count) if horizon else 1
        return Resampling(confidence=0.95, resamples=resamples, seed=SEED, block=block)

    def raw(self, columns: Sequence[str]) -> pa.Table:
        """Return raw columns of the test rows in their order; of a window those of the first row that it predicts."""
        rows = self.table.read([ROW_ID, *columns])
        return rows.take(row_positions(self.predictions, rows)).select(list(columns))

    @cached_property
    def positions(self) -> np.ndarray:
        """Where in `prepared.rows` the test examples are, int64; of a window, the first row that it predicts."""
        return row_positions(self.predictions, self.prepared.rows).to_numpy().astype(np.int64)

    def predict(self, model: Path) -> pa.Table:
        """Return the predictions of a packaged model for the version's test rows.

        A model that brings code of its own predicts in an isolated process.

        Args:
            model: the folder that holds `MLmodel`; it may look back otherwise.

        Raises:
            DataError: it takes other columns, knows other classes or needs rows that are not there, or its files were
                changed.
            HeadframeError: code that it brings fails.
        """
        with tempfile.TemporaryDirectory() as scratch:
            files = {name: str(Path(scratch) / name) for name in ("rows", "positions", "predictions")}
            pq.write_table(self.prepared.rows, files["rows"], compression="none")
            with Path(files["positions"]).open("wb") as stream:
                np.save(stream, self.positions)
            call_with_model(
                write_predictions,
                model,
                **files,
                horizon=self.records.task.horizon,
                threads=self.records.plan.trainer.threads,
            )
            found = pq.read_table(files["predictions"])
        expected = self.records.task.prediction_schema.names
        if set(found.column_names) != set(expected):
            raise DataError(f"it predicts {some(found.column_names)}, not {some(expected)}")
        return replaced(self.predictions, found)

    def learned_copies(self, model: Path) -> dict[str, list[int]]:
        """Return how many copies of test rows each part of a packaged model has learned from; see `copies`.

        A model that brings code of its own encodes in an isolated process.
        """
        with tempfile.TemporaryDirectory() as scratch:
            files = {name: str(Path(scratch) / name) for name in ("rows", "splits")}
            pq.write_table(self.prepared.rows, files["rows"], compression="none")
            with Path(files["splits"]).open("wb") as stream:
                np.save(stream, self.prepared.splits)
            found: dict[str, list[int]] = call_with_model(learned_copies, model, **files)
            return found


def replaced(rows: pa.Table, columns: pa.Table) -> pa.Table:
    """Return a predictions table with other values in some of its columns."""
    return pa.table({name: (columns if name in columns.column_names else rows)[name] for name in rows.column_names})


def _describe(task: Task) -> str:
    return f"{task.kind} {task.horizon} rows ahead" if task.horizon else task.kind
