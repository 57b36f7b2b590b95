r"""How far a loss rises after its lowest checkpoint, without the bias of having picked the lowest.

The smallest of many noisy values is too small, so that every curve seems to rise from its minimum. Here the checkpoint
is picked on some of the sequences and the rise from it measured on the others, each fold of sequences in turn:

$$r = \frac1F \sum_f \bigl[\ell_f(T) - \ell_f(t_f)\bigr], \qquad t_f = \arg\min_t \sum_{g \ne f} \ell_g(t)$$
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Num

from devinterp_core.trajectory.values import real_array


@dataclass(frozen=True)
class Rise:
    """The rise of one curve, in the units of the loss.

    Attributes:
        critical: index of the checkpoint where the mean over all folds is lowest, the first of equals.
        minimum: cross-fitted loss at the minimum, each fold read where the other folds are lowest.
        final: loss at the last checkpoint.
        uncorrected: `final` minus the lowest mean over all folds, never negative, biased upwards by noise.
    """

    critical: int
    minimum: float
    final: float
    uncorrected: float

    @property
    def rise(self) -> float:
        """`final - minimum`; its expectation is at most the rise of the curve without noise, 0 for a constant one."""
        return self.final - self.minimum


def rise_after_minimum(losses: Num[np.ndarray, "checkpoint fold"]) -> Rise:
    r"""Rise of a loss from its lowest checkpoint to the last one, cross-fitted over folds (formula above).

    The folds are disjoint sets of sequences, the same at every checkpoint. Only their noise is removed: a model that
    itself fluctuates from checkpoint to checkpoint still has a lowest one, so compare with curves that cannot rise.

    Args:
        losses: mean loss over the sequences of each fold at each checkpoint, in order of training.

    Raises:
        ValueError: for fewer than 2 folds, no checkpoint, or values that are not finite.
    """
    if losses.ndim != 2 or losses.shape[0] < 1 or losses.shape[1] < 2:
        raise ValueError(f"losses must have shape [checkpoint, fold] with 2 folds at least, got {losses.shape}")
    if not np.isfinite(losses).all():
        raise ValueError("losses hold NaN or infinite values")
    losses = real_array(losses, "losses").astype(np.float64)
    total = losses.sum(axis=1)
    picked = (total[:, None] - losses).argmin(axis=0)  # [fold]
    mean = losses.mean(axis=1)
    return Rise(
        critical=int(total.argmin()),
        minimum=float(losses[picked, np.arange(losses.shape[1])].mean()),
        final=float(mean[-1]),
        uncorrected=float(mean[-1] - mean[total.argmin()]),
    )
