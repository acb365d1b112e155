"""From a registered version to a decision about it: compared with the champion, and made champion if it may be."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from headframe.config.plan import Plan
from headframe.config.project import Project
from headframe.errors import DataError, HeadframeError, Unavailable
from headframe.promotion.rule import NotWorse, Verdict
from headframe.records import Decision, TrainedPlan
from headframe.signing.trust import Trust
from headframe.tracking.apart import ask
from headframe.tracking.registry import (
    Version,
    champion,
    champion_number,
    is_intact,
    make_champion,
    model_files,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from headframe.training.examples import Material


def decide(
    plan: Plan,
    result: TrainedPlan,
    uri: str,
    place: str,  # noqa: ARG001 - part of the stage's key: another registry is another decision
    root: Path,
) -> Decision:
    """Make a version champion if it reaches the minimum and is not worse than the champion on the same test rows.

    Args:
        plan: `promotion` says when.
        result: the version, and what it was measured on.
        uri: MLflow's address.
        place: the same as it reads on any machine.
        root: the project's folder.

    Returns:
        The decision. That a version is refused is no error here; whoever runs the flow says so.

    Raises:
        HeadframeError: MLflow cannot be reached or written, or the result's own table was changed.
    """
    version = Version(result.registered.model, result.registered.version, result.registered.run_id)
    locks = Project(root).state / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"promote-{version.model}.lock"):
        present = champion(version.model, uri)
        who = f"{version.model} version {version.number}"
        alone = _rule(result).judge(_value(result), None, result.evaluated.rows)
        if present is not None and present.number == version.number:
            reason = f"{who} is the champion already"
            if not alone.passed:
                reason += f" and stays it, since a minimum unseats no champion, but {alone.because}"
            return _decision(version, version.number, alone.passed, reason)
        verdict = alone if present is None or not alone.passed else _compared(plan, result, present, uri, root)
        if not verdict.passed:
            number = None if present is None else present.number
            stays = "there is still no champion" if number is None else f"version {number} stays champion"
            reason = f"{who} is refused: {verdict.because}; {stays}"
            return _decision(version, number, False, reason, verdict.comparable)
        reason = f"{who} becomes champion: {verdict.because}"
        make_champion(version, reason, uri)
        return _decision(version, version.number, True, reason)


def _decision(version: Version, champion: int | None, promoted: bool, reason: str, comparable: bool = True) -> Decision:
    return Decision(
        model=version.model,
        version=version.number,
        champion=champion,
        promoted=promoted,
        comparable=comparable,
        reason=reason,
    )


def still_champion(decision: Decision, uri: str, trust: Trust) -> bool:
    """Say whether a kept decision still holds: the champion that it left is champion, and unchanged where it decided.

    Where that is not known the decision is made anew, as where the champion could not be asked: it may be mended.
    """
    if not decision.comparable or champion_number(decision.model, uri) != decision.champion:
        return False
    if decision.champion is None or decision.champion == decision.version:
        return True
    return is_intact(decision.model, decision.champion, uri, trust) is True


def _rule(result: TrainedPlan) -> NotWorse:
    evaluated = result.evaluated
    return NotWorse(evaluated.lead, evaluated.higher_is_better, None, 0.0)


def _value(result: TrainedPlan) -> float:
    return result.evaluated.metrics[result.evaluated.lead].value


def _compared(plan: Plan, result: TrainedPlan, present: Version, uri: str, root: Path) -> Verdict:
    tested = shared_rows(plan, result, root)
    try:
        with model_files(present, uri, Trust.of(plan.team)) as model:
            other = champion_metric(tested, result, model)
    except Unavailable:
        raise
    except HeadframeError as error:
        way_out = f"to begin anew, register under another name with promotion.model={present.model}-2"
        because = f"champion version {present.number} cannot answer for these test rows ({error}); {way_out}"
        return Verdict(False, because, comparable=False)
    newer = result.registered.version > present.number
    verdict = _rule(result).judge(_value(result), other, result.evaluated.rows, newer=newer)
    if present.tags.get("headframe.split") == result.data.split.digest:
        return verdict
    return replace(verdict, because=f"{verdict.because}, some of which it may have been trained on: its split differs")


@dataclass(frozen=True)
class SharedRows:
    """The test rows of a result, for another model to answer for.

    Attributes:
        material: the table, split, and the result's own task.
        own: the result's predictions: `row_id`, `target`, and what another model's answers must consist of.
        places: of the test examples in `material.rows`, int64; of a window, that of the first row it predicts.
        targets: names of the target columns.
    """

    material: Material
    own: pa.Table
    places: np.ndarray
    targets: tuple[str, ...]


def shared_rows(plan: Plan, result: TrainedPlan, root: Path) -> SharedRows:
    """Find the test rows of a result in its table.

    Raises:
        DataError: the table has changed, or no longer holds them.
    """
    import numpy as np  # noqa: PLC0415 - only a comparison needs these
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from headframe.datasets.table import open_record  # noqa: PLC0415
    from headframe.training.examples import prepare, target_columns  # noqa: PLC0415
    from headframe.training.result import PREDICTIONS  # noqa: PLC0415

    material = prepare(plan.dataset, plan.task, open_record(result.data.split.table, root))
    own = pq.read_table(root / result.trained.folder / PREDICTIONS, filters=[("split", "=", "test")])
    ids = material.rows.column("row_id").combine_chunks()
    places = pc.index_in(own.column("row_id").combine_chunks(), value_set=ids)
    if places.null_count:
        msg = f"{places.null_count} test rows of {result.trained.folder} are no longer in the table; train again"
        raise DataError(msg)
    return SharedRows(material, own, places.to_numpy().astype(np.int64), target_columns(plan.dataset))


def champion_metric(tested: SharedRows, result: TrainedPlan, model: Path) -> float:
    """Measure another model on exactly the test rows of a result.

    Args:
        tested: the rows.
        result: names the metric.
        model: the other model in MLflow's format; it may look back otherwise.

    Returns:
        The result's leading metric, on the scale of the result's own task.

    Raises:
        DataError: the other model takes other columns, knows other classes, needs rows that are not there, or its
            files were changed.
        HeadframeError: code that it brings fails.
    """
    import numpy as np  # noqa: PLC0415 - see `shared_rows`
    import pyarrow.parquet as pq  # noqa: PLC0415

    task = tested.material.task
    with tempfile.TemporaryDirectory() as scratch:
        files = {name: str(Path(scratch) / name) for name in ("rows", "places", "answers")}
        pq.write_table(tested.material.rows, files["rows"], compression="none")
        with Path(files["places"]).open("wb") as stream:
            np.save(stream, tested.places)
        ask(write_answers, model, **files, horizon=task.horizon, targets=tested.targets)
        answers = pq.read_table(files["answers"])
    expected = [name for name in tested.own.column_names if name not in ("row_id", "split")]
    if set(answers.column_names) != set(expected):
        msg = f"it answers with {', '.join(answers.column_names)}, not with {', '.join(expected)}"
        raise DataError(msg)
    # Its own copy of the targets went through its own scale and back; the result's copy did not.
    answers = answers.set_column(answers.column_names.index("target"), "target", tested.own.column("target"))
    return task.measure(answers)[result.evaluated.lead]


def write_answers(*, model: str, rows: str, places: str, answers: str, horizon: int, targets: Sequence[str]) -> None:
    """Open a packaged model and write its predictions table for some rows; files are named, since it may run apart.

    Args:
        model: the folder that holds `MLmodel`.
        rows: Parquet: inputs and targets.
        places: NumPy: places in `rows` of what is predicted, of a window that of its first row.
        answers: the Parquet file to write.
        horizon: how many rows ahead must be predicted; 0 where one row is one example.
        targets: names of the target columns.

    Raises:
        DataError: as `champion_metric`.
    """
    import numpy as np  # noqa: PLC0415 - see `shared_rows`
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from headframe.tracking.loader import open_package  # noqa: PLC0415

    predictor = open_package(Path(model))
    table, chosen = pq.read_table(rows), np.load(places, allow_pickle=False)
    if predictor.horizon != horizon:
        msg = f"it predicts {predictor.horizon or 'no'} rows ahead, not {horizon or 'none'}"
        raise DataError(msg)
    starts = chosen - predictor.lookback
    if starts.min(initial=0) < 0:
        msg = f"it looks back {predictor.lookback} rows, further than the table goes before the first test row"
        raise DataError(msg)
    scores = predictor.scores(table, starts) if predictor.lookback else predictor.scores(table.take(pa.array(chosen)))
    encoded = predictor.task.encode(table.select(list(targets)))
    target = encoded[chosen[:, np.newaxis] + np.arange(horizon)] if horizon else encoded[chosen]
    pq.write_table(predictor.task.predictions(scores, target), answers)
