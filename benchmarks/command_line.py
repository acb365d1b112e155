"""What the command line and the inline engine cost when there is nothing to do."""

import sys
import tempfile
import textwrap
from pathlib import Path

from benchmarks.measurement import Measurement, median, process

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
    """CPU seconds of `--help`, wall seconds of a trivial flow."""
    headframe = str(Path(sys.executable).parent / "headframe")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "trivial.py").write_text(textwrap.dedent(THREE_STEPS))
        helped = median(lambda: process([headframe, "--help"], folder).cpu, 7)
        empty = median(lambda: process([sys.executable, "-c", "pass"], folder).cpu, 7)

        def flow() -> float:
            with tempfile.TemporaryDirectory() as fresh:
                return process([sys.executable, str(folder / "trivial.py")], Path(fresh)).wall

        trivial = median(flow, 5)
    return [
        Measurement(
            "--help", f"{helped:.2f} CPU-s", f"{empty:.2f} CPU-s of an empty Python", "< 0.30 CPU-s", helped < 0.3
        ),
        Measurement("three-step flow, inline", f"{trivial:.2f} s", "whole process", "< 1 s", trivial < 1.0),
    ]
