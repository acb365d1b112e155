"""Resolution of a requested model to a version: for a champion, checked against ledger and policy."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from headframe.config.plan.plan import Plan
from headframe.errors import ConfigurationError, HeadframeError, Refused, Unavailable, refuse_if
from headframe.registry.versions import ModelVersion, is_champion_name, load_files, load_model, resolve, signed_files
from headframe.signing.trust import Trust

if TYPE_CHECKING:
    from headframe.ledger.entries import Entry
    from headframe.prediction.predictor import Predictor
    from headframe.promotion.service import PromotionService

log = logging.getLogger("headframe")

_ATTEMPTS = 3  # to find alias and ledger in agreement, while others promote


def open_served_version(model: str, plan: Plan, uri: str, root: Path) -> tuple[ModelVersion, Predictor]:
    """Open the version that is meant by `NAME`, `NAME@ALIAS` or `NAME/VERSION`; `NAME` means its champion.

    The plan says whose signatures count, whether the ledger must name a champion, and by which policy.

    Raises:
        ConfigurationError: there is no such model, alias or version.
        Refused: its files are not what a trusted author signed. Or it is champion in MLflow, but not in the ledger; or
            by a promotion that the policy in force would not allow, or of other files; or the ledger is broken, or not
            the one that MLflow was written from.
        HeadframeError: its files are gone.
        DataError: they cannot be read.
    """
    trust = Trust.of(plan.team)
    if plan.promotion.served != "ledger" or not is_champion_name(model):
        version = resolve(model, uri)
        return version, load_model(version, uri, trust)
    from headframe.promotion.service import PromotionService, read_files, require_same  # noqa: PLC0415 - SQLAlchemy

    name = model.removeprefix("models:/").partition("@")[0]
    service = PromotionService(plan.promotion, trust, uri, root)
    version, entry = _champion_version(model, name, service)
    with signed_files(version, uri, trust) as (folder, signed):
        require_same(version, read_files(folder, signed), entry)
        return version, load_files(version, folder)


def _champion_version(model: str, name: str, service: PromotionService) -> tuple[ModelVersion, Entry]:
    """Return the champion named by MLflow and the entry that made it champion, if ledger and policy agree."""
    from headframe.ledger.entries import champion_entry  # noqa: PLC0415 - see `open_served_version`
    from headframe.promotion.promotion_checks import promotion_problems  # noqa: PLC0415 - see `open_served_version`

    for _ in range(_ATTEMPTS):
        unprojected = _project_pending(name, service)
        try:
            version = resolve(model, service.uri)
        except ConfigurationError as error:
            if unprojected is not None:  # the ledger may have a champion that is not in MLflow yet
                raise Refused(unprojected) from error
            raise
        entries = service.own_entries(name)  # after the alias was read, which is set when the entry is written
        entry = champion_entry(entries)
        if entry is not None and entry.version == version.number:
            break
    else:
        if unprojected is not None:
            raise Refused(unprojected)
        named = "names no champion" if entry is None else f"names version {entry.version}"
        raise Refused(
            f"MLflow calls version {version.number} of {name} champion, but the ledger {named}: the alias was moved "
            f"without the ledger; see: headframe models verify {name}"
        )
    if unprojected is not None:
        log.warning("champion  %s", unprojected)
    problems = promotion_problems(entries, entry, service)
    refuse_if(f"{name} is not served, since its promotion does not hold: {problems[0]}" if problems else None)
    return version, entry


def _project_pending(name: str, service: PromotionService) -> str | None:
    """Complete an interrupted projection; where this is not allowed, as for a reader, return a message about it."""
    try:
        service.project_pending(name)
    except (Refused, Unavailable):
        raise
    except HeadframeError as error:
        return (
            f"the last entries of the ledger about {name} are not in MLflow yet, and you may not write them ({error}); "
            f"have an author or approver do it: headframe models verify {name}"
        )
    return None
