"""Predictions for a whole file or data set, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.digests import atomic_file, file_digest
from headframe.errors import ConfigurationError, DataError, HeadframeError, RowError
from headframe.records import Predicted
from headframe.serving.resolve_champion import open_served_version

if TYPE_CHECKING:
    import pyarrow as pa

    from headframe.prediction.predictor import Predictor
    from headframe.serving.input_files import Rows

BATCHES = 8
"""Forward passes for which rows are read at once. A whole number of them, so that every row stands in the same
forward pass as if all rows had been predicted at once, which makes predictions equal to the last bit."""


def predict_to_file(model: str, source: str, target: Path, *, plan: Plan, root: Path, uri: str) -> Predicted:
    """Predict for each row of `source` and write a Parquet file.

    Args:
        model: `NAME`, `NAME@ALIAS` or `NAME/VERSION`; `NAME` means its champion.
        source: a Parquet or JSON-lines file, text with a header or as in the data set's own files, or the name of a
            data set.
        target: the file to write: `row_id` and what `Predictor.predict` returns. For a forecast the rows are history
            and one row a step comes out, with the last row's id in `after`. A variable of that name, or called `step`,
            keeps it, and ours gets a `_`. The file appears when it is complete.
        plan: names whose signatures count, and what makes a champion.
        root: the project's folder.
        uri: MLflow's address.

    Raises:
        HeadframeError: as `open_served_version`; or `target` cannot be written.
        ConfigurationError: there is no such source, `target` is no place for a Parquet file, or more threads are asked
            for than there are cores.
        DataError: the rows are not what the model takes.
    """
    from headframe.serving.limits import prepare_threads  # noqa: PLC0415 - imports pyarrow

    require_place(target, source, root)
    prepare_threads(plan.serving.threads)
    version, predictor = open_served_version(model, plan, uri, root)
    from headframe.prediction.threads import limited_threads  # noqa: PLC0415 - imports torch

    with limited_threads(plan.serving.threads):  # as requests, so that a file gets the same bits
        rows = write_predicted_rows(predictor, source, target, root)
    return Predicted(
        model=version.model, version=version.number, target=str(target), rows=rows, digest=file_digest(target)
    )


def write_predicted_rows(predictor: Predictor, source: str, target: Path, root: Path) -> int:
    """Predict for each row of `source` with an open model, as `predict_to_file`; return how many rows were written."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - the command line imports this module

    from headframe.serving.input_files import open_rows  # noqa: PLC0415 - the command line imports this module

    rows = open_rows(source, root, predictor.schema, predictor.reader, BATCHES * predictor.batch_size)
    predictions = (_row_by_row if predictor.framing.alone else _together)(predictor, rows, source)
    first = next(predictions)  # errors of the source are raised before a file is created
    written = 0
    with ExitStack() as stack:
        with _readable_write_errors(target):
            fresh = stack.enter_context(atomic_file(target))
            writer = stack.enter_context(pq.ParquetWriter(fresh, first.schema, compression="zstd"))
        for table in chain([first], predictions):
            with _readable_write_errors(target):
                writer.write_table(table)
            written += table.num_rows
    return written


@contextmanager
def _readable_write_errors(target: Path) -> Iterator[None]:
    """Raise an error of the file system as one sentence about the file that is written."""
    try:
        yield
    except OSError as error:
        raise HeadframeError(f"{target} cannot be written: {error.strerror or error}; name a file elsewhere") from error


def _row_by_row(predictor: Predictor, rows: Rows, source: str) -> Rows:
    start = 0
    for table in rows:
        try:
            predicted = predictor.predict(table.remove_column(0))
        except RowError as error:  # which counts rows from the beginning of this table
            raise DataError(f"{source}: {error.behind(start)}") from error
        except DataError as error:
            where = f", in the part that begins with row {start + 1}" if start else ""
            raise DataError(f"{source}{where}: {error}") from error
        yield predicted.add_column(0, "row_id", table.column(0))
        start += table.num_rows


def _together(predictor: Predictor, rows: Rows, source: str) -> Rows:
    """Predict from rows that examples share: for each of them, or what follows the last one."""
    import pyarrow as pa  # noqa: PLC0415 - the command line imports this module

    from headframe.features.columns import free_name  # noqa: PLC0415 - the command line imports this module

    history: pa.Table | None = None
    start = 0
    number = free_name("number", predictor.schema.names)
    for table in rows:
        try:
            predictor.checked(table)  # those that are too old for a window as well
        except RowError as error:
            raise DataError(f"{source}: {error.behind(start)}") from error
        table = table.append_column(number, pa.array(range(start + 1, start + 1 + table.num_rows)))  # noqa: PLW2901
        start += table.num_rows
        longer = table if history is None else pa.concat_tables([history, table])
        history = predictor.framing.kept(longer)
    if history is None:
        return
    try:
        predicted = predictor.predict(history.select(predictor.schema.names), history.column(number).to_numpy())
    except DataError as error:
        raise DataError(f"{source}: {error}") from error
    if predictor.framing.ahead:
        last = history.column(0)[-1].as_py()
        after = pa.array([last] * predicted.num_rows, pa.string())
        yield predicted.add_column(0, free_name("after", predicted.column_names), after)
    else:
        yield predicted.add_column(0, "row_id", history.column(0))


def require_place(target: Path, source: str, root: Path) -> None:
    """Check, before a model is opened, that a file of predictions can be written; see `predict_to_file`."""
    folder = target.resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise HeadframeError(f"{target} cannot be written: {folder} is no folder that this user may write to")
    if target.suffix.lower() not in (".parquet", ".pq"):
        msg = f"{target} ends in {target.suffix or 'nothing'}, but Parquet is written; name a .parquet file"
        raise ConfigurationError(msg)
    special = target.exists() and not target.is_file()
    if special or target.resolve() == Path(source).resolve():
        what = "no file but something else" if special else "the source itself"
        raise ConfigurationError(f"{target} is {what}; name another file to write")
    project = Project(root)
    if any(target.resolve().is_relative_to(own.resolve()) for own in (project.data, project.state)):
        raise HeadframeError(f"{target} lies where the project stores its tables and models; name a file elsewhere")
