"""Seals: what one's own steps wrote, distinguished from what was changed since, by accident or on purpose.

A seal is a keyed checksum (HMAC-SHA256), after the name of its key. The key is derived from a signing key, which lies
outside of every project, so nobody who may write to a project's files can change one and put its seal right. What was
sealed with a key that is not on this machine was made by somebody else, and is made again.
"""

import hashlib
import hmac
import re

from headframe.environment import KEYS, keys_folder

LENGTH = 72  # characters of a seal
_NAME = 8  # of them, of the name of its key
_PURPOSE = b"headframe seal\0"


class OtherKey(ValueError):
    """Something was sealed with a key that is not on this machine."""


def seal(content: bytes) -> str:
    """Return the seal of some bytes, hex digits; without any key on this machine it is a checksum only."""
    return _seal(_secrets()[0], content)


def require_seal(content: bytes, seal: str) -> None:
    """Check that a seal is of these bytes, by any key on this machine.

    Raises:
        OtherKey: it names another key.
        ValueError: it is not of these bytes.
    """
    possible = [_seal(secret, content) for secret in _secrets()]
    if any(hmac.compare_digest(each.encode(), seal.encode()) for each in possible):
        return
    names = {each[:_NAME] for each in possible}
    if re.fullmatch(f"[0-9a-f]{{{LENGTH}}}", seal) is None or seal[:_NAME] in names:
        raise ValueError("its seal is not that of its content by a key on this machine")
    if seal[:_NAME] == _seal(_PURPOSE, b"")[:_NAME]:
        raise OtherKey("it was sealed when there was no key on this machine")
    advice = f"to reuse what was made with it, as in CI, keep its file ({KEYS} names the folder)"
    raise OtherKey(f"it was sealed with a key that is not in {keys_folder()}; {advice}")


def _seal(secret: bytes, content: bytes) -> str:
    name = hashlib.sha256(b"name\0" + secret).hexdigest()[:_NAME]
    return name + hmac.new(secret, content, hashlib.sha256).hexdigest()


def _secrets() -> list[bytes]:
    files = sorted(keys_folder().glob("*.pem"))
    return [hashlib.sha256(_PURPOSE + file.read_bytes()).digest() for file in files] or [_PURPOSE]
