"""What the registry says of a version, held against itself before any of it is used."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headframe.errors import Refused
from headframe.record import digest
from headframe.records import Origin, Provenance
from headframe.signing.trust import Trust
from headframe.tracking.address import open_client, speaking
from headframe.tracking.origin import PROVENANCE_TAG
from headframe.tracking.registry import BUNDLE_TAG, Version, signed_files

PLAN_TAG = "headframe.plan"
UNKNOWN = "it was registered before that was written down, or by other means, so it cannot be reproduced; train it anew"


@dataclass(frozen=True)
class Recorded:
    """Everything that a version is rebuilt from, but for code and data themselves.

    Attributes:
        version: which.
        plan: bytes of the stored plan.
        provenance: what the version rests on.
        diff: what differed from the commit.
        installed: version of each distribution.
        hardware: what the run says of the machine, by tag.
    """

    version: Version
    plan: bytes
    provenance: Provenance
    diff: bytes
    installed: dict[str, str]
    hardware: dict[str, str]

    @property
    def origin(self) -> Origin:
        """Code, libraries and machine."""
        return self.provenance.origin

    @property
    def content(self) -> dict[str, Any]:
        """The stored plan as JSON; nothing is said of its parts before its digest was checked."""
        content: dict[str, Any] = json.loads(self.plan)
        return content

    @property
    def fingerprint(self) -> str:
        """The sha256 of the stored plan, which `Plan.fingerprint` was before it was stored."""
        try:
            return digest(self.content)
        except ValueError:  # no JSON any more
            return hashlib.sha256(self.plan).hexdigest()

    @property
    def changes(self) -> str:
        """The sha256 of the stored diff."""
        return hashlib.sha256(self.diff).hexdigest()


def fetch(version: Version, uri: str, trust: Trust) -> Recorded:
    """Fetch what a version is rebuilt from, and check what it says of itself.

    Plan and diff are not judged here: where one of them was changed, that is a verdict.

    Raises:
        Refused: the version's files are not signed by somebody trusted; something is missing; or provenance, list of
            libraries, signature and tags contradict each other.
    """
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - seconds; a version without digests is refused

    promised = version.tags.get(PROVENANCE_TAG)
    if promised is None:
        msg = f"{version.uri} does not say what it rests on (tag {PROVENANCE_TAG} is missing): {UNKNOWN}"
        raise Refused(msg)
    client = open_client(uri)
    with signed_files(version, uri, trust) as (_, signed):
        claim = signed.claim
    with speaking(uri), tempfile.TemporaryDirectory() as scratch:
        tags = dict(client.get_run(version.run_id).data.tags)
        there = {each.path for each in _files(client, version.run_id)}
        wanted = ("plan.json", "provenance.json", "code/code.diff", "code/installed.txt")
        lacking = [name for name in wanted if name not in there]
        if lacking:
            msg = f"{lacking[0]} of {version.uri} is missing in run {version.run_id}, so it cannot be reproduced"
            raise Refused(msg)
        content = {}
        for name in wanted:
            place = download_artifacts(run_id=version.run_id, artifact_path=name, dst_path=scratch, tracking_uri=uri)
            content[name] = Path(place).read_bytes()
    text = content["provenance.json"]
    _require("provenance.json", hashlib.sha256(text).hexdigest(), promised, version, f"its tag {PROVENANCE_TAG}")
    try:
        provenance = Provenance.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        msg = f"provenance.json of {version.uri} cannot be read ({where}); it was written by another Headframe"
        raise Refused(msg) from error
    for name, tag, value in _told(provenance, promised):
        _require(f"tag {tag}", version.tags.get(tag, "nothing"), value, version, "its provenance.json")
        _require(f"{name} in its signature", str(claim.get(name)), value, version, "its provenance.json")
    signed_plan = str(claim.get("plan"))
    _require(
        "plan in its signature", signed_plan, version.tags.get(PLAN_TAG, "nothing"), version, f"its tag {PLAN_TAG}"
    )
    listed = content["code/installed.txt"]
    origin = provenance.origin
    _require("code/installed.txt", hashlib.sha256(listed).hexdigest(), origin.installed, version, "its provenance.json")
    if origin.diff is None:
        note = tags.get("headframe.code.note", "no reason is given")
        msg = f"the code of {version.uri} was not written down ({note}), so it cannot be had; commit, and train it anew"
        raise Refused(msg)
    return Recorded(
        version=version,
        plan=content["plan.json"],
        provenance=provenance,
        diff=content["code/code.diff"],
        installed=dict(line.split("==", 1) for line in listed.decode().splitlines()),
        hardware={name: value for name, value in tags.items() if name.startswith("hardware.")},
    )


def _told(provenance: Provenance, text: str) -> tuple[tuple[str, str, str], ...]:
    """Give what is said twice: its name in the signature, the version's tag, and the value in `provenance.json`."""
    return (
        ("provenance", PROVENANCE_TAG, text),
        ("table", "headframe.table", provenance.data.split.table.digest),
        ("split", "headframe.split", provenance.data.split.digest),
        ("bundle", BUNDLE_TAG, provenance.trained.bundle),
        ("predictions", "headframe.predictions", provenance.trained.predictions),
    )


def _require(what: str, found: str, promised: str, version: Version, where: str) -> None:
    if found != promised:
        msg = (
            f"{what} of {version.uri} was changed: it is {found[:12]}, but {promised[:12]} in {where}; "
            "restore the registry from a copy"
        )
        raise Refused(msg)


def _files(client: Any, run_id: str) -> Iterator[Any]:
    yield from client.list_artifacts(run_id)
    yield from client.list_artifacts(run_id, "code")
