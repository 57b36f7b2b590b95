"""The key of a training run: equal keys mean that training again would give the same checkpoints.

Classes and functions of `devinterp_core` enter by the sources of their packages, those of a notebook by their compiled
code and the plain values, functions and classes that it uses. Installed packages other than torch are not part of it.
"""

import dataclasses
import functools
import hashlib
import inspect
import json
import sys
import sysconfig
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
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            digest.update(f"{name} {_text(tensor)}".encode())
    code = _Code()
    modules = [(type(module), _plain(vars(module))) for module in models[0].modules()]
    digest.update(code.text((loss, stream, modules, Evaluator, Optimizer)).encode())
    for path in sorted(code.files):
        digest.update(path.read_bytes())
    return digest.hexdigest(), description


class _Code:
    """Texts of functions and classes, the same in every process; `files` gathers those of `devinterp_core`."""

    def __init__(self) -> None:
        self.files: set[Path] = set()
        self.seen: list[object] = []

    def text(self, value: object) -> str:
        while hasattr(value, "__wrapped__") and _installed(value):  # a library's decorator, such as a cache
            value = value.__wrapped__
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
        if dataclasses.is_dataclass(value):
            return self.text((type(value), [getattr(value, field.name) for field in dataclasses.fields(value)]))
        if isinstance(value, (types.ModuleType, types.BuiltinFunctionType)):
            return f"{getattr(value, '__module__', '')}.{value.__name__}"
        if isinstance(value, (*PLAIN, Tensor)):
            return _text(value)
        raise ValueError(
            f"the training depends on {value!r}, which cannot be part of a key: give plain values, tensors or functions"
        )

    def _function_or_class(self, value: types.FunctionType | type) -> str:
        name = f"{value.__module__}.{value.__qualname__}"
        if value.__module__.startswith(f"{PACKAGE}."):
            path = Path(inspect.getfile(value))
            self.files.update([path] if path.parent.name == PACKAGE else path.parent.rglob("*.py"))
            return name
        if value in self.seen or _installed(value):
            return name
        self.seen.append(value)
        if isinstance(value, type):
            members = {k: v for k, v in vars(value).items() if k == "__call__" or not k.startswith("__")}
            members = {k: getattr(v, "__func__", getattr(v, "fget", v)) for k, v in members.items()}
            return self.text((name, value.__bases__, _plain(members)))
        captured = [cell.cell_contents for cell in value.__closure__ or ()]
        used = _plain({k: value.__globals__[k] for k in _names(value.__code__) if k in value.__globals__})
        return self.text((name, value.__code__, value.__defaults__, value.__kwdefaults__, captured, used))


def _plain(values: dict[str, object]) -> dict[str, object]:
    """Without what can have no text: a global may only share its name with an attribute that the code reads."""

    def known(value: object) -> bool:
        if isinstance(value, (tuple, list)):
            return all(map(known, value))
        return isinstance(value, (*PLAIN, Tensor, types.FunctionType, types.BuiltinFunctionType, type))

    return {k: v for k, v in sorted(values.items()) if known(v)}


def _names(code: types.CodeType) -> set[str]:
    """Names that the code, or a function inside it, looks up."""
    return set(code.co_names).union(*(_names(c) for c in code.co_consts if isinstance(c, types.CodeType)))


def _installed(value: Any) -> bool:
    """Whether the code of a function or class belongs to Python or to an installed package."""
    module = value.__module__.split(".")[0]
    if hasattr(value, "__code__"):
        file = value.__code__.co_filename
    elif module == "__main__":  # of a notebook: its `__file__` would be that of the installed kernel
        return False
    else:
        file = getattr(sys.modules.get(value.__module__), "__file__", None) or ""
    return module in sys.stdlib_module_names or "site-packages" in file or file.startswith(sysconfig.get_path("stdlib"))


def _text(value: object) -> str:
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(content).hexdigest()}"
    return repr(value)
