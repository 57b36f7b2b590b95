"""The key of a training run: equal keys mean that training again would give the same checkpoints."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from devinterp_core.content import content_key
from devinterp_core.vectorized import Evaluator

from .optimizers import Optimizer
from .settings import TrainingSettings


def run_key(
    models: Sequence[nn.Module],
    stream: Any,
    loss: Callable,
    settings: TrainingSettings,
    steps: list[int],
    compile: bool = False,
) -> tuple[str, dict]:
    """SHA-256 of everything the checkpoints depend on, see `content_key`, and its readable part.

    Raises:
        ValueError: a model, a loss or a stream that depends on a value without content, such as an open file.
    """
    first = next(models[0].parameters())
    description = {
        "stream": {type(stream).__name__: _readable(stream)},
        "settings": dataclasses.asdict(settings),
        "architecture": repr(getattr(models[0], "config", models[0])),
        "torch": torch.__version__.split("+")[0],
        "device": first.device.type,
        "dtype": str(first.dtype),
        "compile": compile,
    }
    return content_key(description, steps, stream, loss, list(models), Evaluator, Optimizer), description


def _readable(value: Any) -> Any:
    """A value as a record can hold it; arrays and objects by their type alone, their content being in the key."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _readable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): _readable(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (bool, int, float, str, type(None))) else f"<{type(value).__qualname__}>"
