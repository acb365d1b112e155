"""Killed at any moment and started again, a training ends with the bytes of the undisturbed one."""

import io
import random

import pytest
import torch

from headframe.seals import LENGTH, seal
from headframe.signing.keys import create_key

PER_EPOCH = 9  # steps: 1,150 digits or so in batches of 128


def test_two_runs_of_one_plan_leave_equal_bytes(training_project):
    first = training_project.train_once(training_project.plan())
    again = training_project.train(training_project.plan(), "again")
    assert again.code == 0, again.stderr
    assert again.files() == first.files()
    assert [epoch["epoch"] for epoch in first.read("history.json")] == [1, 2, 3]


def test_another_seed_leaves_other_bytes(training_project):
    first, other = (training_project.train_once(training_project.plan(f"seed={seed}")).files() for seed in (17, 18))
    assert first["bundle/weights.safetensors"] != other["bundle/weights.safetensors"]


@pytest.mark.parametrize(
    "kills",
    [
        ["step 2"],  # before the first checkpoint
        [f"step {PER_EPOCH}"],  # after the last step of an epoch, before its validation
        ["validation 1", "validation 3"],
        ["epoch 1", "epoch 3"],  # after the checkpoint of an epoch, the last one too
        ["write 1", "write 4"],  # half a checkpoint on the disk
        ["conclude"],
        [f"step {step}" for step in sorted(random.Random(5).sample(range(1, 3 * PER_EPOCH + 1), 4))],
    ],
    ids=", ".join,
)
def test_a_killed_training_goes_on_to_the_same_bytes(training_project, kills, request):
    undisturbed = training_project.train_once(training_project.plan())
    name = f"killed-{request.node.callspec.id}".replace(" ", "")
    for kill in kills:
        killed = training_project.train(training_project.plan(), name, kill)
        assert killed.code == -9, killed.stderr
        assert not (killed.folder / "result.json").exists()
    resumed = training_project.train(training_project.plan(), name)
    assert resumed.code == 0, resumed.stderr
    assert resumed.files() == undisturbed.files()


@pytest.mark.parametrize("kill", ["mapped", "mapped step 7", "mapped validation 2", "mapped epoch 3"])
def test_rows_in_files_are_learned_from_to_the_same_bytes(training_project, kill):
    """What a kill leaves of the files is nothing; they are made again, and the training goes on from its step."""
    undisturbed = training_project.train_once(training_project.plan())
    if kill != "mapped":
        killed = training_project.train(training_project.plan(), kill, kill)
        assert killed.code == -9, killed.stderr
        assert not [path for path in killed.folder.iterdir() if path.name.startswith("tmp")]
    again = training_project.train(training_project.plan(), kill, "mapped")
    assert again.code == 0, again.stderr
    assert ("resuming" in again.stderr) == (kill != "mapped")
    assert again.files() == undisturbed.files()


def test_a_training_in_mixed_precision_goes_on_to_the_same_bytes(training_project):
    plan = training_project.plan("trainer.precision=bf16-mixed")
    undisturbed = training_project.train_once(plan)
    for kill in ("validation 1", f"step {2 * PER_EPOCH + 5}"):
        killed = training_project.train(plan, "mixed", kill)
        assert killed.code == -9, killed.stderr
    resumed = training_project.train(plan, "mixed")
    assert resumed.code == 0, resumed.stderr
    assert resumed.stderr.startswith(f"resuming from step {2 * PER_EPOCH + 2} of {3 * PER_EPOCH}\n")
    assert resumed.files() == undisturbed.files()
    full = training_project.train_once(training_project.plan())
    assert full.files()["bundle/weights.safetensors"] != resumed.files()["bundle/weights.safetensors"]


def test_a_resumed_training_does_not_start_over(training_project):
    training_project.train(training_project.plan(), "goes-on", "step 26")
    resumed = training_project.train(training_project.plan(), "goes-on")
    assert resumed.stderr.startswith("resuming from step 24 of 27\n")
    assert "epoch 3/3" in resumed.stderr
    assert "epoch 2/3" not in resumed.stderr


def test_early_stopping_is_the_same_after_a_kill(training_project):
    given = ["model=linear", "scheduler=constant", "optimizer.lr=1e-30", "optimizer.weight_decay=0"]
    plan = training_project.simple(*given, "trainer.max_epochs=6", "trainer.early_stopping={patience: 2}")
    undisturbed = training_project.train_once(plan)
    history = undisturbed.read("history.json")
    for kill in ("validation 2", "epoch 3", "conclude"):
        assert training_project.train(plan, "stopped", kill).code == -9
    resumed = training_project.train(plan, "stopped")
    assert resumed.files() == undisturbed.files()
    assert len(history) == 3  # the first epoch is never improved on
    assert "stopped early after epoch 3" in undisturbed.stderr


def test_a_finished_training_is_left_as_it_is(training_project):
    finished = training_project.train_once(training_project.plan())
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*.json")}
    again = training_project.train(training_project.plan(), finished.folder.name)
    assert again.stderr == "finished earlier; nothing to do\n"
    assert {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*.json")} == before


def test_another_plan_in_the_same_folder_starts_over(training_project):
    training_project.train(training_project.plan("seed=5"), "reused", "step 25")
    other = training_project.train(training_project.plan(), "reused")
    assert "resuming" not in other.stderr
    assert other.files() == training_project.train_once(training_project.plan()).files()


def opened(checkpoint):
    return torch.load(io.BytesIO(checkpoint.read_bytes()[LENGTH:]), weights_only=True)


def test_the_checkpoint_holds_tensors_and_plain_values_only(training_project):
    killed = training_project.train(training_project.plan(), "opened", "step 17")
    state = opened(killed.folder / ".checkpoint/last.ckpt")
    assert state["step"] == 16
    assert len(state["history"]) == 1
    assert {name: len(each) for name, each in state["losses"].items()} == {"loss": 16 - PER_EPOCH}


@pytest.mark.parametrize("size", [0, 1000, 0.5, 0.99])
def test_a_cut_checkpoint_is_named_in_one_sentence(training_project, size: float):
    killed = training_project.train(training_project.plan(), f"cut {size}", "step 9")
    file = killed.folder / ".checkpoint/last.ckpt"
    content = file.read_bytes()
    file.write_bytes(content[: int(size * len(content)) if size < 1 else int(size)])
    _is_refused(training_project.train(training_project.plan(), f"cut {size}"))


def test_a_flipped_bit_in_a_checkpoint_is_noticed(training_project):
    killed = training_project.train(training_project.plan(), "flipped", "step 9")
    file = killed.folder / ".checkpoint/last.ckpt"
    weights = next(iter(opened(file)["network"].values())).numpy().tobytes()
    content = bytearray(file.read_bytes())
    content[content.index(weights)] ^= 1
    file.write_bytes(content)
    _is_refused(training_project.train(training_project.plan(), "flipped"))


def test_what_was_sealed_with_a_key_of_elsewhere_is_trained_from_the_start(training_project, tmp_path, monkeypatch):
    killed = training_project.train(training_project.plan(), "elsewhere", "step 9")
    file = killed.folder / ".checkpoint/last.ckpt"
    content = file.read_bytes()[LENGTH:]
    with monkeypatch.context() as patch:
        patch.setenv("HEADFRAME_KEYS", str(tmp_path))
        create_key("runner")
        file.write_bytes(seal(content).encode() + content)
    again = training_project.train(training_project.plan(), "elsewhere")
    assert again.code == 0, again.stderr
    assert again.stderr.startswith(
        f"training starts from the beginning, not from {file}: it was sealed with a key that is"
    )
    assert "resuming" not in again.stderr
    assert again.files() == training_project.train_once(training_project.plan()).files()


def _is_refused(again):
    assert again.code == 3
    assert again.stderr.count("\n") == 1
    assert "last.ckpt is damaged" in again.stderr
    assert again.stderr.endswith("remove it to train from the start\n")
