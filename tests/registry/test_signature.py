"""A registered model's files are used only if they are what somebody trusted signed for this very version."""

import base64
import copy
import io
import json
import os
import pickle
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fixtures
import mlflow
import pytest
import skops.io
import yaml
from fixtures import Made, World, package_of, sign_again, trust
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from headframe.config.plan.plan import fingerprint_of
from headframe.config.plan.promotion import Person, PromotionConfig, Role, TeamConfig
from headframe.digests import file_digest, folder_digest
from headframe.errors import HeadframeError, Refused
from headframe.ledger.store import Ledger
from headframe.prediction.schema import to_frame
from headframe.registry.layout import SIGNATURE
from headframe.registry.register import is_registered
from headframe.registry.signature import (
    ADDED,
    read_package,
    require_signer,
    sign_package,
    signing_key,
)
from headframe.registry.versions import ModelVersion, is_intact, load_model, model_files, resolve, set_champion
from headframe.serving.resolve_champion import open_served_version
from headframe.signing.keys import create_key, own_key
from headframe.signing.trust import Trust
from headframe.tracking.client import make_client


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of keys."""
    folder = tmp_path / "keys"
    monkeypatch.setenv("HEADFRAME_KEYS", str(folder))
    return folder


@pytest.fixture(scope="module")
def brought(world: World, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A registered model that brings code; for reading only."""
    made = fixtures.moved(world.made["digits"], tmp_path_factory.mktemp("brought"))
    fixtures.write_network(made.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(made.root / "src"))
        own = fixtures.with_own_network(made, "own", steps=3)
        own.register()
    fixtures.forget_network()
    return own


@pytest.fixture
def package(brought: Made, tmp_path: Path) -> Path:
    """A copy of its files, to be damaged."""
    return shutil.copytree(package_of("digits", brought.uri), tmp_path / "package")


def _files(package: Path) -> list[str]:
    return sorted(path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file())


def _kept(made: Made, version: ModelVersion) -> Path:
    """Give the folder of a version's run."""
    run = make_client(made.uri).get_run(version.run_id)
    return Path(run.info.artifact_uri.removeprefix("file://"))


def test_a_signature_names_every_file_and_what_the_version_is(brought: Made, package: Path):
    envelope = json.loads((package / SIGNATURE).read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert subjects == {name: file_digest(package / name) for name in _files(package) if name != SIGNATURE}
    assert {"MLmodel", "code/mine/net.py", "data/bundle/weights.safetensors"} <= subjects.keys()
    registered = resolve("digits/1", brought.uri)
    signed = read_package(package, trust(), registered.expected)
    assert signed.payload == {
        "model": "digits",
        "run_id": registered.run_id,
        "plan": brought.plan.version.fingerprint,
        "provenance": file_digest(_kept(brought, registered) / "provenance.json"),
        "table": brought.data.split.table.digest,
        "split": brought.data.split.digest,
        "validated": file_digest(brought.root / brought.data.validated.report),
        "bundle": folder_digest(package / "data" / "bundle"),
        "predictions": brought.trained.predictions,
        "evaluated": brought.evaluated.digest,
        "slices": file_digest(brought.root / brought.evaluated.folder / "slices.json"),
        "headframe": signed.payload["headframe"],
    }
    assert signed.signer.name == own_key().name
    assert signed.digest == file_digest(package / SIGNATURE)


def test_a_flipped_byte_is_named_whichever_file_it_is_in(package: Path):
    names = _files(package)
    assert len(names) >= 10
    for name in names:
        file = package / name
        content = file.read_bytes()
        for place in {0, len(content) // 2, len(content) - 1} if content else ():
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(Refused, match="signature" if name == SIGNATURE else f"^{name} was changed after"):
                read_package(package, trust())
        file.write_bytes(content)
    read_package(package, trust())


def test_a_removed_file_is_named_whichever_it_is(package: Path):
    for name in _files(package):
        content = (package / name).read_bytes()
        (package / name).unlink()
        words = "is not signed .*register it again" if name == SIGNATURE else f"^{name} was removed after .* signed it"
        with pytest.raises(Refused, match=words):
            read_package(package, trust())
        (package / name).write_bytes(content)
    read_package(package, trust())


@pytest.mark.parametrize(
    "name",
    [
        "code/mine/sub.py", "code/json.py", "code/mine/net.cpython-311-x86_64-linux-gnu.so", "code/mine/net.pyc",
        "code/__pycache__/extra.py", "data/__pycache__/x.pyc", "data/registered_model_meta", "notes.txt", ".hidden",
    ],
)  # fmt: skip
def test_an_added_file_is_named(package: Path, name: str):
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_bytes(b"")
    with pytest.raises(Refused, match=f"^{name} was added after"):
        read_package(package, trust())


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "pipe"])
def test_what_is_no_file_of_its_own_is_refused(package: Path, kind: str):
    if kind == "pipe":
        os.mkfifo(package / "odd")
    else:
        (package / "odd").symlink_to(package / ("MLmodel" if kind.endswith("file") else "data"))
    with pytest.raises(Refused, match=r"^odd is a link or something else that is no file"):
        read_package(package, trust())


def test_what_mlflow_and_python_leave_behind_does_no_harm(brought: Made, tmp_path: Path, monkeypatch):
    make_client(brought.uri)  # its registry, copied when it was empty, now names its own folder
    root = shutil.copytree(brought.root, tmp_path / "moved")
    database = fixtures.empty_registry(root)
    database.unlink()
    shutil.copy(brought.root / ".headframe" / "mlflow.db", database)
    made = replace(brought, root=root, uri=f"sqlite:///{database}")
    make_client(made.uri)
    from headframe.tracking.client import require_access

    require_access(made.uri)  # which notices that the project was moved
    package = package_of("digits", made.uri)
    assert package.is_relative_to(root)
    code = (
        "import sys, mlflow, pyarrow.parquet as pq; from headframe.prediction.schema import to_frame\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model('models:/digits/1', suppress_warnings=True)\n"
        "print(len(model.predict(to_frame(pq.read_table(sys.argv[2])))))"
    )
    probe = str(root / made.trained.folder / "probe.parquet")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [fixtures.sys.executable, "-c", code, made.uri, probe], capture_output=True, text=True, check=False,
        env=environment,
    )  # fmt: skip
    assert done.stdout == "32\n", done.stderr
    compiled = list((package / "code").rglob("*.pyc"))
    assert compiled
    assert (package / ADDED).is_file()
    assert is_intact("digits", 1, made.uri, trust()) is True
    # What Python compiled would be imported instead of the source, so nobody is given it.
    compiled[0].write_bytes(b"anything")
    with model_files(resolve("digits/1", made.uri), made.uri, trust()) as checked:
        assert not list(checked.rglob("*.pyc"))
        assert not checked.is_relative_to(root)
        read_package(checked, trust())
    fixtures.forget_network()


def _others(folder: Path, roles: tuple[Role, ...], **people: str) -> Trust:
    return Trust.of(TeamConfig(people={name: Person(key=key, roles=roles) for name, key in people.items()}))


def test_only_a_trusted_authors_signature_counts(package: Path, keys: Path):
    stranger = create_key("stranger")
    before = read_signature(package)
    with pytest.raises(Refused, match=r"does not hold: it is signed by an unknown key \(.*if it was yours, restore it"):
        read_package(package, trust())
    sign_again(package)
    assert read_package(package, trust()).signer.name == "stranger"
    listed = _others(keys, ("approver",), ann=stranger.public)
    assert read_package(package, listed).signer.name == "ann"
    with pytest.raises(Refused, match="ann signed it, who is only reader"):
        read_package(package, _others(keys, ("reader",), ann=stranger.public))
    nobody = _others(keys, ("author",), ben="0" * 64)
    with pytest.raises(Refused, match=r"unknown key .*list the key in conf/team/"):
        read_package(package, nobody)
    forged = {**before, "signatures": [{**before["signatures"][0], "keyid": stranger.public}]}
    (package / SIGNATURE).write_text(json.dumps(forged))
    with pytest.raises(Refused, match="does not hold: it was changed after stranger signed it"):
        read_package(package, trust())


def read_signature(package: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((package / SIGNATURE).read_bytes())
    return found


def test_the_files_of_another_version_are_refused_although_they_are_signed(digits: Made):
    digits.register()
    fixtures.twin(digits).register()
    kept = [
        Path(make_client(digits.uri).get_model_version_download_uri("digits", n).removeprefix("file://")) for n in "12"
    ]
    shutil.rmtree(kept[0])
    shutil.copytree(kept[1], kept[0])
    read_package(kept[0], trust())
    assert is_intact("digits", 1, digits.uri, trust()) is False
    with pytest.raises(
        Refused, match=r"models:/digits/1 is refused: its signature is about run_id .* of another version"
    ):
        load_model(resolve("digits/1", digits.uri), digits.uri, trust())
    assert load_model(resolve("digits/2", digits.uri), digits.uri, trust())
    digits.register()
    assert load_model(resolve("digits/1", digits.uri), digits.uri, trust())


def test_a_signature_about_other_files_is_refused(world: World, package: Path):
    shutil.copy(package_of("digits", world.uri) / SIGNATURE, package / SIGNATURE)
    with pytest.raises(Refused, match=r"was (changed|added|removed) after"):
        read_package(package, trust())


@pytest.mark.parametrize("damage", ["unsigned", "signature", "no JSON", "added", "whole"])
def test_the_command_that_registered_a_version_writes_it_again_byte_for_byte(digits: Made, damage: str, caplog):
    registered = digits.register()
    package = package_of("digits", digits.uri)
    before = {name: (package / name).read_bytes() for name in _files(package)}
    if damage == "unsigned":
        (package / SIGNATURE).unlink()
    elif damage == "signature":
        (package / SIGNATURE).write_bytes(before[SIGNATURE].replace(b'"sig":"', b'"sig":"A'))
    elif damage == "no JSON":
        (package / SIGNATURE).write_bytes(before[SIGNATURE].replace(b'"sig":', b'"sig"z'))
    elif damage == "added":
        (package / "code" / "torch").mkdir(parents=True)
        (package / "code" / "torch" / "__init__.py").write_text("raise SystemExit\n")
    else:
        shutil.rmtree(package)
    assert not is_registered(registered, TeamConfig(), digits.places)
    assert digits.register() == registered
    assert "its files are written again" in caplog.text
    assert is_registered(registered, TeamConfig(), digits.places)
    assert {name: (package / name).read_bytes() for name in _files(package)} == before


def test_a_version_is_not_taken_from_whom_it_belongs_to(digits: Made, keys: Path):
    create_key("anna")
    digits.register()
    before = (package_of("digits", digits.uri) / SIGNATURE).read_bytes()
    shutil.move(keys, keys.with_name("elsewhere"))
    create_key("ben")
    with pytest.raises(
        Refused, match=r"unknown key .*; to register it as your own, delete version 1 of digits in MLflow"
    ):
        digits.register()
    assert (package_of("digits", digits.uri) / SIGNATURE).read_bytes() == before


def _exchange(made: Made, file: str, before: str, after: str) -> str:
    """Change a file of the first version's run, as whoever may write there; gives its new sha256."""
    path = _kept(made, resolve("digits/1", made.uri)) / file
    content = path.read_text(encoding="utf-8")
    assert before in content
    path.write_text(content.replace(before, after), encoding="utf-8")
    return file_digest(path)


def _tag(made: Made, name: str, value: str, version: int = 1) -> None:
    make_client(made.uri).set_model_version_tag("digits", str(version), f"headframe.{name}", value)


@pytest.mark.parametrize("file", ["plan.json", "provenance.json", "data/validated.json"])
def test_an_author_does_not_sign_what_others_wrote_into_the_run(digits: Made, file: str):
    """Whoever removed the signature and changed a file with its tag would have the author sign the change."""
    digits.register()
    (package_of("digits", digits.uri) / SIGNATURE).unlink()
    if file == "plan.json":
        _exchange(digits, file, '"lr": 0.01', '"lr": 0.5')
        path = _kept(digits, resolve("digits/1", digits.uri)) / file
        _tag(digits, "plan", fingerprint_of(json.loads(path.read_bytes())))
    elif file == "provenance.json":
        _tag(digits, "provenance", _exchange(digits, file, digits.trained.predictions, "0" * 64))
    else:
        _exchange(digits, file, "{}", "[]")
    with pytest.raises(
        Refused, match=f"models:/digits/1 cannot be signed again: {file} of its run is not of the result"
    ):
        digits.register()
    assert not (package_of("digits", digits.uri) / SIGNATURE).exists()


def test_of_an_old_signature_that_holds_digests_are_taken_and_not_from_tags(digits: Made):
    registered = digits.register()
    package = package_of("digits", digits.uri)
    before = (package / SIGNATURE).read_bytes()
    (package / "data" / "bundle" / "weights.safetensors").unlink()
    _tag(digits, "plan", "0" * 64)
    _tag(digits, "provenance", "1" * 64)
    assert digits.register() == registered
    assert (package / SIGNATURE).read_bytes() == before


def test_a_version_that_was_given_the_key_of_another_result_is_not_taken_for_it(digits: Made):
    digits.register()
    other = replace(digits, plan=digits.plan.model_copy(update={"seed": 18}))
    trained = fixtures.train(other.plan, digits.data, digits.root, "other", 5)
    replace(other, trained=trained, evaluated=fixtures.evaluate(other.plan, trained, digits.root)).register()
    key = resolve("digits/1", digits.uri).tags["headframe.key"]
    _tag(digits, "key", key, version=2)
    _tag(digits, "key", "0" * 64)
    with pytest.raises(Refused, match=r"models:/digits/2 carries the key of this result, but its author signed bundle"):
        digits.register()


def _pickled(value: Any, protocol: int) -> bytes:
    return pickle.dumps(value, protocol)


class Evil:
    """Calls something when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.getenv, ("HOME",)


def _zipped(name: str, content: bytes) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr(name, content)
    return raw.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        *((f"code/mine/data{p}.bin", _pickled(Evil(), p), "is a pickle") for p in range(6)),
        *((f"data/bundle/{n}", b"x", "has the name of a pickle") for n in ("m.pkl", "m.PICKLE", "m.joblib", "m.pt")),
        ("data/bundle/m.cloudpickle", b"x", "has the name of a pickle"),
        ("data/bundle/weights.bin", _zipped("archive/data.pkl", b""), "holds archive/data.pkl, a pickle"),
        ("data/bundle/weights.zip", _zipped("data", _pickled({}, 4)), "holds data, a pickle"),
        ("data/bundle/estimator.skops", _zipped("schema.pkl", b""), "holds schema.pkl, a pickle"),
    ],
)  # fmt: skip
def test_a_pickle_is_refused_by_who_signs_and_by_who_checks(package: Path, name: str, content: bytes, words: str):
    unsigned = shutil.copytree(package, package.with_name("unsigned"))
    (unsigned / name).write_bytes(content)
    with pytest.raises(Refused, match=f"^{name} {words}, and loading a pickle runs any code that it holds"):
        sign_again(unsigned)
    # Somebody who is trusted may have signed it by other means.
    _sign_by_hand(unsigned)
    with pytest.raises(Refused, match=f"^{name} {words}"):
        read_package(unsigned, trust())


def _sign_by_hand(package: Path) -> None:
    from headframe.signing.envelope import sign_statement

    subjects = {name: file_digest(package / name) for name in _files(package) if name != SIGNATURE}
    (package / SIGNATURE).write_text(sign_statement("model", subjects, {}, own_key()))


@pytest.mark.parametrize(
    ("name", "content"),
    [("code/mine/words.txt", b"to. be or not"), ("code/mine/so.txt", b"so.\n"), ("code/mine/empty", b""),
     ("code/mine/latin.txt", b"\x80uro"), ("code/mine/half.zip", b"PK\x03\x04"), ("code/mine/n.txt", b"N.")],
)  # fmt: skip
def test_what_only_looks_a_little_like_a_pickle_is_none(package: Path, name: str, content: bytes):
    (package / name).write_bytes(content)
    sign_again(package)
    read_package(package, trust())


def test_an_estimator_in_skops_format_is_no_pickle(world: World):
    for name in ("adult", "sms_spam"):
        [file] = package_of(name, world.uri).rglob("*.skops")
        assert skops.io.get_untrusted_types(file=file) is not None
        read_package(package_of(name, world.uri), trust())


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model["flavors"]["python_function"].update(loader_module="mlflow.sklearn"),
        lambda model: model["flavors"].update(sklearn={"pickled_model": "model.bin", "serialization_format": "skops"}),
        lambda model: model.pop("flavors"),
        lambda model: model["flavors"].pop("python_function"),
    ],
)
def test_a_model_that_something_else_would_open_is_refused(package: Path, change: Callable[[Any], Any]):
    model = yaml.safe_load((package / "MLmodel").read_text())
    change(model)
    (package / "MLmodel").write_text(yaml.safe_dump(model))
    _sign_by_hand(package)
    with pytest.raises(Refused, match=r"^MLmodel (has flavours .*expected python_function by|does not say how)"):
        read_package(package, trust())


def test_a_model_registered_by_other_means_is_refused_where_models_are_opened(world: World, tmp_path: Path):
    uri = f"sqlite:///{fixtures.empty_registry(tmp_path)}"
    client = make_client(uri)
    source = shutil.copytree(package_of("digits", world.uri), tmp_path / "foreign")
    (source / SIGNATURE).unlink()
    client.create_registered_model("digits")
    client.create_model_version("digits", source=str(source))
    version = resolve("digits/1", uri)
    with pytest.raises(Refused, match=r"models:/digits/1 is refused: it is not signed \(model.dsse.json is missing\)"):
        load_model(version, uri, trust())


def test_a_team_lets_only_its_authors_register(keys: Path):
    key = create_key("anna")
    assert signing_key(TeamConfig()).name == "anna"
    author = TeamConfig(people={"ann": Person(key=key.public, roles=("author", "reader"))})
    assert signing_key(author).name == "anna"
    with pytest.raises(Refused, match=f"key 'anna' is not in conf/team/.*: {key.public}$"):
        require_signer(TeamConfig(people={"ben": Person(key="1" * 64, roles=("author",))}))
    with pytest.raises(Refused, match="ann is reader and approver in conf/team/; to register models takes role author"):
        require_signer(TeamConfig(people={"ann": Person(key=key.public, roles=("reader", "approver"))}))
    key.file.chmod(0o644)
    with pytest.raises(HeadframeError, match=f"mode 0644, so others could sign as anna; run: chmod 600 {key.file}"):
        require_signer(TeamConfig())


def test_nothing_is_registered_by_whom_the_team_does_not_list(digits: Made):
    team = TeamConfig(people={"ben": Person(key="1" * 64, roles=("author",))})
    with pytest.raises(Refused, match="a model that it signs would not be trusted"):
        replace(digits, plan=digits.plan.model_copy(update={"team": team})).register()
    assert make_client(digits.uri).search_runs(["0", "1"]) == []


def test_no_private_key_is_ever_in_the_registry(brought: Made):
    [file] = Path(os.environ["HEADFRAME_KEYS"]).glob("*.pem")
    secret = own_key().private.private_bytes_raw()
    parts = (secret, secret.hex().encode(), base64.b64encode(secret)[:40], file.read_bytes().splitlines()[1])
    looked = 0
    for path in (brought.root / ".headframe").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(part in content for part in parts), path
            looked += 1
    assert looked > 20


def test_others_verify_the_signature_with_openssl(package: Path, tmp_path: Path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl; it is not on PATH")
    envelope = read_signature(package)
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    public = bytes.fromhex(envelope["signatures"][0]["keyid"])
    # The key as RFC 8410 has it, and what is signed as DSSE has it.
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + public)
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    verify = [
        openssl, "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", str(tmp_path / "key.der"), "-rawin",
        "-in", str(tmp_path / "signed"), "-sigfile", str(tmp_path / "signature"),
    ]  # fmt: skip
    for content, code in ((payload, 0), (payload[:-1] + b" ", 1)):
        (tmp_path / "signed").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(content), content))
        done = subprocess.run(verify, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr


def test_others_verify_the_signature_with_securesystemslib(package: Path):
    found = read_signature(package)
    envelope = Envelope.from_dict(copy.deepcopy(found))  # which empties what it is given
    public = found["signatures"][0]["keyid"]
    key = SSlibKey(public, "ed25519", "ed25519", {"public": public})
    assert envelope.payload_type == "application/vnd.in-toto+json"
    assert envelope.verify([key], 1)
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([key], 1)


def test_an_alias_moved_behind_the_ledgers_back_does_not_serve_where_the_policy_says_so(digits: Made, keys: Path):
    key = create_key("anna")
    digits.register()
    fixtures.twin(digits).register()
    loose = digits.plan.promotion
    strict = PromotionConfig(**{**loose.model_dump(), "served": "ledger"})

    def opened(name: str, promotion: PromotionConfig) -> ModelVersion:
        plan = digits.plan.model_copy(update={"promotion": promotion})
        return open_served_version(name, plan, digits.uri, digits.root)[0]

    set_champion(resolve("digits/2", digits.uri), "by hand", digits.uri)
    assert opened("digits", loose).number == opened("digits/2", strict).number == 2
    for name in ("digits", "digits@champion", "models:/digits@champion"):
        with pytest.raises(
            Refused, match=r"version 2 of digits champion, but the ledger names no champion: .* verify digits"
        ):
            opened(name, strict)
    ledger = Ledger.open(strict, digits.root)
    ledger.append("digits", "promote", 1, {"digests": {"model": "0" * 64}, "message": "because"}, key, after=0)
    set_champion(resolve("digits/1", digits.uri), "by hand", digits.uri)
    with pytest.raises(Refused, match=r"entry 1 of digits .*it has no valid"):
        opened("digits", strict)  # such an entry no command writes, though a trusted key signed it
    shutil.move(keys, keys.with_name("elsewhere"))
    with pytest.raises(Refused, match=r"unknown key"):
        opened("digits", strict)


def test_mlflow_still_opens_a_signed_model(world: World, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", world.uri)
    made = world.made["sms_spam"]
    predicted = mlflow.pyfunc.load_model("models:/sms_spam/1").predict(to_frame(made.probe))
    assert predicted.equals(made.predictor.predict(made.probe).to_pandas())


def test_a_model_is_signed_alike_each_time(package: Path):
    before = (package / SIGNATURE).read_bytes()
    payload = read_package(package, trust()).payload
    sign_package(package, own_key(), payload)
    assert (package / SIGNATURE).read_bytes() == before
