"""How a tuned lens is trained: the settings, and the optimiser that they mean."""

import dataclasses
import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from devinterp_core.train.optimizers import Optimizer
from devinterp_core.train.settings import TrainingSettings


@dataclasses.dataclass(frozen=True)
class LensTraining:
    r"""Optimiser and schedule of a lens; the learning rate falls linearly to zero.

    The defaults are the authors' later recommendation: Muon on the translators, AdamW on their biases. `ORIGINAL_SGD`
    is the recipe of the paper's figures, in which the lenses ended "severely undertrained".

    Attributes:
        num_steps: optimiser steps.
        optimizer: `muon`, or `sgd` with Nesterov momentum.
        learning_rate: at the first step.
        momentum: of either.
        weight_decay: towards the logit lens; decoupled for `muon`, an L2 term for `sgd`.
        max_gradient_norm: of all translators jointly; None leaves the gradients.
        vocabulary_sample: tokens on which the lenses' normalisation is estimated, anew for each chunk of tokens, see
            `Readout.sampled`; None takes all. The teacher always has all.
        skip: positions at the beginning of each sequence that are left out.
        seed: of the samples.

    Raises:
        ValueError: settings out of their range.

    Reference: Belrose et al. (2023), section 3 and appendix; their version 6 for Muon.
    """

    num_steps: int = 250
    optimizer: Literal["muon", "sgd"] = "muon"
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.01
    max_gradient_norm: float | None = None
    vocabulary_sample: int | None = None
    skip: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {self.num_steps}")
        if self.optimizer not in ("muon", "sgd"):
            raise ValueError(f"optimizer must be muon or sgd, got {self.optimizer!r}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be positive and finite, got {self.learning_rate}")
        if not 0 < self.momentum < 1:
            raise ValueError(f"momentum must lie in (0, 1), got {self.momentum}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")
        if self.max_gradient_norm is not None and self.max_gradient_norm <= 0:
            raise ValueError(f"max_gradient_norm must be positive or None, got {self.max_gradient_norm}")
        if self.vocabulary_sample is not None and self.vocabulary_sample < 4:
            raise ValueError(f"vocabulary_sample must be at least 4 or None, got {self.vocabulary_sample}")
        if self.skip < 0:
            raise ValueError(f"skip must not be negative, got {self.skip}")


ORIGINAL_SGD = LensTraining(optimizer="sgd", learning_rate=0.1, weight_decay=1e-3, max_gradient_norm=1.0)


def optimizer_of(w: Float[Tensor, "layer parameter"], width: int, settings: LensTraining) -> "Optimizer | _SGD":
    """What takes the steps: our batched Muon, every layer being a model of its own, or PyTorch's SGD.

    Args:
        w: of each layer the translator, `width` x `width`, and its bias; changed in place.
        width: of the residual stream.
        settings: of the training.
    """
    if settings.optimizer == "sgd":
        return _SGD(w, settings)
    segments = [("weight", 0, width**2, torch.Size((width, width))),
                ("bias", width**2, w.shape[1], torch.Size((width,)))]  # fmt: skip
    own = TrainingSettings(
        num_steps=settings.num_steps, learning_rate=settings.learning_rate, optimizer="muon", schedule="decay",
        decay_fraction=1.0, weight_decay=settings.weight_decay, momentum=settings.momentum,
    )  # fmt: skip
    return Optimizer(w, segments, own)


class _SGD:
    """PyTorch's SGD with Nesterov momentum and linear decay, behind the interface of `Optimizer`."""

    def __init__(self, w: Tensor, settings: LensTraining):
        self.w, self.settings = w, settings
        self.sgd = torch.optim.SGD(
            [w],
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=True,
            weight_decay=settings.weight_decay,
        )

    def step(self, gradient: Tensor, step: int) -> None:
        self.sgd.param_groups[0]["lr"] = self.settings.learning_rate * (1 - step / self.settings.num_steps)
        self.w.grad = gradient
        self.sgd.step()
        self.w.grad = None

    def state(self) -> dict[str, Tensor]:
        return dict(self.sgd.state.get(self.w, {}))

    def restore(self, state: dict[str, Tensor]) -> None:
        if state:
            self.sgd.state[self.w] = {k: v.clone().to(self.w.device) for k, v in state.items()}
