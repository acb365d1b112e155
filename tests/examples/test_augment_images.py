"""Crops and turns: each pixel's place is written into its value, so that image and mask are seen to move together."""

import math

import pytest
import torch

from headframe.examples.augment import Augmentation
from headframe.examples.augment_images import RandomCrop, RandomLight, RandomTurn
from headframe.examples.batches import Batch
from headframe.tasks.segmentation import OUTSIDE

SIZES = [(9, 12), (4, 12), (7, 5), (9, 3)]


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(sizes: list[tuple[int, int]] = SIZES, repeat: int = 1) -> Batch:
    """Images padded to the largest, whose channels are row and column; the mask is row x 16 + column."""
    sizes = sizes * repeat
    largest = [max(each) for each in zip(*sizes, strict=True)]
    images = torch.zeros(len(sizes), 3, *largest, dtype=torch.uint8)
    masks = torch.full((len(sizes), *largest), OUTSIDE, dtype=torch.uint8)
    for image, mask, (height, width) in zip(images, masks, sizes, strict=True):
        row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        image[:, :height, :width] = torch.stack([row, column, torch.ones_like(row)]).to(torch.uint8)
        mask[:height, :width] = (16 * row + column).to(torch.uint8)
    return Batch(images, {"mask": masks, "label": torch.arange(len(sizes))})


def check_places(changed: Batch) -> None:
    """Check that the mask still says the place in the image, and has no class exactly beyond the image."""
    row, column, inside = changed.inputs.movedim(1, 0).long()
    expected = torch.where(inside == 1, 16 * row + column, OUTSIDE)
    assert torch.equal(changed.targets["mask"].long(), expected)
    assert torch.equal(changed.targets["label"], torch.arange(len(row)))


def test_a_crop_is_a_square_of_its_image_with_the_mask_at_the_same_place() -> None:
    before = batch(repeat=20)
    cut = RandomCrop(5)(before, generator())
    assert cut.inputs.shape == (80, 3, 5, 5)
    assert (cut.inputs.dtype, cut.targets["mask"].dtype) == (torch.uint8, torch.uint8)
    check_places(cut)
    for number, (height, width) in enumerate(SIZES):
        own = cut.inputs[number :: len(SIZES)]
        assert (own[:, 2].flatten(1).sum(dim=1) == min(height, 5) * min(width, 5)).all(), "as much as there is"
        first = {tuple(each[:2, 0, 0].tolist()) for each in own}
        places = max(1, height - 4) * max(1, width - 4)
        assert len(first) > min(places, 20) / 2, "at random places"
        for top, left in first:
            assert 0 <= top <= max(0, height - 5) and 0 <= left <= max(0, width - 5)  # noqa: PT018 - one place
        steps = own[:, :2].long() - own[:, :2, :1, :1].long()
        grid = torch.stack(torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij"))
        assert torch.equal(steps * own[:, 2:], grid * own[:, 2:]), "and neither turned nor torn apart"


def test_a_crop_reaches_every_place_and_may_be_larger_than_all_images() -> None:
    tops = RandomCrop(5)(batch([(9, 12)], 400), generator()).inputs[:, :2, 0, 0]
    assert {tuple(each) for each in tops.tolist()} == {(row, column) for row in range(5) for column in range(8)}
    whole = RandomCrop(16)(batch(), generator())
    assert whole.inputs.shape == (4, 3, 16, 16)
    check_places(whole)
    assert torch.equal(whole.inputs[..., :9, :12], batch().inputs)
    assert whole.inputs.sum() == batch().inputs.sum(), "and nothing beyond it"


@pytest.mark.parametrize("size", [(5, 5), (4, 7)])
def test_turns_move_masks_along_and_all_come_alike_often(size: tuple[int, int]) -> None:
    turned = RandomTurn()(batch([size], 800), generator())
    assert turned.inputs.shape[-2:] == size
    check_places(turned)
    [image] = batch([size]).inputs
    square = size[0] == size[1]
    ways = [
        each
        for quarter in range(4)
        for each in (torch.rot90(image, quarter, (1, 2)), torch.rot90(image, quarter, (1, 2)).flip(-1))
        if each.shape == image.shape
    ]
    assert len(ways) == (8 if square else 4)
    counts = [sum(torch.equal(found, way) for found in turned.inputs) for way in ways]
    assert sum(counts) == 800
    assert min(counts) > 0.7 * 800 / len(ways)


def test_light_is_a_factor_and_a_slope_from_corner_to_corner_as_in_a_plain_loop() -> None:
    images = torch.randint(0, 256, (6, 4, 5, 7), dtype=torch.uint8, generator=generator(1))
    images[:, 3] = 1
    images[0, :, 3:] = 0
    lit = RandomLight(contrast=3, haze=0.4).change(images, generator())
    drawn = torch.rand(3, 6, 1, 1, 1, generator=generator()).flatten(1)
    for image, found, (contrast, haze, angle) in zip(images.tolist(), lit.tolist(), drawn.T.tolist(), strict=True):
        factor, light = 3 ** (2 * contrast - 1), 255 * 0.4 * haze
        down, right = math.sin(2 * math.pi * angle), math.cos(2 * math.pi * angle)
        for row in range(5):
            for column in range(7):
                slope = (down * (row / 2 - 1) + right * (column / 3 - 1)) / (abs(down) + abs(right))
                for channel in range(3):
                    expected = image[channel][row][column] * factor + light * (1 + slope) / 2
                    value = found[channel][row][column]
                    assert abs(value - min(expected, 255)) <= 0.501 or image[3][row][column] == value == 0
    assert torch.equal(lit[:, 3], images[:, 3])
    assert len({round(each, 2) for each in drawn[0].tolist()}) > 3
    torch.testing.assert_close(RandomLight(1, 0).change(images, generator()), images)


@pytest.mark.parametrize(("settings", "words"), [((0.5, 0.1), "a factor of at least 1"), ((2, 1.0), "haze lies in")])
def test_light_that_makes_no_sense_is_refused(settings: tuple[float, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RandomLight(*settings)


@pytest.mark.parametrize("change", [RandomCrop(5), RandomTurn(), RandomLight(2.0, 0.3)])
def test_the_generator_alone_decides(change: Augmentation) -> None:
    before, state = batch(), torch.get_rng_state()
    first, second, other = (change(before, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.targets["mask"], second.targets["mask"])
    assert first.targets.keys() == before.targets.keys()
    assert not torch.equal(first.inputs, other.inputs)
    assert torch.equal(before.inputs, batch().inputs)
    assert torch.equal(torch.get_rng_state(), state)
