"""A PostgreSQL of our own: made, started and thrown away by a test session."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

USER = "postgres"  # PostgreSQL does not run as root


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server on a free port; gives `postgresql://USER@HOST:PORT`, to which a database's name is added.

    Only where PostgreSQL is not installed the tests that need it are skipped.
    """
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("PostgreSQL is not installed (initdb and pg_ctl are not on PATH)")
    # Not in pytest's own folder, which only its user may enter.
    folder = Path(tempfile.mkdtemp(prefix="headframe-postgres-"))
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    if os.getuid() == 0:
        account = pwd.getpwnam(USER)
        os.chown(data, account.pw_uid, account.pw_gid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        _as_user("initdb", "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data} -c fsync=off"
        _as_user("pg_ctl", "-D", str(data), "-o", options, "-l", str(data / "log"), "-w", "start")
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}"
        finally:
            _as_user("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def fresh_database(server: str, name: str) -> str:
    """Make an empty database and give its address."""
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"


def _as_user(*command: str) -> None:
    prefix = ["runuser", "-u", USER, "--"] if os.getuid() == 0 else []
    # No pipe: the server would keep it open, and waiting for its end would last as long.
    subprocess.run([*prefix, *command], check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
