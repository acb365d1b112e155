"""`headframe init`: a new project with its own `conf/` and `flows/`."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from headframe.config.project import require_usable
from headframe.digests import umask
from headframe.errors import ConfigurationError, HeadframeError
from headframe.signing.keys import SIGNER, own_key, own_keys

_SUFFIXES = (".py", ".yaml", ".md")

_GITIGNORE = """\
# Headframe's own files, and data, which DVC versions (commit data.dvc).
.headframe/
/data/
/predictions/

.venv/
__pycache__/
*.egg-info/

# Secrets.
.env
.env.*
*.pem
*.key
"""

_DVCIGNORE = """\
# What DVC ignores.
.headframe
.venv
__pycache__
"""

_README = """\
# {name}

A [Headframe](https://pypi.org/project/headframe/) project.

```
headframe doctor                 # is everything in place?
headframe run                    # the default plan: from raw data to a champion
headframe list                   # what conf/ offers
headframe run model=mlp seed=3   # change a choice or a value
headframe up                     # Prefect and MLflow on this machine
```

| folder | what | yours to |
|---|---|---|
| `conf/` | what to run: one YAML per model, data set, ... | edit and extend |
| `flows/` | in which order | edit |
| `src/` | your own models, readers, tasks; referenced in `conf/` by `_target_: yourpackage.module.Name` | fill |
| `infra/prefect.yaml` | the flows as deployments with schedules | edit |
| `data/`, `.headframe/` | tables and Headframe's own files; never committed | leave |

Raw files of data sets that do not come with a package are read from the folder in `HEADFRAME_MIRROR`.
"""

_SOURCE_README = """\
# src: your own code

Create a package here, such as `src/{package}/__init__.py`, and refer to its classes from `conf/`:

```yaml
# conf/model/wide.yaml
# A network of our own.
_target_: {package}.wide.Wide  # class of (inputs, outputs, *, settings)
tasks: [classification]
takes: [image]
width: 64
tiny: {{width: 4}}
```

`headframe run model=wide` then trains it. Packages in this folder are found without being installed.
"""


def init(target: Path) -> list[str]:
    """Create a new project in a folder that is empty or does not exist.

    Returns:
        The written files, relative to `target`.

    Raises:
        ConfigurationError: the folder is not empty, or a project cannot lie there because of its path.
        HeadframeError: it cannot be written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(f"{target} is not an empty folder; name one that is empty or does not exist yet")
    require_usable(target.resolve())
    if not own_keys() and SIGNER not in os.environ:
        own_key()
    target = target.resolve()
    package = "".join(letter if letter.isalnum() else "_" for letter in target.name.lower()).strip("_") or "mine"
    written: dict[str, bytes] = {
        **_shipped(),
        ".gitignore": _GITIGNORE.encode(),
        ".dvcignore": _DVCIGNORE.encode(),
        "README.md": _README.format(name=target.name).encode(),
        "src/README.md": _SOURCE_README.format(package=package if package.isidentifier() else f"p_{package}").encode(),
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, written)
    except OSError as error:
        msg = f"{target} cannot be created: {error.strerror}; choose a folder that you may write to"
        raise HeadframeError(msg) from error
    git = shutil.which("git")
    if git is not None:
        in_target = [git, "-C", str(target)]
        inside = subprocess.run([*in_target, "rev-parse", "--is-inside-work-tree"], capture_output=True, check=False)
        if inside.returncode:
            subprocess.run([*in_target, "init", "--quiet"], capture_output=True, check=False)
    return sorted(written)


def _write(target: Path, files: dict[str, bytes]) -> None:
    """Write into a temporary folder and rename it to the target: a kill leaves no half-written project."""
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        for name, content in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        fresh.chmod(0o777 & ~umask())  # temporary folders are private
        fresh.rename(target)  # also replaces an empty folder
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _shipped() -> dict[str, bytes]:
    """Return the files of a new project, from the wheel or from the repository of an editable install."""
    origin = Path(__file__).parent / "_project"
    if not origin.is_dir():
        origin = Path(__file__).resolve().parents[2]
    if not (origin / "conf" / "plan.yaml").is_file():
        msg = "this installation contains no project to copy (headframe/_project is missing); install headframe again"
        raise HeadframeError(msg)
    found = [origin / "infra" / "prefect.yaml", *(origin / "conf").rglob("*"), *(origin / "flows").rglob("*")]
    files = {file.relative_to(origin): file for file in found if file.suffix in _SUFFIXES}
    hidden = {path for path in files if any(part.startswith(".") for part in path.parts)}
    return {path.as_posix(): file.read_bytes() for path, file in files.items() if path not in hidden}
