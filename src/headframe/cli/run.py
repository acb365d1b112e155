"""`headframe run`, `ingest` and `train`: flows, once for each plan that the overrides choose."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headframe.cli.context import open_project, prepare_engine, use_signer
from headframe.cli.output import CommandResult, error_message, failure
from headframe.cli.parser import Commands, add_overrides, add_signer
from headframe.errors import REFUSED, HeadframeError

if TYPE_CHECKING:
    from headframe.config.project import Project

Show = Callable[[Sequence[Any]], None]
"""Prints results for people."""


def add_commands(commands: Commands) -> None:
    """Add the commands that run flows."""
    run = add_signer(
        commands.add("run", _run, "run the whole pipeline: ingest, fit, evaluate, register, promote, smoke test")
    )
    ingest = commands.add("ingest", _ingest, "read a data set, validate it against its contract, commit its version")
    train = add_signer(commands.add("train", _train, "ingest, fit, evaluate and register, without promotion"))
    for command in (run, ingest, train):
        add_overrides(command, "experiment=mnist_cnn")
        command.add_argument("--cfg", action="store_true", help="print the composed plan and stop")


def _run(arguments: argparse.Namespace) -> CommandResult | None:
    use_signer(arguments)

    def entry() -> Callable[[list[str]], Any]:
        from flows.lifecycle import lifecycle

        return lifecycle

    def show(outcomes: Sequence[Any]) -> None:
        from headframe.cli.console import show_outcomes

        show_outcomes(outcomes, Path.cwd())

    def code(outcomes: Sequence[Any]) -> int:
        return 0 if any(outcome.decision.state != "refused" for outcome in outcomes) else REFUSED

    return _run_flow(arguments, entry, show, code)


def _ingest(arguments: argparse.Namespace) -> CommandResult | None:
    def entry() -> Callable[[list[str]], Any]:
        from flows.ingest import ingest_flow

        return ingest_flow

    return _run_flow(arguments, entry, lambda _: None, lambda _: 0, fitting=False)


def _train(arguments: argparse.Namespace) -> CommandResult | None:
    use_signer(arguments)

    def entry() -> Callable[[list[str]], Any]:
        from flows.train import train_flow

        return train_flow

    def show(results: Sequence[Any]) -> None:
        from headframe.cli.console import show_trained

        for result in results:
            show_trained(result, Path.cwd())

    return _run_flow(arguments, entry, show, lambda _: 0)


def _run_flow(
    arguments: argparse.Namespace,
    entry: Callable[[], Callable[[list[str]], Any]],
    show: Show,
    code: Callable[[Sequence[Any]], int],
    *,
    fitting: bool = True,
) -> CommandResult:
    """Run a flow once for each choice of the overrides.

    Args:
        arguments: of the command line.
        entry: imports the flow.
        show: prints the results for people.
        code: the exit code of the results.
        fitting: whether the parts of the plan must fit each other.
    """
    from headframe.config.sweep import expand

    project = open_project()
    choices = expand(arguments.overrides)
    if arguments.cfg:
        return _composed(choices, project, as_json=arguments.json, fitting=fitting)
    if len(choices) > 1:  # all are composed before the first runs
        from headframe.config.load import load_plan

        for choice in choices:
            load_plan(choice, project, fitting=fitting)
    prepare_engine()
    function = entry()
    from headframe.orchestration import reaching_api

    results: list[Any] = []
    for number, choice in enumerate(choices, start=1):
        if len(choices) > 1:
            logging.getLogger("headframe").info("run %d of %d: %s", number, len(choices), " ".join(choice))
        try:
            with reaching_api():
                results.append(function(choice))
        except BaseException as error:
            if not results:
                raise
            expected = error_message(error)
            what, exit_code = expected or (f"{type(error).__name__}: {error}", HeadframeError.exit_code)
            message = f"run {number} of {len(choices)} ({' '.join(choice)}): {what}"
            failed = failure(message, exit_code, finished=results, show=lambda: show(results))
            if expected is None:
                failed.print(as_json=arguments.json)
                raise
            return failed
    documents = [result.model_dump(mode="json") for result in results]
    document = documents[0] if len(documents) == 1 else documents
    return CommandResult(document, code=code(results), show=lambda: show(results))


def _composed(choices: list[list[str]], project: Project, *, as_json: bool, fitting: bool) -> CommandResult:
    """Return the composed plans: what `--cfg` prints."""
    from headframe.config.load import load_plan, plan_yaml

    if as_json:
        plans = [load_plan(choice, project, fitting=fitting).model_dump(mode="json") for choice in choices]
        return CommandResult(plans[0] if len(plans) == 1 else plans)
    text = "---\n".join(plan_yaml(choice, project, fitting=fitting) for choice in choices)
    return CommandResult(None, text.splitlines())
