"""Signed statements: in-toto statements in DSSE envelopes, signed with Ed25519.

Formats: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md. An envelope is stored as one line of canonical
JSON, so that equal content has an equal digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headframe.digests import canonical, load_json
from headframe.errors import Refused
from headframe.signing.keys import SigningKey
from headframe.signing.trust import Signer, Trust

if TYPE_CHECKING:
    from securesystemslib.signer import Key

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
_RESTORE = "restore it from a copy"
PREDICATES = "https://headframe.dev/attestation"  # a name, not a page: the kind of statement, and its version


@dataclass(frozen=True)
class SignedStatement:
    """A statement whose signature was checked.

    Attributes:
        subjects: name and sha256 (64 hex digits) of what it is about.
        kind: as `approve` or `model`.
        payload: the predicate, as JSON.
        signer: who signed it.
    """

    subjects: dict[str, str]
    kind: str
    payload: dict[str, Any]
    signer: Signer


def sign_statement(kind: str, subjects: Mapping[str, str], payload: Mapping[str, Any], key: SigningKey) -> str:
    """Sign a statement and return its envelope, as one line of JSON.

    Args:
        kind: of the statement: small letters.
        subjects: name and sha256 of what it is about; at least one.
        payload: the predicate, as JSON.
        key: of the signer.
    """
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - only signing and checking need it
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415 - only signing and checking need it

    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(subjects.items())],
        "predicateType": _predicate(kind),
        "predicate": dict(payload),
    }
    envelope = Envelope(canonical(statement).encode(), PAYLOAD_TYPE, {})
    private = key.private
    envelope.sign(CryptoSigner(private, _public(private.public_key().public_bytes_raw().hex())))
    return canonical(envelope.to_dict())


def verify_statement(text: str, kind: str, trust: Trust) -> SignedStatement:
    """Check a signed statement: the text of its envelope, its kind, and that somebody trusted signed it.

    Raises:
        Refused: it is no such envelope, no trusted person signed it, it was changed after it was signed, or it is dated
            after its signer left.
    """
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - only checking needs it
    from securesystemslib.exceptions import FormatError, VerificationError  # noqa: PLC0415 - only checking needs it

    try:
        envelope = Envelope.from_dict(load_json(text))
        statement = load_json(envelope.payload)
        subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
        predicate, payload = statement["predicateType"], dict(statement["predicate"])
    except (ValueError, KeyError, TypeError, AttributeError, FormatError) as error:
        raise Refused(f"it cannot be read as a signed statement ({type(error).__name__}); {_RESTORE}") from error
    if not all(isinstance(each, str) for each in subjects.values()):
        raise Refused(f"it cannot be read as a signed statement (a digest of its subjects is no text); {_RESTORE}")
    signer = next((trust.signers[keyid] for keyid in envelope.signatures if keyid in trust.signers), None)
    if signer is None:
        signed = ", ".join(f"{keyid[:16]}..." for keyid in envelope.signatures) or "no signature"
        raise Refused(f"it is signed by an unknown key ({signed}); {trust.advice}")
    try:
        envelope.verify([_public(signer.key)], threshold=1)
    except VerificationError as error:
        raise Refused(f"it was changed after {signer.name} signed it; {_RESTORE}") from error
    if envelope.payload_type != PAYLOAD_TYPE or predicate != _predicate(kind):
        msg = f"it states {predicate}, not {_predicate(kind)}; a statement of one kind does not count as another"
        raise Refused(msg)
    if signer.until is not None and "time" in payload:  # a model's has none and does not expire
        _require_valid_at(payload["time"], signer)
    return SignedStatement(subjects, kind, payload, signer)


def _require_valid_at(time: object, signer: Signer) -> None:
    try:
        expired = signer.expired(datetime.fromisoformat(str(time)))
    except (ValueError, TypeError) as error:  # no time, or of no time zone
        msg = f"it is dated {time!r} by {signer.name}, which is no time as 2026-11-17T09:30:00Z; {_RESTORE}"
        raise Refused(msg) from error
    if expired is not None:
        raise Refused(f"it is of {time}, but {expired}; {_RESTORE}")


def _predicate(kind: str) -> str:
    return f"{PREDICATES}/{kind}/v1"


def _public(key: str) -> Key:
    """Return a public key as the library has it; its own value is its identifier."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - only checking needs it
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415 - only checking needs it

    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)), keyid=key)
