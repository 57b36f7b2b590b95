"""Training of all translators of a tuned lens at once, streamed and resumable."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from devinterp_core.content import content_key
from devinterp_core.locks import path_of, writing
from devinterp_core.train.checkpoints import read, write
from devinterp_core.vectorized import keep_freed_memory

from .lenses import TunedLens
from .recipe import LensTraining, optimizer_of

Batches = Callable[[int], Int[Tensor, "batch position"]]


def train_lens(
    lens: TunedLens,
    batches: Batches,
    settings: LensTraining,
    *,
    state_file: str | os.PathLike | None = None,
    save_seconds: float = 60.0,
    progress: bool = True,
) -> Float[Tensor, "step layer"]:
    r"""Minimise $\sum_l \mathbb{E}\,\mathrm{KL}(\mathrm{model} \,\|\, \mathrm{TunedLens}_l(h_l))$ in place.

    A step runs the model once on its batch, and all layers together; the hidden states of one batch and the logits of
    one chunk of one layer are all that is in memory.

    Args:
        lens: the lens, with the model whose layers it reads.
        batches: step to the tokens of its batch; it must give the same tokens for the same step.
        settings: optimiser and schedule.
        state_file: where the state is kept every `save_seconds` and at the end; a call that finds the state of the same
            training there continues from it, with bit-identical results on one device. The same: settings, initial
            lens, the model with all that it computes with, and the tokens of every batch so far, which are drawn again
            to be compared.
        save_seconds: time between saves.
        progress: show a progress bar.

    Returns:
        Mean divergence of each step and layer in nats per token, before the step.

    Raises:
        ValueError: tokens that the model does not know; a state file of another training, or a damaged one (both before
            any step is taken); a divergence that is not finite.
        OSError: a state file that cannot be written (before any step is taken).
    """
    keep_freed_memory()
    first = batches(0)
    lens.model.check_tokens(first)
    if first.shape[1] <= settings.skip:
        raise ValueError(f"sequences of {first.shape[1]} tokens have none left after skipping {settings.skip}")
    path = None if state_file is None else path_of("state_file", state_file)
    run = _Run(lens, settings, None if path is None else _key(lens, settings))
    if path is None:
        return _advance(run, batches, None, save_seconds, progress)
    if path.exists() and not path.is_dir():
        run.restore(read(path), path)
        _check_batches(run, batches, first, path)
        if run.step == settings.num_steps:  # also from where nothing can be written
            return _advance(run, batches, None, save_seconds, progress)
    with writing(path, "the state file"):
        if path.exists():  # another process may have gone on meanwhile
            run.restore(read(path), path)
        return _advance(run, batches, path, save_seconds, progress)


def _advance(
    run: "_Run", batches: Batches, path: Path | None, save_seconds: float, progress: bool
) -> Float[Tensor, "step layer"]:
    """To the last step, saved on the way if there is a path."""
    saved, total = time.monotonic(), run.settings.num_steps
    with tqdm(total=total, initial=run.step, disable=not progress, desc="lens", unit="step", mininterval=1.0) as bar:
        while run.step < total:
            run.advance(batches(run.step))
            bar.update()
            if path is not None and (run.step == total or time.monotonic() - saved > save_seconds):
                write(path, run.state())
                saved = time.monotonic()
    run.copy_to_lens()
    return run.losses


def lens_gradient(
    lens: TunedLens,
    weight: Float[Tensor, "layer out in"],
    bias: Float[Tensor, "layer out"],
    hidden: Float[Tensor, "state n d_model"],
    chunk: int | None = None,
    *,
    vocabulary_sample: int | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, " layer"], Float[Tensor, "layer out in"], Float[Tensor, "layer out"]]:
    """Mean divergence of each layer, and the gradient of their sum with respect to all translators.

    Args:
        lens: whose readout is used.
        weight: translators, as in `TunedLens`.
        bias: their biases.
        hidden: all hidden states of some tokens, the last being the teacher.
        chunk: tokens at a time; None chooses by memory. The result does not depend on it beyond rounding, unless the
            vocabulary is sampled.
        vocabulary_sample: see `LensTraining`; divergences and gradients are then estimates.
        generator: of the sample.
    """
    readout, num_layers, count = lens.model.readout, len(weight), hidden.shape[1]
    weight, bias = weight.detach().requires_grad_(), bias.detach().requires_grad_()
    losses, gradients = weight.new_zeros(num_layers), (torch.zeros_like(weight), torch.zeros_like(bias))
    for part in hidden.split(chunk or readout.chunk_size(), dim=1):
        teacher = readout.teacher(part[-1], mass=vocabulary_sample is not None)
        reader = readout if vocabulary_sample is None else readout.sampled(teacher.mass, vocabulary_sample, generator)
        states = part[:-1]
        with torch.enable_grad():
            translated = states + torch.baddbmm(bias[:, None], states, weight.mT)  # [layer, n, d_model]
            divergences = torch.stack([reader.divergence(state, teacher) for state in translated]).sum(1) / count
            own = torch.autograd.grad(divergences.sum(), (weight, bias))  # not of the model's parameters
        losses += divergences.detach()
        for gradient, part_gradient in zip(gradients, own):
            gradient += part_gradient
    return losses, *gradients


class _Run:
    """The state of a training: translator and bias of a layer are one row of `w`."""

    def __init__(self, lens: TunedLens, settings: LensTraining, key: Tensor | None):
        self.lens, self.settings, self.step = lens, settings, 0
        self.w = torch.cat([lens.weight.detach().flatten(1), lens.bias.detach()], dim=1)
        self.losses = torch.full((settings.num_steps, len(self.w)), torch.nan)
        self.optimizer = optimizer_of(self.w, lens.model.d_model, settings)
        self.key = key
        self.digests = torch.zeros(settings.num_steps, 32, dtype=torch.uint8)  # of the tokens of each step

    def views(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Translators and biases in a tensor like `w`."""
        width = self.lens.model.d_model
        return w[:, : width * width].view(-1, width, width), w[:, width * width :]

    def advance(self, tokens: Tensor) -> None:
        """One step on one batch."""
        settings = self.settings
        self.digests[self.step] = _digest(tokens)
        states = self.lens.model.hidden_states(tokens)
        hidden = torch.stack([state[:, settings.skip :].flatten(0, 1) for state in states])
        drawn = int(np.random.SeedSequence([settings.seed, self.step]).generate_state(1)[0])
        losses, weight, bias = lens_gradient(
            self.lens, *self.views(self.w), hidden,
            vocabulary_sample=settings.vocabulary_sample, generator=torch.Generator().manual_seed(drawn),
        )  # fmt: skip
        if not losses.isfinite().all():
            raise ValueError(
                f"the divergence of layers {(~losses.isfinite()).nonzero().flatten().tolist()} is not finite at step "
                f"{self.step}: lower learning_rate (now {self.settings.learning_rate})"
            )
        gradient = torch.cat([weight.flatten(1), bias], dim=1)
        if self.settings.max_gradient_norm is not None:
            gradient *= (self.settings.max_gradient_norm / gradient.norm().clamp_min(1e-30)).clamp_max(1.0)
        self.losses[self.step] = losses
        self.optimizer.step(gradient, self.step)
        self.step += 1

    def copy_to_lens(self) -> None:
        """Give the lens its new parameters."""
        weight, bias = self.views(self.w)
        with torch.no_grad():
            self.lens.weight.copy_(weight)
            self.lens.bias.copy_(bias)

    def state(self) -> dict[str, Tensor]:
        """Everything from which the training continues."""
        done = {"key": self.key, "step": torch.tensor(self.step), "losses": self.losses, "w": self.w,
                "batches": self.digests}  # fmt: skip
        return done | {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()}

    def restore(self, saved: dict[str, Tensor], path: Path) -> None:
        """Continue where `state` was taken."""
        if "key" not in saved or not torch.equal(saved["key"], self.key):
            raise ValueError(
                f"{path} holds the state of another training (other settings, model or initial lens): name another "
                "state_file, or delete it"
            )
        self.step = int(saved["step"])
        self.w.copy_(saved["w"])
        self.losses.copy_(saved["losses"])
        self.digests.copy_(saved["batches"])
        inner = {k.removeprefix("optimizer."): v for k, v in saved.items() if k.startswith("optimizer.")}
        self.optimizer.restore(inner)


def _key(lens: TunedLens, settings: LensTraining) -> Tensor:
    """What the training depends on but for its batches: the model counts as a whole, not only its readout."""
    seen = lens.model
    own = (settings, lens.weight.detach(), lens.bias.detach(), str(seen.device), seen.readout.hash())
    return torch.frombuffer(bytearray.fromhex(content_key(own, seen.model)), dtype=torch.uint8)


def _digest(tokens: Tensor) -> Tensor:
    content = repr((tuple(tokens.shape), tokens.dtype)).encode() + tokens.cpu().contiguous().numpy().tobytes()
    return torch.frombuffer(bytearray(hashlib.sha256(content).digest()), dtype=torch.uint8)


def _check_batches(run: _Run, batches: Batches, first: Tensor, path: Path) -> None:
    """Compare the tokens of the steps that were taken with those of the same steps now."""
    for step in range(run.step):
        if not torch.equal(run.digests[step], _digest(batches(step) if step else first)):
            raise ValueError(
                f"{path} holds the state of another training (other tokens in the batch of step {step}): name another "
                "state_file, or delete it"
            )
