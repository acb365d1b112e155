"""Records, which steps exchange, and digests: equal content, equal digest."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.config import JsonDict

from headframe.errors import first_line


class Record(BaseModel):
    """A frozen value that steps exchange; heavy things are named in it by digest and path."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True, allow_inf_nan=False
    )


def load_json(content: str | bytes, **settings: Any) -> Any:
    """Return JSON as Python values, as `json.loads` does with these settings.

    Raises:
        ValueError: it is no JSON, or nested deeper than Python reads.
    """
    try:
        return json.loads(content, **settings)
    except RecursionError:
        raise ValueError("its lists or objects are nested too deeply to be read") from None


def validation_message(error: Exception) -> str:
    """Return in one line what is wrong with something that was read; pydantic's first line only counts problems."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


ORDERED: JsonDict = {"ordered": True}
"""Marks a field with a mapping whose entries are used in their order, so that another order has another digest."""


def canonical(value: Any) -> str:
    """Return the canonical form of a JSON value, of which digests are taken: sorted keys, no blanks, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_content(value: Any, exclude: set[str] | None = None) -> Any:
    """Return JSON with records in it as the JSON that identifies it: fields that equal their default are left out.

    So a new field with a default changes no digest that was taken before. The other side of this: the default of an
    existing field must never change, since equal digests would then stand for unequal values. Arguments of a component
    have no default that is known here and stay as they are; the order of a sequence counts, and that of a mapping where
    its field is `ORDERED`. Fields of a record that `exclude` names are left out, too.
    """
    if isinstance(value, BaseModel):
        return _ordered(value, value.model_dump(mode="json", exclude_defaults=True, exclude=exclude))
    if isinstance(value, Mapping):
        return {str(key): digest_content(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [digest_content(inner) for inner in value]
    return value


def _ordered(value: Any, content: Any) -> Any:
    """Return the JSON of a value with mappings whose order counts as lists of pairs."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            key = field.alias or name
            if key in content:
                found = _ordered(getattr(value, name), content[key])
                content[key] = [*found.items()] if field.json_schema_extra == ORDERED else found
    elif isinstance(value, Mapping):
        return {str(key): _ordered(inner, content[str(key)]) for key, inner in value.items()}
    elif isinstance(value, list | tuple):
        return [_ordered(inner, given) for inner, given in zip(value, content, strict=True)]
    return content


def digest(value: Any) -> str:
    """Return the sha256 (64 hex digits) of the `digest_content` of a value."""
    return hashlib.sha256(canonical(digest_content(value)).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the sha256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """Return one sha256 for all files below `folder`: their relative paths and bytes, in sorted order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest({path.relative_to(folder).as_posix(): file_digest(path) for path in files})


def file_digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file below `folder` by its relative path, in sorted order.

    Hidden files, and files in hidden folders, are left out: they are temporary, or differ between equal results.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder): path for path in paths}
    return {
        name.as_posix(): file_digest(path)
        for name, path in names.items()
        if not any(part.startswith(".") for part in name.parts)
    }


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a file to write, which takes the place of `path` at the end; after an error `path` is as it was."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    fresh = Path(name)
    try:
        yield fresh
        fresh.chmod(0o666 & ~umask())  # a temporary file is readable by its owner only
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str | bytes) -> None:
    """Write a file, text as UTF-8, so that a reader, or a power cut, finds the old content or the new one.

    Missing parent folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as fresh, fresh.open("wb") as stream:
        stream.write(text.encode() if isinstance(text, str) else text)
        stream.flush()
        os.fsync(stream.fileno())


def umask() -> int:
    """Return the permissions that this process withholds from new files."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_record(path: Path, record: BaseModel) -> None:
    """Write a record as indented JSON, atomically."""
    write_atomically(path, record.model_dump_json(indent=2) + "\n")
