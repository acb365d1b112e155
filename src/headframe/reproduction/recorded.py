"""What the registry says of a version, held against itself before any of it is used."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headframe.config.plan.plan import fingerprint_of
from headframe.errors import DataError, Refused
from headframe.records import Lineage, Provenance
from headframe.registry.signed_record import read_signed_provenance, require_signed_tags
from headframe.registry.versions import ModelVersion, signed_files
from headframe.signing.trust import Trust
from headframe.tracking import layout, tags
from headframe.tracking.client import make_client
from headframe.tracking.downloads import ArtifactMissing, download
from headframe.tracking.errors import readable_errors

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

    version: ModelVersion
    plan: bytes
    provenance: Provenance
    diff: bytes
    installed: dict[str, str]
    hardware: dict[str, str]

    @property
    def lineage(self) -> Lineage:
        """Code, libraries and machine."""
        return self.provenance.lineage

    @property
    def content(self) -> dict[str, Any]:
        """The stored plan as JSON; nothing is said of its parts before its digest was checked."""
        content: dict[str, Any] = json.loads(self.plan)
        return content

    @property
    def fingerprint(self) -> str:
        """The sha256 of the stored plan, which `Plan.fingerprint` was before it was stored."""
        try:
            return fingerprint_of(self.content)
        except ValueError:  # no JSON any more
            return hashlib.sha256(self.plan).hexdigest()

    @property
    def changes(self) -> str:
        """The sha256 of the stored diff."""
        return hashlib.sha256(self.diff).hexdigest()


def fetch(version: ModelVersion, uri: str, trust: Trust) -> Recorded:
    """Fetch what a version is rebuilt from, and check what it says of itself.

    Plan and diff are not judged here: where one of them was changed, that is a verdict.

    Raises:
        Refused: the version's files are not signed by somebody trusted; something is missing; or provenance, list of
            libraries, signature and tags contradict each other.
    """
    if tags.PROVENANCE not in version.tags:
        msg = f"{version.uri} does not say what it rests on (tag {tags.PROVENANCE} is missing): {UNKNOWN}"
        raise Refused(msg)
    client = make_client(uri)
    with signed_files(version, uri, trust) as (_, signed):
        require_signed_tags(version, signed)
    with readable_errors(uri):
        found = client.get_run(version.run_id)
        there = {each.path for each in _files(client, version.run_id)}
    run = dict(found.data.tags)
    wanted = (layout.PLAN, layout.PROVENANCE, layout.DIFF, layout.INSTALLED)
    lacking = [name for name in wanted if name not in there]
    if lacking:
        msg = f"{lacking[0]} of {version.uri} is missing in run {version.run_id}, so it cannot be reproduced"
        raise Refused(msg)
    place = found.info.artifact_uri
    with tempfile.TemporaryDirectory() as scratch:
        try:
            content = {name: download(f"{place}/{name}", uri, Path(scratch)).read_bytes() for name in wanted}
        except ArtifactMissing as error:
            msg = f"the files of run {version.run_id} of {version.uri} cannot be fetched: {error}"
            raise Refused(msg) from error
    try:
        provenance = read_signed_provenance(content[layout.PROVENANCE], version, signed)
    except DataError as error:
        raise Refused(str(error)) from error
    listed = content[layout.INSTALLED]
    origin = provenance.lineage
    came = hashlib.sha256(listed).hexdigest()
    if came != origin.installed:
        msg = (
            f"{layout.INSTALLED} of {version.uri} was changed: it is {came[:12]}, but {origin.installed[:12]} in its "
            "provenance.json; restore the registry from a copy"
        )
        raise Refused(msg)
    if origin.diff is None:
        note = run.get(tags.CODE_NOTE, "no reason is given")
        msg = f"the code of {version.uri} was not written down ({note}), so it cannot be had; commit, and train it anew"
        raise Refused(msg)
    return Recorded(
        version=version,
        plan=content[layout.PLAN],
        provenance=provenance,
        diff=content[layout.DIFF],
        installed=dict(line.split("==", 1) for line in listed.decode().splitlines()),
        hardware={name: value for name, value in run.items() if name.startswith("hardware.")},
    )


def _files(client: Any, run_id: str) -> Iterator[Any]:
    yield from client.list_artifacts(run_id)
    yield from client.list_artifacts(run_id, layout.CODE)
