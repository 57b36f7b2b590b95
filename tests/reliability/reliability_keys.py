"""Pairs of runs for the keys: some whose results differ, some that are the same in another process.

Run as a program, `reliability_keys.py make|ask FOLDER`, it makes all runs of the second kind, or asks for them again
and prints which were taken up.
"""

import dataclasses
import functools
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import reliability_problems as problems
import torch
from torch import nn

CONSTANT = 1.0
TABLE = {"scale": 1.0}
VALUES = np.ones(3)


def error(model, batch, power=2.0, shift=0.0):
    x, y = batch
    return ((model(x)[:, 0] - y - shift).abs() + 0.01) ** power


# ------------------------------------------------------------------------------------------------ losses that differ


def closing(value: Any, use: Callable[[Any], Any]) -> Callable:
    def loss(model, batch):
        return use(value) * error(model, batch)

    return loss


class Holder:
    """A plain object with a state."""

    def __init__(self, scale: float):
        self.scale = scale

    def loss(self, model, batch):
        return self.scale * error(model, batch)

    def __call__(self, model, batch):
        return self.scale * error(model, batch)


class Slotted:
    __slots__ = ("scale",)

    def __init__(self, scale: float):
        self.scale = scale


@dataclasses.dataclass
class Record:
    scale: float


class Criterion(nn.Module):
    """A loss that is a module."""

    def __init__(self, scale: float, buffer: float = 1.0):
        super().__init__()
        self.scale = scale
        self.register_buffer("weight", torch.tensor(buffer, dtype=torch.float64))

    def forward(self, model, batch):
        return self.scale * self.weight * error(model, batch)


def with_class_value(value: float) -> Callable:
    class Own:
        scale = value

        @classmethod
        def loss(cls, model, batch):
            return cls.scale * error(model, batch)

    return Own.loss


def with_property(value: float) -> Callable:
    class Own:
        inner = value

        @property
        def scale(self):
            return self.inner * 1.0

        def __call__(self, model, batch):
            return self.scale * error(model, batch)

    return Own()


def helper_of(power: float) -> Callable:
    def inner(a):
        return a**power

    def outer(a):
        return inner(a)

    def loss(model, batch):
        return outer(error(model, batch))

    return loss


def decorated(value: float) -> Callable:
    def scaling(function):
        @functools.wraps(function)
        def wrapped(*args):
            return value * function(*args)

        return wrapped

    return scaling(error)


def cached(value: float) -> Callable:
    @functools.lru_cache
    def scale():
        return value

    return lambda model, batch: scale() * error(model, batch)


def with_default(value: float) -> Callable:
    def loss(model, batch, scale=value):
        return scale * error(model, batch)

    return loss


def with_keyword(value: float) -> Callable:
    def loss(model, batch, *, scale=value):
        return scale * error(model, batch)

    return loss


def with_global(**values: Any) -> Callable:
    """A loss whose module holds these values."""
    source = "def loss(model, batch):\n    return value() * error(model, batch)\n"
    source += f"def value():\n    return {values.pop('read')}\n"
    module = types.ModuleType("users_module")
    module.__dict__.update(error=error, **values)
    exec(compile(source, "users_module.py", "exec"), module.__dict__)
    return module.loss


def on_attribute(model, batch):
    return model.scale * error(model, batch)


def looping(value: list) -> Callable:
    return lambda model, batch: sum(v * error(model, batch) for v in value)


@dataclasses.dataclass(frozen=True)
class Frozen:
    powers: tuple[float, ...]

    def __call__(self, model, batch):
        return sum(error(model, batch, power) for power in self.powers)


def teacher(seed: int) -> Callable:
    other = problems.network(seed)

    def loss(model, batch):
        return error(model, (batch[0], other(batch[0])[:, 0].detach()))

    return loss


def patched(value: float) -> Callable:
    holder = Holder(1.0)
    holder.loss = lambda model, batch: value * error(model, batch)
    return lambda model, batch: holder.loss(model, batch)


PAIRS: dict[str, tuple[Callable, Callable]] = {  # of functions that make a loss
    name: (functools.partial(make, a), functools.partial(make, b))
    for name, (make, a, b) in {
        "closure over a number": (lambda v: closing(v, float), 1.0, 2.0),
        "closure over a list": (lambda v: closing([v], lambda h: h[0]), 1.0, 2.0),
        "closure over a dict": (lambda v: closing({"a": v}, lambda h: h["a"]), 1.0, 2.0),
        "closure over a nested dict": (lambda v: closing({"a": {"b": [v]}}, lambda h: h["a"]["b"][0]), 1.0, 2.0),
        "closure over a tensor": (lambda v: closing(torch.tensor(v), lambda h: h.double()), 1.0, 2.0),
        "closure over an array": (lambda v: closing(np.array([v]), lambda h: float(h[0])), 1.0, 2.0),
        "closure over an object": (lambda v: closing(Holder(v), lambda h: h.scale), 1.0, 2.0),
        "closure over an object with slots": (lambda v: closing(Slotted(v), lambda h: h.scale), 1.0, 2.0),
        "closure over a dataclass": (lambda v: closing(Record(v), lambda h: h.scale), 1.0, 2.0),
        "closure over a namespace": (lambda v: closing(types.SimpleNamespace(a=v), lambda h: h.a), 1.0, 2.0),
        "closure over a module": (teacher, 1, 2),
        "a function in the closure": (helper_of, 1.0, 1.5),
        "default argument": (with_default, 1.0, 2.0),
        "keyword default": (with_keyword, 1.0, 2.0),
        "partial argument": (lambda v: functools.partial(error, power=v), 2.0, 3.0),
        "callable object": (Holder, 1.0, 2.0),
        "bound method": (lambda v: Holder(v).loss, 1.0, 2.0),
        "method set on an object": (patched, 1.0, 2.0),
        "value of a class": (with_class_value, 1.0, 2.0),
        "property": (with_property, 1.0, 2.0),
        "loss module, attribute": (Criterion, 1.0, 2.0),
        "loss module, buffer": (lambda v: Criterion(1.0, v), 1.0, 2.0),
        "frozen dataclass": (Frozen, (2.0,), (2.0, 3.0)),
        "decorator": (decorated, 1.0, 2.0),
        "cached function": (cached, 1.0, 2.0),
        "comprehension over a list": (looping, [1.0, 2.0], [2.0, 2.0]),
        "global number": (lambda v: with_global(read="A", A=v), 1.0, 2.0),
        "global dict": (lambda v: with_global(read="A['x']", A={"x": v}), 1.0, 2.0),
        "global array": (lambda v: with_global(read="float(A[0])", A=np.array([v])), 1.0, 2.0),
        "global object": (lambda v: with_global(read="A.scale", A=Holder(v)), 1.0, 2.0),
        "global tensor": (lambda v: with_global(read="A", A=torch.tensor(v)), 1.0, 2.0),
        "constant in the code": (lambda v: with_global(read=v), "1.0", "2.0"),
        "operation in the code": (lambda v: with_global(read=v, A=3.0), "A + 2", "A * 2"),
        "name in the code": (lambda v: with_global(read=v, A=3.0, B=2.0), "A", "B"),
        "a set": (lambda v: closing(frozenset(v), lambda h: float(sum(h))), (1, 2), (1, 3)),
    }.items()
}


# ------------------------------------------------------------------------------------------------ models that differ


class Scaled(nn.Module):
    """Nothing of what differs is a parameter, nor in the model's text."""

    def __init__(self, scale: float = 1.0, activation: Callable = torch.tanh, buffer: float = 1.0):
        super().__init__()
        self.layer = nn.Linear(3, 1).double()
        self.scale, self.activation = scale, activation
        self.options = {"scale": scale}
        self.register_buffer("shift", torch.tensor(buffer, dtype=torch.float64))
        self.register_buffer("hidden", torch.tensor(buffer, dtype=torch.float64), persistent=False)

    def forward(self, x):
        return self.scale * self.activation(self.layer(x)) + self.shift + self.hidden


def scaled(**changes: Any) -> nn.Module:
    model = problems.drawn(Scaled(), 0)
    for name, value in changes.items():
        if name in ("shift", "hidden"):
            value = torch.tensor(value, dtype=torch.float64)
        setattr(model, name, value)
    return model


def hooked(value: float) -> nn.Module:
    model = scaled()
    model.layer.register_forward_hook(lambda module, args, out: value * out)
    return model


def with_forward(value: float) -> nn.Module:
    model = scaled()
    model.forward = lambda x: value * model.layer(x)
    return model


def frozen_part(seed: int) -> nn.Module:
    model = problems.network(0)
    problems.drawn(model[0], seed).requires_grad_(False)
    return model


MODELS: dict[str, tuple[Callable, Callable]] = {
    name: (functools.partial(make, a), functools.partial(make, b))
    for name, (make, a, b) in {
        "attribute of the model": (lambda v: scaled(scale=v), 1.0, 2.0),
        "function of the model": (lambda v: scaled(activation=v), torch.tanh, torch.sin),
        "lambda of the model": (lambda v: scaled(activation=lambda x: v * x), 1.0, 2.0),
        "buffer": (lambda v: scaled(shift=v), 1.0, 2.0),
        "buffer that is not saved": (lambda v: scaled(hidden=v), 1.0, 2.0),
        "parameters": (problems.network, 0, 1),
        "frozen parameters": (frozen_part, 1, 2),
        "forward hook": (hooked, 1.0, 2.0),
        "forward of the object": (with_forward, 1.0, 2.0),
    }.items()
}


FEW = problems.SAMPLING | {"num_draws": 8, "num_burnin": 4}


def run_with(changes: dict[str, Any], path: str | None) -> dict:
    arguments = {"model": problems.network(), "data": problems.regression_data(), "loss": error} | FEW
    return problems.plain(problems.sample(**arguments | changes, checkpoint=path))


def data_of(seed: int = 0, **changes: Any):
    x, y = problems.regression_data(60, seed)
    return x, y * changes.get("scale", 1.0)


SETTINGS: dict[str, tuple[Callable, Callable]] = {  # of functions that make changed arguments
    name: (functools.partial(dict, **a), functools.partial(dict, **b))
    for name, (a, b) in {
        "data": ({"data": data_of(0)}, {"data": data_of(1)}),
        "one target": ({"data": data_of(0)}, {"data": data_of(0, scale=1 + 1e-12)}),
        "order of the data": ({"data": data_of(0)}, {"data": tuple(t.flip(0) for t in data_of(0))}),
        "observed data": ({"observe": {"o": data_of(2)}}, {"observe": {"o": data_of(3)}}),
        "observed names": ({"observe": {"o": data_of(2)}}, {"observe": {"p": data_of(2)}}),
        "step size": ({"step_size": 1e-4}, {"step_size": 1.0000001e-4}),
        "n_beta": ({"n_beta": 3.0}, {"n_beta": 3.0000001}),
        "localization": ({"localization": 1.0}, {"localization": 1.5}),
        "seed": ({"seed": 1}, {"seed": 2}),
        "chains": ({"num_chains": 4}, {"num_chains": 3}),
        "draws": ({"num_draws": 8}, {"num_draws": 9}),
        "burn-in": ({"num_burnin": 4}, {"num_burnin": 2}),
        "steps between": ({"num_steps_between_draws": 2}, {"num_steps_between_draws": 1}),
        "batch size": ({"batch_size": 16}, {"batch_size": 15}),
        "full batch": ({"batch_size": 60}, {"batch_size": None}),
        "method": ({"method": "sgld"}, {"method": "sgnht"}),
        "groups": ({"memory_budget": 2**30}, {"memory_budget": 700}),
        "parameters kept": ({"keep_parameters": False}, {"keep_parameters": True}),
        "mask": (
            {"mask": {"0.bias": torch.tensor([True, True, True, False])}},
            {"mask": {"0.bias": torch.tensor([True, True, False, True])}},
        ),
    }.items()
}


def arguments_of(kind: str, name: str, which: int) -> dict[str, Any]:
    if kind == "loss":
        return {"loss": PAIRS[name][which]()}
    if kind == "model":
        return {"model": MODELS[name][which]()}
    return SETTINGS[name][which]()


def other_in_the_same_file(kind: str, name: str, folder: str) -> dict:
    """A run, then the changed one with the same checkpoint: whether it was refused, or gave its own draws."""
    from reliability_children import outcome_of

    first, second = (arguments_of(kind, name, which) for which in (0, 1))
    begun = outcome_of(run_with, first, f"{folder}/run.pt")
    if begun.refused:  # nothing that could be taken for another run
        return {"differ": True, "refused": True, "own": False, "said": str(begun), "again": True, "said again": ""}
    of_first = begun.value
    own = run_with(second, None)
    found = outcome_of(run_with, second, f"{folder}/run.pt")
    again = outcome_of(run_with, arguments_of(kind, name, 0), f"{folder}/run.pt")
    return {
        "differ": not problems.same(of_first, own),
        "refused": found.error == "ValueError" and found.clear,
        "own": not found.error and problems.same(found.value, own),
        "said": str(found),
        "again": found.error != "ValueError" or (not again.error and problems.same(again.value, of_first)),
        "said again": str(again),
    }


def trainings_in_one_cache(kind: str, name: str, folder: str) -> dict:
    """The same for `train`: the second training is its own, or refused."""
    from reliability_children import outcome_of

    def train_with(which: int, place: str) -> dict:
        changes = arguments_of(kind, name, which)
        make = changes.get("model")
        models = [make, make] if make is not None else [problems.network(0), problems.network(1)]
        settings = problems.TrainingSettings(num_steps=4, learning_rate=0.1)
        found = problems.train(
            models,
            problems.Waves(),
            changes.get("loss", error),
            settings,
            checkpoint_steps=[4],
            folder=Path(place),
            progress=False,
        )
        found = problems.contents_of_training(found)
        del found["record"]
        return problems.plain(found)

    first = outcome_of(train_with, 0, f"{folder}/cache")
    own = outcome_of(train_with, 1, f"{folder}/own")
    found = outcome_of(train_with, 1, f"{folder}/cache")
    both_refused = first.refused and own.refused and found.refused
    return {
        "differ": both_refused or first.refused or not problems.same(first.value, own.value),
        "refused": found.refused,
        "own": not found.error and not own.error and problems.same(found.value, own.value),
        "said": str(found),
    }


def content_keys(kind: str, name: str) -> dict:
    """`content_key` of both sides, and of the first side once more."""
    from reliability_children import outcome_of

    from devinterp_core.content import content_key

    keys = [outcome_of(content_key, *arguments_of(kind, name, which).values()) for which in (0, 1, 0)]
    return {
        "differ": keys[0].value != keys[1].value or keys[1].refused,
        "same": keys[0].value == keys[2].value,
        "said": [str(key) for key in keys],
    }


# ------------------------------------------------------------------------------------------------ nothing that differs


def _renumbered(lines: int, comment: str) -> Callable:
    source = "\n" * lines + f"def loss(model, batch):\n    # {comment}\n    return 2.0 * error(model, batch)\n"
    space = {"error": error, "__name__": "users_module"}
    exec(compile(source, f"somewhere{lines}.py", "exec"), space)
    return space["loss"]


def _strided(data: tuple, second: bool) -> tuple:
    x, y = data
    return (x.mT.contiguous().mT if second else x, y)


def unchanged(second: bool) -> dict[str, dict[str, Any]]:
    """Runs that are the same to the last bit, told by `second` whether this is another process."""
    words = ["b", "a", "c"]
    train_flag = problems.network().train(not second)
    called = problems.network()
    if second:
        called(problems.regression_data()[0]).sum().backward()
    reusing = closing([1.0], lambda h: h[0])
    if second:
        reusing(problems.network(), problems.regression_data())
    return {
        "comprehension": {"loss": lambda m, b: sum([w * error(m, b) for w in [1.0, 0.5]])},
        "generator": {"loss": lambda m, b: sum(w * error(m, b) for w in (1.0, 0.5))},
        "lambda in a lambda": {"loss": lambda m, b: (lambda e: e * 2)(error(m, b))},
        "dict comprehension": {"loss": lambda m, b: {w: error(m, b) * len(w) for w in words}["a"]},
        "set literal": {"loss": lambda m, b: error(m, b) * float("a" in {"a", "b", "c", "d"})},
        "frozenset in a closure": {"loss": closing(frozenset(words), lambda h: float(len(h)))},
        "set in a closure": {"loss": closing(set(words), lambda h: float(len(h)))},
        "object in a closure": {"loss": closing(Holder(2.0), lambda h: h.scale)},
        "callable object": {"loss": Holder(2.0)},
        "bound method": {"loss": Holder(2.0).loss},
        "loss module": {"loss": Criterion(2.0)},
        "partial": {"loss": functools.partial(error, power=3.0)},
        "array in a closure": {"loss": closing(np.array([2.0]), lambda h: float(h[0]))},
        "nested function": {"loss": helper_of(1.5)},
        "decorator": {"loss": decorated(2.0)},
        "class made in a function": {"loss": with_class_value(2.0)},
        "other lines": {"loss": _renumbered(30 * second, f"{second}")},
        "called before": {"loss": reusing},
        "gradients in the model": {"model": called},
        "training flag": {"model": train_flag},
        "memory layout": {"data": _strided(problems.regression_data(), second)},
        "lambda of the model": {"model": scaled(activation=lambda x: 2 * x)},
        "function of the model": {"model": scaled(activation=torch.sin)},
        "a progress bar": {"progress": second},
        "saves": {"checkpoint_every": 7 if second else 5},
    }


def main(what: str, folder: str) -> None:
    import contextlib
    import io

    found = {}
    for name, changes in unchanged(what == "ask").items():
        path = Path(folder) / f"{name}.pt"
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                result = run_with(changes, str(path))
            if what == "make":
                np.save(path.with_suffix(".npy"), result["loss_difference"])
            found[name] = (
                "" if np.array_equal(np.load(path.with_suffix(".npy")), result["loss_difference"]) else "other draws"
            )
        except Exception as problem:  # noqa: BLE001  the finding
            found[name] = f"{type(problem).__name__}: {problem}"[:300]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
