"""A group of chains that advance together: their positions, random numbers and records."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from devinterp_core.vectorized import Evaluator

from .methods import METHODS, Method
from .noise import NormalSource
from .records import Records
from .target import Target

# Samples of observed data evaluated at once, over all chains of a group.
OBSERVE_CHUNK = 65_536
# Steps from which a traced gradient is used: a few tenths of a second, repaid within a few hundred steps.
TRACE_FROM = 100
# Records between two looks whether any chain is still finite.
DIVERGENCE_CHECK = 32


def num_steps(settings: dict[str, Any]) -> int:
    """Steps of a whole run."""
    return settings["num_burnin"] + settings["num_draws"] * settings["num_steps_between_draws"]


class ChainGroup:
    """The chains that advance together: their state, their random numbers, their records."""

    def __init__(
        self, target: Target, settings: dict, observed: dict, num_chains: int, index: int, full_batch: bool,
        evaluator: Evaluator, baseline: Tensor | None = None,
    ):  # fmt: skip
        self.target, self.settings, self.observed, self.full_batch = target, settings, observed, full_batch
        self.evaluator = evaluator
        torch.manual_seed(settings["seed"] * 1_000_003 + index)
        self.noise = NormalSource(settings["seed"] * 1_000_003 + index, target.centre.device)
        centres = target.centre[None] if target.centres is None else target.centres
        self.model_of_chain = target.model_of(torch.arange(num_chains, device=centres.device))  # counted in this group
        self.centres = centres[: int(self.model_of_chain.max()) + 1]
        self.w = self.centres[self.model_of_chain]
        self.method: Method = METHODS[settings["method"]](
            target, self.w, self.noise, settings["step_size"], settings["num_burnin"]
        )
        every = settings["num_steps_between_draws"]
        self.records = Records(num_chains, settings["num_draws"], settings["num_burnin"] // every, self.w.device)
        self.step = 0
        # The baseline: every sample's loss at w*, once; or only those of recorded minibatches where that is less work.
        recorded = num_chains * (settings["num_draws"] + settings["num_burnin"] // every) * settings["batch_size"]
        at_centres = target.num_samples * len(self.centres)
        self.baseline = baseline
        if baseline is None and (full_batch or at_centres <= recorded):
            self.baseline = self._losses_at_centre()

    def steps(self) -> Iterator[int]:
        """Advance to the end, yielding the number of steps taken after each."""
        while True:
            indices = self.indices()
            one_batch = self.full_batch and not self.target.own_data
            evaluation = self.evaluator.losses_and_gradient(self.w, self.batch(indices), one_batch)
            if not self.advance(*evaluation, indices):
                return
            yield self.step

    def advance(self, losses: Tensor, gradients: list[Tensor], indices: Tensor | None) -> bool:
        """Record and take a step, given losses and gradients at `w`; False where the run has ended."""
        recording = self.record_index()
        position, losses = self.method.settle(self.w, losses, gradients, self.step)
        if recording is not None:
            self._record(*recording, position, losses, indices, gradients)
            name, index = recording
            if index % DIVERGENCE_CHECK == 0 and self.records.all_diverged(name, index):
                return False
        if self.step == num_steps(self.settings):
            return False
        self.method.move(self.w, gradients, self.step)
        self.step += 1
        return True

    def record_index(self) -> tuple[str, int] | None:
        """Where this step's record goes: burn-in or draws, and its index there; None between records."""
        every, burnin = self.settings["num_steps_between_draws"], self.settings["num_burnin"]
        if self.step > burnin and (self.step - burnin) % every == 0:
            return "loss_difference", (self.step - burnin) // every - 1
        if 0 < self.step <= burnin and self.step % every == 0:
            return "burnin_loss_difference", self.step // every - 1
        return None

    def indices(self) -> Tensor | None:
        """The samples of the next minibatch of each chain, `[chain, sample]`; None for all of them."""
        if self.full_batch:
            return None
        return self.noise.integers(self.target.num_samples, (len(self.w), self.settings["batch_size"]))

    def batch(self, indices: Tensor | None) -> tuple[Tensor, ...]:
        """Those samples."""
        return self._own(self.target.data, self.model_of_chain) if indices is None else self._gather(indices)

    def _gather(self, indices: Tensor) -> tuple[Tensor, ...]:
        """The samples `indices[chain, sample]` of each chain's data set."""
        if self.target.own_data:
            indices = indices + self.target.num_samples * self.model_of_chain[:, None]
        flat = indices.view(-1)
        return tuple(t.index_select(0, flat).view(*indices.shape, *t.shape[1:]) for t in self.target.data)

    def _own(self, data: tuple[Tensor, ...], models: Tensor) -> tuple[Tensor, ...]:
        """The data as they are if all models share them, else `[len(models), sample, ...]`."""
        if not self.target.own_data:
            return data
        return tuple(t.view(-1, self.target.num_samples, *t.shape[1:])[models] for t in data)

    def _losses_at_centre(self) -> Tensor:
        """Every sample's loss at each model's centre, `[model, sample]`."""
        size = self.target.num_samples
        if not self.full_batch:  # small enough that freed memory is kept and used again
            size = max(self.settings["batch_size"], 1024 // len(self.centres))
        data = self._own(self.target.data, torch.arange(len(self.centres), device=self.w.device))
        chunks = zip(*(t.split(size, dim=int(self.target.own_data)) for t in data), strict=True)
        shared = not self.target.own_data
        return torch.cat([self.evaluator.losses(self.centres, chunk, shared) for chunk in chunks], dim=1)

    def _difference(self, losses: Tensor, indices: Tensor | None) -> Tensor:
        if self.baseline is not None:
            of_chain = self.baseline[self.model_of_chain] if len(self.centres) > 1 else self.baseline
            at_centre = of_chain if indices is None else of_chain.expand(len(self.w), -1).gather(1, indices)
        elif len(self.centres) == 1:  # all chains' samples in one batch of one model
            batch = tuple(t.flatten(0, 1) for t in self._gather(indices))
            at_centre = self.evaluator.losses(self.centres, batch, True).view(indices.shape)
        else:
            at_centre = self.evaluator.losses(self.centres[self.model_of_chain], self._gather(indices), False)
        return losses.sub(at_centre).mean(1, dtype=torch.float64)

    def _record(
        self, name: str, index: int, w: Tensor, losses: Tensor, indices: Tensor | None, gradients: list[Tensor]
    ) -> None:
        self.records.put(name, index, self._difference(losses, indices))
        if name == "burnin_loss_difference":
            return
        self.records.put("distance_and_virial", index, self.method.distance_and_virial(w, gradients))
        for observed, tensors in self.observed.items():
            parts = zip(*(t.split(max(1, OBSERVE_CHUNK // len(w))) for t in tensors), strict=True)
            values = torch.cat([self.evaluator.losses(w, part, True) for part in parts], dim=1)
            self.records.put(observed, index, values)
        if self.settings["keep_parameters"]:
            self.records.put("parameters", index, w)

    def arrays(self, num_draws: int | None = None) -> dict[str, Any]:
        """The records, of the first `num_draws` draws or of all."""
        every, burnin, draws = (self.settings[k] for k in ("num_steps_between_draws", "num_burnin", "num_draws"))
        draws = draws if num_draws is None else num_draws
        arrays = self.records.arrays(
            draws,
            {
                "loss_difference": burnin + every * np.arange(1, draws + 1),
                "burnin_loss_difference": every * np.arange(1, burnin // every + 1),
            }
        )
        if "accepted" in self.method.state:
            rate = self.method.state["accepted"] / max(1, self.method.state["proposals"])
            arrays["acceptance"] = rate.cpu().numpy()
        return arrays

    def snapshot(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "step": self.step, "w": self.w, "state": self.method.state, "noise": self.noise.state(),
            "global": torch.get_rng_state(), "records": self.records.tensors,
        }  # fmt: skip

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue where `snapshot` was taken."""
        device = self.w.device
        self.step = saved["step"]
        self.records.tensors = {name: tensor.to(device) for name, tensor in saved["records"].items()}
        self.w.copy_(saved["w"])
        self.method.state = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in saved["state"].items()}
        self.noise.restore(saved["noise"])
        torch.set_rng_state(saved["global"])
