"""Readers of image files: folders and archives alike, every fault with its file, memory that does not grow."""

import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_data
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from headframe.cells.images import decode_mask
from headframe.config.plan.data import ColumnContract, DatasetConfig, SourceConfig
from headframe.datasets.file_tree import FileTree, place_digest
from headframe.datasets.ingest import ingest, is_current
from headframe.datasets.raw_files import fetch_raw_file
from headframe.datasets.readers.base import ReadBatch, Reader
from headframe.datasets.readers.image_folder import ImageFolder
from headframe.datasets.readers.images import BATCH
from headframe.datasets.readers.instance_masks import InstanceMasks
from headframe.datasets.readers.pascal_voc import PascalVoc
from headframe.datasets.schema import contract_schema
from headframe.datasets.table import Table
from headframe.errors import ConfigurationError, DataError, HeadframeError
from headframe.places import Places

BOXES = {name: {"dtype": "string" if name == "label" else "float"} for name in ("x", "y", "width", "height", "label")}


def schema(**columns: Any) -> pa.Schema:
    return contract_schema({name: ColumnContract.model_validate(each) for name, each in columns.items()})


ENCODED = {"dtype": "encoded_image"}
TEXT = {"dtype": "string"}
VOC = schema(image=ENCODED, boxes={"dtype": "struct_list", "fields": BOXES}, name=TEXT)


def image(size: tuple[int, int] = (20, 10), mode: str = "RGB", kind: str = "PNG", colour: Any = 0) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, colour).save(stream, kind)
    return stream.getvalue()


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(reader: Reader, files: dict[str, Path], columns: pa.Schema) -> tuple[list[Any], list[str]]:
    batches: list[ReadBatch] = [*reader.read(files, columns)]
    assert max(batch.rows.num_rows for batch in batches) <= BATCH
    rows = pa.Table.from_batches([batch.rows for batch in batches], columns)
    return rows.to_pylist(), [f"{each.position}: {each.reason}" for batch in batches for each in batch.rejected]


def box(*corners: float, label: str = "cell") -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    values = "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, corners, strict=False))
    return f"<object><name>{label}</name><bndbox>{values}</bndbox></object>"


def test_what_has_no_box_no_image_or_no_area_is_named(tmp_path: Path) -> None:
    images = {f"{name}.png": image() for name in "abcdefg"} | {"h.jpg": b"no image", "i.png": image(), "Thumbs.db": b""}
    boxes = {
        "a": f"<a>{box(1, 2, 5, 8)}{box(3, 3, 3, 9)}{box(0, 0, 20, 10)}{box(0, 0, 21, 10)}{box(-1, 0, 4, 4)}</a>",
        "b": "<a></a>", "c": "<a><b>", "d": f"<a>{box(1, 2)}</a>", "e": f"<a>{box(1, 2, 3, 4, label=' ')}</a>",
        "f": f"<a>{box(1, 2, 'x', 4)}</a>", "h": "<a/>", "z": "<a/>", "i": "<a/>",  # type: ignore[arg-type]
    }  # fmt: skip
    files = {
        "images": write(tmp_path / "images", images),
        "annotations": write(tmp_path / "xml", {f"{name}.xml": text for name, text in boxes.items()}),
    }
    rows, rejected = read(PascalVoc(), files, VOC)
    assert [row["name"] for row in rows] == ["a", "b", "i"]
    assert rows[0]["image"] == images["a.png"]
    assert rows[0]["boxes"] == [
        {"x": 1.0, "y": 2.0, "width": 4.0, "height": 6.0, "label": "cell"},
        {"x": 0.0, "y": 0.0, "width": 20.0, "height": 10.0, "label": "cell"},
    ]
    assert rejected == [
        "1: (box 2 of a) has no area: left out",
        "1: (box 4 of a) reaches beyond the image of 20 x 10 pixels: left out",
        "1: (box 5 of a) reaches beyond the image of 20 x 10 pixels: left out",
        "3: (c) has an annotation that is no XML: no element found: line 1, column 6",
        "4: (d) has a box without the numbers xmin, ymin, xmax, ymax",
        "5: (e) has a box without a name",
        "6: (f) has a box without the numbers xmin, ymin, xmax, ymax",
        "7: (g) has no annotation",
        "8: (h) is no JPEG or PNG image",
        "10: (z) has no image",
    ]


def test_lists_of_names_give_the_part(tmp_path: Path) -> None:
    write(tmp_path, {f"images/{name}.png": image() for name in "abc"})
    write(tmp_path, {f"xml/{name}.xml": "<a/>" for name in "abc"} | {"lists/one.txt": "a\n", "lists/two.txt": "b\nd\n"})
    files = {"images": tmp_path / "images", "annotations": tmp_path / "xml", "lists": tmp_path / "lists"}
    columns = VOC.append(pa.field("part", pa.string(), nullable=False))
    reader = PascalVoc(lists="lists", parts={"train": "one.txt", "test": "two.txt"})
    rows, rejected = read(reader, files, columns)
    assert [(row["name"], row["part"]) for row in rows] == [("a", "train"), ("b", "test")]
    assert rejected == ["3: (c) has no part", "4: (d) has no image and no annotation"]
    with pytest.raises(DataError, match=r"has no file 'val\.txt'; it has one\.txt, two\.txt"):
        read(PascalVoc(lists="lists", parts={"validation": "val.txt"}), files, columns)
    with pytest.raises(DataError, match="source lists lists 'a' twice"):
        read(PascalVoc(lists="lists", parts={"train": "one.txt", "test": "one.txt"}), files, columns)
    with pytest.raises(DataError, match=r"needs a source 'images'; dataset\.sources has annotations"):
        read(PascalVoc(), {"annotations": tmp_path / "xml"}, VOC)


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


def test_the_mask_is_the_union_of_all_and_a_folder_is_read_as_an_archive_is(tmp_path: Path) -> None:
    left, right = np.zeros((2, 10, 20), np.uint8)
    left[:, :5], right[3, 4:] = 255, 1
    masks = []
    for mask in (left, right):
        stream = io.BytesIO()
        Image.fromarray(mask).save(stream, "PNG")
        masks.append(stream.getvalue())
    folder = write(tmp_path / "top", {
        "x/a/images/a.png": image(mode="RGBA", colour=(1, 2, 3, 255)), "x/a/masks/1.png": masks[0],
        "x/a/masks/2.png": masks[1], "x/b/images/b.png": image(), "x/c/images/c.png": image((9, 9)),
        "x/c/masks/1.png": masks[0], "x/notes.txt": "no image", "x/d/images/d.png": image(), "x/d/masks/1.png": b"x",
    })  # fmt: skip
    shape = {"dtype": "tensor", "shape": [10, 20, 3]}
    columns = schema(image=shape, mask={"dtype": "tensor", "shape": [10, 20, 1]}, name=TEXT)
    batches = [*InstanceMasks().read({"x": folder}, columns)]
    (batch,) = batches
    pixels, mask = (batch.rows.column(place).to_numpy_ndarray() for place in (0, 1))
    assert (pixels == [1, 2, 3]).all()
    assert np.array_equal(mask[0, :, :, 0], (left > 0) | (right > 0))
    assert [f"{each.position}: {each.reason}" for each in batch.rejected] == [
        "2: (b) has 1 images and 0 masks; expected one, and some",
        "3: (c) has 9 x 9 pixels, but the contract has 10 x 20",
        "4: (d) is no JPEG or PNG image",
    ]
    (packed,) = InstanceMasks().read({"x": zipped(folder)}, columns)
    assert packed.rows.equals(batch.rows)
    assert packed.rejected == batch.rejected
    files = schema(image=ENCODED, mask=ENCODED, name=TEXT)
    [row], rejected = read(InstanceMasks(), {"x": folder}, files)
    assert np.array_equal(decode_mask(row["mask"]), (left > 0) | (right > 0))
    assert row["image"] == (folder / "x/a/images/a.png").read_bytes()
    assert rejected[1] == "3: (c) has 9 x 9 pixels, but masks of (10, 20)"
    with pytest.raises(DataError, match="has no images in folders called images"):
        [*InstanceMasks().read({"x": write(tmp_path / "none", {"a.txt": ""})}, columns)]


def test_a_folder_is_the_label(tmp_path: Path) -> None:
    folder = write(tmp_path / "top", {
        "3/a.jpg": image(kind="JPEG"), "12/deep/4/b.PNG": image((5, 7)), "x/c.png": image(), "README": "x",
    })  # fmt: skip
    columns = schema(image=ENCODED, label={"dtype": "int"}, file=TEXT)
    rows, rejected = read(ImageFolder(name="file"), {"photos": folder}, columns)
    assert [(row["label"], row["file"]) for row in rows] == [(4, "12/deep/4/b.PNG"), (3, "3/a.jpg")]
    assert rejected == ["3: (x/c.png) is no row: column 'label' holds 'x', which is no whole number"]
    only = schema(image=ENCODED)
    (alone,) = ImageFolder().read_inputs(folder / "3" / "a.jpg", only, ())
    assert alone.rows.to_pylist() == [{"image": rows[1]["image"]}]
    (packed,) = ImageFolder().read_inputs(zipped(folder), only, ())
    assert packed.rows.num_rows == 3
    (whole,) = ImageFolder().read_inputs(folder, only, ("row_id",))
    assert whole.rows.column_names == ["image", "row_id"]
    assert whole.rows["row_id"].to_pylist() == ["12/deep/4/b.PNG", "3/a.jpg", "x/c.png"]
    assert whole.rows["image"].equals(packed.rows["image"])


def test_labels_may_stand_in_a_file(tmp_path: Path) -> None:
    images = write(tmp_path / "top", {"a.png": image(), "b/c.png": image(), "d.png": image(), "e.png": image()})
    labels = (
        write(tmp_path, {"labels.csv": "file,label,more\na.png,3,x\nb/c.png,4,\n\nz.png,1,\ne.png,?,\n"}) / "labels.csv"
    )
    files, columns = {"images": images, "labels": labels}, schema(image=ENCODED, label={"dtype": "int"}, name=TEXT)
    rows, rejected = read(ImageFolder(name="name", labels="labels"), files, columns)
    assert [(row["name"], row["label"]) for row in rows] == [("a.png", 3), ("b/c.png", 4)]
    assert rejected == [
        "3: (d.png) has no label in source labels",
        "4: (e.png) is no row: column 'label' holds '?', which is no whole number",
        "5: (z.png) has no image",
    ]
    for text, words in {
        "name,label\n": "has no column 'file'; it has name, label",
        "file,label\na.png,1\na.png,2\n": "line 3 of source labels names an image again",
        "file,label\na.png\n": "line 2 of source labels has 1 cells",
    }.items():
        labels.write_text(text)
        with pytest.raises(DataError, match=words):
            read(ImageFolder(name="name", labels="labels"), files, columns)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (image(mode="I;16"), "has pixels of mode I;16, but 8 bits a channel were expected"),
        (image(mode="1", size=(8000, 9000)), "has 8000 x 9000 pixels, and at most 67,108,864 are allowed"),
        (image((300, 200), kind="JPEG")[:800], "is no whole image"),
        (b"", "is no JPEG or PNG image"),
    ],
    ids=["16 bits", "too large", "cut short", "empty"],
)
def test_an_image_that_cannot_be_decoded_is_rejected(tmp_path: Path, content: bytes, words: str) -> None:
    folder = write(tmp_path, {"a/1.png": content, "a/2.png": image()})
    rows, (rejected,) = read(ImageFolder(), {"x": folder}, schema(image=ENCODED, label=TEXT))
    assert len(rows) == 1
    assert rejected.startswith(f"1: (a/1.png) {words}")


def test_a_folder_has_the_digest_of_its_files_and_names(tmp_path: Path) -> None:
    def digests() -> Iterator[str]:
        folder = write(tmp_path / "one", {"a/1": b"x", "b": b"y"})
        yield place_digest(folder)
        yield place_digest(write(folder, {"b": b"z"}))
        (folder / "b").rename(folder / "c")
        yield place_digest(folder)
        yield place_digest(write(folder, {"d": b""}))

    found = [*digests()]
    assert len({*found}) == 4
    assert place_digest(write(tmp_path / "two", {"b": b"y", "a/1": b"x"})) == found[0]


def test_links_out_of_a_folder_and_damaged_archives_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", {"a.png": image()})
    (folder / "b.png").symlink_to(write(tmp_path / "two", {"secret.png": image()}) / "secret.png")
    with pytest.raises(ConfigurationError, match="is a link out of"):
        place_digest(folder)
    (tmp_path / "x.zip").write_bytes(b"PK no archive")
    with pytest.raises(DataError, match="is no folder and no ZIP archive that can be read"):
        FileTree(tmp_path / "x.zip").names  # noqa: B018
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("a.png", image())
    damaged = bytearray((tmp_path / "y.zip").read_bytes())
    damaged[60] ^= 255
    (tmp_path / "y.zip").write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.png cannot be read: Bad CRC"):
        FileTree(tmp_path / "y.zip").read("a.png")


def test_a_folder_as_a_source_is_found_checked_and_seen_to_change(tmp_path: Path) -> None:
    settings = fake_data.settings("bccd")
    mirror = shutil.copytree(fake_data.mirror("bccd"), tmp_path / "mirror")  # type: ignore[type-var]
    places = Places(tmp_path / "project", mirror)
    config = DatasetConfig.model_validate(settings)
    record = ingest(config, places)
    assert is_current(record, config, places)
    assert Table.open(places.root / record.folder).rejected()["position"].to_pylist() == [1, 2]
    for source in settings["sources"].values():
        del source["sha256"]
    unnamed = DatasetConfig.model_validate(settings)
    assert ingest(unnamed, places) == record
    assert is_current(record, unnamed, places)
    (mirror / "bccd" / "JPEGImages" / "BloodImage_00005.jpg").write_bytes(image((640, 480)))
    assert not is_current(record, unnamed, places)
    with pytest.raises(DataError, match=r"source images: .*JPEGImages has sha256 .*, but .* was expected"):
        ingest(config, places)
    with pytest.raises(HeadframeError, match="was not found; looked for"):
        fetch_raw_file("a", SourceConfig(uri="folder:bccd/test.csv"), tmp_path, mirror)
