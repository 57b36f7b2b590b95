r"""In-context regression as a sequence model sees it: examples to tokens, outputs to predictions, and the loss.

Example $k$ becomes two tokens of $D + 1$ numbers, $(0, x_k)$ and then $(y_k, 0, \ldots, 0)$. The prediction of $y_k$ is
the first number of the model's output at the token of $x_k$.

Reference: Raventós et al. (2023), section 2; Hoogland et al. (2024), arXiv:2402.02364.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from devinterp_core.regression.tasks import Sequences


def to_tokens(sequences: Sequences) -> Float[Tensor, "*batch position width"]:
    r"""Tokens $(0, x_1), (y_1, 0), (0, x_2), \ldots$ of shape [..., 2 K, D + 1].

    Args:
        sequences: inputs [..., example, dim] and targets [..., example].

    Raises:
        ValueError: if these shapes or the dtypes do not match.
    """
    inputs, targets = sequences
    if inputs.ndim < 2 or inputs.shape[:-1] != targets.shape:
        raise ValueError(
            "inputs must have shape [..., example, dim] and targets [..., example]; "
            f"got {tuple(inputs.shape)} and {tuple(targets.shape)}"
        )
    if inputs.dtype != targets.dtype or not inputs.is_floating_point():
        raise ValueError(f"inputs and targets must be of one floating-point type, got {inputs.dtype}, {targets.dtype}")
    *batch, num_examples, dim = inputs.shape
    tokens = inputs.new_zeros(*batch, num_examples, 2, dim + 1)
    tokens[..., 0, 1:] = inputs
    tokens[..., 1, 0] = targets
    return tokens.flatten(-3, -2)


def read_predictions(outputs: Float[Tensor, "*batch position width"]) -> Float[Tensor, "*batch example"]:
    """Predictions of a model from its outputs: the first number at positions 0, 2, 4, ..., where it has just read an x.

    Raises:
        ValueError: if the outputs are not [..., position, number] with an even number of positions.
    """
    if outputs.ndim < 2 or outputs.shape[-2] % 2 or outputs.shape[-1] < 1:
        raise ValueError(
            "outputs must have shape [..., 2 * num_examples, dim + 1], two positions an example; "
            f"got {tuple(outputs.shape)}"
        )
    return outputs[..., 0::2, 0]


def per_token_loss(
    predictions: Float[Tensor, "... example"], targets: Float[Tensor, "... example"]
) -> Float[Tensor, "... example"]:
    r"""Squared error of each prediction, in squared target units; its mean over examples is the loss of a sequence.

    Args:
        predictions: of a model, or of another predictor; may have more leading dimensions (models, checkpoints) than
            `targets`.
        targets: $y$, or the predictions of a predictor whose distance is wanted.

    Raises:
        ValueError: if the shape of `predictions` does not end with that of `targets`.
    """
    if predictions.ndim < targets.ndim or predictions.shape[predictions.ndim - targets.ndim :] != targets.shape:
        raise ValueError(
            f"predictions of shape {tuple(predictions.shape)} must end with the shape of the targets, "
            f"{tuple(targets.shape)}"
        )
    return torch.square(predictions - targets)
