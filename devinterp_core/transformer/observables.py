"""What is read off a transformer during its development: attention patterns and LayerNorm scales."""

import torch
from jaxtyping import Float
from torch import Tensor


def attention_entropy(pattern: Float[Tensor, "batch head query key"]) -> Float[Tensor, " head"]:
    r"""Mean entropy of each head's attention, $-\sum_j A_{ij} \log A_{ij}$ in nats, over queries and sequences.

    It is 0 for a head that looks at one position, and the mean of $\log i$ over queries for uniform causal attention.

    Reference: Hoogland et al. (2024), structural indicators of the linear regression setting.
    """
    return -torch.special.xlogy(pattern, pattern).sum(-1).mean(dim=(0, 2))


def attention_variability(pattern: Float[Tensor, "batch head query key"]) -> Float[Tensor, " head"]:
    r"""How much each head's attention depends on the sequence, $\tfrac12 \mathbb{E} \lVert A_i - \bar A_i \rVert_1$.

    The mean total-variation distance of a row from its mean over sequences: 0 for attention to fixed positions, below
    1 always.

    Reference: Hoogland et al. (2024), structural indicators of the linear regression setting.
    """
    return (pattern - pattern.mean(0)).abs().sum(-1).mean(dim=(0, 2)) / 2


def collapsed_share(scales: Float[Tensor, "... channel"], threshold: float = 0.1) -> Float[Tensor, "..."]:
    """Share of the channels whose LayerNorm scale is below `threshold` in absolute value: channels that are shut off.

    Reference: Hoogland et al. (2024), who take 0.1.
    """
    return (scales.abs() < threshold).to(scales.dtype).mean(-1)
