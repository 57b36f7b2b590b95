"""SGLD with a diagonal preconditioner that is frozen after burn-in."""

import torch
from torch import Tensor

from ..noise import NormalSource
from ..target import Target
from .base import Method, joined


class RMSpropSGLD(Method):
    r"""SGLD preconditioned by RMSprop (Li et al. 2016), the preconditioner frozen after burn-in.

    $$w \leftarrow w - \tfrac{\epsilon}{2} G\,\nabla U(w) + \sqrt{\epsilon G}\,\xi, \qquad G = 1 / (\sqrt{V} + \delta)$$

    $V$, the running mean of squared gradients of $U$ over chains and burn-in steps, is shared by the chains; it is
    scaled so that $\max G = 1$: the least curved coordinate takes the step $\epsilon$, the others smaller ones. A
    preconditioner that kept adapting would need the drift term $\nabla \cdot G$, which the field's implementations
    drop, and with it the target; frozen, $G$ is a constant and the target is exact up to discretisation.
    """

    copies = 3
    decay = 0.99
    damping = 1e-3  # delta, relative to the largest sqrt(V)

    def __init__(self, target: Target, w: Tensor, noise: NormalSource, step_size: float, num_burnin: int):
        super().__init__(target, w, noise, step_size, num_burnin)
        if num_burnin < 1:
            raise ValueError(
                "rmsprop_sgld adapts its preconditioner during burn-in: give num_burnin >= 1 (100 or more)"
            )
        self.model_of_chain = target.model_of(torch.arange(len(w), device=w.device))
        self.state = {"V": w.new_zeros(int(self.model_of_chain.max()) + 1, w.shape[1]), "weight": 0.0}

    def preconditioner(self) -> Tensor:
        """$G$, one number a coordinate, at most 1, shared by the chains of a model; a row a chain."""
        root = (self.state["V"] / max(self.state["weight"], 1e-30)).sqrt()
        root = root + self.damping * root.amax(1, keepdim=True).clamp_min(1e-30)
        return (root.amin(1, keepdim=True) / root)[self.model_of_chain]

    def move(self, w: Tensor, gradients: list[Tensor], step: int) -> None:
        gradient = self.potential_gradient_(joined(gradients), w)
        if step < self.num_burnin:
            finite = torch.isfinite(gradient).all(dim=1)
            for index, average in enumerate(self.state["V"]):
                own = finite & (self.model_of_chain == index)
                squared = gradient[own].square().mean(0) if own.any() else torch.zeros_like(average)
                average.mul_(self.decay).add_(squared, alpha=1 - self.decay)
            self.state["weight"] = self.decay * self.state["weight"] + 1 - self.decay
            self._frozen = None
        if getattr(self, "_frozen", None) is None:
            self._frozen = self.preconditioner()
        g = self._frozen
        increment = self.normal_like(w).mul_((self.step_size * g).sqrt())
        w.add_(increment.sub_(gradient.mul_(g * (self.step_size / 2))))

    @staticmethod
    def variance_factor(step_size: float, curvature: float) -> float:
        return 1 / (1 - step_size * curvature / 4)
