"""What MLflow is told of the ledger: the alias, and which ledger it is told by, and how far that reached.

The tag makes known what the ledger's chain alone cannot tell: that its end was cut off, or all of it, or that another
ledger says who is champion.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headframe.errors import Refused
from headframe.registry.versions import CHAMPION, ModelVersion, set_champion
from headframe.tracking import tags
from headframe.tracking.client import make_client
from headframe.tracking.errors import readable_errors

if TYPE_CHECKING:
    from headframe.ledger.entries import Entry

_HEAD = re.compile(r"(?P<ledger>[0-9a-f]{64}) (?P<number>[1-9][0-9]{0,17}) (?P<digest>[0-9a-f]{64})")


@dataclass(frozen=True)
class Head:
    """How far a ledger reached when MLflow was last told of it.

    Attributes:
        ledger: digest of the chain's first entry, by which ledgers are told apart.
        number: of the last entry.
        digest: of the last entry.
    """

    ledger: str
    number: int
    digest: str

    def __str__(self) -> str:
        """As the tag has it."""
        return f"{self.ledger} {self.number} {self.digest}"


def show(model: str, version: int, reason: str, uri: str) -> None:
    """Have the alias name the champion."""
    set_champion(ModelVersion(model, version), reason, uri)


def take_down(model: str, uri: str) -> None:
    """Let no version serve as the champion."""
    client = make_client(uri)
    with readable_errors(uri):
        client.delete_registered_model_alias(model, CHAMPION)


def show_head(model: str, head: Head, uri: str) -> None:
    """Note how far the ledger reaches."""
    client = make_client(uri)
    with readable_errors(uri):
        client.set_registered_model_tag(model, tags.LEDGER, str(head))


def shown_head(model: str, uri: str) -> Head | None:
    """Give how far the ledger reached when MLflow was last told; None where it was never, or knows no such model.

    Raises:
        Refused: the tag says something else.
    """
    client = make_client(uri)
    with readable_errors(uri):
        # Not `get_registered_model`: a server with accounts answers that as if a model that is missing were hidden.
        found = client.search_registered_models(f"name = '{model}'")
    told = found[0].tags.get(tags.LEDGER) if found else None
    if told is None:
        return None
    match = _HEAD.fullmatch(told)
    if match is None:
        msg = (
            f"tag {tags.LEDGER} of {model} in MLflow is {told[:40]!r}, which names no entry of a ledger, so somebody "
            f"wrote it by hand; have who runs MLflow remove it, then: headframe models verify {model} --restore"
        )
        raise Refused(msg)
    return Head(match["ledger"], int(match["number"]), match["digest"])


def estrangement(model: str, entries: Sequence[Entry], head: Head | None, told: int, place: str) -> str | None:
    """Say why what MLflow was told of a model is not from this ledger, or from more of it than there is; None if it is.

    Args:
        model: name in the registry.
        entries: of the ledger, read after `head` was.
        head: what MLflow was last told.
        told: of how many entries this ledger remembers to have told it, read before `head` was.
        place: where this ledger is.
    """
    if head is None:
        return missing(model) if told else None
    other = "name that ledger with promotion.ledger or HEADFRAME_LEDGER"
    if not entries:
        return (
            f"MLflow was told of {head.number} entries about {model} by ledger {head.ledger[:12]}, but the ledger "
            f"{place} has none; {other}, or restore it from a copy"
        )
    if entries[0].digest != head.ledger:
        return (
            f"who is champion of {model} is told to MLflow by ledger {head.ledger[:12]}, not by this one ({place}, "
            f"{entries[0].digest[:12]}); {other}, or register under another name with promotion.model"
        )
    if head.number > len(entries):
        first, last = len(entries) + 1, head.number
        cut = f"entries {first} to {last} of {model} are" if first < last else f"entry {last} of {model} is"
        told_of = f"{cut} missing: MLflow was told of {last} entries"
    elif entries[head.number - 1].digest != head.digest:
        told_of = f"{entries[head.number - 1].told} is not the entry {head.number} that MLflow was told of"
    else:
        return None
    return f"{told_of}; the ledger's end was exchanged, restore it from a copy"


def missing(model: str) -> str:
    """Say that MLflow no longer has what it was told."""
    return (
        f"MLflow was told of the ledger of {model} (tag {tags.LEDGER}) and does not know it any more: somebody removed "
        "it, or made the model anew, or you may not see it; where all is well otherwise, tell it again with: headframe "
        f"models verify {model} --restore"
    )
