"""Translations measured as sacrebleu measures a corpus, and texts as tokens and back."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from headframe.errors import ConfigurationError, DataError
from headframe.features.tokens import PADDING
from headframe.metrics.statistics import values_of
from headframe.tasks.base import Task, with_truth
from headframe.tasks.baselines.base import BaselineData
from headframe.tasks.baselines.nearest_sentence import NearestSentence
from headframe.tasks.regression import Regression
from headframe.tasks.translation import TOKENS, Translation

SENTENCES = [
    "He's 3.5 m tall.",
    "I am here!",
    "You are there, aren't you?",
    "“No”, I said: he IS HERE.",
    "Tom déjà  vu",
]


def table(texts: list[str]) -> pa.Table:
    return pa.table({"english": texts})


def fitted(texts: list[str] = SENTENCES, **given) -> Translation:
    task = Translation(**{"min_count": 1, **given})
    task.fit(table(texts))
    return task


def predictions(task: Translation, references: list[str], translations: list[str]) -> pa.Table:
    truth = task.truth(task.targets(table(references)))
    return with_truth(truth, task.columns(translations, np.zeros(len(translations))))


WORDS = st.lists(st.sampled_from(["the", "cat", "sat,", "on", "a", "mat.", "3.5", "don't"]), max_size=9).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS.filter(bool), WORDS, st.integers(0, 3)), min_size=1, max_size=8)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(PAIRS.filter(lambda pairs: any(count for *_, count in pairs)))
def test_bleu_is_that_of_sacrebleu_for_any_draw_of_rows(pairs) -> None:
    task = fitted()
    references, translations, counts = (list(each) for each in zip(*pairs, strict=True))
    drawn = np.repeat(np.arange(len(counts)), counts)
    found = task.statistics(predictions(task, references, translations))
    weights = np.array([counts, [1] * len(counts)], dtype=np.float64).T
    for column, rows in enumerate((drawn, np.arange(len(counts)))):
        own, other = [translations[row] for row in rows], [references[row] for row in rows]
        expected = sacrebleu.corpus_bleu(own, [other], use_effective_order=True).score
        assert found["bleu"].evaluate(weights)[column] == expected
        if sacrebleu.corpus_bleu(own, [other]).totals[-1]:
            assert sacrebleu.corpus_bleu(own, [other]).score == expected
        of_rows = [sacrebleu.sentence_chrf(one, [two]).score for one, two in zip(own, other, strict=True)]
        assert found["sentence_chrf"].evaluate(weights)[column] == pytest.approx(np.mean(of_rows))
        equal = np.mean([one == two for one, two in zip(own, other, strict=True)])
        assert found["exact_match"].evaluate(weights)[column] == pytest.approx(equal)


def test_a_whole_corpus_has_the_bleu_that_the_command_line_of_sacrebleu_prints() -> None:
    task = fitted()
    translations = ["He is 3.5 m tall.", "I am here!", "You are there.", "No, I said he is here.", "Tom was here"]
    found = values_of(task.statistics(predictions(task, SENTENCES, translations)), len(SENTENCES))
    assert found["bleu"] == sacrebleu.corpus_bleu(translations, [SENTENCES]).score
    assert 10 < found["bleu"] < 90
    assert found["exact_match"] == 0.2


@pytest.mark.parametrize("unit", ["bpe", "char"])
@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from([*"abIM3.,'!?“”é"]), max_size=6).map("".join))
def test_texts_are_tokens_and_back(unit: str, word: str) -> None:
    texts = [*SENTENCES, "ab3.5? é", word]
    task = fitted([*SENTENCES, "abIM3.,'!?“”é"], unit=unit)
    found = [task.text(row) for row in task.targets(table(texts))[TOKENS].tolist()]
    assert found == [" ".join(text.split()) if unit == "bpe" else text.strip() for text in texts]


def test_a_text_ends_where_it_was_not_cut_off() -> None:
    task = fitted(["a b c d e f"] * 2, length=4)
    ids = task.targets(table(["a b", "a b c d", "a b c d e f"]))[TOKENS]
    assert ids.shape == (3, 5)
    assert [int(np.flatnonzero(row == task.end)[0]) if task.end in row else None for row in ids] == [2, 4, None]
    assert (ids[0, 3:] == PADDING).all()
    assert task.outputs == (task.end + 1,)


def test_truth_is_kept_as_it_is_whatever_the_vocabulary_lacks() -> None:
    strange = ["🙂 x", "ＦＵＬＬ  width", "[PAD] [UNK]", "a" * 512]
    task = fitted()
    assert task.truth(task.targets(table(strange)))["target"].to_pylist() == strange
    assert "🙂" not in task.text(task.targets(table(strange))[TOKENS][0].tolist())


def test_a_target_that_is_too_long_is_named() -> None:
    with pytest.raises(
        DataError, match=r"'english' has 513 bytes in row 2, but 512 are kept; raise task\.reference_bytes"
    ):
        fitted().targets(table(["a", "a" * 513]))


def test_a_task_is_restored_from_json() -> None:
    task, other = fitted(vocabulary=40), Translation()
    other.restore(task.state())
    one, two = task.targets(table(SENTENCES)), other.targets(table(SENTENCES))
    assert other.outputs == task.outputs
    assert all((one[name] == two[name]).all() for name in one)


def test_the_worst_translations_come_first_and_right_ones_not_at_all() -> None:
    task = fitted()
    found = predictions(
        task, ["I am here!", "I am here!", "I am here!", "I am here!"], ["I am", "I am here!", "", "I am here."]
    )
    assert task.worst(found).tolist() == [2, 0, 3]
    assert {*task.plots(found)} == {*task.captions}


def searched(task: Task) -> BaselineData:
    """Rows in memory of which the first three are for training and the others are predicted."""
    rows = pa.table(
        {
            "length": [1, 2, 3, 4, 5],
            "chinese": ["我喝茶", "他睡觉", "我们走", "我睡觉了", "我喝茶"],
            "english": ["I drink tea.", "He sleeps.", "Let's go.", "I am asleep.", "I am drinking tea."],
        }
    )
    dataset = SimpleNamespace(inputs=("length", "chinese"), target="english")
    data = BaselineData(task, dataset, SimpleNamespace(read=rows.select, schema=rows.schema), np.array([3, 4]))  # type: ignore[arg-type]
    data.__dict__["training"] = np.arange(5) < 3
    return data


def test_the_nearest_sentence_is_that_with_most_characters_in_common() -> None:
    task = fitted()
    found = NearestSentence().predictions(searched(task))
    assert found is not None
    assert found.schema == task.prediction_schema
    assert found["translation"].to_pylist() == ["He sleeps.", "I drink tea."]
    near, equal = found["score"].to_pylist()
    assert 0.5 < near < equal == pytest.approx(1.0)


def test_a_baseline_of_translations_is_for_translations_of_text() -> None:
    with pytest.raises(ConfigurationError, match="task regression names a baseline of translations"):
        NearestSentence().predictions(searched(Regression()))
    data = searched(fitted())
    assert NearestSentence().predictions(replace(data, dataset=SimpleNamespace(inputs=("length",)))) is None  # type: ignore[arg-type]
