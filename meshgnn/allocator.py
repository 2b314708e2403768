"""Threads and memory of this process, set once where long work starts (fit, predict, rollout)."""

import ctypes
import os
from functools import cache

import torch

# <malloc.h> of glibc
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 1 << 30


@cache
def tune_process() -> None:
    """Compute threads: at most one a physical core. Memory: glibc keeps what tensors free.

    By default glibc gives every large tensor back to the system when it is freed, and the next one
    pays for fresh pages: element-wise operations on 60 MB were measured 5 to 15 times slower. With
    the thresholds raised, blocks up to 1 GiB are reused; the process then stays near its peak size.

    What the user has set wins: OMP_NUM_THREADS or fewer torch threads, and MALLOC_* or
    GLIBC_TUNABLES for the memory. Runs once per process; memory is left alone without glibc.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        from joblib import cpu_count  # respects affinity and containers; a quarter second to import

        torch.set_num_threads(min(torch.get_num_threads(), cpu_count(only_physical_cores=True)))
    tuned = any(key.startswith(("MALLOC_", "GLIBC_TUNABLES")) for key in os.environ)
    if not tuned:
        keep_freed_memory()


def keep_freed_memory() -> bool:
    """Raise glibc's thresholds for giving memory back to 1 GiB; whether it took them."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc: its allocator is left as it is
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEEP)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEEP))
