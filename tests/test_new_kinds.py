"""A new task, a new kind of input and a new type of column leave every stored result what it is.

They are put into a copy of the library's own source, since that is where a shared list of kinds would be edited.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

PROGRAM = """
import json, sys
from pathlib import Path

import headframe
from test_identity import EXPERIMENTS, REPOSITORY, shipped, step_keys

assert headframe.__file__.startswith(str(REPOSITORY.root)), headframe.__file__
plans = {name: shipped(name) for name in EXPERIMENTS}
states = []
for files in [{}, *json.load(sys.stdin)]:
    for name, text in files.items():
        with (REPOSITORY.root / name).open("a", encoding="utf-8") as file:
            file.write(text)
    states.append({name: step_keys(plan) for name, plan in plans.items()})
print(json.dumps({"keys": states, "kinds": [*REPOSITORY.choices("task"), *REPOSITORY.choices("features")]}))
"""
"""Computes the keys of all steps of all shipped experiments, at first and after each addition to files."""

COLUMN_TYPE = '''
"""Days without a time of day."""

from typing import ClassVar

import pyarrow as pa

from headframe.datasets.column_types.base import ColumnType


class Date(ColumnType):
    """A day of the calendar."""

    stored: ClassVar[pa.DataType] = pa.date32()
'''

ENCODER = '''
"""Days as the position within their year."""

from typing import ClassVar

import numpy as np
import pyarrow.compute as pc

from headframe.features.base import Encoder


class Calendar(Encoder):
    """Sine and cosine of the day of the year."""

    gives: ClassVar[str] = "calendar"

    def _fit(self, rows):
        del rows

    def _encode(self, rows):
        turn = pc.day_of_year(rows.column(0)).to_numpy() * (2 * np.pi / 366)
        return np.stack([np.sin(turn), np.cos(turn)], axis=1).astype(np.float32)
'''

TASK = '''
"""Counts of events."""

from headframe.tasks.regression import Regression


class Counting(Regression):
    """A regression of whole numbers that are not negative."""
'''

NEW = {
    "src/headframe/datasets/column_types/date.py": COLUMN_TYPE,
    "src/headframe/features/calendar.py": ENCODER,
    "src/headframe/tasks/counting.py": TASK,
    "conf/features/calendar.yaml": """
# Days as the position within their year.
gives: calendar
reads: [date]
encoder:
  _target_: headframe.features.calendar.Calendar
augment: {}
""",
    "conf/task/counting.yaml": """
# Counts of events.
_target_: headframe.tasks.counting.Counting
kind: counting
predicts: [int]
primary_metric: mae
""",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the library, of what it is configured with, and of the test that computes keys of steps."""
    for name in ("src", "conf", "flows", "tests/config"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_after_new_kinds_nothing_is_fitted_evaluated_or_registered_again(copy: Path) -> None:
    # The last addition shows that code which some experiments reach, and others not, does count.
    additions = [NEW, {"src/headframe/tasks/forecasting.py": "# another revision\n"}]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(copy / "src"), str(copy / "tests" / "config")])}
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM], cwd=copy, env=environment, input=json.dumps(additions),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"counting", "calendar"} <= set(found["kinds"])
    before, after, edited = found["keys"]
    assert after == before
    changed = {name for name in before if edited[name] != before[name]}
    assert {"etth1_lstm", "etth1_linear"} <= changed
    assert not changed & {"digits_ensemble", "adult_mlp", "sms_spam_cnn", "diabetes_mlp"}
