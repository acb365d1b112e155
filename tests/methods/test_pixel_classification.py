"""Masks of whole images of any size: learned from crops, and the same whatever comes with an image."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional

from headframe.cells.images import decode_mask, encode_mask
from headframe.errors import DataError
from headframe.examples.batches import Batch
from headframe.features.pixels import Pixels
from headframe.features.spec import InputSpec
from headframe.methods.pixel_classification import PixelClassification
from headframe.models.unet import UNet
from headframe.tasks.segmentation import MASK, OUTSIDE, Segmentation

SPEC = InputSpec("pixels", {"channel": 4, "height": 0, "width": 0})
SIZES = [(16, 24), (13, 9), (1, 31), (16, 24), (20, 20)]


@pytest.fixture(scope="module")
def method() -> PixelClassification:
    task = Segmentation()
    task.fit(pa.table({"mask": pa.array([encode_mask(np.array([[0, 1, 5]], np.uint8))])}))
    torch.manual_seed(0)
    network = UNet(SPEC, task.outputs, width=4, depth=3)
    for _ in range(20):  # so that the batch normalisations know means
        outputs = network(torch.randint(0, 256, (4, 4, 32, 32), dtype=torch.uint8))
    network.last.bias.data -= outputs.mean(dim=(0, 2, 3))  # and all classes are found
    return PixelClassification(network.eval(), task)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    draw = np.random.default_rng(1)
    return [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def encoded(images: list[np.ndarray]) -> torch.Tensor:
    largest = np.array([image.shape[:2] for image in images]).max(axis=0)
    rows = torch.zeros(len(images), 4, *largest, dtype=torch.uint8)
    for row, image in zip(rows, images, strict=True):
        row[:3, : image.shape[0], : image.shape[1]] = torch.from_numpy(image.transpose(2, 0, 1).copy())
        row[3, : image.shape[0], : image.shape[1]] = 1
    return rows


def predicted(method: PixelClassification, images: list[np.ndarray]) -> pa.Table:
    with torch.inference_mode():
        return method.predict(encoded(images))


def test_an_image_alone_has_the_mask_that_it_has_among_others_to_the_last_bit(method, images) -> None:
    together = predicted(method, images)
    masks = [decode_mask(each.as_py()) for each in together["mask"]]
    assert [mask.shape for mask in masks] == SIZES
    assert len({number for mask in masks for number in np.unique(mask)}) > 1
    for row, image in enumerate(images):
        assert predicted(method, [image]).equals(together.slice(row, 1))
    order = [3, 1, 4, 0, 2]
    assert predicted(method, [images[row] for row in order]).equals(together.take(order))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 17), (40, 3)])
@pytest.mark.parametrize("depth", [1, 4])
def test_a_network_gives_each_pixel_of_any_size_its_outputs(size: tuple[int, int], depth: int) -> None:
    network = UNet(SPEC, (3,), width=2, depth=depth).eval()
    assert network(torch.randint(0, 256, (2, 4, *size), dtype=torch.uint8)).shape == (2, 3, *size)


def test_a_pixel_sees_what_is_around_it_and_the_whole_moves_along_with_the_image() -> None:
    draw = torch.Generator().manual_seed(2)
    image = torch.randint(0, 256, (1, 4, 96, 96), dtype=torch.uint8, generator=draw)
    torch.manual_seed(0)
    network = UNet(SPEC, (2,), width=4, depth=2).eval()
    with torch.inference_mode():
        whole, moved = network(image), network(image[..., 8:, 16:])
        other = image.clone()
        other[..., 48, 48] = 255 - other[..., 48, 48]
        changed = (network(other) != whole).any(dim=1)[0]
    # Shifts by the multiple of all halvings; pixels near the new edges see other surroundings.
    torch.testing.assert_close(moved[..., 40:, 40:], whole[..., 48:, 56:], rtol=1e-4, atol=1e-5)
    assert changed[48, 48]
    assert changed[40:57, 40:57].float().mean() > 0.5
    assert not changed[:4].any()


def test_networks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="takes images, but the input is 'tabular'"):
        UNet(InputSpec("tabular", {"feature": 3}), (2,))
    with pytest.raises(ValueError, match=r"outputs of shape \(\) are asked for"):
        UNet(SPEC, ())
    with pytest.raises(ValueError, match="width and depth are 1 or more, not 16 and 0"):
        UNet(SPEC, (2,), depth=0)


@pytest.mark.parametrize("dice", [0.0, 0.7])
def test_the_losses_are_those_of_a_plain_loop_over_pixels_inside(dice: float, method) -> None:
    task = method.task
    outputs = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mask = torch.randint(0, 3, (2, 4, 5), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    mask[0, 2:] = OUTSIDE
    probabilities = outputs.softmax(dim=1)
    total, pixels, both, sizes = 0.0, 0, np.zeros(3), np.zeros(3)
    for row, image in enumerate(mask.tolist()):
        for y, line in enumerate(image):
            for x, true in enumerate(line):
                if true != OUTSIDE:
                    own = probabilities[row, :, y, x].numpy()
                    total, pixels = total - np.log(own[true]), pixels + 1
                    both[true] += own[true]
                    sizes[true] += 1
                    sizes += own
    found = PixelClassification(lambda inputs: outputs, task, dice=dice).losses("network", Batch(None, {MASK: mask}))
    expected = {"cross_entropy": total / pixels}
    if dice:
        expected["dice"] = dice * (1 - ((2 * both + 1) / (sizes + 1)).mean())
    assert {name: loss.item() for name, loss in found.items()} == pytest.approx(expected, rel=1e-5)
    reference = functional.cross_entropy(outputs, mask.long(), ignore_index=OUTSIDE)
    assert found["cross_entropy"].item() == pytest.approx(reference.item(), rel=1e-5)


def test_validation_measures_whole_images_one_by_one(method, images) -> None:
    files = pa.array([encode_mask((image[..., 0] > 200).astype(np.uint8)) for image in images])
    targets = torch.from_numpy(method.task.targets(pa.table({"mask": files}))[MASK])
    inputs = encoded(images)
    batches = [Batch(inputs[:2], {MASK: targets[:2]}), Batch(inputs[2:], {MASK: targets[2:]})]
    with torch.inference_mode():
        loss, found = method.validate(batches)
        assert found is not None
        assert found.equals(predicted(method, images))
        each = [method.validate([Batch(inputs[row : row + 1], {MASK: targets[row : row + 1]})])[0] for row in range(5)]
        assert loss == pytest.approx(np.mean(each), rel=1e-6)
        broken = PixelClassification(lambda x: torch.full((1, 3, *x.shape[2:]), torch.nan), method.task)
        assert broken.validate(batches)[1] is None


def test_a_mask_that_is_not_as_large_as_its_image_is_refused(method, images) -> None:
    files = pa.array([encode_mask(np.zeros(size, np.uint8)) for size in [*SIZES[:4], (20, 19)]])
    batch = Batch(encoded(images), {MASK: torch.from_numpy(method.task.targets(pa.table({"mask": files}))[MASK])})
    method.prepare([Batch(batch.inputs[:4], {MASK: batch.targets[MASK][:4]})])
    for look in (method.prepare, method.validate):
        with pytest.raises(DataError, match="an image of 20 x 20 pixels has a mask of 20 x 19; correct it or leave it"):
            look([batch])


def test_padding_and_the_channel_that_marks_it_are_not_looked_at(method, images) -> None:
    rows = encoded(images[:1]).repeat(2, 1, 1, 1)
    with torch.inference_mode():
        rows[1, 3] = 0
        first, second = method.network(rows)
    assert torch.equal(first, second)
    encoder = Pixels("photo")
    assert encoder.gives == SPEC.kind
    assert encoder.spec() == SPEC


def test_training_on_crops_lowers_both_losses(method) -> None:
    torch.manual_seed(3)
    learner = PixelClassification(UNet(SPEC, (3,), width=4, depth=2), method.task)
    image = torch.randint(0, 256, (4, 4, 16, 16), dtype=torch.uint8)
    batch = Batch(image, {MASK: (image[:, 0] // 100).to(torch.uint8)})
    optimizer = torch.optim.Adam(learner.network.parameters(), lr=0.01)
    history = []
    for _ in range(40):
        optimizer.zero_grad()
        losses = learner.losses("network", batch)
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    assert all(history[-1][name] < 0.7 * history[0][name] for name in ("cross_entropy", "dice"))
