"""What MLflow is told of the ledger: the alias, and how far the ledger reached when it was set."""

from __future__ import annotations

from headframe.tracking.address import open_client, speaking
from headframe.tracking.registry import CHAMPION, Version, make_champion

HEAD = "headframe.ledger"  # tag of the registered model: number and digest of the ledger's last entry at that time


def show(model: str, version: int, reason: str, head: str, uri: str) -> None:
    """Have the alias name the champion, and note how far the ledger reached.

    The tag makes it known where later the ledger's end is cut off, which its chain alone cannot tell.
    """
    make_champion(Version(model, version), reason, uri)
    client = open_client(uri)
    with speaking(uri):
        client.set_registered_model_tag(model, HEAD, head)


def shown_head(model: str, uri: str) -> tuple[int, str] | None:
    """Give number and digest of the last entry that MLflow was told of; None where it was told of none."""
    client = open_client(uri)
    with speaking(uri):
        head = client.get_registered_model(model).tags.get(HEAD, "")
    number, _, digest = head.partition(" ")
    return (int(number), digest) if number.isdecimal() else None


def take_down(model: str, uri: str) -> None:
    """Let no version serve as the champion."""
    client = open_client(uri)
    with speaking(uri):
        client.delete_registered_model_alias(model, CHAMPION)
