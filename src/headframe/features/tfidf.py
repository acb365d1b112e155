"""Text as weighted counts of words or characters, for linear models."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from typing_extensions import override

from headframe.config.ranges import Count
from headframe.errors import DataError
from headframe.features.base import Encoder
from headframe.features.columns import text_column
from headframe.features.spec import InputSpec

WORD = r"(?u)[\u3400-\u9fff]|(?:(?![\u3400-\u9fff])\w)+"
"""A Chinese character, or a run of letters and digits; scikit-learn's own pattern drops words of one letter."""


class Tfidf(Encoder):
    """Text as a CSR row (features,) float64 of n-gram counts times inverse document frequency, of length 1.

    Args:
        analyzer: whether n-grams are of words (a Chinese character is a word) or of characters.
        ngrams: shortest and longest n-gram.
        min_count: training rows that must hold an n-gram.
        max_features: largest number of n-grams, the most frequent ones.
        sublinear: whether a count c weighs 1 + log(c) instead of c.
        lower: whether capital letters count as small ones.
        column: the column of text; default: the data set's only input.
    """

    gives: ClassVar[str] = "sparse"

    def __init__(
        self,
        analyzer: Literal["word", "char"],
        ngrams: Annotated[Sequence[Count], Field(min_length=2, max_length=2)],
        *,
        min_count: Count = 1,
        max_features: Count | None = None,
        sublinear: bool = False,
        lower: bool = True,
        column: str | None = None,
    ) -> None:
        if len(ngrams) != 2 or not 1 <= ngrams[0] <= ngrams[1]:  # noqa: PLR2004 - shortest and longest
            raise ValueError(f"ngrams is [shortest, longest], such as [1, 2], not {list(ngrams)}")
        self.columns = (column,) if column else ()
        self.settings = {
            "analyzer": analyzer,
            "ngram_range": tuple(ngrams),
            "sublinear_tf": sublinear,
            "lowercase": lower,
            "token_pattern": WORD if analyzer == "word" else None,
        }
        self.min_count = min_count
        self.max_features = max_features
        self.vectorizer_: TfidfVectorizer

    def _fit(self, rows: pa.Table) -> None:
        vectorizer = TfidfVectorizer(min_df=self.min_count, max_features=self.max_features, **self.settings)
        name = self.column
        try:
            vectorizer.fit(text_column(rows, name))
        except ValueError as error:
            raise DataError(f"column {name!r} has no n-gram in training rows to fit to: {error}") from error
        self.vectorizer_ = vectorizer

    def _encode(self, rows: pa.Table) -> sparse.csr_matrix:
        return sparse.csr_matrix(self.vectorizer_.transform(text_column(rows, self.column)))

    @override
    def spec(self) -> InputSpec:
        return InputSpec(self.gives, {"feature": len(self.vectorizer_.vocabulary_)}, sparse=True)

    @override
    def state(self) -> dict[str, Any]:
        return {
            "columns": list(self.columns),
            "vocabulary": [str(term) for term in self.vectorizer_.get_feature_names_out()],
            "idf": self.vectorizer_.idf_.tolist(),
        }

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.columns = tuple(state["columns"])
        self.vectorizer_ = TfidfVectorizer(vocabulary=state["vocabulary"], **self.settings)
        self.vectorizer_.idf_ = np.array(state["idf"])
