"""The Metropolis-adjusted Langevin algorithm."""

import torch
from torch import Tensor

from ..noise import NormalSource
from ..target import Target
from .base import Method, joined


class MALA(Method):
    r"""Metropolis-adjusted Langevin algorithm (Roberts & Tweedie 1996), full batch.

    Proposal $w' = w - \tfrac{\epsilon}{2} \nabla U(w) + \sqrt{\epsilon}\,\xi$, accepted with probability
    $\min\{1, e^{U(w) - U(w')}\, q(w \mid w') / q(w' \mid w)\}$: no discretisation error at any step size.
    """

    full_batch = True
    copies = 7

    def __init__(self, target: Target, w: Tensor, noise: NormalSource, step_size: float, num_burnin: int):
        super().__init__(target, w, noise, step_size, num_burnin)
        self.state = {"accepted": torch.zeros(len(w), dtype=torch.float64, device=w.device), "proposals": 0}

    def settle(self, w: Tensor, losses: Tensor, gradients: list[Tensor], step: int) -> tuple[Tensor, Tensor]:
        """Judge the proposal `w`; the chains themselves are `state["w"]`."""
        state, eps = self.state, self.step_size
        gradient = self.potential_gradient_(joined(gradients), w)
        distance = (w - self.centre).double().square().sum(1)
        potential = self.target.n_beta * losses.double().mean(1) + self.target.localization / 2 * distance
        if "w" not in state:  # the first evaluation is of the starting point itself
            state.update(w=w.clone(), gradient=gradient, potential=potential, losses=losses.clone())
            return state["w"], state["losses"]
        forward = (w - state["w"] + eps / 2 * state["gradient"]).double().square().sum(1)
        backward = (state["w"] - w + eps / 2 * gradient).double().square().sum(1)
        log_ratio = state["potential"] - potential + (forward - backward) / (2 * eps)
        accept = (self.noise.uniform(len(w), dtype=torch.float64).log() < log_ratio) & torch.isfinite(potential)
        for name, new in (("w", w), ("gradient", gradient), ("potential", potential), ("losses", losses)):
            state[name] = torch.where(accept.view(-1, *([1] * (new.ndim - 1))), new, state[name])
        if step > self.num_burnin:
            state["accepted"] += accept
            state["proposals"] += 1
        return state["w"], state["losses"]

    def move(self, w: Tensor, gradients: list[Tensor], step: int) -> None:
        state, eps = self.state, self.step_size
        w.copy_(state["w"] - eps / 2 * state["gradient"] + self.normal_like(w, eps**0.5))

    def distance_and_virial(self, w: Tensor, gradients: list[Tensor]) -> Tensor:
        offset = w - self.centre
        return torch.stack([offset.square().sum(1), torch.linalg.vecdot(offset, self.state["gradient"])])
