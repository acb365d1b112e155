"""The one module that knows Prefect: the two engines, and the steps that flows are made of.

*Inline*, `flow` and `step` are plain functions and prefect is not imported, which alone would cost three
seconds. With a Prefect API configured they are real flows and tasks. Either way a step's result is kept by
digest (`headframe.stages`), so both engines give equal digests and reuse each other's work.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from headframe.digests import Record
from headframe.errors import HeadframeError, Unavailable
from headframe.stages import Finished, Stage
from headframe.telemetry import switch_off

P = ParamSpec("P")
R = TypeVar("R", bound=Record)
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

log = logging.getLogger("headframe")


def api_url() -> str | None:
    """Give the address of the Prefect API that is configured by environment or by Prefect's active profile."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml"))
    if not profiles.is_file():
        return None
    content = tomllib.loads(profiles.read_text(encoding="utf-8"))
    active = os.environ.get("PREFECT_PROFILE", content.get("active", ""))
    url = content.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    return str(url) if url else None


def engine() -> Literal["inline", "prefect"]:
    """Say where flows run: with Prefect where its API is configured, or where Prefect itself loads the flow."""
    return "prefect" if "prefect" in sys.modules or api_url() else "inline"


def require_api() -> None:
    """Make sure that the configured Prefect API answers.

    Raises:
        HeadframeError: it does not; running inline instead would hide the run from the team.
    """
    import socket  # noqa: PLC0415 - only runs with a server need it

    url = api_url()
    if url is None:
        return
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=5):
            return
    except OSError as error:
        msg = f"the Prefect API at {url} does not answer ({error}); start it (headframe up) or unset PREFECT_API_URL"
        raise HeadframeError(msg) from None


@contextmanager
def reaching_api() -> Iterator[None]:
    """Say in one sentence that Prefect's server went away while a flow ran.

    Raises:
        Unavailable: it did; Prefect itself has tried for minutes, and steps that had begun were done all the same.
    """
    if engine() == "inline":
        yield
        return
    import httpx  # noqa: PLC0415 - inline runs must not pay for it

    try:
        yield
    except httpx.HTTPError as error:
        msg = (
            f"the Prefect API at {api_url()} stopped answering ({error}); what was finished is kept: start it again "
            "(headframe up) or unset PREFECT_API_URL, then repeat the command"
        )
        raise Unavailable(msg) from error


def flow(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function a flow: itself inline, a Prefect flow where Prefect is the engine."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        switch_off()
        if engine() == "inline":
            return function
        import prefect  # noqa: PLC0415 - inline runs must not pay for it

        if log.level == logging.NOTSET:
            log.setLevel(logging.INFO)  # a worker shows what steps say only if they may say it
        made: Any = prefect.flow(name=name, persist_result=False)(function)
        return made

    return decorate


def step(
    function: Callable[..., R],
    *,
    root: Path,
    on: tuple[Any, ...] = (),
    retries: int = 0,
    valid: Callable[[R], bool] | None = None,
    program: str | None = None,
) -> Callable[..., R]:
    """Wrap a plain function as a step that is done once for the same digests.

    Args:
        function: returns a record; see `headframe.stages.Stage` for what it is given.
        root: the project's folder.
        on: the parts of the plan that decide the result.
        retries: how often Prefect tries a failure again, after 10, 20, 40, ... seconds. A mistake of the user's
            (`HeadframeError`, but for `Unavailable`) is never retried: it would fail alike. Inline there is nobody
            to wait for: the failure is shown at once, and the same command continues where it stopped.
        valid: whether a kept record still holds.
        program: module that the function starts as a process of its own.

    Returns:
        The step; it takes the function's arguments by keyword, and is a Prefect task where Prefect is the engine.
    """
    stage = Stage(function, on, valid, program)

    def run(**arguments: Any) -> R:
        _name_flow_run()
        started = time.monotonic()
        finished = stage.run(root, arguments)
        _tell(stage.name, finished, time.monotonic() - started)
        return finished.record

    if engine() == "inline":
        return run

    import prefect  # noqa: PLC0415 - inline runs must not pay for it
    from prefect.cache_policies import NO_CACHE  # noqa: PLC0415

    made: Any = prefect.task(
        name=stage.name,
        retries=retries,
        retry_delay_seconds=[10 * 2**attempt for attempt in range(retries)] or None,
        retry_condition_fn=_may_pass if retries else None,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(run)
    return made


def act(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function that is done each time it is called a Prefect task, where Prefect is the engine.

    It is neither kept nor tried again: what it did, or refused, stands in a record of its own.
    """
    if engine() == "inline":
        return function

    import prefect  # noqa: PLC0415 - inline runs must not pay for it
    from prefect.cache_policies import NO_CACHE  # noqa: PLC0415

    made: Any = prefect.task(name=function.__name__, cache_policy=NO_CACHE, persist_result=False)(function)
    return made


def ask(question: type[M], key: str, hours: float) -> M | None:
    """Ask a person in Prefect's pages, and wait for the answer.

    A run of a deployment ends meanwhile and is started anew when it is answered; any other waits where it is.

    Args:
        question: the form: a field for each thing that is asked.
        key: names the question; asked again by the same run, it is answered at once.
        hours: after which the run fails.

    Returns:
        What was answered; None inline, where there is nobody to ask.
    """
    if engine() == "inline":
        return None
    from prefect.flow_runs import pause_flow_run, suspend_flow_run  # noqa: PLC0415 - inline runs must not pay for it
    from prefect.runtime import deployment  # noqa: PLC0415

    stop = suspend_flow_run if deployment.id else pause_flow_run
    answered: M = stop(wait_for_input=question, timeout=int(hours * 3600), key=key)
    return answered


def _name_flow_run() -> None:
    """Leave the address of the flow run where tracking looks for it."""
    if engine() == "inline":
        return
    from prefect.runtime import flow_run  # noqa: PLC0415 - inline runs must not pay for it

    if flow_run.ui_url:
        os.environ["HEADFRAME_FLOW_RUN_URL"] = flow_run.ui_url


def _may_pass(_task: Any, _run: Any, state: Any) -> bool:
    """Say whether the same step may succeed later."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, Unavailable) or not isinstance(failure, HeadframeError)


def _tell(name: str, finished: Finished[Any], seconds: float) -> None:
    summary = getattr(finished.record, "summary", "")
    extra = {"stage": name, "reused": finished.reused, "seconds": seconds, "key": finished.key[:8]}
    how = f"reused {finished.key[:8]}" if finished.reused else f"{seconds:.1f} s"
    log.info("%-9s %s (%s)", name, summary, how, extra=extra)


def quiet_prefect() -> None:
    """Leave the terminal to Headframe's own lines; the server still gets everything, Headframe's lines included.

    Called before prefect is imported.
    """
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "headframe")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL")  # complaints of its own threads
