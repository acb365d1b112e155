"""A request to `headframe serve` in another process, which is stopped by SIGTERM when it has answered."""

import http.client
import json
import os
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit


def ask_and_stop(service: int, stdout: Path, body: str, answer: Path) -> None:
    """Send a request to a child process as soon as it prints its address, write what it answers, and stop it.

    Nothing is asked of a service that ends before it prints an address.
    """
    while '"address"' not in (printed := stdout.read_text() if stdout.exists() else "") or printed[-2:] != "}\n":
        if os.waitid(os.P_PID, service, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.02)
    connection = http.client.HTTPConnection(urlsplit(json.loads(printed)["address"]).netloc, timeout=60)
    try:
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer.write_text(json.dumps({"status": response.status, "body": json.loads(response.read())}))
    finally:
        connection.close()
        os.kill(service, signal.SIGTERM)
