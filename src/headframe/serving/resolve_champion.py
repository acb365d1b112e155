"""Which version a person means who asks for a model, whether it may be called champion, and its model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from headframe.config.plan.plan import Plan
from headframe.errors import ConfigurationError, DataError, HeadframeError, Refused, Unavailable
from headframe.registry.versions import ModelVersion, is_champion_name, load_model, resolve, signed_files
from headframe.signing.trust import Trust

if TYPE_CHECKING:
    from headframe.ledger.entries import Entry
    from headframe.prediction.predictor import Predictor
    from headframe.promotion.service import PromotionService

log = logging.getLogger("headframe")

_ATTEMPTS = 3  # at finding alias and ledger at one, while others promote


def open_asked(model: str, plan: Plan, uri: str, root: Path) -> tuple[ModelVersion, Predictor]:
    """Open the version that is meant by `NAME`, `NAME@ALIAS` or `NAME/VERSION`; `NAME` means its champion.

    Args:
        model: the name.
        plan: its team says whose signature counts, its promotion whether a champion needs the ledger's word, and by
            which policy.
        uri: MLflow's address.
        root: the project's folder.

    Raises:
        ConfigurationError: there is no such model, alias or version.
        Refused: its files are not what somebody trusted signed. Or it is champion in MLflow, but not by the word of the
            ledger; or by a promotion that the policy in force would not allow, or of other files; or the ledger is
            broken, or not the one that MLflow was told by.
        HeadframeError: its files are gone.
        DataError: they cannot be read.
    """
    trust = Trust.of(plan.team)
    if plan.promotion.served != "ledger" or not is_champion_name(model):
        version = resolve(model, uri)
        return version, load_model(version, uri, trust)
    from headframe.promotion.service import PromotionService, read_files, require_same  # noqa: PLC0415 - imports SQLAlchemy
    from headframe.registry.loader import load_package  # noqa: PLC0415 - imports torch

    name = model.removeprefix("models:/").partition("@")[0]
    # Whatever data set the plan is for: the policy holds for the model that is asked about.
    service = PromotionService(plan.promotion.model_copy(update={"model": name}), trust, uri, root)
    version, promotion_entry = _champion_version(model, name, service)
    with signed_files(version, uri, trust) as (folder, signed):
        require_same(version, read_files(folder, signed), promotion_entry)
        try:
            return version, load_package(folder)
        except DataError as error:
            msg = f"{version.uri} is damaged: {error}"
            raise DataError(msg) from error


def _champion_version(model: str, name: str, service: PromotionService) -> tuple[ModelVersion, Entry]:
    """Give the champion by MLflow's word and the entry that made it champion, if ledger and policy agree.

    Raises:
        ConfigurationError: there is no such model, or it has no champion.
        Refused: they do not.
    """
    from headframe.promotion.promotion_checks import promotion_problems  # noqa: PLC0415 - see `open_asked`

    for _ in range(_ATTEMPTS):
        untold = _finish(name, service)
        version = _shown(model, untold, service)
        entries = service.own_entries(name)  # after the alias was read, which is set when the entry is written
        promotion_entry = _champion(entries)
        if promotion_entry is not None and promotion_entry.version == version.number:
            break
    else:
        if untold is not None:
            raise Refused(untold)
        named = "names no champion" if promotion_entry is None else f"names version {promotion_entry.version}"
        msg = (
            f"MLflow calls version {version.number} of {name} champion, but the ledger {named}: the alias was moved "
            f"without the ledger; see: headframe models verify {name}"
        )
        raise Refused(msg)
    if untold is not None:
        log.warning("champion  %s", untold)
    against = promotion_problems(entries, promotion_entry, service)
    if against:
        msg = f"{name} is not served, since its promotion does not hold: {against[0]}"
        raise Refused(msg)
    return version, promotion_entry


def _champion(entries: tuple[Entry, ...]) -> Entry | None:
    from headframe.ledger.entries import champion_entry  # noqa: PLC0415 - see `open_asked`

    return champion_entry(entries)


def _finish(name: str, service: PromotionService) -> str | None:
    """Tell MLflow what a kill kept from it; where one may not, as a reader, give the sentence that says so."""
    try:
        service.project_pending(name)
    except (Refused, Unavailable):
        raise
    except HeadframeError as error:
        return (
            f"the last entries of the ledger about {name} were not told to MLflow yet, and cannot be by you ({error}); "
            f"have an author or approver do it: headframe models verify {name}"
        )
    return None


def _shown(model: str, untold: str | None, service: PromotionService) -> ModelVersion:
    """Give the version that MLflow calls champion.

    Raises:
        ConfigurationError: there is no such model, or it has no champion.
        Refused: the ledger has one that MLflow was not told of.
    """
    try:
        return resolve(model, service.uri)
    except ConfigurationError as error:
        if untold is not None:
            raise Refused(untold) from error
        raise
