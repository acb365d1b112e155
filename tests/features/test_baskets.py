"""Baskets as matrices and bits, against sets."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headframe.errors import DataError
from headframe.features.baskets import BasketItems, bitsets

LISTS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=6), min_size=1, max_size=80)


def rows(baskets) -> pa.Table:
    return pa.table({"items": pa.array(baskets, pa.list_(pa.string()))})


@settings(max_examples=100, derandomize=True, deadline=None)
@given(LISTS.filter(any), LISTS, st.integers(0, 5))
def test_a_row_says_which_of_the_training_items_a_basket_holds(training, baskets, offset: int) -> None:
    encoder = BasketItems()
    encoder.fit(rows(training), ("items",))
    assert encoder.feature_names == sorted({item for basket in training for item in basket})
    encoded = encoder.encode(rows(baskets).slice(offset))
    expected = [[float(item in basket) for item in encoder.feature_names] for basket in baskets[offset:]]
    assert encoded.toarray().tolist() == expected
    for bits, column in zip(bitsets(encoded), encoded.toarray().T, strict=True):
        assert np.unpackbits(bits.view(np.uint8))[: len(column)].tolist() == column.tolist()
        assert np.bitwise_count(bits).sum() == column.sum()
    copy = BasketItems()
    copy.restore(encoder.state())
    assert (copy.encode(rows(baskets)) != encoder.encode(rows(baskets))).nnz == 0


def test_rare_items_are_left_out_and_repetitions_count_once() -> None:
    encoder = BasketItems(min_count=2)
    encoder.fit(rows([["a", "a"], ["b"], ["b", "c"]]), ("items",))
    assert encoder.feature_names == ["b"]
    with pytest.raises(DataError, match="column 'items' has no item that 3 training rows hold"):
        BasketItems(min_count=3).fit(rows([["a"], ["a"]]), ("items",))
