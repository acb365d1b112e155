"""Images of three sizes with bright discs on a ground of another colour, and a mask for each disc, as raw files."""

import io
import zipfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageDraw

SIZES = [(40, 24), (32, 32), (28, 44)]
"""Width and height."""
ROWS = 36


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _write_archive(file: Path) -> None:
    draw = np.random.default_rng(4)
    with zipfile.ZipFile(file, "w") as archive:
        for row in range(ROWS):
            width, height = SIZES[row % 3]
            pixels = draw.integers(0, 60, (height, width, 3)) + np.array([0, 40, 90])
            image = Image.fromarray(pixels.astype(np.uint8))
            for disc in range(2):
                radius = int(draw.integers(4, 8))
                x, y = draw.integers(0, width - radius), draw.integers(0, height - radius)
                mask = Image.new("L", (width, height))
                ImageDraw.Draw(mask).ellipse((x, y, x + 2 * radius, y + 2 * radius), fill=255)
                image.paste(Image.new("RGB", (width, height), (200, 120, 60)), mask=mask)
                archive.writestr(zipfile.ZipInfo(f"top/{row:02}/masks/{disc}.png"), png(mask))
            archive.writestr(zipfile.ZipInfo(f"top/{row:02}/images/{row:02}.png"), png(image))


def write_discs(root: Path) -> None:
    """Write the archive `discs.zip` and the YAML of the data set `discs` into a project."""
    _write_archive(root / "discs.zip")
    dataset = yaml.safe_load((root / "conf" / "dataset" / "dsb2018_nuclei.yaml").read_text())
    dataset |= {"name": "discs", "sources": {"images": {"uri": "file:discs.zip"}}}
    dataset["contract"]["min_rows"] = ROWS
    (root / "conf" / "dataset" / "discs.yaml").write_text(yaml.safe_dump(dataset, sort_keys=False))
