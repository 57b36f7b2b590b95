r"""Weights of particles: their effective number, the longest step that they bear, and resampling by them."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def effective_sample_size(log_weights: Float[Tensor, " particle"]) -> float:
    r"""Number of equally weighted particles that the weights are worth, $(\sum_i W_i)^2 / \sum_i W_i^2$."""
    return math.exp(2 * torch.logsumexp(log_weights, 0).item() - torch.logsumexp(2 * log_weights, 0).item())


def systematic_resample(weights: Float[Tensor, " particle"], generator: torch.Generator) -> Int[Tensor, " particle"]:
    r"""Indices of $N$ survivors: particle $i$ is taken $\lfloor N W_i \rfloor$ or $\lceil N W_i \rceil$ times.

    One uniform $u$ sets all the points $(u + i)/N$ at which the cumulative weights are read, so the number of copies
    has mean $N W_i$ and less variance than independent draws.

    Raises:
        ValueError: weights that are negative, not finite or all zero.
    """
    if weights.is_complex() or not (weights >= 0).all() or not 0 < float(weights.double().sum()) < math.inf:
        raise ValueError("weights must be real, finite, not negative and not all zero")
    count = len(weights)
    cumulative = torch.cumsum(weights.double() / weights.double().sum(), 0)
    offset = torch.rand((), generator=generator, device=weights.device, dtype=torch.float64)
    points = (torch.arange(count, device=weights.device) + offset) / count
    return torch.searchsorted(cumulative, points).clamp(max=count - 1)


def largest_step(
    log_weights: Float[Tensor, " particle"], likelihood: Float[Tensor, " particle"], longest: float, wanted: float
) -> float:
    r"""The largest step in temperature, at most `longest`, that keeps a conditional effective sample size.

    For the step $d$ and $u_i = e^{d\ell_i}$ it is $N (\sum_i W_i u_i)^2 / \sum_i W_i u_i^2$, falling from $N$ with $d$.

    Args:
        log_weights: $\log W$, the weights summing to 1.
        likelihood: $\ell$, the log-likelihood of each particle.
        longest: upper bound of the step.
        wanted: conditional effective sample size to keep, below $N$.

    Reference: Zhou, Johansen & Aston (2016), section 3.3.
    """

    def conditional(step: float) -> float:
        first = torch.logsumexp(log_weights + step * likelihood, 0)
        return len(likelihood) * math.exp((2 * first - torch.logsumexp(log_weights + 2 * step * likelihood, 0)).item())

    low, high = 0.0, longest
    if conditional(high) >= wanted:
        return high
    for _ in range(100):  # bisection: the conditional effective sample size falls from N as the step grows
        middle = (low + high) / 2
        low, high = (middle, high) if conditional(middle) >= wanted else (low, middle)
        if low > 0 and high - low < 1e-3 * low:
            break
    return low if low > 0 else high
