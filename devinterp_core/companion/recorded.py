"""Recorded trainings of our transformer, opened without knowing its sizes, and those on text with the text."""

import ast
import dataclasses
import json
import os
from pathlib import Path
from typing import NamedTuple

from devinterp_core.language import TextCorpus, TextStream, text_corpus
from devinterp_core.train import Checkpoints
from devinterp_core.train.checkpoints import RECORD
from devinterp_core.transformer import Transformer, TransformerConfig


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

    def stream(self, batch_size: int, seed: int) -> TextStream:
        """Batches like those that it was trained on, repeated passages included, with another seed."""
        share = self.checkpoints.record["stream"][TextStream.__name__]["repeat_share"]
        return TextStream(self.corpus, batch_size, self.length, (seed,), share)


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


def recorded_checkpoints(folder: str | os.PathLike) -> Checkpoints:
    """The checkpoints of one of our transformers; its architecture is read from the record of its training.

    Raises:
        ValueError: no finished run in the folder, or not one of a transformer of this version.
    """
    path = Path(folder) / RECORD
    try:
        architecture = json.loads(path.read_text(encoding="utf-8"))["architecture"]
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"{path} does not tell the architecture of a finished training: {error}") from error
    return Checkpoints(folder, Transformer(recorded_config(architecture), seed=0))


def recorded_config(architecture: str) -> TransformerConfig:
    """The configuration whose `repr` is the `architecture` of a `training.json`, so that no size need be known.

    Args:
        architecture: such as `TransformerConfig(num_layers=2, num_heads=8, ...)`.

    Raises:
        ValueError: a text that is no such configuration, or settings that this version does not have.
    """
    try:
        call = ast.parse(architecture, mode="eval").body
        settings = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        named = call.func.id == TransformerConfig.__name__ and not call.args
    except (SyntaxError, AttributeError, ValueError) as error:
        raise ValueError(f"{architecture!r} is no architecture of ours: {error}") from error
    unknown = set(settings) - {field.name for field in dataclasses.fields(TransformerConfig)}
    if not named or unknown or None in settings:
        raise ValueError(f"{architecture!r} is no TransformerConfig of this version: {sorted(map(str, unknown))}")
    return TransformerConfig(**settings)
