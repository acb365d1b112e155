"""`headframe predict` and `serve`: registered versions at work."""

import argparse

from headframe.cli.context import load_flow, open_project, prepare_engine, single_plan
from headframe.cli.output import CommandResult, of_record, print_json
from headframe.cli.parser import MODEL, Commands, add_overrides


def add_commands(commands: Commands) -> None:
    """Add the commands that use a registered model."""
    predict = commands.add("predict", _predict, "score a file or a data set with a registered model")
    predict.add_argument("model", help=MODEL)
    predict.add_argument("source", help="a Parquet, JSON-lines, text or raw file, or the name of a data set")
    predict.add_argument("target", help="the Parquet file to write")
    add_overrides(predict, "tracking.uri=http://127.0.0.1:5000")

    serve = commands.add("serve", _serve, "serve a registered model over HTTP: /ping, /version, /invocations")
    serve.add_argument("model", help=MODEL)
    add_overrides(serve, "serving.max_rows=10")
    serve.add_argument("--host", help="address to listen on; default: the plan's, 127.0.0.1")
    serve.add_argument("--port", type=int, help="port to listen on; default: the plan's, 8080")


def _predict(arguments: argparse.Namespace) -> CommandResult:
    here = arguments.here
    source = arguments.source if "." not in arguments.source else str(here / arguments.source)
    project = open_project()
    overrides = single_plan(arguments)
    from headframe.orchestration import engine, reaching_api

    target = here / arguments.target
    if engine() == "prefect":  # a mistyped name is no failed flow run in Prefect's pages
        from headframe.config.load import load_plan
        from headframe.registry.versions import resolve
        from headframe.serving.batch import require_place
        from headframe.serving.input_files import find_rows
        from headframe.tracking.address import tracking_uri

        plan = load_plan(overrides, project)
        require_place(target, source, project.root)
        find_rows(source, project.root)
        resolve(arguments.model, tracking_uri(plan.tracking, project.root))
    prepare_engine()
    predict = load_flow("flows.predict:predict")

    with reaching_api():
        return of_record(predict(arguments.model, source, str(target), overrides))


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
