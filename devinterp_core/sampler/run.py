"""`sample`: from a model, data and a loss to an `xarray.Dataset` of draws."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import xarray
from torch import Tensor, nn
from tqdm import tqdm

from devinterp_core.vectorized import Evaluator, keep_freed_memory

from . import checkpoint as checkpoints
from .chains import TRACE_FROM, ChainGroup, num_steps
from .curvature import largest_curvature
from .methods import METHODS
from .records import by_model, to_dataset
from .target import Batch, Loss, Target, as_tensors, make_target

# Numbers of all chains that advance together when there are several models: enough to repay launching operations.
GROUP_COORDINATES = 1_000_000


class DivergenceError(RuntimeError):
    """Every chain left the finite numbers. Names the step and a step size that is stable at $w^*$."""


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
    mask: dict[str, Tensor] | None = None,
    observe: dict[str, Batch] | None = None,
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
        observe: name to further data, whose per-sample losses are recorded at each draw.
        method: `sgld`, `rmsprop_sgld`, `sgnht` or `mala` (see `devinterp_core.sampler.methods`).
        seed: of every random number; the same call on the same device gives the same draws.
        progress: show a progress bar on stderr.
        keep_parameters: record the sampled parameters too, flattened in `named_parameters` order.
        train_mode: leave dropout and batch-norm as the model has them instead of in eval mode.
        memory_budget: bytes for the chains' parameters and their copies; beyond it chains advance in groups.
        checkpoint: file in which the run saves itself; a killed run called again continues from it with
            bit-identical draws on the same device, a finished one is read back.
        checkpoint_every: steps between saves.
        stop: asked after every `stop_every` draws, with the draws so far, whether they are enough; then the run ends
            early. All chains must advance together.
        stop_every: draws between two such questions.

    Returns:
        Dataset with dims `chain`, `draw`: `loss_difference`, `distance`, `virial`, the observed losses under their
        names, `diverged` and `diverged_at` by chain, `acceptance` by chain under MALA; the settings in `attrs`.

    Raises:
        ValueError: bad settings or data (before any step is taken), a checkpoint of another run.
        DivergenceError: if every chain diverged.

    Reference: Lau et al. (2025), the estimator; Welling & Teh (2011), SGLD.
    """
    run = Settings(
        step_size=step_size, num_chains=num_chains, num_draws=num_draws, num_burnin=num_burnin,
        num_steps_between_draws=num_steps_between_draws, batch_size=batch_size, method=method, seed=seed,
        keep_parameters=keep_parameters, train_mode=train_mode, memory_budget=memory_budget,
        checkpoint_every=checkpoint_every,
    )  # fmt: skip
    target = make_target(model, data, loss, n_beta=n_beta, localization=localization, mask=mask, train_mode=train_mode)
    return draw_all(target, run, observe, progress, checkpoint, stop, stop_every)


@dataclass(frozen=True)
class Settings:
    """The settings of `sample` that do not depend on the problem, checked."""

    step_size: float
    num_chains: int = 4
    num_draws: int = 200
    num_burnin: int = 0
    num_steps_between_draws: int = 1
    batch_size: int | None = None
    method: str = "sgld"
    seed: int = 0
    keep_parameters: bool = False
    train_mode: bool = False
    memory_budget: int = 4 * 2**30
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; choose one of {sorted(METHODS)}")
        _check_settings(asdict(self))


def draw_all(
    target: Target,
    run: Settings,
    observe: dict[str, Batch] | None,
    progress: bool,
    checkpoint: str | os.PathLike | None,
    stop: Callable[[xarray.Dataset], bool] | None = None,
    stop_every: int = 100,
) -> xarray.Dataset:
    """Advance all chains of all models, group by group."""
    observed = checked_observations(target, run, observe)
    bytes_a_chain = METHODS[run.method].copies * target.num_coordinates * target.centre.element_size()
    group_size = max(1, min(run.num_chains, run.memory_budget // bytes_a_chain))
    settings = attributes(target, run, int(group_size))
    path = None if checkpoint is None else Path(checkpoint)
    key = "" if path is None else checkpoints.run_key(target, settings, observed)
    saved = None if path is None else checkpoints.load(path, key)
    finished: list[dict[str, Any]] = saved["finished"] if saved else []

    keep_freed_memory()
    groups = list(_groups(target, run.num_chains, group_size))
    if stop is not None and len(groups) > 1:
        raise ValueError(f"stop needs all chains in one group; memory_budget {run.memory_budget} makes {len(groups)}")
    traced = num_steps(settings) * len(groups) >= TRACE_FROM
    evaluator = Evaluator(target.model, target.losses, target.names, trace=traced)
    devices = [target.centre.device] if target.centre.device.type == "cuda" else []
    with tqdm(total=len(groups) * num_steps(settings), disable=not progress, unit="step", desc=run.method) as bar:
        bar.update(len(finished) * num_steps(settings))
        for group in range(len(finished), len(groups)):
            # A loss or a dropout layer that draws from the global state gets a seeded copy of it.
            with torch.random.fork_rng(devices=devices):
                own, size = groups[group]
                chains = ChainGroup(own, settings, observed, size, group, run.batch_size is None, evaluator)
                if saved and saved["group"] == group:
                    chains.restore(saved["chains"])
                    bar.update(chains.step)
                for step in chains.steps():
                    bar.update()
                    drawn, between = divmod(step - 1 - run.num_burnin, run.num_steps_between_draws)
                    if stop is not None and between == 0 and drawn > 0 and drawn % stop_every == 0:
                        so_far = chains.arrays(drawn)
                        if stop(to_dataset([so_far], settings)):
                            finished = [so_far]
                            break
                    if path is not None and step % run.checkpoint_every == 0:
                        content = {"key": key, "finished": finished, "group": group, "chains": chains.snapshot()}
                        checkpoints.save(path, content)
                else:
                    finished = [*finished, chains.arrays()]
            if path is not None:
                checkpoints.save(path, {"key": key, "finished": finished, "group": -1, "chains": None})

    draws = to_dataset(finished, settings)
    if bool(draws.diverged.all()):
        last = int(draws.diverged_at.max())
        raise DivergenceError(
            f"all {draws.sizes['chain']} chains diverged, the last at step {last} of {num_steps(settings)} with "
            f"step_size {run.step_size:g}; try step_size <= {1 / largest_curvature(target):.2g} (one over the largest "
            "curvature at w*), or see devinterp_core.calibration.calibrate"
        )
    return draws if target.centres is None else by_model(draws, target.num_models)


def checked_observations(
    target: Target, run: Settings, observe: dict[str, Batch] | None
) -> dict[str, tuple[Tensor, ...]]:
    """The data to be observed, as tensors on the target's device; settings that do not fit the data are errors."""
    if run.batch_size is not None and run.batch_size > target.num_samples:
        raise ValueError(f"batch_size {run.batch_size} exceeds the {target.num_samples} samples of data")
    if METHODS[run.method].full_batch and run.batch_size is not None:
        raise ValueError(f"{run.method} accepts or rejects on the loss of all data: leave batch_size=None")
    observed = {k: as_tensors(v, f"observe[{k!r}]", target.centre.device) for k, v in (observe or {}).items()}
    reserved = {"loss_difference", "burnin_loss_difference", "distance", "virial", "diverged", "diverged_at",
                "acceptance", "parameters", "model", "chain", "draw", "component",
                "dimension"} & set(observed)  # fmt: skip
    if reserved:
        raise ValueError(f"observe may not use the names {sorted(reserved)}")
    return observed


def attributes(target: Target, run: Settings, group_size: int) -> dict[str, Any]:
    """The settings of a run as its draws carry them."""
    return {
        "method": run.method, "step_size": run.step_size, "localization": target.localization,
        "n_beta": target.n_beta, "num_chains": run.num_chains, "num_draws": run.num_draws,
        "num_burnin": run.num_burnin, "num_steps_between_draws": run.num_steps_between_draws,
        "batch_size": run.batch_size or target.num_samples, "num_samples": target.num_samples,
        "dimension": target.dimension, "seed": run.seed, "group_size": group_size,
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
        data = tuple(t[rows] for t in target.data) if target.own_data else target.data
        yield replace(target, centre=centres[0], centres=centres, data=data), len(centres) * num_chains


def _check_settings(given: dict[str, Any]) -> None:
    for name, least in [("num_chains", 1), ("num_draws", 1), ("num_burnin", 0), ("num_steps_between_draws", 1),
                        ("batch_size", 1), ("checkpoint_every", 1), ("memory_budget", 1)]:  # fmt: skip
        value = given[name]
        if value is None and name == "batch_size":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if not (0 < given["step_size"] < float("inf")):
        raise ValueError(f"step_size must be positive and finite, got {given['step_size']}")
