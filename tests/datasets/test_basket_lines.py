"""Lines of items as baskets, whole or with one item taken out."""

from pathlib import Path

import pyarrow as pa
import pytest

from headframe.datasets.readers.basket_lines import BasketLines
from headframe.errors import ConfigurationError

COLUMNS = {"number": pa.int64(), "items": pa.list_(pa.string()), "held_out": pa.string()}
TEXT = 'citrus fruit,cream cheese ,whole milk\nwhole milk\n\n"a, b",whole milk,a,whole milk\n, \nrolls/buns,soda\n'


def read(tmp_path: Path, *names: str, text: str = TEXT, **settings):
    (tmp_path / "baskets.csv").write_text(text)
    schema = pa.schema({name: COLUMNS[name] for name in names})
    batches = list(BasketLines(**settings).read({"baskets": tmp_path / "baskets.csv"}, schema))
    return pa.Table.from_batches([batch.rows for batch in batches]), [one for each in batches for one in each.rejected]


def test_a_line_is_a_basket(tmp_path: Path) -> None:
    rows, rejected = read(tmp_path, "items", "number")
    assert rows["items"].to_pylist() == [
        ["citrus fruit", "cream cheese", "whole milk"],
        ["whole milk"],
        ["a, b", "whole milk", "a"],
        ["rolls/buns", "soda"],
    ]
    assert rows["number"].to_pylist() == [1, 2, 4, 6]
    assert [(each.position, each.reason) for each in rejected] == [(3, "holds no item"), (5, "holds no item")]


def test_one_item_is_taken_out_whatever_the_order_of_the_others(tmp_path: Path) -> None:
    whole, _ = read(tmp_path, "items")
    rows, _ = read(tmp_path, "items", "held_out")
    for basket, rest, out in zip(*(each.to_pylist() for each in (whole["items"], *rows.columns)), strict=True):
        assert rest == [item for item in basket if item != out]
        assert out in basket
    again, _ = read(tmp_path, "held_out", text="c,a,b\nb,c,a\n")
    assert len(set(again["held_out"].to_pylist())) == 1
    baskets = "".join(",".join(f"item {number} {place}" for place in range(4)) + "\n" for number in range(400))
    places = [name[-1] for name in read(tmp_path, "held_out", text=baskets)[0]["held_out"].to_pylist()]
    assert all(70 <= places.count(place) <= 130 for place in "0123")  # 100 each, within 3.5 standard deviations


def test_blanks_may_separate_items(tmp_path: Path) -> None:
    rows, rejected = read(tmp_path, "items", text="25 52 164 \n39 120\n", delimiter=" ")
    assert rows["items"].to_pylist() == [["25", "52", "164"], ["39", "120"]]
    assert not rejected


def test_columns_that_no_basket_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a basket has no column 'price'; the reader gives items, held_out"):
        list(BasketLines().read({}, pa.schema({"price": pa.float64()})))
    with pytest.raises(ConfigurationError, match=r"reader\.delimiter is ', '; expected one character"):
        BasketLines(delimiter=", ")
