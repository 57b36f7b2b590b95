"""What a run records, as arrays while it runs and as an `xarray.Dataset` at the end."""

from typing import Any

import numpy as np
import xarray
from torch import Tensor

DESCRIPTIONS = {
    "loss_difference": "minibatch loss at the draw minus the loss of the same samples at w*",
    "burnin_loss_difference": "the same, every num_steps_between_draws steps of the burn-in",
    "distance": "Euclidean distance |w - w*|",
    "virial": "(w - w*) . grad U(w); its posterior mean is the number of sampled dimensions",
}


class Records:
    """Arrays `[chain, draw]` (and `[chain, draw, ...]`) of one group of chains, filled draw by draw."""

    def __init__(self, num_chains: int, num_draws: int, num_burnin_records: int):
        self.shape = (num_chains, num_draws)
        self.arrays: dict[str, np.ndarray] = {
            "loss_difference": np.full(self.shape, np.nan),
            "burnin_loss_difference": np.full((num_chains, num_burnin_records), np.nan),
            "distance": np.full(self.shape, np.nan),
            "virial": np.full(self.shape, np.nan),
            "diverged_at": np.full(num_chains, -1),
        }

    def put(self, name: str, draw: int, values: Tensor) -> None:
        """Store `values[chain, ...]` as draw number `draw` of `name`."""
        values = values.detach().cpu().numpy()
        if name not in self.arrays:
            self.arrays[name] = np.full(self.shape + values.shape[1:], np.nan, dtype=values.dtype)
        self.arrays[name][:, draw] = values

    def mark_diverged(self, difference: np.ndarray, step: int) -> None:
        """A chain whose loss is no longer finite has diverged, at this step at the latest."""
        new = ~np.isfinite(difference) & (self.arrays["diverged_at"] < 0)
        self.arrays["diverged_at"][new] = step

    @property
    def all_diverged(self) -> bool:
        return bool((self.arrays["diverged_at"] >= 0).all())


def to_dataset(groups: list[dict[str, np.ndarray]], attrs: dict[str, Any]) -> xarray.Dataset:
    """Join the groups' arrays along the chains and label them."""
    arrays = {name: np.concatenate([g[name] for g in groups]) for name in groups[0]}
    second = {
        "burnin_loss_difference": ("burnin",),
        "diverged_at": (),
        "acceptance": (),
        "parameters": ("draw", "coordinate"),
    }
    variables = {}
    for name, array in arrays.items():
        dims = second.get(name, ("draw",) if array.ndim == 2 else ("draw", f"{name}_sample"))
        variables[name] = (("chain", *dims), array, {"description": DESCRIPTIONS[name]} if name in DESCRIPTIONS else {})
    diverged = arrays["diverged_at"] >= 0
    variables["diverged"] = (("chain",), diverged)
    num_chains, num_draws = arrays["loss_difference"].shape
    return xarray.Dataset(variables, coords={"chain": np.arange(num_chains), "draw": np.arange(num_draws)}, attrs=attrs)
