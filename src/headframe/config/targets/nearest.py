"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable

from headframe.errors import some

MOST_CHOICES = 40
"""Choices that a message lists; a folder of `conf/` has fewer, a table may have thousands of columns."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return which of `choices` was probably meant, as the end of a sentence.

    >>> nearest("accurracy", ["accuracy", "loss"])
    "did you mean 'accuracy'?"
    >>> nearest("zzz", ["accuracy", "loss"])
    'choose one of accuracy, loss'
    """
    known = sorted(choices)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"choose one of {some(known, MOST_CHOICES)}" if known else "there is none to choose from"
