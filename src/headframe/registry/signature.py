"""Signatures of packaged models, verified before any of their files is used.

`model.dsse.json` next to `MLmodel` is an in-toto statement about every other file. A file that it does not list is
refused as much as one that was changed, since Python would import it from `code/`.
"""

import hashlib
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from headframe.config.plan.promotion import Role, TeamConfig
from headframe.digests import file_digest
from headframe.errors import Refused
from headframe.registry.layout import CODE, MLMODEL, SIGNATURE
from headframe.signing.envelope import sign_statement, verify_statement
from headframe.signing.keys import SigningKey, own_key
from headframe.signing.trust import Signer, Trust

KIND = "model"
LOADER = "headframe.registry.loader"  # module that loads the model in MLflow; no other one does
COMPILED = "__pycache__"
ADDED = "registered_model_meta"  # MLflow writes it when it downloads a model by its registered name

_ADVICE = "the command that trained it writes it again"
_SIGNS: tuple[Role, ...] = ("author", "approver")
_PICKLES = {".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pt", ".pth", ".ckpt"}
_CALLS = {"GLOBAL", "INST", "OBJ", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "STACK_GLOBAL"}
_BINARY = b"\x80"  # what a pickle of protocol 2 or later begins with, before the number of the protocol
_PROTOCOLS = range(2, 6)


class UnknownSigner(Refused):
    """A model is signed, but not by anybody trusted here."""


@dataclass(frozen=True)
class SignedModel:
    """A packaged model whose signature was checked.

    Attributes:
        signer: who signed it: the version's author.
        payload: what it was signed as: `model`, `run_id`, `headframe`, and the digests `plan`, `provenance`,
            `table`, `split`, `validated` (of the validation report), `bundle`, `predictions`, `evaluated` (of the
            metrics), `slices` and, where there are any, `findings`.
        digest: sha256 of the signed statement's file, which stands for every file of the model.
        files: sha256 of each other file, by its path in the model's folder.
    """

    signer: Signer
    payload: dict[str, Any]
    digest: str
    files: dict[str, str]


def signing_key(team: TeamConfig, name: str | None = None) -> SigningKey:
    """Return the key to sign models with.

    Args:
        team: who may.
        name: of the key; see `own_key`.

    Raises:
        ConfigurationError: there is no such key, or there are several and none is named.
        Refused: the team does not list it as an author's, or only until now.
    """
    key = own_key(name)
    if not team.people:
        return key
    signer = Trust.of(team).signers.get(key.public)
    if signer is None:
        raise Refused(
            f"key {key.name!r} is not in conf/team/, so a model that it signs would not be trusted; have its public "
            f"key listed with role author: {key.public}"
        )
    left = signer.expired(datetime.now(UTC))
    if left is not None:
        raise Refused(f"{left}, so it registers nothing new; sign with the key that replaced it")
    if "author" not in signer.roles:
        msg = f"{signer.name} is {' and '.join(signer.roles)} in conf/team/; to register models takes role author"
        raise Refused(msg)
    return key


def sign_package(folder: Path, key: SigningKey, payload: Mapping[str, str]) -> None:
    """Sign a packaged model: write `model.dsse.json` next to `MLmodel`.

    Args:
        folder: the one that holds `MLmodel`; nothing may be added to it afterwards.
        key: of the author.
        payload: see `SignedModel`.

    Raises:
        Refused: there is a pickle, or something else than the model's loader opens it.
    """
    (folder / SIGNATURE).unlink(missing_ok=True)
    files = _files(folder)
    _refuse_pickle(folder, files)
    subjects = {name: file_digest(path) for name, path in files.items()}
    (folder / SIGNATURE).write_text(sign_statement(KIND, subjects, payload, key), encoding="utf-8")


def read_package(folder: Path, trust: Trust, expected: Mapping[str, str] | None = None) -> SignedModel:
    """Verify a packaged model against its signature.

    What Python compiled in `code/` is not part of the model, and not verified: models are loaded from a copy without
    these files, as `model_files` yields it.

    Args:
        folder: the one that holds `MLmodel`.
        trust: whose signature counts.
        expected: what its payload must state, so that another version's files are not taken for this one's.

    Raises:
        UnknownSigner: it is not signed by anybody trusted.
        Refused: it is not signed, or by somebody who may not sign models; a file was changed, removed or
            added; the signature is of another version; there is a pickle, or something else opens the model.
    """
    envelope = folder / SIGNATURE
    if envelope.is_symlink() or not envelope.is_file():
        raise Refused(
            f"it is not signed ({SIGNATURE} is missing): it was registered before signatures were, or by other means; "
            "register it again with the command that trained it"
        )
    signed = read_statement(envelope.read_bytes(), trust, expected)
    files = _files(folder)
    by = f"{signed.signer.name} signed it; {_ADVICE}"
    for name in sorted(signed.files.keys() | files.keys()):
        if name not in files:
            raise Refused(f"{name} was removed after {by}")
        if name not in signed.files:
            raise Refused(f"{name} was added after {by}")
        if file_digest(files[name]) != signed.files[name]:
            raise Refused(f"{name} was changed after {by}")
    _refuse_pickle(folder, files)
    return signed


def read_statement(content: bytes, trust: Trust, expected: Mapping[str, str] | None = None) -> SignedModel:
    """Verify the signature of a packaged model, but not its files.

    Args:
        content: of `model.dsse.json`.
        trust: whose signature counts.
        expected: what its payload must state.

    Raises:
        Refused: as `read_package`, but for the files.
    """
    text = content.decode(errors="replace")
    try:
        opened = verify_statement(text, KIND, trust)
    except Refused as error:
        msg = f"its signature in {SIGNATURE} does not hold: {error}"
        raise (Refused if any(key in text for key in trust.signers) else UnknownSigner)(msg) from error
    if not set(opened.signer.roles) & set(_SIGNS):
        msg = f"{opened.signer.name} signed it, who is only {' and '.join(opened.signer.roles)}; have an author sign it"
        raise Refused(msg)
    for name, value in (expected or {}).items():
        if opened.payload.get(name) != value:
            raise Refused(
                f"its signature is about {name} {opened.payload.get(name)}, not {value}: these are files of another "
                f"version; {_ADVICE}"
            )
    return SignedModel(opened.signer, opened.payload, hashlib.sha256(content).hexdigest(), opened.subjects)


def _files(folder: Path) -> dict[str, Path]:
    """Return every file of a packaged model, but for its signature, by its path.

    Raises:
        Refused: there is something that is no file of its own.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Refused(f"{name} is a link or something else that is no file; a model consists of files of its own")
        if path.is_file() and name not in {SIGNATURE, ADDED} and not _is_compiled(path.relative_to(folder)):
            found[name] = path
    return found


def _is_compiled(path: Path) -> bool:
    return path.parts[0] == CODE and path.parent.name == COMPILED and path.suffix == ".pyc"


def _refuse_pickle(folder: Path, files: Mapping[str, Path]) -> None:
    """Refuse what could run other code than the model's own when it is loaded.

    Raises:
        Refused: there is a pickle, or `MLmodel` has it opened by something else than the model's loader.
    """
    for name, path in files.items():
        what = next(_pickles(name, path), None)
        if what is not None:
            msg = f"{what}, and loading a pickle runs any code that it holds; Headframe neither writes nor loads one"
            raise Refused(msg)
    try:
        flavors, loader = _flavors((folder / MLMODEL).read_bytes())
    except (OSError, yaml.YAMLError, RecursionError, KeyError, TypeError) as error:
        msg = f"MLmodel does not say how the model is opened ({type(error).__name__}); register it again"
        raise Refused(msg) from error
    if set(flavors) != {"python_function"} or loader != LOADER:
        msg = f"MLmodel has flavours {', '.join(flavors)} opened by {loader}; expected python_function by {LOADER}"
        raise Refused(msg)


@lru_cache(maxsize=64)  # a command opens a version several times, and parsing takes as long as all its other checks
def _flavors(content: bytes) -> tuple[tuple[str, ...], str]:
    """Return the flavours of an `MLmodel`, and the module that loads the model."""
    flavors = yaml.safe_load(content)["flavors"]
    return tuple(flavors), flavors["python_function"]["loader_module"]


def _pickles(name: str, path: Path) -> Iterator[str]:
    """Yield where in a file there is a pickle."""
    if path.suffix.lower() in _PICKLES:
        yield f"{name} has the name of a pickle"
    with path.open("rb") as stream:
        head = stream.read(2)
    if _is_binary_pickle(head) or _is_textual_pickle(path):
        yield f"{name} is a pickle"
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for inner in archive.namelist():
                with archive.open(inner) as member:
                    if Path(inner).suffix.lower() in _PICKLES or _is_binary_pickle(member.read(2)):
                        yield f"{name} holds {inner}, a pickle"
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise Refused(f"{name} is an archive that cannot be looked into ({error}); register the model again") from error


def _is_binary_pickle(head: bytes) -> bool:
    return head[:1] == _BINARY and len(head) > 1 and head[1] in _PROTOCOLS


def _is_textual_pickle(path: Path) -> bool:
    """Return whether a file without a pickle's first bytes reads as one that calls something: protocols 0 and 1."""
    calls = False
    with path.open("rb") as stream:
        try:
            for operation, _, _ in pickletools.genops(stream):
                calls |= operation.name in _CALLS
        except (ValueError, OverflowError, MemoryError):  # what is no pickle may ask for any number of bytes
            return False
        return calls and not stream.read(1)


def require_signer(team: TeamConfig, name: str | None = None) -> None:
    """Check, before anything long is done, that a model can be signed.

    Raises:
        HeadframeError: as `signing_key`, or others may read the key's file, or it holds no such key.
    """
    _ = signing_key(team, name).private
