"""Chains of many components of one model: each moves its own coordinates, all advance in one vectorised step."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray
from torch import Tensor

from devinterp_core.draws import make_draws, split_chains
from devinterp_core.vectorized import Batch, global_state, map_batch, set_global_state

from .chains import ChainGroup
from .checkpoint import run_key
from .components import Component, Stack, component_evaluator
from .engine import check_divergence, run_jobs
from .methods import METHODS
from .observe import Observable, Observed, checked_observables
from .records import check_records
from .run import attributes, make_observers
from .settings import Settings
from .target import Target


def sample_components(
    stacks: Sequence[Stack],
    run: Settings,
    observe: Observed | None,
    progress: bool,
    checkpoint: Path | None = None,
) -> xarray.Dataset:
    """Draw from every component's posterior, stack by stack.

    Every component replays the random numbers of `seed`: its draws are those it has when sampled alone, and components
    of one size see the same minibatches and the same noise.

    Returns:
        As `sample`, with the dims `component`, `chain`, `draw`; components stand in the order of the stacks.

    Raises:
        ValueError: settings that do not fit the data or the memory budget, a checkpoint of another run.
        DivergenceError: if every chain of every component diverged.
    """
    components = [component for stack in stacks for component in stack.components]
    whole, target = components[0].whole, components[0].target
    dimensions = [component.target.dimension for component in components]
    if run.keep_parameters and len(set(dimensions)) > 1:
        raise ValueError(f"keep_parameters needs components of one size, got {sorted(set(dimensions))} coordinates")
    observables = checked_observables(whole, observe, run.num_chains * len(components), run.memory_budget)
    _check_size(stacks, run)
    check_records(run, run.num_chains * len(components), max(dimensions))
    attrs = attributes(target, run, run.num_chains)
    baseline = torch.full((1, target.num_samples), torch.nan, dtype=target.centre.dtype, device=target.centre.device)
    names = [component.name for component in components]
    arrays = run_jobs(
        [partial(StackJob, stack, run, observables, baseline) for stack in stacks],
        run, device=target.centre.device, progress=progress, checkpoint=checkpoint,
        key=lambda: run_key(whole, run, attrs, observables, names, [c.index for c in components],
                            [c.whole.names for c in components], [type(stack).__name__ for stack in stacks]),
        shared={"baseline": baseline},
    )  # fmt: skip
    every = [own for of_stack in arrays for own in of_stack]
    joined = {name: np.concatenate([own[name] for own in every]) for name in every[0]}
    of_wholes = [component.whole for component in components]
    what = f"all chains of all {len(components)} components"
    check_divergence(joined["diverged_at"], of_wholes, run, what)
    return split_chains(make_draws(joined, 0, attrs), "component", names, dimensions)


class StackJob:
    """The chains of a stack's components.

    Args:
        stack: what evaluates them together.
        run: settings.
        observables: checked.
        baseline: losses at w*, which are the same for all components, `[1, sample]`; NaN where not yet known.
    """

    def __init__(self, stack: Stack, run: Settings, observables: dict[str, Observable], baseline: Tensor):
        self.stack, self.run, self.baseline, self.step = stack, run, baseline, 0
        self.groups = [self._group(component, observables) for component in stack.components]
        target, batch_size = stack.components[0].target, run.batch_size or stack.components[0].target.num_samples
        met = run.num_chains * (run.num_draws + run.num_burnin_records) * batch_size
        if not target.random and (run.full_batch or target.num_samples <= met):
            _fill(self.baseline, target, None, max(batch_size, 1024))
        self.w = torch.stack([group.w for group in self.groups])
        for group, own in zip(self.groups, self.w, strict=True):
            group.w = own
        self.running = list(range(len(self.groups)))

    def _group(self, component: Component, observables: dict[str, Observable]) -> ChainGroup:
        make = partial(component_evaluator, component)
        chunk = self.run.batch_size or component.target.num_samples
        observers = make_observers(observables, component.target, make, chunk)
        evaluator = make(component.whole.loss)
        return ChainGroup(component.target, self.run, observers, self.run.num_chains, 0, evaluator, self.baseline)

    def steps(self) -> Iterator[int]:
        """Advance to the end, yielding the number of steps taken after each."""
        while self.running:
            first = self.groups[self.running[0]]
            # Equal seeds, equal sizes: all draw the same indices, and each has to, to keep its stream of numbers.
            indices = [self.groups[k].indices() for k in self.running][0]
            batch, shared = first.batch(indices), indices is None
            state = global_state(self.w.device) if first.target.random else ()
            losses, gradient = self.stack.losses_and_gradient(self.w, batch, shared)
            at_centre = None
            if first.record_index() is not None:
                if first.target.random:
                    at_centre = self._at_centre_again(batch, shared, state)
                else:
                    _fill(self.baseline, first.target, indices, self.run.batch_size or first.target.num_samples)
            paired = [None] * len(self.groups) if at_centre is None else at_centre
            self.running = [
                k for k in self.running if self.groups[k].advance(losses[k], [gradient[k]], indices, paired[k])
            ]
            self.step += bool(self.running)
            if self.running:
                yield self.step

    def _at_centre_again(self, batch: Batch, shared: bool, state: tuple[Tensor, ...]) -> Tensor:
        """Losses at w* of the same samples under the same random numbers."""
        after = global_state(self.w.device)
        set_global_state(state, self.w.device)
        centres = torch.stack([group.centres[0].expand(self.w.shape[1], -1) for group in self.groups])
        losses = self.stack.losses_and_gradient(centres, batch, shared)[0]
        set_global_state(after, self.w.device)
        return losses

    def num_drawn(self) -> int | None:
        """Number of draws if the last step ended with one."""
        return None

    def arrays(self, num_draws: int | None = None) -> list[dict[str, Any]]:
        """What each component recorded."""
        return [group.arrays(num_draws) for group in self.groups]

    def snapshot(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "step": self.step, "running": self.running, "groups": [group.snapshot() for group in self.groups],
        }  # fmt: skip

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue where `snapshot` was taken."""
        self.step, self.running = saved["step"], list(saved["running"])
        for group, own in zip(self.groups, saved["groups"], strict=True):
            group.restore(own)


def _fill(baseline: Tensor, target: Target, indices: Tensor | None, chunk: int) -> None:
    """Losses at w* of the samples that are needed and not yet known."""
    needed = torch.arange(target.num_samples, device=baseline.device) if indices is None else indices.unique()
    unknown = needed[baseline[0, needed].isnan()]
    with torch.no_grad():
        for rows in unknown.split(chunk) if len(unknown) else ():
            baseline[0, rows] = target.loss(target.model, map_batch(lambda t, r=rows: t[r], target.data))
    bad = unknown[~baseline[0, unknown].isfinite()]
    if len(bad):
        raise ValueError(
            f"the loss at the model's own parameters is NaN or infinite for {len(bad)} samples of data, indices "
            f"{', '.join(map(str, bad[:5].tolist()))}{' ...' if len(bad) > 5 else ''}: mend or leave out these samples"
        )


def _check_size(stacks: Sequence[Stack], run: Settings) -> None:
    for stack in stacks:
        centre = stack.components[0].target.centre
        size = METHODS[run.method].copies * len(stack.components) * run.num_chains * centre.numel()
        if size * centre.element_size() > run.memory_budget:
            raise ValueError(
                f"{len(stack.components)} components of {centre.numel()} coordinates with {run.num_chains} chains each "
                f"exceed memory_budget {run.memory_budget}: raise it, or give fewer components or chains at a time"
            )
