r"""Learning coefficients of deep linear networks in closed form.

A network with weights $W_l \in \mathbb R^{H_l \times H_{l-1}}$, $l = 1..L$, computes $x \mapsto W_L \cdots W_1 x$.
When the true map has rank $r$, its learning coefficient $\lambda$ and multiplicity $m$ depend on the widths
$(H_0, \ldots, H_L)$ and on $r$ alone, and $\lambda$ is far below half of the number of parameters.
"""

import operator
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import SupportsIndex


def learning_coefficient(widths: Iterable[SupportsIndex], rank: SupportsIndex) -> tuple[Fraction, int]:
    r"""Learning coefficient $\lambda$ and multiplicity $m$ of a deep linear network, by Aoyagi's formula.

    Let $M^{(s)} = H^{(s)} - r$, sorted ascending. There is a unique set $\mathcal M$ of $\ell + 1 \ge 2$ of the layers,
    a prefix of that order, with $\max_{\mathcal M} M < \min_{\mathcal M^c} M$,
    $\sum_{\mathcal M} M \ge \ell \max_{\mathcal M} M$ and $\sum_{\mathcal M} M < \ell \min_{\mathcal M^c} M$. With
    $S = \sum_{\mathcal M} M$ and $a = S - (\lceil S / \ell \rceil - 1)\,\ell$,

    $$\lambda = \frac{r (H^{(0)} + H^{(L)} - r)}{2} + \frac{a (\ell - a)}{4 \ell} - \frac{\ell - 1}{4 \ell} S^2
        + \frac12 \sum_{i < j \in \mathcal M} M_i M_j, \qquad m = a (\ell - a) + 1 .$$

    Args:
        widths: $(H_0, \ldots, H_L)$ from input to output, at least two, each at least 1.
        rank: $r$ of the true map, from 0 to the smallest width.

    Returns:
        `(coefficient, multiplicity)`, the coefficient exact.

    Raises:
        ValueError: if there are fewer than two widths, a width is below 1, or the rank is impossible.
        TypeError: if a width or the rank is no integer.

    Reference: Aoyagi (2024), Neural Networks 172; with $\Delta_s$ for $M^{(s)}$, Furman and Lau (2024), Thm. B.1.

    Example:
        >>> learning_coefficient((3, 2, 3), rank=1)
        (Fraction(7, 2), 2)
    """
    # Python's integers, which do not overflow
    widths, rank = [operator.index(width) for width in widths], operator.index(rank)
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths must be at least two positive integers, got {list(widths)}")
    if not 0 <= rank <= min(widths):
        raise ValueError(f"rank {rank} is impossible: expected 0 to {min(widths)}, the smallest width")
    excess = sorted(width - rank for width in widths)
    chosen = _bottleneck(excess)
    num_links, total = len(chosen) - 1, sum(chosen)
    remainder = total - (-(-total // num_links) - 1) * num_links
    pairs = (total**2 - sum(value**2 for value in chosen)) // 2
    coefficient = (
        Fraction(rank * (widths[0] + widths[-1] - rank), 2)
        + Fraction(remainder * (num_links - remainder) - (num_links - 1) * total**2, 4 * num_links)
        + Fraction(pairs, 2)
    )
    return coefficient, remainder * (num_links - remainder) + 1


def _bottleneck(excess: list[int]) -> list[int]:
    """The prefix of the ascending `excess` widths that carries the singularity (conditions 1 to 3 above)."""
    for size in range(2, len(excess) + 1):
        chosen, rest = excess[:size], excess[size:]
        enough = sum(chosen) >= (size - 1) * chosen[-1]
        separated = not rest or (chosen[-1] < rest[0] and sum(chosen) < (size - 1) * rest[0])
        if enough and separated:
            return chosen
    raise AssertionError(f"no prefix of {excess} meets Aoyagi's conditions")


def reduced_rank_learning_coefficient(
    inputs: SupportsIndex, hidden: SupportsIndex, outputs: SupportsIndex, rank: SupportsIndex
) -> tuple[Fraction, int]:
    r"""Learning coefficient and multiplicity of reduced-rank regression $x \mapsto B A x$, by its four cases.

    With $M, H, N$ = `inputs`, `hidden`, `outputs` and $r$ = `rank`: one case where no width dominates, with the parity
    of $M + H + N + r$ deciding the multiplicity, and one for each of $N$, $M$ and $H$ dominating. It is the two-layer
    case of `learning_coefficient`, found 19 years earlier and written here from its own source.

    Raises:
        ValueError: if the rank exceeds the smallest of the three sizes or is negative.

    Reference: Aoyagi and Watanabe (2005), Neural Networks 18, Main Theorem.

    Example:
        >>> reduced_rank_learning_coefficient(inputs=3, hidden=2, outputs=3, rank=1)
        (Fraction(7, 2), 2)
    """
    inputs, hidden, outputs, rank = map(operator.index, (inputs, hidden, outputs, rank))
    if not 0 <= rank <= min(inputs, hidden, outputs):
        raise ValueError(f"rank {rank} is impossible for sizes {(inputs, hidden, outputs)}")
    if inputs + hidden < outputs + rank:
        return Fraction(hidden * inputs - hidden * rank + outputs * rank, 2), 1
    if outputs + hidden < inputs + rank:
        return Fraction(hidden * outputs - hidden * rank + inputs * rank, 2), 1
    if inputs + outputs < hidden + rank:
        return Fraction(inputs * outputs, 2), 1
    even_value = 2 * (hidden + rank) * (inputs + outputs) + 2 * inputs * outputs
    even_value -= (hidden + rank) ** 2 + inputs**2 + outputs**2
    odd = (inputs + hidden + outputs + rank) % 2
    return Fraction(even_value + odd, 8), 1 + odd


def three_layer_local_coefficient(widths: Sequence[SupportsIndex], layer_ranks: Sequence[SupportsIndex]) -> Fraction:
    r"""Local learning coefficient at a true parameter of three layers whose first layer is onto.

    With widths $(H_0, H_1, H_2, H_3)$ and layer ranks $(H_1, r, r_3)$, $r \le r_3$,

    $$\lambda_{\text{local}} = \frac{r (H_0 + H_3 - r)}{2} + \frac{(r_3 - r)(H_1 - r)}{2}
        + \lambda_{\text{RRR}}(H_1 - r, H_2 - r_3, H_3 - r_3; 0):$$

    the rank of the product is split off; the other $r_3 - r$ directions of the last layer force entries of the second
    to vanish, a regular constraint; what remains is a reduced-rank regression at zero, of no coefficient where one of
    its sizes is zero. It is larger than `learning_coefficient`, which is that of the most singular true parameter.

    Args:
        widths: $(H_0, H_1, H_2, H_3)$.
        layer_ranks: $(H_1, r, r_3)$, of generic matrices of these ranks.

    Raises:
        ValueError: another number of layers, ranks that the widths or the derivation do not allow.
        TypeError: no integers.

    Reference: derived here; agrees with exact draws at a narrow localiser (`tests/test_dln.py`).

    Example:
        >>> three_layer_local_coefficient((3, 2, 2, 3), layer_ranks=(2, 1, 1))
        Fraction(3, 1)
    """
    sizes, ranks = [operator.index(width) for width in widths], [operator.index(rank) for rank in layer_ranks]
    if len(sizes) != 4 or len(ranks) != 3:
        raise ValueError(f"three layers have four widths and three ranks, got {sizes} and {ranks}")
    (h0, h1, h2, h3), (first, rank, last) = sizes, ranks
    if not (min(sizes) >= 1 and first == h1 <= h0 and 0 <= rank <= last <= min(h2, h3) and rank <= h1):
        raise ValueError(
            f"ranks {ranks} of widths {sizes}: the first layer must be onto and the second have a rank of at most the "
            "third's"
        )
    rest = (h1 - rank, h2 - last, h3 - last)
    singular = reduced_rank_learning_coefficient(*rest, 0)[0] if min(rest) else Fraction(0)
    return Fraction(rank * (h0 + h3 - rank) + (last - rank) * (h1 - rank), 2) + singular
