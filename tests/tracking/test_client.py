"""MLflow's client: a server that is down, and experiments that several processes create."""

import socket
import sqlite3
from pathlib import Path

import pytest

from headframe.errors import HeadframeError
from headframe.tracking.client import experiment_id, make_client


def test_a_server_that_is_down_is_reported_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(HeadframeError, match=r"does not respond .*; start it \(headframe up\)"):
        make_client(f"http://127.0.0.1:{port}")


def test_processes_that_make_one_experiment_at_once_get_one(tmp_path: Path):
    import os

    from fixtures import empty_registry, in_child

    uri = f"sqlite:///{empty_registry(tmp_path)}"
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(in_child(lambda: experiment_id(make_client(uri), uri, "shared")))
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0, 0]
    with sqlite3.connect(tmp_path / ".headframe" / "mlflow.db") as database:
        found = database.execute("SELECT artifact_location FROM experiments WHERE name = 'shared'").fetchall()
    database.close()
    assert len(found) == 1
    assert found[0][0].startswith((tmp_path / ".headframe" / "artifacts").as_uri())


def test_a_deleted_experiment_is_reported(tmp_path: Path):
    from fixtures import empty_registry

    uri = f"sqlite:///{empty_registry(tmp_path)}"
    client = make_client(uri)
    client.delete_experiment(experiment_id(client, uri, "gone"))
    with pytest.raises(HeadframeError, match="experiment 'gone' was deleted in MLflow"):
        experiment_id(client, uri, "gone")
