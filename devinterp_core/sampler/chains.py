"""A group of chains that advance together: their positions, random numbers and records."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .evaluate import Evaluator
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

    def __init__(self, target: Target, settings: dict, observed: dict, num_chains: int, index: int, full_batch: bool):
        self.target, self.settings, self.observed, self.full_batch = target, settings, observed, full_batch
        torch.manual_seed(settings["seed"] * 1_000_003 + index)
        self.noise = NormalSource(settings["seed"] * 1_000_003 + index, target.centre.device)
        self.evaluator = Evaluator(target, trace=num_steps(settings) >= TRACE_FROM)
        self.w = target.centre.repeat(num_chains, 1)
        self.method: Method = METHODS[settings["method"]](
            target, self.w, self.noise, settings["step_size"], settings["num_burnin"]
        )
        every = settings["num_steps_between_draws"]
        self.records = Records(num_chains, settings["num_draws"], settings["num_burnin"] // every, self.w.device)
        self.step = 0
        # The baseline: every sample's loss at w*, once; or only those of recorded minibatches where that is less work.
        recorded = num_chains * (settings["num_draws"] + settings["num_burnin"] // every) * settings["batch_size"]
        self.baseline = self._losses_at_centre() if full_batch or target.num_samples <= recorded else None

    def steps(self) -> Iterator[int]:
        """Advance to the end, yielding the number of steps taken after each."""
        total = num_steps(self.settings)
        while True:
            recording = self._record_index()
            batch, indices = self._batch()
            losses, gradients = self.evaluator.losses_and_gradient(self.w, batch, self.full_batch)
            position, losses = self.method.settle(self.w, losses, gradients, self.step)
            if recording is not None:
                self._record(*recording, position, losses, indices, gradients)
                name, index = recording
                if index % DIVERGENCE_CHECK == 0 and self.records.all_diverged(name, index):
                    return
            if self.step == total:
                return
            del losses
            self.method.move(self.w, gradients, self.step)
            self.step += 1
            yield self.step

    def _record_index(self) -> tuple[str, int] | None:
        """Where this step's record goes: burn-in or draws, and its index there; None between records."""
        every, burnin = self.settings["num_steps_between_draws"], self.settings["num_burnin"]
        if self.step > burnin and (self.step - burnin) % every == 0:
            return "loss_difference", (self.step - burnin) // every - 1
        if 0 < self.step <= burnin and self.step % every == 0:
            return "burnin_loss_difference", self.step // every - 1
        return None

    def _batch(self) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if self.full_batch:
            return self.target.data, None
        indices = self.noise.integers(self.target.num_samples, (len(self.w), self.settings["batch_size"]))
        flat = indices.view(-1)
        return tuple(t.index_select(0, flat).view(*indices.shape, *t.shape[1:]) for t in self.target.data), indices

    def _losses_at_centre(self) -> Tensor:
        size = max(self.settings["batch_size"], 1024) if not self.full_batch else self.target.num_samples
        chunks = zip(*(t.split(size) for t in self.target.data), strict=True)
        return torch.cat([self.evaluator.losses(self.target.centre[None], chunk, True)[0] for chunk in chunks])

    def _difference(self, losses: Tensor, indices: Tensor | None) -> Tensor:
        if self.baseline is not None:
            at_centre = self.baseline if indices is None else self.baseline[indices]
        else:
            batch = tuple(t.index_select(0, indices.view(-1)) for t in self.target.data)
            at_centre = self.evaluator.losses(self.target.centre[None], batch, True).view(indices.shape)
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

    def arrays(self) -> dict[str, Any]:
        """The finished records."""
        every, burnin, draws = (self.settings[k] for k in ("num_steps_between_draws", "num_burnin", "num_draws"))
        arrays = self.records.arrays(
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
