"""`sample_many`: several models of one architecture, the checkpoints or the seeds of a training run, in one program."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import xarray
from torch import Tensor, nn

from devinterp_core.content import module_difference
from devinterp_core.vectorized import Batch, Loss, tensors_of

from .observe import Observed
from .run import draw_all
from .settings import Settings
from .target import Target, check_model, make_target


def sample_many(
    models: Sequence[nn.Module],
    data: Batch | Sequence[Batch],
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
) -> xarray.Dataset:
    """`sample` for several models of one architecture: the checkpoints or the seeds of a training run.

    Each model has its own centre and its own chains; the chains of several models advance in one vectorised step, and
    the program for it is made once.

    Args:
        models: one architecture, alike in all but their parameters, which are their $w^*$.
        data: one data set for all, or a list with one for each model, alike in shape.
        loss: as in `sample`.
        num_chains: chains of each model.
        step_size: as in `sample`, and so are all other arguments, the same for all models.

    Returns:
        As `sample`, with the dims `model`, `chain`, `draw`; `draws.isel(model=i)` is what `sample` returns for one.

    Raises:
        ValueError: as in `sample`; no models, models that differ in more than their parameters, or data sets of
            different shapes.
        DivergenceError: if every chain of every model diverged; otherwise the flags tell.

    Example:
        >>> from devinterp_core import potentials
        >>> model, data = potentials.linear_regression(4, num_samples=1000, seed=0)
        >>> loss = potentials.linear_regression_loss
        >>> draws = sample_many([model, model], data, loss, step_size=0.01, num_chains=4, num_draws=20, progress=False)
        >>> draws.loss_difference.dims, draws.loss_difference.shape
        (('model', 'chain', 'draw'), (2, 4, 20))
    """
    if not models:
        raise ValueError("no models to sample")
    run = Settings(
        step_size=step_size, num_chains=num_chains, num_draws=num_draws, num_burnin=num_burnin,
        num_steps_between_draws=num_steps_between_draws, batch_size=batch_size, method=method, seed=seed,
        keep_parameters=keep_parameters, train_mode=train_mode, memory_budget=memory_budget,
        checkpoint_every=checkpoint_every,
    )  # fmt: skip
    each = list(data) if isinstance(data, list) else [data] * len(models)
    if len(each) != len(models):
        raise ValueError(f"{len(each)} data sets were given for {len(models)} models; give one, or one for each")
    for model in models:
        check_model(model)
    for index, model in enumerate(models):
        difference = module_difference(models[0], model)
        if difference is not None:
            raise ValueError(
                f"models[{index}] is of another architecture than models[0], {difference}: the program for all is made "
                "from the first. Sample them one by one, or make the difference a parameter that the mask freezes"
            )
    shared = {"n_beta": n_beta, "localization": localization, "mask": mask, "train_mode": train_mode,
              "batch_size": run.batch_size}  # fmt: skip
    targets = [make_target(model, own, loss, **shared) for model, own in zip(models, each, strict=True)]
    first = targets[0]
    for index, target in enumerate(targets):
        if (target.names, target.shapes) != (first.names, first.shapes):
            raise ValueError(f"models[{index}] is of another architecture than models[0]: other parameters or shapes")
        if [t.shape for t in tensors_of(target.data)] != [t.shape for t in tensors_of(first.data)]:
            raise ValueError(f"the data set of models[{index}] has another shape than that of models[0]")
        _check_frozen(target, first, index)
    target = replace(
        first,
        data=_one_after_the_other([t.data for t in targets]) if isinstance(data, list) else first.data,
        centres=torch.stack([target.centre for target in targets]),
        chains_of_model=run.num_chains,
        own_data=isinstance(data, list),
        random=any(target.random for target in targets),
        coupled=any(target.coupled for target in targets),
    )
    return draw_all(target, run, observe, progress, checkpoint)


def _one_after_the_other(data: Sequence[Batch]) -> Batch:
    if isinstance(data[0], Tensor):
        return torch.cat(list(data))
    return tuple(torch.cat(parts) for parts in zip(*data, strict=True))


def _constants(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, those too that no state dict holds."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _check_frozen(target: Target, first: Target, index: int) -> None:
    """The program holds one copy of what does not move: it has to be the same for all models."""
    theirs = _constants(first.model)
    for name, tensor in _constants(target.model).items():
        if name not in target.names and not torch.equal(tensor, theirs[name]):
            raise ValueError(f"models[{index}] differs from models[0] in {name}, which the mask freezes")
