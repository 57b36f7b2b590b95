r"""Which critical point a parameter resembles: vertices of the convex hull, signs of biases, nearest level.

Everything is batched over leading dimensions, so that thousands of particles or checkpoints are classified at once.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Phase(NamedTuple):
    """Counts that name a k-gon: vertices, interior columns with a positive bias, vertices with a dead output."""

    k: Int[Tensor, "*batch"]
    num_positive: Int[Tensor, "*batch"]
    num_negative: Int[Tensor, "*batch"]


def hull_vertices(
    W: Float[Tensor, "*batch hidden features"], tolerance: float = 1e-9
) -> Bool[Tensor, "*batch features"]:
    r"""Which columns of $W$ are vertices of the convex hull of all columns.

    Column $i$ is a vertex if it starts an edge: there is a $j$ with every other column strictly to the left of the
    line from $W_i$ to $W_j$, or on the segment between them. Of coincident columns only the first counts.

    Args:
        W: columns in the plane.
        tolerance: areas below this, relative to the largest squared length, count as zero.

    Raises:
        ValueError: if $W$ does not have two rows, or a number is not finite.

    Reference: the `ConvexHull` count of Chen et al. (2023), section 4.
    """
    if W.shape[-2] != 2:
        raise ValueError(f"the convex hull is taken in the plane: W needs 2 rows, got {W.shape[-2]}")
    if not W.isfinite().all():
        raise ValueError("W holds NaN or infinite values: they have no convex hull")
    x, y = W[..., 0, :], W[..., 1, :]
    dx = x.unsqueeze(-2) - x.unsqueeze(-1)  # [*batch, i, j] = x_j - x_i
    dy = y.unsqueeze(-2) - y.unsqueeze(-1)
    squared = dx**2 + dy**2
    small = tolerance * (x**2 + y**2).amax(-1)[..., None, None].clamp_min(torch.finfo(W.dtype).tiny)
    area = dx.unsqueeze(-1) * dy.unsqueeze(-2) - dy.unsqueeze(-1) * dx.unsqueeze(-2)  # [*batch, i, j, third column]
    along = dx.unsqueeze(-1) * dx.unsqueeze(-2) + dy.unsqueeze(-1) * dy.unsqueeze(-2)
    within = (area.abs() <= small.unsqueeze(-1)) & (along >= 0) & (along <= squared.unsqueeze(-1))
    # An endpoint equals its own projection only up to rounding, so the two ends are admitted explicitly.
    identity = torch.eye(W.shape[-1], dtype=torch.bool, device=W.device)
    allowed = (area > small.unsqueeze(-1)) | within | identity.unsqueeze(-2) | identity.unsqueeze(-3)
    coincident = squared <= small
    edge = allowed.all(-1) & ~coincident
    first = ~(coincident & identity.new_ones(identity.shape).tril(-1)).any(-1)
    return edge.any(-1) & first


def classify(W: Float[Tensor, "*batch hidden features"], b: Float[Tensor, "*batch features"]) -> Phase:
    r"""Name the k-gon that each parameter looks like.

    - $k$: vertices of the convex hull of the columns;
    - $\sigma$: positive biases among the columns that are not vertices;
    - $\varphi$: vertices whose output is dead, $b_i + \max(0, \max_j W_i \cdot W_j) \le 0$ with $b_i < 0$.

    Raises:
        ValueError: if the shapes do not match, $W$ does not have two rows, or a number is not finite.

    Reference: Chen et al. (2023), sections 3.1 and 4.

    Example:
        >>> from devinterp_core.tms import kgon
        >>> W, b = kgon(5, num_features=6)
        >>> int(classify(W, b).k)
        5
    """
    if W.shape[:-2] != b.shape[:-1] or W.shape[-1] != b.shape[-1]:
        raise ValueError(f"W of shape {tuple(W.shape)} does not match b of shape {tuple(b.shape)}")
    if not b.isfinite().all():
        raise ValueError("b holds NaN or infinite values: they are no phase")
    vertex = hull_vertices(W)
    reach = (W.mT @ W).amax(-1).clamp_min(0) + b
    dead = (b < 0) & (reach <= 0)
    return Phase(vertex.sum(-1), (~vertex & (b > 0)).sum(-1), (vertex & dead).sum(-1))


def canonical(
    W: Float[Tensor, "2 features"], b: Float[Tensor, "features"], shortest: float = 0.5
) -> tuple[Float[Tensor, "2 features"], Float[Tensor, "features"]]:
    r"""Turn and reorder one parameter for drawing: long columns by angle, the first pointing right, then short ones.

    The long column with the lowest bias comes last among the long ones; short columns go by falling bias.

    Args:
        W: weights.
        b: biases.
        shortest: columns of at most this length count as short.

    Returns:
        A parameter with the same loss.
    """
    length, angle = W.norm(dim=0), torch.atan2(W[1], W[0])
    long = length > shortest
    circle = 2 * math.pi
    if long.any():
        # Measured from just after the long column with the lowest bias, so that this column comes last.
        lowest = torch.where(long, b, math.inf).argmin()
        after = (angle - angle[lowest] - 1e-6) % circle
        angle = angle - angle[torch.where(long, after, math.inf).argmin()]
        short_place = circle + b.amax() - b
        order = torch.where(long, after, short_place).argsort()
    else:
        order = b.argsort(descending=True)
    return (length * torch.stack((angle.cos(), angle.sin())))[:, order], b[order]


def nearest_level(loss: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Index of the level closest in loss, and the absolute distance to it, elementwise.

    Args:
        loss: losses of any shape.
        levels: the levels, in any order.

    Raises:
        ValueError: if there are no levels, or a loss or a level is NaN.

    Example:
        >>> level, distance = nearest_level(np.array([0.07, 0.05]), np.array([0.0687, 0.0482]))
        >>> level.tolist(), distance.round(4).tolist()
        ([0, 1], [0.0013, 0.0018])
    """
    loss, levels = 1.0 * np.asarray(loss), 1.0 * np.asarray(levels)  # unsigned integers have no differences
    if levels.size == 0:
        raise ValueError("at least one level is needed")
    if np.isnan(loss).any() or np.isnan(levels).any():
        raise ValueError("a loss or a level is NaN: no level is nearest to it")
    distance = np.abs(loss[..., None] - levels)
    index = distance.argmin(-1)
    return index, np.take_along_axis(distance, index[..., None], -1)[..., 0]
