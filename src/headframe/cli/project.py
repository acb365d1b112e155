"""`headframe init`, `doctor`, `list`, `key`, `up`, `down`, `status`: the project, this machine and its servers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from headframe.cli.context import find_project, keep_to_owner, open_project
from headframe.cli.output import CommandResult, of_records
from headframe.cli.parser import Commands
from headframe.errors import ConfigurationError, HeadframeError

if TYPE_CHECKING:
    from headframe.servers import Server


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    up = commands.add("up", _up, "start Prefect and MLflow on this machine and wait until they respond")
    up.add_argument("--prefect-port", type=int, help="of Prefect; default: 4200")
    up.add_argument("--mlflow-port", type=int, help="of MLflow; default: 5000")
    commands.add("down", _down, "stop what `up` started")
    status = commands.add("status", _status, "which servers run, and where; prints a link to open each in a browser")
    status.add_argument("--export", action="store_true", help="print variables for a shell: address and secret of each")
    listing = commands.add("list", _list, "what conf/ offers: models, datasets, experiments and more")
    listing.add_argument("group", nargs="?", help="one group, e.g. models")
    commands.add("doctor", _doctor, "check this machine and project, and suggest fixes")
    key = commands.add("key", _key, "list the keys that you sign with, or create one")
    key.add_argument("name", nargs="?", help="of a key to create: lower-case letters, digits, - and _, as in anna")
    init = commands.add("init", _init, "create a new project, and a first signing key if you have none")
    init.add_argument("folder", help="a folder that is empty or does not exist")


def _up(arguments: argparse.Namespace) -> CommandResult:
    from headframe.servers import up

    project = find_project()
    keep_to_owner(project)
    ports = {"prefect_port": arguments.prefect_port, "mlflow_port": arguments.mlflow_port}
    return _of_servers(up(project.root, **ports))


def _down(_: argparse.Namespace) -> CommandResult:
    from headframe.servers import down

    return of_records(down(find_project().root))


def _status(arguments: argparse.Namespace) -> CommandResult:
    import shlex

    from headframe.servers import exports, status

    root = find_project().root
    if arguments.export:
        variables = exports(root)
        return CommandResult(variables, [f"export {name}={shlex.quote(value)}" for name, value in variables.items()])
    return _of_servers(status(root))


def _of_servers(servers: list[Server]) -> CommandResult:
    links = [f"  {server.link}" for server in servers if server.link]
    advice = ["to open their pages in a browser, once each and within ten minutes:"] if links else []
    return CommandResult(servers, [*map(str, servers), *advice, *links])


def _list(arguments: argparse.Namespace) -> CommandResult:
    from headframe.cli.console import show_choices
    from headframe.config.targets.nearest import nearest

    project = open_project()
    groups = sorted(folder.name for folder in project.conf.iterdir() if folder.is_dir())
    if arguments.group is not None:
        group = arguments.group if arguments.group in groups else arguments.group.removesuffix("s")
        if group not in groups:
            msg = f"list {arguments.group}: there is no such group; {nearest(arguments.group, groups)}"
            raise ConfigurationError(msg)
        groups = [group]
    document = {group: project.choices(group) for group in groups}
    return CommandResult(document, show=lambda: show_choices(project, groups))


def _doctor(_: argparse.Namespace) -> CommandResult:
    from headframe.cli.console import show_checks
    from headframe.doctor import check_all

    checks = check_all(find_project().root)
    code = HeadframeError.exit_code if any(check.state == "fail" for check in checks) else 0
    return CommandResult(checks, code=code, show=lambda: show_checks(checks))


def _key(arguments: argparse.Namespace) -> CommandResult:
    from headframe.signing.keys import create_key, own_keys

    if arguments.name is None:
        found = [{"name": key.name, "public": key.public, "file": str(key.file)} for key in own_keys()]
        lines = ["{name:16}{public}  {file}".format(**key) for key in found]
        return CommandResult(found, lines or ["there is no key yet; create one with: headframe key NAME"])
    key = create_key(arguments.name)
    team = f"people:\n  {key.name}:\n    key: {key.public}\n    roles: [author]\n"
    lines = [
        f"{key.name}: created in {key.file}, which only you can read; keep a backup where nobody else can read it",
        f"public key: {key.public}",
        "",
        "for a file in conf/team/ (roles: reader, author, approver):",
        *team.splitlines(),
    ]
    return CommandResult({"name": key.name, "public": key.public, "file": str(key.file), "team": team}, lines)


def _init(arguments: argparse.Namespace) -> CommandResult:
    import shlex

    from headframe.scaffold import init
    from headframe.signing.keys import own_keys

    folder = arguments.here / arguments.folder
    written = init(folder)
    keys = {key.name: key.public for key in own_keys()}
    line = f"{arguments.folder}: {len(written)} files; next: cd {shlex.quote(arguments.folder)} && headframe run"
    return CommandResult({"folder": str(folder.resolve()), "files": written, "keys": keys}, [line])
