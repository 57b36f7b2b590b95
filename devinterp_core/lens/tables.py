"""What a lens says of some sequences, in tables: losses by layer and sequence, predictions by layer and token."""

import math

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from devinterp_core.extras import needs
from devinterp_core.language.passages import token_bytes

from .lenses import LogitLens
from .predictions import evaluate_lens, prediction_trajectory

with needs("text"):
    from tokenizers import Tokenizer


def loss_table(
    lens: LogitLens, tokens: Int[Tensor, "sequence position"], tokenizer: Tokenizer, *, skip: int = 0
) -> tuple[pd.DataFrame, Float[np.ndarray, "layer token"]]:
    """Loss of a lens at every layer of every sequence, with what bits per byte are made of.

    Args:
        lens: logit or tuned.
        tokens: sequences.
        tokenizer: byte-level, that made them.
        skip: positions at the beginning of each sequence that are left out.

    Returns:
        One row a `layer` (the last being the model) and `sequence`: `cross_entropy` and `kl` from the model in nats a
        token, `bits` of the whole sequence's predicted tokens, their UTF-8 `bytes`; and the marginal distributions of
        `evaluate_lens`.

    Raises:
        ValueError: as `evaluate_lens`.
    """
    found = evaluate_lens(lens, [tokens], skip=skip)
    table = found[["cross_entropy", "kl"]].to_dataframe().reset_index()
    return with_bits(table, tokens, tokenizer, skip=skip), found.marginal.to_numpy()


def with_bits(
    table: pd.DataFrame, tokens: Int[Tensor, "sequence position"], tokenizer: Tokenizer, *, skip: int = 0
) -> pd.DataFrame:
    """`bits` and `bytes` of each sequence beside its `cross_entropy`; arguments and columns as of `loss_table`."""
    predicted = tokens[:, skip + 1 :]
    bytes_ = token_bytes(tokenizer, predicted).sum(1).numpy()
    bits = table["cross_entropy"] * predicted.shape[1] / math.log(2)
    return table.assign(bits=bits, bytes=bytes_[table["sequence"]])


def token_table(lens: LogitLens, text: str, tokenizer: Tokenizer) -> pd.DataFrame:
    """What every layer predicts after every token of a text.

    Args:
        lens: logit or tuned.
        text: a sentence.
        tokenizer: of the model.

    Returns:
        One row a `layer` (the last being the model) and `position`: the `input` token there, the most probable next
        one, `word`, and `kl` of the layer from the model in nats.

    Raises:
        ValueError: as `prediction_trajectory`.
    """
    ids = tokenizer.encode(text).ids
    found = prediction_trajectory(lens, torch.tensor([ids]))[["prediction", "kl"]].isel(sequence=0)
    table = found.to_dataframe().reset_index()[["layer", "position", "prediction", "kl"]]
    inputs = [tokenizer.decode([token]) for token in ids]
    words = [tokenizer.decode([int(token)]) for token in table["prediction"]]
    return table.assign(input=np.array(inputs)[table["position"]], word=words).drop(columns="prediction")
