"""Runs of the command line in forked processes, so that everything heavy is imported once for all of them.

`tests/warm.py` imports everything, and calls `respond` with a list of requests a line: it forks for each, lets the
children run the command line at once, and responds with their exit codes, or minus the signal that killed one. A
request is JSON: `root` of the project, `arguments` of `headframe`, `environment` beside that of this program, the files
`stdout` and `stderr` for its standard output and error, and `kill`: nothing, or a stage and the point at which the
whole run kills itself by SIGKILL, or what the machine has no more of from the stage on. Where a request has a `body`,
the command is a service: it is asked that, and stopped when it has written its answer into the file `answer`.
"""

import contextlib
import functools
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from asked_service import ask_and_stop
from forked_programs import FORKING

from headframe import processes
from headframe.code_dependencies import code_dependencies
from headframe.config.targets.find_definition import submodules
from headframe.permissions import keep_private
from headframe.telemetry import switch_off

HEAVY = (
    "headframe.config.load",
    "headframe.datasets.ingest",
    "headframe.data_versions.commit",
    "headframe.data_versions.versions",
    "dvc.data_cloud",
    "dvc.scm",
    "dvc_render",
    "networkx",
    "headframe.validation.validate",
    "headframe.validation.checks",
    "great_expectations.data_context",
    "great_expectations.checkpoint",
    "great_expectations.expectations.core",
    "headframe.training.__main__",
    "headframe.training.fit",
    "headframe.training.program",
    "headframe.training.ensembles",
    "headframe.training.network",
    "headframe.training.schedules",
    "headframe.evaluation.step",
    "headframe.registry.register",
    "headframe.promotion.gate_and_promote",
    "headframe.promotion.run_gates",
    "headframe.promotion.promote",
    "headframe.gates.page",
    "headframe.gates.context",
    "headframe.serving.app",
    "headframe.serving.smoke_request",
    "headframe.reproduction.rebuild",
    "skops.io",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "mlflow.store.tracking.sqlalchemy_store",
)
MIDDLE = {
    "ingest": ("headframe.datasets.ingest", "_install"),  # the table is written, but not in its place
    "validate": ("headframe.validation.validate", "write_record"),  # all is checked, nothing written down
    "split": ("headframe.datasets.splits", "_check_disjoint"),  # each row has its part, nothing is proven
    "commit": ("headframe.data_versions.dvc_store.DvcStore", "push"),  # in DVC's cache, not in its remote
    "fit-baseline": ("headframe.training.single", "conclude"),  # the bundle is there, without its result
    "fit": ("headframe.training.single", "conclude"),  # so is the first member's; the second never began
    "evaluate": ("headframe.evaluation.evaluation", "report"),  # plots and card are written, the page is not
    "register": (
        "headframe.registry.registrar.Registrar",
        "_create_version",
    ),  # run and model are there
    "promote": ("headframe.ledger.store", "set_champion"),  # written in the ledger, but MLflow does not know
    "smoke-test": (
        "headframe.serving.smoke_request",
        "send_request",
    ),  # the champion is loaded, but not requested
}
"""What each stage calls when about half of its work is done: its place and name."""
FILLER = "filler"
"""In the project's folder: what takes all the space of its disk."""
POINTS = ("begun", "half", "written")
"""Where a run ends: as a stage begins, in its middle, and when all is done and written but the stage's record."""


def kill_group(*_: Any, **__: Any) -> NoReturn:
    """Kill this run: the command line and every program that it started."""
    os.killpg(0, signal.SIGKILL)
    raise AssertionError("no process survives that")


def arrange_kill(stage: str, point: str) -> None:
    """Arrange that a stage is killed at a point."""
    from headframe import stages

    begin = stages.Stage.__init__

    def arranged(made: Any, function: Callable[..., Any], *rest: Any, **named: Any) -> None:
        begin(made, function, *rest, **named)
        if made.name == stage:
            object.__setattr__(made, "function", _killed(function, stage, point))

    stages.Stage.__init__ = arranged  # type: ignore[method-assign]


def _killed(function: Callable[..., Any], stage: str, point: str) -> Callable[..., Any]:
    @functools.wraps(function)  # a stage asks its function for its name, its arguments and what it returns
    def killed(**given: Any) -> Any:
        if point == "begun":
            kill_group()
        if point == "limit":
            with no_bytes_for_files():
                function(**given)
            kill_group()  # it needed none
        if point == "full":
            fill_disk(Path(FILLER))
        if point == "half":
            place, name = MIDDLE[stage]
            owner = pkgutil.resolve_name(place)
            assert callable(getattr(owner, name))
            setattr(owner, name, kill_group)
        function(**given)
        assert point in ("written", "full"), f"{stage} ended without {MIDDLE[stage]}"
        kill_group()

    return killed


@contextlib.contextmanager
def no_bytes_for_files() -> Iterator[None]:
    """Let no file of this process grow; its standard error, which is a file in tests, may afterwards."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill_disk(file: Path) -> None:
    """Fill the disk on which a file lies."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(2**12))


def run(request: dict[str, Any]) -> int:
    """Run the command line in this process; return its exit code."""
    os.setsid()
    for stream, number in (("stdout", 1), ("stderr", 2)):
        file = os.open(request[stream], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
    os.chdir(request["root"])
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # TMPDIR may be another one
    processes.subprocess = FORKING  # type: ignore[attr-defined]
    if request["kill"]:
        arrange_kill(*request["kill"])
    from headframe.cli.main import main

    return main(request["arguments"])


def fork(work: Callable[[], int]) -> int:
    """Begin some work in a forked process; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1  # as Python ends with an error that nobody catches
    try:
        code = work()
    except BaseException:  # the child must not go on as if it were its parent
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def import_everything() -> None:
    """Import what runs need, and do once what a process remembers from then on."""
    switch_off()
    keep_private()  # as the command line does; DVC remembers the one that it was imported under
    for name in HEAVY:
        importlib.import_module(name)
    from mlflow.utils import requirements_utils

    from headframe.config.load import load_plan
    from headframe.config.project import Project

    load_plan([], Project(Path(__file__).resolve().parents[2]))  # imports Hydra's plugins
    requirements_utils._init_modules_to_packages_map()
    parts = ("datasets.readers", "datasets.sources", "datasets.splits", "features", "gates", "models", "tasks")
    chosen = [f"headframe.{part}.{name}" for part in parts for name in submodules(f"headframe.{part}")]
    code_dependencies([*chosen, *(name for name in sys.modules if name.startswith("headframe."))], Path("none"))
    read_templates_and_fonts()
    remember_empty_database()


def read_templates_and_fonts() -> None:
    """Compile the templates of all pages, and draw a figure, for which fonts are read."""
    from headframe.pages import plot_style, render

    for suffix in ("html", "md"):
        environment = render._environment(suffix)
        for name in environment.list_templates(extensions=["jinja", suffix]):
            environment.get_template(name)
    figure, panels = plot_style.new_figure(2.0)
    plot_style.style(panels[0, 0], title="a", x="b", y="c")
    plot_style.png(figure)


def remember_empty_database() -> None:
    """Let a new database of MLflow's be a copy of one that is made here as any other; its migrations take a second."""
    from headframe.tracking import client, database

    client._silence()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "mlflow.db"
        database._create(made)
        content = made.read_bytes()

    def create(file: Path) -> None:
        fresh = file.with_name(f".{file.name}.fresh")
        fresh.write_bytes(content)
        fresh.rename(file)

    database._create = create


def respond(line: str) -> str:
    """Run command lines in forks, all at once; return their exit codes as JSON."""
    requests = json.loads(line)
    children = [fork(functools.partial(run, request)) for request in requests]
    for child, request in zip(children, requests, strict=True):
        if "body" in request:
            ask_and_stop(child, Path(request["stdout"]), request["body"], Path(request["answer"]))
    return json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
