"""The recorded run of a version, checked against its signature before any of it is used."""

import hashlib
from dataclasses import dataclass
from typing import Any

from headframe.config.plan.plan import fingerprint_of
from headframe.digests import load_json
from headframe.errors import DataError, Refused
from headframe.records import Lineage, Provenance
from headframe.registry.compare_signed import read_signed_provenance, require_signed_tags
from headframe.registry.versions import ModelVersion, signed_files
from headframe.signing.trust import Trust
from headframe.tracking import layout, tags
from headframe.tracking.client import ArtifactMissing, download_bytes, open_client


@dataclass(frozen=True)
class RecordedRun:
    """Everything that a version is rebuilt from, except code and data themselves."""

    version: ModelVersion
    plan: bytes  # as stored
    provenance: Provenance
    diff: bytes  # from the commit
    installed: dict[str, str]  # version of each distribution
    hardware: dict[str, str]  # tags of the run about its machine

    @property
    def lineage(self) -> Lineage:
        """Code, libraries and machine."""
        return self.provenance.lineage

    @property
    def content(self) -> dict[str, Any]:
        """The stored plan as JSON; read it only after its digest was checked."""
        content: dict[str, Any] = load_json(self.plan)
        return content

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the stored plan; see `Plan.fingerprint`."""
        try:
            return fingerprint_of(self.content)
        except ValueError:  # no JSON any more
            return hashlib.sha256(self.plan).hexdigest()

    @property
    def diff_digest(self) -> str:
        """The sha256 of the stored diff."""
        return hashlib.sha256(self.diff).hexdigest()


def fetch_recorded_run(version: ModelVersion, uri: str, trust: Trust) -> RecordedRun:
    """Fetch what a version is rebuilt from, and check that it is consistent; a changed plan or diff is a verdict.

    Raises:
        Refused: the version's files are not signed by somebody trusted; something is missing; or provenance, list of
            libraries, signature and tags contradict each other.
    """
    if tags.PROVENANCE not in version.tags:
        raise Refused(
            f"{version.uri} has no provenance (tag {tags.PROVENANCE} is missing): an older Headframe, or another "
            "program, registered it, so it cannot be reproduced; train and register it again"
        )
    with signed_files(version, uri, trust) as (_, signed):
        require_signed_tags(version, signed)
    with open_client(uri) as client:
        run = client.get_run(version.run_id)
        listed = [*client.list_artifacts(version.run_id), *client.list_artifacts(version.run_id, layout.CODE)]
    needed = (layout.PLAN, layout.PROVENANCE, layout.DIFF, layout.INSTALLED)
    missing = [name for name in needed if name not in {each.path for each in listed}]
    if missing:
        raise Refused(f"{missing[0]} of {version.uri} is missing in run {version.run_id}, so it cannot be reproduced")
    try:
        content = {name: download_bytes(f"{run.info.artifact_uri}/{name}", uri) for name in needed}
        provenance = read_signed_provenance(content[layout.PROVENANCE], version, signed)
    except ArtifactMissing as error:
        raise Refused(f"the files of run {version.run_id} of {version.uri} cannot be fetched: {error}") from error
    except DataError as error:
        raise Refused(str(error)) from error
    installed, lineage = content[layout.INSTALLED], provenance.lineage
    found = hashlib.sha256(installed).hexdigest()
    if found != lineage.installed:
        raise Refused(
            f"{layout.INSTALLED} of {version.uri} was changed: it is {found[:12]}, but {lineage.installed[:12]} in its "
            "provenance.json; restore the registry from a copy"
        )
    if lineage.diff is None:
        note = run.data.tags.get(tags.CODE_NOTE, "no reason is given")
        raise Refused(f"the code of {version.uri} was not stored ({note}); commit it, and train the version again")
    return RecordedRun(
        version=version,
        plan=content[layout.PLAN],
        provenance=provenance,
        diff=content[layout.DIFF],
        installed=dict(line.split("==", 1) for line in installed.decode().splitlines()),
        hardware={name: value for name, value in run.data.tags.items() if name.startswith("hardware.")},
    )
