"""No password of an address reaches Prefect's server: neither in lines of any library's log nor in a run's state."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, logging, sys, uuid
from headframe.orchestration import flow

@flow(name="a")
def nothing() -> None: ...

from headframe.errors import Unavailable
from prefect.logging.handlers import APILogHandler
from prefect.states import exception_to_failed_state

address = "postgresql://anna:secret@there/ledger"
handler = APILogHandler()

class Stored(logging.Handler):
    def emit(self, record):
        record.flow_run_id = str(uuid.uuid4())
        print(handler.prepare(record)["message"])

for name in ("prefect.flow_runs", "headframe", "sqlalchemy"):
    log = logging.getLogger(name)
    log.handlers, log.propagate = [Stored()], False
    log.warning("%s at %s", 1, address)
    try:
        raise OSError(f"{address} refused")
    except OSError:
        log.exception("lost")
print(asyncio.run(exception_to_failed_state(Unavailable(f"{address} is gone"))).message)
"""


def test_prefect_stores_no_password_of_an_address(tmp_path: Path) -> None:
    # Nothing listens there: the program only formats what it would send.
    settings = {"PREFECT_API_URL": "http://127.0.0.1:1/api", "PREFECT_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=settings, capture_output=True, text=True, check=True)
    assert "secret" not in done.stdout
    assert done.stdout.count("1 at postgresql://anna:***@there/ledger") == 3
    assert done.stdout.count("OSError: postgresql://anna:***@there/ledger refused") == 3
    assert "Unavailable: postgresql://anna:***@there/ledger is gone" in done.stdout
