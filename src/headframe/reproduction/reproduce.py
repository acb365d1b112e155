"""Rebuild a version and judge what comes out."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from headframe.digests import digest, file_digest, folder_digest
from headframe.errors import HeadframeError
from headframe.processes import STDERR, describe_exit, run_program, search_path
from headframe.registry.versions import resolve
from headframe.reproduction.again import FOUND
from headframe.reproduction.checkout import check_out
from headframe.reproduction.data import bring, lend
from headframe.reproduction.outcome import (
    STAGES,
    Compared,
    Found,
    Metric,
    Reproduction,
    Word,
    allowed,
    verdict,
)
from headframe.reproduction.recorded import Recorded, fetch
from headframe.reproduction.scratch import scratch
from headframe.reproduction.surroundings import changes, modules
from headframe.signing.trust import Trust
from headframe.tracking import tags

log = logging.getLogger("headframe")

PROGRAM = "headframe.reproduction.again"


def reproduce(name: str, uri: str, root: Path, trust: Trust) -> Reproduction:
    """Rebuild a version from the registry, the project's repository and its data, and compare every stage.

    The project's files, its repository and its own state are only read.

    Args:
        name: `NAME`, `NAME@ALIAS` or `NAME/VERSION`.
        uri: MLflow's address.
        root: the project's folder.
        trust: whose signature under a model counts.

    Raises:
        ConfigurationError: there is no such version.
        Refused: what it is rebuilt from cannot be had, or contradicts itself.
        HeadframeError: or one of its kinds: what a stage ended with.
    """
    started = time.monotonic()
    version = resolve(name, uri)
    recorded = fetch(version, uri, trust)
    with scratch() as work:
        return _Rebuilding(recorded, root, work, started).judge()


class _Rebuilding:
    """One version in one scratch folder.

    Args:
        recorded: what it is rebuilt from.
        project: the user's.
        work: an empty folder.
        started: of `time.monotonic`.
    """

    def __init__(self, recorded: Recorded, project: Path, work: Path, started: float) -> None:
        self.recorded = recorded
        self.project = project
        self.work = work
        self.started = started
        self.data = ""

    def judge(self) -> Reproduction:
        """Go as far as it makes sense, and say what came of it."""
        recorded = self.recorded
        origin = recorded.lineage
        promised = recorded.version.tags[tags.PLAN]
        if recorded.fingerprint != promised:
            return self._stopped("plan", recorded.fingerprint, "the stored plan was changed after it was registered")
        if recorded.changes != origin.diff:
            why = "the stored diff was changed after it was registered"
            return self._stopped("code", _code(origin.commit, recorded.changes, origin.modules), why)
        log.info("code      %s%s", origin.commit[:12] or "no commit", " and the stored diff" if recorded.diff else "")
        root = check_out(origin, recorded.diff, self.project, self.work / "code")
        dataset = recorded.content["dataset"]
        self.data = bring(recorded.provenance.data.split.table, self.project, root)
        lend(dataset["sources"], self.project, root)
        log.info("data      %s", self.data)
        folder = root / ".headframe" / "again"
        folder.mkdir(parents=True)
        found = self._run(root, folder)
        if found.stopped == "code":
            return self._stopped("code", _code(origin.commit, recorded.changes, found.modules), found.why)
        if found.stopped == "data":
            return self._stopped("data", found.table or digest(found.why), found.why, found)
        return self._compare(found, root)

    def _run(self, root: Path, folder: Path) -> Found:
        """Run the program to its end, with the recorded code first on its path and nothing of the project as it is."""
        plan, provenance = folder / "plan.json", folder / "provenance.json"
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
                "TORCHINDUCTOR_CACHE_DIR": str(self.work / "compiled"),  # which torch makes, used or not
            },
            stdout=STDERR,
        )
        if code:
            msg = f"the reproduction {describe_exit(code)}"
            raise HeadframeError(msg)
        return Found.model_validate_json((folder / FOUND).read_bytes())

    def _compare(self, found: Found, root: Path) -> Reproduction:
        recorded, then = self.recorded, self.recorded.provenance
        trained, evaluated = found.trained, found.evaluated
        if trained is None or evaluated is None:
            msg = "the program ended without a model; this is a fault of Headframe itself"
            raise HeadframeError(msg)
        made = root / trained.folder
        origin = recorded.lineage
        exchanged = modules(recorded, found)
        came = {
            "plan": (recorded.version.tags[tags.PLAN], recorded.fingerprint),
            "code": (
                _code(origin.commit, recorded.changes, origin.modules),
                _code(origin.commit, recorded.changes, found.modules),
            ),
            "data": (then.data.split.table.digest, found.table),
            "order": (then.data.split.digest, found.split),
            "features": (digest(origin.features), digest(found.features)),
            # Hashed here and not believed: what is compared is what lies there.
            "weights": (then.trained.bundle, folder_digest(made / "bundle")),
            "predictions": (then.trained.predictions, file_digest(made / "predictions.parquet")),
            "metrics": (then.evaluated.digest, evaluated.digest),
        }
        why = {
            "code": _several("module" if len(exchanged) == 1 else "modules", [each.name for each in exchanged]),
            "features": _several("encoder of", [n for n, d in found.features.items() if origin.features.get(n) != d]),
        }
        stages = tuple(
            Compared(stage=name, recorded=a, found=b, why=why.get(name, "") if a != b else "")
            for name, (a, b) in came.items()
        )
        metrics = {
            name: Metric(recorded=was.value, found=evaluated.metrics[name].value, allowed=allowed(was))
            for name, was in then.evaluated.metrics.items()
            if name in evaluated.metrics
        }
        complete = metrics.keys() == then.evaluated.metrics.keys()
        return self._told(verdict(stages, metrics if complete else {}), stages, metrics, found)

    def _stopped(self, stage: str, came: str, why: str, found: Found | None = None) -> Reproduction:
        """Judge a version of which something that goes in is not what it was; what rests on it is not made."""
        then, origin = self.recorded.provenance, self.recorded.lineage
        promised = {
            "plan": self.recorded.version.tags[tags.PLAN],
            "code": _code(origin.commit, str(origin.diff), origin.modules),
            "data": then.data.split.table.digest,
            "order": then.data.split.digest,
            "features": digest(origin.features),
            "weights": then.trained.bundle,
            "predictions": then.trained.predictions,
            "metrics": then.evaluated.digest,
        }
        place = STAGES.index(stage)
        stages = []
        for number, name in enumerate(STAGES):
            now = promised[name] if number < place else came if number == place else None
            if name == "code" and found is not None:
                now = _code(origin.commit, self.recorded.changes, found.modules)
            told = why if number == place else ""
            stages.append(Compared(stage=name, recorded=promised[name], found=now, why=told))
        return self._told("different", tuple(stages), {}, found)

    def _told(
        self, word: Word, stages: tuple[Compared, ...], metrics: dict[str, Metric], found: Found | None
    ) -> Reproduction:
        version = self.recorded.version
        first = next((each for each in stages if each.equal is False), None)
        around = changes(self.recorded, found) if found is not None else ()
        taken = found.seconds if found is not None else {}
        return Reproduction(
            model=version.model,
            version=version.number,
            verdict=word,
            first=first.stage if first else None,
            reason=_reason(word, first, metrics, [each.name for each in around if each.decides]),
            stages=stages,
            metrics=metrics,
            modules=modules(self.recorded, found) if found is not None else (),
            environment=around,
            data=self.data,
            seconds={**taken, "all": round(time.monotonic() - self.started, 2)},
            bundle=version.tags[tags.BUNDLE],
            provenance=version.tags[tags.PROVENANCE],
        )


def _code(commit: str, diff: str, code: dict[str, str]) -> str:
    """Give one digest for commit, diff and modules."""
    return digest({"commit": commit, "diff": diff, "modules": code})


def _several(what: str, names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004 - a line
    return f"{what} {shown}".strip() if names else ""


def _reason(word: Word, first: Compared | None, metrics: dict[str, Metric], around: list[str]) -> str:
    if word == "bitwise":
        return "every byte came out the same" + (f", although {first.stage} differs ({first.why})" if first else "")
    assert first is not None  # noqa: S101 - otherwise it were bitwise
    said = f"{first.stage} is the first that differs" + (f" ({first.why})" if first.why else "")
    if metrics:
        out = [name for name, each in metrics.items() if not each.within]
        said += f"; {_several('out of tolerance:', out)}" if out else "; every metric is within tolerance"
    return said + (f"; {_several('what may explain it:', around)}" if around else "")
