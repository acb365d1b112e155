import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from headframe.errors import DataError
from headframe.features.tfidf import WORD, Tfidf
from headframe.features.tokens import CAPITALS, PADDING, UNKNOWN, Tokens

KINDS = ["word", "bpe", "char"]
TEXTS = ["Hello, world! 😀😀", "", "基于深度学习的方法", "it's ＦＲＥＥ 12345", "hello hello 深度 world", "naïve café"]


def table(texts: list[str | None]) -> pa.Table:
    return pa.table({"text": pa.array(texts, pa.string())})


def fitted(kind: str, texts: list[str], length: int = 12, **settings: object) -> Tokens:
    encoder = Tokens(kind, length, **settings)  # type: ignore[arg-type]
    encoder.fit(table(texts), ("text",))
    return encoder


def pieces(encoder: Tokens, text: str) -> list[str]:
    assert encoder.tokenizer_ is not None
    ids = encoder.encode(table([text]))[0]
    return [encoder.tokenizer_.id_to_token(int(number)) for number in ids if number != PADDING]


@pytest.fixture(scope="session")
def messages(raw_data: Callable[[str], Path]) -> list[str]:
    lines = (raw_data("sms_spam") / "sms-spam" / "sms.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t", 1)[1] for line in lines]


@pytest.fixture(scope="session")
def titles(raw_data: Callable[[str], Path]) -> list[str]:
    lines = (raw_data("csl_titles") / "csl-zh-titles" / "train.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[1] for line in lines]


@pytest.mark.parametrize("kind", KINDS)
def test_padding_stands_at_the_end_and_an_empty_text_is_all_padding(kind: str) -> None:
    encoder = fitted(kind, TEXTS)
    ids = encoder.encode(table(TEXTS))
    assert ids.dtype == np.int64
    assert ids.shape == (len(TEXTS), 12)
    assert (ids[1] == PADDING).all()
    for row in ids:
        filled = int((row != PADDING).sum())
        assert (row[:filled] != PADDING).all()
    assert ids.max() < encoder.spec().vocabulary


@pytest.mark.parametrize("kind", KINDS)
def test_training_text_of_any_script_has_no_unknown_token(kind: str) -> None:
    assert UNKNOWN not in fitted(kind, TEXTS).encode(table(TEXTS))


@pytest.mark.parametrize("kind", KINDS)
def test_letters_never_seen_are_unknown(kind: str) -> None:
    ids = fitted(kind, TEXTS).encode(table(["ж"]))[0]
    assert UNKNOWN in ids
    assert set(ids.tolist()) <= {PADDING, UNKNOWN, *range(2, 1000)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_special_token_is_text(kind: str) -> None:
    encoder = fitted(kind, TEXTS)
    ids = encoder.encode(table(["[PAD] hello"]))[0]
    assert ids[0] != PADDING


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_training_rows_does_not_matter(kind: str, messages: list[str]) -> None:
    some = messages[:1500]
    shuffled = [some[place] for place in np.random.default_rng(0).permutation(len(some))]
    first, second = fitted(kind, some, vocabulary=900), fitted(kind, shuffled, vocabulary=900)
    assert json.dumps(first.state()) == json.dumps(second.state())
    assert first.spec().vocabulary <= 900


@pytest.mark.parametrize("kind", KINDS)
def test_state_restores_equal_encodings(kind: str, messages: list[str], titles: list[str]) -> None:
    encoder = fitted(kind, messages[:500] + titles[:500], length=40)
    restored = Tokens(kind, 40)  # type: ignore[arg-type]
    restored.restore(json.loads(json.dumps(encoder.state(), sort_keys=True)))
    other = table([*messages[500:900], *titles[500:900], *TEXTS, "[PAD][UNK]"])
    np.testing.assert_array_equal(restored.encode(other), encoder.encode(other))
    assert restored.spec() == encoder.spec()


def test_words_are_split_as_a_reader_would() -> None:
    encoder = fitted("word", TEXTS)
    assert pieces(encoder, "Hello, WORLD! 😀😀") == ["hello", ",", "world", "!", "😀", "😀"]
    assert pieces(encoder, "深度abc") == ["深", "度", "[UNK]"]
    assert pieces(encoder, "free") == ["free"]  # full-width letters are the same word


def test_settings_do_what_they_say() -> None:
    assert pieces(fitted("word", ["a A"], lower=False), "A a b") == ["A", "a", "[UNK]"]
    assert pieces(fitted("word", ["call 0800"], digits=False), "call 1234") == ["call", "0000"]
    assert pieces(fitted("word", ["2nd a1b22"], digits=False), "3rd 44 b") == ["0", "[UNK]", "00", "b"]
    assert pieces(fitted("word", ["a a b"], min_count=2), "a b") == ["a", "[UNK]"]
    assert pieces(fitted("char", ["ab c"]), "b ca") == ["b", " ", "c", "a"]
    assert fitted("word", ["one two three"], length=2).encode(table(["one two three"])).shape == (1, 2)
    assert "".join(pieces(fitted("bpe", TEXTS * 3, vocabulary=60), "hello hello")) == " hello hello"


@pytest.mark.parametrize("kind", KINDS)
def test_capitals_are_marked_before_they_are_lost(kind: str) -> None:
    encoder = fitted(kind, [*TEXTS, "WIN A car NOW, ok McD"], length=40, capitals=True)
    found = "".join(pieces(encoder, "WIN A car ＮＯＷ, ok McD"))
    assert found.replace(" ", "").replace(CAPITALS, "^") == "^winacar^now,okmcd"
    again = Tokens(kind, 40, capitals=True)  # type: ignore[arg-type]
    again.restore(json.loads(json.dumps(encoder.state())))
    np.testing.assert_array_equal(again.encode(table(["FREE car"])), encoder.encode(table(["FREE car"])))


def test_nothing_is_learned_from_other_rows(titles: list[str]) -> None:
    encoder = fitted("char", titles[:200])
    before = encoder.spec().vocabulary
    encoder.encode(table(titles[200:]))
    letters = set(unicodedata.normalize("NFKC", "".join(titles[:200])).lower())
    assert encoder.spec().vocabulary == before == len(letters) + 2


@pytest.mark.parametrize("text", [None, 3])
def test_what_is_no_text_is_refused(text: object) -> None:
    encoder = fitted("word", TEXTS)
    with pytest.raises(DataError, match=r"no text in row 2|text was expected"):
        encoder.encode(pa.table({"text": pa.array([text, text] if text else ["a", None])}))


def test_training_text_without_a_token_is_refused() -> None:
    with pytest.raises(DataError, match="no token in training rows"):
        fitted("word", ["", "  "])
    with pytest.raises(DataError, match="no n-gram in training rows"):
        Tfidf("word", [1, 1]).fit(table(["", " "]), ("text",))


@pytest.mark.parametrize(("analyzer", "ngrams"), [("word", [1, 2]), ("char", [1, 3])])
def test_weights_are_those_of_scikit_learn(analyzer: str, ngrams: list[int], messages: list[str]) -> None:
    encoder = Tfidf(analyzer, ngrams, min_count=2, sublinear=True)  # type: ignore[arg-type]
    encoder.fit(table(messages[:400]), ("text",))
    reference = TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=tuple(ngrams),
        min_df=2,
        sublinear_tf=True,
        token_pattern=WORD if analyzer == "word" else None,
    ).fit(messages[:400])
    other = [*messages[400:600], *TEXTS]
    assert encoder.spec().shape == (len(reference.vocabulary_),)
    assert abs(encoder.encode(table(other)) - reference.transform(other)).max() < 1e-12


@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_restored_weights_are_bitwise_equal(analyzer: str, messages: list[str], titles: list[str]) -> None:
    encoder = Tfidf(analyzer, [1, 2], max_features=3000)  # type: ignore[arg-type]
    encoder.fit(table(messages[:300] + titles[:300]), ("text",))
    restored = Tfidf(analyzer, [1, 2], max_features=3000)  # type: ignore[arg-type]
    restored.restore(json.loads(json.dumps(encoder.state())))
    other = table([*messages[300:600], *titles[300:600], *TEXTS])
    first, second = encoder.encode(other), restored.encode(other)
    assert (first != second).nnz == 0
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.data, second.data)


def test_a_chinese_character_is_a_word_in_weights() -> None:
    encoder = Tfidf("word", [1, 1])
    encoder.fit(table(["深度 deep学习", "a"]), ("text",))
    assert encoder.state()["vocabulary"] == ["a", "deep", "习", "学", "度", "深"]
