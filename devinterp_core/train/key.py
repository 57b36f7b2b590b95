"""The key of a training run: equal keys mean that training again would give the same checkpoints.

Classes and functions of `devinterp_core` enter by the sources of their packages, those of a notebook by their compiled
code and the values that it captures. Helpers that a notebook imports from files of its own enter by their names only.
"""

import dataclasses
import functools
import hashlib
import inspect
import json
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from devinterp_core.vectorized import Evaluator

from .optimizers import Optimizer
from .settings import TrainingSettings

PACKAGE = "devinterp_core"
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), torch.dtype, torch.device)


def run_key(
    models: Sequence[nn.Module],
    stream: Any,
    loss: Callable,
    settings: TrainingSettings,
    steps: list[int],
    compile: bool = False,
) -> tuple[str, dict]:
    """SHA-256 of everything the checkpoints depend on, and its readable part.

    Raises:
        ValueError: a loss or a stream that depends on a value which has no text of its own, such as an open file.
    """
    first = next(models[0].parameters())
    description = {
        "stream": {type(stream).__name__: dataclasses.asdict(stream)},
        "settings": dataclasses.asdict(settings),
        "architecture": repr(getattr(models[0], "config", models[0])),
        "torch": torch.__version__.split("+")[0],
        "device": first.device.type,
        "dtype": str(first.dtype),
        "compile": compile,
    }
    digest = hashlib.sha256(json.dumps([description, steps], sort_keys=True).encode())
    for model in models:
        for name, tensor in model.state_dict().items():
            digest.update(repr((name, _text(tensor))).encode())
    code = _Code()
    for each in (loss, type(stream), *{type(module): None for module in models[0].modules()}, Evaluator, Optimizer):
        digest.update(code.text(each).encode())
    for path in sorted(code.files):
        digest.update(path.read_bytes())
    return digest.hexdigest(), description


class _Code:
    """Texts of functions and classes, the same in every process; `files` gathers those of `devinterp_core`."""

    def __init__(self) -> None:
        self.files: set[Path] = set()
        self.seen: list[object] = []

    def text(self, value: object) -> str:
        value = inspect.unwrap(value) if callable(value) else value
        if isinstance(value, functools.partial):
            return self.text(("partial", value.func, value.args, value.keywords))
        if isinstance(value, (types.FunctionType, type)):
            return self._function_or_class(value)
        if isinstance(value, types.CodeType):
            return self.text((value.co_code.hex(), value.co_names, value.co_varnames, value.co_consts))
        if isinstance(value, (tuple, list)):
            return f"({', '.join(map(self.text, value))})"
        if isinstance(value, (set, frozenset)):
            return self.text(("set", *sorted(map(self.text, value))))
        if isinstance(value, dict):
            return self.text(tuple(value.items()))
        if isinstance(value, (types.ModuleType, types.BuiltinFunctionType)):
            return f"{getattr(value, '__module__', '')}.{value.__name__}"
        if isinstance(value, (*PLAIN, Tensor)):
            return _text(value)
        raise ValueError(
            f"{value!r}, on which the training depends, has no text of its own: give plain values, tensors or functions"
        )

    def _function_or_class(self, value: types.FunctionType | type) -> str:
        name = f"{value.__module__}.{value.__qualname__}"
        if value.__module__.startswith(f"{PACKAGE}."):
            path = Path(inspect.getfile(value))
            self.files.update([path] if path.parent.name == PACKAGE else path.parent.rglob("*.py"))
            return name
        if value in self.seen or value.__module__.split(".")[0] in ("torch", "builtins", "numpy", "math"):
            return name
        self.seen.append(value)
        if isinstance(value, type):
            methods = [vars(value)[k] for k in sorted(vars(value)) if k == "__call__" or not k.startswith("__")]
            functions = [getattr(method, "__func__", method) for method in methods]
            return self.text((name, value.__bases__, [f for f in functions if isinstance(f, types.FunctionType)]))
        captured = [cell.cell_contents for cell in value.__closure__ or ()]
        used = {k: value.__globals__[k] for k in _names(value.__code__) if k in value.__globals__}
        # A global of another kind may only have the name of an attribute that the code reads.
        used = {k: v for k, v in used.items() if isinstance(v, (*PLAIN, Tensor, tuple, types.FunctionType, type))}
        return self.text((name, value.__code__, value.__defaults__, value.__kwdefaults__, captured, used))


def _names(code: types.CodeType) -> list[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return sorted(set(code.co_names).union(*inner))


def _text(value: object) -> str:
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(content).hexdigest()}"
    return repr(value)
