"""The parser of the command line, and the arguments that several commands share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from headframe.cli.output import CommandResult
from headframe.errors import ConfigurationError

Command = Callable[[argparse.Namespace], CommandResult | None]
"""Runs a command; None where it has printed all there is to print."""

MODEL = "NAME, NAME@ALIAS or NAME/VERSION; NAME means its champion"


def _width() -> int:
    """Return how wide help may be, as `shutil` does, whose import takes a tenth of the time of `--help`."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (ValueError, OSError):  # no terminal, or none that is open
        return 80


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Leaves the lines of descriptions and examples as they are; the width is looked up once."""

    width = 0

    def __init__(self, prog: str) -> None:
        HelpFormatter.width = HelpFormatter.width or _width() - 2  # the margin that argparse leaves
        super().__init__(prog, width=self.width)


class Parser(argparse.ArgumentParser):
    """Accepts only whole option names, and reports errors in one sentence instead of repeating the whole usage."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=HelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the command line."""
        raise ConfigurationError(f"{message}; see `{self.prog} --help`")


class Commands(NamedTuple):
    """A parser's subcommands.

    Attributes:
        subparsers: what argparse calls them.
        common: arguments of every command.
        given: the command line.
    """

    subparsers: argparse._SubParsersAction[Any]
    common: argparse.ArgumentParser
    given: Sequence[str]

    def add(self, name: str, command: Command, summary: str, *, epilog: str | None = None) -> argparse.ArgumentParser:
        """Add a command; its summary stands in the list of commands and, as a sentence, in its own help."""
        parser: argparse.ArgumentParser = self.subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=epilog,
            parents=[self.common],
        )
        parser.set_defaults(command=command, prog=parser.prog)
        return parser


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    """Add Hydra overrides to the arguments of a command."""
    # With a default, since argparse otherwise calls them required where something before them is missing.
    parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help=f"Hydra overrides: {example}")


def add_signer(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the option that chooses the key to sign with."""
    parser.add_argument("--as", dest="signer", metavar="NAME", help="the key to sign with, if you have several")
    return parser
