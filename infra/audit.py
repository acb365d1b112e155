"""Look up the packages of the lock among known vulnerabilities: `make lint` lists them, `make audit` fails by them.

A hole that was published overnight stops no unrelated change, which is why lint only names it. Where the service does
not answer, as behind a mirror of the package index, one line says that nothing was checked, and `make audit` fails.
"""

import importlib.util
import json
import subprocess
import sys
from typing import Any

ACCEPTED: dict[str, str] = {}
"""Holes that do not concern Headframe: the id, and why."""

COMMAND = (
    "-m", "pip_audit", "--requirement", "constraints.txt", "--no-deps", "--disable-pip", "--progress-spinner", "off",
    "--format", "json",
)  # fmt: skip


def main() -> int:
    """Print what was found; return the exit code, which is 0 without `--strict` where pip-audit is there."""
    strict = "--strict" in sys.argv[1:]
    if importlib.util.find_spec("pip_audit") is None:
        print("audit: pip-audit is not installed; run: bash infra/install.sh")  # noqa: T201
        return 1
    ran = subprocess.run([sys.executable, *COMMAND], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(ran.stdout)["dependencies"]
    except ValueError:
        reason = (ran.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"audit: NOTHING was checked, as known vulnerabilities cannot be looked up: {reason[:200]}")  # noqa: T201
        return int(strict)
    lines, code = report(packages)
    print("\n".join(lines))  # noqa: T201
    return code if strict else 0


def report(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Return what pip-audit found as lines for people, and the exit code."""
    count = len(packages)
    skipped = sum("skip_reason" in each for each in packages)
    if skipped == count:
        return [f"audit: NOTHING was checked, as the package index knows no vulnerabilities ({count} packages)"], 1
    found = [
        f"audit: {each['name']} {each['version']} has {hole['id']}; fixed in {', '.join(hole['fix_versions']) or '-'}"
        for each in packages
        for hole in each.get("vulns", ())
        if hole["id"] not in ACCEPTED
    ]
    last = f"audit: {count - skipped} of {count} packages of the lock checked, {len(found)} known vulnerabilities"
    return [*found, last], 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
