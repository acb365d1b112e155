"""Encoded images: whether bytes are one, and its pixels."""

import io
import struct
import zlib

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
    most = MOST_PIXELS if most is None else most
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > most:
                raise DataError(f"has {image.width} x {image.height} pixels, and at most {most:,} are allowed")
            if image.mode not in MODES:
                raise DataError(f"has pixels of mode {image.mode}, but 8 bits a channel were expected; save it so")
            own = "RGBA" if image.has_transparency_data else "L" if image.mode in {"1", "L"} else "RGB"
            pixels = np.asarray(image.convert(mode or own))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"has too many pixels, and at most {most:,} are allowed") from error
    except UnidentifiedImageError as error:
        raise DataError("is no JPEG or PNG image") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"is no whole image ({error})") from error
    return pixels if pixels.ndim > 2 else pixels[..., np.newaxis]  # noqa: PLR2004 - without an axis of channels


def why_no_image(content: bytes, most: int | None = None) -> str:
    """Return why bytes are no JPEG or PNG image of at most so many pixels; empty where they are."""
    try:
        decode_image(content, most=most)
    except DataError as error:
        return str(error)
    return ""
