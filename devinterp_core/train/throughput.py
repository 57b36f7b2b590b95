"""The rate at which this machine multiplies matrices: with the arithmetic of a step, the floor under its time."""

import time

import torch


def matmul_rate(size: int = 1024, repeats: int = 10, device: torch.device | str = "cpu") -> float:
    """Floating-point operations a second of square float32 matrix products with the threads in use; the best repeat.

    Args:
        size: rows and columns.
        repeats: products measured after one that is not.
        device: where.
    """
    a, b = (torch.randn(size, size, device=device, generator=torch.Generator(device).manual_seed(s)) for s in (0, 1))
    best = 0.0
    for repeat in range(repeats + 1):
        started = time.perf_counter()
        torch.mm(a, b)[0, 0].item()  # reading a number waits for the device
        if repeat:
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best
