"""Whether the gradient that autograd gives is the gradient of the loss.

It is not where a part of the loss is detached, a custom backward pass is wrong, or the backward pass computes with
other parameters than the forward pass did; a sampler then draws from another distribution, with a perfect R-hat.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .batches import Batch
from .randomness import seed_global

# The displaced point lies this many times the size of each parameter away, along random signs and sizes.
DISPLACEMENT = 0.03
# Steps of the central differences, in units of each parameter's size: the first is near enough for most losses, the
# smaller ones for stiff ones, the larger for single precision.
STEPS = (3e-3, 3e-4, 3e-2, 3e-5)
NUM_DIRECTIONS = 2
# Relative difference that is taken for rounding and curvature, and the relative rounding error of a loss, in units of
# the last digit.
TOLERANCE = 0.02
ROUNDING = 16.0


def displaced(w: Tensor, segments: list[tuple[int, int]], generator: torch.Generator, share: float) -> Tensor:
    """A random direction whose size in each parameter is `share` of that parameter's own size."""
    direction = torch.randn(w.shape, generator=generator).to(w)
    whole = w.square().mean().sqrt().clamp_min(1e-3)
    for a, b in segments:
        direction[a:b] *= share * w[a:b].square().mean().sqrt().maximum(0.1 * whole).maximum(whole.new_tensor(1e-3))
    return direction


def check_gradient(
    evaluate: Callable[..., tuple[Tensor, ...]], w: Tensor, segments: list[tuple[int, int]], batch: Batch
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    r"""Compare directional derivatives with central differences at a point beside `w`.

    $g \cdot d$ against $\sum_i (\ell_i(w + h d) - \ell_i(w - h d)) / 2hn$ for random directions $d$ and steps $h$: one
    step at which they agree, up to the rounding of the losses, is enough.

    Args:
        evaluate: `(w, batch, gradient)` to losses, or losses and the gradient of their mean, of one model.
        w: parameters.
        segments: first and last coordinate of each parameter.
        batch: a few samples.

    Returns:
        The point, and the losses and the gradient there.

    Raises:
        ValueError: if they do not agree.
    """
    generator = torch.Generator().manual_seed(0)
    share = DISPLACEMENT
    for _ in range(4):  # nearer, where the loss is not finite
        point = w + displaced(w, segments, generator, share)
        found = _seeded(evaluate, point, batch, True)
        if all(bool(t.isfinite().all()) for t in found):
            break
        share /= 10
    else:
        return point, found
    gradient = found[1].double()
    for _ in range(NUM_DIRECTIONS):
        direction = displaced(w, segments, generator, 1.0)
        claimed = float(gradient @ direction.double())
        measured = []
        for step in STEPS:
            ahead, behind = (_seeded(evaluate, point + s * step * direction, batch, False)[0] for s in (1, -1))
            change = (ahead.double() - behind.double()).flatten(1) if ahead.ndim > 1 else ahead.double() - behind
            slope = float(change.mean(0).sum()) / (2 * step)
            rounding = ROUNDING * torch.finfo(w.dtype).eps * float(ahead.abs().double().mean(0).sum()) / step
            measured.append(slope)
            if abs(slope - claimed) <= TOLERANCE * max(abs(slope), abs(claimed)) + rounding:
                break
        else:
            raise ValueError(
                f"the gradient is not that of the loss: in a random direction beside w* autograd says {claimed:.4g}, "
                f"central differences say {', '.join(f'{s:.4g}' for s in measured)}. Is a part of the loss detached or "
                "rounded, or a custom backward pass wrong? Sampling needs the gradient of the loss itself"
            )
    return point, found


def _seeded(evaluate: Callable[..., tuple[Tensor, ...]], w: Tensor, batch: Batch, gradient: bool) -> tuple[Tensor, ...]:
    """An evaluation whose random numbers, if it draws any, are the same every time; inside a forked random state."""
    seed_global(0, w.device)
    return evaluate(w, batch, gradient)
