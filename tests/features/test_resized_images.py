import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from headframe.errors import DataError, RowError
from headframe.examples.copies import row_hashes
from headframe.features.resized_images import ResizedImages


def file(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def blocks(height: int, width: int, times: int) -> np.ndarray:
    """Random pixels, each `times` as high and wide."""
    drawn = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return drawn.repeat(times, axis=0).repeat(times, axis=1)


def encoded(cells: list[bytes | None], **settings: object) -> dict[str, np.ndarray]:
    encoder = ResizedImages(**settings)
    rows = pa.table({"photo": pa.array(cells, pa.binary())})
    encoder.fit(rows, ("photo",))
    again = ResizedImages(**settings)
    again.restore(encoder.state())
    found = again.encode(rows)
    assert isinstance(found, dict)
    assert {name: part.shape for name, part in encoder.spec().parts.items()} == {
        name: each.shape[1:] for name, each in found.items()
    }
    return found


def test_an_image_of_that_size_stays_as_it_is_and_grey_becomes_coloured() -> None:
    pixels, grey = blocks(6, 8, 1), blocks(6, 8, 1)[..., 0]
    found = encoded([file(pixels), file(grey)], height=6, width=8)
    assert found["image"].dtype == np.uint8
    np.testing.assert_array_equal(found["image"][0], pixels.transpose(2, 0, 1))
    np.testing.assert_array_equal(found["image"][1], np.stack([grey] * 3))
    assert found["size"].tolist() == [[6, 8]] * 2
    assert found["scale"].tolist() == [[1, 1]] * 2


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_an_image_is_stretched_or_padded_and_its_scale_leads_back(fit: str) -> None:
    marked = np.zeros((40, 30, 3), dtype=np.uint8)
    marked[20:28, 15:21] = 255  # from row 20 to 28, from column 15 to 21
    found = encoded([file(marked)], height=20, width=60, fit=fit)
    bright = found["image"][0, 0] > 127
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    edges = np.array([[rows[0], rows[-1] + 1], [columns[0], columns[-1] + 1]])
    assert found["size"].tolist() == [[40, 30]]
    assert found["scale"].tolist() == [[0.5, 2.0 if fit == "stretch" else 0.5]]
    np.testing.assert_allclose(edges / found["scale"][0][:, np.newaxis], [[20, 28], [15, 21]], atol=1)
    assert fit == "stretch" or not found["image"][0, :, :, 15:].any()


def test_images_of_several_sizes_are_rows_of_their_own_whatever_stands_beside_them() -> None:
    cells = [file(blocks(5, 4, 3)), file(blocks(7, 9, 2)), file(blocks(5, 4, 3), "JPEG"), file(blocks(5, 4, 3))]
    found = encoded(cells, height=10, width=10)
    alone = encoded(cells[1:2], height=10, width=10)
    for name, values in found.items():
        np.testing.assert_array_equal(values[1:2], alone[name])
    hashes = row_hashes(found)
    assert hashes[0] == hashes[3]
    assert len(set(hashes.tolist())) == 3


def test_what_is_no_image_is_refused_with_its_row() -> None:
    good = file(blocks(2, 2, 1))
    with pytest.raises(RowError, match="column 'photo' has no image in row 2; leave the row out"):
        encoded([good, None])
    with pytest.raises(RowError, match="column 'photo' has no usable image in row 3: it is no JPEG or PNG image"):
        encoded([good, good, b"GIF89a"])
    with pytest.raises(DataError, match="column 'n' holds int64, but the bytes of image files were expected"):
        ResizedImages().fit(pa.table({"n": [1]}), ("n",))
