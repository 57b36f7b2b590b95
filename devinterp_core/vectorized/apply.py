"""Outputs of several models of one architecture in one program."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap


def stacked_outputs(
    model: nn.Module, parameters: Mapping[str, Tensor], inputs: Tensor, *, shared: bool = True
) -> Tensor:
    """`model(inputs)` at each of several parameter sets, without gradients.

    Args:
        model: the architecture; its own parameters are not used.
        parameters: every parameter's values `[model, ...]`, as `Checkpoints.load` returns them.
        inputs: one batch for all models, or `[model, batch, ...]` if not `shared`.
        shared: which of the two.

    Returns:
        `[model, batch, ...]`.

    Raises:
        ValueError: inputs for another number of models.
    """
    num_models = len(next(iter(parameters.values())))
    if not shared and len(inputs) != num_models:
        raise ValueError(f"inputs are for {len(inputs)} models, parameters for {num_models}")
    with torch.no_grad():
        call = lambda own, x: functional_call(model, own, (x,))
        return vmap(call, in_dims=(0, None if shared else 0))(dict(parameters), inputs)
