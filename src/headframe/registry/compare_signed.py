"""What MLflow stores of a version, compared with what its author signed: only the latter is believed."""

import hashlib
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from headframe.config.plan.plan import VersionPlan, fingerprint_of
from headframe.digests import load_json, validation_message
from headframe.errors import DataError, Refused
from headframe.records import Provenance
from headframe.registry.signature import SignedModel
from headframe.registry.versions import ModelVersion
from headframe.tracking import layout, tags


def require_signed_tags(version: ModelVersion, signed: SignedModel) -> None:
    """Check that a version's tags repeat what was signed.

    Raises:
        Refused: one is missing or differs.
    """
    for name, tag in tags.DIGESTS.items():
        if tag not in version.tags:
            msg = f"{version.uri} has no tag {tag}, so Headframe did not register it; register it with: headframe run"
            raise Refused(msg)
        came, wanted = version.tags[tag], signed.payload.get(name)
        if came != wanted:
            raise Refused(
                f"tag {tag} of {version.uri} was changed: it is {came[:12]}, but {str(wanted)[:12]} is {name} in its "
                f"signature by {signed.signer.name}; restore the registry from a copy"
            )


def require_signed_metric(version: ModelVersion, provenance: Provenance) -> None:
    """Check that the tags which show a version's primary metric show the one that was signed.

    Raises:
        Refused: one of them does not.
    """
    evaluated = provenance.evaluated
    name = evaluated.primary_metric
    signed = {tags.PRIMARY_METRIC: name, tags.metric(name): repr(evaluated.metrics[name].value)}
    for tag, wanted in signed.items():
        if version.tags.get(tag) != wanted:
            raise Refused(
                f"tag {tag} of {version.uri} was changed: it is {version.tags.get(tag)}, but {wanted} was signed; set "
                "it back in MLflow, or restore the registry from a copy"
            )


def require_signed_digest(came: str, name: str, file: str, version: ModelVersion, signed: SignedModel) -> None:
    """Check that a file of the version's run is the one that was signed.

    Args:
        came: sha256 of the file; of `plan.json`, of what it holds.
        name: of its digest in the signature.
        file: its name, for the message.
        version: whose.
        signed: what its author signed.

    Raises:
        Refused: it is another one, or nothing was signed of it.
    """
    wanted = signed.payload.get(name)
    if wanted is None:
        msg = f"the signature of {version.uri} does not say which {file} is its own; train and register it again"
        raise Refused(msg)
    if came != wanted:
        raise Refused(
            f"{file} of {version.uri} was changed: it has sha256 {came[:12]}, but {str(wanted)[:12]} was signed by "
            f"{signed.signer.name}; restore it from a copy"
        )


def require_signed_bytes(content: bytes, name: str, file: str, version: ModelVersion, signed: SignedModel) -> bytes:
    """Return the bytes of a file if they are those that were signed; see `require_signed_digest`."""
    require_signed_digest(hashlib.sha256(content).hexdigest(), name, file, version, signed)
    return content


def read_signed_provenance(content: bytes, version: ModelVersion, signed: SignedModel) -> Provenance:
    """Read `provenance.json`.

    Raises:
        Refused: it is not the one that was signed, or contradicts the rest of what was signed.
        DataError: it cannot be read.
    """
    require_signed_bytes(content, "provenance", layout.PROVENANCE, version, signed)
    try:
        found = Provenance.model_validate_json(content)
    except ValidationError as error:
        why = validation_message(error)
        msg = f"{layout.PROVENANCE} of {version.uri} cannot be read ({why}); it was written by another Headframe"
        raise DataError(msg) from error
    digests = {
        "table": found.data.split.table.digest,
        "split": found.data.split.digest,
        "bundle": found.trained.bundle,
        "predictions": found.trained.predictions,
        "evaluated": found.evaluated.digest,
    }
    for name, came in digests.items():
        wanted = str(signed.payload.get(name))
        if came != wanted:
            raise Refused(
                f"{layout.PROVENANCE} of {version.uri} names {name} {came[:12]}, but {wanted[:12]} was signed by "
                f"{signed.signer.name}; train and register it again"
            )
    return found


def read_signed_json(content: bytes, version: ModelVersion, signed: SignedModel) -> dict[str, Any]:
    """Read `plan.json` as JSON.

    Raises:
        Refused: it does not hold the plan that was signed.
    """
    try:
        found: dict[str, Any] = load_json(content)
        came = fingerprint_of(found)
    except ValueError:  # no JSON any more
        came = hashlib.sha256(content).hexdigest()
    require_signed_digest(came, "plan", layout.PLAN, version, signed)
    return found


def read_signed_plan(content: bytes, version: ModelVersion, signed: SignedModel, trusted: Sequence[str]) -> VersionPlan:
    """Read `plan.json`.

    Args:
        content: of the file.
        version: whose.
        signed: what its author signed.
        trusted: import prefixes of code that it may name besides Headframe's own.

    Raises:
        Refused: it does not hold the plan that was signed.
        DataError: it is no plan for this Headframe.
    """
    raw = read_signed_json(content, version, signed)
    try:
        return VersionPlan.model_validate(raw, context={"trusted": tuple(trusted)})
    except (ValueError, ValidationError) as error:
        msg = f"{layout.PLAN} of {version.uri} is no plan ({validation_message(error)}); train and register it again"
        raise DataError(msg) from error
