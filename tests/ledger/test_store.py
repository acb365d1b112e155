"""The ledger keeps what was signed, in its order, and names what was tampered with."""

import base64
import hashlib
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from fixtures import in_child
from postgres import fresh_database

from headframe.config.plan.promotion import Person, PromotionConfig, TeamConfig
from headframe.digests import canonical
from headframe.errors import ConfigurationError, HeadframeError, Refused, Unavailable
from headframe.ledger import database, store
from headframe.ledger.database import ENTRIES
from headframe.ledger.entries import GENESIS, Entry, format_time, parse_time, utc_now
from headframe.ledger.store import ConcurrentAppend, Ledger
from headframe.signing.envelope import sign_statement
from headframe.signing.keys import SigningKey, create_key
from headframe.signing.trust import Trust

ABOUT = {"bundle": "b" * 64}


def policy(ledger: str | None = None) -> PromotionConfig:
    return PromotionConfig(model="digits", policy="solo", gates={}, ledger=ledger)


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SigningKey:
    monkeypatch.setenv("HEADFRAME_KEYS", str(tmp_path / "keys"))
    return create_key("anna")


@pytest.fixture
def trust(key: SigningKey) -> Trust:
    return Trust.of(TeamConfig())


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both kinds of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server = request.getfixturevalue("postgres_server")
    return fresh_database(server, f"ledger-{os.urandom(4).hex()}")


def filled(ledger: Ledger, key: SigningKey, count: int = 4) -> list[Entry]:
    """Some entries, of several kinds."""
    kinds = ("gate", "approve", "promote", "rollback")
    return [
        ledger.append("digits", kinds[n % 4], n + 1, {"reason": f"reason {n}", "digests": ABOUT}, key, after=n)
        for n in range(count)
    ]


def database_of(ledger: Ledger) -> Path:
    return Path(str(sa.make_url(ledger.database.address).database))


def tamper(ledger: Ledger, statement: str, *values: object) -> None:
    """Write to an SQLite file as somebody would who has it: without the triggers."""
    with sqlite3.connect(database_of(ledger)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement, values)
    connection.close()


def test_entries_come_back_as_they_were_written(address: str, tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(address), tmp_path)
    assert ledger.entries("digits", trust) == ()
    written = filled(ledger, key)
    ledger.append("adult", "reject", 1, {"digests": ABOUT}, key, after=0)
    assert Ledger.open(policy(address), tmp_path).entries("digits", trust) == tuple(written)
    assert [entry.number for entry in written] == [1, 2, 3, 4]
    assert [entry.previous for entry in written] == [GENESIS, *(entry.digest for entry in written[:-1])]
    assert written[2].payload == {"reason": "reason 2", "digests": ABOUT}
    assert (written[2].signer, written[2].key) == ("anna", key.public)
    assert ledger.models() == ["adult", "digits"]
    assert written[2].label == "entry 3 of digits (promote of version 3)"


def test_only_one_process_gets_a_number(address: str, tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(address), tmp_path)
    filled(ledger, key, 2)
    with pytest.raises(ConcurrentAppend, match="entry 2 of digits was written by another process"):
        ledger.append("digits", "promote", 9, {"digests": ABOUT}, key, after=1)
    with pytest.raises(Refused, match="entry 7 of digits is gone"):
        ledger.append("digits", "promote", 9, {"digests": ABOUT}, key, after=7)
    assert len(ledger.entries("digits", trust)) == 2


def test_who_comes_while_another_writes_waits_and_is_refused_as_overtaken(tmp_path: Path, key: SigningKey):
    """It does not read first: SQLite would find that two wait for each other, and refuse with a locked database."""
    ledger, elsewhere = (Ledger.open(policy(f"sqlite:///{tmp_path / name}"), tmp_path) for name in ("a.db", "b.db"))
    filled(elsewhere, key, 1)
    with elsewhere.database.connect(writing=False) as connection:
        row = dict(connection.execute(sa.select(ENTRIES)).mappings().one())
    failures: list[BaseException] = []

    def append() -> None:
        try:
            ledger.append("digits", "gate", 1, {"digests": ABOUT}, key, after=0)
        except HeadframeError as error:
            failures.append(error)

    other = threading.Thread(target=append)
    with ledger.database.connect(writing=True) as connection:
        other.start()
        time.sleep(0.2)
        connection.execute(sa.insert(ENTRIES).values(row))
        assert other.is_alive()
    other.join()
    assert [type(each) for each in failures] == [ConcurrentAppend]


def test_who_reads_does_not_wait_for_who_writes(
    tmp_path: Path, key: SigningKey, trust: Trust, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database, "SQLITE_TIMEOUT", 0.1)
    ledger = Ledger.open(policy(f"sqlite:///{tmp_path / 'deep' / 'er' / 'ledger.db'}"), tmp_path)
    filled(ledger, key, 2)
    with ledger.database.connect(writing=True):
        assert Ledger.open(policy(ledger.database.address), tmp_path) == ledger
        assert ledger.models() == ["digits"]
        assert len(ledger.entries("digits", trust)) == 2
        assert ledger.time(()) <= utc_now()
        assert ledger.projected_number("digits") == 0
        assert ledger.is_pending("digits")
        assert ledger.foreign_entries("digits") == []
        assert ledger.foreign_entries("others") == [], "what digits holds was signed for digits"
        began = time.monotonic()
        with pytest.raises(
            HeadframeError, match=r"cannot be used \(database is locked\); check that you may"
        ) as raised:
            ledger.append("digits", "gate", 3, {"digests": ABOUT}, key, after=2)
        assert type(raised.value) is HeadframeError
        assert time.monotonic() - began < 3, "it waits no longer than its timeout"


def test_no_connection_stays_open(tmp_path: Path, key: SigningKey, trust: Trust):
    """A forked process would share it, and SQLite's locks do not survive that."""
    ledger = Ledger.open(policy(), tmp_path)
    filled(ledger, key, 2)
    assert ledger.entries("digits", trust)
    open_files = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert not [name for name in open_files if str(tmp_path) in name]


def test_an_error_without_a_text_is_said_to_have_none(tmp_path: Path):
    ledger = Ledger.open(policy(), tmp_path)
    for text, reason in ((" ", "no reason given"), ("first\nsecond", "first")):
        error = sa.exc.OperationalError("SELECT", None, Exception(text))
        with (
            pytest.raises(HeadframeError, match=f"cannot be used [(]{reason}[)]"),
            ledger.database.connect(writing=False),
        ):
            raise error


@pytest.mark.parametrize(("seconds", "noted"), [(0, False), (300, False), (301, True), (-300, False), (-301, True)])
def test_a_clock_may_be_off_by_five_minutes(seconds: int, noted: bool, monkeypatch: pytest.MonkeyPatch):
    now = utc_now()
    assert now.microsecond == 0
    monkeypatch.setattr(store, "utc_now", lambda: now + timedelta(seconds=seconds))
    assert store._clock(format_time(now)) == ({"clock": format_time(now + timedelta(seconds=seconds))} if noted else {})


def test_the_time_of_a_ledger_is_never_before_its_last_entry(tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(), tmp_path)
    entries = filled(ledger, key, 3)
    later = utc_now() + timedelta(hours=1)
    last = entries[-1].model_copy(update={"time": format_time(later)})
    assert ledger.time([*entries[:-1], last]) == later
    assert ledger.time([last, last, *entries]) < later, "the last one counts"


def test_digests_are_subjects_and_no_part_of_the_predicate(tmp_path: Path, key: SigningKey):
    ledger = Ledger.open(policy(), tmp_path)
    filled(ledger, key, 1)
    predicate = json.loads(base64.b64decode(str(envelope_of(ledger, 1)["payload"])))["predicate"]
    assert set(predicate) >= {"reason", "model", "number", "version", "time", "previous"}
    assert "digests" not in predicate


def test_the_database_itself_refuses_to_forget(address: str, tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(address), tmp_path)
    written = filled(ledger, key)
    statements = ["UPDATE entries SET version = 9", "DELETE FROM entries WHERE number = 4"]
    if address.startswith("sqlite"):
        row = "SELECT model, number, kind, 9, signer, time, previous, digest, envelope FROM entries"
        statements.append(f"INSERT OR REPLACE INTO entries {row}")
    else:
        statements.append("TRUNCATE entries")
    for statement in statements:
        with (
            pytest.raises(HeadframeError, match="the ledger is append-only"),
            ledger.database.connect(writing=True) as open_,
        ):
            open_.exec_driver_sql(statement)
    assert ledger.entries("digits", trust) == tuple(written)


def test_processes_that_open_a_fresh_ledger_at_once_make_it_once(address: str, tmp_path: Path, key: SigningKey):
    warm = Ledger.open(policy(f"sqlite:///{tmp_path / 'warm.db'}"), tmp_path)  # all is imported before the start
    assert warm.models() == []
    start = time.monotonic() + 0.5
    children = []
    for _ in range(16):
        child = os.fork()
        if child == 0:
            try:
                while time.monotonic() < start:
                    pass
                Ledger.open(policy(address), tmp_path)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 16
    filled(Ledger.open(policy(address), tmp_path), key)


def other(value: object) -> object:
    """The value with one byte flipped."""
    if isinstance(value, int):
        return value ^ 64
    raw = bytearray(str(value).encode())
    raw[len(raw) // 2] ^= 1
    return raw.decode()


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize(
    "column", ["model", "number", "kind", "version", "signer", "time", "previous", "digest", "envelope"]
)
def test_one_flipped_byte_is_named(column: str, number: int, tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(), tmp_path)
    written = filled(ledger, key)
    value = sqlite3.connect(database_of(ledger)).execute(
        f"SELECT {column} FROM entries WHERE number = ?", (number,)
    )  # fmt: skip
    before = value.fetchone()[0]
    value.connection.close()
    tamper(ledger, f"UPDATE entries SET {column} = ? WHERE number = ?", other(before), number)
    if column == "model":  # the row is gone from this model's chain, and found under the other name
        label = written[number - 1].label.replace("digits", str(other("digits")))
        assert ledger.foreign_entries("digits") == [
            f"{label}: it was signed as an entry of digits; restore the ledger from a copy"
        ]
        if number == 4:
            assert len(ledger.entries("digits", trust)) == 3
            return
    with pytest.raises(Refused) as refused:
        ledger.entries("digits", trust)
    pattern = str(refused.value)
    if column in ("model", "number"):
        assert pattern.startswith(f"entry {number} of digits is missing, entry ")
    else:
        assert pattern.startswith(f"entry {number} of digits (")
    assert "\n" not in pattern
    assert ("there is no such kind of entry" in pattern) == (column == "kind")


def test_bytes_that_are_no_text_are_named(tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(), tmp_path)
    filled(ledger, key)
    tamper(ledger, "UPDATE entries SET envelope = CAST(X'80' || substr(envelope, 2) AS TEXT) WHERE number = 3")
    with pytest.raises(Refused, match=r"entry 3 of digits \(promote of version 3\): its digest is not that"):
        ledger.entries("digits", trust)


def forge(ledger: Ledger, key: SigningKey, number: int, kind: str = "promote", **changes: object) -> None:
    """Put a properly signed entry where its signer wants it."""
    with sqlite3.connect(database_of(ledger)) as connection:
        old = connection.execute("SELECT previous, time FROM entries WHERE number = ?", (number,)).fetchone()
    connection.close()
    row = {"model": "digits", "number": number, "version": number, "previous": old[0], "time": old[1], **changes}
    envelope = sign_statement(kind, ABOUT, row, key)
    columns = {**row, "kind": kind, "signer": key.public, "envelope": envelope}
    columns["digest"] = hashlib.sha256(envelope.encode()).hexdigest()
    names = ", ".join(f"{name} = ?" for name in columns)
    tamper(ledger, f"UPDATE entries SET {names} WHERE number = {number}", *columns.values())


def test_an_entry_that_was_replaced_by_another_signed_one_breaks_the_next(
    tmp_path: Path, key: SigningKey, trust: Trust
):
    ledger = Ledger.open(policy(), tmp_path)
    filled(ledger, key)
    forge(ledger, key, 2)
    with pytest.raises(Refused, match=r"entry 3 of digits .*: it does not follow the entry before it"):
        ledger.entries("digits", trust)


def test_a_column_that_says_otherwise_than_what_was_signed_is_named(tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(), tmp_path)
    filled(ledger, key)
    tamper(ledger, "UPDATE entries SET version = 7 WHERE number = 4")
    with pytest.raises(Refused, match=r"entry 4 of digits .*: its column version is 7, but 4 was signed"):
        ledger.entries("digits", trust)
    tamper(ledger, "UPDATE entries SET version = 4, kind = 'promote' WHERE number = 4")
    with pytest.raises(Refused, match=r"entry 4 .*: it states .*/rollback/v1, not .*/promote/v1"):
        ledger.entries("digits", trust)


def test_unknown_keys_and_people_who_left_the_list_are_named(tmp_path: Path, key: SigningKey):
    ledger = Ledger.open(policy(), tmp_path)
    filled(ledger, key)
    stranger = Trust.of(TeamConfig(people={"bert": Person(key="1" * 64, roles=("approver",))}))
    with pytest.raises(Refused, match=r"entry 1 of digits .*: it is signed by an unknown key .*conf/team/"):
        ledger.entries("digits", stranger)
    anna = Trust.of(TeamConfig(people={"anna": Person(key=key.public, roles=("reader",))}))
    assert len(ledger.entries("digits", anna)) == 4


def test_time_never_runs_backwards(tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(), tmp_path)
    filled(ledger, key, 1)
    soon = format_time(utc_now() + timedelta(minutes=3))
    forge(ledger, key, 1, time=soon)
    assert ledger.append("digits", "gate", 2, {"digests": ABOUT}, key, after=1).time == soon
    forge(ledger, key, 2, time=format_time(parse_time(soon) - timedelta(seconds=1)), version=2)
    with pytest.raises(Refused, match=r"entry 2 of digits .*: it does not follow|before the entry before it"):
        ledger.entries("digits", trust)


def test_a_clock_that_was_a_year_ahead_does_not_stop_the_ledger(
    tmp_path: Path, key: SigningKey, trust: Trust, caplog: pytest.LogCaptureFixture
):
    ledger = Ledger.open(policy(), tmp_path)
    filled(ledger, key, 1)
    year = format_time(utc_now() + timedelta(days=365))
    forge(ledger, key, 1, time=year)
    with caplog.at_level(logging.WARNING, "headframe"):
        entry = ledger.append("digits", "gate", 2, {"digests": ABOUT}, key, after=1)
    assert entry.time == year
    assert abs(parse_time(entry.payload["clock"]) - utc_now()) < timedelta(minutes=1)
    assert f"this machine's clock says {entry.payload['clock']}, the ledger's {year}; set the one that is wrong" in (
        caplog.text
    )
    entries = ledger.entries("digits", trust)
    assert [each.time for each in entries] == [year, year]
    assert format_time(ledger.time(entries)) == year, "approvals expire by the ledger's clock"
    assert abs(ledger.time(()) - utc_now()) < timedelta(minutes=1)


def test_a_clock_that_agrees_is_not_noted(address: str, tmp_path: Path, key: SigningKey):
    [entry] = filled(Ledger.open(policy(address), tmp_path), key, 1)
    assert "clock" not in entry.payload


@pytest.mark.parametrize("time", ["yesterday", "2026-11-17", "9999-12-31T23:59:59Z", "2026-11-17T09:30:00+00:00"])
def test_what_is_no_time_is_named(time: str, tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(), tmp_path)
    filled(ledger, key, 2)
    forge(ledger, key, 2, time=time)
    with pytest.raises(
        Refused, match=r"entry 2 of digits .*: its time is '.*', which is no time as in 2026-11-17T09:30"
    ):
        ledger.entries("digits", trust)


@pytest.mark.parametrize(
    ("column", "value"), [("version", "two"), ("time", b"\x80"), ("envelope", b"{}"), ("kind", b"x")]
)
def test_columns_of_another_kind_are_named(column: str, value: object, tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(), tmp_path)
    filled(ledger, key, 2)
    tamper(ledger, f"UPDATE entries SET {column} = ? WHERE number = 2", value)
    with pytest.raises(Refused, match=rf"entry 2 of digits .*: its column {column} holds .*; restore the ledger"):
        ledger.entries("digits", trust)


def test_a_killed_append_leaves_an_entry_or_none(address: str, tmp_path: Path, key: SigningKey, trust: Trust):
    ledger = Ledger.open(policy(address), tmp_path)
    filled(ledger, key, 1)

    def killed(event: str) -> None:
        sa.event.listen(sa.engine.Engine, event, lambda *_: os._exit(9))
        ledger.append("digits", "gate", 2, {"digests": ABOUT}, key, after=1)

    assert in_child(lambda: killed("commit")) == 9
    assert in_child(lambda: killed("after_cursor_execute")) == 9
    assert len(ledger.entries("digits", trust)) == 1
    ledger.append("digits", "gate", 2, {"digests": ABOUT}, key, after=1)
    assert len(ledger.entries("digits", trust)) == 2


def envelope_of(ledger: Ledger, number: int) -> dict[str, object]:
    with sqlite3.connect(database_of(ledger)) as connection:
        [text] = connection.execute("SELECT envelope FROM entries WHERE number = ?", (number,)).fetchone()
    connection.close()
    found: dict[str, object] = json.loads(text)
    assert canonical(found) == text
    return found


def test_an_envelope_is_accepted_by_others(tmp_path: Path, key: SigningKey):
    """By the formula of DSSE and OpenSSL, and by the library of the DSSE authors; none of our own code judges."""
    ledger = Ledger.open(policy(), tmp_path)
    written = filled(ledger, key)
    envelope = envelope_of(ledger, 3)
    payload, kind = base64.b64decode(str(envelope["payload"])), str(envelope["payloadType"])
    assert kind == "application/vnd.in-toto+json"
    pae = b" ".join([b"DSSEv1", str(len(kind.encode())).encode(), kind.encode(), str(len(payload)).encode(), payload])
    [signature] = envelope["signatures"]  # type: ignore[misc]
    raw = base64.b64decode(signature["sig"])
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = key.private.public_key()
    public.verify(raw, pae)
    openssl = shutil.which("openssl")
    assert openssl is not None
    (tmp_path / "key.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "pae").write_bytes(pae)
    (tmp_path / "changed").write_bytes(pae[:-1] + b"!")
    (tmp_path / "signature").write_bytes(raw)
    command = [openssl, "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-sigfile", "signature", "-in"]
    assert subprocess.run([*command, "pae"], cwd=tmp_path, capture_output=True).returncode == 0
    assert subprocess.run([*command, "changed"], cwd=tmp_path, capture_output=True).returncode == 1
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    keyid = signature["keyid"]  # which reading takes out
    known = SSlibKey.from_crypto(public, keyid=keyid)
    assert list(Envelope.from_dict(envelope).verify([known], threshold=1)) == [keyid]
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "bundle", "digest": {"sha256": "b" * 64}}]
    assert statement["predicate"]["previous"] == written[1].digest


@pytest.mark.parametrize(
    ("address", "pattern"),
    [
        ("mysql://anna:secret@there/ledger", "is 'mysql://anna:\\*\\*\\*@there/ledger'; expected sqlite"),
        ("postgresql+asyncpg://there/ledger", "expected sqlite"),
        ("sqlite://", "expected sqlite"),
        ("sqlite:///:memory:", "expected sqlite"),
        ("nonsense", "is no address; expected sqlite"),
    ],
)
def test_other_addresses_are_refused_without_revealing_passwords(
    address: str, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HEADFRAME_LEDGER", address)
    with pytest.raises(ConfigurationError, match=pattern) as refused:
        Ledger.open(policy(), tmp_path)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["postgresql://anna:secret@there/ledger", "postgresql://there/ledger?user=anna&password=secret"]
)
def test_a_password_in_a_policy_is_refused(address: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"holds a password, .* into HEADFRAME_LEDGER") as refused:
        Ledger.open(policy(address), tmp_path)
    assert "secret" not in str(refused.value)
    with pytest.raises(Unavailable, match=r"anna@127\.0\.0\.1:1"):
        Ledger.open(policy("postgresql://anna@127.0.0.1:1/ledger"), tmp_path)


def test_the_ledger_is_named_by_plan_environment_or_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert Ledger.open(policy(), tmp_path).database.address == f"sqlite:///{tmp_path}/.headframe/ledger.db"
    monkeypatch.setenv("HEADFRAME_LEDGER", "sqlite:///theirs.db")
    assert Ledger.open(policy(), tmp_path).database.address == f"sqlite:///{tmp_path}/theirs.db"
    assert Ledger.open(policy("sqlite:///ours.db"), tmp_path).database.address == f"sqlite:///{tmp_path}/ours.db"
    monkeypatch.setenv("HEADFRAME_LEDGER", "postgresql://anna:secret@127.0.0.1:1/ledger")
    with pytest.raises(
        Unavailable, match=r"psycopg://anna:\*\*\*@127\.0\.0\.1:1/ledger cannot .*; check that the server runs"
    ):
        Ledger.open(policy(), tmp_path)
    for given in ("postgresql", "postgresql+psycopg"):
        address = database.resolve_address(f"{given}://anna:secret@there/ledger", tmp_path)
        assert address == "postgresql+psycopg://anna:secret@there/ledger", "else it could not be connected to"


def test_a_file_that_is_no_database_is_reported(tmp_path: Path):
    (tmp_path / "ledger.db").write_bytes(b"only a few words of text, no database" * 100)
    with pytest.raises(HeadframeError, match=r"ledger\.db cannot be used .*restore a copy"):
        Ledger.open(policy(f"sqlite:///{tmp_path / 'ledger.db'}"), tmp_path)


def test_a_team_has_one_clock(postgres_server: str, tmp_path: Path, key: SigningKey):
    """Entries are dated by PostgreSQL, whatever this machine's clock says."""
    address = fresh_database(postgres_server, "clock")
    ledger = Ledger.open(policy(address), tmp_path)
    with psycopg.connect(address) as connection:
        [before] = connection.execute("SELECT date_trunc('second', clock_timestamp())").fetchone() or [None]
        entry = ledger.append("digits", "gate", 1, {"digests": ABOUT}, key, after=0)
        [after] = connection.execute("SELECT clock_timestamp()").fetchone() or [None]
    assert before <= parse_time(entry.time) <= after
    assert ledger.time(()).microsecond == 0
