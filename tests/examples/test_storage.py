"""Rows and arrays in files are those in memory, bit for bit, whatever the kind of features and of targets."""

import io
import os
import shutil
from pathlib import Path
from typing import Any

import fake_data
import numpy as np
import pyarrow as pa
import pytest
import yaml
from PIL import Image
from scipy import sparse

from headframe.config.load import load_plan
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.datasets.ingest import ingest
from headframe.datasets.splits import assign
from headframe.datasets.table import Table
from headframe.errors import HeadframeError, RowError
from headframe.examples import storage
from headframe.examples.encode import encode
from headframe.examples.prepare import PreparedData, prepare
from headframe.examples.storage import Storage, available_memory, is_mapped
from headframe.features.columns import column_statistics, mean_and_std, number_columns
from headframe.features.fusion import Fusion, encoder_of
from headframe.features.pixels import Pixels
from headframe.places import Places

REPOSITORY = Path(__file__).resolve().parents[2]

KINDS = {
    "image": ["dataset=digits", "features=image", "model=linear"],
    "tabular": ["dataset=adult", "features=tabular", "model=mlp"],
    "tokens": ["dataset=sms_spam", "features=tokens_word", "model=sequence_cnn"],
    "fused": ["dataset=sms_spam", "features=text_fused", "model=late_fusion"],
    "sparse": ["dataset=sms_spam", "features=tfidf_word", "model=logistic"],
    "windows": ["experiment=etth1_linear"],
    "boxes": ["experiment=bccd_detector"],
    "baskets": ["experiment=groceries_rules"],
    "no target": ["experiment=ionosphere_autoencoder"],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("storage") / "project"
    shutil.copytree(REPOSITORY / "conf", made / "conf")
    for name in fake_data.ROWS:
        (made / "conf" / "dataset" / f"{name}.yaml").write_text(yaml.safe_dump(fake_data.settings(name)))
    return made


def opened(root: Path, overrides: list[str]) -> tuple[Plan, Table]:
    plan = load_plan(overrides, Project(root))
    folder = root / "data" / plan.dataset.name
    if not folder.exists():
        ingest(plan.dataset, Places(root, fake_data.mirror(plan.dataset.name)))
    return plan, Table.open(folder)


def by_hand(plan: Plan, table: Table, prepared: PreparedData) -> tuple[Any, Any, dict[str, np.ndarray], dict[str, Any]]:
    """Rows, inputs and targets made of all rows at once, and what the encoder learned."""
    splits = assign(plan.dataset, table)
    rows = table.read(prepared.rows.column_names).filter(pa.array(splits != "unused"))
    training = rows.filter(pa.array(splits[splits != "unused"] == "train"))
    encoder = encoder_of(plan.features)
    encoder.fit(training, plan.dataset.inputs)
    task = type(prepared.task)(**{name: value for name, value in plan.task.arguments.items() if name != "kind"})
    task.fit(training.select(prepared.target_columns))
    assert task.state() == prepared.task.state()
    return rows, encoder.encode(rows), task.targets(rows.select(prepared.target_columns)), encoder.state()


def mapped_below(folder: Path) -> int:
    """How many files in a folder this process has mapped that have no name any more."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return len({line.split()[4] for line in lines if f"{folder}/" in line and line.endswith("(deleted)")})


@pytest.mark.parametrize("mapped", [False, True], ids=["memory", "mapped"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_in_files_is_what_would_lie_in_memory(
    root: Path, tmp_path: Path, kind: str, mapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, table = opened(root, KINDS[kind])
    for name, value in {"FIRST": 5, "AT_ONCE": 100, **({"SHARE": 0} if mapped else {})}.items():
        monkeypatch.setattr(storage, name, value)
    prepared = prepare(plan.dataset, plan.task, table, Storage(tmp_path))
    examples = encode(prepared, plan.learner)
    rows, inputs, targets, state = by_hand(plan, table, prepared)
    raw = rows.column_names[1:]  # the names of rows are nullable where gaps may be filled
    assert prepared.rows.select(raw).equals(rows.select(raw))
    assert examples.encoder.state() == state
    assert list(examples.target) == list(targets)
    for name, each in targets.items():
        assert examples.target[name].dtype == each.dtype
        np.testing.assert_array_equal(examples.target[name], each)
    assert type(examples.inputs) is type(inputs)
    if sparse.issparse(inputs):
        assert (abs(examples.inputs - inputs) > 0).nnz == 0
        assert examples.inputs.indices.dtype == inputs.indices.dtype
    else:
        arrays = [[each] if isinstance(each, np.ndarray) else each.values() for each in (examples.inputs, inputs)]
        both = zip(*arrays, strict=True)
        for found, expected in both:
            assert found.tobytes() == expected.tobytes()
            assert found.dtype == expected.dtype
            assert is_mapped(found) == mapped
    assert bool(mapped_below(tmp_path)) == mapped
    assert not list(tmp_path.iterdir())  # nothing that a kill would leave behind


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("tabular", r"examples, which an estimator needs all at once, take .* baseline=none where it is the baseline"),
        ("sparse", r"rows as a sparse matrix, which cannot be streamed, take .* choose features that are not sparse"),
    ],
)
def test_what_memory_has_no_room_for_is_refused_in_one_sentence(
    root: Path, tmp_path: Path, kind: str, message: str
) -> None:
    plan, table = opened(root, KINDS[kind])
    small = Storage(tmp_path)
    small.memory = 50_000
    prepared = prepare(plan.dataset, plan.task, table, small)
    with pytest.raises(HeadframeError, match=message):
        encode(prepared, plan.learner).inputs_of(np.arange(2_000))


@pytest.mark.parametrize("share", [0, 1])
def test_images_of_any_size_are_padded_to_the_largest_of_all(share: float, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(storage, "SHARE", share)
    monkeypatch.setattr(storage, "AT_ONCE", 16)
    draw = np.random.default_rng(1)
    sizes = draw.integers(2, 20, (150, 2))
    sizes[[3, 140]] = [21, 2], [2, 30]  # the highest and the widest
    images = [Image.fromarray(draw.integers(0, 256, size, np.uint8)) for size in sizes]
    files = [io.BytesIO() for _ in images]
    for image, file in zip(images, files, strict=True):
        image.save(file, "PNG")
    table = pa.table({"image": pa.array([file.getvalue() for file in files])})
    for encoder in (Pixels(channels=1), Fusion({"a": Pixels(channels=1), "b": Pixels(channels=1)}, "fused")):
        encoder.fit(table, ("image",))
        found, expected = Storage(tmp_path).encoded(encoder.encode, table, encoder.padding), encoder.encode(table)
        for name in "ab" if isinstance(expected, dict) else [...]:
            assert found[name].shape == (150, 2, 21, 30)
            np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("rows", [1, 5, 16_385, 40_000])
@pytest.mark.parametrize("columns", [1, 2, 7])
def test_statistics_of_blocks_are_those_of_all_rows(rows: int, columns: int) -> None:
    values = np.random.default_rng(rows).normal(3, 1e3, (rows, columns)) ** 3
    values[:, -1] = np.where(rows % 2, 0.1, values[:, -1])
    names = tuple(f"c{number}" for number in range(columns))
    table = pa.table(dict(zip(names, values.T, strict=True)))
    for found, expected in zip(
        column_statistics(table, names), mean_and_std(number_columns(table, names)), strict=True
    ):
        assert found.tobytes() == expected.tobytes()


def test_a_cell_is_named_by_its_row_among_all(tmp_path: Path) -> None:
    def encode(rows: pa.Table) -> np.ndarray:
        return number_columns(rows, ("a", "b"))

    table = pa.table({"a": np.zeros(20_000), "b": np.where(np.arange(20_000) == 17_000, np.nan, 1.0)})
    for work in (lambda: Storage(tmp_path).encoded(encode, table), lambda: column_statistics(table, ("a", "b"))):
        with pytest.raises(RowError, match="column 'b' is empty or NaN in row 17001"):
            work()


def test_rows_of_two_shapes_are_refused(tmp_path: Path) -> None:
    table = pa.table({"a": np.arange(200)})
    with pytest.raises(HeadframeError, match=r"rows from 65 on are encoded as int64 \(136,\), but those before as"):
        Storage(tmp_path).encoded(lambda rows: np.zeros((len(rows), len(rows)), np.int64), table)


def test_a_disk_without_room_is_refused_before_anything_is_encoded(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(storage, "SHARE", 0)
    with pytest.raises(OSError, match=r"No space left on device|File too large"):
        Storage(tmp_path)._empty((2**50,), np.dtype(np.float32))
    assert not list(tmp_path.iterdir())


def test_the_limit_of_a_control_group_counts(tmp_path: Path) -> None:
    group = Path("/sys/fs/cgroup/memory") / f"headframe-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("needs the right to make a control group of version 1")
    try:
        (group / "memory.limit_in_bytes").write_text(str(300 * 2**20))
        child = os.fork()
        if not child:
            (group / "cgroup.procs").write_text(str(os.getpid()))
            os._exit(available_memory() != 300 * 2**20)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        group.rmdir()
    assert available_memory() > 300 * 2**20
