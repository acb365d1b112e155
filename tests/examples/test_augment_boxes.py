"""Boxes move along with the images that they are drawn on."""

import pytest
import torch

from headframe.examples.augment import Augmentation
from headframe.examples.augment_boxes import ColourJitter, FlipWithBoxes, ScaleWithBoxes
from headframe.examples.batches import Batch

HEIGHT, WIDTH = 60, 80
SCALE = torch.tensor([[0.5, 0.25], [2.0, 1.0]]).repeat(20, 1)  # of height and width; images of two sizes
ROWS = len(SCALE)
CHANGES = (FlipWithBoxes(), ScaleWithBoxes(), ColourJitter())


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*, whole: bool = True) -> Batch:
    """A bright rectangle on each image, in bytes, whose box is the first of two places; the other holds none."""
    image = torch.full((ROWS, 3, HEIGHT, WIDTH), 40, dtype=torch.uint8)
    boxes = torch.zeros(ROWS, 2, 4, dtype=torch.float64)
    for row in range(ROWS):
        x, y = (24 + row % 7, 20 + row % 5) if whole else (row % 3, HEIGHT - 13)
        image[row, :, y : y + 13, x : x + 17] = 220
        boxes[row, 0] = torch.tensor([x, y, 17, 13]) / SCALE[row].flip(0).repeat(2)
    labels = torch.tensor([[1, -1]]).repeat(ROWS, 1)
    sizes = torch.tensor([HEIGHT, WIDTH]) / SCALE
    return Batch({"image": image, "size": sizes, "scale": SCALE}, {"boxes": boxes, "labels": labels})


def seen(batch: Batch) -> torch.Tensor:
    """The box around the bright pixels of each image, in pixels of the image as it came."""
    bright = batch.inputs["image"].float().mean(dim=1) > 130
    found = torch.zeros(ROWS, 4, dtype=torch.float64)
    for row, each in enumerate(bright):
        y, x = each.nonzero(as_tuple=True)
        sides = torch.tensor([x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()])
        found[row] = sides / SCALE[row].flip(0).repeat(2)
    return found


def test_a_drawn_box_is_what_is_seen() -> None:
    batch = drawn()
    assert torch.equal(batch.targets["boxes"][:, 0], seen(batch))


@pytest.mark.parametrize(("across", "down"), [(0.99999, 0.0), (0.0, 0.99999), (0.5, 0.5)])
def test_a_box_is_mirrored_with_its_image(across: float, down: float) -> None:
    before = drawn()
    after = FlipWithBoxes(across, down)(before, generator())
    assert torch.equal(after.targets["boxes"][:, 0], seen(after))
    moved = (after.targets["boxes"] != before.targets["boxes"])[:, 0]
    for axis, chance in enumerate((across, down)):
        assert moved[:, axis].double().mean() == pytest.approx(chance, abs=0.3)
        assert moved[:, axis].any() == (chance > 0)
    assert torch.equal(after.targets["labels"], before.targets["labels"])


def test_a_box_is_scaled_and_shifted_with_its_image() -> None:
    before = drawn()
    after = ScaleWithBoxes(scale=0.4, shift=0.1, least=0.01)(before, generator())
    assert (after.targets["labels"][:, 0] == 1).all()
    pixels = (after.targets["boxes"][:, 0] - seen(after)) * SCALE.flip(1).repeat(1, 2)
    assert pixels.abs().max() <= 1.0
    sizes = after.targets["boxes"][:, 0, 2] / before.targets["boxes"][:, 0, 2]
    assert sizes.min() < 0.8
    assert sizes.max() > 1.25
    assert after.inputs["image"].dtype == torch.float32


def test_a_box_is_cut_where_the_image_ends_and_none_where_too_little_is_seen() -> None:
    before = drawn(whole=False)
    after = ScaleWithBoxes(scale=0.0, shift=0.3, least=0.5)(before, generator())
    boxes, labels = after.targets["boxes"][:, 0], after.targets["labels"]
    ends = (torch.tensor([WIDTH, HEIGHT]) / SCALE.flip(1)).double()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= ends + 1e-9).all()
    left = boxes[:, 2:].prod(dim=1) / before.targets["boxes"][:, 0, 2:].prod(dim=1)
    assert 0 < (labels[:, 0] == 1).sum() < ROWS
    assert torch.equal(labels[:, 0] == 1, left >= 0.5)
    assert (labels[:, 1] == -1).all()


def test_colours_change_and_boxes_do_not() -> None:
    before = drawn()
    after = ColourJitter(0.1, 0.2, 0.1)(before, generator())
    assert after.targets["boxes"] is before.targets["boxes"]
    image = after.inputs["image"]
    assert 0 <= image.min() < image.max() <= 255
    assert torch.equal(seen(after), seen(before))
    shade = image.flatten(2).mean(dim=2)
    assert len(shade[:, 0].unique()) == ROWS
    assert (shade[:, 0] != shade[:, 1]).all()


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: type(each).__name__)
def test_the_generator_alone_decides_and_nothing_is_changed_in_place(change: Augmentation) -> None:
    before, state = drawn(), torch.get_rng_state()
    first, second = change(before, generator()), change(before, generator())
    other = change(before, generator(4))
    for name in ("boxes", "labels"):
        assert torch.equal(first.targets[name], second.targets[name])
    assert torch.equal(first.inputs["image"], second.inputs["image"])
    assert not torch.equal(first.inputs["image"], other.inputs["image"])
    assert all(torch.equal(before.targets[name], each) for name, each in drawn().targets.items())
    assert torch.equal(before.inputs["image"], drawn().inputs["image"])
    assert torch.equal(torch.get_rng_state(), state)


def test_an_image_without_boxes_is_changed_all_the_same() -> None:
    batch = drawn()
    none = {"boxes": torch.zeros(ROWS, 0, 4, dtype=torch.float64), "labels": torch.zeros(ROWS, 0, dtype=torch.int64)}
    for change in CHANGES:
        after = change(batch._replace(targets=none), generator())
        assert after.targets["boxes"].shape == (ROWS, 0, 4)
        assert not torch.equal(after.inputs["image"], batch.inputs["image"])
