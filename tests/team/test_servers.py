"""A team's servers: who may do what, what nobody may, and that nothing of it depends on good will."""

import contextlib
import http.client
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from postgres import postgres
from requests.exceptions import HTTPError
from runs import SMALL, ForkedRuns, forking_project, free_port
from team.stack import REPOSITORY, Servers

from headframe.config.plan.promotion import PromotionConfig, TeamConfig
from headframe.config.plan.serving import TrackingConfig
from headframe.config.project import Project
from headframe.doctor import check_tracking
from headframe.errors import ConfigurationError, HeadframeError, Refused, Unavailable
from headframe.ledger.champion_alias import LedgerHead, read_head, set_head
from headframe.ledger.store import ConcurrentAppend, Ledger
from headframe.registry.versions import champion_number, resolve
from headframe.signing.keys import own_key
from headframe.signing.trust import Trust
from headframe.tracking.address import tracking_uri
from headframe.tracking.client import make_client, require_access
from headframe.tracking.errors import readable_errors

pytestmark = pytest.mark.flow

SIGN_IN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@pytest.fixture
def become(team: Servers, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Take what a person sets in their shell; None: nobody."""

    def take(name: str | None) -> None:
        for variable in (*SIGN_IN, "HEADFRAME_LEDGER", "MLFLOW_TRACKING_URI"):
            monkeypatch.delenv(variable, raising=False)
        for variable, value in team.people[name].items() if name else ():
            monkeypatch.setenv(variable, value)

    monkeypatch.setenv("HOME", "/nonexistent")  # where MLflow would look for credentials, too
    return take


@pytest.fixture(scope="module")
def model(team: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A run, a model and a version that anna made."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in team.people["anna"].items():
            patch.setenv(variable, value)
        client = MlflowClient(team.uri, team.uri)
        experiment = client.create_experiment("work")
        run = client.create_run(experiment).info.run_id
        file = tmp_path_factory.mktemp("model") / "weights.txt"
        file.write_text("1.0")
        logged = client.create_logged_model(experiment, name="work", source_run_id=run)
        client.log_model_artifact(logged.model_id, str(file))
        client.create_registered_model("work")
        client.create_model_version("work", logged.artifact_location, run, model_id=logged.model_id)
    return {
        "experiment": experiment, "run": run, "logged": logged.model_id, "source": logged.artifact_location,
        "file": str(file),
    }  # fmt: skip


LedgerAction = Callable[[MlflowClient, dict[str, str]], object]
ACTS: dict[str, tuple[set[str], LedgerAction]] = {
    "read a run": ({"anna", "ben", "cleo"}, lambda c, m: c.get_run(m["run"])),
    "find versions": ({"anna", "ben", "cleo"}, lambda c, m: _one(c.search_model_versions("name = 'work'"))),
    "fetch model files": (
        {"anna", "ben", "cleo"},
        lambda c, m: download_artifacts(artifact_uri=m["source"], tracking_uri=c.tracking_uri),
    ),
    "make an experiment": ({"anna"}, lambda c, m: c.create_experiment(f"more {time.time()}")),
    "start a run": ({"anna"}, lambda c, m: c.create_run(m["experiment"])),
    "log a metric": ({"anna", "ben"}, lambda c, m: c.log_metric(m["run"], "accuracy", 1.0)),
    "upload a file": ({"anna", "ben"}, lambda c, m: c.log_artifact(m["run"], m["file"])),
    "overwrite model files": ({"anna"}, lambda c, m: c.log_model_artifact(m["logged"], m["file"])),
    "register a model": ({"anna"}, lambda c, m: c.create_registered_model(f"more {time.time()}")),
    "register a version": (
        {"anna", "ben"},
        lambda c, m: c.create_model_version("work", m["source"], m["run"], model_id=m["logged"]),
    ),
    "set an alias": ({"anna", "ben"}, lambda c, m: c.set_registered_model_alias("work", "champion", "1")),
    "tag a version": ({"anna", "ben"}, lambda c, m: c.set_model_version_tag("work", "1", "note", "x")),
    "remove an alias": ({"anna"}, lambda c, m: c.delete_registered_model_alias("work", "champion")),
    "remove a version": (set(), lambda c, m: c.delete_model_version("work", "1")),
    "remove a model": (set(), lambda c, m: c.delete_registered_model("work")),
    "remove a run": (set(), lambda c, m: c.delete_run(m["run"])),
    "remove an experiment": (set(), lambda c, m: c.delete_experiment(m["experiment"])),
    "remove model files": (set(), lambda c, m: c.delete_logged_model(m["logged"])),
}
"""What each person may ask MLflow for, as `infra/README.md` says; whoever is not named is refused."""


def _one(found: list[object]) -> object:
    return found[0]


@pytest.mark.parametrize("act", ACTS)
def test_mlflow_enforces_the_roles(act: str, team: Servers, model: dict[str, str], become):
    allowed, do = ACTS[act]
    client = MlflowClient(team.uri, team.uri)
    done: set[str] = set()
    refusals: list[int] = []
    for name in ("cleo", "ben", "anna"):
        become(name)
        try:
            do(client, model)
            done.add(name)
        except HTTPError as error:
            refusals.append(error.response.status_code)
        except MlflowException as error:
            refusals.append(error.get_http_status_code())
    assert done == allowed
    assert set(refusals) <= {403}


def test_the_administrator_is_asked_for_a_password_too(team: Servers):
    for user, secret in (("admin", "password1234"), ("admin", ""), ("", "")):
        assert _status(team, "/api/2.0/mlflow/users/list", user, secret) == 401


def test_no_one_signs_up_by_themselves(team: Servers):
    assert _status(team, "/signup") == 401
    anna = [team.people["anna"][name] for name in SIGN_IN]
    assert _status(team, "/api/2.0/mlflow/users/create", *anna, method="POST") == 403
    role = json.dumps({"name": "mine", "workspace": "default"})
    assert _status(team, "/api/3.0/mlflow/roles/create", *anna, method="POST", body=role) == 403
    assert _status(team, "/api/2.0/mlflow/users/update-admin", *anna, method="PATCH") == 403


def test_a_request_without_a_user_is_refused_with_advice(team: Servers, become):
    become(None)
    expected = f"MLflow at {team.uri} asks who you are (401); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    with pytest.raises(HeadframeError) as output:
        require_access(team.uri)
    assert str(output.value) == expected
    with pytest.raises(HeadframeError) as output:
        resolve("work/1", team.uri)
    assert str(output.value) == expected
    assert not isinstance(output.value, Unavailable)


def test_a_wrong_password_is_reported_before_anything_long(team: Servers, become, monkeypatch: pytest.MonkeyPatch):
    become("anna")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not the password")
    for ask in (require_access, lambda uri: resolve("work/1", uri)):
        with pytest.raises(HeadframeError, match=r"does not know user 'anna' with this password \(401\); correct"):
            ask(team.uri)


@pytest.mark.parametrize("act", ["start a run", "upload a file"])
def test_what_a_role_does_not_allow_is_one_sentence(act: str, team: Servers, model: dict[str, str], become):
    become("cleo")
    require_access(team.uri)
    client = make_client(team.uri)
    with pytest.raises(HeadframeError) as output, readable_errors(team.uri):
        ACTS[act][1](client, model)
    asked = {"start a run": "runs/create", "upload a file": "mlflow-artifacts/artifacts"}[act]
    assert str(output.value) == (
        f"MLflow at {team.uri} does not allow this to cleo ({asked}): 403; it takes another role, "
        "which the server's administrator can grant"
    )


def test_the_doctor_asks_the_team_s_server(team: Servers, become, monkeypatch: pytest.MonkeyPatch):
    become("ben")
    found = check_tracking(os.environ)
    assert (found.state, found.found) == ("ok", f"{team.uri} responds and knows ben")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not the password")
    found = check_tracking(os.environ)
    assert (found.state, found.found) == (
        "fail", f"MLflow at {team.uri} does not know user 'ben' with this password (401)",
    )  # fmt: skip
    assert found.fix.startswith("correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    assert check_tracking({}).state == "ok"


def test_a_model_that_does_not_exist_is_reported(team: Servers, model: dict[str, str], become):
    become("cleo")
    with pytest.raises(ConfigurationError, match=r"there is no registered model 'wrk' .*; did you mean 'work'"):
        resolve("wrk", team.uri)
    assert champion_number("wrk", team.uri) is None


def test_a_password_in_the_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:secret@127.0.0.1:5000")
    with pytest.raises(ConfigurationError, match="holds a password; put it into MLFLOW_TRACKING_USERNAME") as output:
        tracking_uri(TrackingConfig(experiment="x"), tmp_path)
    assert "secret" not in str(output.value)


def test_a_foreign_host_header_is_refused(team: Servers, become):
    become("anna")
    anna = [team.people["anna"][name] for name in SIGN_IN]
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert _status(team, path, *anna) == 200
    assert _status(team, path, *anna, host=f"localhost:{team.port}") == 200
    assert _status(team, path, *anna, host="evil.example") == 403
    assert _status(team, path, *anna, host=f"10.0.0.1:{team.port}") == 403


def test_a_foreign_page_cannot_ask_with_a_visitors_password(team: Servers):
    anna = [team.people["anna"][name] for name in SIGN_IN]
    path = "/api/2.0/mlflow/experiments/create"
    assert _status(team, path, *anna, method="POST", origin="http://evil.example") == 403


def test_a_run_registers_and_responds_through_the_proxy(team: Servers, forked_runs: ForkedRuns, tmp_path: Path):
    project = forking_project(tmp_path / "project")
    output, _ = forked_runs.headframe(project, "run", "dataset=digits", *SMALL, **team.people["anna"])
    registered = output["result"]["registered"]
    assert registered["parity"] == 0.0
    assert not (project.root / ".headframe" / "artifacts").exists()  # nothing went past the server
    scored, _ = forked_runs.headframe(project, "predict", "digits/1", "digits", "scored.parquet", **team.people["cleo"])
    assert scored["rows"] == 1797


def test_commands_fail_with_one_sentence_and_exit_code_1(team: Servers, project: Project, forked_runs: ForkedRuns):
    def refused(*arguments: str, **more: str) -> str:
        code, _, stderr = forked_runs.printed(project, *arguments, **{**team.people["anna"], **more})
        assert code == 1, stderr
        return stderr.strip().splitlines()[-1]

    port = free_port()
    nobody = {"MLFLOW_TRACKING_PASSWORD": ""}
    wrong = {"MLFLOW_TRACKING_PASSWORD": "not the password"}
    gone = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    for parts in (("run", "dataset=digits", *SMALL), ("predict", "digits", "digits", "scored.parquet")):
        assert "asks who you are (401)" in refused(*parts, **nobody)
        assert "does not know user 'anna' with this password" in refused(*parts, **wrong)
        assert f"http://127.0.0.1:{port} does not respond" in refused(*parts, **gone)


@pytest.fixture
def ledger(team: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Ledger]:
    """Open the ledger as a person."""

    def opened(name: str) -> Ledger:
        monkeypatch.setenv("HEADFRAME_LEDGER", team.people[name]["HEADFRAME_LEDGER"])
        return Ledger.open(PromotionConfig(model="work", policy="team", gates={}), tmp_path)

    return opened


def test_authors_and_approvers_append_and_readers_read(ledger: Callable[[str], Ledger]):
    key = own_key()
    trust = Trust.of(TeamConfig())
    for number, name in enumerate(("anna", "ben")):
        ledger(name).append("work", "reject", 1, {"digests": {"model": "0" * 64}, "reason": name}, key, after=number)
    assert [entry.payload["reason"] for entry in ledger("cleo").entries("work", trust)] == ["anna", "ben"]
    with pytest.raises(HeadframeError, match="permission denied for table entries"):
        ledger("cleo").append("work", "reject", 1, {"digests": {"model": "0" * 64}}, key, after=2)
    assert len(ledger("cleo").entries("work", trust)) == 2


CHANGES = ("UPDATE entries SET signer = 'x'", "DELETE FROM entries", "TRUNCATE entries")


@pytest.mark.parametrize("name", ["anna", "ben", "cleo", "the owner"])
@pytest.mark.parametrize("change", CHANGES)
def test_nobody_changes_or_removes_an_entry(name: str, change: str, team: Servers, ledger: Callable[[str], Ledger]):
    digests = {"digests": {"model": "0" * 64}}
    with contextlib.suppress(ConcurrentAppend):
        ledger("anna").append("guarded", "reject", 1, digests, own_key(), after=0)
    address = _owner(team) if name == "the owner" else team.people[name]["HEADFRAME_LEDGER"]
    expected = "the ledger is append-only" if name == "the owner" else "permission denied for table entries"
    with (
        psycopg.connect(address.replace("+psycopg", "")) as connection,
        pytest.raises(psycopg.Error, match=expected),
    ):
        connection.execute(change)


@pytest.mark.parametrize("change", ["DROP TABLE entries", "ALTER TABLE entries DISABLE TRIGGER ALL"])
def test_nobody_but_the_owner_changes_what_guards_the_entries(change: str, team: Servers):
    address = team.people["ben"]["HEADFRAME_LEDGER"].replace("+psycopg", "")
    with (
        psycopg.connect(address) as connection,
        pytest.raises(psycopg.Error, match="must be owner of table entries"),
    ):
        connection.execute(change)


def test_a_reader_cannot_note_what_was_projected(team: Servers):
    address = team.people["cleo"]["HEADFRAME_LEDGER"].replace("+psycopg", "")
    with (
        psycopg.connect(address) as connection,
        pytest.raises(psycopg.Error, match="permission denied for table projected"),
    ):
        connection.execute("INSERT INTO projected VALUES ('work', 99)")


def test_a_row_that_nobody_signed_is_taken_by_the_database_and_named_by_the_ledger(
    team: Servers, ledger: Callable[[str], Ledger]
):
    ledger("anna").append("forged", "reject", 1, {"digests": {"model": "0" * 64}}, own_key(), after=0)
    with psycopg.connect(team.people["ben"]["HEADFRAME_LEDGER"].replace("+psycopg", "")) as connection:
        connection.execute(
            "INSERT INTO entries SELECT model, 2, 'promote', 2, signer, time, digest, digest, envelope FROM entries "
            "WHERE model = 'forged'"
        )
    with pytest.raises(Refused, match=r"entry 2 of forged \(promote of version 2\)"):
        ledger("cleo").entries("forged", Trust.of(TeamConfig()))
    with psycopg.connect(_administrator(team), autocommit=True) as connection:
        for statement in _repair("model = 'forged' AND number >= 2"):
            connection.execute(statement)
    assert len(ledger("cleo").entries("forged", Trust.of(TeamConfig()))) == 1
    with (
        psycopg.connect(_administrator(team)) as connection,
        pytest.raises(psycopg.Error, match="the ledger is append-only"),
    ):
        connection.execute("DELETE FROM entries WHERE model = 'forged'")


def _repair(which: str) -> list[str]:
    """Return the statements of `infra/README.md` by which the owner removes a row that does not hold."""
    text = (REPOSITORY / "infra" / "README.md").read_text(encoding="utf-8")
    block = text.partition("```sql\n")[2].partition("```")[0].replace("model = 'digits' AND number >= 7", which)
    assert which in block
    return [line.partition("--")[0] for line in block.splitlines()]


def test_authors_and_approvers_tell_mlflow_how_far_the_ledger_reaches_and_readers_read_it(team: Servers, become):
    become("anna")
    MlflowClient(team.uri, team.uri).create_registered_model("fresh")
    output = [LedgerHead("a" * 64, number, "b" * 64) for number in (1, 2)]
    for name, head in zip(("anna", "ben"), output, strict=True):
        become(name)
        set_head("fresh", head, team.uri)
        assert read_head("fresh", team.uri) == head
    become("cleo")
    assert read_head("fresh", team.uri) == output[1]
    with pytest.raises(HeadframeError, match=r"does not allow this to cleo .*403"):
        set_head("fresh", output[0], team.uri)
    assert read_head("never made", team.uri) is None


def test_who_made_a_model_passes_rights_on_and_only_the_ledger_would_tell(team: Servers, become):
    become("anna")
    client = MlflowClient(team.uri, team.uri)
    client.create_registered_model("passed on")
    anna = [team.people["anna"][name] for name in SIGN_IN]
    right = {"username": "cleo", "resource_type": "registered_model", "resource_id": "passed on", "permission": "EDIT"}
    path = "/api/3.0/mlflow/users/permissions/grant"
    assert _status(team, path, *anna, method="POST", body=json.dumps(right)) == 200
    become("cleo")
    client.set_registered_model_tag("passed on", "by", "cleo")


@pytest.mark.parametrize("database", ["mlflow", "mlflow_auth", "postgres"])
def test_people_see_no_database_but_the_ledger(database: str, team: Servers):
    address = team.people["ben"]["HEADFRAME_LEDGER"].replace("+psycopg", "").replace("headframe_ledger", database)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(address)


def test_secrets_are_read_by_their_owner_alone_and_stand_nowhere_else(team: Servers):
    for name in ("secrets.json", "auth.ini"):
        assert (team.folder / name).stat().st_mode & 0o777 == 0o600
    parts = list(json.loads((team.folder / "secrets.json").read_bytes()).values())
    assert len(parts) == len(set(parts)) == 6
    for person in team.people.values():
        parts += [person["MLFLOW_TRACKING_PASSWORD"], person["HEADFRAME_LEDGER"].split("@")[0].rsplit(":", 1)[1]]
    assert min(map(len, parts)) >= 32
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    files: dict[str, bytes] = {}
    for folder, _, names in os.walk(team.folder):  # which skips what the servers remove meanwhile
        for name in {*names} - {"secrets.json", "auth.ini"}:
            with contextlib.suppress(FileNotFoundError):
                files[name] = files.get(name, b"") + (Path(folder) / name).read_bytes()
    assert any(str(team.folder) in line for line in lines)
    assert "mlflow.log" in files
    for secret in parts:
        assert not [line for line in lines if secret in line]
        assert not [name for name, content in files.items() if secret.encode() in content]


def test_secrets_that_others_may_read_are_refused(team: Servers):
    (team.folder / "secrets.json").chmod(0o644)
    try:
        code, printed, stderr = team.type("person", str(team.folder), "dora", "reader")
    finally:
        (team.folder / "secrets.json").chmod(0o600)
    assert (code, printed) == (1, "")
    assert stderr.strip().endswith(f"run: chmod 600 {team.folder / 'secrets.json'}")


def test_somebody_let_in_again_has_new_roles_and_new_passwords(team: Servers, become, monkeypatch: pytest.MonkeyPatch):
    before = team.let_in("emil", "reader")
    after = team.let_in("emil", "author", "approver")
    assert before["MLFLOW_TRACKING_PASSWORD"] != after["MLFLOW_TRACKING_PASSWORD"]
    become(None)
    for settings, welcome in ((before, False), (after, True)):
        for name in SIGN_IN:
            monkeypatch.setenv(name, settings[name])
        if welcome:
            MlflowClient(team.uri, team.uri).create_registered_model("emil's")
            psycopg.connect(settings["HEADFRAME_LEDGER"].replace("+psycopg", "")).close()
        else:
            with pytest.raises(HeadframeError, match="401"):
                require_access(team.uri)
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(settings["HEADFRAME_LEDGER"].replace("+psycopg", ""))
    team.let_in("emil", "reader")
    with psycopg.connect(_owner(team).replace("+psycopg", "")) as connection:
        listed = connection.execute(
            "SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid "
            "JOIN pg_roles u ON u.oid = m.member WHERE u.rolname = 'emil'"
        ).fetchall()
    assert listed == [("headframe_reader",)]


@pytest.mark.parametrize("name", ["admin", "postgres", "mlflow_auth", "headframe_owner", "Anna", "a b", "x'; --"])
def test_names_that_are_none_are_refused(name: str, team: Servers):
    code, printed, stderr = team.type("person", str(team.folder), name, "reader")
    assert (code, printed) == (2, "")
    assert "cannot name a person; expected small letters" in stderr


def test_other_settings_wait_until_the_servers_are_down(team: Servers):
    code, _, stderr = team.type("up", str(team.folder), "--port", str(free_port()))
    assert code == 2
    assert "are up with other settings; run `down` before `up`" in stderr


def test_a_folder_without_servers_is_reported(tmp_path: Path, team: Servers):
    for command in (["status"], ["down"], ["person"]):
        code, _, stderr = team.type(*command, str(tmp_path), *(["anna", "author"] if command == ["person"] else []))
        assert code == 1
        assert (
            stderr.strip() == f"{tmp_path} holds no team's servers; set them up with: python infra/team up {tmp_path}"
        )


def test_everything_is_down_after_down_and_there_again_after_up(team: Servers, model: dict[str, str], become):
    ours = [
        each for each in psutil.process_iter(["cmdline"]) if str(team.folder) in " ".join(each.info["cmdline"] or ())
    ]
    assert len(ours) >= 2
    status = team.type("status", str(team.folder))[2].splitlines()
    assert status[0] == f"postgresql up, 127.0.0.1:{team.database_port}"
    assert status[1].startswith("mlflow     up (process ")
    assert team.type("down", str(team.folder))[0] == 0
    _, alive = psutil.wait_procs(ours, timeout=10)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    for port in (team.port, team.database_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
    status = team.type("status", str(team.folder))[2].splitlines()
    assert [line.split(",")[0].split()[1] for line in status] == ["down", "down"]
    assert team.type("down", str(team.folder))[0] == 0  # twice does no harm
    code, _, stderr = team.type("person", str(team.folder), "dora", "reader")
    assert code == 1
    assert f"MLflow at {team.uri} does not respond" in stderr
    with socket.socket() as taken:  # somebody else's server in the meantime
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", team.port))
        taken.listen()
        code, _, stderr = team.type("up", str(team.folder))
        assert code == 1
        assert f"127.0.0.1:{team.port} cannot be used" in stderr
    code, _, stderr = team.type("up", str(team.folder))  # as the first time
    assert code == 0, stderr
    become("cleo")
    client = MlflowClient(team.uri, team.uri)
    assert client.get_run(model["run"]).info.run_id == model["run"]
    folder = download_artifacts(artifact_uri=model["source"], tracking_uri=team.uri)
    assert (Path(folder) / "weights.txt").read_text() == "1.0"
    psycopg.connect(team.people["cleo"]["HEADFRAME_LEDGER"].replace("+psycopg", "")).close()


def _owner(team: Servers) -> str:
    secret = json.loads((team.folder / "secrets.json").read_bytes())["headframe_owner"]
    return f"postgresql+psycopg://headframe_owner:{secret}@127.0.0.1:{team.database_port}/headframe_ledger"


def _administrator(team: Servers) -> str:
    secret = json.loads((team.folder / "secrets.json").read_bytes())["postgres"]
    return f"postgresql://postgres:{secret}@127.0.0.1:{team.database_port}/headframe_ledger"


def _status(
    team: Servers, path: str, user: str = "", secret: str = "", *,
    host: str | None = None, method: str = "GET", body: str = "{}", origin: str | None = None,
) -> int:  # fmt: skip
    """Return the status of MLflow's response to a plain request."""
    import base64

    headers = {"Host": host or f"127.0.0.1:{team.port}"}
    if user:
        headers["Authorization"] = f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"
    if method != "GET":
        headers["Content-Type"] = "application/json"
    if origin:
        headers["Origin"] = origin
    connection = http.client.HTTPConnection("127.0.0.1", team.port, timeout=30)
    try:
        connection.request(method, path, body=None if method == "GET" else body, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.slow
def test_a_postgresql_that_is_there_already_is_used_and_left_running(tmp_path_factory: pytest.TempPathFactory):
    with postgres() as server:
        host, port = server.rsplit("@", 1)[1].split(":")
        there = {"PGHOST": host, "PGPORT": port, "PGUSER": "postgres", "PGPASSWORD": "not asked for"}
        other = Servers(tmp_path_factory.mktemp("team"), free_port(), int(port))
        try:
            assert f"postgresql up at {host}:{port}" in other.up(**there)
            anna = other.let_in("anna", "author", **there)
            assert f"@{host}:{port}/headframe_ledger" in anna["HEADFRAME_LEDGER"]
            code, _, stderr = other.type("person", str(other.folder), "ben", "author", PGUSER="nobody")
            assert code == 1
            assert "set PGUSER and PGPASSWORD of who may make roles" in stderr
            assert not (other.folder / "postgres").exists()
        finally:
            assert other.type("down", str(other.folder))[0] == 0
        psycopg.connect(anna["HEADFRAME_LEDGER"].replace("+psycopg", "")).close()
