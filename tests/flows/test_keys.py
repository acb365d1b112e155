"""What decides nothing about a training does not train again."""

import json
from pathlib import Path

from runs import STAGES, ForkedRuns, forking_project

TINY = (
    "model=cnn", "model.widths=[[4]]", "baseline=logistic", "trainer.max_epochs=1", "trainer.batch_size=256",
    "evaluation.resamples=100",
)  # fmt: skip


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_tiny_arguments_change_nothing_and_a_title_changes_the_card_alone(
    forked_runs: ForkedRuns, tmp_path: Path
) -> None:
    project = forking_project(tmp_path / "project")

    def finished_run() -> tuple[dict, set[str]]:
        code, document, stderr = forked_runs.run(project, "train", *TINY)
        assert code == 0, stderr
        return document, {line.split(" ")[0] for line in stderr.splitlines() if "(reused " in line}

    first, reused = finished_run()
    assert not reused
    edit(project.conf / "model" / "cnn.yaml", "tiny: {widths:", "tiny: {dropout: 0.125, widths:")
    again, reused = finished_run()
    assert reused == set(STAGES[: STAGES.index("register") + 1])
    assert again == first
    bundle = (project.root / first["trained"]["folder"] / "bundle" / "bundle.json").read_bytes()
    assert json.loads(bundle)["learner"]["model"]["tiny"] == {}

    edit(project.conf / "dataset" / "digits.yaml", "title: Optical", "title: Beautiful")
    titled, reused = finished_run()
    assert {"fit", "fit-baseline"} <= reused
    assert not {"evaluate", "register"} & reused
    assert titled["trained"] == first["trained"]
    assert "Beautiful recognition" in (project.root / titled["evaluated"]["folder"] / "card.md").read_text()
