"""What the tests of reproduction share: a version that was trained from uncommitted code, and what is left of it."""

import shutil
from dataclasses import replace
from importlib import util
from pathlib import Path

import pytest
from leftovers import Leftovers, clone, git, make_project
from runs import ForkedRuns

from headframe.config.project import Project

NETWORK = '''
"""A network of one's own, not committed."""

from torch import nn


class Net(nn.Module):
    """One convolution."""

    def __init__(self, inputs, outputs, *, width=4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, outputs[0])
        )

    def forward(self, x):
        return self.layers(x)
'''


@pytest.fixture(scope="session")
def trained(forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory) -> Leftovers:
    """A version trained from a commit, changes of it, and new files; its working folder is gone."""
    folder = tmp_path_factory.mktemp("trained")
    root = make_project(folder / "project")
    git(root, "commit", "--all", "--message", "first")
    (root / "conf" / "model" / "own.yaml").write_text(
        "# Nobody committed this.\n_target_: mine.net.Net\ntasks: [classification]\ntakes: [image]\nwidth: 4\n"
    )
    (root / "src" / "mine").mkdir()
    (root / "src" / "mine" / "__init__.py").touch()
    (root / "src" / "mine" / "net.py").write_text(NETWORK)
    with (root / "conf" / "trainer" / "default.yaml").open("a") as stream:
        stream.write("# changed, and not committed either\n")
    mirror = folder / "mirror" / "raw"
    mirror.mkdir(parents=True)
    spec = util.find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    shutil.copy(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz", mirror)
    leftovers = Leftovers(root, folder / "registry", mirror.parent)
    forked_runs.headframe(
        Project(root), "train", "model=own", "trainer.max_epochs=2", "evaluation.resamples=100",
        "dataset.sources.pixels.uri=file:raw/digits.csv.gz", "dataset.sources.pixels.sha256=null",
        **leftovers.environment,
    )  # fmt: skip
    copy = clone(root, folder / "clone")
    shutil.rmtree(root)
    return replace(leftovers, root=copy)


@pytest.fixture
def leftovers(trained: Leftovers, tmp_path: Path) -> Leftovers:
    """The same, to be damaged: a clone, a registry and a mirror of its own."""
    copy = clone(trained.root, tmp_path / "clone")
    shutil.copytree(trained.registry, tmp_path / "registry")
    shutil.copytree(trained.mirror, tmp_path / "mirror")
    return Leftovers(copy, tmp_path / "registry", tmp_path / "mirror")
