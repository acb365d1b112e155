from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from headframe.errors import DataError
from headframe.features.tabular import Tabular

COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital", "occupation"),
    *("relationship", "race", "sex", "gain", "loss", "hours", "country"),
)


def fitted(rows: pa.Table, **settings: object) -> Tabular:
    encoder = Tabular(**settings)  # type: ignore[arg-type]
    encoder.fit(rows, tuple(rows.column_names))
    return encoder


def test_agrees_with_scikit_learn_on_the_census(raw_data: Callable[[str], Path]) -> None:
    file = raw_data("adult") / "adult" / "adult.data"
    frame = pd.read_csv(file, names=[*COLUMNS, "income"], skipinitialspace=True, na_values="?")
    frame = frame.drop(columns="income")
    half = len(frame) * 3 // 5
    train, other = frame[:half], frame[half:]
    encoder = fitted(pa.Table.from_pandas(train, preserve_index=False))
    encoded = encoder.encode(pa.Table.from_pandas(other, preserve_index=False))
    names = frame.select_dtypes("number").columns.tolist()
    texts = [name for name in COLUMNS if name not in names]
    filled = SimpleImputer(strategy="constant", fill_value="<none>")
    onehot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    reference = ColumnTransformer([("n", StandardScaler(), names), ("t", make_pipeline(filled, onehot), texts)])
    expected = reference.fit(train).transform(other)
    np.testing.assert_allclose(encoded[:, : len(names)], expected[:, : len(names)], atol=1e-5)
    # The first place of each column is for unknown values, which scikit-learn leaves without a place.
    place, kept = len(names), []
    for category in encoder.categories_:
        width = 1 + category.missing + len(category.values)
        kept += list(range(place + 1, place + width))
        place += width
    assert place == encoded.shape[1] == encoder.spec().shape[0]
    # "<none>" sorts before all letters, as the place of missing values stands before all values.
    np.testing.assert_array_equal(encoded[:, kept], expected[:, len(names) :])


def test_missing_numbers_become_the_training_median_and_are_marked() -> None:
    encoder = fitted(pa.table({"x": [1.0, None, 2.0, float("nan"), 30.0]}))
    values = np.array([1.0, 2.0, 2.0, 2.0, 30.0])
    expected = np.stack([(values - values.mean()) / values.std(), [0, 1, 0, 1, 0]], axis=1)
    np.testing.assert_allclose(
        encoder.encode(pa.table({"x": [1.0, None, 2.0, float("nan"), 30.0]})), expected, atol=1e-6
    )
    assert fitted(pa.table({"x": [1.0, None]}), indicator=False).spec().shape == (1,)


def test_a_number_missing_where_training_never_missed_one_is_refused() -> None:
    encoder = fitted(pa.table({"x": [1.0, 2.0]}))
    with pytest.raises(DataError, match="'x' is empty or NaN in row 2"):
        encoder.encode(pa.table({"x": [1.0, None]}))
    with pytest.raises(DataError, match="'x' holds infinity in row 1"):
        encoder.encode(pa.table({"x": [float("inf"), 1.0]}))


def test_unknown_categories_share_a_place_and_rare_ones_do_too() -> None:
    rows = pa.table({"c": ["b", "a", "a", "b", "rare", None, "猫", "猫"]})
    encoder = fitted(rows, min_count=2)
    # unknown, missing, a, b, 猫
    assert encoder.encode(pa.table({"c": ["a", "b", "猫", "new", None, "rare"]})).argmax(axis=1).tolist() == [
        2, 3, 4, 0, 1, 0,
    ]  # fmt: skip
    assert fitted(rows, max_values=1).spec().shape == (3,)


def test_constant_columns_are_safe_and_long_tails_are_shortened() -> None:
    rows = pa.table({"same": [0.1] * 3, "long": [0, 10, -1000], "flag": [True, False, True], "code": [1, 2, 1]})
    encoder = fitted(rows, log=["long"], categorical=["code"])
    encoded = encoder.encode(rows)
    np.testing.assert_array_equal(encoded[:, 0], 0)
    expected = np.array([0, np.log(11), -np.log(1001)])
    np.testing.assert_allclose(encoded[:, 1], (expected - expected.mean()) / expected.std(), atol=1e-6)
    np.testing.assert_array_equal(encoded[:, 3:], [[0, 1, 0], [0, 0, 1], [0, 1, 0]])
    assert np.isfinite(encoded).all()


def test_order_of_training_rows_does_not_matter_for_categories() -> None:
    names = ["y", "x", "z", "w", "x", None, "y", "w"]
    for rows in (names, names[::-1], sorted(names, key=str)):
        [category] = fitted(pa.table({"c": rows}), max_values=2).categories_
        assert category.values == ("w", "x"), "of three that occur as often, the first two by name; in their order"
        [category] = fitted(pa.table({"c": rows}), min_count=2).categories_
        assert category.values == ("w", "x", "y")
    [category] = fitted(pa.table({"c": ["b", "a", "b", "c", "c", "c"]}), max_values=2).categories_
    assert category.values == ("b", "c"), "the most frequent ones, by name"


def test_state_restores_equal_encodings() -> None:
    rows = pa.table({"n": [1.5, None, -3.25, 8.0], "c": ["é", "", "😀", None]})
    encoder, restored = fitted(rows, log=["n"]), Tabular(log=["n"])
    restored.restore(encoder.state())
    np.testing.assert_array_equal(restored.encode(rows), encoder.encode(rows))


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="log names column 'y'"):
        fitted(pa.table({"x": [1]}), log=["y"])
    with pytest.raises(DataError, match="empty in every training row"):
        fitted(pa.table({"x": pa.array([None, None], pa.float64())}))
    encoder = fitted(pa.table({"x": [1.0, 2.0], "c": ["a", "b"]}))
    with pytest.raises(DataError, match="'x' holds string, but numbers were expected"):
        encoder.encode(pa.table({"x": ["1"], "c": ["a"]}))
    with pytest.raises(DataError, match="'c' holds double"):
        encoder.encode(pa.table({"x": [1.0], "c": [1.5]}))


def test_truth_values_are_categories_where_they_are_chosen_as_such() -> None:
    rows = pa.table({"flag": [True, False, None, True]})
    words = pa.table({"flag": ["true", "false", None, "true"]})
    encoder = fitted(rows, categorical=["flag"])
    np.testing.assert_array_equal(encoder.encode(rows), fitted(words).encode(words))
    assert [category.values for category in encoder.categories_] == [("false", "true")]
