"""Wrong arguments by the hundred: the calls, the values, and what each may do instead of refusing."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import reliability_problems as problems
import torch
from torch import nn

# A call that begins to work with these does not end: it is found by the time that it takes.
ENDLESS = {"num_chains": 2, "num_draws": 2, "num_burnin": 0, "num_steps_between_draws": 10**7, "step_size": 1e-9}
SHORT = {"num_chains": 2, "num_draws": 4, "num_burnin": 2, "num_steps_between_draws": 1, "step_size": 1e-4, "seed": 3}


@dataclass(frozen=True)
class Case:
    """One wrong value.

    Attributes:
        function: whose argument it is.
        argument: its name.
        value: given for it; a function makes it in the child.
        means: a right value that it may be taken for, then with the very same result; absent where there is none.
    """

    function: str
    argument: str
    label: str
    value: Any
    means: tuple = ()


def value_of(case: Case) -> Any:
    return case.value() if isinstance(case.value, Made) else case.value


@dataclass(frozen=True)
class Made:
    """A value that is made where it is used."""

    make: Callable

    def __call__(self) -> Any:
        return self.make()


def integers(least: int, absent: bool = False) -> dict[str, tuple]:
    """Label to (value, *meant value) for a count of at least `least`."""
    below = {"-1": (-1,), "-10**30": (-(10**30),)} | ({"0": (0,)} if least > 0 else {})
    none = {} if absent else {"None": (None,)}
    return (
        below
        | none
        | {
            "2.5": (2.5,),
            "nan": (math.nan,),
            "inf": (math.inf,),
            "text": ("3",),
            "word": ("many",),
            "list": ([3],),
            "complex": (3j,),
            "10**30": (10**30,),
            "10**15": (10**15,),
            "tuple": ((3, 4),),
            "dict": ({},),
            "array": (np.array([3, 4]),),
            "2.0": (2.0, 2),
            "np.int64": (np.int64(2), 2),
            "np.int32": (np.int32(2), 2),
            "tensor": (Made(lambda: torch.tensor(2)), 2),
            "True": (True, 1),
            "np.float64": (np.float64(2.0), 2),
        }
    )


def reals(positive: bool, absent: bool = False, right: float = 1e-4) -> dict[str, tuple]:
    """The same for a positive number, or one that is not negative."""
    none = {} if absent else {"None": (None,)}
    zero = {"0.0": (0.0,), "-0.0": (-0.0,), "False": (False,)} if positive else {}
    return (
        none
        | zero
        | {
            "-1.0": (-1.0,),
            "nan": (math.nan,),
            "inf": (math.inf,),
            "-inf": (-math.inf,),
            "text": ("0.1",),
            "list": ([0.1],),
            "complex": (0.1j,),
            "two": (Made(lambda: torch.tensor([0.1, 0.2])),),
            "dict": ({},),
            "array": (np.array([0.1, 0.2]),),
            "np.float64": (np.float64(right), right),
            "np.nan32": (np.float32("nan"),),
            "tensor": (Made(lambda: torch.tensor(right, dtype=torch.float64)), right),
            "10**400": (10**400,),
            "nan tensor": (Made(lambda: torch.tensor(math.nan)),),
        }
    )


def tensors(what: str) -> dict[str, tuple]:
    x, y = problems.regression_data(8)
    spoiled = {
        "nan": lambda: (x, torch.where(torch.arange(8) == 5, math.nan, y)),
        "inf": lambda: (torch.where(torch.arange(8)[:, None] == 7, math.inf, x), y),
        "empty": lambda: (x[:0], y[:0]),
        "lengths": lambda: (x, y[:5]),
        "0-d": lambda: torch.tensor(1.0),
        "no tuple": lambda: (),
        "narrow": lambda: (x[:, :2], y),
        "float32": lambda: (x.float(), y.float()),
        "integers": lambda: (x.long(), y.long()),
        "complex": lambda: (x.to(torch.complex128), y),
        "only x": lambda: x,
        "three": lambda: (x, y, y),
        "sparse": lambda: (x.to_sparse(), y),
        "meta": lambda: (x.to("meta"), y.to("meta")),
        "None inside": lambda: (x, None),
        "requires grad": lambda: (x.clone().requires_grad_(), y),
    }
    plain = {
        "None": (None,),
        "number": (3,),
        "text": ("data",),
        "strings": (("x", "y"),),
        "dict": ({"x": 1},),
        "lists": (([1.0, 2.0], [1.0, 2.0]),),
        "arrays": ((np.ones((4, 3)), np.ones(4)),),
        "generator": (Made(lambda: iter([x])),),
    }
    made = {label: (Made(make),) for label, make in spoiled.items()}
    if what == "data":  # the same samples, which a careful caller may give
        del made["requires grad"]
    return made | plain


def masks() -> dict[str, tuple]:
    full = {n: torch.ones_like(p, dtype=torch.bool) for n, p in problems.network().named_parameters()}
    return {
        "empty": ({},),
        "unknown": ({"wieght": torch.ones(4, 3, dtype=torch.bool)},),
        "list": ([True],),
        "all false": ({n: ~m for n, m in full.items()},),
        "floats": ({n: m.double() for n, m in full.items()},),
        "shape": ({"0.weight": torch.ones(3, 4, dtype=torch.bool)},),
        "bool": ({"0.weight": True},),
        "text": ("0.weight",),
        "array": ({"0.weight": np.ones((4, 3), bool)},),
        "integers": ({"0.weight": torch.ones(4, 3, dtype=torch.int64)},),
        "number names": ({0: torch.ones(4, 3, dtype=torch.bool)},),
        "number": (1,),
    }


class Silent(nn.Module):
    def forward(self, x):
        return x


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        raise RuntimeError("forward pass of the caller")


def _spoiled(value: float) -> nn.Module:
    model = problems.network()
    with torch.no_grad():
        model[0].weight[0, 0] = value
    return model


def _mixed() -> nn.Module:
    model = problems.network()
    model[2].float()
    return model


def _frozen() -> nn.Module:
    return problems.network().requires_grad_(False)


def models() -> dict[str, tuple]:
    made = {
        "no parameters": Silent,
        "nan": lambda: _spoiled(math.nan),
        "inf": lambda: _spoiled(math.inf),
        "mixed": _mixed,
        "frozen": _frozen,
        "meta": lambda: problems.network().to("meta"),
        "failing": Failing,
        "lazy": lambda: nn.LazyLinear(1),
        "half": lambda: problems.network().half(),
        "class": lambda: nn.Linear,
        "wider": lambda: nn.Linear(9, 1).double(),
    }
    return {k: (Made(v),) for k, v in made.items()} | {
        "None": (None,),
        "text": ("model",),
        "function": (abs,),
        "dict": ({},),
        "tensor": (Made(lambda: torch.ones(3)),),
    }


def _l(make):
    return (Made(lambda: make),)


def _zero_at_first(model, batch):
    x, y = batch
    return torch.where(torch.arange(len(y)) < 5, (model(x)[:, 0] - y) ** 2, math.nan)


def losses() -> dict[str, tuple]:
    error = problems.squared_error
    return {
        "mean": _l(lambda m, b: error(m, b).mean()),
        "column": _l(lambda m, b: error(m, b)[:, None]),
        "sum kept": _l(lambda m, b: error(m, b).sum().reshape(1)),
        "float": _l(lambda m, b: float(error(m, b).mean())),
        "list": _l(lambda m, b: error(m, b).tolist()),
        "None": _l(lambda m, b: None),
        "nothing": (None,),
        "text": ("mse",),
        "nan": _l(lambda m, b: error(m, b) * math.nan),
        "inf": _l(lambda m, b: error(m, b) + math.inf),
        "nan at some": _l(_zero_at_first),
        "integers": _l(lambda m, b: error(m, b).long()),
        "complex": _l(lambda m, b: error(m, b) * 1j),
        "bool": _l(lambda m, b: error(m, b) > 0),
        "detached": _l(lambda m, b: error(m, b).detach()),
        "numpy": _l(lambda m, b: error(m, b).detach().numpy()),
        "ignores the model": _l(lambda m, b: b[1] ** 2),
        "constant": _l(lambda m, b: torch.ones(len(b[1]))),
        "one argument": _l(lambda m: m),
        "three arguments": _l(lambda m, x, y: error(m, (x, y))),
        "raises": _l(lambda m, b: 1 / 0),
        "another's parameters": _l(_of_another),
        "mean of the batch": _l(_centred),
        "depends on the order": _l(lambda m, b: error(m, b).cumsum(0)),
        "first sample": _l(lambda m, b: error(m, b)[:1].expand(len(b[1]))),
        "writes the data": _l(_writing),
        "writes the model": _l(_moving),
        "no_grad": _l(_no_grad),
        "tuple": _l(lambda m, b: (error(m, b),)),
        "sum in the batch": _l(lambda m, b: error(m, b) / error(m, b).sum()),
        "softmax": _l(lambda m, b: error(m, b).softmax(0)),
    }


_ANOTHER = problems.network(7)


def _of_another(model, batch):
    return problems.squared_error(_ANOTHER, batch)


def _centred(model, batch):
    found = problems.squared_error(model, batch)
    return found - found.mean()


def _writing(model, batch):
    batch[0].add_(1.0)
    return problems.squared_error(model, batch)


def _moving(model, batch):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    return problems.squared_error(model, batch)


def _no_grad(model, batch):
    with torch.no_grad():
        return problems.squared_error(model, batch)


IN_THE_BATCH = ("mean of the batch", "depends on the order", "first sample", "sum in the batch", "softmax")
OF_SAMPLING = {
    "step_size": reals(True),
    "localization": reals(False, right=2.0),
    "n_beta": reals(True, absent=True, right=20.0),
    "num_chains": integers(1),
    "num_draws": integers(1),
    "num_burnin": integers(0),
    "num_steps_between_draws": integers(1),
    "batch_size": integers(1, absent=True) | {"too large": (61,)},
    "seed": {k: v for k, v in integers(0).items() if k not in ("-1", "-10**30", "10**15", "10**30")},
    "method": {k: (k,) for k in ("sgdl", "SGLD", "", "sgld ")}
    | {"None": (None,), "class": (dict,), "number": (1,), "bytes": (b"sgld",)},
    "memory_budget": {
        k: v
        for k, v in integers(1).items()
        if k not in ("10**30", "10**15", "2.0", "np.float64", "True", "tensor", "np.int64", "np.int32")
    },
    "mask": masks(),
    "data": tensors("data"),
    "loss": losses(),
    "model": models(),
    "observe": {k: ({"o": v[0]},) for k, v in tensors("observe").items() if k not in ("meta", "requires grad")}
    | {
        "list": ([1],),
        "distance": (Made(lambda: {"distance": problems.regression_data(4)}),),
        "text": ("data",),
        "number name": (Made(lambda: {3: problems.regression_data(4)}),),
    },
    "checkpoint_every": integers(1),
    "stpe_size": {"unknown": (1.0,)},
    "checkpoint": {
        "number": (3,),
        "a folder": ("/tmp",),
        "list": ([],),
        "nul": ("a\0b",),
        "below a file": ("/dev/null/x/run.pt",),
        "other file": (__file__,),
    },
}
OF_TRAINING = {
    "num_steps": integers(1),
    "learning_rate": reals(True, right=0.01),
    "weight_decay": reals(False, right=0.1),
    "eps": reals(False, right=1e-8),
    "momentum": reals(False, right=0.5),
    "num_warmup": integers(0),
    "decay_fraction": reals(True, right=0.5),
    "max_gradient_norm": reals(True, absent=True, right=1.0),
    "matrix_learning_rate": reals(True, absent=True, right=0.1),
    "betas": {
        "one": ((0.9,),),
        "three": ((0.9, 0.9, 0.9),),
        "above": ((0.9, 1.5),),
        "nan": ((0.9, math.nan),),
        "number": (0.9,),
        "None": (None,),
        "text": ("ab",),
    },
    "optimizer": {k: (k,) for k in ("adam", "AdamW", "")} | {"None": (None,)},
    "schedule": {k: (k,) for k in ("linear", "")} | {"None": (None,)},
}
OF_TRAIN = {
    "checkpoint_steps": {
        "empty": ([],),
        "negative": ([-1],),
        "late": ([999],),
        "floats": ([0.5],),
        "text": ("01",),
        "None": (None,),
        "nan": ([math.nan],),
        "number": (3,),
    },
    "folder": {"None": (None,), "number": (3,), "a file": (__file__,), "nul": ("a\0b",)},
    "save_seconds": {
        "nan": (math.nan,),
        "text": ("1",),
        "None": (None,),
    },
    "loss": {k: v for k, v in losses().items() if k not in ("writes the data", "nan at some", *IN_THE_BATCH)},
    "models": {k: ([v[0]],) for k, v in models().items() if k not in ("frozen", "half")}
    | {"empty": ([],), "none": (None,), "two sizes": (Made(lambda: [problems.network(), nn.Linear(3, 1).double()]),)},
    "stream": {
        "function": (abs,),
        "None": (None,),
        "class": (problems.Waves,),
        "one member": (problems.Waves((0,)),),
        "three": (problems.Waves((0, 1, 2)),),
    },
}
OF_CALIBRATING = {
    k: OF_SAMPLING[k] for k in ("localization", "n_beta", "num_chains", "mask", "data", "loss", "model", "seed")
}
OF_CALIBRATING["loss"] = {k: v for k, v in losses().items() if k not in IN_THE_BATCH}  # a full batch: a function of w
OF_CALIBRATING |= {"fraction": reals(True, right=0.25) | {"4": (4.0,), "5": (5.0,)}, "num_steps": integers(1)}
OF_REFINING = {
    k: v for k, v in OF_SAMPLING.items() if k not in ("mask", "checkpoint", "checkpoint_every", "memory_budget")
}
OF_REFINING |= {
    "masks": {k: ({"part": v[0]},) for k, v in masks().items()} | {"none": (None,), "no masks": ({},), "list": ([],)}
}
OF_ESTIMATING = {
    "discard": reals(False, right=0.25) | {"1.0": (1.0,), "2.0": (2.0,)},
    "draws": {
        "None": (None,),
        "dict": ({},),
        "text": ("x",),
        "array": (np.ones((2, 9)),),
        "no loss": (Made(lambda: problems.draws_of_sample().drop_vars("loss_difference")),),
        "few": (Made(lambda: problems.draws_of_sample().isel(draw=slice(3))),),
        "nan": (Made(lambda: _nan_draws()),),
    },
}
OF_LENS = {
    "num_steps": integers(1),
    "learning_rate": reals(True, right=0.01),
    "momentum": reals(True, right=0.5) | {"1.0": (1.0,)},
    "weight_decay": reals(False, right=0.1),
    "skip": integers(0),
    "vocabulary_sample": {"3": (3,), "2.5": (2.5,), "text": ("9",)},
    "max_gradient_norm": reals(True, absent=True, right=1.0),
    "optimizer": {"adam": ("adam",), "None": (None,)},
}
OF_SMOOTHING = {
    "start": reals(False, right=1.0),
    "end": reals(False, right=3.0),
    "trajectory": {
        "nan": (np.array([[1.0], [math.nan]]),),
        "empty": (np.ones((0, 2)),),
        "text": ("x",),
        "None": (None,),
        "list": ([1.0, "a"],),
        "complex": (np.ones((4, 2)) * 1j,),
        "integers": (np.arange(12).reshape(6, 2) * 100, np.arange(12.0).reshape(6, 2) * 100),
    },
}
OF_POTENTIAL = {
    "W": {
        "nan": (Made(lambda: torch.full((2, 3), math.nan)),),
        "inf": (Made(lambda: torch.full((2, 3), math.inf)),),
        "integers": (Made(lambda: torch.ones(2, 3, dtype=torch.int64)), Made(lambda: torch.ones(2, 3))),
        "shape": (Made(lambda: torch.ones(2, 4)),),
        "list": ([[1.0]],),
    },
    "b": {
        "nan": (Made(lambda: torch.full((3,), math.nan)),),
        "one nan": (Made(lambda: torch.tensor([0.0, math.nan, 1.0])),),
        "inf": (Made(lambda: torch.full((3,), math.inf)),),
    },
}


def _nan_draws():
    draws = problems.draws_of_sample()
    draws.loss_difference[0, 3] = math.nan
    return draws


TABLES = {
    "sample": OF_SAMPLING,
    "sample_many": OF_SAMPLING,
    "refined_llc": OF_REFINING,
    "calibrate": OF_CALIBRATING,
    "local_learning_coefficient": OF_ESTIMATING,
    "TrainingSettings": OF_TRAINING,
    "train": OF_TRAIN,
    "LensTraining": OF_LENS,
    "smooth": OF_SMOOTHING,
    "population_loss": OF_POTENTIAL,
}
CASES = [
    Case(function, argument, label, each[0], tuple(each[1:]))
    for function, table in TABLES.items()
    for argument, values in table.items()
    for label, each in values.items()
    if not (function == "train" and argument == "models" and label == "None")
]


# ------------------------------------------------------------------------------------------------ the calls


def invoke(function: str, changes: dict[str, Any], endless: bool) -> dict:
    """The named function with some arguments changed; what it gives, as `plain`."""
    return globals()[f"_{function}"](changes, endless)


def _sampling(changes: dict, endless: bool) -> dict:
    settings = (ENDLESS if endless else SHORT) | {"progress": False}
    if endless and {"num_draws", "num_burnin"} & set(changes):
        settings = settings | {"num_steps_between_draws": 1000}
    if "loss" in changes:  # of a full batch a loss of the whole batch is a function of w like any other
        settings = settings | {"batch_size": 16}
    return (
        {"model": problems.network(), "data": problems.regression_data(), "loss": problems.squared_error}
        | settings
        | changes
    )


def _sample(changes: dict, endless: bool) -> dict:
    return problems.plain(problems.sample(**_sampling(changes, endless)))


def _sample_many(changes: dict, endless: bool) -> dict:
    arguments = _sampling(changes, endless)
    return problems.plain(problems.sample_many([arguments.pop("model"), problems.network(1)], **arguments))


def _refined_llc(changes: dict, endless: bool) -> dict:
    arguments = {"masks": problems.component_masks(problems.network())} | _sampling(changes, endless)
    return problems.plain(problems.refined_llc(**arguments))


def _calibrate(changes: dict, endless: bool) -> dict:
    from devinterp_core.calibration import calibrate

    arguments = {k: v for k, v in _sampling({}, False).items() if k in ("model", "data", "loss")}
    arguments |= {"num_steps": 10**7 if endless else 10, "num_chains": 2} | changes
    found = calibrate(**arguments)
    return {"step_size": found.step_size, "curvature": found.largest_curvature, "acceptance": found.acceptance}


def _local_learning_coefficient(changes: dict, endless: bool) -> dict:
    from devinterp_core.llc import local_learning_coefficient

    arguments = changes if "draws" in changes else {"draws": problems.draws_of_sample()} | changes
    found = local_learning_coefficient(**arguments)
    return {"mean": found.mean, "standard_error": found.standard_error}


def _TrainingSettings(changes: dict, endless: bool) -> dict:  # noqa: N802  the class's name
    import tempfile

    arguments = {"num_steps": 6, "learning_rate": 0.01}
    if "matrix_learning_rate" in changes or "momentum" in changes:
        arguments["optimizer"] = "muon"
    if "decay_fraction" in changes:
        arguments["schedule"] = "decay"
    settings = problems.TrainingSettings(**arguments | changes)
    with tempfile.TemporaryDirectory() as folder:
        found = problems.contents_of_training(problems.training(folder, settings=settings, checkpoint_steps=[2]))
    return problems.plain({k: v for k, v in found.items() if k != "record"})


def _train(changes: dict, endless: bool) -> dict:
    import tempfile

    settings = problems.TrainingSettings(
        num_steps=10**7 if endless and "checkpoint_steps" not in changes else 6, learning_rate=0.01
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = {
            "models": [problems.network(0), problems.network(1)],
            "stream": problems.Waves(),
            "loss": problems.squared_error,
            "settings": settings,
            "checkpoint_steps": [0],
            "folder": problems.Path(folder),
            "progress": False,
        } | changes
        if len(changes.get("models", []) if isinstance(changes.get("models"), list) else []) == 1:
            arguments["stream"] = problems.Waves((0,))
        return problems.plain(problems.train(**arguments))


def _LensTraining(changes: dict, endless: bool) -> dict:  # noqa: N802  the class's name
    settings = problems.LensTraining(**{"num_steps": 3} | changes)
    lens = problems.TunedLens(problems.reader())
    losses = problems.train_lens(lens, problems.tokens, settings, progress=False)
    return problems.plain({"losses": losses, "weight": lens.weight.detach()})


def _smooth(changes: dict, endless: bool) -> dict:
    from devinterp_core.trajectory.smoothing import smooth

    return {"smoothed": smooth(**{"trajectory": np.arange(12.0).reshape(6, 2), "start": 1.0, "end": 2.0} | changes)}


def _population_loss(changes: dict, endless: bool) -> dict:
    from devinterp_core.tms import population_loss

    return problems.plain({"loss": population_loss(**{"W": torch.ones(2, 3), "b": torch.zeros(3)} | changes)})
