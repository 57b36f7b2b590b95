r"""The exact 4-gon, where the population loss is once and not twice differentiable.

Going a step $tu$ and a step $-tu$ away from it costs different amounts, however small $t$. The excess loss
$\Delta(v) = L(w^* + v) - L(w^*)$ is still homogeneous of degree two in the limit, and positive in all but the flat
directions, so that the volume of $\{\Delta < \epsilon\}$ scales as $\epsilon^{d/2}$ with $d$ the number of directions
that are not flat: $d/2$ is the learning coefficient, where half the rank of a Hessian says nothing.
"""

from collections.abc import Sequence

import pandas as pd
import torch

from devinterp_core.tms.critical import kgon
from devinterp_core.tms.potential import population_loss


def four_gon_coefficient(num_features: int, num_positive: int = 0) -> float:
    r"""Learning coefficient of $4^{\sigma+}$, half the number of directions that are not flat.

    Of the 12 of the square itself the rotation is flat; each of the $c - 4$ zero columns has two that are not, and its
    bias a third if it is positive: $(11 + 2(c - 4) + \sigma)/2$.

    Args:
        num_features: $c \ge 4$.
        num_positive: $\sigma \le c - 4$.

    Raises:
        ValueError: if there is no such critical point.

    Example:
        >>> four_gon_coefficient(4)
        5.5
    """
    if num_features < 4 or not 0 <= num_positive <= num_features - 4:
        raise ValueError(f"there is no 4-gon of {num_features} features with {num_positive} positive biases")
    return (11 + 2 * (num_features - 4) + num_positive) / 2


def asymmetry(
    k: int, num_features: int, step_lengths: Sequence[float], *, num_directions: int = 1000, seed: int = 0
) -> pd.DataFrame:
    r"""How differently the loss rises ahead and behind a k-gon, for shorter and shorter steps.

    The median over random normal directions $u$ of $|\Delta(tu) - \Delta(-tu)| / (\Delta(tu) + \Delta(-tu))$ with the
    excess loss $\Delta$. Where the loss is twice differentiable it goes to zero with $t$.

    Args:
        k: vertices.
        num_features: $c$.
        step_lengths: $t$.
        num_directions: how many $u$.
        seed: of the directions.

    Returns:
        One row a step length: `k`, `step_length`, `asymmetry`.
    """
    generator = torch.Generator().manual_seed(seed)
    W, b = kgon(k, num_features)
    along_W = torch.randn(num_directions, *W.shape, generator=generator, dtype=W.dtype)
    along_b = torch.randn(num_directions, *b.shape, generator=generator, dtype=b.dtype)
    rows = []
    for length in step_lengths:
        ahead, behind = (
            population_loss(W + step * along_W, b + step * along_b) - population_loss(W, b)
            for step in (length, -length)
        )
        rows.append((k, length, float(((ahead - behind).abs() / (ahead + behind)).median())))
    return pd.DataFrame(rows, columns=["k", "step_length", "asymmetry"])
