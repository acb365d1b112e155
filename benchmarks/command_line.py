"""What the command line and the inline engine cost when there is nothing to do."""

import sys
import tempfile
import textwrap
from pathlib import Path

from benchmarks.measurement import Measurement, median, process

HELP_SECONDS = 0.05
FLOW_SECONDS = 0.3
THREE_STEPS = """
from pathlib import Path
from headframe.digests import Record
from headframe.orchestration import flow, step
from headframe.places import Places

class Number(Record):
    value: int

def one(places: Places) -> Number:
    return Number(value=1)

def two(number: Number, places: Places) -> Number:
    return Number(value=number.value + 1)

def three(number: Number, places: Places) -> Number:
    return Number(value=number.value + 1)

@flow(name="trivial")
def trivial(root: Path) -> Number:
    places = Places(root)
    first = step(one)(places)
    second = step(two)(first, places)
    return step(three)(second, places)

assert trivial(Path.cwd()).value == 3
"""


def measure() -> list[Measurement]:
    """CPU seconds of `--help` beside those of dvc, wall seconds of a trivial flow."""
    headframe = str(Path(sys.executable).parent / "headframe")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "trivial.py").write_text(textwrap.dedent(THREE_STEPS))
        helped = median(lambda: process([headframe, "--help"], folder).cpu, 7)
        # The best of its peers, with telemetry off and nothing to fetch.
        peer = median(lambda: process([str(Path(sys.executable).parent / "dvc"), "--help"], folder).cpu, 5)
        empty = median(lambda: process([sys.executable, "-c", "pass"], folder).cpu, 7)

        def flow() -> float:
            with tempfile.TemporaryDirectory() as fresh:
                return process([sys.executable, str(folder / "trivial.py")], Path(fresh)).wall

        trivial = median(flow, 5)
    return [
        Measurement(
            "--help",
            f"{helped:.3f} CPU-s, {helped / peer:.2f} of dvc's",
            f"dvc --help {peer:.2f} CPU-s, an empty Python {empty:.3f}",
            "< 0.05 CPU-s",
            helped < HELP_SECONDS,
        ),
        Measurement(
            "trivial three-step flow, inline", f"{trivial:.2f} s", "whole process", "< 0.3 s", trivial < FLOW_SECONDS
        ),
    ]
