r"""Essential dynamics: a trajectory smoothed by a Gaussian that widens with the checkpoint.

$$\bar r_i = \frac{\sum_j e^{-(j - i)^2 / 2 \sigma_i^2} r_j}{\sum_j e^{-(j - i)^2 / 2 \sigma_i^2}}, \qquad
\sigma_i = \sigma_\text{start} + (\sigma_\text{end} - \sigma_\text{start}) \frac{i}{N - 1}$$

Early checkpoints are few and move fast, late ones many and noisy.
"""

import numpy as np
from jaxtyping import Float, Num

from devinterp_core.trajectory.values import real_array

TRUNCATE = 6.0  # standard deviations at which the kernel is cut: 2e-9 of its mass lies beyond


def smooth(
    trajectory: Num[np.ndarray, "checkpoint *coordinates"], start: float = 1.0, end: float = 50.0
) -> Float[np.ndarray, "checkpoint *coordinates"]:
    r"""Gaussian filter over the checkpoint index with a standard deviation that grows linearly (formula above).

    At the edges the kernel is cut and normalised by what is left: a constant stays, but within a few $\sigma$ of an
    edge the curve is drawn inwards. Inside, straight lines stay, and a wave of angular frequency $\omega$ is damped by
    $e^{-\sigma^2 \omega^2 / 2}$.

    Args:
        trajectory: one row a checkpoint, in order of training; integers are smoothed in float64.
        start: $\sigma$ at the first checkpoint, in checkpoints; 0 leaves a checkpoint as it is.
        end: $\sigma$ at the last; 50 for the paper's language models, 100 to 1000 for its regression models.

    Raises:
        ValueError: if there is no checkpoint, a value is not finite or not real, or `start` or `end` is negative or
            infinite.

    Reference: Hoogland et al. (2024), appendix on essential dynamics.
    """
    if not (0 <= start < np.inf and 0 <= end < np.inf):
        raise ValueError(f"start and end must be finite and not negative, got {start} and {end}")
    trajectory = real_array(trajectory, "trajectory")
    if not len(trajectory):
        raise ValueError("trajectory has no checkpoints")
    if not np.isfinite(trajectory).all():
        raise ValueError("trajectory holds NaN or infinite values")
    smoothed = np.empty_like(trajectory)
    for index, sigma in enumerate(np.linspace(start, end, len(trajectory))):
        reach = int(TRUNCATE * sigma + 0.5)
        first, last = max(0, index - reach), min(len(trajectory), index + reach + 1)
        offsets = np.arange(first, last) - index
        weights = np.exp(-0.5 * (offsets / sigma) ** 2) if reach else np.ones(1)
        smoothed[index] = np.tensordot(weights / weights.sum(), trajectory[first:last], axes=1)
    return smoothed
