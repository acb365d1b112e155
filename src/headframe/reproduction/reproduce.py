"""Reproduce a registered version: rebuild it in a scratch folder, and compare every stage with what was recorded."""

import logging
import time
from pathlib import Path

from headframe.errors import HeadframeError
from headframe.processes import STDERR, describe_exit, raising_error_in, run_program, search_path
from headframe.registry.versions import resolve
from headframe.reproduction.checkout import check_out
from headframe.reproduction.compare import compare
from headframe.reproduction.data import link_raw_files, restore_table
from headframe.reproduction.recorded_run import RecordedRun, fetch_recorded_run
from headframe.reproduction.report import REBUILT, RebuiltVersion, Reproduction
from headframe.reproduction.scratch import scratch_folder
from headframe.signing.trust import Trust
from headframe.tracking import layout, tags

log = logging.getLogger("headframe")

PROGRAM = "headframe.reproduction.rebuild"


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
    recorded = fetch_recorded_run(resolve(name, uri), uri, trust)
    data = ""
    with scratch_folder() as work:
        if recorded.fingerprint != recorded.version.tags[tags.PLAN]:
            reason = "the stored plan was changed after it was registered"
            found = compare(recorded, RebuiltVersion(stopped="plan", reason=reason), work)
        elif recorded.diff_digest != recorded.lineage.diff:
            reason, modules = "the stored diff was changed after it was registered", recorded.lineage.modules
            found = compare(recorded, RebuiltVersion(stopped="code", reason=reason, modules=modules), work)
        else:
            commit = recorded.lineage.commit[:12] or "no commit"
            log.info("code      %s%s", commit, " and the stored diff" if recorded.diff else "")
            checkout = check_out(recorded.lineage, recorded.diff, root, work / "code")
            data = restore_table(recorded.provenance.data.split.table, root, checkout)
            link_raw_files(recorded.content["dataset"]["sources"], root, checkout)
            log.info("data      %s", data)
            found = compare(recorded, _rebuild(recorded, root, checkout, work / "compiled"), checkout)
    seconds = {**found.seconds, "all": round(time.monotonic() - started, 2)}
    return found.model_copy(update={"data": data, "seconds": seconds})


def _rebuild(recorded: RecordedRun, project: Path, checkout: Path, compiled: Path) -> RebuiltVersion:
    """Run the program to its end, with the recorded code first on its path and none of the project's present code.

    Raises:
        HeadframeError: or one of its kinds: what a step failed with.
    """
    folder = checkout / ".headframe" / "reproduction"
    folder.mkdir(parents=True)
    plan, provenance = folder / layout.PLAN, folder / layout.PROVENANCE
    plan.write_bytes(recorded.plan)
    provenance.write_text(recorded.provenance.model_dump_json(), encoding="utf-8")
    path = search_path([checkout / "src", checkout], lambda entry: not entry.resolve().is_relative_to(project))
    with raising_error_in(folder):
        code = run_program(
            ["-m", PROGRAM, str(plan), str(provenance), str(folder), "--root", str(checkout)],
            cwd=checkout,
            environment={
                "PYTHONPATH": path,
                "PYTHONDONTWRITEBYTECODE": "1",
                "TORCHINDUCTOR_CACHE_DIR": str(compiled),  # torch makes it, used or not
            },
            stdout=STDERR,
        )
    if code:
        raise HeadframeError(f"the reproduction {describe_exit(code)}")
    return RebuiltVersion.model_validate_json((folder / REBUILT).read_bytes())
