"""Bias of a lens: how far the tokens it predicts on average are from those that the model predicts."""

import math

import numpy as np
from jaxtyping import Float
from scipy.special import rel_entr


def marginal_bias(marginal: Float[np.ndarray, "layer token"]) -> Float[np.ndarray, " layer"]:
    r"""$\mathrm{KL}(\bar p \,\|\, \bar q_l)$ of the marginal distributions of the model and of each layer, in bits.

    Args:
        marginal: from `evaluate_lens`, the last row being the model's $\bar p$.

    Raises:
        ValueError: rows that are not distributions.

    Reference: Belrose et al. (2023), figure 3.
    """
    if (marginal < 0).any() or not np.allclose(marginal.sum(1), 1, atol=1e-4):
        raise ValueError("every row must be a distribution over tokens: take `marginal` of evaluate_lens")
    return rel_entr(marginal[-1], marginal).sum(1) / math.log(2)
