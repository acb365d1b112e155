"""Which version a person means who asks for a model, and whether it may be called champion."""

from __future__ import annotations

from pathlib import Path

from headframe.config.plan import Promotion
from headframe.errors import Refused
from headframe.signing.trust import Trust
from headframe.tracking.registry import Version, means_champion, resolve


def find(model: str, promotion: Promotion, trust: Trust, uri: str, root: Path) -> Version:
    """Find the version that is meant by `NAME`, `NAME@ALIAS` or `NAME/VERSION`; `NAME` means its champion.

    Args:
        model: the name.
        promotion: says whether a champion needs the ledger's word.
        trust: whose signatures count.
        uri: MLflow's address.
        root: the project's folder.

    Raises:
        ConfigurationError: there is no such model, alias or version.
        Refused: it is champion in MLflow, but not in the ledger, or the ledger is broken.
    """
    version = resolve(model, uri)
    if promotion.served == "ledger" and means_champion(model):
        _require_crowned(version, promotion, trust, root)
    return version


def _require_crowned(version: Version, promotion: Promotion, trust: Trust, root: Path) -> None:
    from headframe.promotion.ledger import CROWNS, Ledger  # noqa: PLC0415 - imports SQLAlchemy, for this alone

    ledger = Ledger.open(promotion, root)
    entries = ledger.entries(version.model, trust)
    crowned = next((entry.version for entry in reversed(entries) if entry.kind in CROWNS), None)
    if crowned != version.number:
        named = "names no champion" if crowned is None else f"names version {crowned}"
        msg = (
            f"MLflow calls version {version.number} of {version.model} champion, but the ledger {named}: the alias was "
            f"moved behind the ledger's back; see: headframe models verify {version.model}"
        )
        raise Refused(msg)
