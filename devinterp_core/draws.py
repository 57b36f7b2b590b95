"""The schema of draws: what samplers return, files hold and estimates read.

    loss_difference        (chain, draw)    loss at the draw minus the loss of the same samples at w*
    burnin_loss_difference (chain, burnin)  the same in the burn-in; exact samplers have none
    distance, virial       (chain, draw)    |w - w*|; (w - w*) . grad U(w)
    diverged, diverged_at  (chain,)         whether, and at which recorded step, a chain left the finite numbers
    dimension              ()               number of coordinates that move
    acceptance             (chain,)         of samplers that accept or reject
    parameters             (chain, draw, coordinate)
    further names          (chain, draw, ...), or their mean and covariance over the draws of each chain

Several models or components stand along a further first dimension, `dimension` with them. The settings are attributes,
`n_beta` among them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray

DESCRIPTIONS = {
    "loss_difference": "minibatch loss at the draw minus the loss of the same samples at w*",
    "burnin_loss_difference": "the same, every num_steps_between_draws steps of the burn-in",
    "distance": "Euclidean distance |w - w*|",
    "virial": "(w - w*) . grad U(w); its posterior mean is the number of sampled dimensions",
    "diverged_at": "first recorded step with a loss that is not finite; -1: none",
    "dimension": "number of coordinates that move",
}
DIMS = {
    "burnin_loss_difference": ("burnin",),
    "diverged": (),
    "diverged_at": (),
    "acceptance": (),
    "parameters": ("draw", "coordinate"),
}
RESERVED = frozenset(DESCRIPTIONS) | frozenset(DIMS) | {"model", "chain", "draw", "component", "burnin", "coordinate"}


def make_draws(arrays: Mapping[str, np.ndarray], dimension: int, attrs: Mapping[str, Any]) -> xarray.Dataset:
    """Label the arrays of one problem's chains.

    Args:
        arrays: name to array, chains first; `loss_difference` and `diverged_at` (or `diverged`) among them.
        dimension: number of coordinates that move.
        attrs: settings.
    """
    variables = {}
    for name, array in arrays.items():
        variables[name] = (("chain", *_dims(name, array.ndim)), array, {"description": DESCRIPTIONS.get(name, "")})
    if "diverged" not in arrays:
        variables["diverged"] = (("chain",), arrays["diverged_at"] >= 0)
    variables["dimension"] = ((), dimension, {"description": DESCRIPTIONS["dimension"]})
    num_chains, num_draws = arrays["loss_difference"].shape
    coords = {"chain": np.arange(num_chains), "draw": np.arange(num_draws)}
    return xarray.Dataset(variables, coords=coords, attrs=dict(attrs))


def _dims(name: str, ndim: int) -> tuple[str, ...]:
    if name in DIMS:
        return DIMS[name]
    if name.endswith("_covariance"):
        sample = f"{name.removesuffix('_covariance')}_sample"
        return sample, f"{sample}_2"
    if name.endswith("_mean"):
        return (f"{name.removesuffix('_mean')}_sample",)
    return ("draw", *(f"{name}_sample" if axis == 0 else f"{name}_dim_{axis}" for axis in range(ndim - 2)))


def split_chains(draws: xarray.Dataset, dim: str, names: Sequence, dimensions: Sequence[int]) -> xarray.Dataset:
    """Split the dimension `chain`, in which several problems' chains follow each other, into `dim` and `chain`.

    Args:
        draws: of `make_draws`.
        dim: `model` or `component`.
        names: of the problems, in order.
        dimensions: number of coordinates of each that move.
    """
    num_chains, variables = draws.sizes["chain"] // len(names), {}
    for name, variable in draws.data_vars.items():
        if name == "dimension":
            variables[name] = ((dim,), np.asarray(dimensions), variable.attrs)
            continue
        values = variable.values.reshape(len(names), num_chains, *variable.shape[1:])
        variables[name] = ((dim, *variable.dims), values, variable.attrs)
    coords = {dim: list(names), "chain": np.arange(num_chains), "draw": draws.draw}
    return xarray.Dataset(variables, coords=coords, attrs=draws.attrs)
