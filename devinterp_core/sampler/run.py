"""`sample`: from a model, data and a loss to an `xarray.Dataset` of draws."""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray
from torch import Tensor, nn

from devinterp_core.draws import make_draws, split_chains
from devinterp_core.locks import path_of
from devinterp_core.vectorized import Batch, Evaluator, Loss, kept_random_state, map_batch

from .chains import ChainGroup
from .checkpoint import run_key
from .engine import TRACE_FROM, check_divergence, run_jobs
from .methods import METHODS
from .observe import OBSERVE_CHUNK, Observable, Observed, Observer, checked_observables
from .records import check_records
from .settings import Settings
from .target import Target, make_target

# Numbers of all chains that advance together when there are several models: enough to repay launching operations.
GROUP_COORDINATES = 1_000_000
# The least memory that is left to evaluations, however small the budget.
LEAST_MEMORY = 16 * 2**20


def sample(
    model: nn.Module,
    data: Batch,
    loss: Loss,
    *,
    step_size: float,
    localization: float = 1.0,
    n_beta: float | None = None,
    num_chains: int = 4,
    num_draws: int = 200,
    num_burnin: int = 0,
    num_steps_between_draws: int = 1,
    batch_size: int | None = None,
    mask: Mapping[str, Tensor] | None = None,
    observe: Observed | None = None,
    method: str = "sgld",
    seed: int = 0,
    progress: bool = True,
    keep_parameters: bool = False,
    train_mode: bool = False,
    memory_budget: int = 4 * 2**30,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int = 1000,
    stop: Callable[[xarray.Dataset], bool] | None = None,
    stop_every: int = 100,
) -> xarray.Dataset:
    r"""Draw from $p(w) \propto \exp\{-n\beta L_n(w) - \tfrac{\gamma}{2}\lVert w - w^*\rVert^2\}$, started at $w^*$.

    All chains advance in one vectorised step, on the device and in the dtype of the model's parameters; the model is
    not modified. Draw $k$ is the state after `num_burnin + (k + 1) * num_steps_between_draws` steps.

    Before the first step the loss is looked at: that it uses the model, keeps no state, that a sample's loss does not
    depend on its minibatch, that its gradient is that of finite differences, that it is finite for every sample. A loss
    that draws random numbers (dropout in train mode) has its baseline at $w^*$ under the same numbers.

    Args:
        model: any module; its parameters are $w^*$.
        data: a tensor or a tuple of tensors with a common first dimension $n$.
        loss: `(model, batch) -> Tensor[batch]`, per-sample losses; the batch has the form of `data`.
        step_size: $\epsilon$, the variance of one step's noise (squared parameter units).
        localization: $\gamma$, inverse variance of the Gaussian around $w^*$.
        n_beta: $n\beta$; `None` means $n / \log n$ with $n$ = `len(data)`.
        num_chains: independent chains.
        num_draws: recorded draws of each chain.
        num_burnin: steps before the first recorded interval; `rmsprop_sgld` adapts in them.
        num_steps_between_draws: steps from one draw to the next.
        batch_size: samples of a minibatch, drawn with replacement, for each chain its own; `None` means full batch.
        mask: parameter name to boolean tensor of its shape; what it does not name or marks False stays at $w^*$.
        observe: name to what is recorded at each draw: further data, whose per-sample losses are taken; a function
            `(model, data) -> Tensor`, of the run's data; or an `Observable`, which may keep moments only.
        method: `sgld`, `rmsprop_sgld`, `sgnht` or `mala` (see `devinterp_core.sampler.methods`).
        seed: of every random number; the same call on the same device gives the same draws.
        progress: show a progress bar on stderr.
        keep_parameters: record the sampled parameters too, flattened in `named_parameters` order.
        train_mode: leave dropout and batch-norm as the model has them instead of in eval mode.
        memory_budget: bytes for the chains' parameters and their copies, beyond which chains advance in groups, and
            for what one evaluation writes, beyond which it goes in pieces of the samples.
        checkpoint: file in which the run saves itself; a killed run called again continues from it with
            bit-identical draws on the same device, a finished one is read back.
        checkpoint_every: steps between saves.
        stop: asked after every `stop_every` draws, with the draws so far, whether they are enough; then the run ends
            early. All chains must advance together, without a checkpoint.
        stop_every: draws between two such questions.

    Returns:
        Dataset of the schema of `devinterp_core.draws`; observed values under their names; the settings in `attrs`.

    Raises:
        ValueError: bad settings, data or loss (before any step is taken), a checkpoint of another run.
        DivergenceError: if every chain diverged.

    Reference: Lau et al. (2025), the estimator; Welling & Teh (2011), SGLD.

    Example:
        >>> from devinterp_core import potentials
        >>> model, data = potentials.linear_regression(3, num_samples=100, seed=0)
        >>> loss = potentials.linear_regression_loss
        >>> draws = sample(model, data, loss, step_size=0.01, num_chains=4, num_draws=50, progress=False)
        >>> dict(draws.sizes)
        {'chain': 4, 'draw': 50, 'burnin': 0}
    """
    run = Settings(
        step_size=step_size, num_chains=num_chains, num_draws=num_draws, num_burnin=num_burnin,
        num_steps_between_draws=num_steps_between_draws, batch_size=batch_size, method=method, seed=seed,
        keep_parameters=keep_parameters, train_mode=train_mode, memory_budget=memory_budget,
        checkpoint_every=checkpoint_every, stop_every=stop_every,
    )  # fmt: skip
    target = make_target(model, data, loss, n_beta=n_beta, localization=localization, mask=mask, train_mode=train_mode,
                         batch_size=run.batch_size)  # fmt: skip
    return draw_all(target, run, observe, progress, checkpoint, stop)


def draw_all(
    target: Target,
    run: Settings,
    observe: Observed | None,
    progress: bool,
    checkpoint: str | os.PathLike | None,
    stop: Callable[[xarray.Dataset], bool] | None = None,
) -> xarray.Dataset:
    """Advance all chains of all models, group by group."""
    place = None if checkpoint is None else path_of("checkpoint", checkpoint)
    observables = checked_observables(target, observe, run.num_chains, run.memory_budget)
    check_records(run, target.num_models * run.num_chains, target.num_coordinates)
    bytes_a_chain = METHODS[run.method].copies * target.num_coordinates * target.centre.element_size()
    group_size = int(max(1, min(run.num_chains, run.memory_budget // bytes_a_chain)))
    attrs = attributes(target, run, group_size)
    groups = list(_groups(target, run.num_chains, group_size))
    trace = run.num_steps * len(groups) >= TRACE_FROM
    make = partial(make_evaluator, target, run, bytes_a_chain * group_size)
    evaluator = make(target.loss, trace)
    observers = make_observers(observables, target, make, OBSERVE_CHUNK // max(size for _, size in groups))
    jobs = [
        partial(ChainGroup, own, run, observers, size, index, evaluator) for index, (own, size) in enumerate(groups)
    ]
    arrays = run_jobs(
        jobs, run, device=target.centre.device, progress=progress,
        checkpoint=place,
        key=lambda: run_key(target, run, attrs, observables),
        stop=None if stop is None else lambda found: stop(make_draws(found, target.dimension, attrs)),
    )  # fmt: skip
    joined = {name: np.concatenate([group[name] for group in arrays]) for name in arrays[0]}
    if (joined["diverged_at"] >= 0).any() and not target.random:
        with kept_random_state(target.centre.device):  # the fault may be with samples that no record met
            for job in jobs:
                job().losses_at_centre()
    what = f"all {len(joined['diverged_at'])} chains"
    check_divergence(joined["diverged_at"], [target], run, what)
    draws = make_draws(joined, target.dimension, attrs)
    if target.centres is None:
        return draws
    return split_chains(draws, "model", range(target.num_models), [target.dimension] * target.num_models)


def make_evaluator(target: Target, run: Settings, held: int, loss: Loss, trace: bool = False) -> Evaluator:
    """An evaluator of a loss, or of a function of model and data, within the memory that the chains leave."""
    memory = None if target.coupled else max(LEAST_MEMORY, run.memory_budget - held)
    return Evaluator(target.model, loss, target.names, trace=trace, memory=memory, random=target.random)


def make_observers(
    observables: dict[str, Observable], target: Target, make: Callable[[Loss], Evaluator], chunk: int
) -> dict[str, Observer]:
    """An observer for each observable, at most `chunk` samples at once; those of the loss share an evaluator."""
    of_loss = make(target.loss) if any(o.function is None for o in observables.values()) else None
    found = {}
    for name, observable in observables.items():
        if observable.function is None:
            found[name] = Observer(observable, of_loss, chunk)
        else:
            evaluator = make(observable.function)
            evaluator.memory = None  # a function of all data at once
            found[name] = Observer(observable, evaluator, chunk)
    return found


def attributes(target: Target, run: Settings, group_size: int) -> dict[str, Any]:
    """The settings of a run as its draws carry them."""
    return {
        "method": run.method, "step_size": run.step_size, "localization": target.localization,
        "n_beta": target.n_beta, "num_chains": run.num_chains, "num_draws": run.num_draws,
        "num_burnin": run.num_burnin, "num_steps_between_draws": run.num_steps_between_draws,
        "batch_size": run.batch_size or target.num_samples, "num_samples": target.num_samples,
        "seed": run.seed, "group_size": group_size,
        "device": str(target.centre.device), "dtype": str(target.centre.dtype), "torch": str(torch.__version__),
        "keep_parameters": int(run.keep_parameters), "train_mode": int(run.train_mode),
    }  # fmt: skip


def _groups(target: Target, num_chains: int, group_size: int) -> Iterator[tuple[Target, int]]:
    """The chains that advance together: those of one model in pieces that fit, or those of several whole models."""
    if target.centres is None:
        for first in range(0, num_chains, group_size):
            yield target, min(group_size, num_chains - first)
        return
    if group_size < num_chains:
        raise ValueError(f"memory_budget holds {group_size} chains, not the {num_chains} of a model: raise it")
    together = max(1, GROUP_COORDINATES // (num_chains * target.num_coordinates))
    together = math.ceil(target.num_models / math.ceil(target.num_models / together))  # groups of nearly one size
    for a in range(0, target.num_models, together):
        centres = target.centres[a : a + together]
        rows = slice(a * target.num_samples, (a + len(centres)) * target.num_samples)
        data = map_batch(lambda t, rows=rows: t[rows], target.data) if target.own_data else target.data
        yield replace(target, centre=centres[0], centres=centres, data=data), len(centres) * num_chains
