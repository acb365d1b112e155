"""Several inputs of one example: what each encoder gives alone, through batches, copies, bundles and estimators."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from headframe.config.build import build
from headframe.config.plan.features import EncoderConfig, FeaturesConfig
from headframe.config.plan.model import ModelConfig
from headframe.errors import ConfigurationError
from headframe.examples.batches import TensorExamples
from headframe.examples.copies import row_hashes
from headframe.examples.encode import Examples
from headframe.examples.framing import RowFraming, WindowFraming, gather
from headframe.features.base import count_rows, finite
from headframe.features.fusion import encoder_of
from headframe.miners.base import estimator_model
from headframe.tasks.classification import Classification

WORDS = {"_target_": "headframe.features.tokens.Tokens", "unit": "word", "length": 4, "column": "text"}
NUMBERS = {"_target_": "headframe.features.tabular.Tabular", "columns": ["number", "colour"]}
WINDOW = {"_target_": "headframe.features.windows.Windows", "lookback": 3, "columns": ["number"]}
ROWS = pa.table(
    {
        "text": ["a b", "b c d", "a b", "", "d"],
        "number": [1.0, 2.0, 1.0, 4.0, 5.0],
        "colour": ["red", "blue", "red", "red", "blue"],
    }
)


def features(**encoders: dict[str, object]) -> FeaturesConfig:
    return FeaturesConfig.model_validate({"gives": "fused", "encoders": encoders})


def test_each_input_is_what_its_encoder_gives_alone() -> None:
    fused = encoder_of(features(words=WORDS, numbers=NUMBERS))
    fused.fit(ROWS, tuple(ROWS.column_names))
    encoded = fused.encode(ROWS)
    assert isinstance(encoded, dict)
    assert list(encoded) == ["numbers", "words"]
    for name, settings in (("words", WORDS), ("numbers", NUMBERS)):
        alone = build(EncoderConfig.model_validate(settings))
        alone.fit(ROWS, tuple(ROWS.column_names))
        np.testing.assert_array_equal(encoded[name], alone.encode(ROWS))
        assert fused.spec().parts[name] == alone.spec()
    assert fused.columns == ("number", "colour", "text")
    restored = encoder_of(features(words=WORDS, numbers=NUMBERS))
    restored.restore(fused.state())
    again = restored.encode(ROWS)
    assert isinstance(again, dict)
    assert all(np.array_equal(again[name], each) for name, each in encoded.items())
    assert count_rows(encoded) == len(ROWS)
    assert finite(encoded)
    assert not finite({**encoded, "numbers": np.full((5, 3), np.inf, dtype=np.float32)})


def test_rows_are_copies_where_all_their_inputs_are_equal() -> None:
    fused = encoder_of(features(words=WORDS, numbers=NUMBERS))
    rows = pa.concat_tables([ROWS, ROWS.slice(0, 1).set_column(1, "number", pa.array([9.0]))])
    fused.fit(rows, tuple(rows.column_names))
    hashes = row_hashes(fused.encode(rows))
    assert hashes[0] == hashes[2]
    assert len(set(hashes.tolist())) == 5


@pytest.mark.parametrize("lookback", [0, 2])
def test_batches_gather_each_input(lookback: int) -> None:
    random = np.random.default_rng(0)
    arrays = {"a": random.normal(size=(9, 2)).astype(np.float32), "b": random.integers(0, 9, (9, 3))}
    target = {"target": np.arange(9)[:, np.newaxis]}
    framing = WindowFraming(lookback, 1, None) if lookback else RowFraming()
    reads = framing.reads(pa.table({}))
    examples = Examples(None, arrays, target, framing, reads, np.arange(5), np.arange(5), np.arange(0))  # type: ignore[arg-type]
    batch = TensorExamples(examples, torch.device("cpu")).take(torch.tensor([4, 2]))
    assert isinstance(batch.inputs, dict)
    for name, values in arrays.items():
        expected = [values[place - lookback : place] if lookback else values[place] for place in (4, 2)]
        np.testing.assert_array_equal(batch.inputs[name], np.stack(expected))
    windows = examples.inputs_of(np.array([4, 2]))
    assert isinstance(windows, dict)
    assert all(np.array_equal(windows[name], batch.inputs[name]) for name in arrays)


def test_rows_that_there_are_none_of_are_zero_whatever_numbers_name_them() -> None:
    values = np.arange(1.0, 7.0).reshape(3, 2)
    for index in (np.array([[-1, 2], [0, 1]]), np.array([[-1, 2], [0, 1]]).astype(np.uint64)):
        found = gather(values, index)
        assert found.tolist() == [[[0.0, 0.0], [5.0, 6.0]], [[1.0, 2.0], [3.0, 4.0]]]


def test_an_estimator_sees_all_inputs_side_by_side() -> None:
    from sklearn.linear_model import LogisticRegression

    fused = encoder_of(features(words=WORDS, numbers=NUMBERS))
    fused.fit(ROWS, tuple(ROWS.column_names))
    encoded, task = fused.encode(ROWS), Classification()
    target = pa.table({"y": ["x", "y", "x", "x", "y"]})
    task.fit(target)
    model = estimator_model(LogisticRegression(), task)
    model.fit(encoded, task.targets(target))
    assert isinstance(encoded, dict)
    flat = np.concatenate([encoded["numbers"], encoded["words"]], axis=1)
    expected = LogisticRegression().fit(flat, task.encode(target)).predict_proba(flat)
    np.testing.assert_allclose(task.scores_in(model(encoded)), expected, rtol=1e-9)


def test_a_network_reads_each_input_and_an_empty_text() -> None:
    fused = encoder_of(features(words=WORDS, numbers=NUMBERS))
    fused.fit(ROWS, tuple(ROWS.column_names))
    encoded = fused.encode(ROWS)
    assert isinstance(encoded, dict)
    model = {"_target_": "headframe.models.fusion.LateFusion", "width": 5}
    network = build(ModelConfig.model_validate(model), fused.spec(), (3,)).eval()
    inputs = {name: torch.from_numpy(each) for name, each in encoded.items()}
    outputs = network(inputs)
    assert outputs.shape == (5, 3)
    assert outputs.isfinite().all()  # of the row without a text, too
    for name, given in inputs.items():
        changed = {**inputs, name: given.flip(0)}
        assert not torch.allclose(network(changed), outputs)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="look back 0 and 3 rows; give all the same lookback"):
        encoder_of(features(words=WORDS, window=WINDOW))
    for keys in ({}, {"encoder": WORDS, "encoders": {"a": WORDS}}):
        with pytest.raises(ValueError, match="one `encoder`, or several `encoders` by name"):
            FeaturesConfig.model_validate({"gives": "fused", **keys})
    fused = encoder_of(features(words=WORDS, numbers=NUMBERS))
    fused.fit(ROWS, tuple(ROWS.column_names))
    model = ModelConfig.model_validate({"_target_": "headframe.models.fusion.LateFusion"})
    with pytest.raises(ConfigurationError, match="several inputs are fused, but 'tabular' is one"):
        build(model, fused.encoders["numbers"].spec(), (3,))  # type: ignore[attr-defined]
