"""The projection of the ledger in MLflow: the champion's alias, and a tag with the ledger's head.

The tag reveals what the ledger's chain alone cannot: that its end was cut off, or all of it, or that another ledger
names the champion.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from headframe.errors import Refused
from headframe.ledger.entries import Entry
from headframe.registry.versions import CHAMPION
from headframe.tracking import tags
from headframe.tracking.address import is_server
from headframe.tracking.client import open_client
from headframe.tracking.database import tag_of_model

_HEAD = re.compile(r"(?P<ledger>[0-9a-f]{64}) (?P<number>[1-9][0-9]{0,17}) (?P<digest>[0-9a-f]{64})")


@dataclass(frozen=True)
class LedgerHead:
    """The end of a ledger when MLflow was last written."""

    ledger: str  # digest of the chain's first entry, which identifies the ledger
    number: int  # of the last entry
    digest: str  # of the last entry

    def __str__(self) -> str:
        """Return the value of the tag."""
        return f"{self.ledger} {self.number} {self.digest}"


def delete_alias(model: str, uri: str) -> None:
    """Delete the champion's alias, so that no version is served as the champion."""
    with open_client(uri) as client:
        client.delete_registered_model_alias(model, CHAMPION)


def set_head(model: str, head: LedgerHead, uri: str) -> None:
    """Set the tag with the ledger's head."""
    with open_client(uri) as client:
        client.set_registered_model_tag(model, tags.LEDGER, str(head))


def read_head(model: str, uri: str) -> LedgerHead | None:
    """Return the ledger's head as MLflow has it; None where it has none, or knows no such model.

    Raises:
        Refused: the tag holds something else.
    """
    if is_server(uri):
        with open_client(uri) as client:
            # Not `get_registered_model`: for it a server with accounts reports a missing model as a hidden one.
            found = client.search_registered_models(f"name = '{model}'")
        tag = found[0].tags.get(tags.LEDGER) if found else None
    else:
        tag = tag_of_model(uri, model, tags.LEDGER)
    if tag is None:
        return None
    match = _HEAD.fullmatch(tag)
    if match is None:
        raise Refused(
            f"tag {tags.LEDGER} of {model} in MLflow is {tag[:40]!r}, which names no entry of a ledger, so it was "
            "written by hand; have MLflow's administrator remove it, then: headframe models verify "
            f"{model} --restore"
        )
    return LedgerHead(match["ledger"], int(match["number"]), match["digest"])


def ledger_mismatch(
    model: str, entries: Sequence[Entry], head: LedgerHead | None, projected: int, location: str
) -> str | None:
    """Return why MLflow's head of a model is not from this ledger, or from more entries than are left; None if it is.

    First `projected` must have been read, the number of entries that this ledger has noted as written to MLflow, then
    `head`, then `entries`.
    """
    if head is None and projected:
        return (
            f"MLflow had the head of the ledger of {model} (tag {tags.LEDGER}) and has it no longer: the tag was "
            "removed, or the model was created again, or you may not see it; if all else is well, write it again with: "
            f"headframe models verify {model} --restore"
        )
    if head is None:
        return None
    other = "name that ledger with promotion.ledger or HEADFRAME_LEDGER"
    if not entries:
        return (
            f"MLflow knows of {head.number} entries about {model} from ledger {head.ledger[:12]}, but the ledger "
            f"{location} has none; {other}, or restore it from a copy"
        )
    if entries[0].digest != head.ledger:
        return (
            f"MLflow has the champion of {model} from ledger {head.ledger[:12]}, not from this one ({location}, "
            f"{entries[0].digest[:12]}); {other}, or register under another name with promotion.model"
        )
    if head.number > len(entries):
        first, last = len(entries) + 1, head.number
        cut = f"entries {first} to {last} of {model} are" if first < last else f"entry {last} of {model} is"
        problem = f"{cut} missing: MLflow knows of {last} entries"
    elif entries[head.number - 1].digest != head.digest:
        problem = f"{entries[head.number - 1].label} is not the entry {head.number} that MLflow knows of"
    else:
        return None
    return f"{problem}; the ledger's end was replaced, restore it from a copy"
