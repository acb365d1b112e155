"""What a chain of entries must hold, and what its head in MLflow tells of it, on entries made by hand."""

from typing import Any

import pytest

from headframe.errors import Refused
from headframe.ledger.champion_alias import LedgerHead, ledger_mismatch
from headframe.ledger.entries import Entry, Kind, champion_entry, entry_label, format_time, is_time, parse_time
from headframe.ledger.rules import require_valid_payloads

DIGESTS = {"bundle": "b", "report": "r", "signature": "s"}
RESULT = {"gate": "minimum", "verdict": "reached", "reason": "0.9"}
WHOLE: dict[Kind, dict[str, Any]] = {
    "gate": {
        "passed": True, "reason": "0.9", "results": [RESULT], "champion": None, "commit": "", "tested": None,
        "error_control": {"_target_": "headframe.gates.error_control.addis.Addis"},
    },
    "approve": {"approval": "signed"},
    "reject": {"reason": "no"},
    "promote": {
        "from": None, "reason": "why", "gate_reason": "0.9", "message": "champion", "policy": "solo", "gate_entry": 1,
        "approvals": ["signed"], "commit": "",
    },
    "rollback": {"from": 2, "reason": "why", "message": "again", "promote_entry": 2, "commit": ""},
    "reproduce": {"verdict": "equal"},
}  # fmt: skip
"""What an entry of each kind holds; the first two entries of a chain are gates and a promotion."""


def entry(kind: Kind, number: int, version: int = 1, digests: dict[str, str] = DIGESTS, **changes: Any) -> Entry:
    return Entry(
        model="digits", number=number, kind=kind, version=version, signer="anna", key="k",
        time="2026-03-01T12:00:00Z", previous="p", digest=f"{number:064x}",
        payload={**WHOLE[kind], "digests": digests, **changes},
    )  # fmt: skip


CHAIN = [entry("gate", 1), entry("promote", 2)]


def problem(*entries: Entry) -> str:
    with pytest.raises(Refused) as refused:
        require_valid_payloads(entries)
    return str(refused.value)


@pytest.mark.parametrize("kind", WHOLE)
def test_an_entry_that_holds_everything_is_accepted(kind: Kind) -> None:
    require_valid_payloads([*CHAIN, entry(kind, 3)])
    require_valid_payloads([])


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, holds in WHOLE.items() for name in holds])
def test_everything_that_an_entry_holds_is_needed_and_of_its_type(kind: Kind, name: str) -> None:
    whole = entry(kind, 3)
    lacking = whole.model_copy(update={"payload": {key: each for key, each in whole.payload.items() if key != name}})
    prefix = f"entry 3 of digits ({kind} of version 1): "
    assert problem(*CHAIN, lacking).startswith(f"{prefix}it has no valid {name}, so it was not written by headframe")
    wrong = problem(*CHAIN, entry(kind, 3, **{name: {"an": "object"}}))
    expected = "it refers to entry {'an': 'object'}" if name.endswith("_entry") else f"it has no valid {name},"
    assert wrong.startswith(prefix + expected)


@pytest.mark.parametrize("kind", ["gate", "promote", "rollback"])
@pytest.mark.parametrize("lost", DIGESTS)
def test_what_was_judged_is_named_by_three_digests(kind: Kind, lost: str) -> None:
    few = {name: value for name, value in DIGESTS.items() if name != lost}
    assert f"it has no valid digests.{lost}, so" in problem(*CHAIN, entry(kind, 3, digests=few))


@pytest.mark.parametrize("kind", ["approve", "reject", "reproduce"])
def test_other_entries_name_the_model_only(kind: Kind) -> None:
    require_valid_payloads([*CHAIN, entry(kind, 3, digests={"bundle": "b"})])


@pytest.mark.parametrize("result", ["reached", {}, {**RESULT, "verdict": None}, {**RESULT, "reason": 1}, None])
def test_every_result_of_a_gate_has_its_three_texts(result: object) -> None:
    assert "it has no valid results, so" in problem(entry("gate", 1, results=[RESULT, result]))


SPENT = {"p": 0.2, "level": 0.01, "candidates": 1}


@pytest.mark.parametrize(
    "tested",
    [{}, {**SPENT, "p": "0.2"}, {**SPENT, "p": True}, {**SPENT, "level": -0.1}, {**SPENT, "p": float("nan")},
     {**SPENT, "candidates": 0}, {**SPENT, "candidates": 1.5}],
)  # fmt: skip
def test_what_a_test_has_spent_is_three_numbers(tested: dict[str, Any]) -> None:
    require_valid_payloads([*CHAIN, entry("gate", 3, 2, champion=1, tested=SPENT)])
    assert "it has no valid tested, so" in problem(*CHAIN, entry("gate", 3, 2, champion=1, tested=tested))
    assert "it has no valid tested, so" in problem(*CHAIN, entry("gate", 3, 2, champion=None, tested=SPENT))


def test_approvals_are_texts() -> None:
    assert "it has no valid approvals, so" in problem(*CHAIN, entry("promote", 3, approvals=["signed", 1]))
    require_valid_payloads([*CHAIN, entry("promote", 3, approvals=[])])


@pytest.mark.parametrize(
    ("kind", "number"),
    [("promote", 2), ("promote", 3), ("promote", 4), ("promote", 0), ("promote", -2), ("promote", "1"),
     ("rollback", 1), ("rollback", 3), ("rollback", -1), ("rollback", 9), ("rollback", None)],
)  # fmt: skip
def test_an_entry_refers_to_an_earlier_one_of_the_right_kind(kind: Kind, number: object) -> None:
    name, refers = {"promote": ("gate_entry", "gate"), "rollback": ("promote_entry", "promote")}[kind]
    assert problem(*CHAIN, entry(kind, 3, **{name: number})).endswith(
        f"it refers to entry {number}, which is no {refers} of this version, so it was not written by headframe; "
        "restore the ledger from a copy"
    )


def test_an_entry_refers_to_one_of_its_own_version() -> None:
    assert "which is no gate of this version" in problem(*CHAIN, entry("promote", 3, version=2))
    assert "which is no promote of this version" in problem(*CHAIN, entry("rollback", 3, version=2))
    require_valid_payloads([*CHAIN, entry("gate", 3, 2), entry("promote", 4, 2, gate_entry=3), entry("rollback", 5)])


def head(number: int, digest: str | None = None, ledger: str | None = None) -> LedgerHead:
    return LedgerHead(ledger or f"{1:064x}", number, digest or f"{number:064x}")


THREE = [*CHAIN, entry("gate", 3, 2)]


@pytest.mark.parametrize(
    ("entries", "found", "projected", "phrase"),
    [
        (THREE, head(3), 3, None),
        (THREE, head(2), 3, None),
        (THREE, head(1), 0, None),
        (THREE, None, 0, None),
        ([], None, 0, None),
        (THREE, None, 1, "MLflow had the head of the ledger of digits"),
        ([], None, 2, "MLflow had the head of the ledger of digits"),
        ([], head(3), 0, "MLflow knows of 3 entries about digits from ledger 000000000000, but the ledger at L"),
        (THREE, head(3, ledger="f" * 64), 3, "MLflow has the champion of digits from ledger ffffffffffff, not from"),
        (THREE, head(4), 3, "entry 4 of digits is missing: MLflow knows of 4 entries; the ledger's end was replaced"),
        (THREE, head(5), 3, "entries 4 to 5 of digits are missing: MLflow knows of 5 entries"),
        (THREE, head(3, "e" * 64), 3, "entry 3 of digits (gate of version 2) is not the entry 3 that MLflow knows of"),
        (THREE, head(1, "e" * 64), 3, "entry 1 of digits (gate of version 1) is not the entry 1 that MLflow knows of"),
    ],
)  # fmt: skip
def test_a_head_tells_of_another_ledger_and_of_a_lost_end(
    entries: list[Entry], found: LedgerHead | None, projected: int, phrase: str | None
) -> None:
    sentence = ledger_mismatch("digits", entries, found, projected, "at L")
    assert (sentence is None) is (phrase is None)
    assert phrase is None or str(sentence).startswith(phrase)


def test_the_last_promotion_or_rollback_names_the_champion() -> None:
    assert champion_entry([]) is None
    assert champion_entry([CHAIN[0]]) is None
    assert champion_entry(THREE) == CHAIN[1]
    assert champion_entry([*THREE, entry("rollback", 4)]) == entry("rollback", 4)
    assert entry_label(4, "digits", "gate", 2) == "entry 4 of digits (gate of version 2)"


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("2026-11-17T09:30:00Z", True), ("8999-12-31T23:59:59Z", True), ("9000-01-01T00:00:00Z", False),
        ("2026-11-17 09:30:00Z", False), ("2026-11-17T9:30:00Z", False), ("2026-11-17T09:30:00+00:00", False),
        ("2026-02-30T00:00:00Z", False), ("", False),
    ],
)  # fmt: skip
def test_times_have_one_form(text: str, valid: bool) -> None:
    assert is_time(text) is valid
    if valid:
        assert format_time(parse_time(text)) == text
