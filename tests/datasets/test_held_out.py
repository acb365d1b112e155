"""One item taken out of each basket, as what a recommendation is measured by."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headframe.datasets.readers.baskets import Baskets
from headframe.errors import DataError

READER = Baskets(held_out="held_out", number="number")
COLUMNS = {"number": pa.int64(), "items": pa.list_(pa.string()), "held_out": pa.string()}


def read(tmp_path: Path, text: str, *names: str) -> dict[str, list[Any]]:
    (tmp_path / "baskets.csv").write_text(text)
    batches = READER.read({"baskets": tmp_path / "baskets.csv"}, pa.schema({name: COLUMNS[name] for name in names}))
    return pa.Table.from_batches([batch.rows for batch in batches]).to_pydict()


def test_one_item_is_taken_out_and_the_others_stay(tmp_path: Path) -> None:
    text = "citrus fruit,whole milk,soda\nwhole milk\n\nsoda,,milk\nsoda,milk,soda\n"
    whole, rows = (read(tmp_path, text, *names) for names in (("items",), ("number", "items", "held_out")))
    assert whole["items"] == [["citrus fruit", "whole milk", "soda"], ["whole milk"], ["soda", "milk", "soda"]]
    assert rows["number"] == [1, 2, 5]
    for basket, rest, out in zip(whole["items"], rows["items"], rows["held_out"], strict=True):
        assert out in basket
        assert rest == [item for item in basket if item != out]


def test_the_choice_is_uniform_and_the_same_for_equal_baskets(tmp_path: Path) -> None:
    again = read(tmp_path, "c,a,b\nb,c,a\na,b,c,a\n", "held_out")
    assert len({*again["held_out"]}) == 1
    baskets = "".join(",".join(f"item {number} {place}" for place in range(4)) + "\n" for number in range(400))
    places = [name[-1] for name in read(tmp_path, baskets, "held_out")["held_out"]]
    assert all(70 <= places.count(place) <= 130 for place in "0123")  # 100 each, within 3.5 standard deviations


def test_a_column_that_no_basket_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a file of baskets gives items, held_out, number; expected: price"):
        list(READER.read({}, pa.schema({"price": pa.float64()})))
