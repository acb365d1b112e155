"""A warning of a library is one line on the terminal."""

import logging
import subprocess
import sys
import warnings

import pytest

from headframe.library_warnings import shorten_warnings


def test_a_warning_is_one_line_without_the_source(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(logging.getLogger("headframe"), "propagate", True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shorten_warnings()
        warnings.warn("lbfgs failed\nincrease the number", RuntimeWarning, stacklevel=1)
    assert {*caplog.messages} == {"warning    RuntimeWarning: lbfgs failed"}


@pytest.mark.parametrize("module", ["headframe.cli.main", "headframe.training.__main__"])
def test_the_programs_show_it_so(module: str, tmp_path):
    code = (
        f"import sys, warnings; from {module} import main\n"
        "try: main(['x', 'y', '--root', '.'] if 'training' in main.__module__ else ['doctor', '--project', '.'])\n"
        "except SystemExit: pass\n"
        "print('-----', file=sys.stderr); warnings.warn('of a library')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.partition("-----\n")[2] == "warning    UserWarning: of a library\n"
