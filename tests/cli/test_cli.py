"""What holds for every command: one JSON document, paths from where the user stands, nothing finished is hidden."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fixtures import Made
from runs import ForkedRuns

from headframe.cli.main import main
from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.datasets.ingest import ingest
from headframe.places import Places
from headframe.serving.smoke_request import request_content
from headframe.signing.keys import SIGNER

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that nobody stands in."""
    root = tmp_path / "project"
    for name in ("conf", "flows"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return root


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--bogus"],
        ["run", "seed=1", "--bogus", "seed=2"],
        ["frobnicate"],
        ["predict", "digits"],
        ["list", "models", "more"],
        ["run", "model=cn"],
        ["models", "list", "--js"],
    ],
)
def test_wrong_usage_is_a_json_document_as_well(
    arguments: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--json", *(["--project", str(root)] if "cn" in arguments[-1] else [])]) == 2
    printed, reported = capsys.readouterr()
    document = json.loads(printed)
    assert document["exit_code"] == 2
    assert reported.endswith(f"headframe: {document['error']}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict"], "the following arguments are required: model, source, target; see `headframe predict --help`"),
        (["reproduce"], "the following arguments are required: model; see `headframe reproduce --help`"),
        (["run", "--bogus"], "unrecognized arguments: --bogus; see `headframe run --help`"),
        (["models", "list", "--bogus"], "unrecognized arguments: --bogus; see `headframe models list --help`"),
    ],
)
def test_wrong_usage_names_what_is_missing_and_where_to_read_on(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"headframe: {message}\n"


@pytest.mark.parametrize("override", ["model=cnn", "+trainer.max_epochs=3", "~baseline", "experiment=digits_ensemble"])
def test_a_version_is_reproduced_by_its_own_plan_alone(
    override: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "digits/1", "promotion=team", override, "--project", str(root)]) == 2
    assert capsys.readouterr().err == (
        f"headframe: {override}: a version is reproduced by its own plan; only gate, promotion, team, tracking can be "
        "overridden\n"
    )


def test_a_reader_that_has_seen_enough_is_no_failure_to_talk_about(root: Path) -> None:
    command = f"{sys.executable} -m headframe list --json --project {root} | head -c0"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_list_shows_the_first_sentence_of_each_comment(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comment = "# @package _global_\n# Rows of\n# one day, e.g. a\n# Monday. Seconds to train.\nname: x\n# another\n"
    (root / "conf" / "experiment" / "x.yaml").write_text(comment)
    assert main(["list", "experiments", "--project", str(root)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Rows of one day, e.g. a Monday." in printed
    assert "Monday. Seconds" not in printed


@pytest.mark.parametrize("damage", [b"<<<<<<< HEAD\nname: digits\n", b"\xff\xfe"])
def test_a_damaged_file_hides_none_of_the_others_from_a_list(
    damage: bytes, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "conf" / "dataset" / "digits.yaml").write_bytes(damage)
    assert main(["list", "datasets", "--project", str(root)]) == 0
    printed = capsys.readouterr().out
    assert "cannot be read; fix the file" in printed
    assert "mnist" in printed


def test_paths_are_those_of_the_user_not_of_the_project(root: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image\n1\n")
    done = subprocess.run(
        [sys.executable, "-m", "headframe", "predict", "digits", "rows.csv", "absent/out.parquet", "--project", root],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PREFECT_HOME": "/nonexistent", "PREFECT_API_URL": ""},
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{tmp_path}/absent is no folder" in done.stderr


def test_a_new_project_comes_to_where_the_user_stands(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "mine", "--project", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "conf" / "plan.yaml").is_file()


def test_others_may_read_and_write_nothing_whatever_the_umask(tmp_path: Path) -> None:
    # Processes of their own: DVC remembers the umask under which it was imported.
    for arguments in (["init", "mine"], ["ingest", "--project", "mine"]):
        command = [sys.executable, "-m", "headframe", *arguments]
        subprocess.run(command, cwd=tmp_path, umask=0, check=True, capture_output=True)
    paths = [path for path in (tmp_path / "mine").rglob("*") if not path.is_symlink() and ".git" not in path.parts]
    assert (tmp_path / "mine" / ".headframe" / "dvc").is_dir()
    # DVC marks an object that it has hashed by the mode 0444; it lies in a private folder.
    assert [path for path in paths if path.stat().st_mode & 0o077 and path.stat().st_mode & 0o777 != 0o444] == []


def test_what_a_new_project_advises_to_type_can_be_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "mein projekt"]) == 0
    assert capsys.readouterr().out.endswith("next: cd 'mein projekt' && headframe run\n")


def test_a_run_that_fails_hides_none_that_ended_before(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "missing").mkdir()
    shutil.copy(root / "conf" / "dataset" / "digits.yaml", root / "conf" / "dataset" / "broken.yaml")
    broken = root / "conf" / "dataset" / "broken.yaml"
    broken.write_text(broken.read_text().replace("name: digits", "name: broken").replace("min_rows: ", "min_rows: 9"))
    assert main(["ingest", "dataset=digits,broken", "--json", "--project", str(root)]) == 3
    document = json.loads(capsys.readouterr().out)
    assert [each["validated"]["table"]["dataset"] for each in document["finished"]] == ["digits"]
    assert document["error"].startswith("run 2 of 2 (dataset=broken): dataset broken breaks its contract")


FAULTS = {
    "raise KeyboardInterrupt": (130, "interrupted; the same command continues"),
    "raise OSError(28, 'No space left on device', 'data')": (
        1,
        "the disk is full, or has no room for another file (data)",
    ),
    "raise RuntimeError('a fault')": (1, "RuntimeError: a fault"),
}


def test_whatever_ends_a_run_hides_none_that_ended_before(root: Path, forked_runs: ForkedRuns) -> None:
    flow = root / "flows" / "ingest.py"
    good = flow.read_text()
    for fault, (code, words) in FAULTS.items():
        faulty = f"    if 'seed=2' in overrides:\n        {fault}\n    return ingest_dataset("
        flow.write_text(good.replace("    return ingest_dataset(", faulty))
        document, stderr = forked_runs.headframe(Project(root), "ingest", "seed=1,2,3", code=code)
        assert document["exit_code"] == code
        assert [each["validated"]["table"]["dataset"] for each in document["finished"]] == ["digits"]
        assert document["error"].startswith(f"run 2 of 3 (seed=2): {words}")
        assert ("Traceback" in stderr) == ("RuntimeError" in fault)  # of our own faults alone


@pytest.mark.parametrize("action", ["list", "versions", "status", "verify"])
def test_a_project_that_stores_nothing_reports_so(action: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", action, "--project", str(root)]) == 0
    assert capsys.readouterr().out == "nothing is stored yet; store a data set with: headframe ingest\n"


def test_a_registry_that_cannot_be_used_is_reported_before_anything_is_done(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / ".headframe").mkdir()
    (root / ".headframe" / "mlflow.db").write_bytes(b"garbage" * 1000)
    assert main(["run", "--json", "--project", str(root)]) == 1
    assert "or move it away and a new one is made" in json.loads(capsys.readouterr().out)["error"]
    assert not (root / ".headframe" / "stages").exists()


@pytest.mark.parametrize("place", ["data/digits/table.parquet", ".headframe/out.parquet"])
def test_predictions_never_take_the_place_of_what_the_project_keeps(root: Path, place: str) -> None:
    (root / place).parent.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "headframe", "predict", "digits", "digits", place],
        cwd=root, capture_output=True, text=True, check=False,
        env={**os.environ, "PREFECT_HOME": "/nonexistent", "PREFECT_API_URL": ""},
    )  # fmt: skip
    assert done.returncode == 1
    assert "where the project stores its tables and models" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "model=cn"], "did you mean 'cnn'?"),
        (["train", "trainer.max_epoch=3"], "did you mean 'max_epochs'?"),
        (["ingest", "dataset=digit"], "did you mean 'digits'?"),
        (["predict", "digits", "rows.csv", "m.parquet", "tracking.ur=x"], "did you mean 'uri'?"),
        (["predict", "digits", __file__, "m.parquet"], "no registered model 'digits'"),
        (["predict", "digits", "rows.csv", "m.parquet"], "rows.csv is no file; name a Parquet, JSON-lines or text"),
        (["predict", "digits", "digit", "m.parquet"], "there is no data set 'digit'"),
        (["predict", "digits", __file__, "m.csv"], "ends in .csv, but Parquet is written"),
        (["run", "--as", "nobody"], "there is no key 'nobody'"),
        (["run", "tracking.uri=ftp://here"], "expected http(s)://HOST:PORT"),
        (["run", "promotion.ledger=here"], "promotion.ledger (or HEADFRAME_LEDGER) is no address"),
        (["train", "dataset.split.test=0.9"], "validation=0.15 and test=0.9 must be at least 0 and leave rows"),
        (["ingest", "dataset.split.test=0.9"], "validation=0.15 and test=0.9 must be at least 0 and leave rows"),
    ],
)
def test_a_typing_mistake_never_gets_to_prefect(
    arguments: list[str],
    message: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HEADFRAME_SIGNER", "set so that what --as sets is taken back")
    monkeypatch.delenv("HEADFRAME_SIGNER")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # nothing listens; a flow run would need it
    assert main([*arguments, "--project", str(root)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "train", "ingest"])
def test_what_a_flow_would_not_find_is_looked_for_before_prefect_knows_of_it(
    command: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    source = "dataset.sources.pixels.uri=package:sklearn/datasets/data/digitz.csv.gz"
    assert main([command, source, "--project", str(root)]) == 1
    assert "source pixels (package:sklearn/datasets/data/digitz.csv.gz) was not found" in capsys.readouterr().err
    if command != "ingest":
        monkeypatch.setenv(SIGNER, "nobody")
        assert main([command, "--project", str(root)]) != 0
        assert "nobody" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mistake", "message"),
    [("promotion.ledger=here", "is no address"), ("dataset.split.test=0.9", "leave rows to train on")],
)
def test_what_a_step_would_refuse_is_refused_before_the_first(
    mistake: str, message: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", mistake, "--project", str(root)]) == 2
    assert message in capsys.readouterr().err
    assert not (root / ".headframe" / "stages").exists()


def test_an_address_that_is_none_is_one_sentence(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:port/api")
    assert main(["run", "--project", str(root)]) == 2
    assert "PREFECT_API_URL is 'http://127.0.0.1:port/api', which is no address" in capsys.readouterr().err
    monkeypatch.delenv("PREFECT_API_URL")
    (tmp_path / "profiles.toml").write_text("active = [")
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    assert main(["run", "--project", str(root)]) == 2
    assert "profiles.toml is no file of Prefect profiles" in capsys.readouterr().err
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "none"))
    for address in ("http://127.0.0.1:port", "http://127.0.0.1:70000", "http://[::1"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert main(["models", "list", "--project", str(root)]) == 2
        assert "MLFLOW_TRACKING_URI) is" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_terminal_that_is_not_utf_8_fails_nothing(
    encoding: str, as_json: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    file = root / "conf" / "trainer" / "größe_矿.yaml"
    file.write_text((root / "conf" / "trainer" / "quick.yaml").read_text())
    assert main(["list", "trainer", "--project", str(root), *(["--json"] if as_json else [])]) == 0
    sys.stdout.flush()
    printed = raw.getvalue().decode(encoding)
    if as_json:
        assert "größe_矿" in str(json.loads(printed))
    else:
        assert "größe_矿".encode(encoding, "backslashreplace").decode(encoding) in printed


def test_the_tables_tell_what_is_in_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract = "{columns: {row: {dtype: int, min: 0}, label: {dtype: string}}}"
    (root / "conf" / "dataset" / "small.yaml").write_text(
        "name: small\ntitle: Small\nlicence: CC0\ncitation: none\nsources: {rows: {uri: 'file:small.csv'}}\n"
        "reader: {_target_: headframe.datasets.readers.delimited.Delimited}\ninputs: [row]\ntarget: label\n"
        "tasks: [classification]\nmax_rejected: 1\n"
        "split: {_target_: headframe.datasets.splits.HashSplitter, validation: 0.2, test: 0.2}\n"
        f"contract: {contract}\n"
    )
    (root / "small.csv").write_text("row,label\n1,a\nmany,b\n3,b\n")
    plan = load_plan(["dataset=small", "features=tabular", "model=mlp"], Project(root))
    record = ingest(plan.dataset, Places(root, root))

    def printed(*arguments: str) -> tuple[object, str]:
        assert main(["data", *arguments, "--json", "--project", str(root)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert main(["data", *arguments, "--project", str(root)]) == 0
        return document, capsys.readouterr().out

    listed, line = printed("list")
    assert listed == [record.model_dump(mode="json")]
    assert line == f"small: 2 rows, 1 rejected, version {record.digest[:8]}\n"
    shown, lines = printed("show", "small")
    assert isinstance(shown, dict)
    assert (shown["licence"], shown["rows"], shown["rejected"]) == ("CC0", 2, 1)
    assert all(part in lines for part in ("CC0", "2, and 1 rejected", record.digest, "row: int64", "label: string"))
    rejected, line = printed("rejected", "small")
    assert isinstance(rejected, list)
    assert [(each["source"], each["position"]) for each in rejected] == [("rows", 3)]
    assert line == f"rows, position 3: {rejected[0]['reason']}\n"


@pytest.mark.parametrize(
    "arguments", [["list", "digits"], ["versions", "digits"], ["status", "digits"], ["verify", "digits"]]
)
def test_what_reads_all_data_sets_does_not_seem_to_read_one(
    arguments: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", *arguments, "--project", str(root)]) == 2
    assert f"data {arguments[0]} is about all data sets; leave out 'digits'" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["show", "rejected"])
def test_a_digest_is_not_ignored(action: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", action, "digits", "33adb70c", "--project", str(root)]) == 2
    assert f"data {action} reads the present version; leave out '33adb70c'" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["show", "rejected"])
def test_a_table_that_is_not_named_or_not_there_is_reported(
    action: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", action, "--project", str(root)]) == 2
    assert f"as in: headframe data {action} digits" in capsys.readouterr().err
    assert main(["data", action, "digits", "--project", str(root)]) == 2
    assert "ingest it: headframe ingest dataset=digits" in capsys.readouterr().err
    (root / "data" / "digits").mkdir(parents=True)
    assert main(["data", action, "digits", "--project", str(root)]) == 1
    assert "collect it with: headframe ingest dataset=digits" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["predict", "digits", "digits", "a.parquet"], ["serve", "digits", "--port", "0"]])
@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rows", "'rows' is no override; write key=value"),
        ("serving.max_row=3", "serving.max_row: the plan has no such key"),
        ("seed=1,2", "seed=1,2: these are 2 plans, but this command takes one"),
        ("tracking.uri=sqlite:////nowhere/mlflow.db", "/nowhere/mlflow.db"),
    ],
)
def test_predict_and_serve_take_overrides(
    command: list[str], override: str, words: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--json", override, "--project", str(root)]) == 2
    assert words in json.loads(capsys.readouterr().out)["error"]


def test_a_server_keeps_to_the_settings_that_it_was_started_with(root: Path, digits: Made) -> None:
    digits.register()
    command = ["serve", "digits/1", f"tracking.uri={digits.uri}", "--json", "--port", "0", "serving.max_rows=1"]
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-m", "headframe", *command], cwd=root, stdout=subprocess.PIPE, text=True, env=plain
    ) as server:
        try:
            assert server.stdout is not None
            ready = ""
            for line in server.stdout:
                ready += line
                if line == "}\n":
                    break
            address = f"{json.loads(ready)['address']}/invocations"
            requests = [request_content(digits.probe.slice(0, rows)) for rows in (1, 2)]
            codes = [httpx.post(address, json=body, timeout=60).status_code for body in requests]
        finally:
            server.terminate()
    assert codes == [200, 413]


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_cannot_be_is_wrong_usage(port: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "digits", "--port", port, "--json", "--project", str(root)]) == 2
    assert f"--port {port} is no port; choose one from 1024 to 65535" in json.loads(capsys.readouterr().out)["error"]
