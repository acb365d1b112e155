"""Encoded images and masks: whether bytes are one, and its pixels."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from headframe.errors import DataError

FORMATS = ("JPEG", "PNG")

MOST_PIXELS = 2**26
"""Pixels of an image, unless a contract allows fewer: a few bytes may unpack to any number."""

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Kinds of pixels whose channels have 8 bits at most."""


def decode_image(content: bytes, mode: str | None = None, most: int | None = None) -> np.ndarray:
    """Return the pixels of a JPEG or PNG file, uint8 (height, width, channels), as they are stored: never turned.

    Args:
        content: of the file.
        mode: `L` (grey), `RGB` or `RGBA`; else the file's own.
        most: how many pixels it may have.

    Raises:
        DataError: it is no such file, is damaged, has more pixels or more than 8 bits a channel; the message follows
            what it is about.
    """
    with _opened(content, FORMATS, most) as image:
        own = "RGBA" if image.has_transparency_data else "L" if image.mode in {"1", "L"} else "RGB"
        pixels = np.asarray(image.convert(mode or own))
    return pixels if pixels.ndim > 2 else pixels[..., np.newaxis]  # noqa: PLR2004 - without an axis of channels


@contextmanager
def _opened(content: bytes, formats: tuple[str, ...], most: int | None = None) -> Iterator[Image.Image]:
    """Open an image whose pixels are decoded in the body of the statement; raise a DataError where it is none."""
    most = MOST_PIXELS if most is None else most
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            if image.width * image.height > most:
                raise DataError(f"has {image.width} x {image.height} pixels, and at most {most:,} are allowed")
            if image.mode not in MODES:
                raise DataError(f"has pixels of mode {image.mode}, but 8 bits a channel were expected; save it so")
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"has too many pixels, and at most {most:,} are allowed") from error
    except UnidentifiedImageError as error:
        raise DataError(f"is no {' or '.join(formats)} image") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"is no whole image ({error})") from error


COLOURS = ((255, 255, 255), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0))
"""Of the numbers from 1 on in an encoded mask, again and again; 0 is black."""


def encode_mask(numbers: np.ndarray) -> bytes:
    """Return a PNG file of a mask, uint8 (height, width), in colours that stand for its numbers."""
    image = Image.fromarray(numbers).convert("P")
    colours = [(0, 0, 0), *(COLOURS[number % len(COLOURS)] for number in range(int(numbers.max(initial=1))))]
    image.putpalette(bytes(level for colour in colours for level in colour))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def decode_mask(content: bytes, most: int | None = None) -> np.ndarray:
    """Return the number of each pixel of a PNG file, uint8 (height, width): its grey, or its place in the palette.

    Args:
        content: of the file.
        most: how many pixels it may have.

    Raises:
        DataError: it is none, or has several numbers a pixel.
    """
    with _opened(content, ("PNG",), most) as image:
        if image.mode not in {"1", "L", "P"}:
            raise DataError(f"has pixels of mode {image.mode}, but a mask has one number a pixel; save it in grey")
        return np.asarray(image).astype(np.uint8)


def why_no_image(content: bytes, most: int | None = None) -> str:
    """Return why bytes are no JPEG or PNG image of at most so many pixels; empty where they are."""
    try:
        decode_image(content, most=most)
    except DataError as error:
        return str(error)
    return ""


def why_no_mask(content: bytes, most: int | None = None, largest: float | None = None) -> str:
    """Return why bytes are no PNG mask of so many pixels and such numbers at most; empty where they are."""
    try:
        found = decode_mask(content, most).max(initial=0)
    except DataError as error:
        return str(error)
    return "" if largest is None or found <= largest else f"has number {found}"
