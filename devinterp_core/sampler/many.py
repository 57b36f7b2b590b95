"""`sample_many`: several models of one architecture, the checkpoints or the seeds of a training run, in one program."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import xarray
from torch import Tensor, nn

from .run import Settings, draw_all
from .target import Batch, Loss, Target, make_target


def sample_many(
    models: Sequence[nn.Module],
    data: Batch | Sequence[Batch],
    loss: Loss,
    *,
    n_beta: float | None = None,
    localization: float = 1.0,
    mask: dict[str, Tensor] | None = None,
    observe: dict[str, Batch] | None = None,
    progress: bool = True,
    checkpoint: str | os.PathLike | None = None,
    train_mode: bool = False,
    **settings: Any,
) -> xarray.Dataset:
    """`sample` for several models of one architecture: the checkpoints or the seeds of a training run.

    Each model has its own centre and its own chains; the chains of several models advance in one vectorised step, and
    the program for it is made once.

    Args:
        models: one architecture, all parameters of a model being its $w^*$.
        data: one data set for all, or a list with one for each model, alike in shape.
        loss: as in `sample`.
        settings: further arguments of `sample`, the same for all models; `num_chains` counts the chains of a model.

    Returns:
        As `sample`, with the dims `model`, `chain`, `draw`; `draws.isel(model=i)` is what `sample` returns for one.

    Raises:
        ValueError: as in `sample`; no models, models of different architectures, or data sets of different shapes.
        DivergenceError: if every chain of every model diverged; otherwise the flags tell.
    """
    if not models:
        raise ValueError("no models to sample")
    run = Settings(train_mode=train_mode, **settings)
    each = list(data) if isinstance(data, list) else [data] * len(models)
    if len(each) != len(models):
        raise ValueError(f"{len(each)} data sets were given for {len(models)} models; give one, or one for each")
    shared = {"n_beta": n_beta, "localization": localization, "mask": mask, "train_mode": train_mode}
    targets = [make_target(model, own, loss, **shared) for model, own in zip(models, each, strict=True)]
    first = targets[0]
    for index, target in enumerate(targets):
        if (target.names, target.shapes) != (first.names, first.shapes) or repr(target.model) != repr(first.model):
            raise ValueError(f"models[{index}] is of another architecture than models[0]")
        if [t.shape for t in target.data] != [t.shape for t in first.data]:
            raise ValueError(f"the data set of models[{index}] has another shape than that of models[0]")
        _check_frozen(target, first, index)
    tensors = [torch.cat(parts) for parts in zip(*(t.data for t in targets), strict=True)]
    target = replace(
        first,
        data=tuple(tensors) if isinstance(data, list) else first.data,
        centres=torch.stack([target.centre for target in targets]),
        chains_of_model=run.num_chains,
        own_data=isinstance(data, list),
    )
    return draw_all(target, run, observe, progress, checkpoint)


def _check_frozen(target: Target, first: Target, index: int) -> None:
    """The program holds one copy of what does not move: it has to be the same for all models."""
    for name, tensor in target.model.state_dict().items():
        if name not in target.names and not torch.equal(tensor, first.model.state_dict()[name]):
            raise ValueError(f"models[{index}] differs from models[0] in {name}, which the mask freezes")
