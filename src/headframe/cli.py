"""The command line. Nothing heavy is imported until a command needs it; argparse alone is what `--help` pays for.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 data contract broken, 4 gate or approval
refused, 5 not reproduced, 130 interrupted. With `--json` exactly one JSON document goes to stdout; progress
always goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from headframe import __version__
from headframe.cli_models import add_models
from headframe.errors import DIFFERENT, INTERRUPTED, REFUSED, ConfigurationError, HeadframeError

EPILOG = """\
examples:
  headframe run experiment=digits_ensemble           raw data to a champion that answers
  headframe run model=cnn,mlp seed=range(3)          several runs, one table
  headframe run --cfg experiment=mnist_cnn           print the plan, run nothing
  headframe predict digits rows.parquet scored.parquet
  headframe serve digits@champion

exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 data contract broken,
            4 gate refused (of several runs: all were), 5 not reproduced
"""


ACTIONS = ("list", "show", "rejected", "versions", "status", "verify", "restore")
"""What `headframe data` can do."""

AROUND = ("gate", "promotion", "team", "tracking")
"""What an override may name where a version's own plan decides all else."""


class _Parser(argparse.ArgumentParser):
    """Takes options as they are spelt, and says what is wrong in one sentence instead of repeating the whole usage."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        msg = f"{message}; see `{self.prog} --help`"
        raise ConfigurationError(msg)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    given = sys.argv[1:] if argv is None else argv
    as_json = "--json" in given
    try:
        arguments = _parse(given)
        from headframe.telemetry import switch_off

        switch_off()
        _log_to_stderr()
        arguments.here = Path.cwd()
        if arguments.project is not None:
            if not Path(arguments.project).is_dir():
                msg = f"--project {arguments.project}: there is no such folder"
                raise ConfigurationError(msg)
            os.chdir(arguments.project)
        code: int = arguments.command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough; what is still to be written at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return HeadframeError.exit_code
    except (HeadframeError, OSError, KeyboardInterrupt) as error:
        told = _told(error)
        if told is None:
            raise
        return _fail(*told, as_json)
    return code


def _told(error: BaseException) -> tuple[str, int] | None:
    """Give the sentence and the exit code for what ended a command; None where it is a fault of Headframe itself."""
    match error:
        case HeadframeError():
            return str(error), error.exit_code
        case KeyboardInterrupt():
            return "interrupted; the same command continues where this one stopped", INTERRUPTED
        case OSError(errno=int()):
            where = f"{error.filename}: " if error.filename else ""
            advice = "mend that (permissions, disk, memory), then start the same command again"
            return f"{where}{error.strerror}; {advice}", HeadframeError.exit_code
        case _:
            return None


def _fail(message: str, code: int, as_json: bool, finished: Sequence[Any] = ()) -> int:
    sys.stderr.write(f"headframe: {message}\n")
    if as_json:
        done = {"finished": list(finished)} if finished else {}
        _print_json({"error": message, "exit_code": code, **done})
    return code


def _parse(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line; overrides may stand on both sides of an option, which argparse alone does not allow."""
    parser = _parser()
    arguments, others = parser.parse_known_args(given)
    if others:
        if "overrides" not in arguments or any(word.startswith("-") for word in others):
            msg = f"unrecognized arguments: {' '.join(others)}; see `{arguments.prog} --help`"
            raise ConfigurationError(msg)
        arguments.overrides += others
    return arguments


def _parser() -> _Parser:
    parser = _Parser(
        prog="headframe",
        description="Data mining with deep learning in which every result is a proof.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"headframe {__version__}")
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    common.add_argument("--project", metavar="DIR", help="the project's folder; default: walk up from here")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", parents=[common]
        )
        made.set_defaults(command=command, prog=made.prog)
        return made

    def overridden(made: argparse.ArgumentParser, example: str) -> None:
        # With a default, since argparse else calls them required where something before them is missing.
        made.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help=f"Hydra overrides: {example}")

    def overridable(made: argparse.ArgumentParser) -> None:
        overridden(made, "experiment=mnist_cnn")
        made.add_argument("--cfg", action="store_true", help="print the composed plan and stop")

    def signing(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("--as", dest="signer", metavar="NAME", help="the key to sign with, where you have several")
        return made

    overridable(signing(add("run", _run, "the whole life: collect, train, evaluate, register, promote, answer")))
    overridable(add("ingest", _ingest, "collect a data set, hold it to its contract, keep its version"))
    overridable(signing(add("train", _train, "ingest, train, evaluate and register, without promotion")))

    predict = add("predict", _predict, "score a file or a data set with a registered model")
    predict.add_argument("model", help="NAME, NAME@ALIAS or NAME/VERSION; NAME means its champion")
    predict.add_argument("source", help="a Parquet, CSV, TSV or JSON-lines file, or the name of a data set")
    predict.add_argument("target", help="the Parquet file to write")
    overridden(predict, "tracking.uri=http://127.0.0.1:5000")

    serve = add("serve", _serve, "answer over HTTP: /ping, /version, /invocations")
    serve.add_argument("model", help="NAME, NAME@ALIAS or NAME/VERSION; NAME means its champion")
    overridden(serve, "serving.max_rows=10")
    serve.add_argument("--host", default=None, help="address to listen on; default: the plan's, 127.0.0.1")
    serve.add_argument("--port", type=int, default=None, help="port to listen on; default: the plan's, 8080")

    again = signing(add("reproduce", _reproduce, "make a registered version again, and say what differs"))
    again.add_argument("model", help="NAME, NAME@ALIAS or NAME/VERSION; NAME means its champion")
    overridden(again, "tracking.uri=http://127.0.0.1:5000")
    again.add_argument("--no-record", action="store_true", help="look only: sign and keep nothing")

    add_models(commands, common).set_defaults(command=_models, prog="headframe models")

    listing = add("list", _list, "what conf/ offers: models, datasets, experiments, ...")
    listing.add_argument("group", nargs="?", help="one group, e.g. models")

    data = add("data", _data, f"the tables in data/ and their versions: {', '.join(ACTIONS)}")
    data.add_argument("action", choices=ACTIONS)
    data.add_argument("dataset", nargs="?", help="show, rejected, restore: which data set")
    data.add_argument("digest", nargs="?", help="restore: the version's digest, or its beginning")

    up = add("up", _up, "start Prefect and MLflow on this machine and wait until they answer")
    up.add_argument("--prefect-port", type=int, default=None, help="of Prefect; default: 4200")
    up.add_argument("--mlflow-port", type=int, default=None, help="of MLflow; default: 5000")
    add("down", _down, "stop what `up` started")
    add("status", _status, "which servers run, and where")
    add("doctor", _doctor, "check this machine and project, and name the fix")
    key = add("key", _key, "the keys that you sign with: list them, or make one")
    key.add_argument("name", nargs="?", help="of a key to make: small letters, digits, - and _, as in anna")
    init = add("init", _init, "make a new project, and a first key to sign with where you have none")
    init.add_argument("folder", help="a folder that is empty or does not exist")
    return parser


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("headframe")
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()  # a server says where it listens long before it ends


def _project() -> Any:
    """Find the project, make its code importable, and use its servers where they are up."""
    from headframe.config.project import Project
    from headframe.servers import environment

    project = Project.find(Path.cwd())
    os.chdir(project.root)
    for folder in (project.root, project.root / "src"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    for name, value in environment(project.root).items():
        os.environ.setdefault(name, value)
    return project


def _engine_ready() -> None:
    """Say once where the run goes."""
    from headframe.orchestration import api_url, engine, log, quiet_prefect, require_api

    if engine() == "inline":
        log.info("engine: inline, no Prefect API is configured (headframe up starts one)")
        return
    require_api()
    quiet_prefect()
    log.info("engine: Prefect at %s", api_url())


def _plans(arguments: argparse.Namespace, project: Any) -> list[list[str]] | None:
    """Give the overrides of each run; of several, all are composed before the first runs. None: only `--cfg`."""
    from headframe.config.load import load_plan, plan_yaml
    from headframe.config.sweep import expand

    choices = expand(arguments.overrides)
    fitting = arguments.command is not _ingest
    if arguments.cfg:
        if arguments.json:
            plans = [load_plan(choice, project, fitting=fitting).model_dump(mode="json") for choice in choices]
            _print_json(plans[0] if len(plans) == 1 else plans)
        else:
            sys.stdout.write("---\n".join(plan_yaml(choice, project, fitting=fitting) for choice in choices))
        return None
    if len(choices) > 1:
        for choice in choices:
            load_plan(choice, project, fitting=fitting)
    return choices


def _over_plans(
    arguments: argparse.Namespace,
    entry: Callable[[], Callable[[list[str]], Any]],
    show: Callable[[list[Any]], int],
) -> int:
    """Run a flow once for each choice, show what came of it and give the exit code.

    Args:
        arguments: of the command line.
        entry: imports the flow.
        show: prints the results for people, unless JSON was asked for, and gives the exit code.
    """
    project = _project()
    choices = _plans(arguments, project)
    if choices is None:
        return 0
    _engine_ready()
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
            show(results)
            told = _told(error)
            what, code = told or (f"{type(error).__name__}: {error}", HeadframeError.exit_code)
            finished = [result.model_dump(mode="json") for result in results]
            _fail(f"run {number} of {len(choices)} ({' '.join(choice)}): {what}", code, arguments.json, finished)
            if told is None:
                raise
            return code
    code = show(results)
    if arguments.json:
        documents = [result.model_dump(mode="json") for result in results]
        _print_json(documents[0] if len(documents) == 1 else documents)
    return code


def _single(arguments: argparse.Namespace) -> list[str]:
    """Give the overrides of a command that does one thing with one plan."""
    from headframe.config.sweep import expand

    choices = expand(arguments.overrides)
    if len(choices) > 1:
        msg = f"{' '.join(arguments.overrides)}: these are {len(choices)} plans, but this command takes one; give one"
        raise ConfigurationError(msg)
    return choices[0]


def _sign_as(arguments: argparse.Namespace) -> None:
    """Have whatever is signed from here on signed with the key that was asked for."""
    if arguments.signer is not None:
        from headframe.signing.keys import SIGNER

        os.environ[SIGNER] = arguments.signer


def _run(arguments: argparse.Namespace) -> int:
    _sign_as(arguments)

    def entry() -> Callable[[list[str]], Any]:
        from flows.lifecycle import lifecycle

        return lifecycle

    def show(outcomes: list[Any]) -> int:
        if not arguments.json:
            from headframe.show import show_outcomes

            show_outcomes(outcomes, Path.cwd())
        return 0 if any(outcome.decision.state != "refused" for outcome in outcomes) else REFUSED

    return _over_plans(arguments, entry, show)


def _ingest(arguments: argparse.Namespace) -> int:
    def entry() -> Callable[[list[str]], Any]:
        from flows.ingest import ingest

        return ingest

    return _over_plans(arguments, entry, lambda _: 0)


def _train(arguments: argparse.Namespace) -> int:
    _sign_as(arguments)

    def entry() -> Callable[[list[str]], Any]:
        from flows.train import train_flow

        return train_flow

    def show(results: list[Any]) -> int:
        if not arguments.json:
            from headframe.show import show_trained

            for result in results:
                show_trained(result, Path.cwd())
        return 0

    return _over_plans(arguments, entry, show)


def _predict(arguments: argparse.Namespace) -> int:
    here = arguments.here
    source = arguments.source if "." not in arguments.source else str(here / arguments.source)
    _project()
    overrides = _single(arguments)
    _engine_ready()
    from flows.predict import predict
    from headframe.orchestration import reaching_api

    with reaching_api():
        predicted = predict(arguments.model, source, str(here / arguments.target), overrides)
    if arguments.json:
        _print_json(predicted.model_dump(mode="json"))
    else:
        sys.stdout.write(f"{predicted.summary}\n")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    project = _project()
    from headframe.config.load import load_plan
    from headframe.serving.rest import serve
    from headframe.tracking.address import tracking_uri

    plan = load_plan(_single(arguments), project)
    serving = plan.serving
    serve(
        arguments.model,
        plan=plan,
        root=project.root,
        uri=tracking_uri(plan.tracking, project.root),
        host=arguments.host or serving.host,
        port=serving.port if arguments.port is None else arguments.port,
        ready=_print_json if arguments.json else None,
    )
    return 0


def _reproduce(arguments: argparse.Namespace) -> int:
    project = _project()
    from headframe.config.load import load_plan
    from headframe.reproduction.keep import Witness, keep
    from headframe.reproduction.reproduce import reproduce
    from headframe.signing.trust import Trust
    from headframe.tracking.address import tracking_uri

    overrides = _single(arguments)
    for given in overrides:
        if re.split(r"[.@=]", given.lstrip("+~"), maxsplit=1)[0] not in AROUND:
            msg = f"{given}: a version is made again by its own plan; only {', '.join(AROUND)} can be overridden"
            raise ConfigurationError(msg)
    plan = load_plan(overrides, project)
    uri = tracking_uri(plan.tracking, project.root)
    witness = None if arguments.no_record else Witness.of(plan, arguments.signer)
    found = reproduce(arguments.model, uri, project.root, Trust.of(plan.team))
    if witness is not None:
        found = keep(found, plan, uri, project.root, witness)
    if arguments.json:
        _print_json(found.model_dump(mode="json"))
    else:
        from headframe.reproduction.page import show_reproduction

        show_reproduction(found)
    return DIFFERENT if found.verdict == "different" else 0


def _list(arguments: argparse.Namespace) -> int:
    from headframe.config.targets.nearest import nearest
    from headframe.show import show_choices

    project = _project()
    groups = sorted(folder.name for folder in project.conf.iterdir() if folder.is_dir())
    if arguments.group is not None:
        asked = arguments.group if arguments.group in groups else arguments.group.removesuffix("s")
        if asked not in groups:
            msg = f"list {arguments.group}: there is no such group; {nearest(arguments.group, groups)}"
            raise ConfigurationError(msg)
        groups = [asked]
    if arguments.json:
        _print_json({group: project.choices(group) for group in groups})
    else:
        show_choices(project, groups)
    return 0


def _models(arguments: argparse.Namespace) -> int:
    answer = arguments.act(arguments, _project())
    if arguments.json:
        _print_json(answer.document)
    else:
        sys.stdout.write("".join(f"{line}\n" for line in answer.lines))
    return int(answer.code)


def _data(arguments: argparse.Namespace) -> int:
    project = _project()
    found, lines = _tables(arguments, project) or _versions(arguments, project)
    if arguments.json:
        _print_json(found)
    elif not lines:
        sys.stdout.write("nothing is stored yet; store a data set with: headframe ingest\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _tables(arguments: argparse.Namespace, project: Any) -> tuple[Any, list[str]] | None:
    """Answer what the tables themselves tell, without DVC: as JSON and as lines. None: it is a question of versions."""
    if arguments.action not in {"list", "show", "rejected"}:
        return None
    from headframe.datasets.table import ABOUT, Table

    if arguments.action == "list":
        records = [Table.open(file.parent).record() for file in sorted(project.data.glob(f"*/{ABOUT}"))]
        return [record.model_dump(mode="json") for record in records], [record.summary for record in records]
    if not arguments.dataset:
        msg = f"data {arguments.action} needs a data set, as in: headframe data {arguments.action} digits"
        raise ConfigurationError(msg)
    table = Table.open(project.data / arguments.dataset)
    if arguments.action == "rejected":
        rows = table.rejected().to_pylist()
        lines = [f"{row['source']}, position {row['position']}: {row['reason']}" for row in rows]
        return rows, lines or ["no row was rejected"]
    about = table.about
    lines = [
        f"{about.dataset}: {about.title}",
        f"licence    {about.licence}",
        f"rows       {about.rows:,}, and {about.rejected:,} rejected",
        f"version    {about.digest}",
        *(f"column     {name}: {kind}" for name, kind in about.columns.items()),
    ]
    return about.model_dump(mode="json"), lines


def _versions(arguments: argparse.Namespace, project: Any) -> tuple[Any, list[str]]:
    """Answer what DVC knows: as JSON and as lines."""
    from headframe.datasets.versions import Versions

    versions = Versions(project.root)
    if arguments.action == "restore":
        if not arguments.dataset or not arguments.digest:
            msg = "data restore needs a data set and a digest, as in: headframe data restore digits 3eced3ff"
            raise ConfigurationError(msg)
        record = versions.restore(arguments.dataset, arguments.digest)
        return record.model_dump(mode="json"), [f"{record.folder}: {record.rows:,} rows, version {record.digest[:8]}"]
    if arguments.action == "verify":
        files = versions.verify()
        return {"files": files}, [f"{files} files are what was stored"] if files else []
    if arguments.action == "status":
        states = versions.status()
        return states, [f"{name:16}{state}" for name, state in states.items()]
    stored = versions.versions()
    lines = [
        f"{version.data[:8]}  " + ", ".join(f"{name} {digest[:8]}" for name, digest in version.datasets.items())
        for version in stored
    ]
    return [version.model_dump(mode="json") for version in stored], lines


def _up(arguments: argparse.Namespace) -> int:
    from headframe.config.project import Project
    from headframe.servers import up

    running = up(Project.find(Path.cwd()).root, prefect_port=arguments.prefect_port, mlflow_port=arguments.mlflow_port)
    return _tell_servers(running, arguments)


def _down(arguments: argparse.Namespace) -> int:
    from headframe.config.project import Project
    from headframe.servers import down

    return _tell_servers(down(Project.find(Path.cwd()).root), arguments)


def _status(arguments: argparse.Namespace) -> int:
    from headframe.config.project import Project
    from headframe.servers import status

    return _tell_servers(status(Project.find(Path.cwd()).root), arguments)


def _tell_servers(servers: Any, arguments: argparse.Namespace) -> int:
    if arguments.json:
        _print_json([server.model_dump(mode="json") for server in servers])
        return 0
    for server in servers:
        sys.stdout.write(f"{server.summary}\n")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from headframe.config.project import Project
    from headframe.doctor import run

    checks = run(Project.find(Path.cwd()).root)
    if arguments.json:
        _print_json([check.model_dump(mode="json") for check in checks])
    else:
        from headframe.show import show_checks

        show_checks(checks)
    return HeadframeError.exit_code if any(check.state == "fail" for check in checks) else 0


def _key(arguments: argparse.Namespace) -> int:
    from headframe.signing.keys import make_key, own_keys

    if arguments.name is None:
        found = [{"name": key.name, "public": key.public, "file": str(key.file)} for key in own_keys()]
        if arguments.json:
            _print_json(found)
        else:
            none = "there is no key yet; make one with: headframe key NAME\n"
            sys.stdout.write("".join("{name:16}{public}  {file}\n".format(**key) for key in found) or none)
        return 0
    key = make_key(arguments.name)
    lines = f"people:\n  {key.name}:\n    key: {key.public}\n    roles: [author]\n"
    if arguments.json:
        _print_json({"name": key.name, "public": key.public, "file": str(key.file), "team": lines})
    else:
        sys.stdout.write(
            f"{key.name}: made in {key.file}, which only you can read; keep a copy where nobody else can\n"
            f"public part: {key.public}\n\nfor a file in conf/team/ (roles: reader, author, approver):\n{lines}"
        )
    return 0


def _init(arguments: argparse.Namespace) -> int:
    from headframe.scaffold import init
    from headframe.signing.keys import own_keys

    folder = arguments.here / arguments.folder
    written = init(folder)
    if arguments.json:
        keys = {key.name: key.public for key in own_keys()}
        _print_json({"folder": str(folder.resolve()), "files": written, "keys": keys})
    else:
        sys.stdout.write(
            f"{arguments.folder}: {len(written)} files; next: cd {shlex.quote(arguments.folder)} && headframe run\n"
        )
    return 0
