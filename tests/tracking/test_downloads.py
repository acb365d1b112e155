"""Failures of a download: a server that fails and a file that is gone are different errors, each in one line."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fixtures import Made, package_of, trust
from mlflow.artifacts import download_artifacts

from headframe.errors import Refused, Unavailable
from headframe.registry.versions import fetch_signature, load_model, resolve
from headframe.tracking.client import ArtifactMissing, download


class Failing(BaseHTTPRequestHandler):
    """Lists two files in every folder as an MLflow server does, and gives neither."""

    status = 503

    def do_GET(self) -> None:
        listing = "?path=" in self.path
        self.send_response(200 if listing else self.status)
        self.end_headers()
        if listing:
            files = [{"path": name, "is_dir": False, "file_size": 3} for name in ("a.txt", "b.txt")]
            self.wfile.write(json.dumps({"files": files}).encode())

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.mark.parametrize(("status", "kind"), [(503, Unavailable), (404, ArtifactMissing)])
@pytest.mark.parametrize("place", ["models/a.txt", "models"])
def test_a_server_that_fails_differs_from_a_file_that_is_gone(  # noqa: PLR0917 - what it is called with
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, kind: type[Exception], place: str
):
    monkeypatch.setattr(Failing, "status", status)
    with pytest.raises(kind) as raised:
        download(f"mlflow-artifacts://{server}/{place}", f"http://{server}", tmp_path)
    assert type(raised.value) is kind
    assert str(status) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_on_this_machine_are_downloaded_as_mlflow_downloads_them(tmp_path: Path):
    kept = tmp_path / "kept here" / "model"  # the address quotes the blank
    (kept / "data" / "deep").mkdir(parents=True)
    for name in ("MLmodel", "data/weights", "data/deep/empty"):
        (kept / name).write_bytes(name.encode())
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for place in (kept, kept / "MLmodel"):
        assert download(place.as_uri(), uri) == Path(download_artifacts(artifact_uri=place.as_uri(), tracking_uri=uri))
        found, expected = tmp_path / f"{place.name} found", tmp_path / f"{place.name} expected"
        for folder in (found, expected):
            folder.mkdir()
        came = download(place.as_uri(), uri, found)
        theirs = download_artifacts(artifact_uri=place.as_uri(), tracking_uri=uri, dst_path=str(expected))
        assert came.relative_to(found) == Path(theirs).relative_to(expected)
        assert _content(found) == _content(expected)
    (kept / "data" / "gone").symlink_to(tmp_path / "nowhere")
    for missing in (kept.with_name("nothing"), kept):
        with pytest.raises(ArtifactMissing, match="No such") as raised:
            download(missing.as_uri(), uri, tmp_path)
        assert "\n" not in str(raised.value)


def _content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_file_that_is_gone_is_reported_in_a_line(digits: Made):
    digits.register()
    package = package_of("digits", digits.uri)
    (package / "model.dsse.json").unlink()
    with pytest.raises(Refused, match=r"model.dsse.json cannot be fetched \(.*\); register it again") as raised:
        fetch_signature(resolve("digits/1", digits.uri), digits.uri, trust())
    assert "\n" not in str(raised.value)
    package.rename(package.with_name("elsewhere"))
    with pytest.raises(Exception, match="cannot be fetched from") as gone:
        load_model(resolve("digits/1", digits.uri), digits.uri, trust())
    assert "\n" not in str(gone.value)
