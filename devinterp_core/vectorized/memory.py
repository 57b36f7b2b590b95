"""Keeping freed memory: a loop that allocates the same tensors at every step need not ask the system for them anew."""

import ctypes
import functools

# Parameters of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST = 2**25  # bytes of a tensor that is kept; glibc allows no more, and larger ones would leave holes
KEPT = 2**28  # bytes at the end of the heap that stay with the process


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
    return all([mallopt(M_MMAP_THRESHOLD, LARGEST), mallopt(M_TRIM_THRESHOLD, KEPT), mallopt(M_TOP_PAD, LARGEST)])
