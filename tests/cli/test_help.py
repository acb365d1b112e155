"""Help is printed at once: it imports nothing that takes a second."""

import subprocess
import sys

import pytest

HEAVY = {
    "torch", "lightning", "mlflow", "prefect", "great_expectations", "dvc", "hydra", "omegaconf", "pandas", "sklearn",
    "scipy", "pyarrow", "numpy", "matplotlib", "pydantic",
}  # fmt: skip
CODE = """
import atexit, sys
atexit.register(lambda: sys.stderr.write(" ".join(sorted({name.partition(".")[0] for name in sys.modules}))))
from headframe.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True)
    assert "headframe" in done.stdout
    imported = set(done.stderr.split())
    assert "headframe" in imported
    assert not imported & HEAVY
