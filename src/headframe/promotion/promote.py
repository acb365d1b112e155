"""Making a version champion: all that was proven of it is looked at again in the moment it counts."""

from __future__ import annotations

from typing import Any

from headframe.errors import Refused
from headframe.promotion.ledger import Entry, now
from headframe.promotion.office import Act, Office, done, require_same
from headframe.promotion.policy import Rules, champion, counted, last_gate, objections, require_role
from headframe.promotion.verdict import GateReport
from headframe.signing.keys import OwnKey
from headframe.tracking.registry import Version


def promote(version: Version, office: Office, key: OwnKey, reason: str = "") -> Act:
    """Make a version champion: write the entry, then tell MLflow.

    Raises:
        Refused: the signer may not; the version is not gated against the present champion, by the gates in force, or
            not approved; somebody rejected it; its files or its report are not what was signed.
        Unavailable: MLflow does not answer.
    """
    from headframe.promotion.gate import fetch_report  # noqa: PLC0415 - the report's page is heavy

    signer = require_role(office.trust, key, "promote")
    office.warn_of_drift(version.model, office.read(version.model))

    def judge(entries: tuple[Entry, ...]) -> tuple[int, dict[str, Any]]:
        present = champion(entries)
        gated = _require_gated(version, entries, present)
        report = fetch_report(version, gated.digests["report"], office.uri)
        _require_same_champion(version, report, present)
        files = office.files(version)
        require_same(version, files, gated)
        rules = Rules(office.promotion, office.trust, files.author, now())
        against = objections(entries, report, gated, rules)
        if against:
            raise Refused(against[0])
        good, _ = counted(entries, gated, rules)
        told = f"{version.model} version {version.number} is champion: {reason.strip() or report.because}"
        return version.number, {
            "from": present.version if present else None,
            "to": version.number,
            "reason": reason.strip(),
            "because": report.because,
            "told": told,
            "policy": office.promotion.policy,
            "gated": gated.number,
            "approvals": [each.digest for each in good],
            "author": files.author.name,
            "commit": gated.claim["commit"],
            "digests": gated.digests,
        }

    entry = office.write(version.model, "promote", key, judge)
    office.crown(entry)
    before = entry.claim["from"]
    instead = f"in place of version {before}" if before is not None else "the first one"
    return done(entry, f"{entry.claim['told']} ({instead}, promoted by {signer.name})")


def _require_gated(version: Version, entries: tuple[Entry, ...], present: Entry | None) -> Entry:
    """Give the last entry about the gates of a version, which must be later than the present champion's."""
    name = f"{version.model}/{version.number}"
    who = f"by {present.signer} at {present.time}, {present.claim['told']}" if present else ""
    if present is not None and present.version == version.number:
        msg = f"{name} is the champion already ({present.told}, {who}), so there is nothing to promote"
        raise Refused(msg)
    gated = last_gate(entries, version.number)
    again = f"headframe models gate {name}"
    if gated is None:
        msg = f"{name} was never held against its gates; do it with: {again}"
        raise Refused(msg)
    if present is not None and gated.number < present.number:
        other = gated.claim["champion"]
        against = "when there was no champion" if other is None else f"against version {other}"
        msg = (
            f"{name} was gated {against}, but version {present.version} has become champion since ({present.told}, "
            f"{who}); hold it against that one: {again}"
        )
        raise Refused(msg)
    return gated


def _require_same_champion(version: Version, report: GateReport, present: Entry | None) -> None:
    """Make sure that the report compares with the present champion's very model."""
    expected = (present.version, present.digests["bundle"]) if present else (None, None)
    if (report.champion, report.champion_bundle) != expected:
        name = f"{version.model}/{version.number}"
        than = f"version {expected[0]} with model {str(expected[1])[:12]}" if present else "nobody"
        msg = (
            f"the gate report of {name} compares it with version {report.champion} with model "
            f"{str(report.champion_bundle)[:12]}, but the ledger's champion is {than}; headframe models gate {name}"
        )
        raise Refused(msg)
