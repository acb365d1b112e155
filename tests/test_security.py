"""Every line of the threat model names a test that there is."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines()


def test_every_line_of_the_threat_model_names_tests_that_exist():
    rows = [line for line in LINES if line.startswith("| ") and not line.startswith("| wants ")]
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", row)
        assert named, row
        for file, test in named:
            text = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert f"\ndef {test}(" in text, f"{file}::{test}"
