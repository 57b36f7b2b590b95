"""A group of chains that advance together: their positions, random numbers and records."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from devinterp_core.vectorized import (
    Batch,
    Evaluator,
    global_state,
    map_batch,
    seed_global,
    set_global_state,
    split_batch,
)

from .methods import METHODS, Method
from .noise import NormalSource
from .observe import Observer
from .records import Records
from .settings import Settings
from .target import Target

# Records between two looks whether any chain is still finite.
DIVERGENCE_CHECK = 32
# The loss's own random numbers, dropout's or its own draws, are another stream than the chains' noise.
LOSS_STREAM = 0x2545F4914F6CDD1D


class ChainGroup:
    """The chains that advance together: their state, their random numbers, their records.

    Args:
        target: the problem, of one or of several models.
        run: settings.
        observers: by name.
        num_chains: of the group, of all its models.
        index: of the group among those of the run: other groups have other random numbers.
        evaluator: of the loss.
        baseline: losses at w* `[model, sample]`, filled by whoever gives it; None: found here.

    Raises:
        ValueError: a loss that is not finite at w*, or a random loss under a method that accepts or rejects by it.
    """

    def __init__(
        self, target: Target, run: Settings, observers: Mapping[str, Observer], num_chains: int, index: int,
        evaluator: Evaluator, baseline: Tensor | None = None,
    ):  # fmt: skip
        self.target, self.run, self.observers, self.evaluator = target, run, observers, evaluator
        if target.random and METHODS[run.method].full_batch:
            raise ValueError(f"{run.method} accepts or rejects by a loss that draws random numbers: use sgld or sgnht")
        seed = run.seed * 1_000_003 + index
        seed_global(seed ^ LOSS_STREAM, target.centre.device)
        self.noise = NormalSource(seed, target.centre.device)
        centres = target.centre[None] if target.centres is None else target.centres
        self.model_of_chain = target.model_of(torch.arange(num_chains, device=centres.device))  # counted in this group
        self.centres = centres[: int(self.model_of_chain.max()) + 1]
        self.w = self.centres[self.model_of_chain]
        self.method: Method = METHODS[run.method](target, self.w, self.noise, run.step_size, run.num_burnin)
        self.records = Records(num_chains, run.num_draws, run.num_burnin_records, self.w.device)
        self.step = 0
        # The baseline: every sample's loss at w*, once; or only those of recorded minibatches where that is less work.
        recorded = num_chains * (run.num_draws + run.num_burnin_records) * (run.batch_size or target.num_samples)
        self.baseline = baseline
        if baseline is None and not target.random and (
            run.full_batch or target.num_samples * len(self.centres) <= recorded
        ):  # fmt: skip
            self.baseline = self.losses_at_centre()

    # ------------------------------------------------------------------ advancing

    def steps(self) -> Iterator[int]:
        """Advance to the end, yielding the number of steps taken after each."""
        shared = self.run.full_batch and not self.target.own_data
        while True:
            indices = self.indices()
            batch = self.batch(indices)
            state = global_state(self.w.device) if self.target.random else None
            losses, gradients = self.evaluator.losses_and_gradient(self.w, batch, shared)
            at_centre = None
            if state is not None and self.record_index() is not None:  # the same samples and the same random numbers
                after = global_state(self.w.device)
                set_global_state(state, self.w.device)
                at_centre = self.evaluator.losses_and_gradient(self.centres[self.model_of_chain], batch, shared)[0]
                set_global_state(after, self.w.device)
            if not self.advance(losses, gradients, indices, at_centre):
                return
            yield self.step

    def advance(
        self, losses: Tensor, gradients: list[Tensor], indices: Tensor | None, at_centre: Tensor | None = None
    ) -> bool:
        """Record and take a step, given losses and gradients at `w`; False where the run has ended."""
        recording = self.record_index()
        position, losses = self.method.settle(self.w, losses, gradients, self.step)
        if recording is not None:
            difference = self._difference(losses, indices) if at_centre is None else _mean_difference(losses, at_centre)
            self._record(*recording, position, difference, gradients)
            name, index = recording
            if index % DIVERGENCE_CHECK == 0 and self.records.all_diverged(name, index):
                return False
        if self.step == self.run.num_steps:
            return False
        self.method.move(self.w, gradients, self.step)
        self.step += 1
        return True

    def record_index(self) -> tuple[str, int] | None:
        """Where this step's record goes: burn-in or draws, and its index there; None between records."""
        every, burnin = self.run.num_steps_between_draws, self.run.num_burnin
        if self.step > burnin and (self.step - burnin) % every == 0:
            return "loss_difference", (self.step - burnin) // every - 1
        if 0 < self.step <= burnin and self.step % every == 0:
            return "burnin_loss_difference", self.step // every - 1
        return None

    def num_drawn(self) -> int | None:
        """Number of draws if the last step ended with one, else None."""
        drawn, between = divmod(self.step - 1 - self.run.num_burnin, self.run.num_steps_between_draws)
        return drawn if between == 0 and drawn > 0 else None

    # ------------------------------------------------------------------ minibatches

    def indices(self) -> Tensor | None:
        """The samples of the next minibatch of each chain, `[chain, sample]`; None for all of them."""
        if self.run.full_batch:
            return None
        return self.noise.integers(self.target.num_samples, (len(self.w), self.run.batch_size))

    def batch(self, indices: Tensor | None) -> Batch:
        """Those samples."""
        return self._own(self.target.data, self.model_of_chain) if indices is None else self._gather(indices)

    def _gather(self, indices: Tensor) -> Batch:
        """The samples `indices[chain, sample]` of each chain's data set."""
        if self.target.own_data:
            indices = indices + self.target.num_samples * self.model_of_chain[:, None]
        flat = indices.view(-1)
        return map_batch(lambda t: t.index_select(0, flat).view(*indices.shape, *t.shape[1:]), self.target.data)

    def _own(self, data: Batch, models: Tensor) -> Batch:
        """The data as they are if all models share them, else `[len(models), sample, ...]`."""
        if not self.target.own_data:
            return data
        return map_batch(lambda t: t.view(-1, self.target.num_samples, *t.shape[1:])[models], data)

    # ------------------------------------------------------------------ losses at w*

    def losses_at_centre(self) -> Tensor:
        """Every sample's loss at each model's centre, `[model, sample]`.

        Raises:
            ValueError: naming the samples whose loss is not finite.
        """
        size = self.target.num_samples
        if not self.run.full_batch:  # small enough that freed memory is kept and used again
            size = max(self.run.batch_size, 1024 // len(self.centres))
        data = self._own(self.target.data, torch.arange(len(self.centres), device=self.w.device))
        pieces = split_batch(data, size, dim=int(self.target.own_data))
        shared = not self.target.own_data
        losses = torch.cat([self.evaluator.losses(self.centres, piece, shared) for piece in pieces], dim=1)
        _check_finite(losses, torch.arange(losses.shape[1], device=losses.device).expand_as(losses))
        return losses

    def _difference(self, losses: Tensor, indices: Tensor | None) -> Tensor:
        if self.baseline is not None:
            of_chain = self.baseline[self.model_of_chain] if len(self.centres) > 1 else self.baseline
            at_centre = of_chain if indices is None else of_chain.expand(len(self.w), -1).gather(1, indices)
        else:
            if len(self.centres) == 1:  # all chains' samples in one batch of one model
                batch = map_batch(lambda t: t.flatten(0, 1), self._gather(indices))
                at_centre = self.evaluator.losses(self.centres, batch, True).view(indices.shape)
            else:
                at_centre = self.evaluator.losses(self.centres[self.model_of_chain], self._gather(indices), False)
            _check_finite(at_centre, indices)
        return _mean_difference(losses, at_centre)

    # ------------------------------------------------------------------ records

    def _record(self, name: str, index: int, w: Tensor, difference: Tensor, gradients: list[Tensor]) -> None:
        self.records.put(name, index, difference)
        if name == "burnin_loss_difference":
            return
        self.records.put("distance_and_virial", index, self.method.distance_and_virial(w, gradients))
        for observed, observer in self.observers.items():
            put = self.records.put if observer.keep == "draws" else self.records.accumulate
            put(observed, index, observer(w))
        if self.run.keep_parameters:
            self.records.put("parameters", index, w)

    def arrays(self, num_draws: int | None = None) -> dict[str, Any]:
        """The records, of the first `num_draws` draws or of all."""
        every, burnin = self.run.num_steps_between_draws, self.run.num_burnin
        draws = self.run.num_draws if num_draws is None else num_draws
        arrays = self.records.arrays(
            draws,
            {
                "loss_difference": burnin + every * np.arange(1, draws + 1),
                "burnin_loss_difference": every * np.arange(1, burnin // every + 1),
            },
        )
        if "accepted" in self.method.state:
            rate = self.method.state["accepted"] / max(1, self.method.state["proposals"])
            arrays["acceptance"] = rate.cpu().numpy()
        return arrays

    def snapshot(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "step": self.step, "w": self.w, "state": self.method.state, "noise": self.noise.state(),
            "global": list(global_state(self.w.device)), "records": self.records.snapshot(),
        }  # fmt: skip

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue where `snapshot` was taken."""
        device = self.w.device
        self.step = saved["step"]
        self.records.restore(saved["records"])
        self.w.copy_(saved["w"])
        self.method.state = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in saved["state"].items()}
        self.noise.restore(saved["noise"])
        set_global_state(tuple(saved["global"]), device)


def _mean_difference(losses: Tensor, at_centre: Tensor) -> Tensor:
    return losses.sub(at_centre).mean(1, dtype=torch.float64)


def _check_finite(at_centre: Tensor, indices: Tensor) -> None:
    """Losses at w* `[row, sample]` of the samples `indices`."""
    bad = ~torch.isfinite(at_centre)
    if bool(bad.any()):
        which = indices[bad].unique().tolist()
        raise ValueError(
            f"the loss at the model's own parameters is NaN or infinite for {len(which)} samples of data, indices "
            f"{', '.join(map(str, which[:5]))}{' ...' if len(which) > 5 else ''}: mend or leave out these samples"
        )
