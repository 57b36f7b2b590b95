"""A developmental lens: translators fitted anew at checkpoints of a training, and what the layers predict there."""

from collections.abc import Callable, Mapping

import pandas as pd
from jaxtyping import Int
from torch import Tensor, nn

from .lenses import LogitLens, TunedLens
from .model import LensModel
from .predictions import evaluate_lens
from .recipe import LensTraining
from .regression import fit_least_squares
from .training import train_lens


def lens_over_training(
    models: Mapping[int, nn.Module],
    batches: Callable[[int], Int[Tensor, "batch position"]],
    held_out: Int[Tensor, "sequence position"],
    settings: LensTraining,
    *,
    num_regression: int,
) -> pd.DataFrame:
    """Loss of both lenses at every layer of every checkpoint.

    The translators of a checkpoint start from least squares to its own last hidden state and are trained on its own
    predictions; nothing is carried over from the checkpoint before.

    Args:
        models: training step to the model there.
        batches: step of a lens's training to tokens.
        held_out: sequences on which the lenses are compared.
        settings: of each lens's training; its `skip` holds for the least squares and the comparison, too.
        num_regression: batches of the least squares.

    Returns:
        One row for each `step`, `lens` (`logit`, `tuned`), `layer` (the last being the model) and `sequence`:
        `cross_entropy` and `kl` in nats a token.

    Raises:
        ValueError: no models; and as `train_lens`.
    """
    if not models:
        raise ValueError("no checkpoints to fit a lens at")
    tables = []
    for step, module in models.items():
        model = LensModel(module)
        tuned = TunedLens(model)
        fit_least_squares(tuned, batches, num_regression, skip=settings.skip)
        train_lens(tuned, batches, settings, progress=False)
        for name, lens in (("logit", LogitLens(model)), ("tuned", tuned)):
            means = evaluate_lens(lens, [held_out], skip=settings.skip)[["cross_entropy", "kl"]]
            tables.append(means.to_dataframe().reset_index().assign(step=step, lens=name))
    return pd.concat(tables, ignore_index=True)
