"""`headframe reproduce`: a registered version trained again, and compared."""

import argparse

from headframe.cli.context import open_project, single_plan
from headframe.cli.output import CommandResult, page_file
from headframe.cli.parser import MODEL, Commands, add_overrides, add_signer
from headframe.errors import DIFFERENT, ConfigurationError

OVERRIDABLE = ("gate", "promotion", "team", "tracking")
"""Groups that an override may name where the version's own plan decides everything else."""


def add_commands(commands: Commands) -> None:
    """Add the command that reproduces a version."""
    summary = "train a registered version again and report what differs"
    reproduce = add_signer(commands.add("reproduce", _reproduce, summary))
    reproduce.add_argument("model", help=MODEL)
    add_overrides(reproduce, "tracking.uri=http://127.0.0.1:5000")
    reproduce.add_argument("--to", metavar="FILE", help="also write the result to FILE.html, as a page, or to FILE.md")
    reproduce.add_argument("--no-record", action="store_true", help="compare only: sign and store nothing")


def _reproduce(arguments: argparse.Namespace) -> CommandResult:
    project = open_project()
    import re

    from headframe.config.load import load_plan
    from headframe.digests import write_atomically
    from headframe.permissions import require_own
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
    if not arguments.no_record:
        require_own(project.root)
    key = None if arguments.no_record else verdict_key(plan.team, arguments.signer)
    found = reproduce(arguments.model, tracking_uri(plan.tracking, project.root), project.root, Trust.of(plan.team))
    if key is not None:
        found = record_verdict(found, plan, project.root, key)
    if target is not None:
        write_atomically(target, render_reproduction(found, target.suffix))
    code = DIFFERENT if found.verdict == "different" else 0
    return CommandResult(found, code=code, show=lambda: show_reproduction(found))
