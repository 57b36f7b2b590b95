"""The settings of a run that do not depend on the problem, checked."""

import math
from dataclasses import dataclass

from devinterp_core.numbers import integer, number

from .methods import METHODS

LEAST = {
    "num_chains": 1, "num_draws": 1, "num_burnin": 0, "num_steps_between_draws": 1, "batch_size": 1,
    "checkpoint_every": 1, "memory_budget": 1, "stop_every": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """As the arguments of the same names of `sample`.

    Raises:
        ValueError: a setting out of its range, or an unknown method.
        TypeError: a setting of another type.
    """

    step_size: float
    num_chains: int = 4
    num_draws: int = 200
    num_burnin: int = 0
    num_steps_between_draws: int = 1
    batch_size: int | None = None
    method: str = "sgld"
    seed: int = 0
    keep_parameters: bool = False
    train_mode: bool = False
    memory_budget: int = 4 * 2**30
    checkpoint_every: int = 1000
    stop_every: int = 100

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; choose one of {sorted(METHODS)}")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is None and name == "batch_size":
                continue
            whole = integer(value)
            if whole is None or whole < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
            object.__setattr__(self, name, whole)
        seed = integer(self.seed)
        if seed is None or not 0 <= seed < 2**40:
            raise ValueError(f"seed must be an integer in [0, 2^40), got {self.seed!r}: equal seeds give equal draws")
        object.__setattr__(self, "seed", seed)
        step_size = number("step_size", self.step_size)
        if not (0 < step_size < math.inf):
            raise ValueError(f"step_size must be positive and finite, got {self.step_size}")
        object.__setattr__(self, "step_size", step_size)
        if METHODS[self.method].full_batch and self.batch_size is not None:
            raise ValueError(f"{self.method} accepts or rejects on the loss of all data: leave batch_size=None")

    @property
    def full_batch(self) -> bool:
        return self.batch_size is None

    @property
    def num_burnin_records(self) -> int:
        return self.num_burnin // self.num_steps_between_draws

    @property
    def num_steps(self) -> int:
        """Steps of a whole run."""
        return self.num_burnin + self.num_draws * self.num_steps_between_draws
