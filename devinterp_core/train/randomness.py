"""Random numbers of losses that draw some, such as dropout: fixed by the run and the step, apart from the caller's."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Give the global generators of torch, NumPy and Python back as they were, whatever is drawn inside."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  it is the global one that losses draw from
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


class StepRandomness:
    """Seeds the global generators for each step, so that a run continues as if it had never stopped.

    Args:
        key: of the run, hexadecimal.
        device: of the models.
    """

    def __init__(self, key: str, device: torch.device):
        self.base, self.device = int(key[:12], 16), device
        self.everywhere = False

    def __call__(self, step: int) -> None:
        """The generators of a step; those of NumPy and Python only where `everywhere` is set, for their cost."""
        torch.default_generator.manual_seed(self.base + step)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(self.base + step)
        if self.everywhere:
            random.seed(self.base + step)
            np.random.seed((self.base + step) % 2**32)  # noqa: NPY002


def generator_states() -> tuple:
    """States of torch's generator, and of NumPy's and Python's, to be compared."""
    numpy = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), (random.getstate(), numpy[1].tobytes(), numpy[2:])
