"""The largest curvature of the potential, by power iteration on Hessian-vector products."""

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from devinterp_core.vectorized import Batch, Evaluator, PerSampleLoss, kept_random_state, map_batch, seed_global

from .target import Target

# Samples of the data from which curvature is measured.
MAX_SAMPLES = 4096


def hessian_product(target: Target, w: Tensor, direction: Tensor) -> Tensor:
    r"""$\nabla^2 U(w)\, v$ on the mask, $U$ with the loss on (at most `MAX_SAMPLES` of) the data; both flat.

    By two backward passes, attention through the kernel that has a second derivative; where a model has none (a custom
    backward pass, recomputed activations, fused recurrent layers), by central differences of the gradient,
    $(\nabla U(w + hv) - \nabla U(w - hv)) / 2h$.
    """
    masked = direction if target.mask is None else direction * target.mask
    with kept_random_state(w.device):
        try:
            seed_global(0, w.device)
            product = _twice_differentiated(target, w, masked)
        except RuntimeError:
            product = _difference_of_gradients(target, w, masked)
    product = target.n_beta * product + target.localization * masked
    return product if target.mask is None else product * target.mask


class _SecondDerivative(PerSampleLoss):
    """Both backward passes run while the parameters are swapped in: what they compute anew reads these."""

    def forward(self, batch: Batch, flat: Tensor, direction: Tensor) -> Tensor:
        mean = self.loss(self.model, batch).mean()
        gradient = torch.autograd.grad(mean, flat, create_graph=True)[0]
        if not gradient.requires_grad:  # the loss is linear
            return torch.zeros_like(flat)
        return torch.autograd.grad(gradient, flat, direction)[0]


def _twice_differentiated(target: Target, w: Tensor, direction: Tensor) -> Tensor:
    module = _SecondDerivative(target.model, target.loss)
    batch = map_batch(lambda t: t[:MAX_SAMPLES], target.data)
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        flat, values, start = w.detach().requires_grad_(), {}, 0
        for name, shape in zip(target.names, target.shapes, strict=True):
            values[f"model.{name}"] = flat[start : start + shape.numel()].view(shape)
            start += shape.numel()
        return functional_call(module, values, (batch, flat, direction))


def _difference_of_gradients(target: Target, w: Tensor, direction: Tensor) -> Tensor:
    evaluator = Evaluator(target.model, target.loss, target.names, trace=False)
    batch = map_batch(lambda t: t[:MAX_SAMPLES], target.data)
    size = float(direction.norm())
    if size == 0:
        return torch.zeros_like(direction)
    h = torch.finfo(w.dtype).eps ** (1 / 3) * max(float(w.norm()), 1.0) / size
    gradients = []
    for sign in (1, -1):
        seed_global(0, w.device)
        gradients.append(evaluator.alone(w + sign * h * direction, batch, gradient=True)[1])
    return (gradients[0] - gradients[1]) / (2 * h)


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
