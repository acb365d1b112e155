"""A training is known by the table, the code and the plan that it comes of."""

import shutil

import pytest

from headframe.datasets.table import Table
from headframe.digests import write_record
from headframe.errors import DataError, HeadframeError
from headframe.training.__main__ import main
from headframe.training.launchers.local import Local

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
def surface(training_project):
    """A network of the project's own in two files; gives the plan and the file that is changed."""
    package = training_project.root / "src" / "surface"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(NET)
    (package / "scale.py").write_text("SCALE = 1.0\n")
    yaml = training_project.root / "conf" / "model" / "surface.yaml"
    yaml.write_text("_target_: surface.net.Net\ntasks: [classification]\ntakes: [image]\n")
    yield training_project.simple("model=surface", "trainer.max_epochs=3"), package / "scale.py"
    yaml.unlink()
    shutil.rmtree(training_project.root / "src")


def _digits(training_project):
    return Table.open(training_project.root / "data" / "digits").record()


def test_changed_code_trains_again_and_continues_no_checkpoint_of_the_old(training_project, surface):
    plan, file = surface
    first = training_project.train(plan, "code")
    assert first.code == 0, first.stderr
    before = first.files()
    assert training_project.train(plan, "code").stderr == "finished earlier; nothing to do\n"
    file.write_text("SCALE = 0.25\n")  # of another size, which Python notices within the same second
    killed = training_project.train(plan, "code", "epoch 2")
    assert killed.code == -9, killed.stderr
    assert (killed.folder / ".checkpoint/last.ckpt").is_file()
    file.write_text("SCALE = 1.0\n")
    again = training_project.train(plan, "code")
    assert again.code == 0, again.stderr
    assert "resuming" not in again.stderr
    assert again.files() == before


def test_the_program_takes_no_other_version_of_the_data_than_that_of_its_job(training_project, tmp_path, capsys):
    job = training_project.job(training_project.plan())
    write_record(tmp_path / "job.json", job.model_copy(update={"table": "0" * 64}))
    assert main([str(tmp_path / "job.json"), str(tmp_path / "out"), "--root", str(training_project.root)]) == 3
    output = capsys.readouterr().err
    assert output.startswith("error: data/digits holds version")
    assert output.count("\n") == 1
    assert not (tmp_path / "out" / "result.json").exists()


def test_the_result_names_the_version_of_the_data(training_project):
    assert (
        training_project.train_once(training_project.plan()).read("result.json")["table"]
        == _digits(training_project).digest
    )


def test_what_was_trained_with_code_that_was_changed_meanwhile_is_refused(training_project, surface, monkeypatch):
    plan, file = surface
    launch = Local.launch

    def late(self, *given) -> None:
        file.write_text("SCALE = 0.25\n")
        launch(self, *given)

    monkeypatch.setattr(Local, "launch", late)
    with pytest.raises(HeadframeError, match="found other code, libraries or another device"):
        training_project.fit(plan, _digits(training_project), training_project.root / "out" / "meddled")


def test_a_launcher_that_trains_on_another_version_is_refused(training_project, monkeypatch):
    plan = training_project.simple("model=logistic")
    record = _digits(training_project)
    wanted = record.model_copy(update={"digest": "0" * 64})
    monkeypatch.setattr(Table, "digest", wanted.digest)  # the table is replaced after the launcher was called

    def forgetful(self, _, folder, *given) -> None:
        monkeypatch.undo()
        run = training_project.train(plan, "forgetful")
        shutil.copytree(run.folder, folder, dirs_exist_ok=True)

    monkeypatch.setattr(Local, "launch", forgetful)
    with pytest.raises(DataError, match=f"{record.digest[:12]} of digits, but {'0' * 12} was expected"):
        training_project.fit(plan, wanted, training_project.root / "out" / "forgotten")
