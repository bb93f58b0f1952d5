"""Is there a CUDA device? Asked of the driver, so that the answer does not cost an import of torch."""

from __future__ import annotations

import ctypes
from functools import cache


@cache
def cuda_devices() -> int:
    """Number of CUDA devices that the driver shows this process (CUDA_VISIBLE_DEVICES is honoured); 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
