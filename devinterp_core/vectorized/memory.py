"""Keeping freed memory: a loop that allocates the same tensors at every step need not ask the system for them anew."""

import ctypes
import functools

# Parameters of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
KEPT = 2**29  # bytes that stay with the process when they are freed


@functools.cache
def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for this process's next allocation; True if it knows how (glibc).

    Tensors of a megabyte are otherwise returned to the system when they are freed, and every page of the next one is
    a page fault: a fifth of a training step of five small transformers, measured.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library: nothing to do
        return False
    return all([mallopt(M_MMAP_THRESHOLD, KEPT), mallopt(M_TRIM_THRESHOLD, KEPT), mallopt(M_TOP_PAD, KEPT // 8)])
