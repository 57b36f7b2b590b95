"""Whether models are one architecture: alike in everything but the values of their parameters."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

OWN = ("_parameters", "_buffers", "_modules", "training")


def check_alike(models: Sequence[nn.Module]) -> None:
    """The program for several models is made from the first: what it reads besides parameters must be the same in all.

    Raises:
        ValueError: naming the model, the module and the attribute in which it differs from the first.
    """
    for index, model in enumerate(models[1:], 1):
        difference = _difference(models[0], model)
        if difference:
            raise ValueError(
                f"models[{index}] is of another architecture than models[0]: {difference}. Sample such models one by "
                "one, or make the difference a parameter that the mask freezes"
            )


def _difference(first: nn.Module, other: nn.Module) -> str | None:
    mine, theirs = dict(first.named_modules()), dict(other.named_modules())
    if mine.keys() != theirs.keys():
        return f"its modules are others ({sorted(mine.keys() ^ theirs.keys())[:3]})"
    for name, module in mine.items():
        twin, place = theirs[name], f"in {name or 'the model'}, "
        if type(module) is not type(twin):
            return f"{place}{type(twin).__name__} stands for {type(module).__name__}"
        if {k: v.shape for k, v in module.named_parameters(recurse=False)} != {
            k: v.shape for k, v in twin.named_parameters(recurse=False)
        }:
            return f"{place}parameters have other names or shapes"
        if module.training != twin.training:
            return f"{place}one is in train mode, the other in eval mode"
        left, right = vars(module), vars(twin)
        for key in sorted((left.keys() | right.keys()) - set(OWN)):
            if key not in left or key not in right or not same_value(left[key], right[key]):
                return f"{place}the attribute {key} is {_short(right.get(key))}, not {_short(left.get(key))}"
        for key, buffer in module.named_buffers(recurse=False):
            if not same_value(buffer, dict(twin.named_buffers(recurse=False)).get(key)):
                return f"{place}the buffer {key} differs"
    return None


def same_value(a: object, b: object, depth: int = 0) -> bool:
    """Whether two attributes mean the same; functions, if they are one function or of the same code and closure."""
    if a is b:
        return True
    if type(a) is not type(b) or depth > 8:
        return False
    if isinstance(a, nn.Module):
        return _difference(a, b) is None
    if isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and bool((a.isnan() & b.isnan() | (a == b)).all())
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and bool(np.array_equal(a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same_value(a[k], b[k], depth + 1) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same_value(x, y, depth + 1) for x, y in zip(a, b, strict=True))
    if hasattr(a, "__code__"):
        cells = [[c.cell_contents for c in f.__closure__ or ()] for f in (a, b)]
        return a.__code__ == b.__code__ and same_value(cells[0], cells[1], depth + 1)
    try:
        if bool(a == b):
            return True
    except Exception:  # noqa: BLE001  no equality of its own
        pass
    state = getattr(a, "__dict__", None)
    return bool(state) and same_value(state, b.__dict__, depth + 1)


def _short(value: object) -> str:
    return repr(value)[:40]
