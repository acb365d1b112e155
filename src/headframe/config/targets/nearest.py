"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable


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
    return f"choose one of {', '.join(known)}" if known else "there is none to choose from"
