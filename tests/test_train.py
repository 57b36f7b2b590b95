"""Training side by side against plain PyTorch loops, closed forms of the optimisers, kills, damaged files, and keys."""

import dataclasses
import json
import math
import multiprocessing
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

from devinterp_core.regression import RegressionStream, RegressionTasks, sequence_loss, to_tokens
from devinterp_core.train import Checkpoints, TrainingSettings, log_and_linear_steps, orthogonalize, run, train
from devinterp_core.train.key import run_key
from devinterp_core.train.optimizers import NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, Optimizer, is_matrix
from devinterp_core.transformer import Transformer, TransformerConfig
from devinterp_core.vectorized import Evaluator, keep_freed_memory, stacked_outputs

TYPE_ERRORS = (TypeError, ValueError, jaxtyping.TypeCheckError)  # in tests the annotations are checked first
TINY = TransformerConfig(num_layers=1, num_heads=2, d_model=8, num_positions=4, input_size=3, output_size=2, d_mlp=8)


@dataclass(frozen=True)
class Waves:
    """Vectors and a function of them; what a member gets does not depend on the others."""

    members: tuple[int, ...]
    scale: float = 1.0
    seed: int = 0
    double: bool = True

    def __call__(self, step):
        generators = [torch.Generator().manual_seed(self.seed * 10**6 + 10**4 * m + step) for m in self.members]
        dtype = torch.float64 if self.double else torch.float32
        x = torch.stack([torch.randn(6, 4, 3, generator=g, dtype=dtype) for g in generators])
        return x, self.scale * torch.sin(x[..., :2] + x.cumsum(-2)[..., 1:])


@dataclass(frozen=True)
class Watched(Waves):
    """The same, with a line in a file for every batch after the first; the trainer waits until both have asked."""

    log: str = ""

    def __call__(self, step):
        if step == 0:
            Path(self.log, f"asked-{os.getpid()}").touch()
        else:
            with Path(self.log, "batches").open("a") as file:
                file.write(f"{os.getpid()} {step}\n")
            deadline = time.monotonic() + 120
            while len(list(Path(self.log).glob("asked-*"))) < 2 and time.monotonic() < deadline:
                time.sleep(0.005)
        return super().__call__(step)


@dataclass(frozen=True)
class Ending(Waves):
    """The same, for fewer steps than are asked for."""

    max_steps: ClassVar[int] = 29


@dataclass(frozen=True)
class Forbidden(Waves):
    """A stream that nobody may train on once the marker is there."""

    marker: str = ""

    def __call__(self, step):
        if step and Path(self.marker).exists():
            raise AssertionError("trained again")
        return super().__call__(step)


def squared_error(model, batch):
    x, y = batch
    return (model(x) - y).square().mean((1, 2))


def transformers(count, dtype=torch.float64):
    return [Transformer(TINY, seed=seed).to(dtype) for seed in range(count)]


def networks(count, dtype=torch.float64):
    """Cheaper to trace than a transformer; Muon takes both matrices."""
    return drawn([nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(dtype) for _ in range(count)])


def linears(count, dtype=torch.float64):
    return drawn([nn.Linear(3, 2, dtype=dtype) for _ in range(count)])


def drawn(models):
    for seed, model in enumerate(models):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return models


def flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def short_training(folder, models=None, **changes):
    """A run of 30 steps of two linear models."""
    models = linears(2) if models is None else models
    arguments = {
        "stream": Waves(tuple(range(len(models)))), "loss": squared_error,
        "settings": TrainingSettings(num_steps=30, learning_rate=0.01), "checkpoint_steps": [0, 10, 30],
        "folder": folder, "progress": False,
    } | changes  # fmt: skip
    return train(models, **arguments)


def files(folder):
    """Contents of the run folders below the cache."""
    return {path: path.read_bytes() for path in Path(folder).glob("*/*") if path.is_file()}


# ------------------------------------------------------------------------------------------------ schedules and steps


@pytest.mark.parametrize("num_steps", [5, 6, 7, 10, 33, 500, 1001])
def test_triangle_is_pytorchs_one_cycle(num_steps):
    settings = TrainingSettings(num_steps=num_steps, learning_rate=0.3, schedule="triangle")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    factor = num_steps / 2 - 1
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.3, total_steps=num_steps, pct_start=0.5, anneal_strategy="linear", cycle_momentum=False,
        div_factor=factor, final_div_factor=factor,
    )  # fmt: skip
    for step in range(num_steps):
        assert 0.3 * settings.scale(step) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        if step < num_steps - 1:
            optimizer.step()
            scheduler.step()


def test_warm_up_and_decay():
    constant = TrainingSettings(num_steps=10, learning_rate=1.0, num_warmup=4)
    assert [constant.scale(step) for step in range(10)] == [0.25, 0.5, 0.75] + [1.0] * 7
    decay = TrainingSettings(num_steps=10, learning_rate=1.0, schedule="decay", decay_fraction=0.4)
    assert [decay.scale(step) for step in range(10)] == pytest.approx([1.0] * 7 + [0.75, 0.5, 0.25])
    assert decay.scale(10) == 0
    both = TrainingSettings(num_steps=10, learning_rate=1.0, schedule="decay", decay_fraction=1.0, num_warmup=2)
    assert [both.scale(step) for step in range(10)] == pytest.approx([0.5] + [1 - step / 10 for step in range(1, 10)])
    assert TrainingSettings(num_steps=3, learning_rate=1.0).scale(0) == 1.0


def test_checkpoint_steps_of_the_transient_ridge_paper():
    """2203 of them, as the paper counts, with step 0 and the last step."""
    steps = log_and_linear_steps(150_000, 1000, 1500)
    assert len(steps) == 2203 and steps == sorted(set(steps))
    assert set(range(0, 150_001, 100)) <= set(steps)
    # the exact floor, by integers: s is the floor of T^(j/999) where s^999 <= T^j < (s + 1)^999
    for j, approximate in [(1, 1), (250, 19), (500, 389), (998, 148_221), (999, 150_000)]:
        assert approximate**999 <= 150_000**j < (approximate + 1) ** 999 and approximate in steps
    assert log_and_linear_steps(1000, 4) == [0, 1, 10, 100, 1000]  # powers of ten are not rounded down
    assert log_and_linear_steps(100, 2, 4) == [0, 1, 25, 50, 75, 100]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_steps": 0}, "num_steps"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": math.inf}, "learning_rate"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"schedule": "cosine"}, "schedule"),
        ({"schedule": "triangle", "num_warmup": 3}, "warm-up"),
        ({"schedule": "triangle", "num_steps": 4}, "at least 5"),
        ({"num_warmup": 11}, "num_warmup"),
        ({"decay_fraction": 0.0}, "decay_fraction"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"max_gradient_norm": 0.0}, "max_gradient_norm"),
        ({"momentum": 1.0}, "momentum"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"matrix_learning_rate": 0.0}, "matrix_learning_rate"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(TYPE_ERRORS, match=message):
        TrainingSettings(**({"num_steps": 10, "learning_rate": 0.1} | change))


@pytest.mark.parametrize("arguments", [(0, 3), (10, 1), (10, 3, -1)])
def test_steps_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="num_log >= 2"):
        log_and_linear_steps(*arguments)


# ------------------------------------------------------------------------------------------------ AdamW


def plain_training(model, stream, settings, scales):
    """PyTorch's own AdamW and clipping on the batches of one member: parameters, losses, norms of the gradients."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=settings.betas, eps=settings.eps,
        weight_decay=settings.weight_decay, foreach=False, fused=False,
    )  # fmt: skip
    history, losses, norms = [flat(model)], [], []
    for step in range(settings.num_steps):
        loss = squared_error(model, tuple(tensor[0] for tensor in stream(step))).mean()
        optimizer.zero_grad()
        loss.backward()
        limit = math.inf if settings.max_gradient_norm is None else settings.max_gradient_norm
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), limit)))
        optimizer.param_groups[0]["lr"] = settings.learning_rate * scales[step]
        optimizer.step()
        history.append(flat(model))
        losses.append(loss.detach())
    return torch.stack(history), torch.stack(losses), np.array(norms)


@pytest.mark.parametrize(
    ("architecture", "changes", "scale"),
    [
        (networks, {}, 1.0),
        (networks, {"weight_decay": 0.3, "num_warmup": 10, "betas": (0.8, 0.95), "eps": 1e-3}, 1.0),
        # PyTorch divides by norm + 1e-6; with norms of several thousand that is a difference of 1e-10
        (transformers, {"weight_decay": 0.1, "max_gradient_norm": 3500.0, "num_warmup": 50}, 3000.0),
    ],
    ids=["plain", "decay", "clipped transformer"],
)
def test_three_models_equal_three_plain_adamw_loops(architecture, changes, scale, tmp_path):
    settings = TrainingSettings(**({"num_steps": 50, "learning_rate": 0.01} | changes))
    kept = [0, 1, 7, 50]
    found = train(architecture(3), Waves((0, 1, 2), scale), squared_error, settings, checkpoint_steps=kept,
                  folder=tmp_path, progress=False)  # fmt: skip
    scales = [min(1.0, (step + 1) / settings.num_warmup) if settings.num_warmup else 1.0 for step in range(50)]
    for index, model in enumerate(architecture(3)):
        history, losses, norms = plain_training(model, Waves((index,), scale), settings, scales)
        if settings.max_gradient_norm:  # some steps are clipped and some are not
            assert 5 < (norms > settings.max_gradient_norm).sum() < 45
        for step in kept:
            torch.testing.assert_close(found.vectors(step)[index], history[step], rtol=0, atol=1e-9)
        torch.testing.assert_close(found.losses()[:, index], losses, rtol=1e-9, atol=0)
        assert (history[50] - history[0]).abs().max() > 0.05


def test_a_model_trained_among_others_is_the_model_trained_alone(tmp_path):
    """Muon and clipping could mix models, were a norm or a product taken over all of them."""
    settings = TrainingSettings(num_steps=20, learning_rate=0.02, optimizer="muon", schedule="triangle",
                                max_gradient_norm=0.5)  # fmt: skip
    kwargs = dict(checkpoint_steps=[20], folder=tmp_path, progress=False)
    together = train(networks(3), Waves((0, 1, 2)), squared_error, settings, **kwargs).vectors(20)
    for index, model in enumerate(networks(3)):
        alone = train([model], Waves((index,)), squared_error, settings, **kwargs).vectors(20)
        torch.testing.assert_close(together[index], alone[0], rtol=0, atol=1e-10)
        assert (together[index] - flat(model)).abs().max() > 0.05


def test_the_models_and_the_global_random_state_are_untouched(tmp_path):
    models, state = linears(2), torch.get_rng_state()
    before = [flat(model).clone() for model in models]
    found = short_training(tmp_path, models)
    assert all(torch.equal(flat(model), old) for model, old in zip(models, before, strict=True))
    assert all(p.grad is None for model in models for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found.vectors(0), torch.stack(before))


# ------------------------------------------------------------------------------------------------ Muon


def newton_schulz_of(matrices):
    """The iteration in closed form: an odd polynomial, applied five times to the singular values of G / |G|."""
    left, values, right = np.linalg.svd(np.asarray(matrices), full_matrices=False)
    x = values / np.linalg.norm(values, axis=-1, keepdims=True)
    for _ in range(NEWTON_SCHULZ_STEPS):
        x = NEWTON_SCHULZ[0] * x + NEWTON_SCHULZ[1] * x**3 + NEWTON_SCHULZ[2] * x**5
    return (left * x[..., None, :]) @ right


@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8), (5, 1)])
def test_orthogonalize_is_roughly_the_polar_factor(shape):
    """Singular values of at least 0.02 of the norm end in [0.6, 1.3], with the same singular vectors."""
    generator = torch.Generator().manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(6, *shape, generator=generator, dtype=torch.float64), False)
    values = 0.05 + torch.rand(6, min(shape), generator=generator, dtype=torch.float64)
    matrices = (left * values[:, None]) @ right
    result = orthogonalize(matrices)
    np.testing.assert_allclose(result, newton_schulz_of(matrices), atol=1e-10)
    inner = left.mT @ result @ right.mT  # diagonal where the singular vectors are those of the argument
    singular = inner.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(inner, torch.diag_embed(singular), rtol=0, atol=1e-10)
    assert singular.min() > 0.6 and singular.max() < 1.3
    polar = left @ right
    cosine = (result * polar).sum((1, 2)) / result.norm(dim=(1, 2)) / polar.norm(dim=(1, 2))
    assert cosine.min() > 0.97


def test_orthogonalize_does_not_see_scale_and_keeps_zero():
    matrices = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(orthogonalize(1e5 * matrices), orthogonalize(matrices), rtol=0, atol=1e-10)
    assert torch.equal(orthogonalize(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


SHAPE = (12, 5)  # taller than wide: the factor (12 / 5)^(1/2) of the step is part of the comparison
MUON = TrainingSettings(num_steps=40, learning_rate=0.5, matrix_learning_rate=0.02, optimizer="muon", weight_decay=0.4,
                        num_warmup=5)  # fmt: skip


def muon_history(start, gradients, settings=MUON):
    """Parameters `[step, model, row, column]` of our optimiser for given gradients; the matrix is all there is."""
    w = start.flatten(1).clone()
    optimizer = Optimizer(w, [("weight", 0, w.shape[1], start.shape[1:])], settings)
    history = []
    for step, gradient in enumerate(gradients):
        optimizer.step(gradient.flatten(1).clone(), step)
        history.append(w.reshape(start.shape).clone())
    return torch.stack(history)


def test_muon_equals_its_closed_form():
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    gradients = torch.randn(10, 3, *SHAPE, generator=generator, dtype=torch.float64)
    found = muon_history(start, gradients)
    w, momentum = start.numpy().copy(), np.zeros((3, *SHAPE))
    for step, gradient in enumerate(gradients.numpy()):
        momentum = 0.95 * momentum + 0.05 * gradient
        rate = 0.02 * min(1, (step + 1) / 5)
        update = newton_schulz_of(0.05 * gradient + 0.95 * momentum)
        w = (1 - rate * 0.4) * w - rate * math.sqrt(SHAPE[0] / SHAPE[1]) * update
        np.testing.assert_allclose(found[step], w, atol=1e-10)


def test_muon_agrees_with_pytorchs():
    """PyTorch orthogonalises in bfloat16, with 8 significant bits: each update is off by a percent or so."""
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(3, *SHAPE, generator=generator)
    gradients = torch.randn(10, 3, *SHAPE, generator=generator)
    found = muon_history(start, gradients, dataclasses.replace(MUON, num_warmup=0))
    for index in range(3):
        parameter = nn.Parameter(start[index].clone())
        optimizer = torch.optim.Muon([parameter], lr=0.02, weight_decay=0.4, momentum=0.95)
        for step in range(10):
            parameter.grad = gradients[step, index].clone()
            optimizer.step()
            moved = (parameter.detach() - start[index]).norm()
            assert (found[step, index] - parameter.detach()).norm() < 0.02 * moved


def test_muon_takes_the_matrices_inside_the_network():
    config = dataclasses.replace(TINY, attention_bias=True)
    model = Transformer(config)
    taken = {name for name, p in model.named_parameters() if is_matrix(name, p.shape)}
    assert taken == {f"blocks.0.{n}" for n in ("attn.W_Q", "attn.W_K", "attn.W_V", "attn.W_O", "mlp.W_in", "mlp.W_out")}
    assert model.blocks[0].attn.b_Q.ndim == 2  # a bias with two dimensions stays with AdamW
    tokens = Transformer(TransformerConfig(1, 2, 8, 4, num_tokens=7, positions="shortformer"))
    assert not any(is_matrix(n, p.shape) for n, p in tokens.named_parameters() if not n.startswith("blocks"))
    assert is_matrix("0.weight", torch.Size([3, 2])) and not is_matrix("0.bias", torch.Size([3]))


def test_muon_leaves_the_rest_to_adamw(tmp_path):
    """Parameters outside follow PyTorch's AdamW, fed with the gradients of the same model, to the last digits."""
    settings = TrainingSettings(num_steps=12, learning_rate=0.03, matrix_learning_rate=0.01, optimizer="muon",
                                weight_decay=0.2)  # fmt: skip
    found = train(transformers(2), Waves((0, 1)), squared_error, settings, checkpoint_steps=range(13),
                  folder=tmp_path, progress=False)  # fmt: skip
    model = found.model(0, 1)
    rest = {name: p for name, p in model.named_parameters() if not is_matrix(name, p.shape)}
    optimizer = torch.optim.AdamW(rest.values(), lr=0.03, weight_decay=0.2, foreach=False)
    for step in range(12):
        model.zero_grad()
        squared_error(model, tuple(tensor[1] for tensor in Waves((0, 1))(step))).mean().backward()
        optimizer.step()
        after = found.load(step + 1)
        for name, parameter in model.named_parameters():
            if name in rest:
                torch.testing.assert_close(parameter.detach(), after[name][1], rtol=0, atol=1e-9)
            parameter.data.copy_(after[name][1])


# ------------------------------------------------------------------------------------------------ kill and resume

KILLED = {"num_steps": 300, "learning_rate": 0.01, "num_warmup": 20, "weight_decay": 0.1, "max_gradient_norm": 0.5}


def killed_training(folder, optimizer, save_seconds):
    settings = TrainingSettings(**KILLED, optimizer=optimizer)
    models, stream = networks(2, torch.float32), Waves((0, 1), double=False)
    return train(models, stream, squared_error, settings, checkpoint_steps=range(0, 301, 20), folder=folder,
                 save_seconds=save_seconds, progress=False)  # fmt: skip


def dawdling(target, *args):
    """Run `target`, waiting after each checkpoint but the first: the kill comes before the run ends on any machine."""
    real = run.write

    def write(path, tensors, key):
        real(path, tensors, key)
        if path.name.startswith("step_") and path.name != "step_00000000.safetensors":
            time.sleep(1.0)

    run.write = write  # in a process of its own
    target(*args)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_killed_and_resumed_is_bit_identical(optimizer, tmp_path):
    """Killed with SIGKILL as soon as the checkpoints of steps 20, 40 and 60 appear, saving after every step."""
    whole = killed_training(tmp_path / "whole", optimizer, save_seconds=1e9)
    place = tmp_path / "killed" / whole.folder.name
    fork = multiprocessing.get_context("fork")
    for step in (20, 40, 60):
        process = fork.Process(target=dawdling, args=(killed_training, tmp_path / "killed", optimizer, 0.0))
        process.start()
        while not (place / f"step_{step:08d}.safetensors").exists() and process.is_alive():
            time.sleep(0.002)
        process.kill()
        process.join(300)
        assert process.exitcode == -signal.SIGKILL
        assert (place / "state.safetensors").exists() and not (place / "training.json").exists()
        with pytest.raises(ValueError, match="no finished training run"):
            Checkpoints(place, transformers(1)[0])
    (place / ".left.123.tmp.safetensors").write_bytes(b"half")  # what a kill in the middle of a write leaves
    at_kill = (place / "step_00000020.safetensors").stat().st_mtime_ns
    resumed = killed_training(tmp_path / "killed", optimizer, save_seconds=1e9)
    assert resumed.folder == place
    assert (place / "step_00000020.safetensors").stat().st_mtime_ns == at_kill  # not trained from the start
    for path in whole.folder.glob("*.safetensors"):
        assert path.read_bytes() == (place / path.name).read_bytes(), path.name
    steps = {f"step_{step:08d}.safetensors" for step in range(0, 301, 20)}
    for folder in (whole.folder, place):
        assert {path.name for path in folder.iterdir()} == steps | {"losses.safetensors", "training.json"}


def ask(cache, log, result):
    found = short_training(cache, stream=Watched((0, 1), log=log))
    np.save(result, found.vectors(30).numpy())


def test_of_two_processes_one_trains_and_the_other_reads(tmp_path):
    """The trainer waits at its second batch until both have asked, so that they overlap."""
    fork = multiprocessing.get_context("fork")
    results = [tmp_path / f"{name}.npy" for name in "ab"]
    processes = [fork.Process(target=ask, args=(tmp_path / "cache", str(tmp_path), path)) for path in results]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    assert len(list(tmp_path.glob("asked-*"))) == 2
    steps = [int(line.split()[1]) for line in (tmp_path / "batches").read_text().splitlines()]
    trainers = {line.split()[0] for line in (tmp_path / "batches").read_text().splitlines()}
    assert steps == list(range(1, 30)) and len(trainers) == 1
    np.testing.assert_array_equal(*(np.load(path) for path in results))


# ------------------------------------------------------------------------------------------------ the key

FACTOR = 1.0


def scaled_by(factor):
    return lambda model, batch: factor * squared_error(model, batch)


def scaled_by_a_global(model, batch):
    return FACTOR * squared_error(model, batch)


def sine_error(model, batch):
    return torch.sin(model(batch[0]) - batch[1]).square().mean((1, 2))


def cosine_error(model, batch):
    return torch.cos(model(batch[0]) - batch[1]).square().mean((1, 2))


READ = {"factor": 1.0, "array": np.ones(2), "list": [1.0]}


def scaled_by_a_dict(model, batch):
    return READ["factor"] * squared_error(model, batch)


cosine_error.__qualname__ = "sine_error"  # as in an edited notebook: the same byte code, with another name looked up


class Scaled(nn.Linear):
    """A module whose behaviour is in its code and in a plain attribute."""

    def __init__(self, factor):
        super().__init__(3, 2, dtype=torch.float64)
        self.factor = factor
        with torch.no_grad():
            self.weight.fill_(0.1), self.bias.zero_()

    def forward(self, x):
        return self.factor * super().forward(x)


def key_with(**changes):
    arguments = {
        "models": linears(2), "stream": Waves((0, 1)), "loss": squared_error,
        "settings": TrainingSettings(num_steps=30, learning_rate=0.01), "steps": [0, 30],
    } | changes  # fmt: skip
    return run_key(**arguments)[0]


def test_everything_that_changes_the_result_changes_the_key(monkeypatch):
    settings = TrainingSettings(num_steps=30, learning_rate=0.01)
    others = {
        "nothing": {},
        "learning rate": {"settings": dataclasses.replace(settings, learning_rate=0.02)},
        "optimiser": {"settings": dataclasses.replace(settings, optimizer="muon")},
        "stream's seed": {"stream": Waves((0, 1), seed=1)},
        "initial parameters": {"models": linears(3)[1:]},
        "order of models": {"models": linears(2)[::-1]},
        "dtype": {"models": linears(2, torch.float32)},
        "checkpoint steps": {"steps": [0, 29, 30]},
        "compilation": {"compile": True},
        "loss": {"loss": sine_error},
        "loss, edited": {"loss": cosine_error},
        "captured value": {"loss": scaled_by(2.0)},
        "another captured value": {"loss": scaled_by(3.0)},
        "captured tensor": {"loss": scaled_by(torch.tensor([2.0, 3.0]))},
        "another captured tensor": {"loss": scaled_by(torch.tensor([2.0, 4.0]))},
        "bound argument": {"loss": partial(squared_error)},
        "loss of the library": {"loss": sequence_loss},
        "module": {"models": [Scaled(1.0), Scaled(1.0)]},
        "plain attribute of a module": {"models": [Scaled(2.0), Scaled(2.0)]},
        "global of the loss": {"loss": scaled_by_a_global},
    }
    keys = {name: key_with(**change) for name, change in others.items()}
    assert {name: key_with(**change) for name, change in others.items()} == keys
    # what an edit of a notebook changes without changing a name
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    keys["edited global of the loss"] = key_with(loss=scaled_by_a_global)
    keys["a dict that the loss reads"] = key_with(loss=scaled_by_a_dict)
    for name, value in [("factor", 2.0), ("array", np.array([1.0, 2.0])), ("list", [1.0, 1.0])]:
        monkeypatch.setitem(READ, name, value)
        keys[f"the dict, edited in {name}"] = key_with(loss=scaled_by_a_dict)
    keys["frozen layer"] = key_with(models=[model.requires_grad_(False) for model in linears(2)])
    keys["evaluation mode"] = key_with(models=[model.eval() for model in linears(2)])
    monkeypatch.setattr(Scaled, "forward", lambda self, x: self.factor**2 * nn.Linear.forward(self, x))
    keys["edited module"] = key_with(models=[Scaled(2.0), Scaled(2.0)])
    monkeypatch.setattr(Waves, "__call__", lambda self, step: 2 * (torch.ones(2, 6, 4, 3) * step,))
    keys["edited stream"] = key_with()
    assert len(set(keys.values())) == len(keys)


def test_key_is_the_same_in_another_process(tmp_path):
    """Another hash seed and other addresses: sets of strings and functions inside functions must not show."""
    (tmp_path / "notebook.py").write_text(
        textwrap.dedent("""
        from dataclasses import dataclass
        import torch
        from devinterp_core.regression import RegressionTasks, RegressionStream
        from devinterp_core.train import TrainingSettings
        from devinterp_core.train.key import run_key

        KINDS = ("even", "odd")

        @dataclass(frozen=True)
        class Stream:
            tasks: RegressionTasks
            def __call__(self, step):
                return (torch.zeros(1, 3, 2),)

        def loss(model, batch):
            pick = lambda kind: kind in {"even", "odd", "neither", "both", "all"}
            return model(batch[0]).square().sum(1) * sum(map(pick, KINDS))

        model = torch.nn.Linear(2, 1)
        torch.nn.init.ones_(model.weight), torch.nn.init.zeros_(model.bias)
        settings = TrainingSettings(num_steps=3, learning_rate=0.1)
        key = run_key([model], Stream(RegressionTasks(2, 2, 0.1)), loss, settings, [0, 3])[0]
        print(key)
        """)
    )
    run = subprocess.run(
        [sys.executable, "notebook.py"], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    here = runpy.run_path(str(tmp_path / "notebook.py"), run_name="__main__")
    assert len(here["key"]) == 64 and run.stdout.strip() == here["key"]


def test_what_cannot_be_part_of_a_key_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be part of a key"):
        short_training(tmp_path, loss=scaled_by(np.random.default_rng(0)))


def test_the_same_request_is_read_and_another_is_trained(tmp_path):
    marker = tmp_path / "trained"
    stream = Forbidden((0, 1), marker=str(marker))
    first = short_training(tmp_path / "cache", stream=stream)
    contents = files(tmp_path / "cache")
    marker.touch()
    second = short_training(tmp_path / "cache", stream=stream)
    assert second.folder == first.folder and files(tmp_path / "cache") == contents
    assert torch.equal(first.vectors(30), second.vectors(30))
    with pytest.raises(AssertionError, match="trained again"):
        short_training(tmp_path / "cache", stream=stream, settings=TrainingSettings(30, learning_rate=0.02))


# ------------------------------------------------------------------------------------------------ checkpoints


@pytest.mark.parametrize("name", ["step_00000000", "step_00000010", "step_00000030", "losses"])
@pytest.mark.parametrize("damage", ["half", "empty", "missing"])
def test_a_damaged_file_is_named_and_trained_anew_when_deleted(name, damage, tmp_path):
    whole = short_training(tmp_path)
    contents, path = files(tmp_path), whole.folder / f"{name}.safetensors"
    # A state may be left where a run was killed between its last two acts; it must not be continued from.
    shutil.copy(whole.folder / "losses.safetensors", whole.folder / "state.safetensors")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(contents[path][: len(contents[path]) // 2] if damage == "half" else b"")
        damaged = files(tmp_path)
        with pytest.raises(ValueError, match=f"{path.name} is truncated .* delete it and train again"):
            short_training(tmp_path)
        assert files(tmp_path) == damaged  # nothing was touched
        path.unlink()
    short_training(tmp_path)
    restored = files(tmp_path)
    assert restored.keys() == contents.keys()  # the state is gone
    different = [file.name for file in contents if restored[file] != contents[file]]
    assert set(different) <= {"training.json"}  # which tells the seconds


def test_damaged_files_of_an_unfinished_run_and_of_its_record(tmp_path):
    whole = short_training(tmp_path)
    contents = files(tmp_path)
    (whole.folder / "training.json").write_text('{"steps": [0, 1')
    with pytest.raises(ValueError, match=r"training\.json is damaged .* delete it and train again"):
        short_training(tmp_path)
    (whole.folder / "training.json").unlink()
    state = whole.folder / "state.safetensors"
    state.write_bytes(contents[whole.path(30)][:50])
    with pytest.raises(ValueError, match=r"state\.safetensors is truncated .* delete it and train again"):
        short_training(tmp_path)
    assert state.exists()
    state.unlink()
    assert torch.equal(short_training(tmp_path).vectors(30), whole.vectors(30))
    assert files(tmp_path).keys() == contents.keys()


def test_what_a_run_gives_back(tmp_path):
    found = short_training(tmp_path, linears(2, torch.float32), stream=Waves((0, 1), double=False))
    assert found.steps == [0, 10, 30] and found.num_models == 2
    parameters, vectors = found.load(30), found.vectors(30)
    assert {name: tensor.shape for name, tensor in parameters.items()} == {"weight": (2, 2, 3), "bias": (2, 2)}
    assert torch.equal(vectors, torch.cat([parameters["weight"].reshape(2, 6), parameters["bias"]], dim=1))
    model = found.model(30, 1)
    assert torch.equal(flat(model), vectors[1]) and not torch.equal(vectors[0], vectors[1])
    for index in range(2):  # the loss of a step is that before it, on its own batch
        x, y = (tensor[index] for tensor in Waves((0, 1), double=False)(10))
        expected = squared_error(found.model(10, index), (x, y)).mean().detach()
        assert found.losses()[10, index] == pytest.approx(float(expected), rel=1e-5)
    assert found.losses().shape == (30, 2) and found.losses()[-5:].mean() < found.losses()[:5].mean()
    assert [found.nearest(step) for step in (-1, 4, 6, 19, 21, 999)] == [0, 0, 10, 10, 30, 30]
    record = json.loads((found.folder / "training.json").read_text())
    assert record["settings"]["learning_rate"] == 0.01 and record["stream"]["Waves"]["members"] == [0, 1]
    with pytest.raises(ValueError, match=r"no checkpoint of step 11; there are \[0, 10, 30\]"):
        found.load(11)


def test_export_in_half_precision_is_read_back(tmp_path):
    found = short_training(tmp_path / "cache", linears(2, torch.float32), stream=Waves((0, 1), double=False))
    found.export(tmp_path / "small", [30, 0, 30])
    small = Checkpoints(tmp_path / "small", nn.Linear(3, 2))
    assert small.steps == [0, 30] and small.num_models == 2
    assert small.load(30)["weight"].dtype == torch.float32
    assert torch.equal(small.vectors(30), found.vectors(30).half().float())
    assert not torch.equal(small.vectors(30), found.vectors(30))
    assert Checkpoints(tmp_path / "small", nn.Linear(3, 2, dtype=torch.float64)).vectors(0).dtype == torch.float64
    with pytest.raises(ValueError, match=r"losses\.safetensors is missing"):
        small.losses()
    with pytest.raises(ValueError, match="no checkpoint of step 5"):
        found.export(tmp_path / "other", [5])
    with pytest.raises(ValueError, match="need steps"):
        found.export(tmp_path / "other", [])
    with pytest.raises(ValueError, match="other than"):
        found.export(found.folder, [0])


def test_another_architecture_is_refused(tmp_path):
    found = short_training(tmp_path)
    for other in (nn.Linear(3, 3), nn.Linear(3, 2, bias=False), nn.Sequential(nn.Linear(3, 2))):
        with pytest.raises(ValueError, match="another architecture .*weight|another architecture .*bias"):
            Checkpoints(found.folder, other)


class Scalar(nn.Module):
    """A parameter without dimensions, and a buffer."""

    def __init__(self, buffer=1.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.register_buffer("factor", torch.tensor(buffer, dtype=torch.float64))

    def forward(self, x):
        return self.factor * self.w * x[..., :2]


def test_parameters_without_dimensions_and_buffers(tmp_path):
    found = short_training(tmp_path, [Scalar(2.0), Scalar(2.0)])
    assert found.vectors(30).shape == (2, 1) and found.model(30, 1).w.shape == ()
    with pytest.raises(ValueError, match="same buffers; factor differs"):
        short_training(tmp_path, [Scalar(2.0), Scalar(3.0)])


# ---------------------------------------------------------------------------------------------- what is not a parameter


def test_models_that_differ_beside_their_parameters_are_refused_by_name(tmp_path):
    """In an attribute, in a hook, in the mode, deep inside; a loss over both would be that of the first."""

    def nested(change=lambda module: None):
        model = nn.Sequential(nn.Sequential(Scaled(1.0)))
        change(model[0][0])
        return model

    class Choosing(Scaled):
        pass

    def hooked(module):
        module.register_forward_hook(lambda *call: 2 * call[2])

    changes = {
        r"\.0\.0\.factor: 1\.0 and 2\.0": lambda module: setattr(module, "factor", 2.0),
        r"\.0\.0\.training: True and False": lambda module: module.eval(),
        r"attributes of 0\.0: \['\._forward_hooks'\] are in one only": hooked,
        r"attributes of 0\.0: \['\.extra'\] are in one only": lambda module: setattr(module, "extra", [1]),
        r"\.0\.0\.__class__": lambda module: setattr(module, "__class__", Choosing),
        "requires_grad of .'0.0.bias'": lambda module: module.bias.requires_grad_(False),
    }
    for message, change in changes.items():
        with pytest.raises(ValueError, match=f"models 0 and 1 differ in {message}"):
            short_training(tmp_path, [nested(), nested(change)])
    assert not list(tmp_path.glob("*"))
    same = lambda: nested(lambda module: setattr(module, "notes", {"a": [1, torch.ones(2)], "of": module}))
    short_training(tmp_path, [same(), same()])


class Counting(nn.Linear):
    """Its output depends on how often it was asked."""

    def __init__(self, hidden):
        super().__init__(3, 2, dtype=torch.float64)
        self.hidden, self.asked, self.kept = hidden, 0, [0.0]

    def forward(self, x):
        if self.hidden:
            self.kept[0] += 1.0
        else:
            self.asked += 1
        return super().forward(x) * (1 + self.asked + self.kept[0])


class History:
    """A loss that remembers."""

    def __init__(self):
        self.seen = []

    def __call__(self, model, batch):
        losses = squared_error(model, batch)
        self.seen.append(float(losses.detach().mean()))
        return losses


class BatchFirst(nn.BatchNorm1d):
    def forward(self, x):
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])


@pytest.mark.parametrize(
    ("models", "loss", "message"),
    [
        (lambda: [nn.Sequential(nn.Linear(3, 2), BatchFirst(2)).double()], squared_error,
         r"writes the buffer '1\.running_mean' \(BatchFirst\).*\.eval\(\).*track_running_stats=False"),
        (lambda: [nn.utils.spectral_norm(linears(1)[0])], squared_error, "writes the buffer 'weight_u'"),
        (lambda: [Counting(False)], squared_error, r"changes the attributes \['asked'\]"),
        (lambda: [Counting(True)], squared_error, "another number when it is asked again"),
        (lambda: linears(1), lambda model, batch: random.random() * squared_error(model, batch), "NumPy or Python"),
        (lambda: linears(1), History(), "the loss changes when it is called"),
        (lambda: linears(1), lambda model, batch: batch[0].square().mean((1, 2)), "does not depend on the model"),
        (lambda: linears(1), lambda model, batch: squared_error(model, batch).mean(), "one number a sample"),
        (lambda: linears(1, torch.bfloat16), squared_error, r"or all float64, got \['torch\.bfloat16'\]"),
        (lambda: linears(1, torch.complex64), squared_error, "all be float32, or all float64"),
        (lambda: [nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2).double())], squared_error, "all be float32"),
        (lambda: [linears(1)[0].requires_grad_(False)], squared_error, "nothing to train"),
    ],
)  # fmt: skip
def test_state_and_losses_that_a_checkpoint_would_not_show_are_refused_before_any_step(models, loss, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        short_training(tmp_path, models(), loss=loss)
    assert not list(tmp_path.glob("*/*"))


def test_batch_statistics_without_state_are_trained(tmp_path):
    """What the checkpoint computes in the same mode is what was trained: the loss of the next step is its loss."""
    model = nn.Sequential(nn.Linear(3, 2), BatchFirst(2, track_running_stats=False)).double()
    found = short_training(tmp_path, [model])
    x, y = (tensor[0] for tensor in Waves((0,))(10))
    own = squared_error(found.model(10), (x, y)).mean().detach()
    assert float(own) == pytest.approx(float(found.losses()[10, 0]), rel=1e-9)


class Aliased(nn.Linear):
    """One weight used twice, once through a list that no swap of parameters reaches."""

    def __init__(self):
        super().__init__(3, 2, dtype=torch.float64)
        self.kept = [self.weight]

    def forward(self, x):
        return super().forward(x) + x @ self.kept[0].T


def test_a_step_that_would_not_follow_the_parameters_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not that of the model.*an alias of a weight kept in a list"):
        short_training(tmp_path, [Aliased()])


class Keeping(nn.Linear):
    """Activations are kept to look at."""

    def forward(self, x):
        self.seen = [super().forward(x)]
        return self.seen[0]


def test_a_model_that_keeps_its_activations_is_trained_and_left_alone(tmp_path):
    plain, keeping = linears(1), Keeping(3, 2, dtype=torch.float64)
    keeping.load_state_dict(plain[0].state_dict())
    keeping(torch.ones(1, 3, dtype=torch.float64))
    kept, expected = keeping.seen[0], short_training(tmp_path / "plain", plain)
    found = short_training(tmp_path / "keeping", [keeping])
    assert torch.equal(found.vectors(30), expected.vectors(30)) and keeping.seen[0] is kept
    assert torch.equal(flat(found.model(30)), expected.vectors(30)[0])


# ------------------------------------------------------------------------------------------------ frozen layers


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_what_is_frozen_is_not_trained_and_the_rest_is_as_in_a_plain_loop(optimizer, tmp_path):
    """Weight decay would move a frozen layer without a gradient, and its gradient would count in the clipped norm."""
    settings = TrainingSettings(num_steps=25, learning_rate=0.02, weight_decay=0.3, optimizer=optimizer,
                                max_gradient_norm=0.2)  # fmt: skip
    models = networks(2)
    for model in models:
        model[0].requires_grad_(False)
    found = short_training(tmp_path, models, settings=settings, checkpoint_steps=[25])
    for index, model in enumerate(networks(2)):
        after = found.model(25, index)
        for name, p in model[0].named_parameters():
            assert torch.equal(after[0].get_parameter(name), p)
        if optimizer == "muon":
            assert (after[2].weight - model[2].weight).abs().max() > 0.05
            continue
        plain = torch.optim.AdamW(model[2].parameters(), lr=0.02, weight_decay=0.3, foreach=False)
        for step in range(25):
            plain.zero_grad()
            squared_error(model, tuple(tensor[index] for tensor in Waves((0, 1))(step))).mean().backward()
            norm = torch.cat([p.grad.flatten() for p in model[2].parameters()]).norm()
            for p in model[2].parameters():
                p.grad *= min(1.0, 0.2 / float(norm))
            plain.step()
        torch.testing.assert_close(flat(after), flat(model), rtol=0, atol=1e-10)


# ------------------------------------------------------------------------------------------------ random losses


def dropped(model, batch):
    return squared_error(lambda x: nn.functional.dropout(model(x), 0.3), batch)


def random_training(folder, save_seconds=1e9, models=None):
    models = networks(2) if models is None else models
    settings = TrainingSettings(num_steps=40, learning_rate=0.02)
    return short_training(folder, models, loss=dropped, settings=settings, checkpoint_steps=range(0, 41, 10),
                          save_seconds=save_seconds)  # fmt: skip


def test_one_key_of_a_random_loss_has_one_result_also_resumed(tmp_path):
    models, state = networks(2), torch.get_rng_state()
    first = random_training(tmp_path / "first", models=models)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(5)
    second = random_training(tmp_path / "second")
    place = tmp_path / "third" / first.folder.name
    process = multiprocessing.get_context("fork").Process(
        target=dawdling, args=(random_training, tmp_path / "third", 0.0)
    )
    process.start()
    while not (place / "step_00000010.safetensors").exists() and process.is_alive():
        time.sleep(0.001)
    process.kill()
    process.join(300)
    third = random_training(tmp_path / "third")
    for other in (second, third):
        assert other.folder.name == first.folder.name
        assert torch.equal(other.losses(), first.losses()) and torch.equal(other.vectors(40), first.vectors(40))


def test_masks_are_other_ones_for_each_step_and_model(tmp_path):
    """The parameters do not move, the models and batches are the same: only the masks differ."""
    still = TrainingSettings(num_steps=30, learning_rate=1e-300)
    models = [networks(1)[0] for _ in range(2)]
    losses = short_training(tmp_path, models, stream=Waves((0, 0), seed=0), loss=dropped, settings=still).losses()
    assert len(losses.unique()) == 60


# ------------------------------------------------------------------------------------------------ damaged and read-only


def test_a_flipped_bit_in_any_file_is_refused_and_nothing_is_touched(tmp_path):
    whole, generator = short_training(tmp_path), np.random.default_rng(0)
    for path, content in files(tmp_path).items():
        for bit in generator.integers(0, 8 * len(content), size=40):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=rf"{path.name} is .* delete it and train again"):
                short_training(tmp_path)
            assert path.read_bytes() == damaged
        path.write_bytes(content)
    state = whole.folder / "state.safetensors"
    shutil.copy(whole.path(30), state)
    (whole.folder / "training.json").unlink()
    content = state.read_bytes()
    state.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"state\.safetensors is .* delete it and train again"):
        short_training(tmp_path)


def test_a_finished_training_is_read_from_a_read_only_cache(tmp_path, monkeypatch):
    found = short_training(tmp_path)
    for lock in tmp_path.glob("*.lock"):
        lock.unlink()
    before = sorted(tmp_path.rglob("*"))

    def refuse(*args, **kwargs):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr("devinterp_core.locks.FileLock", refuse)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert torch.equal(short_training(tmp_path).vectors(30), found.vectors(30))
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(OSError, match=r"cannot be written \(Read-only file system\): give a folder="):
        short_training(tmp_path, settings=TrainingSettings(30, learning_rate=0.02))


def test_a_folder_that_cannot_be_made_is_told_before_any_step(tmp_path):
    (tmp_path / "file").write_text("")
    marker = tmp_path / "trained"
    marker.touch()
    with pytest.raises(OSError, match=r"cannot be written .*: give a folder="):
        short_training(tmp_path / "file" / "cache", stream=Forbidden((0, 1), marker=str(marker)))


# ------------------------------------------------------------------------------------------------ errors


def test_a_diverging_run_names_its_models(tmp_path):
    """The second of three models sees targets that overflow; its neighbours are well."""

    def overflowing(model, batch):
        return squared_error(model, batch) * model.bias[0].exp()

    models = linears(3)
    with torch.no_grad():
        models[1].bias.fill_(800.0)
    with pytest.raises(ValueError, match=r"models \[1\] are not finite at step 30: lower learning_rate \(now 0.01\)"):
        short_training(tmp_path, models, loss=overflowing)
    assert not list(tmp_path.glob("*/training.json"))


def test_divergence_is_seen_soon_and_in_the_last_step(tmp_path):
    settings = TrainingSettings(num_steps=5000, learning_rate=0.01)
    rooted = lambda model, batch: (model.bias[0] - model.bias[0].detach()).abs().sqrt() + 0 * model(batch[0])[:, 0, 0]
    with pytest.raises(ValueError, match=r"models \[0, 1\] are not finite at step 100:"):
        short_training(tmp_path, settings=settings, loss=rooted)
    once = TrainingSettings(num_steps=1, learning_rate=0.01)  # the only loss is 0, its gradient is not a number
    with pytest.raises(ValueError, match=r"models \[0, 1\] are not finite at step 1:"):
        short_training(tmp_path, settings=once, loss=rooted, checkpoint_steps=[0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": []}, ValueError, "no models"),
        ({"models": [nn.Linear(3, 2).double(), nn.Linear(3, 2, bias=False).double()]}, ValueError, "one architecture"),
        ({"models": [nn.Linear(3, 2), nn.Linear(3, 2).double()]}, ValueError, "one architecture"),
        ({"models": [Transformer(TINY), Transformer(dataclasses.replace(TINY, activation="gelu"))]}, ValueError,
         "one architecture"),
        ({"stream": Waves((0, 1, 2))}, ValueError, r"batches for \[3, 3\] models, there are 2"),
        ({"stream": lambda step: Waves((0, 1))(step)}, ValueError, "must be a dataclass"),
        ({"stream": Waves}, TYPE_ERRORS, "must be a dataclass|stream"),
        ({"stream": Ending((0, 1))}, ValueError, "num_steps is 30, but the stream repeats itself after 29 steps"),
        ({"checkpoint_steps": []}, ValueError, "checkpoint_steps"),
        ({"checkpoint_steps": [0, 31]}, ValueError, r"steps in 0\.\.30, got \[0, 31\]"),
        ({"checkpoint_steps": [-1]}, ValueError, "checkpoint_steps"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_any_step(change, error, message, tmp_path):
    with pytest.raises(error, match=message):
        short_training(tmp_path, **({"stream": Waves((0, 1))} | change))
    assert not list(tmp_path.glob("*/*"))


# ------------------------------------------------------------------------------------------------ regression streams

TASKS = (RegressionTasks(3, 5, 0.125, num_tasks=2), RegressionTasks(3, 5, 0.125), RegressionTasks(3, 5, 0.125))


def test_a_stream_depends_on_the_step_and_its_fields_only():
    stream = RegressionStream(TASKS, batch_size=4, seed=3)
    torch.randn(5)
    for first, second in zip(stream(7), RegressionStream(TASKS, 4, seed=3)(7), strict=True):
        assert torch.equal(first, second)
    tokens = torch.stack([stream(step)[0] for step in range(50)] + [RegressionStream(TASKS, 4, seed=4)(7)[0]])
    assert len(torch.unique(tokens[:, 0, 0, 0, 1])) == 51  # another step or seed, other numbers
    assert not torch.equal(*stream(0)[0][1:])  # models are independent
    shared = dataclasses.replace(stream, shared=True)(0)[0]
    assert torch.equal(shared[1], shared[2])  # two Gaussian priors on the same numbers
    with pytest.raises(ValueError, match="batch_size >= 1"):
        RegressionStream(TASKS, batch_size=0)
    with pytest.raises(ValueError, match="0 tasks"):
        RegressionStream((), batch_size=2)


def test_a_stream_ends_before_it_repeats_the_next_seed():
    """Batch s (10^6 + 3) + t is that of step t of seed s: one more step would be step 0 of the next seed."""
    stream = RegressionStream(TASKS, batch_size=2, seed=3)
    last = stream(1_000_002)[0]
    for seed, step in [(3, 0), (3, 1), (4, 0), (4, 1)]:
        assert not torch.equal(last, RegressionStream(TASKS, 2, seed=seed)(step)[0])
    for step in (1_000_003, -1):
        with pytest.raises(ValueError, match=rf"step {step} is outside 0\.\.1000002, the steps of seed 3"):
            stream(step)
    settings = TrainingSettings(num_steps=1_000_004, learning_rate=0.1)
    models = [Transformer(TransformerConfig(num_layers=1, num_heads=1, d_model=4, num_positions=10, input_size=4,
                                            output_size=4, d_mlp=4)) for _ in TASKS]  # fmt: skip
    with pytest.raises(ValueError, match="num_steps is 1000004, but the stream repeats itself after 1000003 steps"):
        train(models, stream, sequence_loss, settings, checkpoint_steps=[0], folder=Path("never"), progress=False)
    assert not Path("never").exists()


def test_tokens_and_targets_of_a_stream():
    """Over 400 batches: moments of the model's own prior, to four standard errors."""
    stream = RegressionStream(TASKS, batch_size=64)
    batches = [stream(step) for step in range(400)]
    tokens, targets = (torch.stack(parts).double() for parts in zip(*batches, strict=True))
    assert tokens.shape == (400, 3, 64, 10, 4) and targets.shape == (400, 3, 64, 5)
    inputs = tokens[..., 0::2, 1:]
    assert torch.equal(tokens[..., 1::2, 0], targets)
    assert not tokens[..., 0::2, 0].any() and not tokens[..., 1::2, 1:].any()
    for moment, expected, spread in [(inputs, 0.0, 1.0), (inputs**2, 1.0, 2**0.5)]:
        assert abs(float(moment.mean()) - expected) < 4 * spread / moment.numel() ** 0.5
    t = TASKS[0].task_set().double()
    variances = (float(t.square().sum(1).mean()) + 0.125, 3.125, 3.125)
    for index, variance in enumerate(variances):
        by_sequence = targets[:, index].square().mean(-1).flatten()
        assert abs(float(by_sequence.mean()) - variance) < 4 * float(by_sequence.std()) / len(by_sequence) ** 0.5
    # a finite prior has only its tasks: each sequence is explained by one of them to the noise
    residual = (targets[:, 0, :, None] - (t @ inputs[:, 0].mT)).square().mean(-1).min(-1).values
    assert 0.1 < float(residual.mean()) < 0.13


class Constant(nn.Module):
    """Outputs that are known."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, inputs):
        assert inputs.shape == self.outputs.shape
        return self.outputs


def test_sequence_loss_in_numpy():
    tokens, targets = (tensor[0] for tensor in RegressionStream(TASKS, batch_size=4)(0))
    outputs = torch.randn(4, 10, 4, generator=torch.Generator().manual_seed(0))
    found = sequence_loss(Constant(outputs), (tokens, targets))
    expected = np.zeros(4)
    for sequence in range(4):
        for k in range(5):
            error = float(outputs[sequence, 2 * k, 0]) - float(tokens[sequence, 2 * k + 1, 0])
            expected[sequence] += error**2 / 5
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_transformer_trained_on_one_task_learns_it(tmp_path):
    """With one task the posterior knows it: the loss falls from |t|^2 + s^2 towards s^2 = 0.125."""
    tasks = (RegressionTasks(2, 4, 0.125, num_tasks=1), RegressionTasks(2, 4, 0.125, num_tasks=1, task_seed=5))
    config = TransformerConfig(num_layers=1, num_heads=2, d_model=8, num_positions=8, input_size=3, output_size=3)
    models = [Transformer(config, seed=seed) for seed in range(2)]
    settings = TrainingSettings(num_steps=300, learning_rate=0.03, schedule="triangle")
    found = train(models, RegressionStream(tasks, 32), sequence_loss, settings, checkpoint_steps=[0, 300],
                  folder=tmp_path, progress=False)  # fmt: skip
    for index, task in enumerate(tasks):
        start, end = found.losses()[:20, index].mean(), found.losses()[-50:, index].mean()
        assert start > 0.6 * float(task.root_task.square().sum()) and end < 0.3
        inputs, targets = task.draw(500, seed=1)
        tokens = to_tokens(task.draw(500, seed=1))
        with torch.no_grad():
            fresh = sequence_loss(found.model(300, index), (tokens, targets)).mean()
        assert 0.1 < fresh < 0.3


# ------------------------------------------------------------------------------------------------ vectorised evaluation


def stacked(models):
    return torch.stack([flat(model) for model in models])


@pytest.mark.parametrize("compiler", ["graph", "none"])
def test_compiled_evaluation_gives_the_same_numbers(compiler, monkeypatch):
    """Everything around the C++ compiler, which itself takes 16 CPU-seconds; and where there is none, the fall-back."""
    compiled = []

    def substitute(graph):
        if compiler == "none":
            raise RuntimeError("no C++ compiler")
        compiled.append(graph)
        return real(graph, backend="eager")

    real = torch.compile
    monkeypatch.setattr(torch, "compile", substitute)
    models = networks(2)
    w = stacked(models)
    evaluate = {c: Evaluator(models[0], squared_error, compile=c) for c in (True, False)}
    for step in range(2):
        batch = Waves((0, 1))(step)
        (losses, gradients), (plain_losses, plain_gradients) = (
            evaluate[c].losses_and_gradient(w, batch, False) for c in (True, False)
        )
        torch.testing.assert_close(losses, plain_losses, rtol=1e-10, atol=0)
        torch.testing.assert_close(torch.cat(gradients, 1), torch.cat(plain_gradients, 1), rtol=1e-10, atol=1e-12)
    assert len(compiled) == (compiler == "graph")  # one shape, compiled once


@pytest.mark.parametrize("shared", [True, False])
def test_losses_and_gradients_are_those_of_autograd(shared):
    """Traced, in blocks and in one piece, at parameters other than those that were traced."""
    models = networks(3)
    evaluator = Evaluator(models[0], squared_error)
    assert evaluator.losses_and_gradient(stacked(models) + 1, Waves((0, 1, 2))(0), False)[0].shape == (3, 6)
    batch = Waves((0, 1, 2))(1)
    given = tuple(tensor[0] for tensor in batch) if shared else batch
    losses, gradients = evaluator.losses_and_gradient(stacked(models), given, shared)
    assert torch.equal(evaluator.losses(stacked(models), given, shared), losses)
    for index, model in enumerate(models):
        own = squared_error(model, given if shared else tuple(tensor[index] for tensor in batch))
        own.mean().backward()
        torch.testing.assert_close(losses[index], own.detach(), rtol=1e-12, atol=0)
        expected = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        torch.testing.assert_close(torch.cat(gradients, 1)[index], expected, rtol=0, atol=1e-13)


def test_stacked_outputs_are_those_of_the_models_one_by_one():
    models = transformers(3)
    names = [name for name, _ in models[0].named_parameters()]
    parameters = {name: torch.stack([model.get_parameter(name).detach() for model in models]) for name in names}
    inputs = Waves((0, 1, 2))(0)[0]
    own = stacked_outputs(models[0], parameters, inputs, shared=False)
    same = stacked_outputs(models[0], parameters, inputs[0])
    assert not own.requires_grad
    for index, model in enumerate(models):
        torch.testing.assert_close(own[index], model(inputs[index]).detach(), rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(same[index], model(inputs[0]).detach(), rtol=1e-12, atol=1e-13)
    with pytest.raises(ValueError, match="inputs are for 2 models, parameters for 3"):
        stacked_outputs(models[0], parameters, inputs[:2], shared=False)


def test_freed_memory_stays_with_the_process():
    """48 tensors of 2 MB at a time, 10 times: 245,000 pages of 4 kB, which without the call are faults each time.

    glibc's thresholds are held at their defaults; left alone they move with what happened to be freed before.
    """
    source = """
        import json, resource, torch
        from devinterp_core.vectorized import keep_freed_memory
        def faults():
            loop = lambda: [torch.zeros(2**19) for _ in range(48)]
            loop()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(10):
                loop()
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        before, kept = faults(), keep_freed_memory()
        print(json.dumps([before, kept, faults()]))
    """
    held = {f"MALLOC_{name}_THRESHOLD_": str(2**17) for name in ("MMAP", "TRIM")}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], check=True, capture_output=True, text=True, timeout=300,
        env=os.environ | held | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    before, kept, after = json.loads(result.stdout)
    assert keep_freed_memory() is kept
    if kept:
        assert before > 200_000 and after < before / 10, (before, after)
