"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable

from headframe.errors import some

MOST_CHOICES = 40
"""Choices that a message lists; a folder of `conf/` has fewer, a table may have thousands of columns."""


MOST_MEANT = 4
"""Choices that are named where several begin as what was written."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return which of `choices` was probably meant, as the end of a sentence.

    >>> nearest("accurracy", ["accuracy", "loss"])
    "did you mean 'accuracy'?"
    >>> nearest("random_forest", ["random_forest_classifier", "random_forest_regressor", "ridge"])
    "did you mean 'random_forest_classifier' or 'random_forest_regressor'?"
    >>> nearest("zzz", ["accuracy", "loss"])
    'choose one of accuracy, loss'
    """
    known = sorted(choices)
    longer = [repr(each) for each in known if name and each.startswith(name)][:MOST_MEANT]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.8 if longer[1:] else 0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    if longer[1:]:
        return f"did you mean {', '.join(longer[:-1])} or {longer[-1]}?"
    return f"choose one of {some(known, MOST_CHOICES)}" if known else "there is none to choose from"
