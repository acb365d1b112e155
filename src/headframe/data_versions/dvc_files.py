"""DVC's own files, read without importing dvc, which takes longer than a run that reuses everything.

`.dvc/config` and `.dvc/config.local` name the cache and the remotes; `data.dvc` names the list of the files in
`data/`; cache and remote hold that list and the files by their md5. The tests compare what is read here with what
DVC's public client says.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import yaml

log = logging.getLogger("headframe")


@dataclass(frozen=True)
class DvcSettings:
    """What a project sets for DVC; a later file overrides an earlier one, key by key.

    Attributes:
        folder: the project's `.dvc`.
        files: parsed, by name; those that there are.
    """

    folder: Path
    files: dict[str, configparser.ConfigParser]

    @classmethod
    def read(cls, root: Path, *, skip_unreadable: bool = False) -> DvcSettings:
        """Read the settings of the project in `root`.

        Args:
            root: the project's folder.
            skip_unreadable: leave out a damaged file with a warning.

        Raises:
            configparser.Error: a file is damaged.
            UnicodeDecodeError: a file is no text.
        """
        folder, files = root / ".dvc", {}
        for name in ("config", "config.local"):
            parser = _parser()
            try:
                if parser.read(folder / name, encoding="utf-8"):
                    files[name] = parser
            except (configparser.Error, UnicodeDecodeError) as error:
                if not skip_unreadable:
                    raise
                log.warning("%s cannot be read (%s), so it is left out", folder / name, error)
        return cls(folder, files)

    @property
    def cache(self) -> Path:
        """The folder of the cache."""
        return Path(self._absolute(self._get("cache", "dir") or "cache"))

    @property
    def remote(self) -> str:
        """The name of the default remote; empty where there is none."""
        return self._get("core", "remote")

    @property
    def remote_url(self) -> str:
        """The URL of the default remote, or its absolute path on this machine; empty where there is none."""
        url = self._get(_remote_section(self.remote), "url")
        return self._absolute(url) if url else ""

    @property
    def remote_folder(self) -> Path | None:
        """The folder of the default remote; None where it is not on this machine, or there is none."""
        url = self.remote_url
        return Path(url) if url and "://" not in url else None

    def with_remotes_only(self) -> dict[str, configparser.ConfigParser]:
        """Return the files as another project can have them: absolute paths, and a cache of its own."""
        found = {}
        for name, parser in self.files.items():
            found[name] = copy = _parser()
            copy.read_dict(parser)
            copy.remove_section("cache")
            for section in copy.sections():
                if section.startswith("'remote") and copy.has_option(section, "url"):
                    copy.set(section, "url", self._absolute(copy.get(section, "url")))
        return found

    def _get(self, section: str, option: str) -> str:
        found = [each.get(section, option) for each in self.files.values() if each.has_option(section, option)]
        return found[-1] if found else ""

    def _absolute(self, path: str) -> str:
        """Return a path, which is relative to the file that names it, or a URL, so that it means the same elsewhere."""
        return path if "://" in path else str((self.folder / path).resolve())


def settings_of_remote(name: str, folder: Path) -> configparser.ConfigParser:
    """Return settings whose default remote is a folder, from which only verified objects are taken."""
    parser = _parser()
    parser.read_dict({"core": {"remote": name}, _remote_section(name): {"url": str(folder), "verify": "true"}})
    return parser


def tracked_files(root: Path, store: Path) -> tuple[str, dict[str, str]]:
    """Return DVC's name of the data that `data.dvc` points to, and its files: path below `data/` to md5.

    Args:
        root: the project's folder.
        store: a cache or remote that holds the list of files.

    Raises:
        OSError, yaml.YAMLError, ValueError, LookupError, TypeError: a file is missing or damaged.
    """
    (output,) = yaml.safe_load((root / "data.dvc").read_text(encoding="utf-8"))["outs"]
    listing = json.loads(object_file(store, output["md5"]).read_text(encoding="utf-8"))
    return output["md5"], {entry["relpath"]: entry["md5"] for entry in listing}


def object_file(store: Path, md5: str) -> Path:
    """Return the path of an object in a cache or remote; it need not exist."""
    return store / "files" / "md5" / md5[:2] / md5[2:]


def table_digests(store: Path, name: str) -> dict[str, str]:
    """Return the digest of each data set's table in a version, as far as a cache or remote has what says it, whole."""
    listing, found = object_file(store, name), {}
    for entry in json.loads(listing.read_bytes()) if listing.is_file() and is_object(listing, name) else ():
        dataset, _, file = entry["relpath"].partition("/")
        about = object_file(store, entry["md5"])
        if file == "dataset.json" and about.is_file() and is_object(about, entry["md5"]):
            found[dataset] = str(json.loads(about.read_bytes())["digest"])
    return found


def is_object(file: Path, md5: str) -> bool:
    """Return whether a file of a cache or remote hashes to the name that it has there."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest() == md5.removesuffix(".dir")


def holds_objects(store: Path) -> bool:
    """Return whether a folder is a cache or remote that holds anything."""
    return (store / "files" / "md5").is_dir()


def _remote_section(name: str) -> str:
    return f"'remote \"{name}\"'"


def _parser() -> configparser.ConfigParser:
    return configparser.ConfigParser(interpolation=None)
