"""Random numbers of losses that draw some, such as dropout: fixed by the run and the step, apart from the caller's."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from devinterp_core.vectorized import kept_random_state, seed_global


@contextlib.contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Give the global generators of torch, NumPy and Python back as they were, whatever is drawn inside."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the global one, that a loss may draw from
    with kept_random_state(device):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def seed_step(key: str, step: int, device: torch.device) -> None:
    """Seed torch's global generators for a step, so that a run continues as if it had never stopped.

    Args:
        key: of the run, hexadecimal.
        step: of the run.
        device: of the models.
    """
    seed_global(int(key[:12], 16) + step, device)
