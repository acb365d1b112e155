"""Which lines and branches of headframe the tests run, in their own processes and in what those fork.

SlipCover puts its probes into the bytecode and takes them out again once they have been seen. Under Python 3.11
coverage.py traces every call of every library instead: half as much CPU time again for tests/gates, where this costs
none that could be measured. Importing this module begins it, so it comes before headframe.

What a test starts as a process of its own is not counted, but for the programs that fork many runs:
`python tests/measured.py PROGRAM` runs those.
"""

import atexit
import json
import os
import runpy
import sys
import tempfile
from pathlib import Path

import slipcover

SOURCE = Path(__file__).resolve().parents[1] / "src" / "headframe"
FOLDER = os.environ.get("TEST_COVERAGE")
"""Takes what each process has seen; nothing is measured without it."""
LOW = 75
"""In percent; what has less is named."""


# A probe goes once it has been hit this often after the first time; SlipCover then looks through all functions there
# are, which takes longer than a thousand hits.
_recorder = None if FOLDER is None else slipcover.Slipcover(branch=True, d_miss_threshold=1000)


def measure() -> None:
    """Note from now on what this process and its forks run of modules that are not imported yet."""
    if _recorder is None:
        return
    slipcover.ImportManager(_recorder, slipcover.FileMatcher(sources=[SOURCE])).__enter__()
    leave = os._exit

    def write_and_leave(code: int) -> None:
        write()
        leave(code)

    os._exit = write_and_leave  # forks end by it, without what atexit has
    atexit.register(write)


def write() -> None:
    """Write what this process and those that it is a fork of have seen so far."""
    if _recorder is None:
        return
    seen = {
        name: [*_recorder.all_seen.get(name, ()), *_recorder.newly_seen.get(name, ())]
        for name in {*_recorder.all_seen, *_recorder.newly_seen}
    }
    with tempfile.NamedTemporaryFile("w", dir=FOLDER, suffix=".part", delete=False) as file:
        json.dump(seen, file)
    Path(file.name).rename(Path(file.name).with_suffix(".json"))  # a process that is killed leaves no half of one


def report() -> str:
    """Return the share that all processes together have run so far, and which files have little of it."""
    assert FOLDER is not None
    whole = slipcover.Slipcover(branch=True, source=[str(SOURCE)])
    for file in Path(FOLDER).glob("*.json"):
        for name, seen in json.loads(file.read_text()).items():
            whole.all_seen[name].update(tuple(place) if isinstance(place, list) else place for place in seen)
    measured = whole.get_coverage()
    shares = {
        Path(name).resolve().relative_to(SOURCE).as_posix(): content["summary"]["percent_covered"]
        for name, content in measured["files"].items()
    }
    low = [f"{share:3.0f} %  {name}" for name, share in sorted(shares.items(), key=lambda pair: pair[1]) if share < LOW]
    summary = measured["summary"]
    lines, branches = (
        f"{summary[f'covered_{kind}']:,} of {summary[f'covered_{kind}'] + summary[f'missing_{kind}']:,} {kind}"
        for kind in ("lines", "branches")
    )
    return "\n".join([*low, f"coverage: {summary['percent_covered']:.1f} % ({lines}, {branches})"])


measure()

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
