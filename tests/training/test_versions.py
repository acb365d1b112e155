"""A training is known by the table, the code and the plan that it comes of."""

from __future__ import annotations

import shutil

import pytest

from headframe.datasets.table import Table
from headframe.digests import write_record
from headframe.errors import DataError, HeadframeError
from headframe.training.__main__ import main
from headframe.training.launchers import Local
from headframe.training.run import train

NET = """
from torch import nn

from surface.scale import SCALE


class Net(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.last = nn.Linear(64, outputs[0])

    def forward(self, images):
        return self.last(images.flatten(1)) * SCALE
"""


@pytest.fixture
def surface(workshop):
    """A network of the project's own in two files; gives the plan and the file that is changed."""
    package = workshop.root / "src" / "surface"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(NET)
    (package / "scale.py").write_text("SCALE = 1.0\n")
    yaml = workshop.root / "conf" / "model" / "surface.yaml"
    yaml.write_text("_target_: surface.net.Net\ntasks: [classification]\ntakes: [image]\n")
    yield workshop.simple("model=surface", "trainer.max_epochs=3"), package / "scale.py"
    yaml.unlink()
    shutil.rmtree(workshop.root / "src")


def _digits(workshop):
    return Table.open(workshop.root / "data" / "digits").record()


def test_changed_code_trains_anew_and_goes_on_from_no_checkpoint_of_the_old(workshop, surface):
    plan, file = surface
    first = workshop.train(plan, "code")
    assert first.code == 0, first.said
    before = first.files()
    assert workshop.train(plan, "code").said == "finished earlier; nothing to do\n"
    file.write_text("SCALE = 0.5\n")
    killed = workshop.train(plan, "code", "epoch 2")
    assert killed.code == -9, killed.said
    assert (killed.folder / "checkpoint/last.ckpt").is_file()
    file.write_text("SCALE = 1.0\n")
    again = workshop.train(plan, "code")
    assert again.code == 0, again.said
    assert "going on" not in again.said
    assert again.files() == before


def test_the_program_takes_no_other_version_of_the_data_than_it_is_told(workshop, tmp_path, capsys):
    write_record(tmp_path / "plan.json", workshop.plan())
    given = [str(tmp_path / "plan.json"), str(tmp_path / "out"), "--root", str(workshop.root)]
    assert main([*given, "--table", "0" * 64]) == 3
    said = capsys.readouterr().err
    assert said.startswith("error: data/digits holds version")
    assert said.count("\n") == 1
    assert not (tmp_path / "out" / "result.json").exists()


def test_without_a_version_the_program_says_which_it_took(workshop):
    assert workshop.once(workshop.plan()).read("result.json")["table"] == _digits(workshop).digest


def test_what_was_trained_with_code_that_was_changed_meanwhile_is_refused(workshop, surface, monkeypatch):
    plan, file = surface
    launch = Local.launch

    def late(self, *given) -> None:
        file.write_text("SCALE = 0.5\n")
        launch(self, *given)

    monkeypatch.setattr(Local, "launch", late)
    with pytest.raises(HeadframeError, match="found other code, libraries or another kind of device"):
        train(plan, _digits(workshop), workshop.root, workshop.root / "out" / "meddled")


def test_a_launcher_that_passes_no_version_on_is_found_out(workshop, monkeypatch):
    plan = workshop.simple("model=logistic")
    record = _digits(workshop)
    wanted = record.model_copy(update={"digest": "0" * 64})
    monkeypatch.setattr(Table, "digest", wanted.digest)  # the table is replaced after the launcher was called

    def forgetful(self, _, folder, *given) -> None:
        monkeypatch.undo()
        run = workshop.train(plan, "forgetful")
        shutil.copytree(run.folder, folder, dirs_exist_ok=True)

    monkeypatch.setattr(Local, "launch", forgetful)
    with pytest.raises(DataError, match=f"{record.digest[:12]} of digits was trained on, but {'0' * 12} is asked for"):
        train(plan, wanted, workshop.root, workshop.root / "out" / "forgotten")
