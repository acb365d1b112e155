"""Rules of a promotion: what a policy makes of a model's entries, its gate report and the people. Reads no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from headframe.config.build import build
from headframe.config.plan.promotion import PromotionConfig, Role
from headframe.errors import ConfigurationError, Refused, refuse_if
from headframe.gates.error_control.base import ErrorControl
from headframe.gates.report import GateReport
from headframe.ledger.entries import CHAMPION_KINDS, Entry, champion_entry, format_time, parse_time
from headframe.ledger.past_tests import earlier_tests
from headframe.ledger.rules import entries_since_champion, last_gate_entry
from headframe.promotion.approvals import Approval, read_approval
from headframe.registry.versions import ModelVersion
from headframe.signing.keys import SigningKey
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

ROUNDING = 1e-9  # relative difference of a level that another machine's arithmetic may make


@dataclass(frozen=True)
class VersionIdentity:
    """Identity of a version's files, whose signature was checked."""

    author: Signer
    bundle: str  # sha256 of the model
    signature: str  # sha256 of the signed statement about all files


@dataclass(frozen=True)
class PromotionRules:
    """What a promotion is judged by."""

    promotion: PromotionConfig  # the policy in force
    trust: Trust
    author: Signer  # of the version's files
    time: datetime  # of the promotion


def has_role(signer: Signer, action: str) -> bool:
    """Return whether a person has a role that may do this."""
    return bool(set(ALLOWED_ROLES[action]) & set(signer.roles))


def require_role(trust: Trust, key: SigningKey, action: str) -> Signer:
    """Return the signer of an action, if they may do it.

    Raises:
        Refused: the key is not known, or its owner left or has no such role.
    """
    signer = trust.signer_of(key)
    refuse_if(role_problem(signer, action))
    return signer


def role_problem(signer: Signer, action: str) -> str | None:
    """Return why a person may not do something, and what to do; None where they may."""
    if has_role(signer, action):
        return None
    has, needs = " and ".join(signer.roles), " or ".join(ALLOWED_ROLES[action])
    return f"{signer.name} is {has} in conf/team/, and to {action} takes role {needs}; ask a person who has it"


def require_reason(reason: str, action: str) -> str:
    """Return a reason without blanks around it.

    Raises:
        ConfigurationError: there is none.
    """
    if not reason.strip():
        raise ConfigurationError(f"to {action} takes a reason; give one with --reason 'WHY'")
    return reason.strip()


def requires_others(promotion: PromotionConfig) -> bool:
    """Return whether gates and reproductions count only if signed by another person than the author."""
    return promotion.approvals.four_eyes and promotion.approvals.needed > 0


def unlisted_people(promotion: PromotionConfig, trust: Trust) -> str | None:
    """Return that nobody is listed where a policy asks for approvals of others: a second key would do; else None."""
    if not (trust.single_user and requires_others(promotion)):
        return None
    return (
        f"policy {promotion.policy} asks for approvals of others, but conf/team/ lists nobody, so two keys of one "
        "person would do; list people there, or use promotion=solo"
    )


def author_left(name: str, rules: PromotionRules) -> str | None:
    """Return that a version's author has left, so that nothing new may be done with the version; else None."""
    left = rules.author.expired(rules.time)
    return None if left is None else f"{name} was signed by its author {rules.author.name}, but {left}; train it again"


def four_eyes_problem(approver: Signer, name: str, rules: PromotionRules) -> str | None:
    """Return that an approver is the author of a version where the policy asks for four eyes; else None."""
    author, promotion = rules.author, rules.promotion
    if not promotion.approvals.four_eyes or approver.key != author.key:
        return None
    eyes = f"policy {promotion.policy} asks for four eyes"
    return f"{author.name} registered {name} and {eyes}, so another person has to approve it"


def reproduction_verdict(
    entries: Sequence[Entry], version: int, files: VersionIdentity, promotion: PromotionConfig
) -> str | None:
    """Return the verdict of the last reproduction of a version that counts; None where there was none.

    One of another model does not count, nor does the author's own where the policy asks for four eyes.
    """
    for entry in reversed(entries):
        if entry.kind != "reproduce" or entry.version != version or entry.digests.get("bundle") != files.bundle:
            continue
        if entry.key != files.author.key or not requires_others(promotion):
            return str(entry.payload["verdict"])
    return None


def require_gated(version: ModelVersion, entries: Sequence[Entry], rules: PromotionRules) -> Entry:
    """Return the last entry that counts about the gates of a version, against the present champion.

    Raises:
        Refused: there is none.
    """
    since = entries_since_champion(entries)
    gated = valid_gate_entry(since, version.number, rules)
    if gated is not None:
        return gated
    last = last_gate_entry(since, version.number) or last_gate_entry(entries, version.number)
    if last is None:
        name = f"{version.model}/{version.number}"
        raise Refused(f"{name} was not checked against its gates yet; do it with: headframe models gate {name}")
    raise Refused(gate_entry_problem(last, rules) or stale_gate_problem(entries, last))


def valid_gate_entry(entries: Sequence[Entry], version: int, rules: PromotionRules) -> Entry | None:
    """Return the last entry about a version's gates that counts; None where none does."""
    gates = (each for each in reversed(entries) if each.kind == "gate" and each.version == version)
    return next((each for each in gates if gate_entry_problem(each, rules) is None), None)


def gate_entry_problem(gated: Entry, rules: PromotionRules) -> str | None:
    """Return why an entry about gates does not count; None where it does."""
    name, again = f"{gated.model}/{gated.version}", f"headframe models gate {gated.model}/{gated.version}"
    signer = rules.trust.signers[gated.key]
    if not has_role(signer, "gate"):
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


def objections(entries: Sequence[Entry], report: GateReport, gated: Entry, rules: PromotionRules) -> list[str]:
    """Return what keeps a version from becoming champion by the entries before its promotion, apart from its files.

    Returns:
        A sentence without a full stop for each; none where it may become champion.
    """
    name = f"{report.model}/{report.version}"
    valid, invalid = valid_approvals(entries, gated, rules)
    found = (
        unlisted_people(rules.promotion, rules.trust),
        author_left(name, rules),
        gate_entry_problem(gated, rules),
        stale_gate_problem(entries, gated),
        _champion_difference(report, champion_entry(entries)),
        None if report.passed else f"{name} did not pass its gates ({report.reason}); register a better one",
        _gate_difference(report, rules.promotion),
        _level_difference(entries, report, gated, rules.promotion),
        _standing_rejection(entries, report.version, valid, gated, single_user=rules.trust.single_user),
        _missing_approvals(name, valid, invalid, rules.promotion.approvals.needed),
    )
    return [each for each in found if each is not None]


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
        recorded = parse_time(entry.time)
        why = "it was recorded before" if again else approval_problem(approval, recorded, gated, rules, entries[0])
        if why is None:
            valid[approval.signer.key] = approval
        else:
            invalid.append(f"the approval by {approval.signer.name} in entry {entry.number} does not count: {why}")
    return list(valid.values()), invalid


def approval_problem(
    approval: Approval, recorded: datetime, gated: Entry, rules: PromotionRules, first: Entry
) -> str | None:
    """Return why an approval that was recorded at a time does not count in the ledger of a `first` entry, or None."""
    name = f"{gated.model}/{gated.version}"
    if approval.ledger not in ("", first.digest):
        return "it was given in another ledger"
    if (approval.model, approval.version) != (gated.model, gated.version):
        return f"it is for {approval.model}/{approval.version}, not for {name}"
    for subject, what in (("bundle", "model"), ("report", "gate report"), ("signature", "set of model files")):
        if getattr(approval, subject) != gated.digests[subject]:
            return f"it is for another {what} of {name} than {gated.label}"
    if not has_role(approval.signer, "approve"):
        return f"{approval.signer.name} is no approver"
    # By the time it was recorded, since the approval's own is by its signer's clock:
    problem = four_eyes_problem(approval.signer, name, rules) or approval.signer.expired(recorded)
    if problem is not None:
        return problem
    # The policy's own term, too, since the approval may name a longer one:
    term = recorded + timedelta(days=rules.promotion.approvals.days)
    end = min(parse_time(approval.expires), term.replace(microsecond=0))
    return f"it expired at {format_time(end)}" if rules.time >= end else None


def is_as_strict(used: Mapping[str, Any], in_force: Mapping[str, Any]) -> bool:
    """Return whether a gate with the settings used was as strict as with those in force.

    A setting that is null in force requires nothing, so any value is as strict. Of all others only the same one is:
    whether 0.01 is stricter than 0.05 depends on what it is of.
    """
    unset = {name for name, value in in_force.items() if value is None}
    return {name: value for name, value in used.items() if name not in unset} == {
        name: value for name, value in in_force.items() if name not in unset
    }


def _gate_difference(report: GateReport, promotion: PromotionConfig) -> str | None:
    """Return that gates in force were not run, or with other settings; None where all were run as they are."""
    judged = {result.gate for result in report.results}
    missing = [gate for gate in promotion.gates if gate not in judged]
    other = [
        gate
        for gate, component in promotion.gates.items()
        if not is_as_strict(report.settings.get(gate, {}), component.model_dump(mode="json"))
    ]
    name = f"{report.model}/{report.version}"
    gates = f"gate{'' if len(missing or other) == 1 else 's'} {', '.join(missing or other)}"
    if missing:
        problem = f"was not judged by {gates} of policy {promotion.policy}"
    elif other:
        problem = f"was judged by {gates} with other settings than policy {promotion.policy} has"
    else:
        return None
    return f"{name} {problem}; run them again: headframe models gate {name}"


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


def allowed_level(entries: Sequence[Entry], version: int, champion: int, promotion: PromotionConfig) -> float:
    """Return the largest p-value at which a version counts as better than a champion, by what the ledger holds.

    Raises:
        ConfigurationError: the policy's rule cannot be built.
    """
    rule: ErrorControl = build(promotion.error_control)
    return rule.level(earlier_tests(entries, version, champion), champion)


def _level_difference(
    entries: Sequence[Entry], report: GateReport, gated: Entry, promotion: PromotionConfig
) -> str | None:
    """Return that a version was judged at a higher level than the ledger allows it, or not as its entry says."""
    name, again = f"{report.model}/{report.version}", f"headframe models gate {report.model}/{report.version}"
    tested = None if report.tested is None else report.tested.model_dump()
    if (gated.payload["champion"], gated.payload["tested"]) != (report.champion, tested):
        return (
            f"{gated.label} says that {name} was compared with version {gated.payload['champion']} "
            f"({gated.payload['tested']}), but its gate report with version {report.champion} ({tested}); {again}"
        )
    if report.tested is None or report.champion is None:
        return None
    allowed = allowed_level(entries[: gated.number - 1], report.version, report.champion, promotion)
    if report.tested.level <= allowed * (1 + ROUNDING):
        return None
    return (
        f"{name} was tested at level {report.tested.level:.3g}, but by the ledger and policy {promotion.policy} "
        f"{allowed:.3g} was allowed; {again}"
    )


def _missing_approvals(name: str, valid: Sequence[Approval], invalid: Sequence[str], needed: int) -> str | None:
    if len(valid) >= needed:
        return None
    by = f" ({', '.join(each.signer.name for each in valid)})" if valid else ""
    people = "approval" if needed == 1 else "approvals by different people"
    has = "; ".join([f"{name} needs {needed} {people} and has {len(valid)}{by}", *invalid])
    return f"{has}; ask for: headframe models approve {name}"


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
        gated_again = gated.number > entry.number
        approved = {
            each.payload["approval"]: each.number
            for each in entries[entry.number :]
            if each.kind == "approve" and each.version == version
        }
        later = [each for each in valid if each.envelope in approved]
        if any(each.signer.key == entry.key for each in later) or (
            gated_again and (single_user or any(approved[each.envelope] > gated.number for each in later))
        ):
            continue
        name = f"{entry.model}/{version}"
        approved_too = "" if single_user else " and approved"
        return (
            f"{entry.signer} {what} at {entry.time} ({entry.payload['reason']}), so {name} has to be gated "
            f"again{approved_too}: headframe models gate {name}"
        )
    return None
