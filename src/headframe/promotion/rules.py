"""Rules of a promotion: what a policy makes of a model's entries, its gate report and the people. Reads no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from headframe.config.plan.promotion import PromotionConfig, Role
from headframe.errors import ConfigurationError, Refused
from headframe.gates.report import GateReport
from headframe.ledger.entries import CHAMPION_KINDS, Entry, champion_entry, parse_time
from headframe.ledger.rules import count_tries
from headframe.promotion.approvals import Approval, read_approval
from headframe.signing.keys import OwnKey
from headframe.signing.trust import Signer, Trust

ALLOWED_ROLES: dict[str, tuple[Role, ...]] = {
    "gate": ("author", "approver"),
    "approve": ("approver",),
    "record": ("author", "approver"),
    "reject": ("approver",),
    "promote": ("author", "approver"),
    "rollback": ("approver",),
}
"""Roles that may do what; `record` is to record an approval that another person signed."""


@dataclass(frozen=True)
class Author:
    """Who signed a version's model files.

    Attributes:
        name: as the team is listed.
        key: public.
    """

    name: str
    key: str


@dataclass(frozen=True)
class PromotionRules:
    """What a promotion is judged by.

    Attributes:
        promotion: the policy in force.
        trust: whose signatures count.
        author: of the version's files.
        time: of the promotion.
    """

    promotion: PromotionConfig
    trust: Trust
    author: Author
    time: datetime


def requires_others(promotion: PromotionConfig) -> bool:
    """Return whether gates and reproductions count only if signed by another person than the author."""
    return promotion.approvals.four_eyes and promotion.approvals.needed > 0


def reproduction_verdict(
    entries: Sequence[Entry], version: int, bundle: str, author: Author, promotion: PromotionConfig
) -> str | None:
    """Return the verdict of the last reproduction of a version that counts; None where there was none.

    Args:
        entries: of the ledger.
        version: which.
        bundle: sha256 of its model: a verdict about another one does not count.
        author: of its files, whose own reproductions do not count where the policy asks for four eyes.
        promotion: the policy.
    """
    for entry in reversed(entries):
        if entry.kind != "reproduce" or entry.version != version or entry.digests.get("bundle") != bundle:
            continue
        if entry.key != author.key or not requires_others(promotion):
            return str(entry.payload["verdict"])
    return None


def valid_gate_entry(entries: Sequence[Entry], version: int, rules: PromotionRules) -> Entry | None:
    """Return the last entry about a version's gates that counts; None where none does."""
    gates = (each for each in reversed(entries) if each.kind == "gate" and each.version == version)
    return next((each for each in gates if gate_entry_problem(each, rules) is None), None)


def gate_entry_problem(gated: Entry, rules: PromotionRules) -> str | None:
    """Return why an entry about gates does not count; None where it does."""
    name, again = f"{gated.model}/{gated.version}", f"headframe models gate {gated.model}/{gated.version}"
    signer = rules.trust.signers[gated.key]
    if not set(ALLOWED_ROLES["gate"]) & set(signer.roles):
        return f"{name} was gated by {signer.name} ({gated.label}), who is {' and '.join(signer.roles)}; {again}"
    if requires_others(rules.promotion) and gated.key == rules.author.key:
        return (
            f"{name} was gated by its author {signer.name} ({gated.label}), and policy {rules.promotion.policy} asks "
            f"for four eyes; another person has to run them: {again}"
        )
    return None


def stale_gate_problem(entries: Sequence[Entry], gated: Entry) -> str | None:
    """Return that a version was gated before the present champion became it; None where it was gated after."""
    present = champion_entry(entries)
    if present is None or gated.number > present.number:
        return None
    other, name = gated.payload["champion"], f"{gated.model}/{gated.version}"
    against = "when there was no champion" if other is None else f"against version {other}"
    came = "became champion again" if other == present.version else "has become champion"
    return (
        f"{name} was gated {against}, but version {present.version} {came} since ({present.label}, by {present.signer} "
        f"at {present.time}); run the gates again: headframe models gate {name}"
    )


def require_role(trust: Trust, key: OwnKey, action: str) -> Signer:
    """Return the signer of an action, if they may do it.

    Raises:
        Refused: the key is not known, or its owner left or has no such role.
    """
    signer = trust.signer_of(key)
    wanted = ALLOWED_ROLES[action]
    if not set(wanted) & set(signer.roles):
        has, needs = " and ".join(signer.roles), " or ".join(wanted)
        msg = f"{signer.name} is {has} in conf/team/, and to {action} takes role {needs}; ask a person who has it"
        raise Refused(msg)
    return signer


def require_reason(reason: str, action: str) -> str:
    """Return a reason without blanks around it.

    Raises:
        ConfigurationError: there is none.
    """
    if not reason.strip():
        msg = f"to {action} takes a reason; give one with --reason 'WHY'"
        raise ConfigurationError(msg)
    return reason.strip()


def require_four_eyes(approver: Signer, author: Author, name: str, promotion: PromotionConfig) -> None:
    """Check that an approver is not the author where the policy asks for four eyes.

    Raises:
        Refused: they would approve a model of their own.
    """
    if promotion.approvals.four_eyes and approver.key == author.key:
        msg = (
            f"{author.name} registered {name} and policy {promotion.policy} asks for four eyes, so {author.name} "
            "cannot approve it; ask another approver"
        )
        raise Refused(msg)


def require_listed_people(promotion: PromotionConfig, trust: Trust) -> None:
    """Check that people are listed where a policy asks for approvals of others.

    Raises:
        Refused: nobody is listed, so that one person's second key would be the other pair of eyes.
    """
    problem = _unlisted_people(promotion, trust)
    if problem is not None:
        raise Refused(problem)


def _unlisted_people(promotion: PromotionConfig, trust: Trust) -> str | None:
    if not (trust.single_user and requires_others(promotion)):
        return None
    return (
        f"policy {promotion.policy} asks for approvals of others, but conf/team/ lists nobody, so two keys of one "
        "person would do; list people there, or use promotion=solo"
    )


def objections(entries: Sequence[Entry], report: GateReport, gated: Entry, rules: PromotionRules) -> list[str]:
    """Return what keeps a version from becoming champion, apart from its files.

    Args:
        entries: of the ledger, up to the promotion.
        report: of the version's gates.
        gated: the entry about these gates.
        rules: what it is judged by.

    Returns:
        A sentence without a full stop for each; none where it may become champion.
    """
    promotion = rules.promotion
    name = f"{report.model}/{report.version}"
    found = [
        each
        for each in (
            _unlisted_people(promotion, rules.trust),
            _author_left(name, rules),
            gate_entry_problem(gated, rules),
            stale_gate_problem(entries, gated),
            _champion_difference(report, champion_entry(entries)),
        )
        if each is not None
    ]
    if not report.passed:
        found.append(f"{name} did not pass its gates ({report.reason}); register a better one")
    found += _gate_differences(report, promotion)
    tries_then = count_tries(entries[: gated.number - 1], report.version, report.champion)
    if report.tries < tries_then or gated.payload["champion"] != report.champion:
        found.append(
            f"{name} was judged as try {report.tries} against version {gated.payload['champion']}, but by the ledger "
            f"it was try {tries_then} against version {report.champion}; headframe models gate {name}"
        )
    valid, invalid = valid_approvals(entries, gated, rules)
    needed = promotion.approvals.needed
    rejection = _standing_rejection(entries, report.version, valid, gated, single_user=rules.trust.single_user)
    if rejection is not None:
        found.append(rejection)
    if len(valid) < needed:
        by = f" ({', '.join(each.signer.name for each in valid)})" if valid else ""
        others = f"; {'; '.join(invalid)}" if invalid else ""
        people = "approval" if needed == 1 else "approvals by different people"
        found.append(
            f"{name} needs {needed} {people} and has {len(valid)}{by}{others}; ask for: headframe models approve {name}"
        )
    return found


def valid_approvals(entries: Sequence[Entry], gated: Entry, rules: PromotionRules) -> tuple[list[Approval], list[str]]:
    """Return the approvals of a version that count, one per person, and for all others why they do not.

    An approval counts once: what was signed before the present champion became it is spent, and recording the same
    statement again does not renew it.
    """
    present = champion_entry(entries)
    since = present.number if present else 0
    valid: dict[str, Approval] = {}
    invalid: list[str] = []
    seen: set[str] = set()
    for entry in entries:
        if entry.kind == "reject" and entry.version == gated.version:
            valid.pop(entry.key, None)
        if entry.kind != "approve" or entry.version != gated.version:
            continue
        try:
            approval = read_approval(entry.payload["approval"], rules.trust)
        except Refused as error:
            invalid.append(f"the approval in entry {entry.number} does not count: {error}")
            continue
        again = approval.digest in seen
        seen.add(approval.digest)
        if entry.number <= since:
            continue
        why = "it was recorded before" if again else _approval_problem(approval, entry, gated, rules)
        if why is None:
            valid[approval.signer.key] = approval
        else:
            invalid.append(f"the approval by {approval.signer.name} in entry {entry.number} does not count: {why}")
    return list(valid.values()), invalid


def _approval_problem(approval: Approval, entry: Entry, gated: Entry, rules: PromotionRules) -> str | None:
    """Return why an approval does not count; None where it does."""
    promotion, author = rules.promotion, rules.author
    if (approval.model, approval.version) != (gated.model, gated.version):
        return f"it is for {approval.model}/{approval.version}"
    other = other_subject(approval, gated)
    if other is not None:
        return f"it is for another {other} than {gated.label}"
    if "approver" not in approval.signer.roles:
        return f"{approval.signer.name} is no approver"
    if promotion.approvals.four_eyes and approval.signer.key == author.key:
        return f"{author.name} registered the version, and policy {promotion.policy} asks for four eyes"
    left = approval.signer.expired(parse_time(entry.time))  # the approval's own time is by its signer's clock
    if left is not None:
        return left
    # The policy's own term, too: the approval may name a longer one.
    term = parse_time(entry.time) + timedelta(days=promotion.approvals.days)
    end = min(parse_time(approval.expires), term.replace(microsecond=0))
    if rules.time >= end:
        return f"it expired at {end.strftime('%Y-%m-%dT%H:%M:%SZ')}"
    return None


def other_subject(approval: Approval, gated: Entry) -> str | None:
    """Return which subject of an approval differs from that of an entry about gates; None where all are the same."""
    for name, what in (("bundle", "model"), ("report", "gate report"), ("signature", "set of model files")):
        if getattr(approval, name) != gated.digests[name]:
            return what
    return None


def _gate_differences(report: GateReport, promotion: PromotionConfig) -> list[str]:
    """Return a sentence where gates in force were not run, or with other settings; else an empty list."""
    name = f"{report.model}/{report.version}"
    again = f"run them again: headframe models gate {name}"
    judged = {result.gate for result in report.results}
    missing = [gate for gate in promotion.gates if gate not in judged]
    if missing:
        are = "gate" if len(missing) == 1 else "gates"
        return [f"{name} was not judged by {are} {', '.join(missing)} of policy {promotion.policy}; {again}"]
    other = [
        gate
        for gate, component in promotion.gates.items()
        if not is_as_strict(report.settings.get(gate, {}), component.model_dump(mode="json"))
    ]
    if other:
        are = "gate" if len(other) == 1 else "gates"
        which = f"{are} {', '.join(other)} with other settings than policy {promotion.policy} has"
        return [f"{name} was judged by {which}; {again}"]
    return []


def is_as_strict(used: Mapping[str, Any], in_force: Mapping[str, Any]) -> bool:
    """Return whether a gate with the settings used was as strict as with those in force.

    A setting that is null in force requires nothing, so any value is as strict. Of all others only the same one is:
    whether 0.01 is stricter than 0.05 depends on what it is of.
    """
    unset = {name for name, value in in_force.items() if value is None}
    return {name: value for name, value in used.items() if name not in unset} == {
        name: value for name, value in in_force.items() if name not in unset
    }


def _author_left(name: str, rules: PromotionRules) -> str | None:
    """Return that a version's author has left, so that others have to train it again; None where they have not."""
    signer = rules.trust.signers.get(rules.author.key)
    left = signer.expired(rules.time) if signer is not None else None
    return None if left is None else f"{name} was signed by its author {rules.author.name}, but {left}; train it again"


def require_active_author(name: str, rules: PromotionRules) -> None:
    """Check that a version's author has not left.

    Raises:
        Refused: they have, so nothing new may be done with the version.
    """
    problem = _author_left(name, rules)
    if problem is not None:
        raise Refused(problem)


def _champion_difference(report: GateReport, present: Entry | None) -> str | None:
    """Return that a report compares with another model than the champion's; None where it is the same."""
    expected = (present.version, present.digests["bundle"]) if present else (None, None)
    if (report.champion, report.champion_bundle) == expected:
        return None
    name = f"{report.model}/{report.version}"
    than = f"version {expected[0]} with model {str(expected[1])[:12]}" if present else "nobody"
    return (
        f"the gate report of {name} compares it with version {report.champion} with model "
        f"{str(report.champion_bundle)[:12]}, but the ledger's champion is {than}; headframe models gate {name}"
    )


def _standing_rejection(
    entries: Sequence[Entry], version: int, valid: Sequence[Approval], gated: Entry, *, single_user: bool
) -> str | None:
    """Return who rejected a version, or rolled back from it, and was not overruled since; None where nobody was.

    The same person's later approval overrules it; so do gates that were run again (`gated`), together with an approval
    given after them, which a person without a team need not give. What came before the version last became champion was
    overruled then.
    """
    for entry in reversed(entries):
        if entry.kind in CHAMPION_KINDS and entry.version == version:
            return None
        if entry.kind == "reject" and entry.version == version:
            what = "rejected it"
        elif entry.kind == "rollback" and entry.payload["from"] == version:
            what = "rolled back from it"
        else:
            continue
        later = entries[entry.number :]
        approved = {each.payload["approval"] for each in later if each.kind == "approve" and each.version == version}
        if any(each.signer.key == entry.key and each.envelope in approved for each in valid):
            continue
        gated_again = gated.number > entry.number
        if gated_again and single_user:
            continue
        overruling = {
            each.payload["approval"]
            for each in later
            if gated_again and each.number > gated.number and each.kind == "approve"
        }
        if any(each.envelope in overruling for each in valid):
            continue
        name = f"{entry.model}/{version}"
        approved_too = "" if single_user else " and approved"
        return (
            f"{entry.signer} {what} at {entry.time} ({entry.payload['reason']}), so {name} has to be gated "
            f"again{approved_too}: headframe models gate {name}"
        )
    return None
