"""Which GPU this machine has for CUDA, according to the driver; run as a program, it prints the name of the first.

torch knows as well, but its import alone takes longer than a run in which every step is finished already.
"""

import ctypes
import subprocess
import sys
from functools import lru_cache

DRIVER = "libcuda.so.1"
_NAME = 256
"""Bytes for a name and the zero that ends it."""


@lru_cache(maxsize=1)
def gpu() -> str | None:
    """Return the name of the GPU that programs started from here use first, as `NVIDIA H100`; None where there is none.

    The driver is queried in a process of its own: children of a process that has begun with it cannot use it.

    Raises:
        HeadframeError: the driver is there, but broken.
    """
    from headframe.errors import HeadframeError  # noqa: PLC0415 - as a program this file stands alone

    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return None
    done = subprocess.run([sys.executable, "-I", __file__], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        msg = f"CUDA's driver {DRIVER} cannot list GPUs ({reason}); fix it, or use trainer.accelerator=cpu"
        raise HeadframeError(msg)
    return done.stdout.strip() or None


def _first() -> str:
    """Return the first GPU of those in CUDA_VISIBLE_DEVICES, which the driver respects; empty where there is none."""
    driver = ctypes.CDLL(DRIVER)
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME)
    failed = (
        driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, _NAME, device)
    )
    return "" if failed else name.value.decode()


if __name__ == "__main__":
    sys.stdout.write(_first())
