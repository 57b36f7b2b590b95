"""The two-layer, attention-only language model of Hoogland et al. (2024), in any size, and recorded trainings of it."""

import os
from typing import NamedTuple

from devinterp_core.train import Checkpoints
from devinterp_core.train.recorded import recorded_checkpoints
from devinterp_core.transformer import TransformerConfig

from .tokenizer import TextCorpus, text_corpus


def attention_only(
    num_tokens: int,
    d_model: int,
    num_heads: int,
    num_positions: int,
    *,
    num_layers: int = 2,
    d_head: int | None = None,
    sinusoidal_positions: bool = False,
) -> TransformerConfig:
    """Architecture of the language models here: LayerNorm, shortformer positions, biases, no MLP.

    Args:
        num_tokens: size of the vocabulary.
        d_model: width of the residual stream.
        num_heads: of each layer.
        num_positions: longest sequence.
        num_layers: two for the paper's model, one for the baseline that it is compared with.
        d_head: size of a head; None means `d_model / num_heads`.
        sinusoidal_positions: as in `TransformerConfig`.

    Raises:
        ValueError: as `TransformerConfig`.

    Reference: Hoogland et al. (2024); Wang et al. (2025).
    """
    return TransformerConfig(
        num_layers=num_layers,
        num_heads=num_heads,
        d_model=d_model,
        num_positions=num_positions,
        num_tokens=num_tokens,
        d_head=d_head,
        positions="shortformer",
        attention_bias=True,
        initialization="normal",
        sinusoidal_positions=sinusoidal_positions,
    )


class TextRun(NamedTuple):
    """A training on text, as `recorded_text_run` finds it.

    - `checkpoints`: its checkpoints; `checkpoints.model(step)` is a model.
    - `corpus`: the text that it was trained on.
    - `length`: tokens of a training sequence.
    - `batch_size`: sequences of a step.
    """

    checkpoints: Checkpoints
    corpus: TextCorpus
    length: int
    batch_size: int


def recorded_text_run(folder: str | os.PathLike) -> TextRun:
    """Checkpoints of a training on text, with model and corpus as the run's own record describes them.

    Args:
        folder: what `Checkpoints.export` wrote, of a training on a `TextStream`.

    Raises:
        ValueError: no finished run, one on something other than text, or one on other texts than those installed (the
            tokenizer, trained on the texts, would be another).
    """
    checkpoints = recorded_checkpoints(folder)
    stream = checkpoints.record["stream"].get("TextStream")
    if stream is None:
        raise ValueError(f"the run in {folder} was not trained on a TextStream: {list(checkpoints.record['stream'])}")
    known = stream["corpus"]
    corpus = text_corpus(known["sources"], known["num_tokens"], known["limit"])
    if corpus.content != known["content"]:
        raise ValueError(
            f"the checkpoints in {folder} were trained on other texts than those installed: install requirements.lock"
        )
    return TextRun(checkpoints, corpus, stream["length"], stream["batch_size"])
