"""`headframe predict`, `serve` and `reproduce`: registered versions at work, and trained again."""

import argparse

from headframe.cli.context import open_project, prepare_engine, single_plan
from headframe.cli.output import CommandResult, of_record, page_file, print_json
from headframe.cli.parser import MODEL, Commands, add_overrides, add_signer
from headframe.errors import DIFFERENT, ConfigurationError

OVERRIDABLE = ("gate", "promotion", "team", "tracking")
"""Groups that an override may name where the version's own plan decides everything else."""


def add_commands(commands: Commands) -> None:
    """Add the commands that use a registered model."""
    predict = commands.add("predict", _predict, "score a file or a data set with a registered model")
    predict.add_argument("model", help=MODEL)
    predict.add_argument("source", help="a Parquet, CSV, TSV or JSON-lines file, or the name of a data set")
    predict.add_argument("target", help="the Parquet file to write")
    add_overrides(predict, "tracking.uri=http://127.0.0.1:5000")

    serve = commands.add("serve", _serve, "serve a registered model over HTTP: /ping, /version, /invocations")
    serve.add_argument("model", help=MODEL)
    add_overrides(serve, "serving.max_rows=10")
    serve.add_argument("--host", help="address to listen on; default: the plan's, 127.0.0.1")
    serve.add_argument("--port", type=int, help="port to listen on; default: the plan's, 8080")

    summary = "train a registered version again and report what differs"
    reproduce = add_signer(commands.add("reproduce", _reproduce, summary))
    reproduce.add_argument("model", help=MODEL)
    add_overrides(reproduce, "tracking.uri=http://127.0.0.1:5000")
    reproduce.add_argument("--to", metavar="FILE", help="also write the result to FILE.html, as a page, or to FILE.md")
    reproduce.add_argument("--no-record", action="store_true", help="compare only: sign and store nothing")


def _predict(arguments: argparse.Namespace) -> CommandResult:
    here = arguments.here
    source = arguments.source if "." not in arguments.source else str(here / arguments.source)
    open_project()
    overrides = single_plan(arguments)
    prepare_engine()
    from flows.predict import predict
    from headframe.orchestration import reaching_api

    with reaching_api():
        return of_record(predict(arguments.model, source, str(here / arguments.target), overrides))


def _serve(arguments: argparse.Namespace) -> None:
    project = open_project()
    from headframe.config.load import load_plan
    from headframe.serving.server import serve
    from headframe.tracking.address import tracking_uri

    plan = load_plan(single_plan(arguments), project)
    serve(
        arguments.model,
        plan=plan,
        root=project.root,
        uri=tracking_uri(plan.tracking, project.root),
        host=arguments.host or plan.serving.host,
        port=plan.serving.port if arguments.port is None else arguments.port,
        ready=print_json if arguments.json else None,
    )


def _reproduce(arguments: argparse.Namespace) -> CommandResult:
    project = open_project()
    import re

    from headframe.config.load import load_plan
    from headframe.digests import write_atomically
    from headframe.reproduction.page import render_reproduction, show_reproduction
    from headframe.reproduction.record import record_verdict, verdict_key
    from headframe.reproduction.reproduce import reproduce
    from headframe.signing.trust import Trust
    from headframe.tracking.address import tracking_uri

    target = page_file(arguments)
    overrides = single_plan(arguments)
    for given in overrides:
        if re.split(r"[.@=]", given.lstrip("+~"), maxsplit=1)[0] not in OVERRIDABLE:
            msg = f"{given}: a version is reproduced by its own plan; only {', '.join(OVERRIDABLE)} can be overridden"
            raise ConfigurationError(msg)
    plan = load_plan(overrides, project)
    key = None if arguments.no_record else verdict_key(plan.team, arguments.signer)
    found = reproduce(arguments.model, tracking_uri(plan.tracking, project.root), project.root, Trust.of(plan.team))
    if key is not None:
        found = record_verdict(found, plan, project.root, key)
    if target is not None:
        write_atomically(target, render_reproduction(found, target.suffix))
    code = DIFFERENT if found.verdict == "different" else 0
    return CommandResult(found, code=code, show=lambda: show_reproduction(found))
