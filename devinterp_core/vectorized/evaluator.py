"""Losses and gradients of one architecture at many parameter vectors at once: chains of a sampler, models in training.

The parameters are one flat tensor `[model, coordinate]`. The loss is vectorised over models by `torch.func.vmap`, the
sum over models is differentiated once (cheaper than a gradient inside the vmap), and the whole evaluation is traced to
a flat graph of ATen operations, which TorchScript replays without Python, or, where TorchScript does not know an
operation, Python replays without autograd and vmap. Whatever cannot be traced runs untraced. Whatever cannot be
vectorised, or comes out otherwise than model by model, runs model by model, and so does an evaluation so long that
launching it is nothing beside its arithmetic; one that would not fit into memory goes in pieces of the samples.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from .batches import Batch, map_batch, split_batch, tensors_of
from .bytes import bytes_written
from .gradients import check_gradient
from .randomness import kept_random_state
from .tracing import inductor, is_shortage, replay_in_python, torchscript, traced

Loss = Callable[[nn.Module, Batch], Tensor]

# Above this many numbers (models x coordinates) arithmetic dominates and tracing would only cost memory.
TRACE_LIMIT = 8_000_000
# Below this many, one concatenated gradient saves more launches than the copy costs.
CONCATENATE_LIMIT = 1_000_000
# Bytes written by the evaluation of one model from which models are evaluated one by one on a processor: the products
# of one model are then faster than batched ones.
ALONE_BYTES = 192 * 2**20
# Samples from which bytes are counted, and on which the gradient is checked.
FEW = 8


class Evaluator:
    """Per-sample losses and gradients at a flat batch of parameter vectors.

    Args:
        model: the architecture; its parameters that `names` does not list, and its buffers, are constants.
        loss: per-sample losses, `(model, batch) -> Tensor[sample, ...]`; a batch is a tensor or a tuple of tensors.
        names: parameters that make up a vector, in this order; None means all.
        trace: whether gradients will be evaluated often enough (hundreds of times) to repay tracing them.
        compile: whether they will be evaluated so often (thousands of times) that half a minute for `torch.compile`
            is repaid; it needs a C++ compiler, and where there is none the traced graph serves.
        memory: bytes that one evaluation may write; None means no limit.
        random: whether the loss draws random numbers: then nothing is traced and ways are not compared.

    Raises:
        ValueError: at the first gradient, where it is not the gradient of the loss (see `gradients`).
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        names: tuple[str, ...] | None = None,
        trace: bool = True,
        compile: bool = False,
        memory: int | None = None,
        random: bool = False,
    ):
        self.trace, self.memory, self.random = trace and not random, memory, random
        self.compilers = ((inductor,) if compile else ()) + (torchscript, replay_in_python)
        self.names = tuple(name for name, _ in model.named_parameters()) if names is None else names
        self.shapes = [model.get_parameter(name).shape for name in self.names]
        ends = list(itertools.accumulate(shape.numel() for shape in self.shapes))
        self.segments = list(zip([0, *ends[:-1]], ends, strict=True))
        # Copies: whatever a forward pass writes, it never writes into the caller's model.
        self.constants = {f"model.{name}": buffer.detach().clone() for name, buffer in model.named_buffers()} | {
            f"model.{name}": p.detach() for name, p in model.named_parameters() if name not in self.names
        }
        self.module = PerSampleLoss(model, loss)
        self._compiled: dict[tuple, Callable] = {}
        self.vectorises = True  # False once vectorising has failed or given other numbers
        self._checked = False
        self._bytes: dict[str, tuple[float, float]] = {}

    def losses(self, w: Float[Tensor, "model coordinate"], batch: Batch, shared: bool) -> Tensor:
        """Per-sample losses `[model, sample]`; the batch has a leading model dimension unless `shared`."""
        with torch.no_grad():
            return self._call("losses", w, batch, shared)[0]

    def losses_and_gradient(
        self, w: Float[Tensor, "model coordinate"], batch: Batch, shared: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Per-sample losses `[model, sample]` and the gradient of their mean, as column blocks `[model, size]`."""
        losses, *gradients = self._call("gradient", w, batch, shared)
        return losses, [g.reshape(len(w), -1) for g in gradients]

    # ------------------------------------------------------------------ one evaluation, untraced

    def _views(self, w: Tensor) -> list[Tensor]:
        """The parameters of all models, or of one."""
        return [w[..., a:b].view((*w.shape[:-1], *s)) for (a, b), s in zip(self.segments, self.shapes, strict=True)]

    def _named(self, parameters: list[Tensor]) -> dict[str, Tensor]:
        return self.constants | {f"model.{n}": p for n, p in zip(self.names, parameters, strict=True)}

    def alone(self, w: Float[Tensor, " coordinate"], batch: Batch, gradient: bool = False) -> tuple[Tensor, ...]:
        """Per-sample losses of one model and, if wanted, the gradient of their mean, by plain autograd.

        The backward pass runs while the parameters are swapped in: what it computes anew reads these and no others.
        """
        if not gradient:
            with torch.no_grad(), _differentiable_attention():
                return (functional_call(self.module, self._named(self._views(w)), (batch,)),)
        with torch.enable_grad(), _differentiable_attention():
            parameters = [p.detach().requires_grad_() for p in self._views(w)]
            losses, gradients = functional_call(self.module, self._named(parameters), (batch, parameters))
        return losses.detach(), torch.cat([g.reshape(-1) for g in gradients])

    def _one_by_one(self, kind: str, w: Tensor, batch: Batch, shared: bool) -> tuple[Tensor, ...]:
        models = [
            self.alone(w[c], batch if shared else map_batch(lambda t, c=c: t[c], batch), kind == "gradient")
            for c in range(len(w))
        ]
        return tuple(torch.stack(parts) for parts in zip(*models, strict=True))

    def _together(self, kind: str, w: Tensor, batch: Batch, shared: bool) -> tuple[Tensor, ...]:
        def one_model(parameters: list[Tensor], batch: Batch) -> Tensor:
            return functional_call(self.module, self._named(parameters), (batch,))

        every = vmap(one_model, in_dims=(0, None if shared else 0), randomness="different")
        if kind == "losses":
            with _differentiable_attention():
                return (every(self._views(w), batch),)
        with torch.enable_grad(), _differentiable_attention():
            parameters = [p.detach().requires_grad_() for p in self._views(w)]
            losses = every(parameters, batch)
            gradients = torch.autograd.grad(losses.mean(1).sum(), parameters, allow_unused=True)
        gradients = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]
        if w.numel() <= CONCATENATE_LIMIT:
            return losses.detach(), torch.cat([g.reshape(len(w), -1) for g in gradients], dim=1)
        return losses.detach(), *gradients

    # ------------------------------------------------------------------ which way, decided once

    def _call(self, kind: str, w: Tensor, batch: Batch, shared: bool) -> tuple[Tensor, ...]:
        tensors = tensors_of(batch)
        key = (kind, shared, w.shape, *(t.shape for t in tensors))
        if key not in self._compiled:
            self._compiled[key] = self._compile(kind, w, batch, shared)
        return self._compiled[key](w, *tensors)

    def _compile(self, kind: str, w: Tensor, batch: Batch, shared: bool) -> Callable:
        single = isinstance(batch, Tensor)
        num_samples = len(tensors_of(batch)[0]) if shared else tensors_of(batch)[0].shape[1]
        fixed, each = self._bytes_of(kind, w, batch, shared)
        long = kind == "gradient" and len(w) > 1 and w.device.type == "cpu" and fixed + each * num_samples > ALONE_BYTES
        if kind == "gradient" and not self._checked:
            self._check(w, batch, shared, together=not long)
            self._checked = True
        together = self.vectorises and not long
        way = self._together if together else self._one_by_one
        size = self._chunk(fixed, each, len(w) if together else 1, num_samples)

        def plain(w: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
            return way(kind, w, tensors[0] if single else tensors, shared)

        if size < num_samples:
            return _in_pieces(plain, size, 0 if shared else 1, num_samples)
        if together:
            try:
                plain(w, *tensors_of(batch))
            except Exception as error:  # noqa: BLE001  whatever stands in the way of vectorising
                self._fall_back(error)
                return self._compile(kind, w, batch, shared)
        if kind == "gradient" and self.trace and together and w.numel() <= TRACE_LIMIT:
            return traced(plain, w, tensors_of(batch), 0 if shared else 1, self.compilers) or plain
        return plain

    def _check(self, w: Tensor, batch: Batch, shared: bool, together: bool) -> None:
        """Compare the gradient with finite differences, and the vectorised evaluation with that of one model."""
        few = map_batch(lambda t: (t if shared else t[0])[:FEW], batch)
        with kept_random_state(w.device):
            point, found = check_gradient(self.alone, w[0], self.segments, few)
            if self.random or not (together and self.vectorises) or len(w) == 1:
                return
            pair = torch.stack([w[-1], point])
            try:
                losses, *gradients = self._together("gradient", pair, few, True)
            except Exception as error:  # noqa: BLE001
                return self._fall_back(error)
        gradient = torch.cat([g.reshape(2, -1) for g in gradients], dim=1)[1]
        for ours, theirs in zip((losses[1], gradient), found, strict=True):
            scale = float(theirs.abs().max().nan_to_num(1.0))
            if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * scale + 1e-12, equal_nan=True):
                return self._fall_back("vectorised over models it gives other numbers than one model alone")
        return None

    def _fall_back(self, reason: object) -> None:
        if isinstance(reason, Exception) and is_shortage(reason):
            raise reason
        self.vectorises = False
        text = str(reason).strip().split("\n")[0][:120]
        warnings.warn(
            f"this loss cannot be vectorised over models ({text}): they are evaluated one by one, slower, with the "
            "same numbers", UserWarning, stacklevel=2,
        )  # fmt: skip

    def _bytes_of(self, kind: str, w: Tensor, batch: Batch, shared: bool) -> tuple[float, float]:
        """Bytes that the evaluation of one model writes: whatever the samples, and for each of them."""
        if kind == "losses" and self.memory is None:
            return 0.0, 0.0
        if kind not in self._bytes:
            own = batch if shared else map_batch(lambda t: t[0], batch)
            enough = ALONE_BYTES if self.memory is None else min(ALONE_BYTES, self.memory / len(w))
            self._bytes[kind] = bytes_written(lambda few: self.alone(w[0], few, kind == "gradient"), own, FEW, enough)
        return self._bytes[kind]

    def _chunk(self, fixed: float, each: float, num_models: int, num_samples: int) -> int:
        if self.memory is None or (fixed + each * num_samples) * num_models <= self.memory:
            return num_samples
        return max(1, int((self.memory / num_models - fixed) // max(each, 1)))


def _in_pieces(plain: Callable, size: int, dim: int, num_samples: int) -> Callable:
    """The evaluation over pieces of the samples: losses side by side, the mean's gradient as a weighted sum."""

    def evaluate(w: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        losses, total = [], None
        for piece in split_batch(tensors, size, dim):
            own, *gradients = plain(w, *piece)
            losses.append(own)
            weighted = [g.mul_(own.shape[1] / num_samples) for g in gradients]
            total = weighted if total is None else [a.add_(b) for a, b in zip(total, weighted, strict=True)]
        return torch.cat(losses, dim=1), *total

    return evaluate


@contextmanager
def _differentiable_attention() -> Iterator[None]:
    """Without the fused attention of `nn.MultiheadAttention` in eval mode, which has no derivative."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class PerSampleLoss(nn.Module):
    """`loss(model, batch)` as a module: `functional_call` then swaps the parameters wherever the loss reads them.

    Given the swapped parameters, it differentiates the mean loss too, while they are in their places.
    """

    def __init__(self, model: nn.Module, loss: Loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch, parameters: list[Tensor] | None = None):
        losses = self.loss(self.model, batch)
        if parameters is None:
            return losses
        if not losses.requires_grad:
            raise ValueError(
                "no gradient reaches the parameters: does the loss use the model that it is handed, and does it keep "
                "the graph (no detach, no torch.no_grad, no item)?"
            )
        gradients = torch.autograd.grad(losses.mean(0).sum(), parameters, allow_unused=True)
        if all(g is None for g in gradients):
            raise ValueError(
                "no gradient reaches the parameters: the loss does not use the model that it is handed (a model from "
                "outside, or a copy?) or none of the parameters that move"
            )
        return losses, [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]
