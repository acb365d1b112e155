"""What steps hand to each other: small, frozen, JSON, and equal when its content is equal."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen value that travels between steps; heavy things are named in it by digest and path."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True, allow_inf_nan=False
    )


def canonical(value: Any) -> str:
    """Spell a JSON value in the one way that digests are taken of: sorted keys, no blanks, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Give the sha256 (64 hex digits) of a JSON value or of a record."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return hashlib.sha256(canonical(plain).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Give the sha256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """Give one sha256 for all files below `folder`: their relative paths and bytes, in sorted order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest({path.relative_to(folder).as_posix(): file_digest(path) for path in files})


def write_atomically(path: Path, content: str | bytes) -> None:
    """Put `content` at `path` so that a reader, or a power cut, meets the old file or the new one, never half.

    Args:
        path: where the file shall stand; missing parent folders are made.
        content: text is written as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), 0o666 & ~umask())
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def umask() -> int:
    """Give the permissions that this process withholds; a temporary file has fewer than its user asked for."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_record(path: Path, record: BaseModel) -> None:
    """Write a record as indented JSON, atomically."""
    write_atomically(path, record.model_dump_json(indent=2) + "\n")
