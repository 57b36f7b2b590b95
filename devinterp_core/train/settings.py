"""What a training run is asked to do: optimiser, schedule of the learning rate, checkpoints."""

import math
from dataclasses import dataclass
from typing import Literal

from devinterp_core.numbers import integer, number

OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("constant", "triangle", "decay")


@dataclass(frozen=True)
class TrainingSettings:
    r"""Optimiser and schedule of a run.

    Attributes:
        num_steps: optimiser steps.
        learning_rate: its largest value.
        optimizer: `adamw`, or `muon` for matrices inside the network with AdamW for everything else.
        schedule: `constant`; `triangle`, up over the first half and down over the second, as `OneCycleLR` with linear
            annealing and division factors `num_steps / 2 - 1`; `decay`, constant and then linearly to zero over the
            last `decay_fraction`.
        num_warmup: steps of linear warm-up (not for `triangle`, which has its own).
        decay_fraction: share of the steps in which `decay` falls.
        betas: of AdamW.
        eps: of AdamW.
        weight_decay: decoupled, of every parameter.
        max_gradient_norm: gradients of each model are scaled down to this norm; None leaves them.
        momentum: of Muon.
        matrix_learning_rate: of Muon's matrices; None means `learning_rate`.

    Raises:
        ValueError: settings out of their range.

    Reference: `triangle` with AdamW, no decay: Hoogland et al. (2024), linear regression.
    """

    num_steps: int
    learning_rate: float
    optimizer: Literal["adamw", "muon"] = "adamw"
    schedule: Literal["constant", "triangle", "decay"] = "constant"
    num_warmup: int = 0
    decay_fraction: float = 0.3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    max_gradient_norm: float | None = None
    momentum: float = 0.95
    matrix_learning_rate: float | None = None

    def __post_init__(self) -> None:
        for name in ("num_steps", "num_warmup"):
            whole = integer(getattr(self, name))
            if whole is None:
                raise TypeError(f"{name} must be an integer, got {getattr(self, name)!r}")
            object.__setattr__(self, name, whole)
        for name in ("learning_rate", "decay_fraction", "eps", "weight_decay", "momentum"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        for name in ("max_gradient_norm", "matrix_learning_rate"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, number(name, getattr(self, name)))
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2:
            raise TypeError(f"betas must be two numbers, got {self.betas!r}")
        object.__setattr__(self, "betas", tuple(number("betas", beta) for beta in self.betas))
        if not 0 < self.eps < math.inf:
            raise ValueError(f"eps must be positive and finite, got {self.eps}")
        if self.num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {self.num_steps}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be positive and finite, got {self.learning_rate}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {OPTIMIZERS}, got {self.optimizer!r}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {SCHEDULES}, got {self.schedule!r}")
        if self.schedule == "triangle" and (self.num_warmup or self.num_steps < 5):
            raise ValueError("triangle has its own warm-up: leave num_warmup at 0; it needs at least 5 steps")
        if not 0 <= self.num_warmup <= self.num_steps:
            raise ValueError(f"num_warmup must lie in 0..num_steps, got {self.num_warmup}")
        if not 0 < self.decay_fraction <= 1:
            raise ValueError(f"decay_fraction must lie in (0, 1], got {self.decay_fraction}")
        if not all(0 <= each < 1 for each in (*self.betas, self.momentum)):
            raise ValueError(f"betas and momentum must lie in [0, 1), got {self.betas} and {self.momentum}")
        if self.matrix_learning_rate is not None and not 0 < self.matrix_learning_rate < math.inf:
            raise ValueError(f"matrix_learning_rate must be positive or None, got {self.matrix_learning_rate}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")
        if self.max_gradient_norm is not None and not self.max_gradient_norm > 0:
            raise ValueError(f"max_gradient_norm must be positive or None, got {self.max_gradient_norm}")

    def scale(self, step: int) -> float:
        """Learning rate of the step from `step` to `step + 1` over `learning_rate`."""
        if self.schedule == "triangle":
            # OneCycleLR: from 1 / (T/2 - 1) to 1 at step T/2 - 1, then to 1 / (T/2 - 1)^2 at the last step T - 1.
            factor = self.num_steps / 2 - 1
            top, last = 0.5 * self.num_steps - 1, self.num_steps - 1
            if step <= top:
                return 1 / factor + (1 - 1 / factor) * step / top
            return 1 + (1 / factor**2 - 1) * (step - top) / (last - top)
        scale = min(1.0, (step + 1) / self.num_warmup) if self.num_warmup else 1.0
        if self.schedule == "decay":
            scale *= min(1.0, (self.num_steps - step) / (self.decay_fraction * self.num_steps))
        return scale


def log_and_linear_steps(num_steps: int, num_log: int, num_linear: int = 0) -> list[int]:
    r"""Checkpoint steps $\lfloor T^{j/(N-1)} \rfloor$ joined with evenly spaced ones; 0 and `num_steps` are among them.

    Args:
        num_steps: $T$.
        num_log: $N$, at least 2.
        num_linear: evenly spaced steps after 0; 0 means none but the end.

    Raises:
        ValueError: fewer than 2 logarithmic steps, or negative numbers.

    Reference: Hoogland et al. (2024) and Carroll et al. (2025), unions of both kinds. The latter's 2203 checkpoints are
    $T$ = 150000, $N$ = 1000 and every 100th step (`num_linear=1500`), with step 0 and step $T$ counted.

    Example:
        >>> log_and_linear_steps(1000, 5, 4)
        [0, 1, 5, 31, 177, 250, 500, 750, 1000]
    """
    if num_log < 2 or num_linear < 0 or num_steps < 1:
        given = (num_steps, num_log, num_linear)
        raise ValueError(f"need num_steps >= 1, num_log >= 2, num_linear >= 0; got {given}")
    # The tiny summand keeps T^1 from rounding down.
    logarithmic = {math.floor(num_steps ** (j / (num_log - 1)) + 1e-9) for j in range(num_log)}
    linear = {round(num_steps * j / num_linear) for j in range(num_linear + 1)} if num_linear else set()
    return sorted({0, num_steps} | logarithmic | linear)
