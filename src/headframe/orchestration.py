"""The only module that imports Prefect: the two engines, and the steps of flows.

*Inline*, `flow` and `step` are plain functions and prefect is not imported, which alone would cost three
seconds. With a Prefect API configured they are real flows and tasks. Either way a step's result is stored by
digest (`headframe.stages`), so both engines compute equal digests and reuse each other's work.
"""

import inspect
import logging
import os
import socket
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel
from typing_extensions import override

from headframe.digests import Record
from headframe.environment import variable
from headframe.errors import ConfigurationError, HeadframeError, Unavailable, without_credentials
from headframe.loopback import bypass_proxies
from headframe.own_source import compile_own_sources
from headframe.permissions import keep_private
from headframe.stages import Stage
from headframe.telemetry import switch_off

P = ParamSpec("P")
R = TypeVar("R", bound=Record)
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

log = logging.getLogger("headframe")


def api_url() -> str | None:
    """Return the address of the Prefect API that the environment or Prefect's active profile configures.

    Raises:
        ConfigurationError: Prefect's file of profiles cannot be read.
    """
    if url := variable("PREFECT_API_URL"):
        return url
    home = Path(variable("PREFECT_HOME") or "~/.prefect").expanduser()
    profiles = Path(variable("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    if not profiles.is_file():
        return None
    try:
        content = tomllib.loads(profiles.read_text(encoding="utf-8"))
    except ValueError as error:  # no UTF-8, or no TOML
        raise ConfigurationError(
            f"{profiles} is no file of Prefect profiles ({error}); correct or delete it"
        ) from error
    active = variable("PREFECT_PROFILE") or content.get("active", "")
    url = content.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    return str(url) if url else None


def engine() -> Literal["inline", "prefect"]:
    """Return where flows run: with Prefect if its API is configured or Prefect itself loads the flow, else inline."""
    return "prefect" if "prefect" in sys.modules or api_url() else "inline"


def require_api() -> None:
    """Check that the configured Prefect API is reachable.

    Raises:
        HeadframeError: it is not; running inline instead would hide the run from the team.
        ConfigurationError: the address cannot be one.
    """
    url = api_url()
    if url is None:
        return
    reason = "it names no host"
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError as error:
        is_address, reason = False, str(error)
    if not is_address:
        raise ConfigurationError(
            f"PREFECT_API_URL is {url!r}, which is no address ({reason}); write http://HOST:PORT/api"
        )
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=5):
            return
    except OSError as error:
        msg = f"the Prefect API at {url} is not reachable ({error}); start it (headframe up) or unset PREFECT_API_URL"
        raise HeadframeError(msg) from None


@contextmanager
def reaching_api() -> Iterator[None]:
    """Turn the loss of Prefect's server during a flow into one sentence.

    Raises:
        Unavailable: it was lost; Prefect itself has retried for minutes, and steps that had begun were finished.
    """
    if engine() == "inline":
        yield
        return
    import httpx  # noqa: PLC0415 - inline runs must not pay for it

    try:
        yield
    except httpx.HTTPError as error:
        raise Unavailable(
            f"the Prefect API at {api_url()} was lost ({error}); finished steps are stored: start it again "
            "(headframe up) or unset PREFECT_API_URL, then repeat the command"
        ) from error


def flow(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function a flow: itself inline, a Prefect flow where Prefect is the engine."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        switch_off()
        bypass_proxies()
        keep_private()
        compile_own_sources()
        if engine() == "inline":
            return function
        import prefect  # noqa: PLC0415 - inline runs must not pay for it

        logging.setLogRecordFactory(_CleanRecord)
        if log.level == logging.NOTSET:
            log.setLevel(logging.INFO)  # without it a worker shows nothing of what steps log
        made: Any = prefect.flow(name=name, persist_result=False)(function)
        return made

    return decorate


def step(
    function: Callable[P, R],
    *,
    name: str = "",
    retries: int = 0,
    valid: Callable[..., bool] | None = None,
    program: str | None = None,
) -> Callable[P, R]:
    """Wrap a plain function as a step that is computed once for equal arguments and code.

    Args:
        function: returns a record and takes `places`; see `headframe.stages.Stage`.
        name: of the step; without one the function's.
        retries: how often Prefect retries a failure, after 10, 20, 40, ... seconds. A user's mistake
            (`HeadframeError`, except `Unavailable`) is never retried: it would fail again. Inline nothing is retried:
            the failure is shown at once, and the same command continues where it stopped.
        valid: whether a stored record still holds; takes the record and, by name, arguments of the step.
        program: module that the function starts as a process.

    Returns:
        The step, with the function's own signature; a Prefect task where Prefect is the engine.
    """
    stage = Stage(function, name, valid, program)
    signature = inspect.signature(function)

    def run(**arguments: Any) -> R:
        _record_flow_run()
        started = time.monotonic()
        finished = stage.run(arguments)
        seconds, key = time.monotonic() - started, finished.key[:8]
        extra = {"stage": stage.name, "reused": finished.reused, "seconds": seconds, "key": key}
        how = f"reused {key}" if finished.reused else f"{seconds:.1f} s"
        log.info("%-12s %s (%s)", stage.name, finished.record, how, extra=extra)
        return finished.record

    task = _as_task(
        run,
        name=stage.name,
        retries=retries,
        retry_delay_seconds=[10 * 2**attempt for attempt in range(retries)] or None,
        retry_condition_fn=_is_worth_retrying if retries else None,
    )

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return task(**signature.bind(*args, **kwargs).arguments)

    return call


def action(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function that runs each time it is called a Prefect task, where Prefect is the engine.

    It is neither stored nor retried: what it did, or refused, is recorded in the ledger.
    """
    return _as_task(function, name=function.__name__)


class _CleanRecord(logging.LogRecord):
    """A line of any library's log without passwords of addresses: Prefect stores all of them on its server."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.exc_info:
            self.exc_text = without_credentials(logging.Formatter().formatException(self.exc_info))

    @override
    def getMessage(self) -> str:
        return without_credentials(super().getMessage())


def _as_task(function: Callable[P, T], **settings: Any) -> Callable[P, T]:
    """Make a function a Prefect task where Prefect is the engine; it stores nothing, since steps do."""
    if engine() == "inline":
        return function
    import prefect  # noqa: PLC0415 - inline runs must not pay for it
    from prefect.cache_policies import NO_CACHE  # noqa: PLC0415 - inline runs must not pay for it

    made: Any = prefect.task(cache_policy=NO_CACHE, persist_result=False, **settings)(function)
    return made


def wait_for_input(form: type[M], key: str, hours: float) -> M | None:
    """Show a form in Prefect's pages, wait for a person to fill it in, and return it; None inline, without any pages.

    A run of a deployment ends meanwhile and is started again when there is input; any other run waits.

    Args:
        form: a field for each thing that a person gives.
        key: identifies the form; when the same run shows it again, it gets the earlier input at once.
        hours: after which the run fails.
    """
    if engine() == "inline":
        return None
    from prefect.flow_runs import pause_flow_run, suspend_flow_run  # noqa: PLC0415 - inline runs must not pay for it
    from prefect.runtime import deployment  # noqa: PLC0415 - inline runs must not pay for it

    stop = suspend_flow_run if deployment.id else pause_flow_run
    given: M = stop(wait_for_input=form, timeout=int(hours * 3600), key=key)
    return given


def _record_flow_run() -> None:
    """Put the address of the flow run where tracking looks for it."""
    if engine() == "inline":
        return
    from prefect.runtime import flow_run  # noqa: PLC0415 - inline runs must not pay for it

    if flow_run.ui_url:
        os.environ["HEADFRAME_FLOW_RUN_URL"] = flow_run.ui_url


def _is_worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Return whether the same step may succeed later."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, Unavailable) or not isinstance(failure, HeadframeError)


def quiet_prefect() -> None:
    """Remove Prefect's logs from the terminal; the server still gets everything, Headframe's lines included.

    Called before prefect is imported.
    """
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "headframe")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL")  # errors of its own threads
