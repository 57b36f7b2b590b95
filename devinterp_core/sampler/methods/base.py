"""What the update rules share: the target's constants, the gradient of the potential, cache-sized blocks."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..noise import NormalSource
from ..target import Target

# Elementwise work goes in blocks that stay in a core's second-level cache.
BLOCK = 32_768


def blocks(w: Tensor, gradients: list[Tensor]) -> Iterator[tuple[slice, slice, Tensor]]:
    """Cut `[chain, coordinate]` into cache-sized pieces aligned with the gradient's column blocks.

    Yields:
        chains, coordinates, and the gradient there (writable). `gradients` is emptied on the way, its memory released.
    """
    num_chains, start = len(w), 0
    while gradients:
        gradient = gradients.pop(0)
        size = gradient.shape[1]
        if num_chains * size <= 2 * BLOCK:
            yield slice(None), slice(start, start + size), gradient
        else:
            for c in range(num_chains):
                for a in range(0, size, BLOCK):
                    b = min(a + BLOCK, size)
                    yield slice(c, c + 1), slice(start + a, start + b), gradient[c : c + 1, a:b]
        start += size


def joined(gradients: list[Tensor]) -> Tensor:
    """The gradient as one writable `[chain, coordinate]` tensor; empties the list."""
    gradient = gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=1)
    gradients.clear()
    return gradient


class Method:
    """What the update rules share: the target's constants and the gradient of the potential."""

    full_batch = False  # whether the method is only right with the loss on all data
    copies = 2  # tensors of the size of the chains' parameters, for the memory budget

    def __init__(self, target: Target, w: Tensor, noise: NormalSource, step_size: float, num_burnin: int):
        self.target, self.noise, self.step_size, self.num_burnin = target, noise, step_size, num_burnin
        self.centre = w.clone() if target.num_models > 1 else target.centre.expand_as(w)  # [chain, coordinate]
        self.mask = None if target.mask is None else target.mask.to(w.dtype)[None]
        self.state: dict[str, Any] = {}

    def settle(self, w: Tensor, losses: Tensor, gradients: list[Tensor], step: int) -> tuple[Tensor, Tensor]:
        """The chains' positions after `step` steps and their per-sample losses."""
        return w, losses

    def move(self, w: Tensor, gradients: list[Tensor], step: int) -> None:
        """Advance `w` in place by one step; consumes `gradients`."""
        raise LookupError("a method defines its own move")

    def masked_(self, tensor: Tensor, coordinates: slice) -> Tensor:
        return tensor if self.mask is None else tensor.mul_(self.mask[:, coordinates])

    def potential_gradient_(
        self, gradient: Tensor, w: Tensor, chains: slice = slice(None), coordinates: slice = slice(None)
    ) -> Tensor:
        r"""$\nabla U = n\beta\,\nabla L + \gamma\,(w - w^*)$, on the mask; overwrites `gradient`."""
        gradient.mul_(self.target.n_beta)
        if self.target.localization:
            gradient.add_(w - self.centre[chains, coordinates], alpha=self.target.localization)
        return self.masked_(gradient, coordinates)

    def normal_like(self, tensor: Tensor, scale: float = 1.0, coordinates: slice = slice(None)) -> Tensor:
        return self.masked_(self.noise.normal(tensor.shape, tensor.dtype, scale), coordinates)

    def distance_and_virial(self, w: Tensor, gradients: list[Tensor]) -> Tensor:
        r"""$\lVert w - w^*\rVert^2$ and $(w - w^*) \cdot \nabla U(w)$, `[2, chain]`; leaves `gradients` as they are."""
        if len(gradients) == 1:
            offset = w - self.centre
            squared, product = torch.linalg.vecdot(offset, offset), torch.linalg.vecdot(offset, gradients[0])
        else:  # large: one parameter of one chain at a time, by the dot product of the BLAS
            squared, product = torch.zeros(2, len(w), dtype=w.dtype, device=w.device)
            for c in range(len(w)):
                sizes = [g.shape[1] for g in gradients]
                for piece, centre, g in zip(w[c].split(sizes), self.centre[c].split(sizes), gradients, strict=True):
                    offset = piece - centre
                    squared[c] += torch.dot(offset, offset)
                    product[c] += torch.dot(offset, g[c])
        return torch.stack([squared, self.target.n_beta * product + self.target.localization * squared])

    @staticmethod
    def variance_factor(step_size: float, curvature: float) -> float:
        """Stationary variance on a Gaussian of this curvature, over the exact one."""
        return 1.0
