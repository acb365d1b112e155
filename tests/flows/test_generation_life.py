"""Images from seeds: from raw files to a champion that answers for a file and over HTTP, and its challenger."""

import json
from pathlib import Path
from typing import Any

import fake_data
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from runs import ForkedRuns, fresh_project

from headframe.config.project import Project

SMALL = (
    "trainer.accelerator=cpu",
    "trainer.batch_size=32",
    "evaluation.resamples=100",
    "task.references=200",
    "promotion.gates.minimum.value=null",
    "~promotion.gates.validation",  # trainings as short as these lose to the baseline
    "~promotion.gates.baselines",
)
VAE = ("experiment=mnist_vae", "model.hidden=[32]", "trainer.max_epochs=5", *SMALL)
MIRROR = {"HEADFRAME_MIRROR": str(fake_data.mirror("mnist_seeds"))}
GAN = ("experiment=mnist_gan", "model.widths=[4,8]", "trainer.max_epochs=1", *SMALL)


@pytest.fixture(scope="module")
def champion(forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """A project whose champion generates images, and what the run that made it returned."""
    project = fresh_project(tmp_path_factory.mktemp("seeds") / "project")
    settings = yaml.safe_dump(fake_data.settings("mnist_seeds"), sort_keys=False)
    (project.conf / "dataset" / "mnist_seeds.yaml").write_text(settings)
    outcome, stderr = forked_runs.headframe(project, "run", *VAE, **MIRROR)
    assert outcome["decision"]["champion"] == 1, stderr
    return project, outcome


def test_seeds_become_images_alike_in_a_run_a_file_and_a_request(
    forked_runs: ForkedRuns, champion: tuple[Project, dict[str, Any]], tmp_path: Path
) -> None:
    project, outcome = champion
    folder = project.root / outcome["result"]["evaluated"]["folder"]
    assert {"samples.png", "nearest.png", "distances.png"} <= {each.name for each in (folder / "plots").iterdir()}
    assert "each above the training image that is nearest to it" in (folder / "report.html").read_text()
    measured = json.loads((folder / "metrics.json").read_text())
    assert set(measured["metrics"]) == {"fid", "training_fid", "precision", "coverage", "nearest_ratio", "copies"}
    assert "gaussian_mixture" in measured["baselines"]

    seeds = [7, 600, 7, 4294967295]
    (tmp_path / "seeds.csv").write_text("seed\n" + "\n".join(map(str, seeds)) + "\n")
    forked_runs.headframe(project, "predict", "mnist_generator", str(tmp_path / "seeds.csv"), "images.parquet")
    images = pq.read_table(project.root / "images.parquet")["image"].combine_chunks().to_numpy_ndarray()
    assert images.shape == (4, 28, 28, 1)
    assert (images[0] == images[2]).all()
    assert np.abs(images[0] - images[1]).max() > 1
    assert 0 <= images.min() <= images.max() <= 255
    # Row 600 of the table is the first test row, whose seed is its number.
    row = json.loads(outcome["smoke_test"]["response"])["predictions"][0]["image"]
    assert np.allclose(row, images[1], atol=1e-2)

    body = json.dumps({"dataframe_records": [{"seed": 7}]})
    code, answer, stderr = forked_runs.served(project, "serve", "mnist_generator", "--port", "0", body=body)
    assert (code, answer["status"]) == (0, 200), stderr
    assert np.allclose(answer["body"]["predictions"][0]["image"], images[0], atol=1e-2)


@pytest.mark.slow
def test_a_model_of_another_method_is_compared_with_the_champion_on_the_same_seeds(
    forked_runs: ForkedRuns, champion: tuple[Project, dict[str, Any]]
) -> None:
    outcome, _ = forked_runs.headframe(champion[0], "run", *GAN, code=4, **MIRROR)
    decision = outcome["decision"]
    assert (decision["version"], decision["champion"], decision["comparable"]) == (2, 1, True)
    assert "of the champion on the same 100 test rows" in decision["reason"]
    assert "by the paired bootstrap" in decision["reason"]
