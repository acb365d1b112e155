"""Which GPU this machine has for CUDA, asked of the driver itself; run as a program, it prints the name of the first.

torch would tell as well, but its import alone takes longer than a life of which everything is finished.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from functools import lru_cache

DRIVER = "libcuda.so.1"
_NAME = 256
"""Bytes for a name and the zero that ends it."""


@lru_cache(maxsize=1)
def gpu() -> str | None:
    """Name the GPU that programs started from here use first, such as `NVIDIA H100`; None where there is none.

    The driver is asked in a process of its own: children forked from a process that has begun with it cannot use it.

    Raises:
        HeadframeError: the driver is there, but broken.
    """
    from headframe.errors import HeadframeError  # noqa: PLC0415 - as a program this file stands alone

    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return None
    asked = subprocess.run([sys.executable, "-I", __file__], capture_output=True, text=True, check=False)
    if asked.returncode:
        reason = (asked.stderr.strip().splitlines() or [f"code {asked.returncode}"])[-1]
        msg = f"CUDA's driver {DRIVER} cannot be asked for a GPU ({reason}); fix it, or use trainer.accelerator=cpu"
        raise HeadframeError(msg)
    return asked.stdout.strip() or None


def _first() -> str:
    """Ask the driver, which heeds CUDA_VISIBLE_DEVICES; empty where it finds no GPU."""
    driver = ctypes.CDLL(DRIVER)
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME)
    failed = (
        driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, _NAME, device)
    )
    return "" if failed else name.value.decode()


if __name__ == "__main__":
    sys.stdout.write(_first())
