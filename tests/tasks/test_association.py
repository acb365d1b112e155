"""Recommendations and their metrics against plain loops, and against what anybody would recommend."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headframe.errors import DataError
from headframe.metrics.statistics import values_of
from headframe.tasks.association import Association

ITEMS = ["ale", "bread", "cheese", "dates", "eggs", "figs"]


def fitted(**given) -> Association:
    task = Association(**given)
    task.fit(pa.table({"out": ["ale", "eggs"]}))
    return task


SCORES = st.lists(
    st.lists(st.sampled_from([-np.inf, 0.0, 0.25, 0.5, 0.75, 1.0]), min_size=6, max_size=6), min_size=1, max_size=12
)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(SCORES, st.integers(1, 7))
def test_the_best_items_are_recommended_in_order(scores, items: int) -> None:
    found = fitted(items=items).recommend(np.array(scores), ITEMS)["items"].to_pylist()
    for row, recommended in zip(scores, found, strict=True):
        known = [(-score, item) for score, item in zip(row, ITEMS, strict=True) if score > -np.inf]
        expected = [{"item": item, "score": -negative} for negative, item in sorted(known)[:items]]
        assert recommended == expected


@settings(max_examples=100, derandomize=True, deadline=None)
@given(SCORES, st.data())
def test_metrics_are_those_of_a_plain_loop_for_any_draw_of_rows(scores, data) -> None:
    task = fitted(items=6)
    targets = data.draw(st.lists(st.sampled_from([*ITEMS, "unknown"]), min_size=len(scores), max_size=len(scores)))
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(scores), max_size=len(scores)).filter(any))
    predictions = task.recommend(np.array(scores), ITEMS).add_column(0, "target", pa.array(targets, pa.string()))
    ranks = []
    for target, row, count in zip(targets, predictions["items"].to_pylist(), counts, strict=True):
        names = [each["item"] for each in row]
        ranks += [names.index(target) + 1 if target in names else np.inf] * count
    expected = {
        "mrr": np.mean([1 / rank for rank in ranks]),
        "hit_rate": np.mean(np.isfinite(ranks)),
        "hit_rate_at_1": np.mean(np.array(ranks) <= 1),
        "hit_rate_at_5": np.mean(np.array(ranks) <= 5),
    }
    weights = np.array(counts, dtype=np.float64)[:, np.newaxis]
    found = {name: float(each.evaluate(weights)[0]) for name, each in task.statistics(predictions).items()}
    assert found == pytest.approx(expected)
    written_out = predictions.take(np.repeat(np.arange(len(counts)), counts))
    assert values_of(task.statistics(written_out), written_out.num_rows) == pytest.approx(expected)
    assert task.hits(written_out).mean() == pytest.approx(expected["hit_rate"])


def test_a_perfect_recommendation_scores_one_and_an_empty_one_nothing() -> None:
    task = fitted(items=3)
    scores = np.full((4, 6), -np.inf)
    scores[np.arange(4), [0, 1, 2, 3]] = 0.5
    perfect = task.recommend(scores, ITEMS).add_column(0, "target", pa.array(ITEMS[:4]))
    assert set(task.measure(perfect).values()) == {1.0}
    empty = task.recommend(np.full((4, 6), -np.inf), ITEMS).add_column(0, "target", pa.array(ITEMS[:4]))
    assert empty["items"].to_pylist() == [[], [], [], []]
    assert set(task.measure(empty).values()) == {0.0}
    assert empty.drop_columns("target").schema == task.prediction_schema


def test_a_target_that_is_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="target 'out' holds int64, but an item is text"):
        Association().fit(pa.table({"out": [1, 2]}))


def test_what_was_learned_is_restored() -> None:
    task, copy = fitted(), Association()
    copy.restore(task.state())
    rows = pa.table({"out": ["figs", "ale"]})
    assert copy.truth(copy.targets(rows)).equals(task.truth(task.targets(rows)))
    assert copy.truth(copy.targets(rows))["target"].to_pylist() == ["figs", "ale"]


def test_its_rules_are_about_whole_baskets() -> None:
    kind = fitted(alpha=0.01, least_confidence=0.3).findings(("items", "out"))
    assert (kind.columns, kind.alpha, kind.least_confidence) == (("items", "out"), 0.01, 0.3)
