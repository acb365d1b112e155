"""The guard of the local servers, before an application that lets everybody in; see also `test_servers.py`."""

import base64
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from headframe import server_access
from headframe.cli.context import open_project
from headframe.server_access import HEADER, Guard, ServerAccess
from headframe.tracking import credentials
from headframe.tracking.credentials import LOCAL_SERVER, LOCAL_USER, PASSWORD, TOKEN, USER, use_credentials_for

TEAM = "https://mlflow.team.example"
LOCAL = "http://127.0.0.1:5000"


@pytest.fixture
def access(tmp_path: Path) -> ServerAccess:
    (tmp_path / ".headframe").mkdir()
    return ServerAccess.of(tmp_path, "prefect", 4200)


@pytest.fixture
def guard(access: ServerAccess) -> Guard:
    async def everything(scope, receive, send):
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        headers = [(b"access-control-allow-origin", b"*"), (b"Access-Control-Allow-Credentials", b"true")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"in"})

    return Guard(everything, access)


def ask(guard: Guard, path: str = "/", method: str = "GET", **headers: str) -> httpx.Response:
    """One request, without whatever a client would add to these headers."""
    import asyncio

    given = {"Host": "127.0.0.1:4200"} | {name.replace("_", "-"): value for name, value in headers.items()}
    path, _, query = path.partition("?")
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()]
    sent = asyncio.run(_sent(guard, {**scope, "headers": pairs}))
    return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=sent[1]["body"])


async def _sent(guard: Guard, scope: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message):
        sent.append(message)

    await guard(scope, lambda: None, send)
    return sent


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


def test_programs_come_in_by_the_secret_alone(guard: Guard, access: ServerAccess):
    assert ask(guard, **{HEADER: access.secret}).status_code == 200
    assert ask(guard, Authorization=basic(access.secret)).status_code == 200
    other = ServerAccess("mlflow", 4200, access.key)
    wrong = [
        "",
        "Basic",
        "Basic !",
        "Basic /w==",
        basic(""),
        basic(access.cookie),
        basic(other.secret),
        basic(access.key),
    ]
    assert [ask(guard, Authorization=each).status_code for each in wrong] == [401] * len(wrong)
    assert ask(guard, **{HEADER: "\xff"}).status_code == 401
    assert ask(guard, Cookie=f"headframe={access.secret}").status_code == 401
    for path in ("/api/health", "/api/health/", "/x/api/health", "/api/flows"):
        assert ask(guard, path).status_code == (200 if path == "/api/health" else 401)
    assert ask(guard, "/api/health", "POST").status_code == 401


@pytest.mark.parametrize(
    "host", ["", "evil.example", "10.evil.example", "127.0.0.1", "127.0.0.1:4201", "x.localhost:4200"]
)
def test_only_its_own_names_are_answered(guard: Guard, access: ServerAccess, host: str):
    assert ask(guard, Host=host, **{HEADER: access.secret}).status_code == 403
    for own in access.hosts:
        assert ask(guard, Host=own, **{HEADER: access.secret}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:4200", "http://127.0.0.1:5000", ""]
)
def test_pages_of_other_servers_send_and_read_nothing(guard: Guard, access: ServerAccess, origin: str):
    for method in ("GET", "POST", "OPTIONS"):
        refused = ask(guard, method=method, Origin=origin, **{HEADER: access.secret})
        assert refused.status_code == 403
    own = ask(guard, Origin="http://127.0.0.1:4200", **{HEADER: access.secret})
    assert own.status_code == 200
    assert not [name for name in own.headers if name.startswith("access-control")]
    assert own.headers["content-security-policy"] == "frame-ancestors 'self'"


def test_a_link_opens_once_and_for_ten_minutes(guard: Guard, access: ServerAccess, monkeypatch: pytest.MonkeyPatch):
    page, _, path = access.link().partition("/headframe-open")
    host = page.removeprefix("http://")
    assert host.endswith(".localhost:4200"), "a cookie of 127.0.0.1 would be sent to other users' servers, too"
    opened = ask(guard, f"/headframe-open{path}", Host=host)
    cookie, *flags = opened.headers["set-cookie"].split("; ")
    assert opened.status_code == 303
    assert {"HttpOnly", "SameSite=Strict"} <= set(flags)
    assert ask(guard, Host=host, Cookie=cookie).status_code == 200
    assert ask(guard, f"/headframe-open{path}", Host=host).status_code == 403
    assert ask(guard, f"/headframe-open{path}", Host=host, Cookie=cookie).status_code == 303, "who is in stays in"

    late = access.link().partition("?")[2]
    other = "1" if late.endswith("0") else "0"
    for forged in ("", "?", f"?{late[:-1]}{other}", f"?9{late}", f"?{late.partition('.')[2]}", "?1.2.3"):
        assert ask(guard, f"/headframe-open{forged}", Host=host).status_code == 403
    now = server_access.time.time()
    monkeypatch.setattr(server_access.time, "time", lambda: now + 601)
    assert ask(guard, f"/headframe-open?{late}", Host=host).status_code == 403


@pytest.mark.parametrize("known", [True, False])
def test_websockets_take_the_same_door(guard: Guard, access: ServerAccess, known: bool):
    import asyncio

    headers = [(b"host", b"127.0.0.1:4200"), *([(HEADER.lower().encode(), access.secret.encode())] if known else [])]
    scope = {"type": "websocket", "path": "/api/events/in", "query_string": b"", "headers": headers}
    [first] = asyncio.run(_sent(guard, scope))
    assert first["type"] == ("websocket.accept" if known else "websocket.close")
    evil = {**scope, "headers": [*headers, (b"origin", b"https://evil.example")]}
    assert asyncio.run(_sent(guard, evil))[0]["type"] == "websocket.close"


def test_a_project_keeps_its_key_and_each_server_has_its_own_secret(access: ServerAccess, tmp_path: Path):
    assert ServerAccess.of(tmp_path, "prefect", 4200) == access
    assert (tmp_path / ".headframe" / "servers.key").stat().st_mode & 0o777 == 0o600
    others = [ServerAccess.of(tmp_path, "mlflow", 4200), ServerAccess.of(tmp_path, "prefect", 4201)]
    assert len({each.secret for each in (access, *others)} | {each.cookie for each in (access, *others)}) == 6


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (USER, PASSWORD, TOKEN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(credentials, "_given", {})
    monkeypatch.setenv(LOCAL_SERVER, f"{LOCAL} local-secret")
    return monkeypatch


def sent() -> dict[str, str]:
    return {name: os.environ[name] for name in (USER, PASSWORD, TOKEN) if name in os.environ}


def test_each_server_gets_its_own_credentials_and_no_others(environment: pytest.MonkeyPatch):
    team = {USER: "anna", PASSWORD: "of the team", TOKEN: "token"}
    local = {USER: LOCAL_USER, PASSWORD: "local-secret"}
    for name, value in team.items():
        environment.setenv(name, value)
    for uri, expected in ((TEAM, team), (LOCAL, local), (f"{LOCAL}/", local), (TEAM, team), (LOCAL, local)):
        use_credentials_for(uri)
        assert sent() == expected
    use_credentials_for("http://127.0.0.1:5001")
    assert sent() == team


def test_what_a_shell_exports_for_the_local_server_goes_to_no_other(environment: pytest.MonkeyPatch):
    environment.setenv(USER, LOCAL_USER)
    environment.setenv(PASSWORD, "local-secret")
    use_credentials_for(TEAM)
    assert sent() == {}
    use_credentials_for(LOCAL)
    assert sent() == {USER: LOCAL_USER, PASSWORD: "local-secret"}


@pytest.mark.parametrize("given", [None, "http://127.0.0.1:4200/api", "https://prefect.team.example/api"])
def test_a_secret_goes_with_the_address_that_it_opens(project, monkeypatch: pytest.MonkeyPatch, given: str | None):
    from headframe import servers

    ours = {"PREFECT_API_URL": "http://127.0.0.1:4200/api", "PREFECT_CLIENT_CUSTOM_HEADERS": "secret"}
    monkeypatch.setattr(servers, "environment", lambda _: {"prefect": ours})
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("PREFECT_CLIENT_CUSTOM_HEADERS", "the team's")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    if given is not None:
        monkeypatch.setenv("PREFECT_API_URL", given)
    project.state.mkdir()
    project.servers.write_text("{}")
    open_project()
    foreign = given is not None and "team" in given
    assert os.environ["PREFECT_CLIENT_CUSTOM_HEADERS"] == ("the team's" if foreign else "secret")
    assert os.environ["PREFECT_API_URL"] == (given or ours["PREFECT_API_URL"])
