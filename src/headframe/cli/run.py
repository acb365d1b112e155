"""`headframe run`, `ingest` and `train`: flows, once for each plan that the overrides choose."""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from headframe.cli.context import load_flow, open_project, prepare_engine
from headframe.cli.output import CommandResult, error_message, failure
from headframe.cli.parser import Commands, add_overrides, add_signer
from headframe.errors import REFUSED, HeadframeError

if TYPE_CHECKING:
    from pathlib import Path

    from headframe.config.plan.plan import Plan

SUMMARIES = {
    "run": "run the whole pipeline: ingest, fit, evaluate, register, promote, smoke test",
    "ingest": "read a data set, validate it against its contract, commit its version",
    "train": "ingest, fit, evaluate and register, without promotion",
}
FLOWS = {"run": "flows.lifecycle:lifecycle", "ingest": "flows.ingest:ingest_flow", "train": "flows.train:train_flow"}


def add_commands(commands: Commands) -> None:
    """Add the commands that run flows."""
    for name, summary in SUMMARIES.items():
        command = commands.add(name, partial(_run_flow, name), summary)
        if name != "ingest":
            add_signer(command)
        add_overrides(command, "experiment=mnist_cnn")
        command.add_argument("--cfg", action="store_true", help="print the composed plan and stop")


def _run_flow(name: str, arguments: argparse.Namespace) -> CommandResult:
    """Run a flow once for each choice of the overrides."""
    from headframe.config.load import as_yaml, expand, load_plan
    from headframe.orchestration import engine

    if getattr(arguments, "signer", None) is not None:
        from headframe.signing.keys import SIGNER

        os.environ[SIGNER] = arguments.signer
    fitting = name != "ingest"  # whatever is to be trained on the data must fit them, and nothing else needs to
    project = open_project()
    choices = expand(arguments.overrides)
    # All are composed before the first runs; and in vain rather than as a failed flow run in Prefect's pages.
    if arguments.cfg or len(choices) > 1 or engine() == "prefect":
        plans = [load_plan(choice, project, fitting=fitting) for choice in choices]
        if arguments.cfg:
            return CommandResult(_single(plans), "---\n".join(map(as_yaml, plans)).splitlines())
        if engine() == "prefect":
            for plan in plans:
                _check_before_flow(plan, project.root, trains=fitting)
    prepare_engine()
    flow = load_flow(FLOWS[name])
    from headframe.orchestration import log, reaching_api

    results: list[Any] = []

    def show() -> None:
        from headframe.cli.console import show_results

        show_results(results, [" ".join(choice) for choice in choices])

    for number, choice in enumerate(choices, start=1):
        if len(choices) > 1:
            log.info("run %d of %d: %s", number, len(choices), " ".join(choice))
        try:
            with reaching_api():
                results.append(flow(choice))
        except BaseException as error:
            if not results:
                raise
            expected = error_message(error)
            what, exit_code = expected or (f"{type(error).__name__}: {error}", HeadframeError.exit_code)
            message = f"run {number} of {len(choices)} ({' '.join(choice)}): {what}"
            failed = failure(message, exit_code, finished=results, show=show)
            if expected is None:
                failed.print(as_json=arguments.json)
                raise
            return failed
    refused = name == "run" and all(result.decision.state == "refused" for result in results)
    return CommandResult(_single(results), code=REFUSED if refused else 0, show=show)


def _check_before_flow(plan: Plan, root: Path, *, trains: bool) -> None:
    """Look for what a mistyped name would not find, the sources of the data first, and check as the flow will.

    Sources with a sha256 that the very same data set was ingested from are not needed again.

    Raises:
        HeadframeError: it is not there, or as `headframe.run_checks`.
    """
    from headframe.datasets.ingest import ingest
    from headframe.datasets.raw_files import fetch_raw_file, find_raw_file
    from headframe.run_checks import require_ingestible, require_registrable
    from headframe.stages import Stage
    from headframe.tracking.address import places_of

    places = places_of(plan, root)
    has_table = (root / "data" / plan.dataset.name).is_dir()
    is_ingested = has_table and Stage(ingest).is_stored({"dataset": plan.dataset, "places": places})
    for name, source in plan.dataset.sources.items():
        if source.sha256 is None:
            find_raw_file(name, source, root, places.mirror)
        elif not is_ingested:
            fetch_raw_file(name, source, root, places.mirror)
    if trains:
        require_registrable(plan, root)
    else:
        require_ingestible(plan.dataset)


def _single(results: list[Any]) -> Any:
    return results[0] if len(results) == 1 else results
