"""A proxy of the environment gets nothing that is meant for this machine."""

import http.server
import os
import threading
import urllib.request
from collections.abc import Iterator

import httpx
import pytest
import requests

from headframe.loopback import bypass_proxies

VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


@pytest.fixture
def port() -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_every_client_reaches_this_machine(port: int, name: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    address = f"http://{host}:{port}/"
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)
    monkeypatch.setenv("no_proxy", "example.org, 10.0.0.0/8")
    monkeypatch.setenv("NO_PROXY", "example.com")
    bypass_proxies()
    assert httpx.get(address).status_code == 200
    assert requests.get(address, timeout=5).status_code == 200
    with urllib.request.urlopen(address, timeout=5) as response:
        assert response.status == 200
    expected = "example.org,10.0.0.0/8,example.com,localhost,127.0.0.1,::1"
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (expected, expected)
    bypass_proxies()
    assert os.environ["NO_PROXY"] == expected
