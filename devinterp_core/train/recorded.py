"""Recorded checkpoints of our transformer, opened without knowing its sizes."""

import ast
import dataclasses
import json
import os
from pathlib import Path

from devinterp_core.transformer import Transformer, TransformerConfig

from .checkpoints import RECORD, Checkpoints


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
