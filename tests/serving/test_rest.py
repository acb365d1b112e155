"""The scoring protocol: responses equal to MLflow's, and errors of one sentence."""

import asyncio
import gzip
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fixtures import Made, World, in_child, plan_for, trust
from runs import free_port
from starlette.testclient import TestClient
from threadpoolctl import threadpool_info, threadpool_limits

from headframe.config.plan.data import ROW_ID
from headframe.errors import ConfigurationError, HeadframeError
from headframe.prediction.predictor import Predictor
from headframe.prediction.schema import to_frame
from headframe.records import Decision, Trained
from headframe.registry.versions import load_model, resolve, set_champion
from headframe.serving.app import make_app
from headframe.serving.server import _listen, serve, server_names
from headframe.serving.smoke_request import request_content, send_request, smoke_test

SERIES = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
NAMES = ("digits", "adult", "sms_spam", "etth1")


def _hours(rows: int, **columns: list[Any]) -> dict[str, Any]:
    """Return the body of a history of so many hours, all 1 but for some columns."""
    dates = [f"2018-06-{1 + hour // 24:02d} {hour % 24:02d}:00:00" for hour in range(rows)]
    return {"inputs": {"date": dates, **{name: [1.0] * rows for name in SERIES}, **columns}}


JSON = {"content-type": "application/json"}


def _client(world: World, name: str, **limits: Any) -> TestClient:
    version = resolve(f"{name}/1", world.uri)
    app = make_app(load_model(version, world.uri, trust()), version, **{"max_rows": 100, **limits})
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def clients(world: World) -> dict[str, TestClient]:
    return {name: _client(world, name) for name in NAMES}


@pytest.fixture(scope="module")
def mlflow_clients(world: World) -> dict[str, TestClient]:
    import mlflow.pyfunc.scoring_server

    # Not `set_tracking_uri`: an address that is set once hides the environment from all later tests.
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", world.uri)
        return {
            name: TestClient(
                mlflow.pyfunc.scoring_server.init(mlflow.pyfunc.load_model(f"models:/{name}/1", suppress_warnings=True))
            )
            for name in NAMES
        }


def _bodies(world: World, name: str) -> dict[str, Any]:
    rows = world.made[name].probe
    if name == "adult":  # where MLflow's server reads a missing text in `inputs` and `instances` as the word "None"
        rows = rows.drop_null()
    split = json.loads(json.dumps(request_content(rows)["dataframe_split"], default=str))  # times as text
    records = [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]
    columns = {each: [record[each] for record in records] for each in split["columns"]}
    bodies: dict[str, Any] = {
        "split": {"dataframe_split": split},
        "split with index": {"dataframe_split": {**split, "index": list(range(len(records)))}},
        "records": {"dataframe_records": records},
        "instances": {"instances": records},
        "inputs": {"inputs": columns},
        "columns": {"dataframe_split": split, "params": {"output": "columns"}},
    }
    if len(columns) == 1:
        [only] = columns.values()
        bodies |= {"list of instances": {"instances": only}, "list of inputs": {"inputs": only}}
    return bodies


@pytest.mark.parametrize("name", NAMES)
def test_every_form_gets_the_response_of_mlflow(world: World, clients, mlflow_clients, name: str):
    for form, body in _bodies(world, name).items():
        ours = clients[name].post("/invocations", json=body)
        theirs = mlflow_clients[name].post("/invocations", json=body)
        assert (ours.status_code, theirs.status_code) == (200, 200), f"{form}: {ours.text} {theirs.text}"
        assert ours.json() == theirs.json(), form
        assert ours.headers["content-type"] == theirs.headers["content-type"]


def test_csv_gets_the_response_of_mlflow(world: World, clients, mlflow_clients):
    content = to_frame(world.made["sms_spam"].probe).to_csv(index=False).encode()
    for kind in ("text/csv", "text/csv; charset=utf-8"):
        ours = clients["sms_spam"].post("/invocations", content=content, headers={"content-type": kind})
        theirs = mlflow_clients["sms_spam"].post("/invocations", content=content, headers={"content-type": kind})
        assert ours.json() == theirs.json()


def test_csv_of_a_series_is_read_here_and_refused_by_the_server_of_mlflow(world: World, clients, mlflow_clients):
    made = world.made["etth1"]
    content = to_frame(made.probe).to_csv(index=False).encode()
    ours = clients["etth1"].post("/invocations", content=content, headers={"content-type": "text/csv"})
    assert ours.json() == {"predictions": made.predictor.predict(made.probe).to_pylist()}
    theirs = mlflow_clients["etth1"].post("/invocations", content=content, headers={"content-type": "text/csv"})
    assert theirs.status_code == 400


@pytest.mark.parametrize("path", ["/ping", "/health", "/version"])
def test_the_other_paths_get_the_response_of_mlflow(clients, mlflow_clients, path: str):
    ours, theirs = clients["digits"].get(path), mlflow_clients["digits"].get(path)
    assert (ours.status_code, ours.text) == (theirs.status_code, theirs.text)


def test_responses_name_their_model(clients):
    headers = clients["etth1"].get("/ping").headers
    assert (headers["x-headframe-model"], headers["x-headframe-version"]) == ("etth1", "1")


def test_missing_values_and_columns_in_another_order_are_understood(world: World, clients):
    rows = world.made["adult"].probe
    expected = world.made["adult"].predictor.predict(rows).to_pylist()
    records = [dict(reversed(list(record.items()))) | {"further": [1, {}]} for record in rows.to_pylist()]
    sparse = [{key: value for key, value in record.items() if value is not None} for record in records]
    content = to_frame(rows).to_csv(index=False)
    for found in (
        clients["adult"].post("/invocations", json={"dataframe_records": sparse}),
        clients["adult"].post("/invocations", content=content, headers={"content-type": "text/csv"}),
    ):
        assert found.json() == {"predictions": expected}


def test_text_of_any_language_is_understood(clients):
    texts = ["免费 中奖", "🎉 WIN £1000 now", " ", 'quoted "words"\nand lines', "a,b;c\td"]
    found = clients["sms_spam"].post("/invocations", json={"inputs": {"text": texts}})
    assert len(found.json()["predictions"]) == len(texts)


REFUSED: dict[str, tuple[str, Any, str, int, str]] = {
    "no JSON": ("sms_spam", b"{", "application/json", 400, "the body is no JSON: "),
    "no UTF-8": ("sms_spam", b'{"a": "\xff"}', "application/json", 400, "the body is no JSON: "),
    "list without end": ("sms_spam", b"[" * 200_000, "application/json", 400, "the body is a JSON list; expected"),
    "nested without end": (
        "sms_spam", b'{"inputs": ' + b"[" * 200_000, "application/json", 400,
        "the body is no JSON: its lists or objects are nested too deeply to be read",
    ),
    "two values": ("sms_spam", b'{"inputs": ["a"]} {}', "application/json", 400, "the body is no JSON: Extra data"),
    "two keys among the forms": (
        "sms_spam", b'{"params": null, "inputs": ["a"], "params": {"output": "columns"}}', "application/json", 400,
        "the body is no JSON: key 'params' came twice in one object",
    ),
    "two equal columns": (
        "sms_spam", b'{"inputs": {"text": ["a"], "text": ["b"]}}', "application/json", 400,
        "the body is no JSON: key 'text' came twice in one object",
    ),
    "two equal keys where nothing is read": (
        "sms_spam", b'{"instances": [{"text": "a", "more": [{"k": 1, "k": 1}]}]}', "application/json", 400,
        "the body is no JSON: key 'k' came twice in one object",
    ),
    "truth among pixels": (
        "digits", {"instances": [[[[0]] * 8] * 8, [[[0]] * 7 + [[True]]] + [[[0]] * 8] * 7]}, "application/json", 400,
        "column 'image' holds a truth value in row 2, but numbers were expected",
    ),
    "no number": (
        "etth1", _hours(24, HUFL=[float("nan")] * 24), "application/json", 400,
        "the body is no JSON: NaN is no number in JSON; write null where there is no value",
    ),
    "beyond all numbers": (
        "etth1", json.dumps(_hours(24, HUFL=[7.5] * 24)).replace("7.5", "1e999").encode(), "application/json", 400,
        "column 'HUFL' holds inf in row 1, but by the data set's contract it must be at least -100",
    ),
    "an object for a text": (
        "sms_spam", {"instances": [{"text": "a"}, {"text": {"a": 1}}]}, "application/json", 400,
        "column 'text' holds a JSON object in row 2, but text was expected",
    ),
    "empty body": ("sms_spam", b"", "application/json", 400, "the body is no JSON: "),
    "list": ("sms_spam", [1], "application/json", 400, "the body is a JSON list; expected an object with one of"),
    "no rows": ("sms_spam", {}, "application/json", 400, "the body has no rows; expected exactly one of"),
    "two forms": (
        "sms_spam",
        {"inputs": [], "instances": []},
        "application/json",
        400,
        "the body has instances and inputs; expected exactly one of",
    ),
    "unknown key": ("sms_spam", {"input": ["a"]}, "application/json", 400, "the body has 'input'; expected one of"),
    "empty": ("sms_spam", {"inputs": {"text": []}}, "application/json", 400, "no rows came; send at least one"),
    "missing column": (
        "sms_spam",
        {"dataframe_records": [{"txt": "a"}]},
        "application/json",
        400,
        "column 'text' is missing; came: txt; expected: text",
    ),
    "missing in one row": (
        "sms_spam",
        {"instances": [{"text": "a"}, {"txt": "b"}]},
        "application/json",
        400,
        "row 2 of instances has no 'text'",
    ),
    "number for text": (
        "sms_spam",
        {"inputs": {"text": [1]}},
        "application/json",
        400,
        "column 'text' holds int64, but text was expected",
    ),
    "text for a number": (
        "etth1",
        _hours(24, **{name: ["x"] * 24 for name in SERIES}),
        "application/json",
        400,
        "column 'HUFL' holds text, but double was expected",
    ),
    "mixed types": (
        "sms_spam",
        {"inputs": {"text": ["a", 1]}},
        "application/json",
        400,
        "column 'text' mixes types that do not fit one column",
    ),
    "unequal lengths": (
        "etth1",
        _hours(2, OT=[1.0] * 3),
        "application/json",
        400,
        "column 'OT' has 3 values, but 'HUFL' has 2",
    ),
    "scalar for a column": (
        "sms_spam",
        {"inputs": {"text": "hello"}},
        "application/json",
        400,
        "inputs.text is a JSON string; expected a list with one value for each row",
    ),
    "ragged split": (
        "sms_spam",
        {"dataframe_split": {"columns": ["text"], "data": [["a"], ["b", "c"]]}},
        "application/json",
        400,
        "row 2 of dataframe_split is 2 values; expected a list of 1 values",
    ),
    "split without columns": (
        "sms_spam",
        {"dataframe_split": {"data": [["a"]]}},
        "application/json",
        400,
        "dataframe_split has data; expected columns, data and optionally index",
    ),
    "image of another size": (
        "digits",
        {"inputs": {"image": [[[[0]] * 8] * 7]}},
        "application/json",
        400,
        "column 'image' needs cells of shape (8, 8, 1), but came (7, 8, 1)",
    ),
    "images of two sizes": (
        "digits",
        {"inputs": {"image": [[[[0]] * 8] * 8, [[[0]] * 8] * 7]}},
        "application/json",
        400,
        "column 'image' needs cells of shape (8, 8, 1), all of one shape",
    ),
    "no pixels": (
        "digits",
        {"inputs": {"image": [[[[300]] * 8] * 8]}},
        "application/json",
        400,
        "column 'image' needs cells of shape (8, 8, 1) that hold uint8 numbers, 0 to 255",
    ),
    "words for pixels": (
        "digits",
        {"inputs": {"image": [[[["a"]] * 8] * 8]}},
        "application/json",
        400,
        "column 'image' needs cells of shape (8, 8, 1) that hold numbers",
    ),
    "images as CSV": ("digits", b"image\n1\n", "text/csv", 400, "column 'image' holds arrays, which CSV cannot carry"),
    "too short a history": (
        "etth1",
        _hours(3),
        "application/json",
        400,
        "3 rows came, but a forecast needs the last 24",
    ),
    "infinite": (
        "etth1",
        _hours(24, HUFL=[float("inf")] * 24),
        "application/json",
        400,
        "the body is no JSON: Infinity is no number in JSON",
    ),
    "ragged CSV": ("sms_spam", b"text\na,b\n", "text/csv", 400, "the body: line 2 has 2 cells where 1 were expected"),
    "empty CSV": ("sms_spam", b"", "text/csv", 400, "the body holds no rows"),
    "CSV with a header only": ("sms_spam", b"text\n", "text/csv", 400, "no rows came; send at least one"),
    "column twice": (
        "sms_spam",
        {"dataframe_split": {"columns": ["text", "text"], "data": [["a", "b"]]}},
        "application/json",
        400,
        "column 'text' came twice; leave one of them out",
    ),
    "CSV column twice": ("sms_spam", b"text,text\na,b\n", "text/csv", 400, "the body has 2 columns 'text'"),
    "empty text, which is no value in the data set's files": (
        "sms_spam",
        {"inputs": {"text": ["a", ""]}},
        "application/json",
        400,
        "column 'text' has no value in row 2, which the data set's contract forbids",
    ),
    "half a character": (
        "sms_spam",
        {"inputs": {"text": ["a", "\ud800"]}},
        "application/json",
        400,
        "column 'text' holds text that is no Unicode",
    ),
    "half a character in a name": (
        "sms_spam",
        {"dataframe_records": [{"\ud800": "a"}]},
        "application/json",
        400,
        "column 'text' is missing; came: \\ud800; expected: text",
    ),
    "truth among numbers": (
        "etth1",
        _hours(24, HUFL=[1.0] * 23 + [True]),
        "application/json",
        400,
        "column 'HUFL' holds a truth value in row 24, but double was expected",
    ),
    "unknown parameter": (
        "sms_spam",
        {"inputs": ["a"], "params": {"temperature": 1}},
        "application/json",
        400,
        "params has 'temperature'; the only parameter is output",
    ),
    "unknown output": (
        "sms_spam",
        {"inputs": ["a"], "params": {"output": "logits"}},
        "application/json",
        400,
        "params.output is 'logits'; expected predictions or columns",
    ),
    "another type": ("sms_spam", b"<a/>", "text/xml", 415, "the content type is 'text/xml'; send application/json or"),
    "no type": ("sms_spam", b"{}", "", 415, "the content type is none; send application/json or text/csv"),
    "another encoding": ("sms_spam", b"{}", "application/json; charset=latin-1", 415, "only charset=utf-8"),
    "too many rows": ("sms_spam", {"inputs": ["a"] * 101}, "application/json", 413, "more than 100 rows came in one"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_wrong_request_gets_one_sentence(clients, case: str):
    name, body, kind, status, sentence = REFUSED[case]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = clients[name].post("/invocations", content=content, headers={"content-type": kind} if kind else {})
    assert found.status_code == status, found.text
    assert list(found.json()) == ["error"]
    message = found.json()["error"]
    assert sentence in message
    assert "Traceback" not in message
    assert "\n" not in message
    assert found.headers["x-headframe-version"] == "1"


def test_a_body_that_is_too_large_is_refused_whether_announced_or_not(world: World):
    client = _client(world, "sms_spam", max_bytes=1000)
    body = json.dumps({"inputs": ["a" * 2000]}).encode()
    parts = (body[start : start + 100] for start in range(0, len(body), 100))
    for content in (body, parts):
        found = client.post("/invocations", content=content, headers=JSON)
        assert (found.status_code, found.json()) == (
            413,
            {"error": "the body is larger than 1,000 bytes; send fewer rows at once"},
        )


def test_other_paths_and_methods_are_named(clients):
    found = clients["digits"].get("/invocations")
    assert (found.status_code, found.json()["error"]) == (405, "/invocations takes POST, not GET")
    found = clients["digits"].get("/")
    assert (found.status_code, found.json()["error"]) == (
        404,
        "there is no /; use /invocations, /ping, /health or /version",
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:8080"}, 200),
        ({"host": "localhost:9000"}, 200),  # a forwarded port
        ({"host": "[::1]:8080"}, 200),
        ({"host": "127.0.0.2:8080"}, 200),  # where it listens
        ({"host": "model.example"}, 200),  # of `serving.hosts`
        ({"host": "localhost:8080", "origin": "http://localhost:8080"}, 200),
        ({"host": "model.example", "origin": "https://model.example"}, 200),
        ({"host": "evil.example:8080"}, 403),
        ({"host": "localhost.evil.example"}, 403),
        ({"host": "127.0.0.1:8080:8080"}, 403),
        ({"host": ""}, 403),
        ({"host": "localhost:8080", "origin": "https://evil.example"}, 403),
        ({"host": "localhost:8080", "origin": "http://localhost:3000"}, 403),
        ({"host": "localhost:8080", "origin": "null"}, 403),
        ({"host": "localhost:8080", "origin": ""}, 403),
    ],
)
def test_a_page_of_another_server_gets_no_prediction(world: World, headers: dict[str, str], status: int):
    client = _client(world, "sms_spam", hosts=server_names("127.0.0.2", ["model.example"]))
    for found in (
        client.post("/invocations", json={"inputs": ["a"]}, headers=headers),
        client.get("/ping", headers=headers),
    ):
        assert found.status_code == status
        assert status == 200 or "serving.hosts" in found.json()["error"]


def test_a_server_for_other_machines_is_called_by_any_name_unless_its_names_are_given():
    assert server_names("0.0.0.0", []) == set()
    assert "model.example" in server_names("0.0.0.0", ["model.example"])
    assert "evil.example" not in server_names("0.0.0.0", ["model.example"])
    assert server_names("localhost", [])


def test_a_compressed_body_is_refused_and_not_unpacked(clients):
    packed = gzip.compress(b'{"inputs": ["' + b"a" * 10**7 + b'"]}')
    found = clients["sms_spam"].post("/invocations", content=packed, headers={**JSON, "content-encoding": "gzip"})
    expected = {"error": "the content encoding is 'gzip'; send the body as it is"}
    assert (found.status_code, found.json()) == (415, expected)


def test_a_fault_of_our_own_shows_no_trace(world: World, monkeypatch, caplog):
    client = _client(world, "sms_spam")

    def broken(*_: Any) -> None:
        msg = "secret detail"
        raise RuntimeError(msg)

    monkeypatch.setattr(Predictor, "predict", broken)
    found = client.post("/invocations", json={"inputs": ["a"]})
    assert (found.status_code, found.json()) == (
        500,
        {"error": "the model failed on this request; see the server's log"},
    )
    assert "secret detail" in caplog.text


def test_a_client_that_leaves_in_the_middle_is_no_fault_of_ours(world: World, caplog):
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": [], "query_string": b""}

    async def receive() -> Any:
        return next(messages)

    async def send(_: Any) -> None:
        pass

    version = resolve("sms_spam/1", world.uri)
    asyncio.run(make_app(load_model(version, world.uri, trust()), version, max_rows=1)(scope, receive, send))
    assert caplog.text == ""


def test_a_smoke_request_needs_no_port(world: World):
    registered, made = world.registered["etth1"], world.made["etth1"]
    decision = Decision(model="etth1", version=1, champion=None, state="refused", reason="")
    tested = smoke_test(decision, made.trained, made.plan.team, "here", made.places)
    expected = made.predictor.predict(made.probe).to_pylist()
    assert json.loads(tested.response) == {"predictions": expected}
    assert (tested.model, tested.version, tested.status) == ("etth1", registered.version, 200)


def test_a_smoke_request_is_the_first_test_row(world: World):
    made = world.made["sms_spam"]
    decision = Decision(model="sms_spam", version=1, champion=1, state="champion", reason="")
    tested = smoke_test(decision, made.trained, made.plan.team, "here", made.places)
    table = pq.read_table(world.root / "data" / "sms_spam" / "table.parquet")
    row = table.filter([name == tested.row_id for name in table.column(ROW_ID).to_pylist()])
    assert json.loads(tested.response)["predictions"] == made.predictor.predict(row.select(["text"])).to_pylist()


def _with_wrong_predictions(made: Made, change: Callable[[pa.Table], pa.Table], folder: Path) -> Trained:
    """Copy what a training left, with other predictions than its model gives."""
    shutil.copytree(made.root / made.trained.folder, folder)
    file = folder / "predictions.parquet"
    pq.write_table(change(pq.read_table(file)), file)
    return made.trained.model_copy(update={"folder": str(folder)})


def _moved_scores(table: pa.Table) -> pa.Table:
    position = next(place for place, name in enumerate(table.column_names) if name.startswith("score_"))
    return table.set_column(position, table.field(position), pc.add(table.column(position), 0.01))


def _moved_forecast(table: pa.Table) -> pa.Table:
    values = table.column("prediction").combine_chunks()
    moved = pa.FixedShapeTensorArray.from_numpy_ndarray(values.to_numpy_ndarray() * 1.01)
    moved = pa.ExtensionArray.from_storage(values.type, moved.storage)
    return table.set_column(table.column_names.index("prediction"), "prediction", moved)


def _other_class(table: pa.Table) -> pa.Table:
    position = table.column_names.index("prediction")
    predicted = table.column("prediction").to_pylist()
    other = {"ham": "spam", "spam": "ham"}
    return table.set_column(position, table.field(position), pa.array([other[each] for each in predicted]))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("digits", _moved_scores, r"score_0 is off by 0\.01"),
        ("etth1", _moved_forecast, "HUFL is off by"),
        ("sms_spam", _other_class, "prediction is '(ham|spam)' and was '(ham|spam)'"),
    ],
)
def test_a_response_other_than_was_evaluated_fails(world: World, tmp_path: Path, name, change, words):
    trained = _with_wrong_predictions(world.made[name], change, tmp_path / "made")
    decision = Decision(model=name, version=1, champion=1, state="champion", reason="")
    with pytest.raises(HeadframeError, match=f"{name} version 1 responds differently for row .* evaluated: {words}"):
        smoke_test(decision, trained, world.made[name].plan.team, "here", world.made[name].places)
    # Of another version than the one decided about the predictions say nothing.
    refused = decision.model_copy(update={"version": 2, "state": "refused"})
    assert smoke_test(refused, trained, world.made[name].plan.team, "here", world.made[name].places).status == 200


def test_a_refused_smoke_request_is_reported(world: World):
    version = resolve("sms_spam/1", world.uri)
    rows = world.made["etth1"].probe.slice(0, 1)
    status, response = send_request(load_model(version, world.uri, trust()), version, rows)
    assert (status, "column 'text' is missing" in response) == (400, True)


def _serve(model: str, uri: str, port: int, root: Path, host: str = "127.0.0.1") -> None:
    plan = plan_for("digits", serving={"max_rows": 50})
    serve(model, plan=plan, root=root, uri=uri, host=host, port=port)


@contextmanager
def _served(world: World, name: str, before: Any = None) -> Iterator[tuple[str, int]]:
    """Serve in a process of its own, forked so that nothing is imported again."""
    port = free_port()
    child = os.fork()
    if child == 0:
        os._exit(in_child(lambda: (before and before(), _serve(name, world.uri, port, world.root))))
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                httpx.get(f"{address}/ping", timeout=60).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        # in_child forks once more; the server is the only child of our child.
        server = int(Path(f"/proc/{child}/task/{child}/children").read_text(encoding="utf-8").split()[0])
        yield address, server
    finally:
        children = Path(f"/proc/{child}/task/{child}/children").read_text(encoding="utf-8").split()
        for process in children:
            os.kill(int(process), signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the server did not end gracefully"


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server's process in /proc")
def test_a_real_server_responds_to_many_at_once_alike_and_ends_gracefully(world: World):
    made = world.made["digits"]
    expected = made.predictor.predict(made.probe).to_pylist()
    with _served(world, "digits/1") as (address, _):
        bodies = [(place, request_content(made.probe.slice(place, 1))) for place in range(32)] * 4

        def send(each: tuple[int, Any]) -> bool:
            place, body = each
            reply = client.post(f"{address}/invocations", json=body, timeout=60)
            [row] = reply.json()["predictions"]
            # One row in a forward pass of its own may differ in the last bits from the same row among others.
            return row["prediction"] == expected[place]["prediction"] and all(
                abs(row[key] - expected[place][key]) < 1e-6 for key in row
            )

        with httpx.Client() as client, ThreadPoolExecutor(8) as pool:
            assert all(pool.map(send, bodies))


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server's process in /proc")
def test_a_request_in_progress_completes_when_the_server_is_stopped(world: World):
    def slowly() -> None:
        predict = Predictor.predict

        def wait(self: Predictor, rows: Any) -> Any:
            time.sleep(1.5)
            return predict(self, rows)

        Predictor.predict = wait

    with _served(world, "sms_spam/1", slowly) as (address, server):
        found: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: found.append(httpx.post(f"{address}/invocations", json={"inputs": ["a"]}, timeout=60))
        )
        asking.start()
        time.sleep(0.7)
        os.kill(server, signal.SIGTERM)
        asking.join()
        while Path(f"/proc/{server}").exists():  # a second signal would end it before it has closed everything
            time.sleep(0.01)
        assert found[0].status_code == 200


def test_a_port_that_is_taken_is_reported_before_the_model_is_looked_for(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HeadframeError, match=rf"cannot listen on 127.0.0.1:{port} .*; choose another with --port"):
            _serve("nothing", "sqlite:////nowhere/mlflow.db", port, tmp_path)


def test_a_foreign_host_is_reported(tmp_path: Path):
    with pytest.raises(HeadframeError, match=r"cannot listen on 192\.0\.2\.1:"):
        _serve("nothing", "sqlite:////nowhere/mlflow.db", free_port(), tmp_path, host="192.0.2.1")


@pytest.mark.parametrize("port", [-1, 70_000])
def test_a_port_that_cannot_be_is_wrong_usage(port: int, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=f"--port {port} is no port; choose one from 1024 to 65535"):
        _serve("nothing", "sqlite:////nowhere/mlflow.db", port, tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_response_is_sent_at_once(host: str):
    """Nagle's algorithm would hold a small response back until the client has acknowledged the one before."""

    async def without_delay() -> int:
        found = asyncio.get_running_loop().create_future()

        async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with _listen(host, 0) as listening:
            async with await asyncio.start_server(connected, sock=listening):
                _, writer = await asyncio.open_connection(host, listening.getsockname()[1])
                writer.close()
                return await found

    assert asyncio.run(without_delay())


def test_a_request_is_computed_with_the_threads_of_the_plan(world: World, monkeypatch: pytest.MonkeyPatch):
    import torch

    seen = []
    predict, before = Predictor.predict, torch.get_num_threads()

    def watched(self: Predictor, rows: Any) -> Any:
        pools = threadpool_info()
        seen.append((torch.get_num_threads(), {pool["num_threads"] for pool in pools if pool["user_api"] == "openmp"}))
        return predict(self, rows)

    monkeypatch.setattr(Predictor, "predict", watched)
    with threadpool_limits(4):
        torch.set_num_threads(4)
        try:
            body = json.dumps(_bodies(world, "adult")["split"])
            assert (
                _client(world, "adult", threads=1).post("/invocations", content=body, headers=JSON).status_code == 200
            )
        finally:
            torch.set_num_threads(before)
    assert seen == [(1, {1})]


def test_a_model_that_is_not_there_is_reported_and_the_port_is_free_again(world: World):
    port = free_port()
    with pytest.raises(ConfigurationError, match="no registered model 'digit'"):
        _serve("digit", world.uri, port, world.root)
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


def test_a_champion_is_served_by_the_name_alone(digits):
    registered = digits.register()
    set_champion(resolve("digits/1", digits.uri), "by hand", digits.uri)
    assert resolve("digits", digits.uri).run_id == registered.run_id
