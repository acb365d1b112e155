"""Training has seen no copy: no row that its features make equal to a row that the model is measured on."""

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from headframe.config.load import load_plan
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.datasets.ingest import ingest
from headframe.datasets.table import Table
from headframe.errors import DataError
from headframe.examples.copies import row_hashes
from headframe.examples.encode import Examples, encode
from headframe.examples.prepare import PreparedData, prepare
from headframe.features.images import Images
from headframe.places import Places

SMALL = arrays(
    np.float32, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.sampled_from([0.0, -0.0, 1.0, 2.0**-40])
)


@given(SMALL)
def test_rows_share_a_hash_where_all_numbers_are_equal(values: np.ndarray) -> None:
    with_zeros = sparse.csr_matrix(values)
    with_zeros.data[:] = with_zeros.data
    for encoded in (values, sparse.csr_matrix(values), sparse.csr_matrix(values[:, ::-1])[:, ::-1].tocsr()):
        hashes = row_hashes(encoded)
        for one, row in enumerate(values):
            assert [hashes[one] == other for other in hashes] == [bool((row == other).all()) for other in values]


PIXELS = arrays(
    np.uint8, st.tuples(st.integers(2, 8), st.just(2), st.just(2), st.integers(1, 3)),
    elements=st.sampled_from([0, 1, 127, 128, 254, 255]),
)  # fmt: skip


@given(PIXELS)
def test_images_are_copies_where_all_their_pixels_are_equal(pixels: np.ndarray) -> None:
    """The encoder sees the 256 levels that a table holds, and rounds no two of them to one: copies are exact."""
    rows = pa.table({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)})
    encoder = Images()
    encoder.fit(rows, ("image",))
    hashes = row_hashes(encoder.encode(rows))
    for one, row in enumerate(pixels):
        assert [hashes[one] == other for other in hashes] == [bool((row == other).all()) for other in pixels]


@pytest.mark.parametrize("pattern", ["dark", "alike", "any"])
def test_an_image_encoder_tells_all_levels_apart(pattern: str) -> None:
    """Also where the training images hardly differ, so that a level is many deviations from the next."""
    draw = np.random.default_rng(3)
    learned = {"dark": 0, "alike": 200, "any": draw.integers(0, 256, (400, 5, 5))}[pattern] * np.ones((400, 5, 5))
    learned[0, 0, 0] += 1 if pattern != "any" else 0
    encoder = Images()
    encoder.fit(_images(learned), ("image",))
    flat = _images(np.arange(256)[:, np.newaxis, np.newaxis] * np.ones((5, 5)))  # one image of each level
    assert len(np.unique(row_hashes(encoder.encode(flat)))) == 256


def _images(pixels: np.ndarray) -> pa.Table:
    return pa.table({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels.astype(np.uint8))})


def test_numbers_that_the_encoder_rounds_to_one_are_copies(tmp_path: Path) -> None:
    """Numbers are encoded as float32, so that a difference in the tenth digit is none."""
    sizes = [at / 7 + 1e-9 * again for at in range(200) for again in (0, 1)]
    lines = [f"{size!r},{'ab'[at % 2]},{'xy'[at % 3 % 2]}" for at, size in enumerate(sizes)]
    prepared, examples = examples_of(tabular_plan(tmp_path, ["size,kind,label", *lines], ["size"]), tmp_path)
    assert len(set(sizes)) == 400
    encoded = np.asarray(examples.inputs)
    assert 200 <= len(np.unique(encoded, axis=0)) < 210  # a few lie on both sides of where a float32 begins
    training, validation, test = by_hand(prepared, examples)
    assert not training & (validation | test)
    assert not validation & test
    assert len(examples.copies) > 20


def plan_of(dataset: dict[str, Any], features: dict[str, Any]) -> Plan:
    root = Path(__file__).resolve().parents[2]
    plan = load_plan(["dataset=sms_spam", "model=logistic", "features=tfidf_word"], Project(root))
    shaped = plan.model_dump(mode="json", by_alias=True)
    shaped["dataset"] |= dataset
    encoder = shaped["features"]["encoder"]
    shaped["features"]["encoder"] = {"_target_": encoder["_target_"], **features} if features else encoder
    return Plan.model_validate(shaped)


def examples_of(plan: Plan, root: Path, mirror: Path | None = None) -> tuple[PreparedData, Examples]:
    table = Table.open(root / ingest(plan.dataset, Places(root, mirror)).folder)
    prepared = prepare(plan.dataset, plan.task, table)
    return prepared, encode(prepared, plan.learner)


WORDS = ["red", "green", "blue", "round", "flat", "old", "new", "cold", "warm", "dry"]
TRIPLES = [f"{one} {two} {three}" for one, two, three in permutations(WORDS, 3)]
VARIANTS = [*TRIPLES, *(f"{text.upper().replace(' ', '  ')}!" for text in TRIPLES[::8])]
"""Texts, and some of them once more in other letters and with other blanks."""


def by_hand(prepared: PreparedData, examples: Examples) -> tuple[set[str], set[str], set[str]]:
    """The encoded rows of each split as text, by a plain loop."""
    dense = examples.inputs.toarray() if sparse.issparse(examples.inputs) else examples.inputs
    texts = [repr(row.tolist()) for row in dense]
    test = {texts[row] for row in np.flatnonzero(prepared.splits == "test")}
    return {texts[row] for row in examples.train}, {texts[row] for row in examples.validation}, test


def messages(root: Path, texts: list[str]) -> dict[str, Any]:
    (root / "own.tsv").write_text("".join(f"{'ham' if at % 2 else 'spam'}\t{text}\n" for at, text in enumerate(texts)))
    return {"name": "own", "sources": {"own": {"uri": "file:own.tsv"}}, "contract": {"columns": {
        "label": {"dtype": "string"}, "text": {"dtype": "string"}}}}  # fmt: skip


def test_texts_that_the_encoder_cannot_tell_apart_are_not_learned_from(tmp_path: Path) -> None:
    words = {"analyzer": "word", "ngrams": [1, 2]}
    prepared, examples = examples_of(plan_of(messages(tmp_path, VARIANTS), words), tmp_path)
    training, validation, test = by_hand(prepared, examples)
    assert not training & (validation | test)
    assert not validation & test
    assert len(examples.copies) > 5
    assert prepared.splits[examples.copies].tolist().count("test") == 0
    # Characters tell them apart, so other features lose no row; the test rows are the same.
    letters = {"analyzer": "char", "ngrams": [1, 3], "lower": False}
    other, all_told = examples_of(plan_of(messages(tmp_path, VARIANTS), letters), tmp_path)
    assert len(all_told.copies) < 3
    assert other.splits.tolist() == prepared.splits.tolist()


BY_HASH = {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.2, "test": 0.2}
BY_TIME = {"_target_": "headframe.datasets.splits.TimeSplitter", "train": 60, "validation": 20, "test": 20}


def tabular_plan(root: Path, lines: list[str], inputs: list[str], split: dict[str, Any] = BY_HASH) -> Plan:
    """A plan for rows of text in whose header `number` is a whole number, and `size` a number or nothing."""
    (root / "own.csv").write_text("\n".join(lines) + "\n")
    plan = load_plan(["dataset=adult", "model=logistic", "features=tabular"], Project(Path(__file__).parents[2]))
    shaped = plan.model_dump(mode="json", by_alias=True)
    kinds = {
        "number": {"dtype": "int"}, "size": {"dtype": "float", "nullable": True}, "kind": {"dtype": "string"},
        "label": {"dtype": "string"}, "when": {"dtype": "timestamp"},
    }  # fmt: skip
    shaped["dataset"] |= {
        "name": "own", "sources": {"own": {"uri": "file:own.csv"}}, "inputs": inputs, "target": "label",
        "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
        "split": split, "time": "when" if "when" in lines[0] else None,
        "contract": {"columns": {name: kinds[name] for name in lines[0].split(",")}},
    }  # fmt: skip
    return Plan.model_validate(shaped)


def test_a_split_by_time_is_learned_from_as_it_is(tmp_path: Path) -> None:
    """What was measured before is measured again; that is no copy."""
    lines = [f"2026-01-{1 + at // 24:02} {at % 24:02}:00:00,{at % 30},{'xy'[at % 3 % 2]}" for at in range(100)]
    prepared, examples = examples_of(tabular_plan(tmp_path, ["when,size,label", *lines], ["size"], BY_TIME), tmp_path)
    training, validation, test = by_hand(prepared, examples)
    assert test <= training
    assert validation <= training
    assert len(examples.copies) == 0
    assert (len(examples.train), len(examples.validation)) == (60, 20)


def test_an_empty_cell_that_only_copies_have_can_be_encoded_all_the_same(tmp_path: Path) -> None:
    # The file has a column besides, so that rows of equal inputs lie on both sides of the split.
    lines = [f"{at},{'' if at % 25 == 0 else at / 7},{'ab'[at % 2]},{'xy'[at % 3 % 2]}" for at in range(500)]
    plan = tabular_plan(tmp_path, ["number,size,kind,label", *lines], ["size", "kind"])
    prepared, examples = examples_of(plan, tmp_path)
    empty = np.flatnonzero(np.asarray(prepared.rows["size"].is_null()))
    assert len(empty) == 20
    assert not {*empty} & {*examples.train}  # each of them is a copy of a test row
    assert len(examples.inputs) == 500


def test_a_task_is_fitted_on_the_whole_training_split_and_on_nothing_else(tmp_path: Path) -> None:
    """Copies are training rows, of which a task knows the target alone; classes must be known that only they have."""
    words = {"analyzer": "word", "ngrams": [1, 2]}
    plan = plan_of(messages(tmp_path, VARIANTS), words)
    prepared, examples = examples_of(plan, tmp_path)
    assert len(examples.copies) > 5
    labels = prepared.rows["label"].to_pylist()
    trained = [label for label, split in zip(labels, prepared.splits, strict=True) if split == "train"]
    assert prepared.task.state()["counts"] == [trained.count("ham"), trained.count("spam")]


def test_where_few_values_repeat_the_plan_says_whether_they_are_copies(tmp_path: Path) -> None:
    settings = messages(tmp_path, [f"value {at % 7}, case {at}" for at in range(300)])
    few = {"analyzer": "word", "ngrams": [1, 1], "max_features": 1}
    with pytest.raises(
        DataError, match=r"for Tfidf, .* rows apart, .* copies .* `repeats: true` into conf/dataset/own\.yaml"
    ):
        examples_of(plan_of(settings, few), tmp_path)
    prepared, examples = examples_of(plan_of({**settings, "repeats": True}, few), tmp_path)
    assert len(examples.train) == (prepared.splits == "train").sum()
    assert len(examples.copies) == 0


def test_no_test_message_has_the_token_ids_of_a_training_row(real_data: Path, tmp_path: Path) -> None:
    plan = load_plan(
        ["dataset=sms_spam", "model=sequence_cnn", "features=tokens_word"], Project(Path(__file__).resolve().parents[2])
    )
    prepared, examples = examples_of(plan, tmp_path, real_data)
    training, validation, test = by_hand(prepared, examples)
    assert (prepared.splits == "test").sum() == 1120
    assert not training & (validation | test)
    assert not validation & test
    assert 0 < len(examples.copies) < 60
