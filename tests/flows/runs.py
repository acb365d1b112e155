"""Runs of a small plan, as a user starts them: one process each, in a project of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from headframe.config.project import Project

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = ("model=mlp", "model.hidden=[32]", "trainer.max_epochs=8", "evaluation.resamples=100")
STAGES = (
    "ingest", "validate", "split", "commit", "fit-baseline", "fit", "evaluate", "register", "promote", "smoke-test",
)  # fmt: skip
"""The stages of a run with a baseline, in their order."""


def environment(**more: str) -> dict[str, str]:
    """The environment of a user without servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    return {**kept, "OMP_NUM_THREADS": "1", "PREFECT_HOME": "/nonexistent", **more}


_PORTS: set[int] = set()


def free_port() -> int:
    """A port of this machine that nobody listens on now, and another one at each call."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    if port in _PORTS:  # the kernel may hand out the same one at once
        return free_port()
    _PORTS.add(port)
    return port


def start(project: Project, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """Start the command line in a session of its own, so that it can be killed whole."""
    return subprocess.Popen(
        [sys.executable, "-m", "headframe", *arguments],
        cwd=project.root, env=environment(**more), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def headframe(project: Project, *arguments: str, code: int = 0, **more: str) -> tuple[Any, str]:
    """Run the command line with `--json` to its end; return the document and its standard error."""
    process = start(project, *arguments, "--json", **more)
    output, stderr = process.communicate(timeout=500)
    assert process.returncode == code, stderr
    return json.loads(output), stderr


def digests(outcome: dict[str, Any]) -> dict[str, Any]:
    """What two equal runs have in common."""
    result = outcome["result"]
    return {
        "table": result["data"]["validated"]["table"]["digest"],
        "split": result["data"]["split"]["digest"],
        "bundle": result["trained"]["bundle"],
        "predictions": result["trained"]["predictions"],
        "evaluated": result["evaluated"]["digest"],
        "metrics": result["evaluated"]["metrics"],
        "champion": outcome["decision"]["champion"],
        "response": outcome["smoke_test"]["response"],
    }


def fresh_project(root: Path) -> Project:
    """A project with the shipped `conf/` and `flows/`, and nothing else."""
    for name in ("conf", "flows"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return Project(root)


def registered(project: Project) -> tuple[int, int]:
    """Count runs and versions in the project's registry."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project.tracking_database}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return len(client.search_runs(experiments)), len(client.search_model_versions("name='digits'"))


@dataclass(frozen=True)
class ForkedRuns:
    """Runs in forked processes of a program that has everything imported; see `kill_points.py`."""

    stream: TextIO

    def run(
        self, project: Project, *arguments: str, kill: tuple[str, str] | None = None, **more: str
    ) -> tuple[int, Any, str]:
        """Run the command line with `--json`; return exit code, document if there is one, and standard error."""
        (code,), ((stdout, stderr),) = self._request(project, [[*arguments, "--json"]], kill, more)
        return code, json.loads(stdout) if stdout else None, stderr

    def headframe(self, project: Project, *arguments: str, code: int = 0, **more: str) -> tuple[Any, str]:
        """Run the command line with `--json` to its end; return the document and its standard error."""
        came, document, stderr = self.run(project, *arguments, **more)
        assert came == code, stderr
        return document, stderr

    def printed(self, project: Project, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Run the command line as it is typed; return exit code, standard output and standard error."""
        (code,), ((stdout, stderr),) = self._request(project, [[*arguments]], None, more)
        return code, stdout, stderr

    def served(self, project: Project, *arguments: str, body: str) -> tuple[int, Any, str]:
        """Start `headframe serve`, send a request and stop it; return exit code, answer if any, and standard error."""
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "answer"
            more = {"body": body, "answer": str(answer)}
            (code,), ((_, stderr),) = self._request(project, [[*arguments, "--json"]], None, {}, **more)
            return code, json.loads(answer.read_text()) if answer.exists() else None, stderr

    def at_once(self, project: Project, *commands: list[str]) -> list[tuple[int, str, str]]:
        """Run several command lines at the same time; return exit code, standard output and standard error of each."""
        codes, streams = self._request(project, [*commands], None, {})
        return [(code, *pair) for code, pair in zip(codes, streams, strict=True)]

    def _request(
        self,
        project: Project,
        commands: list[list[str]],
        kill: tuple[str, str] | None,
        environment: dict[str, str],
        **more: str,
    ) -> tuple[list[int], list[tuple[str, str]]]:
        with tempfile.TemporaryDirectory() as folder:
            files = [
                (Path(folder) / f"{number}.stdout", Path(folder) / f"{number}.stderr")
                for number in range(len(commands))
            ]
            requests = [
                {
                    "root": str(project.root), "arguments": arguments, "environment": environment, "kill": kill,
                    "stdout": str(stdout), "stderr": str(stderr), **more,
                }
                for arguments, (stdout, stderr) in zip(commands, files, strict=True)
            ]  # fmt: skip
            self.stream.write(json.dumps(requests) + "\n")
            self.stream.flush()
            codes = json.loads(self.stream.readline())
            return codes, [(stdout.read_text(), stderr.read_text()) for stdout, stderr in files]


def forking_project(root: Path) -> Project:
    """A fresh project whose trainings are forked from the command line's process."""
    project = fresh_project(root)
    offer_forked_launcher(project)
    return project


def offer_forked_launcher(project: Project) -> None:
    """Let a project train in forks of the command line's process, where everything is imported already."""
    package = project.root / "src" / "forked"
    package.mkdir(parents=True)
    shutil.copyfile(Path(__file__).with_name("forked.py"), package / "__init__.py")
    (project.conf / "launcher" / "forked.yaml").write_text("_target_: forked.Forked\n")
    plan = project.conf / "plan.yaml"
    text = plan.read_text()
    assert text.count("launcher: local") == 1
    plan.write_text(text.replace("launcher: local", "launcher: forked"))
