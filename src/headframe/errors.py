"""The exceptions that users meet.

Each carries one sentence - what came, what was expected, what to do - and the exit code that the
command line ends with. Anything else that escapes is a fault of Headframe itself.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import ClassVar

MOST_NAMES = 8
LONGEST_NAME = 60
"""What a message lists at most, and how many characters of each: ten thousand columns help nobody."""

LONGEST_VALUE = 200
"""Characters of a value that a message quotes."""

_CREDENTIALS = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@", re.IGNORECASE)

REFUSED = 4
"""Exit code of what ended as it should, with a decision against a model, and of `Refused`."""

DIFFERENT = 5
"""Exit code of a reproduction that came to another result; no exception, since nothing failed."""


class HeadframeError(Exception):
    """A run failed for a reason that its user can fix; its text holds no password of an address."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        """Return the sentence."""
        return without_credentials(super().__str__())


class Unavailable(HeadframeError):
    """A server or another machine does not respond now; the same may work in a minute."""


class ConfigurationError(HeadframeError):
    """The plan or the command line asks for something that cannot be."""

    exit_code = 2


class DataError(HeadframeError):
    """Data is not what its contract says: checksum, columns, types, values, classes."""

    exit_code = 3


class RowError(DataError):
    """A row is not what its contract says.

    Args:
        before: the message up to the number of the row.
        row: from 1, in what was looked at.
        after: the rest of the message.
    """

    def __init__(self, before: str, row: int, after: str) -> None:
        super().__init__(f"{before} in row {row}{after}")
        self._before, self._row, self._after = before, row, after

    def behind(self, rows: int) -> "RowError":
        """Return the same error as counted from so many rows before."""
        return RowError(self._before, self._row + rows, self._after)

    def in_rows(self, ends: Sequence[int]) -> "RowError":
        """Return the same error, counted in entries, as of the row that holds the entry.

        Args:
            ends: by row, how many entries it and those before it have.
        """
        return RowError(self._before, bisect_left(ends, self._row) + 1, self._after)


class Refused(HeadframeError):
    """A proof is missing, or does not hold: a gate, an approval, a signature, a digest."""

    exit_code = REFUSED


def refuse_if(problem: str | None) -> None:
    """Raise `Refused` if there is a problem."""
    if problem is not None:
        raise Refused(problem)


def some(names: Iterable[object], most: int = MOST_NAMES) -> str:
    """Return names as a message lists them: the first few, each shortened, and how many more there are.

    >>> some(range(10))
    '0, 1, 2, 3, 4, 5, 6, 7 and 2 more'
    """
    texts = list(map(str, names))
    shown = [text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..." for text in texts[:most]]
    more = len(texts) - most
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def shown(value: object) -> str:
    """Return a value as a message quotes it, shortened: a plan may hold a whole list of classes."""
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def without_credentials(text: str) -> str:
    """Return a text in which addresses hold no password.

    >>> without_credentials("https://anna:secret@host/path refused")
    'https://anna:***@host/path refused'
    """
    return _CREDENTIALS.sub(r"\1:***@", text)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; where it has none, the error's name."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
