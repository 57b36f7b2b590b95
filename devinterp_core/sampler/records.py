"""What a run records, as tensors while it runs and as an `xarray.Dataset` at the end."""

from typing import Any

import numpy as np
import torch
import xarray
from torch import Tensor

DESCRIPTIONS = {
    "loss_difference": "minibatch loss at the draw minus the loss of the same samples at w*",
    "burnin_loss_difference": "the same, every num_steps_between_draws steps of the burn-in",
    "distance": "Euclidean distance |w - w*|",
    "virial": "(w - w*) . grad U(w); its posterior mean is the number of sampled dimensions",
    "diverged_at": "first recorded step with a loss that is not finite; -1: none",
}


class Records:
    """Tensors `[draw, chain, ...]` of one group of chains, filled draw by draw on the chains' device."""

    def __init__(self, num_chains: int, num_draws: int, num_burnin_records: int, device: torch.device):
        self.num_chains, self.device = num_chains, device
        self.length = {"burnin_loss_difference": num_burnin_records}
        self.num_draws = num_draws
        self.tensors: dict[str, Tensor] = {}
        for name in ("loss_difference", "burnin_loss_difference"):
            self._allocate(name, (num_chains,), torch.float64)
        self._allocate("distance_and_virial", (2, num_chains), torch.float64)

    def _allocate(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        size = (self.length.get(name, self.num_draws), *shape)
        self.tensors[name] = torch.full(size, torch.nan, dtype=dtype, device=self.device)

    def put(self, name: str, index: int, values: Tensor) -> None:
        """Store `values[chain, ...]` (or `[2, chain]`) as record number `index` of `name`."""
        if name not in self.tensors:
            self._allocate(name, tuple(values.shape), values.dtype)
        self.tensors[name][index] = values

    def all_diverged(self, name: str, index: int) -> bool:
        """Whether no chain's loss was finite at this record."""
        return not bool(self.tensors[name][index].isfinite().any())

    def arrays(self, num_draws: int, record_steps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`[chain, draw, ...]` arrays of the first draws, with the first step at which each chain's loss was not finite."""
        drawn = {k: t if k in self.length else t[:num_draws] for k, t in self.tensors.items()}
        arrays = {name: np.moveaxis(tensor.cpu().numpy(), 1, 0) for name, tensor in drawn.items()}
        squared, virial = np.moveaxis(drawn["distance_and_virial"].cpu().numpy(), (1, 2), (0, 1))
        del arrays["distance_and_virial"]
        arrays |= {"distance": np.sqrt(squared), "virial": virial}
        diverged_at = np.full(self.num_chains, -1)
        for name in ("loss_difference", "burnin_loss_difference"):  # the burn-in, earlier, has the last word
            bad = ~np.isfinite(arrays[name])
            diverged = np.flatnonzero(bad.any(axis=1))
            if diverged.size:
                diverged_at[diverged] = record_steps[name][bad[diverged].argmax(axis=1)]
        return arrays | {"diverged_at": diverged_at}


def to_dataset(groups: list[dict[str, np.ndarray]], attrs: dict[str, Any]) -> xarray.Dataset:
    """Join the groups' arrays along the chains and label them."""
    arrays = {name: np.concatenate([g[name] for g in groups]) for name in groups[0]}
    dims = {
        "burnin_loss_difference": ("burnin",),
        "diverged_at": (),
        "acceptance": (),
        "parameters": ("draw", "coordinate"),
    }
    variables = {}
    for name, array in arrays.items():
        of_name = dims.get(name, ("draw",) if array.ndim == 2 else ("draw", f"{name}_sample"))
        variables[name] = (("chain", *of_name), array, {"description": DESCRIPTIONS.get(name, "")})
    variables["diverged"] = (("chain",), arrays["diverged_at"] >= 0)
    num_chains, num_draws = arrays["loss_difference"].shape
    return xarray.Dataset(variables, coords={"chain": np.arange(num_chains), "draw": np.arange(num_draws)}, attrs=attrs)


def by_model(draws: xarray.Dataset, num_models: int) -> xarray.Dataset:
    """Split the dimension `chain` of consecutive models' chains into `model` and `chain`."""
    num_chains, variables = draws.sizes["chain"] // num_models, {}
    for name, variable in draws.data_vars.items():
        values = variable.values.reshape(num_models, num_chains, *variable.shape[1:])
        variables[name] = (("model", *variable.dims), values, variable.attrs)
    coords = {"model": np.arange(num_models), "chain": np.arange(num_chains), "draw": draws.draw}
    return xarray.Dataset(variables, coords=coords, attrs=draws.attrs)
