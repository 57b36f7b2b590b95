"""The largest curvature of the potential, by power iteration on Hessian-vector products."""

import torch
from torch import Tensor
from torch.func import functional_call

from devinterp_core.vectorized import PerSampleLoss

from .target import Target

# Samples of the data from which curvature is measured.
MAX_SAMPLES = 4096


def hessian_product(target: Target, w: Tensor, direction: Tensor) -> Tensor:
    r"""$\nabla^2 U(w)\, v$ on the mask, $U$ with the loss on (at most `MAX_SAMPLES` of) the data; both flat."""
    module = PerSampleLoss(target.model, target.losses)
    batch = tuple(t[:MAX_SAMPLES] for t in target.data)

    def potential_gradient(flat: Tensor) -> Tensor:
        values, start = {}, 0
        for name, shape in zip(target.names, target.shapes, strict=True):
            values[f"model.{name}"] = flat[start : start + shape.numel()].view(shape)
            start += shape.numel()
        mean = functional_call(module, values, batch).mean()
        return torch.autograd.grad(mean, flat, create_graph=True)[0]

    with torch.enable_grad():
        flat = w.detach().requires_grad_()
        gradient = potential_gradient(flat)
        masked = direction if target.mask is None else direction * target.mask
        product = torch.autograd.grad(gradient, flat, masked)[0] if gradient.requires_grad else torch.zeros_like(flat)
    product = target.n_beta * product + target.localization * masked
    return product if target.mask is None else product * target.mask


def largest_curvature(target: Target, w: Tensor | None = None, num_iterations: int = 30, seed: int = 0) -> float:
    r"""Largest absolute eigenvalue of $\nabla^2 U$ at `w` (default $w^*$), in inverse squared parameter units."""
    w = target.centre if w is None else w
    generator = torch.Generator(device=w.device).manual_seed(seed)
    vector = torch.randn(w.shape, dtype=w.dtype, device=w.device, generator=generator)
    vector = vector if target.mask is None else vector * target.mask
    value = 0.0
    for _ in range(num_iterations):
        vector = vector / vector.norm().clamp_min(1e-30)
        product = hessian_product(target, w, vector)
        value, vector = float(product.norm()), product
    return max(value, 1e-30)
