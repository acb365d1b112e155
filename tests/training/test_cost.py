"""The resource usage of a training counts all its processes."""

import os
import subprocess
import sys
import time

import psutil

from headframe.training.cost import ResourceUsage, TrainingCost
from headframe.training.ensembles import train_ensemble
from headframe.training.progress import Display

MIB = 2**20


def cost_of(run):
    return TrainingCost.model_validate_json((run.folder / ".cost.json").read_bytes())


def test_usage_counts_time_work_and_memory_no_less_than_they_were():
    usage = ResourceUsage()
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    time.sleep(0.05)
    held = bytearray(os.urandom(64)) * MIB
    cost = usage.read()
    assert cost.cpu_seconds >= 0.05
    assert cost.wall_seconds >= 0.1
    assert cost.peak_memory_mib * MIB >= psutil.Process().memory_info().rss * 0.99 > len(held)


def test_processes_that_work_for_another_are_counted_with_it():
    usage = ResourceUsage(resumed=True)
    alone = usage.read()
    usage.others += [
        TrainingCost(wall_seconds=9.0, cpu_seconds=cpu, peak_memory_mib=peak, resumed=False)
        for cpu, peak in ((5.0, 1e6), (7.0, 1.0))
    ]
    cost = usage.read()
    assert cost.cpu_seconds >= alone.cpu_seconds + 12
    assert cost.peak_memory_mib == 1e6
    assert cost.wall_seconds < 9
    assert cost.resumed


def test_the_memory_of_the_process_that_started_a_program_is_not_counted_as_its_own():
    held = bytearray(os.urandom(64)) * (4 * MIB)
    code = "from headframe.training.cost import ResourceUsage; print(ResourceUsage().read().peak_memory_mib)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 5 < float(output) < len(held) / MIB / 2


def test_members_are_counted_with_their_ensemble(training_project, tmp_path):
    plan = training_project.simple(
        "model=deep_ensemble", "model.copies=2", "model.members.cnn.model.widths=[[4]]", "seed=7"
    )
    usage = ResourceUsage()
    with Display() as display:
        train_ensemble(training_project.job(plan), training_project.project, tmp_path / "out", display, usage)
    assert len(usage.others) == 2
    assert all(member.cpu_seconds > 0 and member.peak_memory_mib > 50 for member in usage.others)
    assert usage.read().cpu_seconds > sum(member.cpu_seconds for member in usage.others)


def test_a_training_records_its_cost_and_whether_it_was_resumed(training_project):
    cost = cost_of(training_project.train_once(training_project.plan()))
    assert cost.wall_seconds > 0
    assert cost.cpu_seconds > 0
    assert 50 < cost.peak_memory_mib < psutil.virtual_memory().total / MIB
    assert not cost.resumed
    killed = training_project.train(training_project.plan(), "interrupted", "epoch 2")
    assert not (killed.folder / ".cost.json").exists()
    resumed = training_project.train(training_project.plan(), "interrupted")
    assert cost_of(resumed).resumed
    before = (resumed.folder / ".cost.json").read_bytes()
    training_project.train(training_project.plan(), "interrupted")
    assert (resumed.folder / ".cost.json").read_bytes() == before  # what is finished costs nothing
