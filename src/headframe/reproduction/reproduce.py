"""Reproduce a registered version and compare every stage with what was recorded."""

from __future__ import annotations

import logging
import time
from functools import cached_property
from pathlib import Path

from headframe.digests import digest, file_digest, folder_digest
from headframe.errors import HeadframeError
from headframe.prediction.layout import BUNDLE, PREDICTIONS
from headframe.processes import STDERR, describe_exit, run_program, search_path
from headframe.registry.versions import resolve
from headframe.reproduction.checkout import check_out
from headframe.reproduction.data import link_raw_files, restore_table
from headframe.reproduction.environment import environment_changes, module_changes
from headframe.reproduction.rebuild import REBUILT
from headframe.reproduction.recorded_run import RecordedRun, fetch_recorded_run
from headframe.reproduction.report import (
    STAGES,
    MetricComparison,
    RebuiltVersion,
    Reproduction,
    StageComparison,
    Verdict,
    tolerance,
    verdict_of,
)
from headframe.reproduction.scratch import scratch_folder
from headframe.signing.trust import Trust
from headframe.tracking import layout, tags

log = logging.getLogger("headframe")

PROGRAM = "headframe.reproduction.rebuild"
MOST_NAMES = 3  # that a sentence lists


def reproduce(name: str, uri: str, root: Path, trust: Trust) -> Reproduction:
    """Rebuild a version from the registry, the project's repository and its data, and compare every stage.

    The project's files, its repository and its state are only read.

    Args:
        name: `NAME`, `NAME@ALIAS` or `NAME/VERSION`.
        uri: MLflow's address.
        root: the project's folder.
        trust: whose signature under a model counts.

    Raises:
        ConfigurationError: there is no such version.
        Refused: what it is rebuilt from cannot be fetched, or is inconsistent.
        HeadframeError: or one of its kinds: what a step failed with.
    """
    started = time.monotonic()
    version = resolve(name, uri)
    recorded = fetch_recorded_run(version, uri, trust)
    with scratch_folder() as work:
        return _Rebuild(recorded, root, work, started).run()


class _Rebuild:
    """Rebuild of one version in one scratch folder.

    Args:
        recorded: what it is rebuilt from.
        project: the user's.
        work: an empty folder.
        started: of `time.monotonic`.
    """

    def __init__(self, recorded: RecordedRun, project: Path, work: Path, started: float) -> None:
        self.recorded = recorded
        self.project = project
        self.work = work
        self.started = started
        self.data = ""

    def run(self) -> Reproduction:
        """Rebuild as far as the inputs are the recorded ones, and compare."""
        recorded, lineage = self.recorded, self.recorded.lineage
        if recorded.fingerprint != recorded.version.tags[tags.PLAN]:
            reason = "the stored plan was changed after it was registered"
            return self._stop("plan", recorded.fingerprint, reason)
        if recorded.diff_digest != lineage.diff:
            reason = "the stored diff was changed after it was registered"
            return self._stop("code", self._code_digest(lineage.modules), reason)
        log.info("code      %s%s", lineage.commit[:12] or "no commit", " and the stored diff" if recorded.diff else "")
        root = check_out(lineage, recorded.diff, self.project, self.work / "code")
        self.data = restore_table(recorded.provenance.data.split.table, self.project, root)
        link_raw_files(recorded.content["dataset"]["sources"], self.project, root)
        log.info("data      %s", self.data)
        folder = root / ".headframe" / "reproduction"
        folder.mkdir(parents=True)
        rebuilt = self._rebuild(root, folder)
        if rebuilt.stopped == "code":
            return self._stop("code", self._code_digest(rebuilt.modules), rebuilt.reason)
        if rebuilt.stopped == "data":
            return self._stop("data", rebuilt.table or digest(rebuilt.reason), rebuilt.reason, rebuilt)
        return self._compare(rebuilt, root)

    def _rebuild(self, root: Path, folder: Path) -> RebuiltVersion:
        """Run the program to its end, with the recorded code first on its path and none of the project's present code.

        Raises:
            HeadframeError: or one of its kinds: what a step failed with.
        """
        plan, provenance = folder / layout.PLAN, folder / layout.PROVENANCE
        plan.write_bytes(self.recorded.plan)
        provenance.write_text(self.recorded.provenance.model_dump_json(), encoding="utf-8")
        code = run_program(
            ["-m", PROGRAM, str(plan), str(provenance), str(folder), "--root", str(root)],
            cwd=root,
            environment={
                "PYTHONPATH": search_path(
                    [root / "src", root], lambda entry: not entry.resolve().is_relative_to(self.project)
                ),
                "PYTHONDONTWRITEBYTECODE": "1",
                "TORCHINDUCTOR_CACHE_DIR": str(self.work / "compiled"),  # torch makes it, used or not
            },
            stdout=STDERR,
        )
        if code:
            msg = f"the reproduction {describe_exit(code)}"
            raise HeadframeError(msg)
        return RebuiltVersion.model_validate_json((folder / REBUILT).read_bytes())

    def _code_digest(self, modules: dict[str, str]) -> str:
        """Return one digest of the commit, the stored diff and modules."""
        return _code_digest(self.recorded.lineage.commit, self.recorded.diff_digest, modules)

    @cached_property
    def _recorded_digests(self) -> dict[str, str]:
        """Digest of each stage as it was recorded."""
        provenance, lineage = self.recorded.provenance, self.recorded.lineage
        return {
            "plan": self.recorded.version.tags[tags.PLAN],
            "code": _code_digest(lineage.commit, str(lineage.diff), lineage.modules),
            "data": provenance.data.split.table.digest,
            "split": provenance.data.split.digest,
            "features": digest(lineage.features),
            "weights": provenance.trained.bundle,
            "predictions": provenance.trained.predictions,
            "metrics": provenance.evaluated.digest,
        }

    def _compare(self, rebuilt: RebuiltVersion, root: Path) -> Reproduction:
        trained, evaluated = rebuilt.trained, rebuilt.evaluated
        if trained is None or evaluated is None:
            msg = "the program ended without a model; this is a fault of Headframe itself"
            raise HeadframeError(msg)
        folder, features = root / trained.folder, self.recorded.lineage.features
        reproduced = {
            "plan": self.recorded.fingerprint,
            "code": self._code_digest(rebuilt.modules),
            "data": rebuilt.table,
            "split": rebuilt.split,
            "features": digest(rebuilt.features),
            # Computed here and not believed: the files themselves are compared.
            "weights": folder_digest(folder / BUNDLE),
            "predictions": file_digest(folder / PREDICTIONS),
            "metrics": evaluated.digest,
        }
        modules = [each.name for each in module_changes(self.recorded, rebuilt)]
        reasons = {
            "code": _listed("module" if len(modules) == 1 else "modules", modules),
            "features": _listed("encoder of", [n for n, d in rebuilt.features.items() if features.get(n) != d]),
        }
        stages = tuple(
            StageComparison(
                stage=name,
                recorded=then,
                reproduced=reproduced[name],
                reason=reasons.get(name, "") if then != reproduced[name] else "",
            )
            for name, then in self._recorded_digests.items()
        )
        recorded_metrics = self.recorded.provenance.evaluated.metrics
        metrics = {
            name: MetricComparison(
                recorded=then.value, reproduced=evaluated.metrics[name].value, tolerance=tolerance(then)
            )
            for name, then in recorded_metrics.items()
            if name in evaluated.metrics
        }
        complete = metrics.keys() == recorded_metrics.keys()
        return self._report(verdict_of(stages, metrics if complete else {}), stages, metrics, rebuilt)

    def _stop(self, stage: str, found: str, reason: str, rebuilt: RebuiltVersion | None = None) -> Reproduction:
        """Report an input that differs from the recorded one; later stages are not reproduced."""
        index = STAGES.index(stage)
        stages = []
        for number, name in enumerate(STAGES):
            recorded = self._recorded_digests[name]
            now = recorded if number < index else found if number == index else None
            if name == "code" and rebuilt is not None:
                now = self._code_digest(rebuilt.modules)
            stages.append(
                StageComparison(stage=name, recorded=recorded, reproduced=now, reason=reason if number == index else "")
            )
        return self._report("different", tuple(stages), {}, rebuilt)

    def _report(
        self,
        verdict: Verdict,
        stages: tuple[StageComparison, ...],
        metrics: dict[str, MetricComparison],
        rebuilt: RebuiltVersion | None,
    ) -> Reproduction:
        version = self.recorded.version
        first = next((each for each in stages if each.equal is False), None)
        environment = environment_changes(self.recorded, rebuilt) if rebuilt is not None else ()
        return Reproduction(
            model=version.model,
            version=version.number,
            verdict=verdict,
            first_difference=first.stage if first else None,
            reason=_reason(verdict, first, metrics, [each.name for each in environment if each.used]),
            stages=stages,
            metrics=metrics,
            modules=module_changes(self.recorded, rebuilt) if rebuilt is not None else (),
            environment=environment,
            data=self.data,
            seconds={**(rebuilt.seconds if rebuilt else {}), "all": round(time.monotonic() - self.started, 2)},
            bundle=version.tags[tags.BUNDLE],
            provenance=version.tags[tags.PROVENANCE],
        )


def _code_digest(commit: str, diff: str, modules: dict[str, str]) -> str:
    return digest({"commit": commit, "diff": diff, "modules": modules})


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{what} {', '.join(names[:MOST_NAMES])}{more}".strip() if names else ""


def _reason(
    verdict: Verdict, first: StageComparison | None, metrics: dict[str, MetricComparison], changed: list[str]
) -> str:
    if verdict == "bitwise":
        return "every byte is the same" + (f", although {first.stage} differs ({first.reason})" if first else "")
    assert first is not None  # noqa: S101 - otherwise the verdict would be bitwise
    reason = f"{first.stage} is the first stage that differs" + (f" ({first.reason})" if first.reason else "")
    if metrics:
        outside = [name for name, each in metrics.items() if not each.within]
        reason += f"; {_listed('out of tolerance:', outside)}" if outside else "; every metric is within tolerance"
    return reason + (f"; {_listed('possible causes:', changed)}" if changed else "")
