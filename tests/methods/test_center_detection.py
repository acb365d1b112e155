"""Detection by centres: its targets and losses are those of plain loops, and what it decodes is what was encoded."""

import math
from typing import Any

import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from headframe.examples.batches import Batch
from headframe.features.spec import IMAGE, InputSpec
from headframe.methods.center_detection import CenterDetection
from headframe.models.center_detector import CenterDetector
from headframe.tasks.base import with_truth
from headframe.tasks.detection import Detection

HEIGHT, WIDTH, STRIDE = 48, 64, 4
LABELS = ("big", "small")
SIDES = ("x", "y", "width", "height")
SPEC = InputSpec(
    "resized_image",
    {},
    parts={"image": InputSpec("image", dict(zip(IMAGE, (3, HEIGHT, WIDTH), strict=True)))}
    | dict.fromkeys(("size", "scale"), InputSpec("pair", {"feature": 2})),
)


@pytest.fixture(scope="module")
def task() -> Detection:
    found = Detection()
    found.fit(target([[(0, 0, 1, 1, "big"), (0, 0, 1, 1, "small")]]))
    return found


def target(rows: list[list[tuple[Any, ...]]]) -> pa.Table:
    kind = pa.list_(pa.struct([*((name, pa.float64()) for name in SIDES), ("label", pa.string())]))
    cells = [[dict(zip((*SIDES, "label"), box, strict=True)) for box in boxes] for boxes in rows]
    return pa.table({"boxes": pa.array(cells, kind)})


ROWS = [
    [(20, 24, 80, 40, "big"), (120, 60, 40, 30, "small")],  # of an image that is twice as wide, in 0.5 by 1
    [],
    [(3, 3, 14, 18, "small"), (30, 20, 20, 20, "big"), (34, 8, 12, 10, "small")],
]
SCALE = torch.tensor([[0.5, 0.25], [1.0, 1.0], [1.0, 1.0]])


def batch(task: Detection, rows: list[list[tuple[Any, ...]]] | None = None, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    rows = ROWS if rows is None else rows
    image = torch.randint(0, 256, (len(rows), 3, HEIGHT, WIDTH), generator=draw, dtype=torch.uint8)
    scale = SCALE[: len(rows)]
    inputs = {"image": image, "size": torch.tensor([[HEIGHT, WIDTH]]) / scale, "scale": scale}
    return Batch(inputs, {name: torch.from_numpy(each) for name, each in task.targets(target(rows)).items()})


class Fixed(nn.Module):
    """Returns what it is given for the images whose first pixel is its number."""

    stride = STRIDE

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.outputs[inputs["image"][:, 0, 0, 0].long()]


def numbered(given: Batch) -> Batch:
    image = given.inputs["image"].clone()
    image[:, 0, 0, 0] = torch.arange(len(image))
    return given._replace(inputs={**given.inputs, "image": image})


def perfect(rows: list[list[tuple[Any, ...]]]) -> Tensor:
    """What a network that knows everything returns, written as a plain loop."""
    high, wide = HEIGHT // STRIDE, WIDTH // STRIDE
    outputs = torch.full((len(rows), len(LABELS) + 4, high, wide), -12.0)
    outputs[:, len(LABELS) :] = 0
    for number, boxes in enumerate(rows):
        for x, y, width, height, label in boxes:
            down, across = (SCALE[number] / STRIDE).tolist()
            left, top, right, bottom = x * across, y * down, (x + width) * across, (y + height) * down
            column, row = int((left + right) / 2), int((top + bottom) / 2)
            outputs[number, LABELS.index(label), row, column] = 12.0
            sides = (column + 0.5 - left, row + 0.5 - top, right - column - 0.5, bottom - row - 0.5)
            outputs[number, len(LABELS) :, row, column] = torch.tensor(sides).log()
    return outputs


def test_boxes_that_are_encoded_are_decoded_in_pixels_of_the_image_as_it_came(task) -> None:
    given = numbered(batch(task))
    method = CenterDetection(Fixed(perfect(ROWS)), task)
    with torch.inference_mode():
        found = method.predict(given.inputs)
    assert found.schema == task.prediction_schema
    for boxes, expected in zip(task.answer(found)["boxes"].to_pylist(), ROWS, strict=True):
        assert sorted(each["label"] for each in boxes) == sorted(label for *_, label in expected)
        for *sides, label in expected:
            distances = [
                max(abs(each[name] - side) for name, side in zip(SIDES, sides, strict=True))
                for each in boxes
                if each["label"] == label
            ]
            assert min(distances) < 1e-3
    truth = task.truth({name: each.numpy() for name, each in given.targets.items()})
    assert task.measure(with_truth(truth, found))["map"] == 1.0


def test_a_box_ends_where_its_image_does(task) -> None:
    outputs = perfect(ROWS)
    outputs[:, len(LABELS) :] = 6.0
    with torch.inference_mode():
        found = CenterDetection(Fixed(outputs), task).predict(numbered(batch(task)).inputs)
    first = found["boxes"][0].as_py()[0]
    assert (first["x"], first["y"], first["width"], first["height"]) == (0, 0, 256, 96)


def test_bells_are_those_of_a_plain_loop_and_the_centre_is_1(task) -> None:
    given = batch(task)
    method = CenterDetection(Fixed(perfect(ROWS)), task, bell=0.8)
    boxes = given.targets["boxes"].float() * SCALE.flip(1).repeat(1, 2)[:, None] / STRIDE
    found = method._bells(boxes, given.targets["labels"], torch.Size([12, 16]))
    for number, row in enumerate(ROWS):
        for place in range(found.shape[1]):
            bell = found[number, place]
            if place >= len(row):
                assert (bell == 0).all()
                continue
            x, y, width, height = boxes[number, place].tolist()
            column, line = math.floor(x + width / 2), math.floor(y + height / 2)
            assert bell[line, column] == 1
            for down in range(12):
                for across in range(16):
                    parts = ((across - column) / max(0.8 * width / 6, 0.3), (down - line) / max(0.8 * height / 6, 0.3))
                    expected = math.exp(-sum(each**2 for each in parts) / 2)
                    assert bell[down, across].item() == pytest.approx(expected if expected >= 0.05 else 0.0, abs=1e-6)


def test_losses_are_those_of_plain_loops(task) -> None:
    given = numbered(batch(task))
    torch.manual_seed(1)
    outputs = torch.randn(3, len(LABELS) + 4, 12, 16)
    method = CenterDetection(Fixed(outputs), task, box_weight=3.0)
    boxes = given.targets["boxes"].float() * SCALE.flip(1).repeat(1, 2)[:, None] / STRIDE
    labels = given.targets["labels"]
    bells = method._bells(boxes, labels, torch.Size([12, 16]))
    centres, distance, objects = 0.0, 0.0, 5
    sums: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for number in range(3):
        for row in range(12):
            for column in range(16):
                for label in range(len(LABELS)):
                    here = [bells[number, p, row, column].item() for p in range(3) if labels[number, p] == label]
                    bell, p = max(here, default=0.0), torch.sigmoid(outputs[number, label, row, column]).item()
                    if bell == 1:
                        centres -= (1 - p) ** 2 * math.log(p)
                    else:
                        centres -= (1 - bell) ** 4 * p**2 * math.log(1 - p)
                weight, chosen = bells[number, :, row, column].max(dim=0)
                if weight > 0:
                    left, top, right, bottom = outputs[number, len(LABELS) :, row, column].exp().tolist()
                    mine = (column + 0.5 - left, row + 0.5 - top, column + 0.5 + right, row + 0.5 + bottom)
                    x, y, width, height = boxes[number, chosen].tolist()
                    loss = 1 - generalised(mine, (x, y, x + width, y + height))
                    sums.setdefault((number, int(chosen)), []).append((weight.item(), loss))
    for each in sums.values():
        distance += sum(weight * loss for weight, loss in each) / sum(weight for weight, _ in each)
    found = {name: each.item() for name, each in method.losses("network", given).items()}
    assert found == pytest.approx({"centres": centres / objects, "boxes": 3 * distance / objects}, rel=1e-4)


def generalised(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The generalised intersection over union of two boxes by their corners."""
    area = [(each[2] - each[0]) * (each[3] - each[1]) for each in (one, other)]
    wide, high = (min(one[n + 2], other[n + 2]) - max(one[n], other[n]) for n in (0, 1))
    common = max(wide, 0) * max(high, 0)
    around = math.prod(max(one[n + 2], other[n + 2]) - min(one[n], other[n]) for n in (0, 1))
    union = sum(area) - common
    return common / union - (around - union) / around


def test_perfect_outputs_lose_nothing_where_boxes_are_learned(task) -> None:
    rows = [[(20, 24, 80, 40, "big")]]
    outputs = perfect(rows)
    high, wide = outputs.shape[-2:]
    for row in range(high):
        for column in range(wide):
            sides = (column + 0.5 - 1.25, row + 0.5 - 3, 6.25 - column - 0.5, 8 - row - 0.5)
            outputs[0, len(LABELS) :, row, column] = torch.tensor(sides).clamp(min=1e-9).log()
    found = CenterDetection(Fixed(outputs), task).losses("network", numbered(batch(task, rows)))
    assert found["boxes"].item() == pytest.approx(0.0, abs=1e-5)
    assert found["centres"].item() == pytest.approx(0.0, abs=1e-3)


def test_of_boxes_of_a_label_that_overlap_much_the_best_stays(task) -> None:
    outputs = torch.full((1, len(LABELS) + 4, 12, 16), -12.0)
    outputs[:, len(LABELS) :] = 1.0
    for label, row, column, height in ((0, 5, 5, 3.0), (0, 5, 7, 2.0), (1, 5, 5, 1.0), (0, 9, 12, 0.0)):
        outputs[0, label, row, column] = height
    scores = torch.sigmoid(torch.tensor([3.0, 1.0, 0.0])).tolist()
    given = numbered(batch(task, [[]]))
    with torch.inference_mode():
        found = CenterDetection(Fixed(outputs), task, overlap=0.4).predict(given.inputs)["boxes"][0].as_py()
        more = CenterDetection(Fixed(outputs), task, overlap=1.0).predict(given.inputs)["boxes"][0].as_py()
    assert [each["score"] for each in found if each["score"] > 0.1] == pytest.approx(scores)
    assert sum(each["score"] > 0.1 for each in more) == 4


@pytest.fixture(scope="module")
def trained(task) -> CenterDetection:
    """A method whose network has learned a little: boxes then differ from image to image."""
    torch.manual_seed(0)
    method = CenterDetection(CenterDetector(SPEC, task.outputs, widths=(8, 8, 16), neck=8, stride=STRIDE), task)
    optimizer = torch.optim.Adam(method.network.parameters(), lr=0.01)
    given = batch(task)
    first = sum(each.item() for each in method.losses("network", given).values())
    for _ in range(60):
        optimizer.zero_grad()
        loss = sum(method.losses("network", given).values())
        loss.backward()
        optimizer.step()
    assert loss.item() < first / 4
    method.network.eval()
    return method


def test_an_image_alone_has_the_boxes_that_it_has_among_others_to_the_last_bit(task, trained) -> None:
    inputs = {name: each.repeat(3, *[1] * (each.ndim - 1)) for name, each in batch(task).inputs.items()}
    inputs["image"] = torch.randint(0, 256, (9, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(2)).byte()
    order = torch.tensor([4, 0, 8, 2, 6, 1, 3, 7, 5])
    with torch.inference_mode():
        whole = trained.predict(inputs)
        alone = [trained.predict({name: each[row : row + 1] for name, each in inputs.items()}) for row in range(9)]
        shuffled = trained.predict({name: each[order] for name, each in inputs.items()})
    assert sum(map(len, whole["boxes"].to_pylist())) > 50
    assert pa.concat_tables(alone).equals(whole)
    assert shuffled.equals(whole.take(order.numpy()))


def test_validation_predicts_what_is_predicted_and_weighs_each_image_alike(task, trained) -> None:
    given = batch(task)
    parts = [
        Batch({n: each[part] for n, each in given.inputs.items()}, {n: each[part] for n, each in given.targets.items()})
        for part in (slice(0, 2), slice(2, 3))
    ]
    with torch.inference_mode():
        loss, found = trained.validate(parts)
        expected = [sum(each.item() for each in trained.losses("network", part).values()) for part in parts]
        assert found is not None
        assert found.equals(trained.predict(given.inputs))
    assert loss == pytest.approx((2 * expected[0] + expected[1]) / 3, rel=1e-5)


def test_nothing_is_predicted_where_outputs_are_not_finite(task) -> None:
    method = CenterDetection(Fixed(torch.full((3, len(LABELS) + 4, 12, 16), math.nan)), task)
    with torch.inference_mode():
        assert method.validate([numbered(batch(task))])[1] is None


@pytest.mark.parametrize("rows", [[[], [], []], [[(3, 3, 9, 9, "big")], [], []]], ids=["no box", "one box"])
def test_images_without_boxes_are_learned_from(task, rows: list[list[tuple[Any, ...]]]) -> None:
    torch.manual_seed(0)
    method = CenterDetection(CenterDetector(SPEC, task.outputs, widths=(4, 4, 4), neck=4, stride=STRIDE), task)
    given = batch(task, rows)
    losses = method.losses("network", given)
    sum(losses.values()).backward()
    assert all(math.isfinite(each) for each in (loss.item() for loss in losses.values()))
    assert (losses["boxes"].item() > 0) == bool(rows[0])
    assert all(torch.isfinite(weight.grad).all() for weight in method.network.parameters() if weight.grad is not None)


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("size", [(48, 64), (50, 70)], ids=str)
def test_the_map_covers_the_image_by_its_stride(size: tuple[int, int], stride: int) -> None:
    spec = InputSpec(
        "resized_image", {}, parts={"image": InputSpec("image", dict(zip(IMAGE, (3, *size), strict=True)))}
    )
    network = CenterDetector(spec, (5,), widths=(4, 4, 4, 8), neck=4, stride=stride)
    found = network({"image": torch.zeros(2, 3, *size, dtype=torch.uint8)})
    assert found.shape == (2, 9, -(-size[0] // stride), -(-size[1] // stride))
    empty = found[:, :5].sigmoid()
    assert 0.001 < empty.mean() < 0.1  # few objects are supposed at first


def test_a_network_for_images_refuses_other_inputs() -> None:
    with pytest.raises(ValueError, match="takes an input `image`, but the input is 'tabular'"):
        CenterDetector(InputSpec("tabular", {"feature": 3}), (2,))
    with pytest.raises(ValueError, match="a stride of 8 pixels needs 3 stages or more"):
        CenterDetector(SPEC, (2,), widths=(4, 4), stride=8)
