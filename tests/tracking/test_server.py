"""The same through a real MLflow server: over HTTP nothing may be different."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fixtures import Made, trust
from mlflow import MlflowClient
from runs import free_port

from headframe.config.plan.promotion import TeamConfig
from headframe.prediction.schema import to_frame
from headframe.promotion.gate_and_promote import decide, is_in_force
from headframe.records import RegisteredPlan
from headframe.registry.register import is_registered
from headframe.registry.versions import champion_number, load_model, resolve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from fixtures import empty_registry

    folder = tmp_path_factory.mktemp("server")
    database = empty_registry(folder)
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(folder / "files"),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                httpx.get(f"{uri}/health", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
                time.sleep(0.5)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.slow
@pytest.mark.flow
def test_a_version_is_registered_promoted_and_loaded_over_http(digits: Made, server: str, monkeypatch, capsys):
    made = replace(digits, uri=server)
    registered = made.register()
    assert registered.parity == 0.0
    assert made.register() == registered
    assert is_registered(registered, TeamConfig(), made.places)
    assert champion_number("digits", server) is None
    result = RegisteredPlan(data=made.data, trained=made.trained, evaluated=made.evaluated, registered=registered)
    decision = decide(made.plan.promotion, made.plan.team, result, server, made.places)
    assert decision.state == "champion"
    assert is_in_force(decision, TeamConfig(), made.places)
    version = resolve("digits@champion", server)
    expected = pq.read_table(made.root / made.trained.folder / "probe_predictions.parquet")
    assert load_model(version, server, trust()).predictions(made.probe).equals(expected)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    loaded = mlflow.pyfunc.load_model("models:/digits@champion")
    found = loaded.predict(to_frame(made.probe), params={"output": "columns"})
    pd.testing.assert_frame_equal(found, to_frame(expected))
    client = MlflowClient(server, server)
    run = client.get_run(registered.run_id)
    assert run.info.status == "FINISHED"
    assert len(run.outputs.model_outputs) == 1
    assert "evaluation/report.html" in {each.path for each in client.list_artifacts(registered.run_id, "evaluation")}
    [made_by] = client.search_logged_models([run.info.experiment_id])
    assert json.loads(made_by.tags["mlflow.modelVersions"])[0]["name"] == "digits"
    assert capsys.readouterr().out == ""
