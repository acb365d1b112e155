"""A team's servers: PostgreSQL and MLflow with accounts and roles, and the people who may use them.

python infra/team up DIR              start, and create what is missing; everything is in DIR
python infra/team person DIR NAME ROLE [ROLE ...]
                                      add a person, or set other roles and new passwords
python infra/team status DIR          what runs, and where
python infra/team down DIR            stop; a later `up` goes on with what is there
"""

import argparse
import logging
import os
import re
import sys
import time
from pathlib import Path

import database
import registry
from folder import Settings, TeamFolder, password

from headframe.errors import ConfigurationError, HeadframeError
from headframe.telemetry import switch_off

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")
_TAKEN = re.compile(r"admin|postgres|pg_.*|mlflow.*|headframe.*")
_LOOPBACK = "127."


def up(team: TeamFolder, arguments: argparse.Namespace) -> None:
    """Start both servers and create what is missing: cluster, databases, the ledger's tables, roles."""
    began = time.monotonic()
    settings = _settings(team, arguments)
    team.make()
    team.save(settings)
    if not settings.host.startswith(_LOOPBACK):
        _print(f"warning: {settings.host} is no loopback address and nothing is encrypted; put TLS in front of both")
    if settings.own:
        database.start(team, settings)
    database.prepare(team, settings)
    _print(f"postgresql up at {settings.database_host}:{settings.database_port} after {time.monotonic() - began:.1f} s")
    _make_tables(team, settings)
    database.set_roles(team, settings)
    registry.start(team, settings)
    registry.set_roles(team, settings)
    _print(f"mlflow     up at {settings.uri} after {time.monotonic() - began:.1f} s")


def down(team: TeamFolder, _: argparse.Namespace) -> None:
    """Stop what `up` started, and nothing else."""
    settings = team.settings()
    registry.stop(team)
    if settings.own:
        database.stop(team)
    _print("down")


def status(team: TeamFolder, _: argparse.Namespace) -> None:
    """Print what runs, and where."""
    settings = team.settings()
    kind = ("up" if database.is_running(team) else "down") if settings.own else "not ours"
    _print(f"postgresql {kind}, {settings.database_host}:{settings.database_port}")
    runs = registry.process(team)
    state = "down" if runs is None else f"{'up' if registry.is_up(settings) else 'starting'} (process {runs.pid})"
    _print(f"mlflow     {state}, {settings.uri}")


def person(team: TeamFolder, arguments: argparse.Namespace) -> None:
    """Add a person; the variables for their shell are printed to stdout, and stored nowhere."""
    name, roles = arguments.name, tuple(dict.fromkeys(arguments.roles))
    if not _NAME.fullmatch(name) or _TAKEN.fullmatch(name):
        msg = f"{name!r} cannot name a person; expected small letters, digits, - and _, and no name of the servers' own"
        raise ConfigurationError(msg)
    settings = team.settings()
    tracking, ledger = password(), password()
    registry.set_person(team, settings, name, roles, tracking)
    database.set_person(team, settings, name, roles, ledger)
    _print(f"{name} is {' and '.join(roles)}; these lines are for their own shell, and hold their passwords:")
    lines = {
        "MLFLOW_TRACKING_URI": settings.uri,
        "MLFLOW_TRACKING_USERNAME": name,
        "MLFLOW_TRACKING_PASSWORD": tracking,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "HEADFRAME_LEDGER": database.address(settings, name, ledger, database.LEDGER),
    }
    sys.stdout.write("".join(f"export {variable}={value}\n" for variable, value in lines.items()))


def _settings(team: TeamFolder, arguments: argparse.Namespace) -> Settings:
    """Return the options of now, and where there are none those of the last `up`."""
    before = team.saved()
    host = arguments.host or (before.host if before else "127.0.0.1")
    named = os.environ.get("PGHOST")
    own = before.own if before else named is None
    if own:
        database_host, database_port = host, arguments.database_port or (before.database_port if before else 5432)
    else:
        database_host = named or (before.database_host if before else host)
        database_port = int(os.environ.get("PGPORT") or (before.database_port if before else 5432))
    settings = Settings(
        host=host,
        port=arguments.port or (before.port if before else 5000),
        database_host=database_host,
        database_port=database_port,
        own=own,
        allow=tuple(arguments.allow or (before.allow if before else ())),
        workers=arguments.workers or (before.workers if before else 2),
    )
    if settings.own and settings.port == settings.database_port:
        msg = f"--port and --database-port are both {settings.port}; give each server a port of its own"
        raise ConfigurationError(msg)
    if before not in (None, settings) and (registry.process(team) is not None or database.is_running(team)):
        msg = f"the servers in {team.path} are up with other settings; run `down` before `up` with new ones"
        raise ConfigurationError(msg)
    return settings


def _make_tables(team: TeamFolder, settings: Settings) -> None:
    """Create the ledger's tables as their owner; no other role may."""
    from headframe.ledger.database import LedgerDatabase, resolve_address  # noqa: PLC0415 - slow; no other command does

    owner = database.DATABASES[database.LEDGER]
    address = database.address(settings, owner, team.secrets()[owner], database.LEDGER)
    LedgerDatabase(resolve_address(address, team.path)).create_tables()


def _print(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> int:
    """Run one command; a mistake is one sentence."""
    parser = argparse.ArgumentParser(
        prog="infra/team", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (up, down, status, person):
        added = commands.add_parser(command.__name__, help=(command.__doc__ or "").splitlines()[0])
        added.set_defaults(command=command)
        added.add_argument("folder", metavar="DIR", type=Path, help="the folder of the servers")
        if command is up:
            added.add_argument("--host", help="address to listen on; default: 127.0.0.1")
            added.add_argument("--port", type=int, help="of MLflow; default: 5000")
            added.add_argument("--database-port", type=int, help="of PostgreSQL; default: 5432")
            added.add_argument("--allow", action="append", metavar="NAME[:PORT]", help="what clients call MLflow, too")
            added.add_argument("--workers", type=int, help="processes of MLflow's; default: 2")
        if command is person:
            added.add_argument("name")
            added.add_argument(
                "roles", nargs="+", choices=database.ROLES, metavar="ROLE", help=", ".join(database.ROLES)
            )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    switch_off()
    try:
        arguments.command(TeamFolder(arguments.folder.resolve()), arguments)
    except HeadframeError as error:
        _print(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
