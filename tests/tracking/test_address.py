"""Where MLflow is."""

from pathlib import Path

import pytest

from headframe.config.plan.serving import TrackingConfig
from headframe.errors import ConfigurationError
from headframe.tracking.address import portable_uri, tracking_uri


def test_the_plan_wins_over_the_environment_and_that_over_the_project(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(TrackingConfig(experiment="x"), tmp_path) == f"sqlite:///{tmp_path}/.headframe/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(TrackingConfig(experiment="x"), tmp_path) == "http://127.0.0.1:5000"
    assert tracking_uri(TrackingConfig(experiment="x", uri="sqlite:////a/b.db"), tmp_path) == "sqlite:////a/b.db"


def test_a_relative_file_lies_in_the_project(tmp_path: Path):
    uri = tracking_uri(TrackingConfig(experiment="x", uri="sqlite:///runs/mine.db"), tmp_path)
    assert uri == f"sqlite:///{tmp_path}/runs/mine.db"


@pytest.mark.parametrize("uri", ["file:./mlruns", "./mlruns", "postgresql://user@host/db"])
def test_an_address_that_is_neither_server_nor_sqlite_is_a_wrong_plan(uri: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"expected http\(s\)://HOST:PORT of an MLflow server"):
        tracking_uri(TrackingConfig(experiment="x", uri=uri), tmp_path)


def test_the_same_place_has_the_same_name_in_another_folder(tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    names = {portable_uri(f"sqlite:///{root}/.headframe/mlflow.db", root) for root in (here, there)}
    assert names == {"sqlite:///.headframe/mlflow.db"}
    assert portable_uri("http://host:5000", here) == "http://host:5000"
