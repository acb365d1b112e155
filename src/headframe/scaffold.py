"""A new project: `conf/` and `flows/` that its user owns from then on."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from headframe.digests import umask
from headframe.errors import ConfigurationError, HeadframeError
from headframe.signing.keys import SIGNER, own_key, own_keys

_COPIED = ("conf", "flows", "infra/prefect.yaml")
_SUFFIXES = (".py", ".yaml", ".md")

_GITIGNORE = """\
# What Headframe keeps for itself, and data, which DVC versions (commit data.dvc).
.headframe/
/data/
/predictions/

.venv/
__pycache__/
*.egg-info/
"""

_DVCIGNORE = """\
# What DVC need not look at.
.headframe
.venv
__pycache__
"""

_README = """\
# {name}

A [Headframe](https://pypi.org/project/headframe/) project.

```
headframe doctor                 # is everything in place?
headframe run                    # the default plan: raw data to a champion that answers
headframe list                   # what conf/ offers
headframe run model=mlp seed=3   # change a choice or a value
headframe up                     # pages of Prefect and MLflow on this machine
```

| folder | what | yours to |
|---|---|---|
| `conf/` | what to run: one YAML a thing | edit, add to |
| `flows/` | in which order | edit |
| `src/` | your own models, readers, tasks; named in `conf/` by `_target_: yourpackage.module.Name` | fill |
| `infra/prefect.yaml` | the flows as deployments with schedules | edit |
| `data/`, `.headframe/` | tables and everything Headframe keeps; never committed | leave |

Raw files of data sets that do not come with a package are looked for in the folder that `HEADFRAME_MIRROR` names.
"""

_SOURCE = """\
# src: your own code

Make a package here, such as `src/{package}/__init__.py`, and name what is in it from `conf/`:

```yaml
# conf/model/wide.yaml
# A network of our own.
_target_: {package}.wide.Wide  # class of (inputs, outputs, *, settings)
tasks: [classification]
inputs: [image]
width: 64
tiny: {{width: 4}}
```

`headframe run model=wide` then trains it. Packages in this folder are found without being installed.
"""


def init(target: Path) -> list[str]:
    """Make a new project.

    Args:
        target: a folder that is empty or does not exist.

    Returns:
        The files that were written, relative to `target`.

    Raises:
        ConfigurationError: the folder holds something.
        HeadframeError: it cannot be written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        msg = f"{target} is not an empty folder; name one that is empty or does not exist yet"
        raise ConfigurationError(msg)
    if not own_keys() and SIGNER not in os.environ:
        own_key()
    target = target.resolve()
    package = "".join(letter if letter.isalnum() else "_" for letter in target.name.lower()).strip("_") or "mine"
    written: dict[str, bytes] = {
        **_shipped(),
        ".gitignore": _GITIGNORE.encode(),
        ".dvcignore": _DVCIGNORE.encode(),
        "README.md": _README.format(name=target.name).encode(),
        "src/README.md": _SOURCE.format(package=package if package.isidentifier() else f"p_{package}").encode(),
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, written)
    except OSError as error:
        msg = f"{target} cannot be made: {error.strerror}; choose a folder that you may write"
        raise HeadframeError(msg) from error
    _make_repository(target)
    return sorted(written)


def _write(target: Path, files: dict[str, bytes]) -> None:
    """Fill a folder beside the target and put it in place at once: a kill leaves no half a project."""
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        for name, content in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        fresh.chmod(0o777 & ~umask())  # temporary folders are for their maker only
        fresh.rename(target)  # over an empty folder, too
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _shipped() -> dict[str, bytes]:
    """Read what a project starts with: from the wheel, or from the repository of an editable install."""
    origin = resources.files("headframe") / "_project"
    if not origin.is_dir():
        origin = Path(__file__).resolve().parents[2]
    if not (origin / "conf" / "plan.yaml").is_file():
        msg = "this installation carries no project to copy (headframe/_project is missing); install headframe again"
        raise HeadframeError(msg)
    return {path: content for name in _COPIED for path, content in _files(origin / name, PurePosixPath(name))}


def _files(origin: Traversable, path: PurePosixPath) -> Iterator[tuple[str, bytes]]:
    if origin.is_dir():
        for entry in sorted(origin.iterdir(), key=lambda each: each.name):
            if not entry.name.startswith((".", "__pycache__")):
                yield from _files(entry, path / entry.name)
    elif path.suffix in _SUFFIXES:
        yield str(path), origin.read_bytes()


def _make_repository(target: Path) -> None:
    """Put the project under git where git is there and no repository holds the folder already."""
    git = shutil.which("git")
    if git is None:
        return
    inside = subprocess.run(
        [git, "-C", str(target), "rev-parse", "--is-inside-work-tree"], capture_output=True, check=False
    )
    if inside.returncode != 0:
        subprocess.run([git, "-C", str(target), "init", "--quiet"], capture_output=True, check=False)
