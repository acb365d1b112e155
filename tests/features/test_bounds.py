"""Every setting of the features at the edge of what it may be, and one step beyond."""

from collections.abc import Callable
from typing import Any

import pytest

from headframe.examples.augment import GaussianNoise, RandomAffine, RandomShift, TokenDropout
from headframe.features.dates import CYCLES, TabularDates
from headframe.features.tabular import Tabular
from headframe.features.tfidf import Tfidf
from headframe.features.tokens import Tokens
from headframe.features.windows import Windows

TOKENS = {"unit": "word", "length": 1, "vocabulary": 3, "min_count": 1}
AFFINE = {"degrees": 0.0, "scale": 0.0, "pixels": 0.0}


@pytest.mark.parametrize(
    ("make", "allowed", "beyond"),
    [
        (RandomShift, {"pixels": 1}, {"pixels": 0}),
        (TokenDropout, {"share": 0.0}, {"share": -1e-9}),
        (TokenDropout, {"share": 0.999}, {"share": 1.0}),
        (GaussianNoise, {"deviation": 0.0}, {"deviation": -1e-9}),
        *((RandomAffine, AFFINE, {name: -1e-9}) for name in AFFINE),
        (TabularDates, {"parts": list(CYCLES)[:1]}, {"parts": []}),
        *((Tabular, {"min_count": 1, "max_values": 1}, {name: 0}) for name in ("min_count", "max_values")),
        *((Tfidf, {"analyzer": "word", "ngrams": (1, 1)}, {"ngrams": pair}) for pair in ((0, 1), (2, 1), (1,))),
        *((Tokens, TOKENS, {name: TOKENS[name] - 1}) for name in ("length", "vocabulary", "min_count")),
        (Windows, {"lookback": 1}, {"lookback": 0}),
    ],
)  # fmt: skip
def test_settings_reach_to_their_bounds_and_no_further(
    make: Callable[..., Any], allowed: dict[str, Any], beyond: dict[str, Any]
) -> None:
    make(**allowed)
    [name] = beyond
    with pytest.raises(ValueError, match=name):
        make(**{**allowed, **beyond})
