"""Chains of many components of one model: each moves its own coordinates, all advance in one vectorised step."""

import torch
import xarray
from torch import Tensor
from tqdm import tqdm

from devinterp_core.vectorized import keep_freed_memory

from .chains import TRACE_FROM, ChainGroup, num_steps
from .components import Observer, Stack
from .curvature import largest_curvature
from .methods import METHODS
from .records import by_model, to_dataset
from .run import DivergenceError, Settings, attributes, checked_observations
from .target import Batch, Target


def trace_pays(run: Settings) -> bool:
    """Whether a run is long enough to trace its program."""
    return run.num_burnin + run.num_draws * run.num_steps_between_draws >= TRACE_FROM


def sample_components(
    stacks: list[Stack], run: Settings, observe: dict[str, Batch] | None, progress: bool
) -> xarray.Dataset:
    """Draw from every component's posterior, stack by stack.

    Every component replays the random numbers of `seed`: its draws are those it has when sampled alone, and components
    of one size see the same minibatches and the same noise.

    Returns:
        As `sample`, with the dims `component`, `chain`, `draw` and each component's number of coordinates as the
        variable `dimension`; components stand in the order of the stacks.

    Raises:
        ValueError: settings that do not fit the data or the memory budget.
        DivergenceError: if every chain of every component diverged.
    """
    components = [component for stack in stacks for component in stack.components]
    target = components[0].target
    observed = checked_observations(target, run, observe)
    _check_size(stacks, run)
    settings = attributes(target, run, run.num_chains)
    dimensions = [component.target.dimension for component in components]
    if run.keep_parameters and len(set(dimensions)) > 1:
        raise ValueError(f"keep_parameters needs components of one size, got {sorted(set(dimensions))} coordinates")
    keep_freed_memory()
    arrays = []
    devices = [target.centre.device] if target.centre.device.type == "cuda" else []
    baseline = torch.full((1, target.num_samples), torch.nan, dtype=target.centre.dtype, device=target.centre.device)
    with (
        tqdm(total=len(stacks) * num_steps(settings), disable=not progress, unit="step", desc=run.method) as bar,
        torch.random.fork_rng(devices=devices),
    ):
        for stack in stacks:
            arrays += _advance_together(stack, run, settings, observed, baseline, bar)
    draws = by_model(to_dataset(arrays, settings), len(components)).rename(model="component")
    draws = draws.assign_coords(component=[component.name for component in components])
    draws = draws.assign(dimension=("component", dimensions))
    del draws.attrs["dimension"]
    if bool(draws.diverged.all()):
        limit = 1 / max(largest_curvature(component.whole) for component in components)
        raise DivergenceError(
            f"all chains of all {len(components)} components diverged, the last at step {int(draws.diverged_at.max())} "
            f"with step_size {run.step_size:g}; try step_size <= {limit:.2g} (one over the largest curvature at w*)"
        )
    return draws


def _advance_together(
    stack: Stack, run: Settings, settings: dict, observed: dict, baseline: Tensor, bar: tqdm
) -> list[dict]:
    """All chains of a stack to the end; what each component recorded."""
    full_batch = run.batch_size is None
    groups = [
        ChainGroup(
            c.target, settings | {"dimension": c.target.dimension}, observed, run.num_chains, 0, full_batch,
            Observer(c, settings["batch_size"]), baseline,
        )
        for c in stack.components
    ]  # fmt: skip
    w = torch.stack([group.w for group in groups])
    for group, own in zip(groups, w, strict=True):
        group.w = own
    running = list(range(len(groups)))
    while running:
        first = groups[running[0]]
        # Equal seeds, equal sizes: all draw the same indices, and each has to, to keep its stream of numbers.
        indices = [groups[k].indices() for k in running][0]
        batch = first.batch(indices)
        losses, gradient = stack.losses_and_gradient(w, batch, indices is None)
        if first.record_index() is not None:
            _fill(baseline, first.target, indices, settings["batch_size"])
        running = [k for k in running if groups[k].advance(losses[k], [gradient[k]], indices)]
        bar.update(bool(running))
    return [group.arrays() for group in groups]


def _fill(baseline: Tensor, target: Target, indices: Tensor | None, chunk: int) -> None:
    """Losses at w*, which are the same for all components, of the samples that are needed and not yet known."""
    needed = torch.arange(target.num_samples, device=baseline.device) if indices is None else indices.unique()
    unknown = needed[baseline[0, needed].isnan()]
    with torch.no_grad():
        for rows in unknown.split(chunk) if len(unknown) else ():
            baseline[0, rows] = target.losses(target.model, *(t[rows] for t in target.data))


def _check_size(stacks: list[Stack], run: Settings) -> None:
    for stack in stacks:
        centre = stack.components[0].target.centre
        size = METHODS[run.method].copies * len(stack.components) * run.num_chains * centre.numel()
        if size * centre.element_size() > run.memory_budget:
            raise ValueError(
                f"{len(stack.components)} components of {centre.numel()} coordinates with {run.num_chains} chains each "
                f"exceed memory_budget {run.memory_budget}: raise it, or give fewer components or chains at a time"
            )
