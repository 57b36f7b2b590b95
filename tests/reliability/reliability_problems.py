"""Small problems that the areas of the campaign share, one for each thing that can be resumed."""

import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import xarray
from torch import nn

from devinterp_core.lens import ORIGINAL_SGD, LensModel, LensTraining, TunedLens, train_lens
from devinterp_core.llc import refined_llc
from devinterp_core.sampler import sample, sample_many
from devinterp_core.train import TrainingSettings, train
from devinterp_core.transformer import Transformer, TransformerConfig

torch.set_num_threads(1)


def drawn(model: nn.Module, seed: int = 0, scale: float = 0.5) -> nn.Module:
    """`model` with parameters of a seed; nothing global is touched."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(scale * values)
    return model


def network(seed: int = 0) -> nn.Module:
    return drawn(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double(), seed)


def regression_data(n: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    return x, x.sin().sum(1)


def squared_error(model, batch):
    x, y = batch
    return (model(x)[:, 0] - y) ** 2


# ------------------------------------------------------------------------------------------------ resumable things

SAMPLING = {
    "step_size": 1e-4,
    "num_chains": 4,
    "num_draws": 30,
    "num_burnin": 20,
    "num_steps_between_draws": 2,
    "batch_size": 16,
    "seed": 1,
    "progress": False,
    "checkpoint_every": 5,
}


def draws_of_sample(path=None, method="sgld", **changes):
    full = {"batch_size": None} if method == "mala" else {}
    return sample(
        network(), regression_data(), squared_error, **SAMPLING | full | {"method": method} | changes, checkpoint=path
    )


def draws_of_many(path=None, **changes):
    return sample_many(
        [network(0), network(1)], regression_data(), squared_error, **SAMPLING | changes, checkpoint=path
    )


def component_masks(model):
    return {name: {name: torch.ones_like(p, dtype=torch.bool)} for name, p in model.named_parameters()}


def draws_of_refined(path=None, **changes):
    model = network()
    settings = SAMPLING | changes
    if path is None:
        settings.pop("checkpoint_every")
    else:
        settings["checkpoint"] = path
    return refined_llc(model, regression_data(), squared_error, component_masks(model), **settings)


@dataclass(frozen=True)
class Waves:
    """A stream: vectors and a function of them."""

    members: tuple[int, ...] = (0, 1)
    scale: float = 1.0
    seed: int = 0

    def __call__(self, step):
        seeds = [self.seed * 10**6 + 10**4 * member + step for member in self.members]
        x = torch.stack(
            [torch.randn(6, 3, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in seeds]
        )
        return x, self.scale * x.sin().sum(-1)


def training(folder, optimizer="adamw", **changes):
    settings = TrainingSettings(num_steps=40, learning_rate=0.01, optimizer=optimizer)
    arguments = {
        "stream": Waves(),
        "loss": squared_error,
        "settings": settings,
        "checkpoint_steps": [0, 10, 20, 30, 40],
        "save_seconds": 0.0,
        "progress": False,
    } | changes
    return train([network(0), network(1)], folder=Path(folder), **arguments)


def contents_of_training(checkpoints) -> dict:
    """All that a finished training gives back; not how long it took, and on what commit."""
    found = {f"{step} {name}": t for step in checkpoints.steps for name, t in checkpoints.load(step).items()}
    record = {k: v for k, v in checkpoints.record.items() if k in ("steps", "num_models", "settings", "stream", "key")}
    return found | {"losses": checkpoints.losses(), "record": repr(sorted(record.items()))}


def reader(seed: int = 0) -> LensModel:
    config = TransformerConfig(num_layers=2, num_heads=2, d_model=8, num_positions=6, num_tokens=13)
    return LensModel(drawn(Transformer(config), seed, 0.3))


def tokens(step: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(13, (3, 6), generator=torch.Generator().manual_seed(1000 * seed + step))


def lens_training(path=None, recipe="muon", model=None, batches=tokens, **changes):
    """Losses and translators of a training of 12 steps."""
    settings = LensTraining(num_steps=12) if recipe == "muon" else ORIGINAL_SGD
    if recipe != "muon":
        settings = LensTraining(num_steps=12, optimizer="sgd", learning_rate=0.1, max_gradient_norm=1.0)
    lens = TunedLens(reader() if model is None else model)
    arguments = {"state_file": path, "save_seconds": 0.0, "progress": False} | changes
    losses = train_lens(lens, batches, settings, **arguments)
    return {"losses": losses, "weight": lens.weight.detach(), "bias": lens.bias.detach()}


# ------------------------------------------------------------------------------------------------ comparing


def plain(found) -> dict:
    """Draws, trainings and lenses as a dictionary of arrays and texts, to be compared and sent between processes."""
    if isinstance(found, xarray.Dataset):
        attrs = {k: repr(v) for k, v in found.attrs.items()}
        return {name: found[name].values for name in found.variables} | {"attrs": sorted(attrs.items())}
    if not isinstance(found, dict):
        found = contents_of_training(found)
    return {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in found.items()}


def same(left: dict, right: dict) -> bool:
    """Equal to the last bit."""

    def equal(a, b) -> bool:
        if hasattr(a, "dtype"):
            return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        return a == b

    return left.keys() == right.keys() and all(equal(left[k], right[k]) for k in left)


# Everything that saves itself: name -> (call with a path, whether the path is a folder).
RESUMABLE = {
    "sample, sgld": (draws_of_sample, "run.pt"),
    "sample, traced": (lambda path=None: draws_of_sample(path, num_draws=60), "run.pt"),  # a hundred steps and more
    "sample, sgnht": (lambda path=None: draws_of_sample(path, "sgnht"), "run.pt"),
    "sample, rmsprop_sgld": (lambda path=None: draws_of_sample(path, "rmsprop_sgld"), "run.pt"),
    "sample, mala": (lambda path=None: draws_of_sample(path, "mala"), "run.pt"),
    "sample, in groups": (lambda path=None: draws_of_sample(path, memory_budget=700), "run.pt"),
    "sample_many": (draws_of_many, "run.pt"),
    "refined_llc": (draws_of_refined, "run.pt"),
    "train, adamw": (lambda path=None: training(path), "cache"),
    "train, muon": (lambda path=None: training(path, "muon"), "cache"),
    "train_lens, muon": (lens_training, "state.safetensors"),
    "train_lens, sgd": (lambda path=None: lens_training(path, "sgd"), "state.safetensors"),
}


def call(name: str, folder: str) -> dict:
    """The named thing, saving itself in `folder`; what it gave, as `plain`."""
    function, own = RESUMABLE[name]
    return plain(function(Path(folder) / own))
