"""Rollback to a version that was champion before."""

from typing import Any

from headframe.errors import Refused, refuse_if, some
from headframe.ledger.entries import Entry, champion_entry
from headframe.ledger.rules import last_rejection, previous_champion
from headframe.promotion.promotion_checks import champion_files, promotion_problems
from headframe.promotion.rules import require_reason, require_role
from headframe.promotion.service import LedgerAction, PromotionService
from headframe.signing.keys import SigningKey

NONE = "no other"


def rollback(
    model: str, service: PromotionService, key: SigningKey, reason: str, to: int | None = None
) -> LedgerAction:
    """Make a former champion the champion again, if everything that made it one still holds.

    Without a version `to` it is the previous champion, and when repeated the one before it.

    Raises:
        ConfigurationError: there is no reason, or the ledger does not know the model.
        Refused: the signer may not; the ledger is broken, or its end was cut off; the version was never champion, or
            was rejected since; its gate report or its files are not those that it was promoted by, or the policy in
            force would not allow it.
    """
    reason = require_reason(reason, "roll back")
    signer = require_role(service.trust, key, "rollback")
    service.require_known_model(model)
    service.warn_of_alias_mismatch(model)

    def build(entries: tuple[Entry, ...]) -> tuple[int, dict[str, Any]]:
        present, promoted = _target(model, entries, to)
        name = f"{model}/{promoted.version}"
        try:  # everything that `verify` checks of it alone
            champion_files(promoted, service)
            problem = next(iter(promotion_problems(entries, promoted, service)), None)
        except Refused as error:
            raise Refused(f"{name} cannot become champion again: {promoted.label}: {error}") from error
        refuse_if(problem and f"{name} cannot become champion again: {problem}")
        instead = f"in place of version {present.version}"
        return promoted.version, {
            "from": present.version,
            "to": promoted.version,
            "reason": reason,
            "message": f"{model} version {promoted.version} is champion again, {instead}: {reason}",
            "policy": service.promotion.policy,
            "promote_entry": promoted.number,
            "commit": promoted.payload["commit"],
            "digests": promoted.digests,
        }

    entry = service.append(model, "rollback", key, build)
    return LedgerAction.of(entry, f"{entry.payload['message']} (by {signer.name})")


def _target(model: str, entries: tuple[Entry, ...], to: int | None) -> tuple[Entry, Entry]:
    """Return the entry that made the present champion, and the promotion to roll back to."""
    present = champion_entry(entries)
    if present is None:
        msg = f"{model} has no champion, so there is none to roll back from; headframe models promote {model}/VERSION"
        raise Refused(msg)
    promoted = {entry.version: entry for entry in entries if entry.kind == "promote"}
    former = some(version for version in sorted(promoted) if version != present.version) or NONE
    target = previous_champion(entries) if to is None else to
    if target is None and former == NONE:
        msg = f"{model} had no champion but version {present.version}, so there is none to roll back to"
    elif target is None:
        msg = f"{model} had no champion before version {present.version}; name one that was (there: {former})"
    elif target == present.version:
        msg = f"{model}/{target} is the champion already ({present.label}); former champions: {former}"
    elif target not in promoted:
        msg = (
            f"{model}/{target} was never champion, so it cannot become champion again; former champions: {former}; "
            f"a new one takes: headframe models promote {model}/{target}"
        )
    elif (rejected := last_rejection(entries, target)) is not None:
        msg = (
            f"{model}/{target} was rejected by {rejected.signer} since (entry {rejected.number}, "
            f"{rejected.payload['reason']}); roll back to another (former champions: {former}), or have it gated, "
            f"approved and promoted: headframe models gate {model}/{target}"
        )
    else:
        return present, promoted[target]
    raise Refused(msg)
