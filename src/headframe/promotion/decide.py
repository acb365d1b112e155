"""From a registered version to a decision about it: compared with the champion, and made champion if it may be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from headframe.config.plan import Plan
from headframe.config.project import Project
from headframe.errors import DataError
from headframe.promotion.rule import NotWorse, Verdict
from headframe.records import Decision, TrainedPlan
from headframe.tracking.registry import Version, champion, champion_number, make_champion, open_version

if TYPE_CHECKING:
    from headframe.prediction.predictor import Predictor


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
        HeadframeError: MLflow cannot be reached or written.
        DataError: the champion's files were changed.
    """
    version = Version(result.registered.model, result.registered.version, result.registered.run_id)
    locks = Project(root).state / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"promote-{version.model}.lock"):
        present = champion(version.model, uri)
        who = f"{version.model} version {version.number}"
        if present is not None and present.number == version.number:
            return _decision(version, version.number, f"{who} is the champion already")
        verdict = _verdict(plan, result, present, uri, root)
        if not verdict.passed:
            number = None if present is None else present.number
            stays = "there is still no champion" if number is None else f"version {number} stays champion"
            return _decision(version, number, f"{who} is refused: {verdict.because}; {stays}")
        reason = f"{who} becomes champion: {verdict.because}"
        make_champion(version, reason, uri)
        return _decision(version, version.number, reason)


def _decision(version: Version, number: int | None, reason: str) -> Decision:
    promoted = number == version.number
    return Decision(model=version.model, version=version.number, champion=number, promoted=promoted, reason=reason)


def still_champion(decision: Decision, uri: str) -> bool:
    """Say whether the champion is still the one that a kept decision left."""
    return champion_number(decision.model, uri) == decision.champion


def _verdict(plan: Plan, result: TrainedPlan, present: Version | None, uri: str, root: Path) -> Verdict:
    evaluated = result.evaluated
    rule = NotWorse(evaluated.lead, evaluated.higher_is_better, plan.promotion.minimum, plan.promotion.tolerance)
    value = evaluated.metrics[evaluated.lead].value
    alone = rule.judge(value, None, evaluated.rows)
    if present is None or not alone.passed:
        return alone
    predictor = open_version(present, uri)
    try:
        other = champion_metric(plan, result, predictor, root)
    except DataError as error:
        way_out = f"to begin anew, register under another name with promotion.model={present.model}-2"
        return Verdict(
            False, f"champion version {present.number} cannot answer for these test rows ({error}); {way_out}"
        )
    verdict = rule.judge(value, other, evaluated.rows, newer=result.registered.version > present.number)
    if present.tags.get("headframe.split") == result.data.split.digest:
        return verdict
    return replace(verdict, because=f"{verdict.because}, some of which it may have been trained on: its split differs")


def champion_metric(plan: Plan, result: TrainedPlan, predictor: Predictor, root: Path) -> float:
    """Measure another model on exactly the test rows of a result.

    Args:
        plan: of the result.
        result: its predictions name the rows and hold the targets.
        predictor: the other model; it may look back otherwise.
        root: the project's folder.

    Returns:
        The result's leading metric, on the scale of the result's own task.

    Raises:
        DataError: the other model takes other columns, knows other classes, or needs rows that are not there.
    """
    import numpy as np  # noqa: PLC0415 - only a comparison needs these
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from headframe.datasets.table import open_record  # noqa: PLC0415
    from headframe.training.examples import prepare  # noqa: PLC0415
    from headframe.training.outcome import scores_of  # noqa: PLC0415
    from headframe.training.result import PREDICTIONS  # noqa: PLC0415

    material = prepare(plan.dataset, plan.task, open_record(result.data.split.table, root))
    own = pq.read_table(root / result.trained.folder / PREDICTIONS, filters=[("split", "=", "test")])
    if predictor.horizon != material.task.horizon:
        msg = f"it predicts {predictor.horizon or 'no'} rows ahead, not {material.task.horizon or 'none'}"
        raise DataError(msg)
    ids = material.rows.column("row_id").combine_chunks()
    places = pc.index_in(own.column("row_id").combine_chunks(), value_set=ids)
    if places.null_count:
        msg = f"{places.null_count} test rows are no longer in the table; train again"
        raise DataError(msg)
    numbers = places.to_numpy().astype(np.int64) - predictor.lookback
    if numbers.min(initial=0) < 0:
        msg = f"it looks back {predictor.lookback} rows, further than the table goes before the first test row"
        raise DataError(msg)
    scores = scores_of(predictor, material, numbers)
    targets = predictor.task.encode(material.rows.select(_target_columns(plan)))
    chosen = numbers + predictor.lookback
    horizon = predictor.horizon
    target = targets[chosen[:, np.newaxis] + np.arange(horizon)] if horizon else targets[chosen]
    answers: pa.Table = predictor.task.predictions(scores, target)
    expected = [name for name in own.column_names if name not in ("row_id", "split")]
    if set(answers.column_names) != set(expected):
        msg = f"it answers with {', '.join(answers.column_names)}, not with {', '.join(expected)}"
        raise DataError(msg)
    # Its own copy of the targets went through its own scale and back; the result's copy did not.
    answers = answers.set_column(answers.column_names.index("target"), "target", own.column("target"))
    return material.task.measure(answers)[result.evaluated.lead]


def _target_columns(plan: Plan) -> list[str]:
    from headframe.training.examples import target_columns  # noqa: PLC0415 - see `champion_metric`

    return list(target_columns(plan.dataset))
