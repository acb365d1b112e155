"""Translation: a text for each text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.config.ranges import Count
from headframe.errors import RowError
from headframe.features.columns import text_column
from headframe.features.tokens import PADDING, Tokens
from headframe.metrics.statistics import Statistic, accuracy, bounded_mean
from headframe.metrics.texts import bleu, chrf
from headframe.tasks.base import Task, require_target, single_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET = "target"
"""The one column of `truth`, and the array of `targets` that holds it as bytes of UTF-8."""
TOKENS = "tokens"
"""The array of `targets` that a network learns from: ids of tokens, the id of the end, padding."""
_BINS = 20


class Translation(Task):
    """A text, learned and generated as tokens of a vocabulary that training targets make.

    Args:
        primary_metric: decides between models: `bleu` of the corpus, as sacrebleu computes it; `sentence_chrf`, the
            mean of each sentence's chrF (Popović 2015, 10.18653/v1/W15-3049); or `exact_match`, the share of texts that
            equal their reference.
        unit: what a token is: `bpe`, a frequent piece of a word, or `char`, a character; see `Tokens`.
        vocabulary: largest number of tokens, padding and unknown included.
        min_count: times a token, or for `bpe` a pair of pieces, must occur in training targets.
        length: tokens of one text; of longer ones the rest is not learned, and no longer ones are generated.
        reference_bytes: the longest target in UTF-8; longer ones are refused, as all are kept with this length.
    """

    kind: ClassVar[str] = "translation"
    hit_rate: ClassVar[str | None] = "exact_match"
    natural_baselines: ClassVar[tuple[str, ...]] = ("headframe.tasks.baselines.nearest_sentence.NearestSentence",)
    captions: ClassVar[Mapping[str, str]] = {
        "agreement": "How many characters and their sequences translations share with their references (chrF)",
        "lengths": "Words of translations beside those of their references",
    }
    caveats: ClassVar[tuple[str, ...]] = (
        "BLEU and chrF compare with the one reference of each row; a good translation in other words scores low.",
        "The score is the model's own mean log-probability of a token, not the probability of being right.",
    )

    def __init__(
        self,
        *,
        primary_metric: Literal["bleu", "sentence_chrf", "exact_match"] = "bleu",
        unit: Literal["bpe", "char"] = "bpe",
        vocabulary: Count = 4000,
        min_count: Count = 2,
        length: Count = 48,
        reference_bytes: Count = 512,
    ) -> None:
        self.primary_metric = primary_metric
        self.higher_is_better = True
        self.length = length
        self.reference_bytes = reference_bytes
        # What a reader sees is generated, so that capital letters and variants of characters stay as they are.
        self.tokens = Tokens(
            unit, length + 1, vocabulary=vocabulary, min_count=min_count, lower=False, compatible=False
        )

    @override
    def fit(self, target: pa.Table) -> None:
        self.tokens.fit(target, (single_target(target, self.kind),))

    @property
    def end(self) -> int:
        """The id that follows the last token of a text, and stands before the first one."""
        return self.tokens.spec().vocabulary

    @property
    @override
    def outputs(self) -> tuple[int, ...]:
        return (self.end + 1,)

    @override
    def targets(self, target: pa.Table) -> dict[str, np.ndarray]:
        require_target(target, self.tokens.columns)
        texts = [text.encode() for text in text_column(target, self.tokens.column)]
        for row, text in enumerate(texts, start=1):
            if len(text) > self.reference_bytes:
                kept = f", but {self.reference_bytes} are kept; raise task.reference_bytes"
                raise RowError(f"target {self.tokens.column!r} has {len(text)} bytes", row, kept)
        references = np.array(texts, dtype=f"S{self.reference_bytes}").view(np.uint8)
        ids = np.asarray(self.tokens.encode(target))
        sizes = (ids != PADDING).sum(axis=1)
        whole = np.flatnonzero(sizes <= self.length)  # after what was cut off, no text ends
        ids[whole, sizes[whole]] = self.end
        return {TOKENS: ids, TARGET: references.reshape(len(texts), self.reference_bytes)}

    @override
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        texts = [row.tobytes().rstrip(b"\0").decode() for row in targets[TARGET]]
        return pa.table({TARGET: pa.array(texts, pa.string())})

    @override
    def ideal(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        [texts] = self.truth(targets).columns
        return self.columns(texts.to_pylist(), np.zeros(len(texts)))

    @property
    @override
    def prediction_schema(self) -> pa.Schema:
        return pa.schema({"translation": pa.string(), "score": pa.float64()})

    def columns(self, texts: Sequence[str], scores: np.ndarray) -> pa.Table:
        """Return the prediction columns of translations and what a model thinks of them, float64 (texts,)."""
        return pa.table({"translation": pa.array(texts, pa.string()), "score": scores}, schema=self.prediction_schema)

    def text(self, ids: Iterable[int]) -> str:
        """Return the text of token ids, which end before the first padding or end."""
        known = takewhile(lambda number: number not in {PADDING, self.end}, ids)
        return "".join(self.tokens.tokenizer_.id_to_token(number) or "" for number in known).strip()

    @override
    def hits(self, predictions: pa.Table) -> np.ndarray:
        found: np.ndarray = np.equal(*_texts(predictions))
        return found

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        return {
            "bleu": bleu(*_texts(predictions)),
            "sentence_chrf": bounded_mean(chrf(*_texts(predictions)), 0.0, 100.0),
            "exact_match": accuracy(self.hits(predictions)),
        }

    @override
    def worst(self, predictions: pa.Table) -> np.ndarray:
        wrong = np.flatnonzero(~self.hits(predictions))
        return wrong[np.argsort(chrf(*_texts(predictions.take(pa.array(wrong)))), kind="stable")]

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.pages.plot_style import (  # noqa: PLC0415 - training and serving draw nothing
            BLUE,
            GREY,
            legend,
            new_figure,
            style,
        )

        agreement, ((axes,),) = new_figure(3)
        axes.hist(chrf(*_texts(predictions)), bins=np.linspace(0, 100, _BINS + 1), color=BLUE)
        style(axes, title="Agreement with references", x="chrF of a sentence", y="sentences")
        lengths, ((axes,),) = new_figure(3)
        words = [[len(text.split()) for text in texts] for texts in _texts(predictions)]
        bins = np.arange(max(map(max, words)) + 2) - 0.5
        axes.hist(words, bins=bins, label=["reference", "translation"], color=[GREY, BLUE])
        legend(axes)
        style(axes, title="Lengths", x="words", y="sentences")
        return {"agreement": agreement, "lengths": lengths}

    @override
    def describe_purpose(self, inputs: Sequence[str], target: str | None) -> str:
        return f"Translates texts (`{inputs[0]}`) as those of `{target}`."

    @override
    def state(self) -> dict[str, Any]:
        return self.tokens.state()

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.tokens.restore(state)


def _texts(predictions: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the references and the translations of a predictions table, each object (rows,)."""
    one, other = (np.array(predictions[name].to_pylist(), dtype=object) for name in (TARGET, "translation"))
    return one, other
