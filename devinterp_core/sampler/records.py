"""What a run records, as tensors on the chains' device while it runs and as arrays at the end."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .settings import Settings

# Records that fit into a machine on which anything runs.
LEAST_LIMIT = 4 * 2**30


def check_records(run: Settings, num_chains: int, num_coordinates: int) -> None:
    """Refuse a run whose records cannot be held.

    Raises:
        ValueError: with the memory that they would take.
    """
    numbers = 4 + (num_coordinates if run.keep_parameters else 0)
    size = 8 * num_chains * (run.num_draws * numbers + run.num_burnin_records)
    if size > max(LEAST_LIMIT, run.memory_budget):
        raise ValueError(
            f"the records of {run.num_draws} draws of {num_chains} chains would take {size / 2**30:.3g} GiB: ask for "
            "fewer draws (num_steps_between_draws), do not keep parameters, or raise memory_budget"
        )


class Records:
    """Tensors `[draw, chain, ...]` of one group of chains, filled draw by draw; moments of what is not kept."""

    def __init__(self, num_chains: int, num_draws: int, num_burnin_records: int, device: torch.device):
        self.num_chains, self.device = num_chains, device
        self.length = {"burnin_loss_difference": num_burnin_records}
        self.num_draws = num_draws
        self.tensors: dict[str, Tensor] = {}
        for name in ("loss_difference", "burnin_loss_difference"):
            self._allocate(name, (num_chains,), torch.float64)
        self._allocate("distance_and_virial", (2, num_chains), torch.float64)
        self.moments: dict[str, Tensor] = {}

    def _allocate(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        size = (self.length.get(name, self.num_draws), *shape)
        self.tensors[name] = torch.full(size, torch.nan, dtype=dtype, device=self.device)

    def put(self, name: str, index: int, values: Tensor) -> None:
        """Store `values[chain, ...]` (or `[2, chain]`) as record number `index` of `name`."""
        if name not in self.tensors:
            dtype = values.dtype if values.is_floating_point() else torch.float64
            self._allocate(name, tuple(values.shape), dtype)
        self.tensors[name][index] = values

    def accumulate(self, name: str, index: int, values: Tensor) -> None:
        r"""Take `values[chain, sample]` of draw number `index` into each chain's mean and covariance, and forget them.

        $\bar x \leftarrow \bar x + (x - \bar x) / k$, and the sum of squares grows by
        $(x - \bar x_{\text{old}})(x - \bar x_{\text{new}})^\top$ (Welford 1962), in float64.
        """
        values = values.double().flatten(1)
        if index == 0:
            self.moments[f"{name}_mean"] = torch.zeros_like(values)
            self.moments[f"{name}_covariance"] = values.new_zeros(*values.shape, values.shape[1])
        mean, squares = self.moments[f"{name}_mean"], self.moments[f"{name}_covariance"]
        before = values - mean
        mean.add_(before, alpha=1 / (index + 1))
        squares.baddbmm_(before[:, :, None], (values - mean)[:, None, :])

    def all_diverged(self, name: str, index: int) -> bool:
        """Whether no chain's loss was finite at this record."""
        return not bool(self.tensors[name][index].isfinite().any())

    def arrays(self, num_draws: int, record_steps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`[chain, draw, ...]` arrays of the first draws, and the first step at which a chain's loss was not finite."""
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
        for name, tensor in self.moments.items():
            scale = 1 / max(1, num_draws - 1) if name.endswith("_covariance") else 1.0
            arrays[name] = tensor.cpu().numpy() * scale
        return arrays | {"diverged_at": diverged_at}

    def snapshot(self) -> dict[str, Any]:
        """Everything recorded so far."""
        return {"tensors": self.tensors, "moments": self.moments}

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue where `snapshot` was taken."""
        self.tensors = {name: tensor.to(self.device) for name, tensor in saved["tensors"].items()}
        self.moments = {name: tensor.to(self.device) for name, tensor in saved["moments"].items()}
