"""Images of any size as bytes: what they hold, where they end, and nothing of their neighbours."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from headframe.errors import DataError
from headframe.features.pixels import Pixels
from headframe.features.spec import InputSpec

SIZES = [(4, 6), (7, 2), (5, 5)]


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def images() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def files(images: list[np.ndarray]) -> pa.Table:
    return pa.table({"photo": pa.array([png(each) for each in images], pa.binary())})


def tensors(images: np.ndarray) -> pa.Table:
    return pa.table({"photo": pa.FixedShapeTensorArray.from_numpy_ndarray(images.copy())})


def fitted(rows: pa.Table, channels: int = 3) -> Pixels:
    encoder = Pixels(channels=channels)  # type: ignore[arg-type]
    encoder.fit(rows, ("photo",))
    return encoder


def test_images_lie_in_the_corner_and_the_last_channel_is_one_inside_them(images: list[np.ndarray]) -> None:
    encoder = fitted(files(images))
    encoded = encoder.encode(files(images))
    assert (encoded.shape, encoded.dtype) == ((3, 4, 7, 6), np.uint8)
    for found, image in zip(encoded, images, strict=True):
        height, width = image.shape[:2]
        np.testing.assert_array_equal(found[:3, :height, :width], image.transpose(2, 0, 1))
        assert (found[3, :height, :width] == 1).all()
        assert found.sum(dtype=int) == image.sum(dtype=int) + height * width, "and all else is 0"
    assert encoder.spec() == InputSpec("pixels", {"channel": 4, "height": 0, "width": 0})


def test_an_image_has_the_same_bytes_alone_among_others_as_file_and_as_tensor(images: list[np.ndarray]) -> None:
    encoder = fitted(files(images))
    together = encoder.encode(files(images))
    for found, image in zip(together, images, strict=True):
        height, width = image.shape[:2]
        [alone] = encoder.encode(files([image]))
        np.testing.assert_array_equal(alone, found[:, :height, :width])
        np.testing.assert_array_equal(encoder.encode(tensors(image[np.newaxis]))[0], alone)


def test_grey_images_have_one_channel_with_or_without_an_axis_for_it(images: list[np.ndarray]) -> None:
    grey = images[0][..., 0]
    for rows in (tensors(grey[np.newaxis]), tensors(grey[np.newaxis, ..., np.newaxis]), files([grey])):
        [found] = fitted(rows, 1).encode(rows)
        np.testing.assert_array_equal(found[0], grey)
    assert fitted(rows, 3).encode(rows).shape == (1, 4, 4, 6), "a grey file in colours"


def test_a_table_without_rows_has_none(images: list[np.ndarray]) -> None:
    assert fitted(files(images)).encode(files([])).shape[:2] == (0, 4)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pa.table({"photo": ["x"]}), "'photo' holds string, but images were expected: tensors of bytes"),
        (
            tensors(np.zeros((1, 2, 2, 1), np.uint8)),
            "images of 1 channels, but 3 were expected; set features.encoder.ch",
        ),
        (pa.table({"photo": pa.array([png(np.zeros((1, 1), np.uint8)), b"x"])}), "holds what is no JPEG or PNG.*row 2"),
        (pa.table({"photo": pa.array([None], pa.binary())}), "has no image"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(rows: pa.Table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Pixels("photo").encode(rows)
