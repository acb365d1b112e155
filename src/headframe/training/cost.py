"""Resource usage of a training: figures that differ from run to run, so no digest and no record holds them."""

import resource
import sys
import time
from pathlib import Path

from headframe.digests import Record

STATUS = Path("/proc/self/status")


class TrainingCost(Record):
    """What the process that finished a training used, together with those that it trained members in."""

    wall_seconds: float
    cpu_seconds: float  # of all these processes
    peak_memory_mib: float  # resident, of the largest of them
    resumed: bool  # whether it continued the work of an earlier process; what that one used is not counted


class ResourceUsage:
    """Measures this process from construction on, and adds the costs of others that worked for it."""

    def __init__(self, *, resumed: bool = False) -> None:
        self.others: list[TrainingCost] = []
        self._resumed = resumed
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> TrainingCost:
        """Return the cost so far; memory is that of the process since its start."""
        return TrainingCost(
            wall_seconds=time.perf_counter() - self._wall,
            cpu_seconds=time.process_time() - self._cpu + sum(other.cpu_seconds for other in self.others),
            peak_memory_mib=max([_peak_memory(), *(other.peak_memory_mib for other in self.others)]),
            resumed=self._resumed,
        )


def _peak_memory() -> float:
    """Return MiB. On Linux `ru_maxrss` begins with the size of the parent process, so VmHWM is read first."""
    if STATUS.is_file():
        for line in STATUS.read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
