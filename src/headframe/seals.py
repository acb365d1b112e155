"""Seals: what one's own steps wrote, distinguished from what was changed since, by accident or on purpose.

A seal is a keyed checksum (HMAC-SHA256). Its key is derived from a signing key, which lies outside of every project,
so nobody who may write to a project's files can change one and put its seal right. What was sealed with a key that is
not on this machine was made by somebody else, and is made again.
"""

import hashlib
import hmac

from headframe.environment import keys_folder

_PURPOSE = b"headframe seal\0"


def seal(content: bytes) -> str:
    """Return the seal of some bytes, 64 hex digits; without any key on this machine it is a checksum only."""
    return hmac.new(_secrets()[0], content, hashlib.sha256).hexdigest()


def require_seal(content: bytes, seal: str) -> None:
    """Check that a seal is of these bytes, by any key on this machine.

    Raises:
        ValueError: it is not.
    """
    expected = (hmac.new(secret, content, hashlib.sha256).hexdigest() for secret in _secrets())
    if not any(hmac.compare_digest(each.encode(), seal.encode()) for each in expected):
        raise ValueError("its seal is not that of its content by a key on this machine")


def _secrets() -> list[bytes]:
    files = sorted(keys_folder().glob("*.pem"))
    return [hashlib.sha256(_PURPOSE + file.read_bytes()).digest() for file in files] or [_PURPOSE]
