"""A person's own Ed25519 keys: created once, stored outside every project, readable by their owner only."""

from __future__ import annotations

import getpass
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headframe.environment import KEYS, keys_folder, variable
from headframe.errors import ConfigurationError, HeadframeError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

log = logging.getLogger("headframe")

SIGNER = "HEADFRAME_SIGNER"  # variable that names the key to sign with, where there are several
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class SigningKey:
    """A private key on this machine.

    Attributes:
        name: of its file; what its owner is called while no team is listed in `conf/team/`.
        file: in PEM (PKCS #8), not encrypted, mode 0600.
    """

    name: str
    file: Path

    @property
    def private(self) -> Ed25519PrivateKey:
        """The key itself.

        Raises:
            HeadframeError: others may read the file, or it holds no Ed25519 key.
        """
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - only signing needs it
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - slow to import
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - slow to import

        mode = self.file.stat().st_mode & 0o777
        if mode & 0o077:
            msg = f"{self.file} has mode {mode:04o}, so others could sign as {self.name}; run: chmod 600 {self.file}"
            raise HeadframeError(msg)
        try:
            key = load_pem_private_key(self.file.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            msg = f"{self.file} is no private key in PEM ({error}); restore it from your copy"
            raise HeadframeError(msg) from error
        if not isinstance(key, Ed25519PrivateKey):
            msg = f"{self.file} holds a key of another kind; expected Ed25519, as `headframe init` makes it"
            raise HeadframeError(msg)
        return key

    @property
    def public(self) -> str:
        """The public key: 64 hex digits, as `conf/team/` lists it."""
        return self.private.public_key().public_bytes_raw().hex()


def own_keys() -> list[SigningKey]:
    """List the keys on this machine.

    Raises:
        ConfigurationError: their folder is none.
    """
    if keys_folder().is_file():
        raise ConfigurationError(f"{keys_folder()} is a file, but a folder of keys was expected; correct {KEYS}")
    return [SigningKey(file.stem, file) for file in sorted(keys_folder().glob("*.pem"))]


def create_key(name: str) -> SigningKey:
    """Create a key; an existing one is never replaced.

    Raises:
        ConfigurationError: the name cannot be one, or is taken.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: PLC0415 - slow to import

    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} cannot name a key; expected small letters, digits, - and _, as in anna")
    content = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = keys_folder() / f"{name}.pem"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_name(f".{name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(fresh, file)  # which, unlike a renaming, never replaces
    except FileExistsError:
        raise ConfigurationError(f"key {name!r} exists already, in {file}; choose another name") from None
    finally:
        fresh.unlink()
    return SigningKey(name, file)


def own_key(name: str | None = None) -> SigningKey:
    """Return the key to sign with: the named one, else that of `HEADFRAME_SIGNER`, else the only one, or a new one.

    Raises:
        ConfigurationError: there is no such key, or there are several and none is named.
    """
    named = "" if name else f" ({SIGNER} or --as names it)"
    name = name or variable(SIGNER)
    keys = own_keys()
    known = ", ".join(key.name for key in keys) or "none"
    if name is not None:
        found = next((key for key in keys if key.name == name), None)
        if found is None:
            msg = f"there is no key {name!r}{named} in {keys_folder()} ({known} there); create it: headframe key {name}"
            raise ConfigurationError(msg)
        return found
    if len(keys) > 1:
        raise ConfigurationError(f"{keys_folder()} holds several keys ({known}); name one with --as NAME or {SIGNER}")
    return keys[0] if keys else _first_key()


def _first_key() -> SigningKey:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "me"
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in user.lower()).strip("-")
    try:
        key = create_key(name or "me")
    except ConfigurationError:  # another process created it at the same time
        return own_key()
    log.info("key       %s created to sign with; its public key is %s (%s)", key.name, key.public, key.file)
    return key
