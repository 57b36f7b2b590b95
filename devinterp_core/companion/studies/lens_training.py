"""Translators trained for the chapter on the tuned lens, with what its recorded run keeps of the training."""

from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Int
from tokenizers import Tokenizer
from torch import Tensor

from devinterp_core import lens as lenses
from devinterp_core.language import PassageStream


def train_translators(
    lens: lenses.TunedLens,
    stream: PassageStream,
    again: PassageStream,
    settings: lenses.LensTraining,
    held_out: Int[Tensor, "sequence position"],
    tokenizer: Tokenizer,
    *,
    num_regression: int,
    ridge: float,
    state_file: Path,
    folder: Path,
) -> pd.DataFrame:
    """Fit translators by least squares, then train them; every step of it is left in `folder`.

    Args:
        lens: whose translators are set.
        stream: batches of the least squares.
        again: batches of the training.
        settings: of the training.
        held_out: on which the least squares are measured.
        tokenizer: that made the tokens.
        num_regression: batches of the least squares.
        ridge: their pull towards the logit lens.
        state_file: from which an interrupted training goes on.
        folder: for `least_squares.csv` (`loss_table`), `training.csv` (divergence of every layer at every step, nats a
            token) and `translators.safetensors`.

    Returns:
        The table of the least squares.

    Raises:
        ValueError: as `fit_least_squares` and `train_lens`.
    """
    lenses.fit_least_squares(lens, stream, num_regression, ridge=ridge, skip=settings.skip)
    fitted, _ = lenses.loss_table(lens, held_out, tokenizer, skip=settings.skip)
    fitted.to_csv(folder / "least_squares.csv", index=False)
    losses = lenses.train_lens(lens, again, settings, state_file=state_file)
    names = [f"layer_{layer}" for layer in range(lens.num_layers)]
    pd.DataFrame(losses.numpy(), columns=names).rename_axis("step").round(4).to_csv(folder / "training.csv")
    lens.save(folder / "translators.safetensors", torch.float16)
    return fitted
