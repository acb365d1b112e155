"""The entry point `headframe`.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 data contract broken, 4 gate or approval
refused, 5 not reproduced, 130 interrupted, 143 ended by SIGTERM. With `--json` exactly one JSON document goes to
stdout; progress always goes to stderr.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from headframe import __version__
from headframe.cli import data, models, predict, project, reproduce, run
from headframe.cli.output import accept_any_character, error_message, failure, log_to_stderr
from headframe.cli.parser import Commands, Parser
from headframe.errors import ConfigurationError, HeadframeError
from headframe.signals import raising_terminated

EPILOG = """\
examples:
  headframe run experiment=digits_ensemble           raw data to a champion that serves
  headframe run model=cnn,mlp seed=range(3)          several runs, one table
  headframe run --cfg experiment=mnist_cnn           print the plan, run nothing
  headframe predict digits rows.parquet scored.parquet
  headframe serve digits@champion

exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 data contract broken,
            4 gate refused (of several runs: all were), 5 not reproduced, 130 interrupted, 143 ended by SIGTERM
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    with raising_terminated():
        return _main(sys.argv[1:] if argv is None else argv)


def _main(given: Sequence[str]) -> int:
    as_json = "--json" in given
    accept_any_character()
    try:
        arguments = _parse(given)
        from pathlib import Path

        from headframe.exhaustion import quiet_when_exhausted
        from headframe.garbage import collect_rarely
        from headframe.library_warnings import shorten_warnings
        from headframe.loopback import bypass_proxies
        from headframe.permissions import keep_private
        from headframe.processes import temporary_folder
        from headframe.telemetry import switch_off

        switch_off()
        collect_rarely()
        bypass_proxies()
        log_to_stderr()
        shorten_warnings()
        quiet_when_exhausted()
        keep_private()  # also what dependencies create, and what children do
        arguments.here = Path.cwd()
        _enter(arguments.project)
        with temporary_folder():
            result = arguments.command(arguments)
        if result is not None:
            result.print(as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe; what is still to be written at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return HeadframeError.exit_code
    except (Exception, KeyboardInterrupt) as error:
        message = error_message(error)
        if message is None:
            raise
        result = failure(*message)
        result.print(as_json=as_json)
    return 0 if result is None else int(result.code)


def _enter(project: str | None) -> None:
    if project is not None:
        if not os.path.isdir(project):  # noqa: PTH112 - `--help` needs no pathlib
            raise ConfigurationError(f"--project {project}: there is no such folder")
        os.chdir(project)


def _parse(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line; overrides may stand on both sides of an option, which argparse alone does not allow."""
    parser = Parser(
        prog="headframe",
        description="Data mining with deep learning in which every result is a proof.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"headframe {__version__}")
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    common.add_argument("--project", metavar="DIR", help="the project's folder; default: found by walking up from here")
    commands = Commands(parser.add_subparsers(title="commands", metavar="COMMAND", required=True), common, given)
    for group in (run, predict, reproduce, models, data, project):
        group.add_commands(commands)
    arguments, others = parser.parse_known_args(given)
    if others:
        if "overrides" not in arguments or any(each.startswith("-") for each in others):
            raise ConfigurationError(f"unrecognized arguments: {' '.join(others)}; see `{arguments.prog} --help`")
        arguments.overrides += others
    return arguments
