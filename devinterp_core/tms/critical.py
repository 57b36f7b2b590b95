r"""Critical points of the population loss: regular k-gons, and the levels of the loss they lie on.

A $k^{\sigma+,\varphi-}$-gon has $k$ columns of length $\ell^*$ at equal angles with bias $b^*$, and $c - k$ zero
columns of which $\sigma$ have the bias $1/(2c)$ and the others any negative bias (their output is dead).
For $k = 4$ the biases of $\varphi$ polygon columns may be so negative that those outputs are dead as well.
"""

import functools
import math

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from devinterp_core.tms.potential import population_loss


@functools.cache
def kgon_length_and_bias(k: int) -> tuple[float, float]:
    r"""Length $x = \ell^*$ of the columns and bias $y = b^*$ of the regular $k$-gon, to machine precision.

    For $k \le 4$ they are 1 and 0. For $k > 4$, with $\alpha = 2\pi/k$, $s$ the integer in $[k/4 - 1, k/4)$ and
    $F = 1 + 2\sum \cos^2 j\alpha$, $G = 1 + 2\sum \cos j\alpha$, $J = 1 + 2\sum 1/\cos j\alpha$, $M = 1 + 2s$
    (sums over $j = 1..s$), they solve

    $$x^6 G + x^2 y^2 J + 2 x^4 y M + y^2 - x^4 = 0, \qquad
      2 x^8 F + 3 x^6 y G - x^2 y^3 J - 2 x^6 - 2 y^3 = 0, \qquad -x^2 \cos s\alpha < y < 0.$$

    The first is quadratic in $y$: it is solved for $y$, and the second for $x$ by bracketing.

    Raises:
        ValueError: if `k < 2`, or the equations have no solution (as for k = 9, 10, 11, 13).

    Reference: Chen et al. (2023), appendix E.1.

    Example:
        >>> length, bias = kgon_length_and_bias(5)
        >>> print(f"{length:.4f} {bias:.4f}")
        1.1705 -0.2823
    """
    if k < 2:
        raise ValueError(f"a k-gon needs k >= 2, got {k}")
    if k <= 4:
        return 1.0, 0.0
    s = math.ceil(k / 4) - 1
    cosine = np.cos(2 * math.pi / k * np.arange(1, s + 1))
    F, G, J, M = 1 + 2 * (cosine**2).sum(), 1 + 2 * cosine.sum(), 1 + 2 * (1 / cosine).sum(), 1 + 2 * s
    nearest = cosine[-1] if s else 1.0

    def bias(x: float, sign: int) -> float:
        discriminant = (x**4 * M) ** 2 - (x**2 * J + 1) * (x**6 * G - x**4)
        return (-(x**4) * M + sign * math.sqrt(discriminant)) / (x**2 * J + 1) if discriminant >= 0 else math.nan

    def residual(x: float, sign: int) -> float:
        y = bias(x, sign)
        return 2 * x**8 * F + 3 * x**6 * y * G - x**2 * y**3 * J - 2 * x**6 - 2 * y**3

    grid = np.linspace(0.5, 3.0, 2501)
    for sign in (1, -1):
        values = np.array([residual(x, sign) for x in grid])
        for left in np.flatnonzero(values[:-1] * values[1:] < 0):
            x = brentq(residual, grid[left], grid[left + 1], args=(sign,), xtol=1e-15, rtol=8.9e-16)
            y = bias(x, sign)
            if -(x**2) * nearest < y < 0:
                return x, y
    raise ValueError(f"there is no regular {k}-gon: the critical-point equations have no solution for k = {k}")


def kgon(
    k: int,
    num_features: int,
    num_positive: int = 0,
    num_negative: int = 0,
    *,
    vestigial_bias: float = -1.0,
    dtype: torch.dtype = torch.float64,
) -> tuple[Float[Tensor, "hidden features"], Float[Tensor, "features"]]:
    r"""The critical point $k^{\sigma+,\varphi-}$ of the population loss with two hidden units.

    Columns $0..k-1$ are the polygon (the last `num_negative` of them with a dead output), the next `num_positive`
    columns are zero with bias $1/(2c)$, the rest are zero with bias `vestigial_bias`.

    Args:
        k: vertices of the polygon.
        num_features: $c \ge k$.
        num_positive: $\sigma \le c - k$.
        num_negative: $\varphi \le k$; only 4-gons stay critical when an output dies.
        vestigial_bias: of the dead zero columns; any negative number gives the same loss.
        dtype: of the result.

    Returns:
        $W$ and $b$.

    Raises:
        ValueError: if there is no such critical point.

    Reference: Chen et al. (2023), section 3.1 and appendix A.

    Example:
        >>> W, b = kgon(5, num_features=6)
        >>> W.shape, round(float(b[0]), 4)
        (torch.Size([2, 6]), -0.2823)
    """
    if not 0 <= num_positive <= num_features - k:
        limits = f"0..{num_features - k} for k = {k} of {num_features} features"
        raise ValueError(f"num_positive must be in {limits}; got {num_positive}")
    if num_negative and (k != 4 or not 0 <= num_negative <= k):
        raise ValueError(f"num_negative must be 0 unless k = 4 (then 0..4), got {num_negative} for k = {k}")
    if vestigial_bias >= 0:
        raise ValueError(f"vestigial_bias must be negative, got {vestigial_bias}")
    length, bias = kgon_length_and_bias(k)
    angle = 2 * math.pi / k * torch.arange(k, dtype=torch.float64)
    W = torch.zeros(2, num_features, dtype=torch.float64)
    W[:, :k] = length * torch.stack((angle.cos(), angle.sin()))
    b = torch.full((num_features,), vestigial_bias, dtype=torch.float64)
    b[:k] = bias
    b[k - num_negative : k] = min(vestigial_bias, -2.0)  # below -l^2 = -1, so that no input reaches the output
    b[k : k + num_positive] = 1 / (2 * num_features)
    return W.to(dtype), b.to(dtype)


def level_label(k: int, num_positive: int = 0, num_negative: int = 0) -> str:
    r"""Name of a critical point in the notation of the paper, as mathtext: $4^{2+,-}$ for k=4, sigma=2, phi=1.

    Example:
        >>> level_label(4, num_positive=2, num_negative=1)
        '$4^{2+,-}$'
    """
    counts = ((num_positive, "+"), (num_negative, "-"))
    signs = [f"{'' if count == 1 else count}{sign}" for count, sign in counts if count]
    return f"${k}^{{{','.join(signs)}}}$" if signs else f"${k}$"


def critical_levels(num_features: int) -> pd.DataFrame:
    r"""All known k-gon critical points with $k \ge 4$ and their losses, from the highest loss to the lowest.

    $L(k^{\sigma+,\varphi-}) = [h_k + (c - k) + \varphi - 3\sigma/(4c)] / (3c)$ with $h_k$ the potential $H$ of the
    polygon alone; here the loss is evaluated at the point itself.

    Returns:
        One row a level: `label`, `k`, `num_positive`, `num_negative`, `loss`, `half_squared_norm`
        ($\tfrac12 \lVert w^* \rVert^2$, the dead biases of zero columns at 0, their best value under a normal prior).

    Raises:
        ValueError: if `num_features < 4`.

    Reference: Chen et al. (2023), appendix A.

    Example:
        >>> critical_levels(6).loss.round(4).tolist()[-3:]
        [0.0687, 0.0618, 0.0482]
    """
    if num_features < 4:
        raise ValueError(f"num_features must be at least 4, got {num_features}")
    rows = []
    for k in range(4, num_features + 1):
        try:
            length, bias = kgon_length_and_bias(k)
        except ValueError:
            continue
        for num_positive in range(num_features - k + 1):
            for num_negative in range(4 if k == 4 else 1):
                W, b = kgon(k, num_features, num_positive, num_negative)
                # A dead polygon column of a 4-gon may shrink to zero at the same loss, so it costs nothing here.
                polygon = (k - num_negative) * (length**2 + bias**2)
                rows.append(
                    {
                        "label": level_label(k, num_positive, num_negative),
                        "k": k,
                        "num_positive": num_positive,
                        "num_negative": num_negative,
                        "loss": population_loss(W, b).item(),
                        "half_squared_norm": 0.5 * (polygon + num_positive / (4 * num_features**2)),
                    }
                )
    return pd.DataFrame(rows).sort_values("loss", ascending=False, ignore_index=True)
