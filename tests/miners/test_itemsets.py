"""Itemsets and rules against counting every subset, and against published numbers of real data."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from headframe.errors import ConfigurationError
from headframe.features.baskets import basket_matrix
from headframe.miners.itemsets import frequent_itemsets
from headframe.miners.rules import Rules

BASKETS = st.lists(st.frozensets(st.integers(0, 6), max_size=6), min_size=1, max_size=150)


def matrix(baskets) -> sparse.csr_matrix:
    dense = np.zeros((len(baskets), 7), dtype=np.float32)
    for row, basket in zip(dense, baskets, strict=True):
        row[list(basket)] = 1
    return sparse.csr_matrix(dense)


def count_subsets(baskets) -> Counter:
    return Counter(
        subset for basket in baskets for size in range(1, 7) for subset in combinations(sorted(basket), size)
    )


@settings(max_examples=150, derandomize=True, deadline=None)
@given(BASKETS, st.integers(1, 12), st.sampled_from([None, 1, 2, 3, 4]))
def test_itemsets_are_all_subsets_that_occur_often_enough(baskets, fewest: int, longest: int | None) -> None:
    expected = {
        items: count
        for items, count in count_subsets(baskets).items()
        if count >= fewest and len(items) <= (longest or 7)
    }
    found = frequent_itemsets(matrix(baskets), fewest, longest=longest)
    assert {each.items: each.count for each in found} == expected
    assert len(found) == len(expected)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(BASKETS, st.integers(1, 6), st.sampled_from([0.0, 0.4, 0.75, 1.0]))
def test_rules_have_the_confidence_that_counting_gives(baskets, fewest: int, least: float) -> None:
    counts = count_subsets(baskets)
    expected = {}
    for items, count in counts.items():
        for right in items if count >= fewest and len(items) > 1 else ():
            left = tuple(item for item in items if item != right)
            if count / counts[left] >= least:
                expected[left, right] = count / counts[left]
    rules = Rules.of(frequent_itemsets(matrix(baskets), fewest), 7, least)
    found = {
        (tuple(np.flatnonzero(left)), right): confidence
        for left, right, confidence in zip(rules.left.toarray(), rules.right, rules.confidence, strict=True)
    }
    assert found == expected


@settings(max_examples=60, derandomize=True, deadline=None)
@given(BASKETS, st.integers(1, 6))
def test_an_item_scores_the_highest_confidence_of_the_rules_that_hold_for_a_basket(baskets, fewest: int) -> None:
    rules = Rules.of(frequent_itemsets(matrix(baskets), fewest), 7, 0.2)
    popularity = np.linspace(0.05, 0.6, 7)
    scores = rules.scores(matrix(baskets), popularity)
    lefts = [set(np.flatnonzero(left)) for left in rules.left.toarray()]
    for basket, row in zip(baskets, scores, strict=True):
        for item in range(7):
            held = [
                confidence
                for left, right, confidence in zip(lefts, rules.right, rules.confidence, strict=True)
                if right == item and left <= basket
            ]
            assert row[item] == (-np.inf if item in basket else max([popularity[item], *held]))


def test_too_many_itemsets_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="more than 5 itemsets occur in 1 or more of 2 baskets; raise min_supp"
    ):
        frequent_itemsets(matrix([{0, 1, 2}, {3}]), 1, most=5)


@pytest.mark.parametrize(
    ("file", "support", "itemsets"),
    [
        ("t10i4d100k/T10I4D100K.dat", 0.005, 1_073),
        ("t10i4d100k/T10I4D100K.dat", 0.002, 13_255),
        ("mushroom/mushroom.dat", 0.3, 2_735),
        ("mushroom/mushroom.dat", 0.2, 53_583),
        ("kosarak10k/kosarak10k.txt", 0.02, 124),
        ("kosarak10k/kosarak10k.txt", 0.01, 392),
    ],
)
def test_as_many_itemsets_as_published(real_data: Path, file: str, support: float, itemsets: int) -> None:
    baskets = [line.split() for line in (real_data / file).read_text().splitlines()]
    rows, _ = as_matrix(baskets)
    assert len(frequent_itemsets(rows, int(np.ceil(support * len(baskets))))) == itemsets


@pytest.mark.parametrize(("support", "confidence", "rules"), [(0.006, 0.25, 463), (0.001, 0.5, 5_668), (0.01, 0.5, 15)])
def test_as_many_rules_of_groceries_as_published(
    real_data: Path, support: float, confidence: float, rules: int
) -> None:
    lines = (real_data / "groceries" / "groceries.csv").read_text().splitlines()
    rows, items = as_matrix([[item.strip() for item in line.split(",")] for line in lines])
    found = Rules.of(frequent_itemsets(rows, int(np.ceil(support * len(lines)))), len(items), confidence)
    assert (len(items), len(found)) == (169, rules)


def as_matrix(baskets: list[list[str]]) -> tuple[sparse.csr_matrix, list[str]]:
    items = sorted({item for basket in baskets for item in basket})
    return basket_matrix(pa.chunked_array([pa.array(baskets, pa.list_(pa.string()))]), items), items
