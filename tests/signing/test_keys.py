"""Keys are made once, stay their owner's, and are never shown; statements hold only for whom they are trusted from."""

import base64
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from headframe.cli.main import main
from headframe.config.load import load_plan
from headframe.config.plan.promotion import ROLES, Person, TeamConfig
from headframe.config.project import Project
from headframe.doctor import Check, check_keys
from headframe.environment import keys_folder
from headframe.errors import ConfigurationError, HeadframeError, Refused
from headframe.registry.signature import signing_key
from headframe.signing.envelope import sign_statement, verify_statement
from headframe.signing.keys import SIGNER, create_key, own_key, own_keys
from headframe.signing.trust import Trust


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of keys, and no name of one to sign with."""
    monkeypatch.setenv("HEADFRAME_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv(SIGNER, raising=False)
    return tmp_path / "keys"


def test_a_key_is_its_owners_alone(keys: Path):
    before = os.umask(0)
    try:
        key = create_key("anna")
    finally:
        os.umask(before)
    assert stat.S_IMODE(key.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert len(bytes.fromhex(key.public)) == 32
    assert [path.name for path in keys.iterdir()] == ["anna.pem"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_not_used(mode: int):
    key = create_key("anna")
    key.file.chmod(mode)
    with pytest.raises(HeadframeError, match=f"has mode {mode:04o}, so others could sign as anna; run: chmod 600"):
        sign_statement("model", {"a": "0" * 64}, {}, own_key())


def test_a_key_is_never_replaced():
    key = create_key("anna")
    before = key.file.read_bytes()
    with pytest.raises(ConfigurationError, match="key 'anna' exists already"):
        create_key("anna")
    assert key.file.read_bytes() == before


def test_of_many_who_make_the_same_key_at_once_one_does(keys: Path):
    def attempt(_: int) -> bool:
        code = "from headframe.signing.keys import create_key; create_key('anna')"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(4))) == 1
    assert [path.name for path in keys.iterdir()] == ["anna.pem"]


@pytest.mark.parametrize("name", ["", "Anna", "../anna", "an na", ".anna", "ann\u00e4"])
def test_a_name_that_cannot_be_one_is_refused(name: str):
    with pytest.raises(ConfigurationError, match="cannot name a key; expected small letters"):
        create_key(name)
    assert not keys_folder().exists()


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n", b"\x00\xff"])
def test_a_file_that_is_no_key_is_refused(content: bytes):
    key = create_key("anna")
    key.file.write_bytes(content)
    with pytest.raises(HeadframeError, match=r"anna.pem is no private key in PEM .*; restore it from your copy"):
        _ = key.public


def test_a_key_of_another_kind_is_refused():
    key = create_key("anna")
    other = generate_private_key(SECP256R1())
    key.file.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(HeadframeError, match="holds a key of another kind; expected Ed25519"):
        _ = key.public


def test_which_key_signs_is_named_where_there_are_several(monkeypatch: pytest.MonkeyPatch):
    first = own_key()  # made, since there was none
    assert own_keys() == [first]
    create_key("zoe")
    with pytest.raises(ConfigurationError, match=r"holds several keys \(.*zoe\); name one with --as NAME"):
        own_key()
    assert own_key("zoe").name == "zoe"
    monkeypatch.setenv(SIGNER, first.name)
    assert own_key() == first
    with pytest.raises(ConfigurationError, match=r"there is no key 'ben' .* create it: headframe key ben"):
        own_key("ben")


def test_two_names_cannot_have_one_key():
    with pytest.raises(
        ValidationError, match=r"people.ben and people.anna have the same key; give everybody their own"
    ):
        TeamConfig(people={name: Person(key="a" * 64, roles=("author",)) for name in ("anna", "ben")})


@pytest.mark.parametrize("key", ["A" * 64, "a" * 63, "g" * 64, ""])
def test_a_public_key_is_64_small_hex_digits(key: str):
    with pytest.raises(ValidationError, match=r"people\.anna\.key"):
        TeamConfig.model_validate({"people": {"anna": {"key": key, "roles": ["author"]}}})


def test_until_is_a_time_with_its_zone():
    person = {"key": "a" * 64, "roles": ["author"]}
    assert Person.model_validate(person).until is None
    known = Person.model_validate({**person, "until": "2026-11-17T10:30:00+01:00"}).until
    assert known == datetime(2026, 11, 17, 9, 30, tzinfo=UTC)
    for until in ("2026-11-17T09:30:00", "last week"):
        with pytest.raises(ValidationError, match="until"):
            Person.model_validate({**person, "until": until})


def test_who_left_signed_what_is_dated_before_and_signs_nothing_new():
    anna, ben = create_key("anna"), create_key("ben")
    until = datetime(2026, 11, 17, 9, 30, tzinfo=UTC)
    trust = Trust.of(TeamConfig(people={"anna": Person(key=anna.public, roles=("author",), until=until)}))
    for payload in ({"time": "2026-11-17T09:29:59Z"}, {"of": "a model, which bears no time"}):
        assert (
            verify_statement(
                sign_statement("approve", {"model": "0" * 64}, payload, anna), "approve", trust
            ).signer.until
            == until
        )
    for time, words in (
        (
            "2026-11-17T09:30:00Z",
            "it is of 2026-11-17T09:30:00Z, but anna's key counts in conf/team/ only until 2026-11",
        ),
        ("2026-11-17T09:00:00", "it is dated '2026-11-17T09:00:00' by anna, which is no time as"),
        (7, "it is dated 7 by anna, which is no time as"),
    ):
        with pytest.raises(Refused, match=words):
            verify_statement(sign_statement("approve", {"model": "0" * 64}, {"time": time}, anna), "approve", trust)
    with pytest.raises(
        Refused, match=r"anna's key counts in conf/team/ only until 2026-11-17T09:30:00Z, so it signs no"
    ):
        trust.signer_of(anna)
    with pytest.raises(Refused, match=r"key 'ben' \([0-9a-f]{64}\) is not in conf/team/"):
        trust.signer_of(ben)
    later = TeamConfig(
        people={"anna": Person(key=anna.public, roles=("author",), until=datetime(2100, 1, 1, tzinfo=UTC))}
    )
    assert Trust.of(later).signer_of(anna).name == "anna"
    assert signing_key(later, "anna") == anna
    with pytest.raises(Refused, match="so it registers nothing new"):
        signing_key(TeamConfig(people={"anna": Person(key=anna.public, roles=("author",), until=until)}), "anna")


def test_a_digest_that_is_no_text_is_refused():
    key = create_key("anna")
    envelope = json.loads(sign_statement("approve", {"model": "0" * 64}, {}, key))
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["subject"][0]["digest"]["sha256"] = 7
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    with pytest.raises(Refused, match="a digest of its subjects is no text"):
        verify_statement(json.dumps(envelope), "approve", Trust.of(TeamConfig()))


def test_alone_the_keys_on_this_machine_count_and_in_a_team_only_those_listed():
    anna, ben = create_key("anna"), create_key("ben")
    alone = Trust.of(TeamConfig())
    assert {(each.name, each.roles) for each in alone.signers.values()} == {("anna", ROLES), ("ben", ROLES)}
    team = Trust.of(TeamConfig(people={"b": Person(key=ben.public, roles=("approver",))}))
    assert [each.name for each in team.signers.values()] == ["b"]
    envelope = sign_statement("approve", {"model": "0" * 64}, {"reason": "good"}, anna)
    assert verify_statement(envelope, "approve", alone).signer.name == "anna"
    with pytest.raises(Refused, match=r"signed by an unknown key .*list the key in conf/team/"):
        verify_statement(envelope, "approve", team)


def _changed(text: str, where: str) -> str:
    envelope = json.loads(text)
    if where == "sig":
        envelope["signatures"][0]["sig"] = "A" * 86 + "=="
    elif where == "payload":
        envelope["payload"] = envelope["payload"][:40] + "AAAA" + envelope["payload"][44:]
    elif where == "payloadType":
        envelope["payloadType"] = "text/plain"
    return json.dumps(envelope)


@pytest.mark.parametrize("where", ["sig", "payload", "payloadType"])
def test_a_changed_statement_does_not_hold(where: str):
    envelope = sign_statement("approve", {"model": "0" * 64}, {"reason": "good"}, create_key("anna"))
    with pytest.raises(Refused, match=r"it (was changed after anna signed it|cannot be read as a signed statement)"):
        verify_statement(_changed(envelope, where), "approve", Trust.of(TeamConfig()))


def test_every_single_bit_of_an_envelope_is_covered():
    envelope = sign_statement("approve", {"model": "0" * 64}, {"reason": "good"}, create_key("anna"))
    trust = Trust.of(TeamConfig())
    original = verify_statement(envelope, "approve", trust)
    for place in range(len(envelope)):
        raw = bytearray(envelope.encode())
        raw[place] ^= 1
        try:
            opened = verify_statement(raw.decode(errors="replace"), "approve", trust)
        except Refused:
            continue
        assert opened == original, place  # only what is not signed: spare bits of base64


def test_a_statement_of_one_kind_does_not_count_as_another():
    envelope = sign_statement("reject", {"model": "0" * 64}, {}, create_key("anna"))
    with pytest.raises(Refused, match="a statement of one kind does not count as another"):
        verify_statement(envelope, "approve", Trust.of(TeamConfig()))


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_command_makes_lists_and_never_shows_a_private_key(capsys: pytest.CaptureFixture[str]):
    assert _run(capsys, "key")[1] == "there is no key yet; create one with: headframe key NAME\n"
    code, out, err = _run(capsys, "key", "anna")
    key = own_key("anna")
    _, _, lines = out.partition("approver):\n")
    [(name, person)] = TeamConfig.model_validate(yaml.safe_load(lines)).people.items()
    assert (code, name, person.key, person.roles) == (0, "anna", key.public, ("author",))
    code, more, _ = _run(capsys, "key", "ben", "--json")
    assert json.loads(more) == {
        "name": "ben", "public": own_key("ben").public, "file": str(own_key("ben").file),
        "team": f"people:\n  ben:\n    key: {own_key('ben').public}\n    roles: [author]\n",
    }  # fmt: skip
    code, listed, _ = _run(capsys, "key", "--json")
    assert [each["name"] for each in json.loads(listed)] == ["anna", "ben"]
    assert _run(capsys, "key")[1].splitlines()[0].split() == ["anna", key.public, str(key.file)]
    secret = key.private.private_bytes_raw().hex()
    body = key.file.read_text().splitlines()[1]
    assert not any(part in text for part in (secret, body) for text in (out, err, more, listed))
    assert _run(capsys, "key", "anna")[0] == 2


def test_a_new_project_comes_with_a_first_key_and_leaves_one_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    code, _, err = _run(capsys, "init", str(tmp_path / "one"))
    [key] = own_keys()
    assert code == 0
    assert f"key       {key.name} created to sign with; its public key is {key.public}" in err
    code, out, err = _run(capsys, "init", str(tmp_path / "two"), "--json")
    assert json.loads(out)["keys"] == {key.name: key.public}
    assert "created to sign with" not in err
    assert own_keys() == [key]


def _team(root: Path, people: dict[str, dict[str, object]]) -> Check:
    (root / "conf" / "team").mkdir(parents=True, exist_ok=True)
    (root / "conf" / "team" / "ours.yaml").write_text(yaml.safe_dump({"people": people}))
    plan = root / "conf" / "plan.yaml"
    plan.write_text(plan.read_text().replace("team: alone", "team: ours"))
    return check_keys(root, {})


def test_the_doctor_looks_after_keys(project: Project, keys: Path):
    check = check_keys(project.root, {})
    assert check.state == "ok"
    assert check.found == f"there is none in {keys} yet; the first registration creates it"
    key = create_key("anna")
    assert check_keys(project.root, {}).found == f"anna, in {keys}"
    key.file.chmod(0o644)
    check = check_keys(project.root, {})
    assert (check.state, check.fix) == ("fail", f"chmod 600 {key.file}")
    key.file.chmod(0o600)
    other = create_key("ben")
    check = check_keys(project.root, {})
    assert (check.state, "which one signs is not set" in check.found, SIGNER in check.fix) == ("warn", True, True)
    assert check_keys(project.root, {SIGNER: "ben"}).state == "ok"
    assert check_keys(project.root, {SIGNER: "zoe"}).state == "fail"
    other.file.unlink()
    listed = _team(project.root, {"ann": {"key": key.public, "roles": ["author", "reader"]}})
    assert (listed.state, listed.found) == ("ok", f"anna listed as ann (author, reader), in {keys}")
    stranger = _team(project.root, {"zoe": {"key": "0" * 64, "roles": ["author"]}})
    assert stranger.state == "warn"
    assert "none is listed in conf/team/, so what you sign is not trusted" in stranger.found
    broken = _team(project.root, {"zoe": {"key": "0", "roles": ["author"]}})
    assert (broken.state, "is not known" in broken.found) == ("warn", True)


def test_a_team_is_part_of_the_plan(project: Project):
    key = create_key("anna")
    _team(project.root, {"ann": {"key": key.public, "roles": ["author"]}})
    assert load_plan([], project).team.people["ann"].key == key.public
    assert load_plan([], project).version == load_plan(["team=alone"], project).version


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, '{"payload": ' + "[" * 100_000 + "]" * 100_000 + "}"])
def test_a_statement_that_is_nested_without_end_is_refused_in_a_sentence(text: str):
    with pytest.raises(Refused, match="it cannot be read as a signed statement"):
        verify_statement(text, "approve", Trust.of(TeamConfig()))
