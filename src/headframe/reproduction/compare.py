"""Comparison of a rebuilt version with the recorded one: stages, metrics, modules and environment."""

import platform
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from headframe.digests import digest, file_digest, folder_digest
from headframe.errors import HeadframeError
from headframe.prediction.layout import BUNDLE, PREDICTIONS
from headframe.reproduction.recorded_run import RecordedRun
from headframe.reproduction.report import (
    STAGES,
    Difference,
    MetricComparison,
    RebuiltVersion,
    Reproduction,
    StageComparison,
    Verdict,
    tolerance,
    verdict_of,
)
from headframe.tracking import lineage, tags

HARDWARE = ("hardware.cpu", "hardware.gpu", "hardware.system")
"""What may round differently; cores and memory change no bits."""

ABSENT = "absent"
MOST_NAMES = 3  # that a sentence lists


def compare(recorded: RecordedRun, rebuilt: RebuiltVersion, root: Path) -> Reproduction:
    """Compare every stage that the rebuild reached.

    Args:
        recorded: what was registered.
        rebuilt: as far as the rebuild went.
        root: the checkout's project, in which the rebuilt model lies.
    """
    version, provenance, then = recorded.version, recorded.provenance, recorded.lineage
    expected = {
        "plan": version.tags[tags.PLAN],
        "code": _code_digest(then.commit, str(then.diff), then.modules),
        "data": provenance.data.split.table.digest,
        "split": provenance.data.split.digest,
        "features": digest(then.features),
        "weights": provenance.trained.bundle,
        "predictions": provenance.trained.predictions,
        "metrics": provenance.evaluated.digest,
    }
    reproduced = {
        "plan": recorded.fingerprint,
        "code": _code_digest(then.commit, recorded.diff_digest, rebuilt.modules),
        "data": rebuilt.table or digest(rebuilt.reason),
        "split": rebuilt.split,
        "features": digest(rebuilt.features),
    }
    metrics: dict[str, MetricComparison] = {}
    if rebuilt.trained is None or rebuilt.evaluated is None:
        if not rebuilt.stopped:
            raise HeadframeError("the program ended without a model; this is a fault of Headframe itself")
    else:
        folder, measured = root / rebuilt.trained.folder, rebuilt.evaluated.metrics
        # Computed here and not believed: the files themselves are compared.
        reproduced["weights"] = folder_digest(folder / BUNDLE)
        reproduced["predictions"] = file_digest(folder / PREDICTIONS)
        reproduced["metrics"] = rebuilt.evaluated.digest
        metrics = {
            name: MetricComparison(recorded=was.value, reproduced=measured[name].value, tolerance=tolerance(was))
            for name, was in provenance.evaluated.metrics.items()
            if name in measured
        }
    reached = STAGES[: STAGES.index(rebuilt.stopped) + 1] if rebuilt.stopped else STAGES
    modules, environment = [], []
    if "data" in reached:
        modules = _changes(then.modules, rebuilt.modules, {*then.modules, *rebuilt.modules})
        environment = _environment_changes(recorded, rebuilt)
    encoders = [name for name, now in rebuilt.features.items() if then.features.get(name) != now]
    reasons = {
        "code": _listed("module" if len(modules) == 1 else "modules", [each.name for each in modules]),
        "features": _listed("encoder of", [name or "the model" for name in encoders]),
    }
    if rebuilt.stopped:
        reasons[rebuilt.stopped] = rebuilt.reason
    stages = tuple(
        StageComparison(
            stage=name,
            recorded=was,
            reproduced=reproduced[name] if name in reached else None,
            reason=reasons.get(name, "") if name in reached and reproduced[name] != was else "",
        )
        for name, was in expected.items()
    )
    first = next((each for each in stages if each.equal is False), None)
    verdict = verdict_of(stages, metrics if metrics.keys() == provenance.evaluated.metrics.keys() else {})
    return Reproduction(
        model=version.model,
        version=version.number,
        verdict=verdict,
        first_difference=first.stage if first else None,
        reason=_reason(verdict, first, metrics, [each.name for each in environment if each.used]),
        stages=stages,
        metrics=metrics,
        modules=tuple(modules),
        environment=tuple(environment),
        seconds=rebuilt.seconds,
        bundle=version.tags[tags.BUNDLE],
        provenance=version.tags[tags.PROVENANCE],
    )


def _code_digest(commit: str, diff: str, modules: dict[str, str]) -> str:
    return digest({"commit": commit, "diff": diff, "modules": modules})


def _environment_changes(recorded: RecordedRun, rebuilt: RebuiltVersion) -> list[Difference]:
    """Compare Python, machine, device and libraries; those that the result depends on come first."""
    origin, hardware, installed = recorded.lineage, lineage.machine_tags(), lineage.installed_versions()
    then = {"python": origin.python, "machine": origin.machine, "device": origin.device}
    now = {"python": platform.python_version(), "machine": rebuilt.machine, "device": rebuilt.device}
    for tag in HARDWARE:
        name = tag.partition(".")[2]
        then[name], now[name] = recorded.hardware.get(tag, ABSENT), hardware[tag]
    used = {canonicalize_name(name) for name in (*origin.libraries, *rebuilt.libraries)}
    libraries = _changes(recorded.installed, installed, used)
    return [*_changes(then, now, then), *sorted(libraries, key=lambda each: not each.used)]


def _changes(then: Mapping[str, str], now: Mapping[str, str], used: Container[str]) -> list[Difference]:
    return [
        Difference(name=name, recorded=then.get(name, ABSENT), current=now.get(name, ABSENT), used=name in used)
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]


def _listed(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{what} {', '.join(names[:MOST_NAMES])}{more}" if names else ""


def _reason(
    verdict: Verdict, first: StageComparison | None, metrics: dict[str, MetricComparison], changed: list[str]
) -> str:
    if first is None:
        return "every byte is the same"
    details = f" ({first.reason})" if first.reason else ""
    if verdict == "bitwise":
        return f"every byte is the same, although {first.stage} differs{details}"
    reason = f"{first.stage} is the first stage that differs{details}"
    if metrics:
        outside = [name for name, each in metrics.items() if not each.within]
        reason += f"; {_listed('out of tolerance:', outside)}" if outside else "; every metric is within tolerance"
    return reason + (f"; {_listed('possible causes:', changed)}" if changed else "")
