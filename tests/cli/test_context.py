"""What commands share."""

import sys

import pytest

from headframe.cli.main import main
from headframe.config.project import Project


@pytest.mark.parametrize(
    "change",
    [
        ("train", "from headframe.training.fit import is_finished", "cannot import name 'is_finished' from 'headframe"),
        ("lifecycle", "import headframe.no_such_module", "No module named 'headframe.no_such_module'"),
        ("lifecycle", "del lifecycle", "module 'flows.lifecycle' has no attribute 'lifecycle'"),
    ],
)
def test_flows_of_another_version_are_a_sentence(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: tuple[str, str, str]
):
    file, line, reason = change
    for name in [name for name in sys.modules if name.partition(".")[0] == "flows"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(project.root), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with (project.root / "flows" / f"{file}.py").open("a") as stream:
        stream.write(f"\n{line}\n")
    assert main(["run", "--project", str(project.root)]) == 2
    message = capsys.readouterr().err
    assert f"headframe: flows/lifecycle.py cannot be loaded ({reason}" in message
    assert "take over flows/ of a new one (headframe init FOLDER)" in message
    for name in [name for name in sys.modules if name.partition(".")[0] == "flows"]:
        monkeypatch.delitem(sys.modules, name)


def test_addresses_lose_their_passwords_in_messages_and_logs(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from headframe.orchestration import log

    address = "https://anna:" + "hunter22@127.0.0.1:1/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    assert main(["ingest", "--project", str(project.root), "--json"]) == 1
    log.warning("engine: Prefect at %s", address)
    output = capsys.readouterr()
    assert output.err.count("https://anna:***@127.0.0.1:1/api") == 2
    assert '"error": "the Prefect API at https://anna:***@127' in output.out
    assert "hunter22" not in output.err + output.out
