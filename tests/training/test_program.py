"""The program as a process: what it imports, how it fails, how it is launched."""

import math
import os
import signal
import subprocess
import sys
import time

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import change_rows

from headframe.digests import write_record
from headframe.errors import DataError, HeadframeError
from headframe.training.__main__ import main
from headframe.training.launchers.local import Local

ROWS = [
    f"{place * 30 + row},{row % 7},{'yes' if row % 3 else 'no'},{part}"
    for place, part in enumerate(("train", "validation", "test"))
    for row in range(30)
]


def test_help_is_light_and_an_estimator_needs_no_lightning():
    code = """
import sys
from headframe.training.__main__ import main
heavy = lambda: sorted({"numpy", "pyarrow", "torch", "lightning", "sklearn"} & {*sys.modules})
try:
    main(["--help"])
except SystemExit:
    print(heavy(), file=sys.stderr)
import headframe.training.ensembles, headframe.training.single, headframe.training.program, headframe.training.fit
print("torch" in heavy(), "lightning" in heavy(), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "[]\nTrue False\n"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([row.replace("no", "yes") for row in ROWS], "has only 'yes' in training rows"),
        ([*ROWS, "1,1,maybe,test"], "has class 'maybe' in row"),
    ],
    ids=["one class", "unseen class"],
)
def test_labels_that_cannot_be_learned_end_in_one_sentence_and_code_3(training_project, table_of, lines, sentence):
    plan = _plan(training_project, table_of(lines))
    run = training_project.train(plan, f"bad-{abs(hash(sentence))}")
    assert run.code == 3
    assert run.stderr.startswith("error: target 'label' ")
    assert sentence in run.stderr
    assert run.stderr.count("\n") == 1
    assert not (run.folder / "bundle").exists()


def test_numbers_too_large_to_standardise_end_in_one_sentence_and_code_3(training_project, table_of):
    plan = _plan(training_project, table_of([row.replace("1,", "1e300,", 1) for row in ROWS]))
    run = training_project.train(plan, "huge")
    assert run.code == 3, run.stderr
    assert run.stderr == "error: training rows hold numbers up to 2.1e+301, too large to standardise; rescale them\n"
    assert not (run.folder / "bundle").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_inputs_that_are_no_numbers_end_in_one_sentence_and_code_3(training_project, table_of, value):
    plan = _plan(training_project, table_of(ROWS))
    file = training_project.root / "data/made/table.parquet"
    rows = pq.read_table(file)  # changed behind the reader's back, which would refuse an infinity itself
    other = rows.column("other").to_numpy().copy()
    other[40] = value
    place = rows.schema.get_field_index("other")
    change_rows(file.parent, rows.set_column(place, rows.schema.field(place), pa.array(other)))
    run = training_project.train(plan, f"bad-{value}")
    assert run.code == 3
    assert run.stderr.startswith("error: column 'other' ")
    assert "in row 41" in run.stderr
    assert run.stderr.count("\n") == 1
    assert not (run.folder / "bundle").exists()


def test_a_job_of_another_shape_is_refused_in_one_sentence(training_project, tmp_path, capsys):
    (tmp_path / "job.json").write_text('{"name": "x"}')
    write_record(tmp_path / "plan.json", training_project.plan())
    for name, code, sentence in (
        ("job.json", 2, "job.json is no training job: learner: Field required"),
        ("plan.json", 2, "plan.json is no training job: learner: Field required"),
        ("none.json", 1, "there is no training job"),
    ):
        given = [str(tmp_path / name), str(tmp_path / "out"), "--root", str(training_project.root)]
        assert main(given) == code
        output = capsys.readouterr().err
        assert sentence in output
        assert output.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_named(training_project):
    (training_project.root / "out").mkdir(exist_ok=True)
    (training_project.root / "out" / "occupied").write_text("a file where a folder should be")
    run = training_project.train(training_project.plan(), "occupied")
    assert run.code == 1
    assert run.stderr == f"error: {training_project.root / 'out' / 'occupied'}: File exists\n"


def test_two_runs_in_one_folder_do_not_meet(training_project, monkeypatch):
    import filelock

    from headframe.training import program

    folder = training_project.root / "out" / "taken"
    folder.mkdir(parents=True)
    monkeypatch.setattr(program, "LOCK_SECONDS", 0.1)
    with filelock.FileLock(folder / ".lock"), pytest.raises(HeadframeError, match="another training is running in"):
        program.train(training_project.job(training_project.plan()), training_project.project, folder)


def _plan(training_project, overrides):
    from headframe.config.load import load_plan

    return load_plan([*overrides, "trainer.accelerator=cpu"], training_project.project)


def _record(training_project, plan):
    from headframe.datasets.table import Table

    return Table.open(training_project.root / "data" / plan.dataset.name).record()


def test_the_launched_program_leaves_the_bytes_of_the_program_run_by_hand(training_project):
    plan = training_project.plan()
    folder = training_project.root / ".headframe" / "stages" / "fit" / "key"
    trained = training_project.fit(plan, _record(training_project, plan), folder)
    by_hand = training_project.train_once(plan)
    result = by_hand.read("result.json")
    assert trained.folder == ".headframe/stages/fit/key"
    assert (trained.bundle, trained.predictions) == (result["bundle"], result["predictions"])
    assert (trained.epochs, trained.members) == (3, ())
    assert trained.parameters == result["parameters"] > 0


def test_the_program_s_failure_is_raised_again_by_the_launcher(training_project, table_of):
    plan = _plan(training_project, table_of([row.replace("no", "yes") for row in ROWS]))
    folder = training_project.root / "out" / "launched"
    with pytest.raises(DataError, match="has only 'yes' in training rows"):
        training_project.fit(plan, _record(training_project, plan), folder)


def test_a_table_that_was_changed_since_is_not_trained_on(training_project):
    plan = training_project.plan()
    record = _record(training_project, plan).model_copy(update={"digest": "0" * 64})
    with pytest.raises(DataError, match="data/digits holds version"):
        training_project.fit(plan, record, training_project.root / "out" / "changed")


def test_a_training_that_takes_too_long_is_ended(training_project):
    file = training_project.root / "jobs" / "late.json"
    write_record(file, training_project.job(training_project.plan()))
    before = psutil.Process().children()
    with pytest.raises(HeadframeError, match=r"ended after launcher\.minutes=0\.001; run again"):
        Local(minutes=0.001).launch(file, training_project.root / "out" / "late", training_project.root, 1)
    assert set(psutil.Process().children()) <= set(before)


def test_a_training_ends_with_the_process_that_started_it(training_project):
    plan = training_project.plan("trainer.max_epochs=100000", "trainer.keep=last")
    file = training_project.root / "jobs" / "orphan.json"
    write_record(file, training_project.job(plan))
    code = (
        "import sys; from pathlib import Path; from headframe.training.launchers.local import Local\n"
        "Local().launch(*map(Path, sys.argv[1:4]), 1)"
    )
    arguments = [str(file), str(training_project.root / "out" / "orphan"), str(training_project.root)]
    parent = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.DEVNULL)

    def training():
        children = psutil.Process(parent.pid).children()
        return next((child for child in children if "headframe.training" in " ".join(child.cmdline())), None)

    child = _wait_for(training)
    time.sleep(0.5)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    child.wait(20)


def _wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing came within {seconds} s")
