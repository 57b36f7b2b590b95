"""`train`: several models of one architecture, trained side by side, with checkpoints in a cache shared by everyone.

A run is keyed by everything that its checkpoints depend on. Whoever asks for it first trains it, whoever asks meanwhile
waits, and whoever asks later reads. A killed run continues from its last saved state, with bit-identical results on one
device.
"""

import dataclasses
import operator
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from devinterp_core.files import remove_leftovers
from devinterp_core.locks import path_of, writing
from devinterp_core.numbers import number
from devinterp_core.vectorized import Evaluator, keep_freed_memory, own_copy

from .checkpoints import LOSSES, RECORD, Checkpoints, read, step_file, write, write_record
from .checks import check_gradient, check_models, check_state
from .key import run_key
from .optimizers import Optimizer
from .randomness import own_randomness, seed_step
from .settings import TrainingSettings

STATE = "state.safetensors"
# Losses are looked at this often for a model that left the finite numbers.
DIVERGENCE_CHECK = 100


@runtime_checkable
class Stream(Protocol):
    """Training data: a dataclass of plain values, called with a step, giving that step's batch of every model.

    The batch is a tuple of tensors `[model, sample, ...]` and depends on nothing but the fields and the step. A stream
    that would repeat itself says after how many steps in an attribute `max_steps`.
    """

    def __call__(self, step: int) -> tuple[Tensor, ...]: ...


def train(
    models: Sequence[nn.Module],
    stream: Stream,
    loss: Callable[[nn.Module, tuple[Tensor, ...]], Tensor],
    settings: TrainingSettings,
    *,
    checkpoint_steps: Sequence[int],
    folder: Path,
    compile: bool = False,
    save_seconds: float = 60.0,
    progress: bool = True,
) -> Checkpoints:
    r"""Train `models`, or read what an earlier call with the same arguments has trained.

    All models advance in one vectorised step; each has its own parameters, optimiser state and batch, so that the
    result is that of separate runs. Device and dtype are those of the models given, which are not modified.

    Args:
        models: their initial parameters; one architecture.
        stream: the batches; a dataclass.
        loss: `(model, batch) -> Tensor[batch]`, per-sample losses, whose mean is minimised.
        settings: optimiser and schedule.
        checkpoint_steps: steps after which parameters are kept, 0 being the start.
        folder: of the cache; the run gets a folder of its own in it.
        compile: run the step through `torch.compile`, for runs of many minutes (see `Evaluator`).
        save_seconds: time between saves of the state from which a killed run continues.
        progress: show a progress bar.

    Returns:
        The checkpoints. A finished run is read without writing anything, also from a read-only cache.

    Raises:
        ValueError: bad settings; models that differ in more than their parameters, that keep state beside them, or
            whose parameters are not of one dtype of full precision; a loss without a gradient, or whose gradient is not
            that of the model; a stream for another number of models or for fewer steps; a damaged file in the cache
            (all before any step is taken); a model whose loss or parameters are not finite.
        OSError: a cache folder that cannot be written (before any step is taken).

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from dataclasses import dataclass
        >>> import torch
        >>> from devinterp_core.train import TrainingSettings
        >>> @dataclass
        ... class Lines:
        ...     num_models: int = 2
        ...
        ...     def __call__(self, step):
        ...         x = torch.randn(2, 8, 1, generator=torch.Generator().manual_seed(step))
        ...         return x, 3 * x
        >>> loss = lambda model, batch: (model(batch[0]) - batch[1]).square().sum(dim=1)
        >>> models = [torch.nn.Linear(1, 1) for _ in range(2)]
        >>> settings = TrainingSettings(num_steps=200, learning_rate=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(models, Lines(), loss, settings, checkpoint_steps=[0, 200], folder=Path(folder))
        ...     round(float(run.model(step=200, index=1).weight.detach()))
        3
    """
    steps = sorted({operator.index(step) for step in checkpoint_steps})
    if not steps or steps[0] < 0 or steps[-1] > settings.num_steps:
        raise ValueError(f"checkpoint_steps must be steps in 0..{settings.num_steps}, got {list(checkpoint_steps)}")
    if not dataclasses.is_dataclass(stream) or isinstance(stream, type):
        raise ValueError(f"the stream must be a dataclass, to be part of a key; got {stream!r}")
    longest = getattr(stream, "max_steps", settings.num_steps)
    if settings.num_steps > longest:
        raise ValueError(f"num_steps is {settings.num_steps}, but the stream repeats itself after {longest} steps")
    if isinstance(models, (Tensor, nn.Module)) or not all(isinstance(model, nn.Module) for model in models):
        raise TypeError(f"models must be a list of torch.nn.Module, got {type(models).__name__}")
    if not models:
        raise ValueError("no models to train")
    folder = path_of("folder, the cache,", folder)
    if not number("save_seconds", save_seconds) >= 0:
        raise ValueError(f"save_seconds must not be negative, got {save_seconds}")
    with own_randomness(next(models[0].parameters()).device):
        first = stream(0)
        check_models(models, first)
        key, description = run_key(models, stream, loss, settings, steps, compile)
        place = folder / key[:24]
        finished = _finished(place, models[0], steps)
        if finished is not None:
            return finished
        remedy = "give a folder= that can, or put the finished run there"
        with writing(place / RECORD, "the run is not in the cache, and its record", remedy, place.with_suffix(".lock")):
            finished = _finished(place, models[0], steps)  # by another process, while this one waited
            if finished is not None:
                return finished
            for name in (RECORD, STATE) if (place / RECORD).exists() else ():
                (place / name).unlink(missing_ok=True)  # files of a finished run were deleted: it is trained anew
            remove_leftovers(place)
            run = _Run(models, stream, loss, settings, place, compile, key, first)
            seconds = run.advance(steps, save_seconds, progress)
            record = {"key": key, "steps": steps, "num_models": len(models), "seconds": seconds, **description}
            write_record(place, record)
            (place / STATE).unlink(missing_ok=True)
            return Checkpoints(place, models[0])


def _finished(place: Path, model: nn.Module, steps: list[int]) -> Checkpoints | None:
    """The finished run in a folder; None if there is none, or if some of its files were deleted."""
    if not all((place / name).exists() for name in (RECORD, LOSSES, *map(step_file, steps))):
        return None
    found = Checkpoints(place, model)
    for step in steps:
        found.load(step)  # whole, or an error now rather than in the middle of an analysis
    found.losses()
    return found


class _Run:
    """The state of a training run."""

    def __init__(
        self,
        models: Sequence[nn.Module],
        stream: Stream,
        loss: Callable,
        settings: TrainingSettings,
        place: Path,
        compile: bool,
        key: str,
        first: tuple[Tensor, ...],
    ):
        keep_freed_memory()
        self.stream, self.settings, self.place, self.key = stream, settings, place, key
        self.w = torch.stack([torch.cat([p.detach().flatten() for p in model.parameters()]) for model in models])
        first = tuple(tensor.to(self.w.device) for tensor in first)
        self.stochastic, self.shapes = check_state(own_copy(models[0]), loss, tuple(t[0] for t in first)), set()
        # The model is a copy: what its forward pass leaves in it is not the caller's.
        self.evaluator = Evaluator(own_copy(models[0]), loss, compile=compile, random=self.stochastic)
        named = zip(self.evaluator.names, self.evaluator.segments, self.evaluator.shapes, strict=True)
        self.segments = [(name, a, b, shape) for name, (a, b), shape in named]
        trained = {name for name, p in models[0].named_parameters() if p.requires_grad}
        segments = [segment for segment in self.segments if segment[0] in trained]
        self.frozen = [(a, b) for name, a, b, _ in self.segments if name not in trained]
        if not self.stochastic:
            coordinates = torch.cat([torch.arange(a, b) for _, a, b, _ in segments]).to(self.w.device)
            own = tuple(tensor[0] for tensor in first)
            check_gradient(own_copy(models[0]), loss, own, self.evaluator.alone, coordinates)
        self.optimizer = Optimizer(self.w, segments, settings)
        self.losses = torch.full((settings.num_steps, len(models)), torch.nan, dtype=self.w.dtype)
        self.step, self.seconds = 0, 0.0
        if (place / STATE).exists():
            self._restore(read(place / STATE, run=key))

    def advance(self, checkpoint_steps: list[int], save_seconds: float, progress: bool) -> float:
        """Train to the end; seconds of it, over all attempts."""
        wanted = {step for step in checkpoint_steps if step >= self.step}
        started = saved = time.monotonic()
        total = self.settings.num_steps
        bar = tqdm(total=total, initial=self.step, disable=not progress, desc="training", unit="step", mininterval=1.0)
        with bar:
            while True:
                if self.step in wanted:
                    write(self.place / step_file(self.step), self._parameters(), self.key)
                if self.step % DIVERGENCE_CHECK == 0 or self.step == total:
                    self._check_finite()
                if self.step == total:
                    break
                seed_step(self.key, self.step, self.w.device)
                batch = tuple(tensor.to(self.w.device) for tensor in self.stream(self.step))
                if self.stochastic:
                    self._prepare(batch)
                    seed_step(self.key, self.step, self.w.device)
                losses, gradients = self.evaluator.losses_and_gradient(self.w, batch, False)
                self.losses[self.step] = losses.mean(1)
                gradient = gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=1)
                for a, b in self.frozen:
                    gradient[:, a:b] = 0.0
                self.optimizer.step(gradient, self.step)
                self.step += 1
                bar.update()
                if time.monotonic() - saved > save_seconds:
                    saved = time.monotonic()
                    self._save(self.seconds + saved - started)
        write(self.place / LOSSES, {"losses": self.losses}, self.key)
        return round(self.seconds + time.monotonic() - started, 1)

    def _prepare(self, batch: tuple[Tensor, ...]) -> None:
        """Evaluate shapes that are new once in vain: the evaluator tries things out then, which draws numbers too."""
        shapes = tuple(tensor.shape for tensor in batch)
        if shapes not in self.shapes:
            self.shapes.add(shapes)
            self.evaluator.losses_and_gradient(self.w, batch, False)

    def _parameters(self) -> dict[str, Tensor]:
        return {name: self.w[:, a:b].reshape(len(self.w), *shape) for name, a, b, shape in self.segments}

    def _check_finite(self) -> None:
        recent = self.losses[max(0, self.step - DIVERGENCE_CHECK) : self.step]
        finite = torch.isfinite(recent).all(0) & torch.isfinite(self.w).all(1).cpu()
        if not finite.all():
            raise ValueError(
                f"the loss or the parameters of models {(~finite).nonzero().flatten().tolist()} are not finite at step "
                f"{self.step}: lower learning_rate (now {self.settings.learning_rate}) or set max_gradient_norm"
            )

    def _save(self, seconds: float) -> None:
        done = {"step": torch.tensor(self.step), "seconds": torch.tensor(seconds), "w": self.w}
        write(self.place / STATE, {**done, "losses": self.losses, **self.optimizer.state()}, self.key)

    def _restore(self, saved: dict[str, Tensor]) -> None:
        self.step, self.seconds = int(saved["step"]), float(saved["seconds"])
        self.w.copy_(saved["w"])
        self.losses.copy_(saved["losses"])
        self.optimizer.restore({k: v for k, v in saved.items() if k.startswith(("adam.", "muon."))})
