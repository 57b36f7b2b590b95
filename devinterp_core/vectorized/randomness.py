"""The global random state, which a loss may draw from: kept, and seeded."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the global generator of the processor and, where it is another, of `device`.

    As `torch.manual_seed`, without a look at every kind of accelerator, which takes longer than a small model does.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def global_state(device: torch.device) -> tuple[Tensor, ...]:
    """What `set_global_state` takes back."""
    state = (torch.get_rng_state(),)
    return (*state, torch.cuda.get_rng_state(device)) if device.type == "cuda" else state


def set_global_state(state: tuple[Tensor, ...], device: torch.device) -> None:
    """Continue where `global_state` was taken."""
    torch.set_rng_state(state[0].cpu())
    if len(state) > 1:
        torch.cuda.set_rng_state(state[1].cpu(), device)


@contextmanager
def kept_random_state(device: torch.device) -> Iterator[None]:
    """Whatever is drawn or seeded inside, the caller's global random state is afterwards what it was."""
    state = global_state(device)
    try:
        yield
    finally:
        set_global_state(state, device)
