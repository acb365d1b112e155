"""With Prefect up, a mistake is a sentence before the run, and no failed flow run in Prefect's pages."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from headframe.cli.run import _check_before_flow
from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.datasets.ingest import ingest
from headframe.errors import DataError, HeadframeError
from headframe.places import Places
from headframe.stages import Stage


def checked(project: Project, *overrides: str) -> None:
    plan = load_plan([f"dataset.sources.pixels.{each}" for each in overrides], project, fitting=False)
    _check_before_flow(plan, project.root, trains=False)


def test_sources_are_checked_where_a_table_exists_already(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HEADFRAME_MIRROR", raising=False)
    spec = find_spec("sklearn")
    assert spec is not None
    raw = project.root / "rows.csv.gz"
    shutil.copy(Path(str(spec.origin)).parent / "datasets/data/digits.csv.gz", raw)
    dataset = load_plan(["dataset.sources.pixels.uri=file:rows.csv.gz"], project, fitting=False).dataset
    Stage(ingest).run({"dataset": dataset, "places": Places(project.root)})
    raw.unlink()

    checked(project, "uri=file:rows.csv.gz")  # a file with a sha256 is not needed twice
    with pytest.raises(HeadframeError, match=r"^source pixels \(file:row\.csv\.gz\) was not found; looked for: "):
        checked(project, "uri=file:row.csv.gz")
    with pytest.raises(HeadframeError, match=r"^source pixels \(file:rows\.csv\.gz\) was not found"):
        checked(project, "uri=file:rows.csv.gz", "sha256=null")  # one without is hashed again by every run
    raw.write_bytes(b"others")
    checked(project, "uri=file:rows.csv.gz")
    with pytest.raises(DataError, match=r"^source pixels: .*rows\.csv\.gz has sha256 .*, but f{64} was expected"):
        checked(project, "uri=file:rows.csv.gz", f"sha256={'f' * 64}")
    raw.unlink()
    shutil.rmtree(project.data)
    with pytest.raises(HeadframeError, match="was not found"):
        checked(project, "uri=file:rows.csv.gz")


def test_a_mirror_that_is_no_folder_is_named_as_such(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEADFRAME_MIRROR", "/no/such")
    with pytest.raises(HeadframeError, match=r"HEADFRAME_MIRROR is /no/such, which is no folder$"):
        checked(project, "uri=file:row.csv.gz")
