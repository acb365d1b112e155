"""Made-up raw files of the shipped data sets: their names, formats and quirks, with none of their rows.

`python tests/fake_data.py FOLDER` writes them for reading, 4 MB in all; tests find those of a data set in
`mirror(name)`. `settings(name)` is the shipped YAML with the checksums and the row count of the fake files, so that the
product's own checks apply to them as they do to the real ones.
"""

import atexit
import datetime
import gzip
import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image, ImageDraw

from headframe.datasets.file_tree import place_digest

CONF = Path(__file__).resolve().parents[1] / "conf" / "dataset"

ROWS = {
    "adult": 3_000, "bccd": 30, "cardio": 400, "csl_titles": 1_000, "dsb2018_nuclei": 24, "etth1": 17_420,
    "groceries": 600, "ionosphere": 200, "kosarak10k": 300, "mnist": 700, "mnist_seeds": 700, "sms_spam": 3_000,
    "t10i4d100k": 500, "tatoeba_cmn_eng": 800, "thyroid": 500, "wine": 178,
}  # fmt: skip
"""Rows of each data set that has fake files; the split of ETTh1 counts rows, so it has as many as the real one."""


@cache
def mirror(name: str) -> Path | None:
    """Return the mirror with a data set's fake files, written at first use; None where a package has the real ones."""
    if name not in ROWS:
        return None
    folder = Path(tempfile.mkdtemp(prefix=f"headframe-fake-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    WRITERS[name](folder)
    return folder


def settings(name: str) -> dict[str, Any]:
    """Return the content of a data set's YAML; a data set with fake files gets their checksums and row count."""
    content = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    folder = mirror(name)
    if folder is not None:
        for source in content["sources"].values():
            source["sha256"] = place_digest(folder / source["uri"].partition(":")[2])
        content["contract"]["min_rows"] = ROWS[name]
    return content


def _adult(into: Path) -> None:
    """Write two files without a header: a blank after each comma, `?` for what is missing, an empty line at the end.

    The second begins with a comment, its labels end with a full stop, and it repeats a few rows of the first.
    """
    random = np.random.default_rng(1)
    lines = [_person(random) for _ in range(ROWS["adult"])]
    train, test = lines[:2_000], lines[2_000:]
    train[500:504] = train[:4]
    test[500:510] = train[10:20]
    _save(into / "adult" / "adult.data", [*train, ""])
    _save(into / "adult" / "adult.test", ["|1x3 Cross validator ", *(f"{line}." for line in test), ""])


_EDUCATION = (
    *("Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad", "Some-college"),
    *("Assoc-voc", "Assoc-acdm", "Bachelors", "Masters", "Prof-school", "Doctorate"),
)  # in the order of the numbers from 1 to 16
_WORK = ("Private", "Self-emp-not-inc", "Local-gov", "State-gov", "Self-emp-inc", "Federal-gov", "Without-pay")
_MARITAL = ("Married-civ-spouse", "Never-married", "Divorced", "Separated", "Widowed", "Married-spouse-absent")
_OCCUPATION = (
    *("Prof-specialty", "Craft-repair", "Exec-managerial", "Adm-clerical", "Sales", "Other-service"),
    *("Machine-op-inspct", "Transport-moving", "Handlers-cleaners", "Farming-fishing", "Tech-support"),
)
_RELATIONSHIP = ("Husband", "Not-in-family", "Own-child", "Unmarried", "Wife", "Other-relative")
_RACE = ("White", "Black", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other")
_COUNTRY = ("United-States", "Mexico", "Philippines", "Germany", "Canada", "Puerto-Rico", "El-Salvador", "India")


def _person(random: np.random.Generator) -> str:
    def choose(values: Sequence[str]) -> str:  # the first is the most frequent, as in the real file
        return values[min(int(random.geometric(0.4)), len(values)) - 1]

    age, rank = int(random.integers(17, 91)), int(random.integers(1, 17))
    hours = int(np.clip(random.normal(40, 12), 1, 99))
    gain = 99_999 if random.random() < 0.005 else int(random.integers(100, 20_000)) * int(random.random() < 0.08)
    loss = int(random.integers(150, 4_357)) * int(gain == 0 and random.random() < 0.05)
    work, occupation = choose(_WORK), choose(_OCCUPATION)
    if random.random() < 0.06:
        work = occupation = "?"
    country = "?" if random.random() < 0.02 else choose(_COUNTRY)
    score = 0.3 * (rank - 10) + 0.04 * (hours - 40) - ((age - 48) / 18) ** 2 + (gain > 5_000) * 3
    income = ">50K" if score + random.logistic() > 0.3 else "<=50K"
    values = (
        *(age, work, int(random.integers(12_285, 1_000_000)), _EDUCATION[rank - 1], rank, choose(_MARITAL), occupation),
        *(choose(_RELATIONSHIP), choose(_RACE), choose(("Male", "Female")), gain, loss, hours, country, income),
    )
    return ", ".join(str(value) for value in values)


_SUBJECTS = {
    "工学": 44, "农学": 10, "理学": 9, "医学": 9, "管理学": 6, "法学": 6, "教育学": 4, "经济学": 4,
    "文学": 2, "哲学": 2, "历史学": 2, "艺术学": 1, "军事学": 1,
}  # fmt: skip
"""Subjects and how many titles of a hundred they have."""


def _csl_titles(into: Path) -> None:
    """Write three files without a header: a prompt that is always the same, a Chinese title, its subject."""
    random = np.random.default_rng(2)
    names, shares = list(_SUBJECTS), np.array(list(_SUBJECTS.values())) / sum(_SUBJECTS.values())
    for file, rows in {"train": 800, "dev": 100, "test": 100}.items():
        chosen = [*range(len(names)), *random.choice(len(names), rows - len(names), p=shares)]
        random.shuffle(chosen)
        lines = [f"to category\t{_title(random, subject)}\t{names[subject]}" for subject in chosen]
        _save(into / "csl-zh-titles" / f"{file}.tsv", lines)


def _title(random: np.random.Generator, subject: int) -> str:
    """Return 8 to 40 characters: half of them favour the subject, some titles hold Latin letters or a dash."""
    size = int(random.integers(8, 40))
    rank = (400 * random.random(size) ** 3).astype(int)
    places = np.where(random.random(size) < 0.5, 400 + 40 * subject + rank % 40, rank)
    title = "".join(chr(0x4E00 + 7 * int(place)) for place in places)
    kind = random.random()
    if kind < 0.25:
        return f"{''.join(random.choice(list('ABCDEGNPRS'), 3))}-{random.integers(1, 99)}{title}"
    return f"{title[: size // 2]}——“{title[size // 2 :]}”" if kind < 0.4 else title


def _etth1(into: Path) -> None:
    """Write hourly rows under a header; the readings are 32-bit floats, written with all digits of a 64-bit one."""
    random = np.random.default_rng(3)
    rows = ROWS["etth1"]
    hours = np.arange(rows)[:, None]
    level, height = np.array([7.0, 2, 4, 1, 3, 1, 15]), np.array([5.0, 1, 4, 1, 1, 0.4, 4])
    daily = height * np.sin(2 * np.pi * (hours / 24 + np.arange(7) / 9))
    slow = height * np.sin(2 * np.pi * hours / 8_760 + np.arange(7))
    noise = np.zeros((rows, 7))
    for row, shock in enumerate(random.normal(0, 0.2, (rows, 7)) * height):
        noise[row] = 0.9 * noise[row - 1] + shock
    values = (level + daily + slow + noise).astype(np.float32).astype(np.float64).tolist()
    start = datetime.datetime(2016, 7, 1)  # noqa: DTZ001 - the file names no zone
    dates = (start + datetime.timedelta(hours=row) for row in range(rows))
    lines = (f"{date},{','.join(map(str, each))}" for date, each in zip(dates, values, strict=True))
    _save(into / "ett" / "ETTh1.csv", ["date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT", *lines])


def _mnist(into: Path) -> None:
    """Write IDX files, compressed: a big-endian header, then unsigned bytes."""
    random = np.random.default_rng(4)
    templates = random.random((10, 7, 7)) ** 2
    for name, rows in {"train": 600, "t10k": 100}.items():
        labels = random.permutation(np.arange(rows) % 10).astype(np.uint8)
        strokes = np.kron(templates[labels], np.ones((1, 4, 4))) * random.uniform(0.6, 1, (rows, 1, 1))
        images = np.clip(255 * strokes + random.normal(0, 20, (rows, 28, 28)), 0, 255).astype(np.uint8)
        images[:, [0, -1]] = 0
        for kind, values in {"images": images, "labels": labels}.items():
            header = np.array([0x800 + values.ndim, *values.shape], ">i4").tobytes()
            file = into / "mnist" / f"{name}-{kind}-idx{values.ndim}-ubyte.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(gzip.compress(header + values.tobytes(), mtime=0))


def _sms_spam(into: Path) -> None:
    """Write a label and a message a line, without a header: lone quotation marks, entities, other scripts, repeats."""
    random = np.random.default_rng(5)
    words = ["".join(random.choice(list("aeiourstnlmk"), size)) for size in random.integers(2, 9, 1_500)]
    lines: list[str] = []
    while len(lines) < ROWS["sms_spam"]:
        if lines and random.random() < 0.07:
            lines.append(lines[int(random.integers(len(lines)))])
            continue
        spam = random.random() < 0.134
        lines.append(f"{'spam' if spam else 'ham'}\t{' '.join(_message(random, words, spam=spam))}")
    _save(into / "sms-spam" / "sms.tsv", lines)


_SPAM = ("FREE", "WIN", "prize", "£1000", "txt", "claim", "08712300220", "call now", "urgent!", "150p")
_ODD = ("😀", "Ü", "…", "&lt;#&gt;", '"', '"quoted"', "it's", "\x92", "‘ok", "i'm,", "é")


def _message(random: np.random.Generator, words: Sequence[str], *, spam: bool) -> Iterator[str]:
    size = 20 if spam else 3 + min(int(random.geometric(0.08)), 150)
    for place in (len(words) * random.random(size) ** 3).astype(int):
        kind = random.random()
        if kind < (0.25 if spam else 0.003):
            yield _SPAM[int(random.integers(len(_SPAM)))]
        elif kind > 0.98:
            yield _ODD[int(random.integers(len(_ODD)))]
        else:
            yield words[place]


def _save(file: Path, lines: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _groceries(into: Path) -> None:
    """Write items of a basket with commas between, some with a blank behind; whole milk is in a quarter of them."""
    random = np.random.default_rng(6)
    items = [f"{first} {second}" for first in ("whole", "fresh", "frozen") for second in ("milk", "fruit", "rolls ")]
    _save(into / "groceries" / "groceries.csv", [",".join(each) for each in _baskets(random, items, "groceries")])


def _t10i4d100k(into: Path) -> None:
    """Write numbers of items with a blank behind each."""
    random = np.random.default_rng(7)
    baskets = _baskets(random, [str(each) for each in range(1, 400, 7)], "t10i4d100k")
    _save(into / "t10i4d100k" / "T10I4D100K.dat", [f"{' '.join(each)} " for each in baskets])


def _kosarak10k(into: Path) -> None:
    """Write numbers of pages with blanks between."""
    random = np.random.default_rng(8)
    baskets = _baskets(random, [str(each) for each in range(1, 90)], "kosarak10k")
    _save(into / "kosarak10k" / "kosarak10k.txt", [" ".join(each) for each in baskets])


def _baskets(random: np.random.Generator, items: Sequence[str], name: str) -> Iterator[list[str]]:
    chance = 1 / np.arange(1, len(items) + 1)
    for size in 1 + random.poisson(3.4, ROWS[name]):
        yield [items[place] for place in np.flatnonzero(random.random(len(items)) < chance * size / 4)] or [items[0]]


def _cardio(into: Path) -> None:
    _anomalies(into, "6_cardio", ROWS["cardio"], 21)


def _ionosphere(into: Path) -> None:
    _anomalies(into, "18_Ionosphere", ROWS["ionosphere"], 32, low=0.0, high=1.0)


def _wine(into: Path) -> None:
    """Write readings with blanks between in one file, and growers in the other, line by line."""
    random = np.random.default_rng(13)
    columns = yaml.safe_load((CONF / "wine.yaml").read_text(encoding="utf-8"))["contract"]["columns"]
    grower = random.integers(1, 4, ROWS["wine"])
    bounds = [(each["min"], each["max"], each["dtype"]) for name, each in columns.items() if name != "grower"]
    rows = []
    for number in grower:
        shares = (number - random.random(len(bounds))) / 3
        cells = [low + share * (high - low) for share, (low, high, _) in zip(shares, bounds, strict=True)]
        rows.append(
            " ".join(f"{cell:.{0 if kind == 'int' else 2}f}" for cell, (*_, kind) in zip(cells, bounds, strict=True))
        )
    folder = into / "clustering-benchmark" / "uci"
    _save(folder / "wine.data.gz", rows)
    _save(folder / "wine.labels0.gz", map(str, grower))


def _thyroid(into: Path) -> None:
    _anomalies(into, "38_thyroid", ROWS["thyroid"], 6)


def _tatoeba_cmn_eng(into: Path) -> None:
    """Write an English sentence, a Chinese one and their authors a line; a sentence may have several translations."""
    random = np.random.default_rng(11)
    words = {
        "dog": "狗",
        "sees": "看见",
        "bird": "鸟",
        "green": "绿",
        "house": "房子",
        "runs": "跑",
        "tall": "高",
        "man": "人",
    }
    lines = list[str]()
    while len(lines) < ROWS["tatoeba_cmn_eng"]:
        chosen = random.choice(list(words), int(random.integers(2, 9))).tolist()
        for translation in range(1 + int(random.random() < 0.2)):
            english, chinese = " ".join(chosen).capitalize(), "".join(words[each] for each in chosen)
            authors = f"CC-BY 2.0 (France) Attribution: tatoeba.org #{len(lines)}"
            lines.append(f"{english}.\t{chinese}{'。！'[translation]}\t{authors}")
    _save(into / "tatoeba-cmn-eng" / "cmn.txt", lines[: ROWS["tatoeba_cmn_eng"]])


def _bccd(into: Path) -> None:
    """Write photographs of round cells, XML files of their boxes, and lists of names; two boxes have no area."""
    random = np.random.default_rng(9)
    names = [f"BloodImage_{number:05}" for number in range(ROWS["bccd"])]
    folder = into / "bccd"
    for name in ("JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True)
    for number, name in enumerate(names):
        photo, boxes = Image.new("RGB", (640, 480), (230, 210, 200)), []
        for label, size, colour in (("RBC", 90, "salmon"), ("WBC", 150, "purple"), ("Platelets", 30, "plum")):
            for _ in range(int(random.integers(1, 4))):
                x, y = int(random.integers(0, 640 - size)), int(random.integers(0, 480 - size))
                ImageDraw.Draw(photo).ellipse((x, y, x + size, y + size), fill=colour)
                boxes.append((label, x, y, x + size, y + size))
        boxes += [("RBC", 504, 337, 504, 337)] * (number < 2)
        photo.save(folder / "JPEGImages" / f"{name}.jpg", quality=70)
        corners = ("xmin", "ymin", "xmax", "ymax")
        objects = "".join(
            f"<object><name>{label}</name><bndbox>"
            + "".join(f"<{corner}>{value}</{corner}>" for corner, value in zip(corners, box, strict=True))
            + "</bndbox></object>"
            for label, *box in boxes
        )
        xml = f"<annotation><filename>{name}.jpg</filename>{objects}</annotation>"
        (folder / "Annotations" / f"{name}.xml").write_text(xml, encoding="utf-8")
    for part, chosen in {"train": names[:18], "val": names[18:24], "test": names[24:], "trainval": names[:24]}.items():
        _save(folder / "ImageSets" / "Main" / f"{part}.txt", chosen)


def _dsb2018_nuclei(into: Path) -> None:
    """Write an archive with a folder for each image, of the image and a mask for each nucleus in it."""
    random = np.random.default_rng(10)
    file = into / "dsb2018-nuclei" / "stage1_train_256_a.zip"
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(ROWS["dsb2018_nuclei"]):
            image = Image.new("RGBA", (256, 256), (20, 20, 20 + number, 255))
            for nucleus in range(int(random.integers(2, 9))):
                mask, size = Image.new("L", (256, 256)), int(random.integers(10, 30))
                x, y = random.integers(0, 256 - size, 2).tolist()
                for drawn, colour in ((image, (160, 160, 170, 255)), (mask, 255)):
                    ImageDraw.Draw(drawn).ellipse((x, y, x + size, y + size), fill=colour)
                _add_png(archive, f"stage1_train/{number:064x}/masks/{nucleus:064x}.png", mask)
            _add_png(archive, f"stage1_train/{number:064x}/images/{number:064x}.png", image)


def _add_png(archive: zipfile.ZipFile, name: str, image: Image.Image) -> None:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    archive.writestr(zipfile.ZipInfo(name), stream.getvalue())


def _anomalies(into: Path, name: str, rows: int, width: int, *, low: float = -np.inf, high: float = np.inf) -> None:
    """Write an archive of measurements, column by column as the real ones are, and which of them are anomalies."""
    random = np.random.default_rng(width)
    anomaly = (random.random(rows) < 0.1).astype(np.int64)
    values = random.normal(size=(rows, width)) + 3 * anomaly[:, np.newaxis]
    file = into / "adbench" / f"{name}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, X=np.asfortranarray(values.clip(low, high)), y=anomaly)


WRITERS: dict[str, Callable[[Path], None]] = {
    "adult": _adult,
    "bccd": _bccd,
    "cardio": _cardio,
    "csl_titles": _csl_titles,
    "dsb2018_nuclei": _dsb2018_nuclei,
    "etth1": _etth1,
    "groceries": _groceries,
    "ionosphere": _ionosphere,
    "kosarak10k": _kosarak10k,
    "mnist": _mnist,
    "mnist_seeds": _mnist,
    "sms_spam": _sms_spam,
    "t10i4d100k": _t10i4d100k,
    "tatoeba_cmn_eng": _tatoeba_cmn_eng,
    "thyroid": _thyroid,
    "wine": _wine,
}

if __name__ == "__main__":
    for write in WRITERS.values():
        write(Path(sys.argv[1]))
