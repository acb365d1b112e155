"""A version is reproduced from the registry, a clone and raw data, and what was changed is named."""

import gzip
import hashlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from leftovers import Leftovers, clone, git, headframe, lineage_of, make_project, picture, reproduced
from mlflow import MlflowClient
from runs import ForkedRuns, start

from headframe.config.plan.promotion import PromotionConfig, TeamConfig
from headframe.config.project import Project
from headframe.errors import Refused
from headframe.ledger.store import Ledger
from headframe.reproduction.checkout import check_out
from headframe.reproduction.record import verdict_key
from headframe.reproduction.report import STAGES
from headframe.reproduction.scratch import PREFIX, scratch_folder
from headframe.signing.keys import own_key
from headframe.signing.trust import Trust
from headframe.tracking import lineage


def test_a_fresh_clone_reproduces_every_byte_and_is_not_changed(
    trained: Leftovers, forked_runs: ForkedRuns, tmp_path: Path
):
    before = picture(trained.root)
    report, _ = forked_runs.headframe(
        Project(trained.root), "reproduce", "digits/1", **trained.environment, TMPDIR=str(tmp_path)
    )
    assert (report["verdict"], report["first_difference"]) == ("bitwise", None), report
    assert [each["stage"] for each in report["stages"]] == [*STAGES]
    assert all(each["reproduced"] == each["recorded"] for each in report["stages"])
    assert picture(trained.root) == before
    assert not [*tmp_path.iterdir()]
    trust = Trust.of(TeamConfig())
    promotion = PromotionConfig(model="digits", policy="solo", gates={}, ledger=trained.environment["HEADFRAME_LEDGER"])
    (entry,) = Ledger.open(promotion, trained.root).entries("digits", trust)
    assert (entry.kind, entry.version, entry.payload["verdict"]) == ("reproduce", 1, "bitwise")
    assert entry.digest == report["entry"]
    assert entry.digests["bundle"] == report["bundle"]
    (document,) = trained.run.glob("reproductions/*.json")
    assert json.loads(document.read_text())["stages"] == report["stages"]
    tags = MlflowClient(trained.uri).get_model_version("digits", "1").tags
    assert tags["headframe.reproduced"] == "bitwise"


def test_a_changed_value_of_the_plan_is_named(leftovers: Leftovers):
    plan = leftovers.run / "plan.json"
    plan.write_text(plan.read_text().replace('"seed": 17', '"seed": 18'))
    found = reproduced(leftovers)
    assert (found.verdict, found.first_difference) == ("different", "plan")
    assert [each.equal for each in found.stages] == [False, *[None] * 7]


def test_a_changed_line_of_the_stored_code_is_named_and_not_run(leftovers: Leftovers):
    diff = leftovers.run / "code" / "code.diff"
    diff.write_bytes(diff.read_bytes().replace(b"nn.ReLU()", b"nn.Tanh()"))
    found = reproduced(leftovers)
    assert (found.verdict, found.first_difference) == ("different", "code")
    assert "diff" in found.reason
    assert found.seconds.keys() == {"all"}


def test_one_changed_value_of_the_data_is_named(leftovers: Leftovers):
    source = leftovers.mirror / "raw" / "digits.csv.gz"
    raw = gzip.decompress(source.read_bytes())
    source.write_bytes(gzip.compress(raw[:6] + (b"1" if raw[6:7] != b"1" else b"2") + raw[7:]))
    found = reproduced(leftovers)
    assert (found.verdict, found.first_difference) == ("different", "data")
    report = {each.stage: each.equal for each in found.stages}
    assert report == {"plan": True, "code": True, "data": False} | dict.fromkeys(STAGES[3:])
    assert found.stages[2].reproduced is not None
    assert found.stages[2].reproduced[:12] in found.reason


def test_a_flipped_byte_of_a_source_is_named(leftovers: Leftovers):
    source = leftovers.mirror / "raw" / "digits.csv.gz"
    raw = bytearray(source.read_bytes())
    raw[len(raw) // 2] ^= 1
    source.write_bytes(raw)
    found = reproduced(leftovers)
    assert (found.verdict, found.first_difference) == ("different", "data")
    assert "pixels" in found.reason or "digits.csv.gz" in found.reason


def test_data_that_cannot_be_collected_is_refused(leftovers: Leftovers):
    (leftovers.mirror / "raw" / "digits.csv.gz").unlink()
    with pytest.raises(Refused, match=r"version 33adb70c2945 of the data cannot be collected: source pixels"):
        reproduced(leftovers)


def test_code_that_cannot_be_checked_out_is_refused(leftovers: Leftovers, tmp_path: Path):
    other = make_project(tmp_path / "other")
    git(other, "commit", "--message", "another first")
    elsewhere = Leftovers(other, leftovers.registry, leftovers.mirror)
    commit = git(leftovers.root, "rev-parse", "HEAD").strip()
    with pytest.raises(Refused, match=rf"commit {commit[:12]}.* is not in the repository"):
        reproduced(elsewhere)
    shutil.rmtree(other / ".git")
    with pytest.raises(Refused, match="no git repository"):
        reproduced(elsewhere)


@pytest.mark.parametrize("name", ["provenance.json", "code/installed.txt"])
def test_a_registry_that_contradicts_itself_is_refused(leftovers: Leftovers, name: str):
    file = leftovers.run / name
    file.write_text(file.read_text().replace("2.", "3.", 1))
    with pytest.raises(Refused, match=f"{name} of models:/digits/1 was changed"):
        reproduced(leftovers)


@pytest.mark.parametrize("tag", ["provenance", "plan", "table", "bundle"])
def test_a_changed_tag_is_refused(leftovers: Leftovers, tag: str):
    MlflowClient(leftovers.uri).set_model_version_tag("digits", "1", f"headframe.{tag}", "0" * 64)
    with pytest.raises(Refused, match=r"was changed|another version"):
        reproduced(leftovers)


def test_provenance_and_tag_changed_together_contradict_the_signature(leftovers: Leftovers):
    file = leftovers.run / "provenance.json"
    file.write_text(file.read_text().replace('"device": "cpu"', '"device": "gpu"'))
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    MlflowClient(leftovers.uri).set_model_version_tag("digits", "1", "headframe.provenance", sha256)
    with pytest.raises(Refused, match="provenance in its signature"):
        reproduced(leftovers)


def test_a_missing_artifact_is_refused(leftovers: Leftovers):
    (leftovers.run / "code" / "code.diff").unlink()
    with pytest.raises(Refused, match=r"code/code\.diff of models:/digits/1 is missing"):
        reproduced(leftovers)


def test_a_kill_leaves_project_and_registry_as_they_were_and_no_process(leftovers: Leftovers, tmp_path: Path):
    before = picture(leftovers.root)
    place = tmp_path / "scratch"
    place.mkdir()
    more = {**leftovers.environment, "TMPDIR": str(place)}
    process = start(Project(leftovers.root), "reproduce", "digits/1", "--no-record", "--json", **more)
    deadline = time.monotonic() + 120
    # By its place: a search of the whole tree fails where a folder goes while it is listed, as those of downloads do.
    job = "work/code/.headframe/reproduction/fit/job.json"
    while not [*place.glob(f"{PREFIX}*/{job}")]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert picture(leftovers.root) == before
    deadline = time.monotonic() + 20
    while _inside(place):
        assert time.monotonic() < deadline, _inside(place)
        time.sleep(0.1)
    (left,) = place.glob(f"{PREFIX}*")
    assert not [*left.rglob("rebuilt.json")]  # they were ended, and did not just come to their end
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(place))
        with scratch_folder() as own:
            assert not left.exists()
            assert own.parent.parent == place.resolve()
        assert not [*place.iterdir()]


def _inside(folder: Path) -> list[str]:
    """Processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("cnn", ["model.widths=[[4],[8]]", "trainer.max_epochs=2"]),
        ("lstm", ["model.hidden=16", "trainer.max_epochs=2"]),
        ("cnn_lstm_mean", ["trainer.max_epochs=2"]),
        ("random_forest_classifier", ["model.n_estimators=10", "baseline=logistic"]),
    ],
)
def test_each_kind_of_model_is_reproduced_bitwise(tmp_path: Path, model: str, more: list[str]):
    root = make_project(tmp_path / "project")
    git(root, "commit", "--message", "first")
    made = Leftovers(root, tmp_path / "registry", tmp_path)
    headframe(made, "train", f"model={model}", "evaluation.resamples=100", *more)
    copy = clone(root, tmp_path / "clone")
    shutil.rmtree(root)
    left = Leftovers(copy, made.registry, made.mirror)
    report = headframe(left, "reproduce", "digits/1")
    assert report["verdict"] == "bitwise", report
    print(model, report["seconds"])


@pytest.mark.slow
def test_a_repository_that_holds_headframe_itself_is_reproduced_by_the_headframe_it_holds(tmp_path: Path):
    repository = Path(__file__).parents[2]
    code = lineage.read_code_state(repository)
    root = check_out(lineage_of(code), code.diff or b"", repository, tmp_path / "project")
    seeds = root / "src" / "headframe" / "examples" / "seeds.py"
    seeds.write_text(seeds.read_text().replace("_ORDER, _BOOTSTRAP = 1, 2", "_ORDER, _BOOTSTRAP = 3, 2"))
    made = Leftovers(root, tmp_path / "registry", tmp_path)
    headframe(
        made, "train", "model=mlp", "trainer.max_epochs=2", "evaluation.resamples=100", PYTHONPATH=str(root / "src")
    )
    copy = clone(root, tmp_path / "clone")
    shutil.rmtree(root)
    left = Leftovers(copy, made.registry, made.mirror)
    report = headframe(left, "reproduce", "digits/1")
    assert report["verdict"] == "bitwise", report
    assert report["modules"] == []


@pytest.mark.slow
def test_a_changed_line_of_installed_code_is_named_with_its_effects(trained: Leftovers, tmp_path: Path):
    site = tmp_path / "site"
    shutil.copytree(Path(__file__).parents[2] / "src" / "headframe", site / "headframe")
    seeds = site / "headframe" / "examples" / "seeds.py"
    seeds.write_text(seeds.read_text().replace("_ORDER, _BOOTSTRAP = 1, 2", "_ORDER, _BOOTSTRAP = 3, 2"))
    report = headframe(trained, "reproduce", "digits/1", "--no-record", code=5, PYTHONPATH=str(site))
    assert (report["verdict"], report["first_difference"]) == ("different", "code")
    assert [each["name"] for each in report["modules"]] == ["headframe.examples.seeds"]
    equal = {each["stage"]: each["reproduced"] == each["recorded"] for each in report["stages"]}
    assert [name for name, same in equal.items() if not same] == ["code", "weights", "predictions", "metrics"]
    seeds.write_text(f"{seeds.read_text()}# changes nothing\n".replace("_BOOTSTRAP = 3, 2", "_BOOTSTRAP = 1, 2"))
    report = headframe(trained, "reproduce", "digits/1", "--no-record", PYTHONPATH=str(site))
    assert (report["verdict"], report["first_difference"]) == ("bitwise", "code")
    assert "although code differs (module headframe.examples.seeds)" in report["reason"]


@pytest.mark.slow
def test_after_a_kill_the_same_command_comes_to_the_same_verdict(leftovers: Leftovers, tmp_path: Path):
    before = picture(leftovers.root)
    more = {**leftovers.environment, "TMPDIR": str(tmp_path)}
    for seconds in (1.0, 4.0, 7.0):
        process = start(Project(leftovers.root), "reproduce", "digits/1", "--no-record", "--json", **more)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert headframe(leftovers, "reproduce", "digits/1", "--no-record", TMPDIR=str(tmp_path))["verdict"] == "bitwise"
    assert not [*tmp_path.glob(f"{PREFIX}*")]
    assert picture(leftovers.root) == before


def test_only_people_whom_the_team_lists_sign_a_verdict():
    others = TeamConfig.model_validate({"people": {"anna": {"key": "a" * 64, "roles": ["author"]}}})
    with pytest.raises(Refused, match=r"is not in conf/team/.* compare only with --no-record"):
        verdict_key(others, None)
    reader = TeamConfig.model_validate({"people": {"bert": {"key": own_key().public, "roles": ["reader"]}}})
    with pytest.raises(Refused, match=r"bert is listed as reader only.* compare only with --no-record"):
        verdict_key(reader, None)
