"""A registered model as a service over HTTP, in MLflow's scoring protocol."""

import gc
import logging
import socket
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from headframe.config.plan.plan import Plan
from headframe.errors import ConfigurationError, HeadframeError
from headframe.loopback import HOSTS
from headframe.processes import cores
from headframe.serving.resolve_champion import open_served_version

log = logging.getLogger("headframe")


def serve(
    model: str,
    *,
    plan: Plan,
    root: Path,
    uri: str,
    host: str,
    port: int,
    ready: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Serve requests until the process is stopped (Ctrl-C or SIGTERM).

    The plan says what a request may take, with how many threads it is computed, whose signature counts and what makes a
    champion. Port 0 takes a free one. `ready` is called with model, version and address once requests can
    be sent.

    Raises:
        HeadframeError: as `open_served_version`; or the port is taken, or the host is not this machine's.
        ConfigurationError: the port cannot be one, or more threads are asked for than there are cores.
    """
    from headframe.serving.limits import prepare_threads, small_bytes  # noqa: PLC0415 - imports pyarrow

    prepare_threads(plan.serving.threads)
    with _listen(host, port) as listening:
        version, predictor = open_served_version(model, plan, uri, root)
        # These import starlette and uvicorn, for which errors need not wait.
        from headframe.serving.app import make_app  # noqa: PLC0415
        from headframe.serving.workers import serve_in_processes  # noqa: PLC0415

        settings = plan.serving
        app = make_app(
            predictor,
            version,
            max_rows=settings.max_rows,
            threads=settings.threads,
            max_bytes=settings.max_bytes,
            seconds=settings.seconds,
            hosts=server_names(host, settings.hosts),
        )
        where = f"http://{host}:{listening.getsockname()[1]}"
        if ready is not None:
            ready({"model": version.model, "version": version.number, "address": where})
        log.info("%s version %d serves %s/invocations (stop: Ctrl-C)", version.model, version.number, where)
        gc.freeze()  # else Python would go through all that was loaded, a second, whenever a request makes many objects
        many = max(1, cores() // settings.threads)
        serve_in_processes(app, settings, listening, many, small_bytes(predictor.schema))
    log.info("stopped")


def server_names(host: str, further: Collection[str]) -> set[str]:
    """Return by which names clients may call the server; empty: by any, since its name is not known."""
    is_local = host in HOSTS or host.startswith("127.")
    return {"localhost", "127.0.0.1", "[::1]", host, *further} if is_local or further else set()


def _listen(host: str, port: int) -> socket.socket:
    """Bind the port before anything slow is done, so that a taken one is reported at once."""
    if not 0 <= port < 2**16:
        msg = f"--port {port} is no port; choose one from 1024 to 65535, or 0 for any that is free"
        raise ConfigurationError(msg)
    version_6 = ":" in host
    try:
        created = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if version_6 else socket.AF_INET,
            backlog=128,
            dualstack_ipv6=version_6 and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        reason = str(error.strerror or error).partition(" (")[0]  # the address follows
        msg = f"cannot listen on {host}:{port} ({reason}); choose another with --port or --host"
        raise HeadframeError(msg) from error
    # asyncio sends small responses at once (TCP_NODELAY) only where a socket names its protocol, which was left at 0;
    # otherwise a response may wait 40 ms for the client to acknowledge the one before.
    return socket.socket(created.family, created.type, socket.IPPROTO_TCP, fileno=created.detach())
