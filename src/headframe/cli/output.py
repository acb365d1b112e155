"""The result of a command, and how it and errors are printed."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from headframe.errors import ConfigurationError, HeadframeError, without_credentials
from headframe.exhaustion import exhausted
from headframe.signals import stop_message

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pydantic import BaseModel


class CommandResult(NamedTuple):  # a dataclass would make `--help` pay for the import of inspect
    """The result of a command.

    Attributes:
        document: what `--json` prints: JSON, or records, or JSON that contains records.
        lines: for people.
        code: the exit code.
        show: prints the result for people where lines are not enough.
    """

    document: Any
    lines: Sequence[str] = ()
    code: int = 0
    show: Callable[[], None] | None = None

    def print(self, *, as_json: bool) -> None:
        """Print exactly one JSON document, or what people read."""
        if as_json:
            print_json(self.document)
        elif self.show is not None:
            self.show()
        else:
            sys.stdout.write("".join(f"{line}\n" for line in self.lines))


def of_record(record: Any) -> CommandResult:
    """Return a record as a command's result, with what people read of it."""
    return CommandResult(record, str(record).splitlines())


def of_records(records: Sequence[Any]) -> CommandResult:
    """Return several records as a command's result, with a line each."""
    return CommandResult(records, [str(each) for each in records])


def page_file(arguments: argparse.Namespace) -> Path | None:
    """Return the file that `--to` names, if any.

    Raises:
        ConfigurationError: it is neither HTML nor Markdown, or its folder does not exist.
    """
    if arguments.to is None:
        return None
    target: Path = arguments.here / arguments.to
    if target.suffix not in (".html", ".md"):
        msg = f"--to {arguments.to} ends in {target.suffix or 'nothing'}; name a file that ends in .html or .md"
        raise ConfigurationError(msg)
    if not target.parent.is_dir():
        msg = f"--to {arguments.to}: there is no folder {target.parent}; make it, or name a file elsewhere"
        raise ConfigurationError(msg)
    return target


def print_json(value: Any) -> None:
    """Print one JSON document, records in it as JSON, at once: a server prints its address long before it ends."""
    import json

    # A terminal or pipe that is not UTF-8 gets escapes, which mean the same in JSON.
    escape = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    text = json.dumps(value, indent=2, ensure_ascii=escape, default=lambda record: record.model_dump(mode="json"))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def error_message(error: BaseException) -> tuple[str, int] | None:
    """Return the sentence and the exit code for an error that ends a command; None if it is a bug of Headframe."""
    match error:
        case HeadframeError():
            return str(error), error.exit_code
        case KeyboardInterrupt():
            return stop_message(error)
        case _ if (known := exhausted(error)) is not None:
            return str(known), known.exit_code
        case OSError(errno=int()):
            where = f"{error.filename}: " if error.filename else ""
            advice = "fix that (permissions, disk), then run the same command again"
            return f"{where}{error.strerror}; {advice}", HeadframeError.exit_code
        case _:
            return None


def failure(
    message: str, code: int, *, finished: Sequence[BaseModel] = (), show: Callable[[], None] | None = None
) -> CommandResult:
    """Write an error to stderr and return it as a command's result; `show` prints what was `finished` before."""
    message = without_credentials(message)
    sys.stderr.write(f"headframe: {message}\n")
    done = {"finished": finished} if finished else {}
    return CommandResult({"error": message, "exit_code": code, **done}, code=code, show=show)


def accept_any_character() -> None:
    """Escape what stdout cannot encode, as stderr does: a terminal that is not UTF-8 fails nothing that succeeded."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def log_to_stderr() -> None:
    """Send progress to stderr, one plain line each."""
    import logging

    class Formatter(logging.Formatter):
        """The message alone, without passwords of addresses."""

        def format(self, record: logging.LogRecord) -> str:
            return without_credentials(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("%(message)s"))
    log = logging.getLogger("headframe")
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
