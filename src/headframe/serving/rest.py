"""A registered model as a service over HTTP, in MLflow's scoring protocol."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headframe.config.plan.plan import Plan
from headframe.errors import ConfigurationError, HeadframeError
from headframe.serving.resolve_champion import open_served_version

log = logging.getLogger("headframe")

STOP_SECONDS = 10  # in which running requests may end when the server is stopped


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

    Args:
        model: `NAME`, `NAME@ALIAS` or `NAME/VERSION`; `NAME` means its champion.
        plan: says how many rows a request may have, whose signature counts and what makes a champion.
        root: the project's folder.
        uri: MLflow's address.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        ready: called with model, version and address once requests can be sent.

    Raises:
        HeadframeError: the port is taken or the host is not this machine's.
        ConfigurationError: there is no such model, or the port cannot be one.
        Refused: its files are not what a trusted author signed, or the ledger does not make it champion; see
            `open_served_version`.
    """
    listening = _listen(host, port)
    with listening:
        version, predictor = open_served_version(model, plan, uri, root)
        import uvicorn  # noqa: PLC0415 - errors before this need not wait for it

        from headframe.serving.app import make_app  # noqa: PLC0415

        app = make_app(predictor, version, max_rows=plan.serving.max_rows)
        where = f"http://{host}:{listening.getsockname()[1]}"
        if ready is not None:
            ready({"model": version.model, "version": version.number, "address": where})
        log.info("%s version %d serves %s/invocations (stop: Ctrl-C)", version.model, version.number, where)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=STOP_SECONDS)
        # uvicorn stops gracefully and then raises the signal again, which would end this process as if by accident.
        before = signal.signal(signal.SIGTERM, lambda *_: None)
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGTERM, before)
    log.info("stopped")


def _listen(host: str, port: int) -> socket.socket:
    """Bind the port before anything slow is done, so that a taken one is reported at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OverflowError as error:
        listening.close()
        msg = f"--port {port} is no port; choose one from 1024 to 65535, or 0 for any that is free"
        raise ConfigurationError(msg) from error
    except OSError as error:
        listening.close()
        msg = f"cannot listen on {host}:{port} ({error.strerror or error}); choose another with --port or --host"
        raise HeadframeError(msg) from error
    return listening
