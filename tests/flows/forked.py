"""A launcher of a project's own: trains in a forked process, where everything is imported already."""

import os
from pathlib import Path

from headframe.errors import HeadframeError
from headframe.training.launchers.base import Launcher


class Forked(Launcher):
    """Runs the training program in a child of this process, on one core, so that members take turns in it."""

    def launch(self, job: Path, folder: Path, root: Path, threads: int) -> None:
        """See `headframe.training.launchers.base.Launcher`."""
        from headframe.training.__main__ import main

        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
                code = main([str(job), str(folder), "--root", str(root)])
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            msg = f"training in a forked process ended with {code}"
            raise HeadframeError(msg)
