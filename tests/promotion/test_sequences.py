"""What several acts of promotion come to, one after the other, by the rules alone: no registry, no database."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from team_project import MINIMUM

from headframe.config.plan.promotion import Approvals, Person, PromotionConfig, TeamConfig
from headframe.gates.report import GateReport, GateResult, SpentLevel
from headframe.ledger.entries import Entry, Kind, champion_entry, format_time, parse_time
from headframe.ledger.past_tests import earlier_tests, past_tests
from headframe.ledger.rules import (
    count_candidates,
    entries_since_champion,
    grounds,
    last_gate_entry,
    last_rejection,
    previous_champion,
)
from headframe.promotion.approvals import APPROVAL
from headframe.promotion.rules import (
    PromotionRules,
    VersionIdentity,
    objections,
    reproduction_verdict,
    valid_approvals,
    valid_gate_entry,
)
from headframe.promotion.verify import _agree
from headframe.signing.envelope import sign_statement
from headframe.signing.keys import SigningKey, create_key
from headframe.signing.trust import Trust

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
PEOPLE: dict[str, tuple[Any, ...]] = {
    "anna": ("author",),
    "bert": ("approver",),
    "cora": ("approver",),
    "dora": ("approver",),
    "emil": ("reader",),
}
"""Anna is the author of every version."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SigningKey]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADFRAME_KEYS", str(tmp_path_factory.mktemp("keys")))
        return {name: create_key(name) for name in PEOPLE}


@dataclass
class Chain:
    """Entries of a model, an hour apart, as if everything that was asked for had been written."""

    keys: dict[str, SigningKey]
    needed: int = 1
    days: float = 14.0
    four_eyes: bool = True
    alone: bool = False
    entries: list[Entry] = field(default_factory=list)

    @property
    def rules(self) -> PromotionRules:
        people = {name: Person(key=self.keys[name].public, roles=roles) for name, roles in PEOPLE.items()}
        trust = Trust.of(TeamConfig(people=people))
        promotion = PromotionConfig(
            model="digits", policy="team", gates={"minimum": MINIMUM},  # type: ignore[dict-item]
            approvals=Approvals(needed=self.needed, four_eyes=self.four_eyes, days=self.days),
        )  # fmt: skip
        author = trust.signers[self.keys["anna"].public]
        return PromotionRules(promotion, trust, author, time=self.now)

    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(hours=len(self.entries))

    def add(self, kind: Kind, version: int, by: str, **payload: Any) -> Entry:
        number = len(self.entries) + 1
        digests = {name: f"{name} {version}" for name in ("bundle", "report", "signature")}
        entry = Entry(
            model="digits", number=number, kind=kind, version=version, signer=by, key=self.keys[by].public,
            time=format_time(self.now), previous=f"{number - 1:064x}", digest=f"{number:064x}",
            payload={"digests": digests, "reason": "why", **payload},
        )  # fmt: skip
        self.entries.append(entry)
        return entry

    def act(self, what: str, version: int, by: str = "bert") -> Entry:
        present = champion_entry(self.entries)
        match what:
            case "gate":
                tested = {"p": 0.4, "level": 1e-6, "candidates": 1} if present else None
                return self.add("gate", version, by, champion=present.version if present else None, tested=tested)
            case "approve":
                return self.add("approve", version, by, approval=self.approval(version, by))
            case "promote":
                gated = last_gate_entry(self.entries, version)
                assert gated is not None
                return self.add("promote", version, by, gate_entry=gated.number)
            case "rollback":
                assert present is not None
                promoted = next(each for each in self.entries if (each.kind, each.version) == ("promote", version))
                return self.add("rollback", version, by, **{"from": present.version, "promote_entry": promoted.number})
        return self.add("reject", version, by)

    def approval(self, version: int, by: str, **changes: Any) -> str:
        subjects = {name: f"{name} {version}" for name in ("bundle", "report", "signature")}
        payload = {"model": "digits", "version": version, "reason": "yes", "time": format_time(self.now)}
        expires = format_time(self.now + timedelta(days=14))
        return sign_statement(
            APPROVAL, {**subjects, **changes}, {**payload, "expires": expires, **changes}, self.keys[by]
        )

    def report(self, version: int) -> GateReport:
        present = champion_entry(self.entries)
        gated = last_gate_entry(self.entries, version)
        assert gated is not None
        champion, tested = gated.payload["champion"], gated.payload["tested"]
        return GateReport(
            model="digits", version=version, bundle=f"bundle {version}", champion=champion,
            champion_bundle=present.digests["bundle"] if present and champion else None, policy="team",
            settings={"minimum": self.rules.promotion.gates["minimum"].model_dump(mode="json")},
            error_control={}, rows=1, rows_digest="", digests={},
            tested=None if tested is None else SpentLevel(**tested), tries=1, candidates=1,
            results=(GateResult(gate="minimum", passed=True, verdict="reached", reason="accuracy 0.9"),),
        )  # fmt: skip

    def objections(self, version: int) -> list[str]:
        """What keeps a version from becoming champion now."""
        gated = valid_gate_entry(entries_since_champion(self.entries), version, self.rules)
        assert gated is not None, "no gates that count"
        return objections(self.entries, self.report(version), gated, self.rules)


def told(keys: dict[str, SigningKey], acts: str, **settings: Any) -> Chain:
    """Write acts one after the other, as in `gate 1, approve 1 cora`; by bert where nobody is named."""
    chain = Chain(keys, **settings)
    for act in acts.split(", "):
        what, version, *by = act.split()
        chain.act(what, int(version), *by)
    return chain


CHAMPIONS = "gate 1, approve 1, promote 1 anna, gate 2, approve 2, promote 2 anna"


@pytest.mark.parametrize(
    ("needed", "acts", "phrases"),
    [
        (1, "gate 1, approve 1", []),
        (1, "gate 1, approve 2", ["needs 1 approval and has 0"]),
        # Who rejected may think better of it; what they had said before does not count any more.
        (1, "gate 1, approve 1, reject 1", ["bert rejected it", "needs 1 approval and has 0"]),
        (1, "gate 1, approve 1, reject 1, approve 1", []),
        (1, "gate 1, approve 1, reject 2", []),
        # Another person's approval overrules a rejection only together with gates that were run in between.
        (1, "gate 1, reject 1, approve 1 cora", ["bert rejected it"]),
        (1, "gate 1, reject 1, gate 1, approve 1 cora", []),
        (1, "gate 1, reject 1, approve 1 cora, gate 1", ["bert rejected it"]),
        (1, "gate 1, approve 1 cora, reject 1, gate 1", ["bert rejected it"]),
        (1, "gate 1, reject 1, reject 1 cora, gate 1, approve 1 dora", []),
        (1, "gate 1, reject 1, reject 1 cora, approve 1 cora", ["bert rejected it"]),
        (1, "gate 1, reject 1, reject 1 cora, approve 1", ["cora rejected it"]),
        (0, "gate 1, reject 1, gate 1", ["bert rejected it"]),
        # Two people, each once; one who took their approval back is none of them.
        (2, "gate 1, approve 1, approve 1 cora", []),
        (2, "gate 1, approve 1, approve 1", ["needs 2 approvals by different people and has 1 (bert)"]),
        (2, "gate 1, approve 1, reject 1, gate 1, approve 1 cora", ["has 1 (cora)"]),
        (2, "gate 1, approve 1, reject 1, gate 1, approve 1 cora, approve 1 dora", []),
        (2, "gate 1, approve 1, approve 1 cora, reject 1", ["bert rejected it", "has 1 (cora)"]),
        (2, "gate 1, approve 1, reject 1 cora, gate 1, approve 1 dora", []),
        (1, "gate 1, approve 1 anna", ["needs 1 approval and has 0; the approval by anna in entry 2 does not count"]),
        # Gone back from: to be gated and approved anew, by whomever.
        (1, f"{CHAMPIONS}, rollback 1, gate 2", ["bert rolled back from it", "needs 1 approval and has 0"]),
        (1, f"{CHAMPIONS}, rollback 1, gate 2, approve 2 cora", []),
        (1, f"{CHAMPIONS}, rollback 1 cora, gate 2, approve 2 cora", []),
        (0, f"{CHAMPIONS}, rollback 1, gate 2", ["bert rolled back from it"]),
        # Becoming champion overruled what came before; later rejections stand.
        (1, "gate 1, reject 1, approve 1, promote 1 anna, gate 2, approve 2, promote 2 anna, gate 1, approve 1", []),
        (1, f"{CHAMPIONS}, reject 1, gate 1", ["bert rejected it", "needs 1 approval and has 0"]),
        # What was approved before the champion changed is spent.
        (1, "gate 1, approve 1, gate 2, approve 2, promote 2 anna, gate 1", ["needs 1 approval and has 0"]),
        (1, "gate 1, approve 1, gate 2, approve 2, promote 2 anna, gate 1, approve 1 cora", []),
    ],
)  # fmt: skip
def test_acts_one_after_the_other_come_to(
    keys: dict[str, SigningKey], needed: int, acts: str, phrases: list[str]
) -> None:
    chain = told(keys, acts, needed=needed)
    last = next(entry for entry in reversed(chain.entries) if entry.kind == "gate")
    found = chain.objections(last.version)
    assert len(found) == len(phrases), found
    for sentence, phrase in zip(found, phrases, strict=True):
        assert phrase in sentence


def test_an_approval_counts_until_it_expires_by_the_shorter_of_both_terms(keys: dict[str, SigningKey]) -> None:
    for days, hours, counts in ((14, 14 * 24 - 1, True), (14, 14 * 24, False), (1, 23, True), (1, 24, False)):
        chain = told(keys, "gate 1, approve 1", days=days)
        recorded = parse_time(chain.entries[-1].time)
        rules = chain.rules
        late = PromotionRules(rules.promotion, rules.trust, rules.author, recorded + timedelta(hours=hours))
        valid, invalid = valid_approvals(chain.entries, chain.entries[0], late)
        assert bool(valid) is counts
        assert counts or "it expired at 2026-03-" in invalid[0]


def test_an_approval_is_of_one_model_one_version_and_what_was_gated(keys: dict[str, SigningKey]) -> None:
    chain = told(keys, "gate 1")
    wrong = {
        "it is for adult/1, not for digits/1": {"model": "adult"},
        "it is for digits/2, not for digits/1": {"version": 2},
        "it is for another model of digits/1 than entry 1": {"bundle": "other"},
        "it is for another gate report of digits/1 than entry 1": {"report": "other"},
        "it is for another set of model files of digits/1 than entry 1": {"signature": "other"},
    }
    subjects = {name: f"{name} 1" for name in ("bundle", "report", "signature")}
    payload = {"model": "digits", "version": 1, "reason": "yes", "time": format_time(BEGIN)}
    for change in wrong.values():
        about = {**subjects, **{name: value for name, value in change.items() if name in subjects}}
        said = {**payload, **{name: value for name, value in change.items() if name in payload}}
        said["expires"] = format_time(BEGIN + timedelta(days=9))
        chain.add("approve", 1, "bert", approval=sign_statement(APPROVAL, about, said, keys["bert"]))
    chain.add("approve", 1, "emil", approval=chain.approval(1, "emil"))
    valid, invalid = valid_approvals(chain.entries, chain.entries[0], chain.rules)
    assert valid == []
    for phrase, sentence in zip([*wrong, "emil is no approver"], invalid, strict=True):
        assert phrase in sentence


def test_the_same_approval_recorded_twice_counts_once_even_after_it_was_taken_back(
    keys: dict[str, SigningKey],
) -> None:
    chain = told(keys, "gate 1, approve 1, reject 1")
    chain.add("approve", 1, "anna", approval=chain.entries[1].payload["approval"])
    valid, invalid = valid_approvals(chain.entries, chain.entries[0], chain.rules)
    assert valid == []
    assert invalid == ["the approval by bert in entry 4 does not count: it was recorded before"]


def test_gates_of_the_author_count_only_without_four_eyes(keys: dict[str, SigningKey]) -> None:
    chain = told(keys, "gate 1, gate 1 anna")
    assert valid_gate_entry(chain.entries, 1, chain.rules) == chain.entries[0]
    for lax in (Chain(keys, four_eyes=False), Chain(keys, needed=0)):
        assert valid_gate_entry(chain.entries, 1, lax.rules) == chain.entries[1]
    chain.act("gate", 1, "emil")
    assert valid_gate_entry(chain.entries, 1, Chain(keys, needed=0).rules) == chain.entries[1]
    assert valid_gate_entry(chain.entries, 2, chain.rules) is None


def test_the_last_reproduction_of_these_files_by_another_person_counts(keys: dict[str, SigningKey]) -> None:
    chain = Chain(keys)
    rules = chain.rules
    files = VersionIdentity(rules.author, "bundle 1", "signature 1")

    def verdict(promotion: PromotionConfig = rules.promotion) -> str | None:
        return reproduction_verdict(chain.entries, 1, files, promotion)

    assert verdict() is None
    chain.add("reproduce", 1, "bert", verdict="first")
    chain.add("reproduce", 2, "bert", verdict="of another version")
    chain.add("reproduce", 1, "bert", verdict="of other files", digests={"bundle": "bundle 9"})
    chain.add("gate", 1, "bert", verdict="no reproduction", champion=None)
    assert verdict() == "first"
    chain.add("reproduce", 1, "anna", verdict="the author's own")
    assert verdict() == "first"
    assert verdict(Chain(keys, needed=0).rules.promotion) == "the author's own"
    chain.add("reproduce", 1, "cora", verdict="last")
    assert verdict() == "last"


@pytest.mark.parametrize(
    ("acts", "previous"),
    [
        ("gate 1", None),
        ("gate 1, promote 1", None),
        ("gate 1, promote 1, gate 2, promote 2", 1),
        ("gate 1, promote 1, gate 2, promote 2, gate 3, promote 3, rollback 2", 1),
        ("gate 1, promote 1, gate 2, promote 2, gate 3, promote 3, rollback 1", None),
        ("gate 1, promote 1, gate 2, promote 2, gate 3, promote 3, rollback 2, gate 4, promote 4", 2),
        ("gate 1, promote 1, gate 2, promote 2, rollback 1, rollback 2", None),
        ("gate 1, promote 1, gate 2, promote 2, rollback 1, gate 2, promote 2, gate 3, promote 3", 2),
        ("gate 1, promote 1, gate 2, promote 2, gate 2, promote 2", 1),
    ],
)
def test_rollback_leads_to_the_champion_below(keys: dict[str, SigningKey], acts: str, previous: int | None) -> None:
    assert previous_champion(told(keys, acts).entries) == previous


def test_a_champion_rests_on_its_promotion_and_its_gates(keys: dict[str, SigningKey]) -> None:
    chain = told(keys, f"{CHAMPIONS}, rollback 1")
    promoted, gated = grounds(chain.entries, chain.entries[-1])
    assert (promoted.number, gated.number) == (3, 1)
    promoted, gated = grounds(chain.entries, chain.entries[5])
    assert (promoted.number, gated.number) == (6, 4)


def test_a_rejection_is_remembered_until_its_version_is_champion(keys: dict[str, SigningKey]) -> None:
    chain = told(keys, "gate 1, reject 1, reject 2, reject 1 cora")
    found = last_rejection(chain.entries, 1)
    assert found is not None
    assert (found.number, found.signer) == (4, "cora")
    chain.act("promote", 1)
    assert last_rejection(chain.entries, 1) is None
    assert last_rejection(chain.entries, 2) == chain.entries[2]
    assert last_rejection(chain.entries, 3) is None


def test_a_version_is_one_test_against_one_champion_in_all_of_its_periods(keys: dict[str, SigningKey]) -> None:
    chain = told(
        keys, "gate 1, gate 2, gate 2, promote 1, gate 2, gate 3, gate 4, promote 4, gate 2, rollback 1, gate 5, gate 3"
    )

    def pairs(version: int, champion: int) -> list[tuple[int, int]]:
        return [(each.version, each.champion) for each in earlier_tests(chain.entries, version, champion)]

    made = [(2, 1), (3, 1), (4, 1), (2, 4), (5, 1)]
    found = past_tests(chain.entries)
    assert [(each.version, each.champion) for each in found] == made
    assert [each.promoted_after for each in found] == [None, None, 3, None, None]
    assert pairs(6, 1) == made
    assert pairs(2, 1) == []
    assert pairs(3, 1) == made[:1], "as when it was first tested"
    assert pairs(2, 4) == made[:3]


def test_a_promotion_earns_when_it_is_written_and_once(keys: dict[str, SigningKey]) -> None:
    chain = told(keys, "gate 1, promote 1, gate 2, gate 3, promote 2, rollback 1, gate 2, promote 2")
    assert [(each.version, each.promoted_after) for each in past_tests(chain.entries)] == [(2, 2), (3, None)]
    assert [each.promoted_after for each in past_tests(chain.entries[:4])] == [None, None]


def test_what_validation_rows_have_refused_is_no_test(keys: dict[str, SigningKey]) -> None:
    chain = told(keys, "gate 1, promote 1, gate 2")
    chain.add("gate", 3, "bert", champion=1, tested=None)
    assert [each.version for each in past_tests(chain.entries)] == [2]


def test_candidates_are_versions_registered_since_the_champion_and_not_tried(keys: dict[str, SigningKey]) -> None:
    chain = told(keys, "gate 1")
    hour = timedelta(hours=1)
    assert count_candidates(chain.entries, 2, {1: BEGIN, 2: BEGIN + 9 * hour, 3: BEGIN + 9 * hour}) == 1, "no champion"
    chain.act("promote", 1)
    since = parse_time(chain.entries[-1].time)
    registered = {1: since, 2: since, 3: since - hour, 4: since + hour, 5: since + hour}
    assert count_candidates(chain.entries, 2, registered) == 3, "2, 4 and 5: 1 is champion, 3 was there before"
    assert count_candidates(chain.entries, 3, registered) == 4, "the version itself counts whenever it came"
    chain.act("gate", 4)
    assert count_candidates(chain.entries, 2, registered) == 2, "4 is a try now"
    assert count_candidates(chain.entries, 4, registered) == 3, "gated again, it is itself again"


@pytest.mark.parametrize(
    ("change", "agrees"),
    [
        ({}, True),
        ({"reason": "in other words"}, True),
        ({"numbers": {"value": 0.9 * (1 + 1e-12), "worst": "a"}}, True),
        ({"numbers": {"value": 0.91, "worst": "a"}}, False),
        ({"numbers": {"value": "0.9", "worst": "a"}}, False),
        ({"numbers": {"value": None, "worst": "a"}}, False),
        ({"numbers": {"value": 0.9, "worst": 1}}, False),
        ({"numbers": {"value": 0.9}}, False),
        ({"numbers": {"value": 0.9, "worst": "a", "more": 1}}, False),
        ({"verdict": "missed"}, False),
        ({"passed": False}, False),
    ],
)
def test_a_gate_that_is_run_again_agrees_but_for_the_last_digits(change: dict[str, Any], agrees: bool) -> None:
    before = GateResult(passed=True, verdict="reached", reason="", numbers={"value": 0.9, "worst": "a"})
    assert _agree(before, before.model_copy(update=change)) is agrees
    assert not _agree(before, None)
