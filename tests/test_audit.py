"""What the audit of the lock says: holes by name, and never that all is well where nothing was checked."""

import runpy
from pathlib import Path

AUDIT = runpy.run_path(str(Path(__file__).parents[1] / "infra" / "audit.py"))
SKIPPED = {"name": "yarl", "skip_reason": "Dependency not found on PyPI and could not be audited: yarl (1.25.1)"}
SOUND = {"name": "numpy", "version": "2.4.6", "vulns": []}
HOLE = {"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "PYSEC-2014-8", "fix_versions": ["2.7.2"]}]}


def test_where_nothing_was_checked_it_says_so():
    assert AUDIT["report"]([SKIPPED, SKIPPED]) == (
        ["audit: NOTHING was checked, as the package index knows no vulnerabilities (2 packages)"], 1,
    )  # fmt: skip


def test_holes_are_named_with_their_cure_and_fail():
    lines, code = AUDIT["report"]([SKIPPED, SOUND, HOLE])
    assert code == 1
    assert lines == [
        "audit: jinja2 2.4.1 has PYSEC-2014-8; fixed in 2.7.2",
        "audit: 2 of 3 packages of the lock checked, 1 known vulnerabilities",
    ]
    assert AUDIT["report"]([SOUND])[1] == 0
    AUDIT["ACCEPTED"]["PYSEC-2014-8"] = "reads no template of others"
    assert AUDIT["report"]([HOLE])[1] == 0
