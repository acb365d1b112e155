"""The promises are asked of the choices of another project, such as one with all that `docs/extending.md` shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headframe.scaffold import init

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(
    r"^`([^`\n]+)`\n\n```\w+\n(.*?)^```$", (REPOSITORY / "docs/extending.md").read_text(), re.MULTILINE | re.DOTALL
)
"""The files that the document shows, and what is in them."""


@pytest.mark.slow
def test_what_the_document_shows_keeps_its_promises(tmp_path: Path) -> None:
    init(tmp_path / "own")
    for name, text in (("src/mine/__init__.py", ""), *EXAMPLES):
        file = tmp_path / "own" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    names = sorted({Path(name).stem for name, _ in EXAMPLES if name.startswith("conf/")})
    assert {"wide", "flowers", "worst_class", "labels", "margin"} <= set(names)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/promises", "-k", " or ".join(f"[{name}" for name in names)],
        cwd=REPOSITORY, env={**os.environ, "PROMISES_OF": str(tmp_path / "own")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= len(names)
