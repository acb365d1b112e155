import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.preprocessing import StandardScaler

from headframe.errors import DataError
from headframe.features import images as module
from headframe.features.images import Images


def table(images: np.ndarray) -> pa.Table:
    return pa.table({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(images)})


@pytest.fixture
def colour() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 5, 7, 3), dtype=np.uint8)


def test_agrees_with_scikit_learn_channel_by_channel(colour: np.ndarray) -> None:
    encoder = Images()
    encoder.fit(table(colour), ("image",))
    expected = StandardScaler().fit_transform(colour.reshape(-1, 3).astype(float))
    expected = expected.reshape(30, 5, 7, 3).transpose(0, 3, 1, 2)
    encoded = encoder.encode(table(colour))
    assert encoded.dtype == np.float32
    assert encoder.spec().shape == (3, 5, 7)
    np.testing.assert_allclose(encoded, expected, atol=1e-6)


def test_a_channel_that_varies_by_less_than_a_level_is_standardised_and_a_constant_one_is_not() -> None:
    images = np.full((8, 3, 3, 2), 100, dtype=np.uint8)
    images[0, :, :, 1] = 101
    encoder = Images()
    encoder.fit(table(images), ("image",))
    assert encoder.deviation_ == [1.0, pytest.approx(images[..., 1].std())]
    assert images[..., 1].std() < 1
    expected = StandardScaler().fit_transform(images.reshape(-1, 2).astype(float))
    found = encoder.encode(table(images)).transpose(0, 2, 3, 1).reshape(-1, 2)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_statistics_come_from_training_rows_only(colour: np.ndarray) -> None:
    encoder = Images()
    encoder.fit(table(colour[:20]), ("image",))
    before = encoder.encode(table(colour[20:]))
    np.testing.assert_allclose(encoder.mean_, colour[:20].reshape(-1, 3).mean(axis=0))
    again = Images()
    again.fit(table(colour[:20]), ("image",))
    np.testing.assert_array_equal(again.encode(table(colour[20:])), before)


def test_how_many_are_unpacked_at_once_changes_nothing(colour: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = Images(), Images()
    whole.fit(table(colour), ("image",))
    monkeypatch.setattr(module, "AT_ONCE", 7)
    chunked = pa.concat_tables([table(colour[:11]), table(colour[11:])])
    parts.fit(chunked, ("image",))
    assert parts.state() == whole.state()
    np.testing.assert_array_equal(parts.encode(chunked), whole.encode(table(colour)))


def test_a_constant_channel_becomes_zero() -> None:
    encoder = Images()
    images = np.full((4, 2, 2, 1), 9, dtype=np.uint8)
    encoder.fit(table(images), ("image",))
    np.testing.assert_array_equal(encoder.encode(table(images)), np.zeros((4, 1, 2, 2), dtype=np.float32))


def test_a_channel_that_hardly_varies_is_standardised_all_the_same() -> None:
    encoder = Images()
    images = (np.arange(16).reshape(4, 2, 2, 1) % 2).astype(np.uint8)
    encoder.fit(table(images), ("image",))
    encoded = encoder.encode(table(images))
    assert (encoded.mean(), encoded.std()) == (0, 1)


def test_state_restores_equal_encodings(colour: np.ndarray) -> None:
    encoder, restored = Images(), Images()
    encoder.fit(table(colour), ("image",))
    restored.restore(encoder.state())
    np.testing.assert_array_equal(restored.encode(table(colour)), encoder.encode(table(colour)))
    assert restored.spec() == encoder.spec()


def test_other_sizes_and_types_are_refused_in_one_sentence(colour: np.ndarray) -> None:
    encoder = Images()
    encoder.fit(table(colour), ("image",))
    with pytest.raises(DataError, match="trained on 5 x 7 pixels in 3 channels"):
        encoder.encode(table(colour[:, :4]))
    with pytest.raises(DataError, match="images were expected"):
        encoder.encode(pa.table({"image": ["no image"]}))
    with pytest.raises(DataError, match="'image' is missing; came: other"):
        encoder.encode(pa.table({"other": [1]}))
    with pytest.raises(DataError, match="no training rows"):
        Images().fit(table(colour).slice(0, 0), ("image",))


def test_digits_get_mean_zero_and_deviation_one(raw_data: Callable[[str], Path]) -> None:
    raw = gzip.decompress((raw_data("mnist") / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28, 1)[:2000]
    encoder = Images("image")
    encoder.fit(table(images), ("something", "else"))
    encoded = encoder.encode(table(images)).astype(np.float64)
    assert abs(encoded.mean()) < 1e-6
    assert encoded.std() == pytest.approx(1, abs=1e-6)


def test_a_grey_image_without_channels_has_one() -> None:
    grey = np.random.default_rng(2).integers(0, 256, (12, 5, 7), dtype=np.uint8)
    encoded = []
    for images in (grey, grey[..., np.newaxis]):
        encoder = Images()
        encoder.fit(table(images), ("image",))
        encoded.append(encoder.encode(table(images)))
        assert encoder.spec().shape == (1, 5, 7)
    np.testing.assert_array_equal(*encoded)
