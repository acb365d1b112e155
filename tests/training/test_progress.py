"""What a person sees of a training: bars on a terminal, plain lines in a file or pipe."""

import errno
import os
import pty
import subprocess
import sys

SHOW = """
from headframe.training.progress import Display
with Display() as display:
    one = display.reporter("")
    one.steps(1, 4)
    one.line("epoch 1/2 val_loss [0.5]")
    one.steps(4, 4)
    display.reporter("cnn").line("stopped early")
"""


def test_a_terminal_gets_bars_and_the_facts_above_them():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        environment.pop(name, None)
    program = subprocess.Popen([sys.executable, "-c", SHOW], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = _all_of(ours).decode()
    printed, _ = program.communicate()
    assert program.returncode == 0
    assert printed == b""
    assert "training" in shown
    assert "━" in shown
    assert "4/4 steps" in shown
    assert "epoch 1/2 val_loss [0.5]" in shown
    assert "cnn: stopped early" in shown
    assert "\x1b[" in shown


def test_a_pipe_gets_plain_lines_only():
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, check=True)
    assert done.stdout == b""
    assert done.stderr == b"epoch 1/2 val_loss [0.5]\ncnn: stopped early\n"


def _all_of(terminal: int) -> bytes:
    """Read until nobody holds the other end of a terminal."""
    found = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError as error:
            if error.errno != errno.EIO:  # how Linux tells the end
                raise
            piece = b""
        if not piece:
            os.close(terminal)
            return found
        found += piece
