"""What to sign of a version whose files are written again: no more than its author signed then.

The run keeps the plan and the provenance of the time when the version was registered, so these must be signed. The old
signature is believed. Where it is gone or damaged, nothing in MLflow is believed that is not of this very result.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from headframe.config.plan.plan import VersionPlan
from headframe.config.plan.promotion import TeamConfig
from headframe.config.project import Project
from headframe.digests import file_digest, load_json, validation_message
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.records import Provenance
from headframe.registry.request import RegistrationRequest
from headframe.registry.versions import ModelVersion, fetch_signature
from headframe.signing.trust import Trust
from headframe.tracking import layout, tags
from headframe.tracking.client import ArtifactMissing, artifacts_uri, download_bytes

_ADVICE = "restore the registry from a copy, or delete the version in MLflow and register it again"


def payload_to_sign_again(
    request: RegistrationRequest, team: TeamConfig, version: ModelVersion, uri: str
) -> dict[str, str]:
    """Return what to sign of a version besides its files.

    Args:
        request: the result that is registered here.
        team: whose signatures count.
        version: which carries its key.
        uri: MLflow's address.

    Raises:
        Refused: the version is of another result, or what its run keeps is.
    """
    try:
        signed = fetch_signature(version, uri, Trust.of(team))
    except Unavailable:
        raise
    except HeadframeError:
        return {**request.payload, **_signed_digests(request, version, uri)}
    require_identity(signed.payload, request, version)
    return {name: str(value) for name, value in signed.payload.items() if name != "run_id"}


def require_identity(signed: Mapping[str, Any], request: RegistrationRequest, version: ModelVersion) -> None:
    """Check that a version is of the result that is registered, since only a tag says so.

    Args:
        signed: what its author signed.
        request: the result that is registered here.
        version: which carries its key.

    Raises:
        Refused: it is of another result.
    """
    for name, ours in request.identity.items():
        if signed.get(name) != ours:
            raise Refused(
                f"{version.uri} carries the key of this result, but its author signed {name} "
                f"{str(signed.get(name))[:12]} instead of {ours[:12]}: its tag {tags.KEY} was changed; {_ADVICE}"
            )


def _signed_digests(request: RegistrationRequest, version: ModelVersion, uri: str) -> dict[str, str]:
    """Return the digests of plan, provenance and validation report that the run keeps.

    Raises:
        Refused: one of them is not of this result, or not what the version's tags say.
    """
    report = layout.validation_report(request.data.validated.report)
    content = {}
    artifacts = artifacts_uri(version.run_id, uri)
    for name in (layout.PLAN, layout.PROVENANCE, report):
        try:
            content[name] = download_bytes(f"{artifacts}/{name}", uri)
        except ArtifactMissing as error:
            msg = f"{version.uri} cannot be signed again: {name} of its run cannot be fetched ({error})"
            raise Refused(f"{msg}; {_ADVICE}") from error
    try:
        raw = load_json(content[layout.PLAN])
        plan = VersionPlan.model_validate(raw, context={"trusted": tuple(Project(request.root).packages)})
        provenance = Provenance.model_validate_json(content[layout.PROVENANCE])
    except ValueError as error:
        msg = f"{version.uri} cannot be signed again: plan or provenance in its run cannot be read"
        raise Refused(f"{msg} ({validation_message(error)}); {_ADVICE}") from error
    found = {
        "plan": plan.fingerprint,
        "provenance": hashlib.sha256(content[layout.PROVENANCE]).hexdigest(),
        "validated": hashlib.sha256(content[report]).hexdigest(),
    }
    ours = Provenance(
        data=request.data, trained=request.trained, evaluated=request.evaluated, lineage=provenance.lineage
    )
    wrong = None
    if plan.fingerprint != request.plan.fingerprint or found["plan"] != version.tags.get(tags.PLAN):
        wrong = layout.PLAN
    elif provenance != ours or found["provenance"] != version.tags.get(tags.PROVENANCE):
        wrong = layout.PROVENANCE
    elif found["validated"] != file_digest(request.validation):
        wrong = report
    if wrong is not None:
        msg = f"{version.uri} cannot be signed again: {wrong} of its run is not of the result that is registered here"
        raise Refused(f"{msg}, or not what was registered then; {_ADVICE}")
    return found
