import math

import pytest
import torch

from headframe.examples.augment import GaussianNoise, RandomAffine, RandomShift, TokenDropout


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("fill", ["edge", "least"])
def test_each_image_is_moved_by_its_own_step(fill: str) -> None:
    x = torch.rand(40, 2, 6, 5)
    moved = RandomShift(2, fill).change(x, generator())  # type: ignore[arg-type]
    steps = torch.randint(-2, 3, (2, 40, 1), generator=generator()).flatten(1)
    assert len({tuple(step) for step in steps.T.tolist()}) > 10
    for image, result, (down, right) in zip(x, moved, steps.T.tolist(), strict=True):
        for row in range(6):
            for column in range(5):
                y, z = row - down, column - right
                if fill == "least" and not (0 <= y < 6 and 0 <= z < 5):
                    expected = image.amin((1, 2))
                else:
                    expected = image[:, min(max(y, 0), 5), min(max(z, 0), 4)]
                assert torch.equal(result[:, row, column], expected)


def test_tokens_are_replaced_at_the_given_share_and_padding_stays() -> None:
    x = torch.randint(2, 50, (200, 30))
    x[:, 20:] = 0
    thinned = TokenDropout(0.2).change(x, generator())
    assert (thinned[:, 20:] == 0).all()
    replaced = thinned[:, :20] == 1
    assert 0.17 < replaced.float().mean() < 0.23
    assert torch.equal(thinned[:, :20][~replaced], x[:, :20][~replaced])
    assert thinned.dtype == torch.int64


def test_noise_has_the_given_deviation() -> None:
    noise = GaussianNoise(0.1).change(torch.zeros(100, 50), generator())
    assert noise.std().item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("change", [RandomShift(1), RandomAffine(10, 0.1, 2), TokenDropout(0.5), GaussianNoise(1.0)])
def test_the_generator_alone_decides(change: RandomShift | RandomAffine | TokenDropout | GaussianNoise) -> None:
    x = (
        torch.randint(2, 9, (8, 1, 4, 4)).float()
        if not isinstance(change, TokenDropout)
        else torch.ones(8, 4).long() * 5
    )
    before, state = x.clone(), torch.get_rng_state()
    first, second = change.change(x, generator()), change.change(x, generator())
    assert torch.equal(first, second)
    assert not torch.equal(first, change.change(x, generator(4)))
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_affine_change_of_nothing_changes_nothing() -> None:
    x = torch.rand(5, 2, 9, 7)
    torch.testing.assert_close(RandomAffine(0, 0, 0).change(x, generator()), x)


def test_an_affine_move_is_the_one_a_plain_loop_interpolates() -> None:
    x = torch.rand(6, 1, 7, 7)
    moved = RandomAffine(0, 0, 1.5).change(x, generator())
    drawn = 2 * torch.rand(4, 6, generator=generator()) - 1
    least = x.min().item()
    for image in range(6):
        across, down = 1.5 * drawn[2, image].item(), 1.5 * drawn[3, image].item()
        for row in range(7):
            for column in range(7):
                y, z = row + down, column + across
                top, left = int(y // 1), int(z // 1)
                expected = 0.0
                for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    weight = (1 - abs(y - top - i)) * (1 - abs(z - left - j))
                    inside = 0 <= top + i < 7 and 0 <= left + j < 7
                    expected += weight * (x[image, 0, top + i, left + j].item() if inside else least)
                assert moved[image, 0, row, column].item() == pytest.approx(expected, abs=1e-5)


def test_an_affine_turn_is_one_turn() -> None:
    x = torch.zeros(64, 1, 21, 21)
    x[:, :, 10, 2:19] = 1  # a level bar
    turned = RandomAffine(30, 0, 0).change(x, generator())
    angles = 2 * torch.rand(4, 64, generator=generator())[0] - 1
    rows = torch.arange(21.0) - 10
    for image, share in zip(turned[:, 0], angles.tolist(), strict=True):
        right = image[:, 16]
        height = (rows * right).sum() / right.sum()
        assert height.item() == pytest.approx(6 * -math.tan(math.radians(30 * share)), abs=0.25)
