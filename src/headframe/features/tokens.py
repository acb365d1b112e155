"""Text as ids of words, pieces of words or characters."""

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from typing_extensions import override

from headframe.config.ranges import Count
from headframe.errors import DataError
from headframe.features.base import Encoder
from headframe.features.columns import text_column
from headframe.features.spec import InputSpec

PADDING, UNKNOWN = 0, 1
SPECIAL = ["[PAD]", "[UNK]"]
AT_ONCE = 4096
"""Texts tokenised at once, so that memory stays bounded whatever the size of the table."""

WORD = r"\p{Han}|(?:(?!\p{Han})[\p{L}\p{M}\p{N}_])+|[^\s]"
"""One Chinese character, or a run of letters and digits, or any other sign, such as an emoji, by itself."""

SHAPE = r"\p{Han}|\p{Nd}+|(?:(?!\p{Han}|\p{Nd})[\p{L}\p{M}\p{N}_])+|[^\s]"
"""The same with a run of digits separate from the letters around it."""

PIECE = r"\p{Han}| ?(?:(?!\p{Han})[\p{L}\p{M}\p{N}_])+| ?[^\s\p{L}\p{M}\p{N}_]"
"""The same with the blank before a word, so that a piece shows whether it begins a word."""

CHARACTER = r"[\s\S]"


@dataclass(frozen=True)
class _Unit:
    """What one token is."""

    pattern: str  # what text is split into
    shape_pattern: str  # the same where a run of digits is a word of its own
    keeps_blanks: bool = False  # otherwise a run of them is one, and none is at the ends
    merges: bool = False  # whether frequent pieces of what was split are merged into tokens


UNITS = {
    "word": _Unit(WORD, SHAPE),
    "bpe": _Unit(PIECE, PIECE, merges=True),
    "char": _Unit(CHARACTER, CHARACTER, keeps_blanks=True),
}

LETTERS = re.compile(r"[^\W\d_]{2,}")
CAPITALS = "\ue000"
"""Stands before a word in capitals; a code point for private use, which no text has by convention."""


class Tokens(Encoder):
    """Text as int64 (length,): ids of tokens from the start of the text, then padding.

    The vocabulary comes from training rows and does not depend on their order. Id 0 is padding, id 1 whatever the
    vocabulary lacks. Text that reads `[PAD]` or `[UNK]` is text like any other. The empty string is all padding.

    Args:
        unit: `word` splits at blanks, at signs and around each Chinese character; `bpe` also splits rare words
            into frequent pieces (Sennrich et al., 2016, 10.18653/v1/P16-1162); `char` splits around every character.
        length: tokens in one example; longer texts are truncated.
        vocabulary: largest number of ids, padding and unknown included.
        min_count: times a token, or for `bpe` a pair of pieces, must occur in training rows.
        lower: whether capital letters count as small ones.
        compatible: whether variants of one character, such as full-width letters, count as one (Unicode NFKC).
        digits: whether digits keep their values; otherwise each counts as 0, and a run of them is a word of its own,
            so that long numbers become shapes.
        capitals: whether a token of its own stands before each run of two or more letters that are all capital, so
            that `lower` loses no emphasis.
        column: the column of text; default: the data set's only input.
    """

    gives: ClassVar[str] = "tokens"

    def __init__(
        self,
        unit: Literal["word", "bpe", "char"],
        length: Count,
        *,
        vocabulary: Annotated[int, Field(ge=3)] = 8000,
        min_count: Count = 1,
        lower: bool = True,
        compatible: bool = True,
        digits: bool = True,
        capitals: bool = False,
        column: str | None = None,
    ) -> None:
        if unit not in UNITS:
            raise ValueError(f"unit is one of {', '.join(UNITS)}, not {unit!r}")
        if length < 1 or vocabulary <= len(SPECIAL) or min_count < 1:
            msg = f"length, min_count are at least 1 and vocabulary at least 3, not {length}, {min_count}, {vocabulary}"
            raise ValueError(msg)
        self.unit = UNITS[unit]
        self.length = length
        self.vocabulary = vocabulary
        self.min_count = min_count
        self.lower = lower
        self.compatible = compatible
        self.digits = digits
        self.capitals = capitals
        self.columns = (column,) if column else ()
        self.tokenizer_: Tokenizer

    def _fit(self, rows: pa.Table) -> None:
        tokenizer = self._blank()
        trainer_type: Any = trainers.BpeTrainer if self.unit.merges else trainers.WordLevelTrainer
        trainer = trainer_type(
            vocab_size=self.vocabulary, min_frequency=self.min_count, special_tokens=SPECIAL, show_progress=False
        )
        batches = (self._texts(rows, start) for start in range(0, rows.num_rows, AT_ONCE))
        tokenizer.train_from_iterator(batches, trainer)
        if tokenizer.get_vocab_size() <= len(SPECIAL):
            msg = f"column {self.column!r} has no token in training rows that occurs {self.min_count} times or more"
            raise DataError(msg)
        self.tokenizer_ = tokenizer

    def _blank(self) -> Tokenizer:
        steps: list[Any] = [normalizers.NFKC() if self.compatible else normalizers.NFC()]
        if self.lower:
            steps.append(normalizers.Lowercase())
        if not self.digits:
            steps.append(normalizers.Replace(Regex(r"\p{Nd}"), "0"))
        if not self.unit.keeps_blanks:
            steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        if self.unit.merges:
            steps.append(normalizers.Prepend(" "))
        model: Any = models.BPE if self.unit.merges else models.WordLevel
        tokenizer = Tokenizer(model(unk_token=SPECIAL[UNKNOWN]))
        tokenizer.normalizer = normalizers.Sequence(steps)
        pattern = self.unit.pattern if self.digits else self.unit.shape_pattern
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        tokenizer.encode_special_tokens = True
        return tokenizer

    def _encode(self, rows: pa.Table) -> np.ndarray:
        encoded = np.full((rows.num_rows, self.length), PADDING, dtype=np.int64)
        for start in range(0, rows.num_rows, AT_ONCE):
            for position, found in enumerate(self.tokenizer_.encode_batch(self._texts(rows, start)), start=start):
                ids = found.ids[: self.length]
                encoded[position, : len(ids)] = ids
        return encoded

    def _texts(self, rows: pa.Table, start: int) -> list[str]:
        """Return the texts from row `start` on, as many as are tokenised at once."""
        name = self.column
        found = text_column(rows.slice(start, AT_ONCE).select([name]), name)
        if not self.capitals:
            return found
        # Full-width letters are capitals, too, so variants of a character become one before, not after.
        form: Literal["NFC", "NFKC"] = "NFKC" if self.compatible else "NFC"
        return [LETTERS.sub(_marked, unicodedata.normalize(form, text)) for text in found]

    @override
    def spec(self) -> InputSpec:
        return InputSpec(self.gives, {"time": self.length}, vocabulary=self.tokenizer_.get_vocab_size())

    @override
    def state(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "tokenizer": json.loads(self.tokenizer_.to_str())}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.columns = tuple(state["columns"])
        self.tokenizer_ = Tokenizer.from_str(json.dumps(state["tokenizer"]))
        # The library does not save this switch, which keeps a written "[PAD]" from becoming padding.
        self.tokenizer_.encode_special_tokens = True


def _marked(letters: re.Match[str]) -> str:
    """Return letters with the mark before them where all are capital."""
    return CAPITALS + letters[0] if all(letter.isupper() for letter in letters[0]) else letters[0]
