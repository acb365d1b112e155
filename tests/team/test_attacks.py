"""What a colleague with an account, or somebody without one, might send to a team's servers."""

import asyncio
import contextlib
import json
import math
import re
import ssl
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from team.stack import Servers

from headframe.config.plan.promotion import PromotionConfig, TeamConfig
from headframe.errors import HeadframeError
from headframe.ledger.store import Ledger
from headframe.signing.keys import own_key
from headframe.signing.trust import Trust
from headframe.tracking.client import make_client, require_access
from headframe.tracking.errors import readable_errors

pytestmark = pytest.mark.flow

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
OPEN = {"/health", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info", "/static-files/x"}
"""What is sent without a password: that a server runs, of which version, and the files of the pages."""


def client(team: Servers, name: str) -> httpx.Client:
    of = team.people[name]
    auth = (of["MLFLOW_TRACKING_USERNAME"], of["MLFLOW_TRACKING_PASSWORD"])
    return httpx.Client(base_url=team.uri, auth=auth, trust_env=False, timeout=60)


@pytest.fixture(scope="module")
def run(team: Servers) -> tuple[str, str]:
    """Experiment and run of anna's, with one file."""
    with client(team, "anna") as anna:
        made = anna.post("/api/2.0/mlflow/experiments/create", json={"name": "attacked"}).json()["experiment_id"]
        started = anna.post("/api/2.0/mlflow/runs/create", json={"experiment_id": made}).json()
        number = started["run"]["info"]["run_id"]
        assert anna.put(f"{ARTIFACTS}/{made}/{number}/artifacts/own.txt", content=b"anna's").status_code == 200
    return made, number


def _routes() -> Iterator[tuple[str, str]]:
    """Yield method and path of everything that MLflow's server answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow uses a part of starlette that is about to go
        from mlflow.server import app as flask_app
        from mlflow.server.fastapi_app import create_fastapi_app

    for rule in flask_app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield method, re.sub(r"<[^>]*>", "x", rule.rule)
    for route in create_fastapi_app(flask_app).routes:
        for method in (getattr(route, "methods", None) or set()) - {"HEAD", "OPTIONS"}:
            yield method, re.sub(r"\{[^}]*\}", "x", route.path)


def test_nothing_is_answered_without_a_password(team: Servers):
    routes = sorted(set(_routes()))
    assert len(routes) > 300
    with httpx.Client(base_url=team.uri, trust_env=False, timeout=60) as nobody:
        statuses = {(method, path): nobody.request(method, path, content=b"{}").status_code for method, path in routes}
    assert {path for (_, path), status in statuses.items() if status != 401} <= OPEN
    assert not [path for (method, path), status in statuses.items() if status != 401 and method != "GET"]


@pytest.mark.parametrize("name", ["anna", "ben", "cleo"])
def test_paths_lead_nowhere_else(name: str, team: Servers, run: tuple[str, str]):
    experiment, number = run
    of_run = f"run_uuid={number}&path="
    ways_out = ("..%2f..%2fsecrets.json", "%2e%2e/%2e%2e/secrets.json", "..%252fsecrets.json", "%2Fetc%2Fpasswd")
    folders = sorted(team.folder.iterdir())
    before = {path: path.read_bytes() for path in (team.folder / "secrets.json", team.folder / "auth.ini")}
    with client(team, name) as person:
        for way in ways_out:
            for place in ("", f"{experiment}/{number}/artifacts/"):
                for method in ("GET", "PUT", "DELETE"):
                    sent = person.request(method, f"{ARTIFACTS}/{place}{way}", content=b"evil")
                    assert sent.status_code >= 300, (method, place, way)
            assert person.get(f"/get-artifact?{of_run}{way}").status_code >= 400
            assert person.post(f"/ajax-api/2.0/mlflow/upload-artifact?{of_run}{way}", content=b"x").status_code >= 400
        for folder in ("..", "../..", "/", "/etc"):
            assert person.get(f"{ARTIFACTS}?path={folder}").status_code >= 400
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(team.folder.iterdir()) == folders


@pytest.mark.parametrize(("name", "may"), [("anna", {"read", "write"}), ("ben", {"read", "write"}), ("cleo", {"read"})])
def test_who_may_write_files_of_a_run_overwrites_those_of_others_and_nobody_removes_them(
    name: str, may: set[str], team: Servers, run: tuple[str, str]
):
    path = f"{ARTIFACTS}/{run[0]}/{run[1]}/artifacts/own.txt"
    with client(team, name) as person:
        done = {"read": person.get(path), "write": person.put(path, content=b"x"), "remove": person.delete(path)}
    assert {what for what, sent in done.items() if sent.is_success} == may
    assert {sent.status_code for what, sent in done.items() if what not in may} == {403}


@pytest.mark.parametrize("source", ["file:///etc", "/etc", "../../..", "http://127.0.0.1:1/x", "file://SERVERS"])
def test_no_file_of_the_server_becomes_a_model(source: str, team: Servers):
    given = source.replace("SERVERS", str(team.folder))
    with client(team, "anna") as anna:
        anna.post("/api/2.0/mlflow/registered-models/create", json={"name": "attacked"})
        made = anna.post("/api/2.0/mlflow/model-versions/create", json={"name": "attacked", "source": given})
    assert made.status_code == 400, made.text


@pytest.mark.parametrize("path", ["webhooks", "experiments/create"])
def test_the_server_is_sent_to_no_address_and_no_folder(path: str, team: Servers):
    events = [{"entity": "MODEL_VERSION", "action": "CREATED"}]
    given = {"name": "out", "url": "http://127.0.0.1:1", "events": events, "artifact_location": "file:///tmp/evil"}
    with client(team, "anna") as anna:
        assert anna.post(f"/api/2.0/mlflow/{path}", json=given).status_code in (400, 403)


SQL = ["x'; DROP TABLE entries; --", 'x"; DELETE FROM entries; --', "x' OR '1'='1", "%' --"]


@pytest.mark.parametrize("name", SQL)
def test_a_name_with_sql_is_a_name(name: str, team: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEADFRAME_LEDGER", team.people["anna"]["HEADFRAME_LEDGER"])
    ledger = Ledger.open(PromotionConfig(model="x", policy="team", gates={}), tmp_path)
    ledger.append(name, "reject", 1, {"digests": {"model": "0" * 64}, "reason": name}, own_key(), after=0)
    [entry] = ledger.entries(name, Trust.of(TeamConfig()))
    assert entry.payload["reason"] == name
    assert not ledger.entries("x", Trust.of(TeamConfig()))
    with client(team, "anna") as anna:
        experiment = anna.post("/api/2.0/mlflow/experiments/create", json={"name": name}).json()["experiment_id"]
        found = anna.get("/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name}).json()
        assert (found["experiment"]["name"], found["experiment"]["experiment_id"]) == (name, experiment)
        filters = {"max_results": 5, "filter": f"name = '{name}'"}
        searched = anna.post("/api/2.0/mlflow/experiments/search", json=filters)
        assert searched.status_code == 400 or {each["name"] for each in searched.json()["experiments"]} <= {name}


def test_guessing_a_password_teaches_nothing_and_locks_nobody_out(team: Servers):
    given = team.people["anna"]["MLFLOW_TRACKING_PASSWORD"]
    assert len(given) * math.log2(64) >= 128, "MLflow and PostgreSQL do not limit how often one may guess"
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    with httpx.Client(base_url=team.uri, trust_env=False, timeout=60) as guesser:
        known = [guesser.get(path, auth=("anna", f"{given[:-1]}{number}x")) for number in range(12)]
        unknown = [guesser.get(path, auth=(f"nobody{number}", given)) for number in range(3)]
        assert {(each.status_code, each.text) for each in known} == {(each.status_code, each.text) for each in unknown}
        assert {each.status_code for each in known} == {401}
        assert guesser.get(path, auth=("anna", given)).status_code == 200
    address = team.people["anna"]["HEADFRAME_LEDGER"].replace("+psycopg", "")
    for wrong in (address.replace(":" + address.split(":")[2].split("@")[0] + "@", ":guess@"),):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)


def test_a_role_of_the_database_gives_no_other(team: Servers):
    """Neither becoming another role nor what PostgreSQL can do outside of the database is left to people."""
    address = team.people["anna"]["HEADFRAME_LEDGER"].replace("+psycopg", "")
    for attempt in (
        "SET ROLE headframe_owner", "SET ROLE postgres", "CREATE TABLE mine (x int)", "CREATE ROLE mallory LOGIN",
        "COPY entries TO PROGRAM 'id'", "COPY entries FROM '/etc/passwd'", "SELECT pg_read_file('/etc/passwd')",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'", "SELECT lo_import('/etc/passwd')",
        "ALTER FUNCTION entries_refuse() OWNER TO anna", "CREATE SCHEMA mine", "SELECT rolpassword FROM pg_authid",
        "SET session_replication_role = replica", "CREATE TEMP TABLE t (x int)", "GRANT headframe_approver TO anna",
    ):  # fmt: skip
        with psycopg.connect(address) as connection, pytest.raises(psycopg.Error, match=r"denied|must (be|have)"):
            connection.execute(attempt)


def test_pages_of_the_server_are_not_framed_and_send_no_passwords(team: Servers, run: tuple[str, str]):
    with client(team, "anna") as anna:
        page = anna.get("/", headers={"Accept": "text/html"})
        assert page.headers["x-frame-options"] == "DENY"
        sent = json.dumps(anna.get("/api/2.0/mlflow/users/get", params={"username": "anna"}).json())
    assert "scrypt" not in sent
    assert "password" not in sent


@pytest.fixture
def tls(team: Servers, tmp_path: Path) -> Iterator[Path]:
    """A proxy that ends TLS before MLflow; gives the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate, file = made.sign(key, SHA256()), tmp_path / "tls.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(2**16):
                writer.write(part)
                await writer.drain()
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, on = await asyncio.open_connection("127.0.0.1", team.port)
        try:
            await asyncio.gather(copy(reader, on), copy(back, writer))
        finally:
            on.transport.abort()
            writer.transport.abort()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_server(pass_on, "127.0.0.1", int(team.proxied.partition(":")[2]), ssl=context)
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield file
    asyncio.run_coroutine_threadsafe(_close(server), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _close(server: asyncio.Server) -> None:
    server.close()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.sleep(0.1)  # in which the transports close their sockets


def test_behind_tls_programs_and_pages_work_and_another_certificate_is_refused(
    team: Servers, tls: Path, monkeypatch: pytest.MonkeyPatch
):
    uri = f"https://{team.proxied}"
    for variable, value in team.people["anna"].items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    require_access(uri)
    with pytest.raises(HeadframeError, match="CERTIFICATE_VERIFY_FAILED"), readable_errors(uri):
        make_client(uri).search_experiments()
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tls))
    assert make_client(uri).search_experiments()
    auth = tuple(team.people["anna"][name] for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"))
    with httpx.Client(base_url=uri, auth=auth, trust_env=False, verify=ssl.create_default_context(cafile=tls)) as page:
        path = "/ajax-api/2.0/mlflow/experiments/search"
        assert page.post(path, json={"max_results": 1}, headers={"Origin": uri}).status_code == 200
        assert page.post(path, json={"max_results": 1}, headers={"Origin": "https://evil.example"}).status_code == 403
