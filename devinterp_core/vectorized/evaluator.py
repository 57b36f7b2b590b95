"""Losses and gradients of one architecture at many parameter vectors at once: chains of a sampler, models in training.

The parameters are one flat tensor `[model, coordinate]`. The loss is vectorised over models by `torch.func.vmap`, the
sum over models is differentiated once (cheaper than a gradient inside the vmap), and the whole evaluation is traced to
a flat graph of ATen operations, which TorchScript replays without Python, or, where TorchScript does not know an
operation, Python replays without autograd and vmap. Whatever cannot be traced runs untraced, and whatever cannot be
vectorised (data-dependent Python branches) runs model by model: slower, the same numbers.
"""

import itertools
import warnings
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from .graph import simplify

# Above this many numbers (models x coordinates) arithmetic dominates and tracing would only cost memory.
TRACE_LIMIT = 8_000_000
# Below this many, one concatenated gradient saves more launches than the copy costs.
CONCATENATE_LIMIT = 1_000_000


class Evaluator:
    """Per-sample losses and gradients at a flat batch of parameter vectors.

    Args:
        model: the architecture; its parameters that `names` does not list, and its buffers, are constants.
        loss: per-sample losses, `(model, *batch) -> Tensor[batch]`.
        names: parameters that make up a vector, in this order; None means all.
        trace: whether gradients will be evaluated often enough (hundreds of times) to repay tracing them.
        compile: whether they will be evaluated so often (thousands of times) that half a minute for `torch.compile`
            is repaid; it needs a C++ compiler, and where there is none the traced graph serves.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[..., Tensor],
        names: tuple[str, ...] | None = None,
        trace: bool = True,
        compile: bool = False,
    ):
        self.trace, self.compilers = trace, ((_inductor,) if compile else ()) + (_torchscript, _python)
        self.names = tuple(name for name, _ in model.named_parameters()) if names is None else names
        self.shapes = [model.get_parameter(name).shape for name in self.names]
        ends = list(itertools.accumulate(shape.numel() for shape in self.shapes))
        self.segments = list(zip([0, *ends[:-1]], ends, strict=True))
        # Buffers are copied: a train-mode batch-norm may write its running statistics, never the caller's.
        self.constants = {f"model.{name}": buffer.detach().clone() for name, buffer in model.named_buffers()} | {
            f"model.{name}": p.detach() for name, p in model.named_parameters() if name not in self.names
        }
        self.module = PerSampleLoss(model, loss)
        self._compiled: dict[tuple, Callable] = {}
        self._vectorises = True

    def losses(self, w: Float[Tensor, "model coordinate"], batch: tuple[Tensor, ...], shared: bool) -> Tensor:
        """Per-sample losses `[model, sample]`; the batch has a leading model dimension unless `shared`."""
        with torch.no_grad():
            return self._call("losses", self._losses, w, batch, shared)

    def losses_and_gradient(
        self, w: Float[Tensor, "model coordinate"], batch: tuple[Tensor, ...], shared: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Per-sample losses `[model, sample]` and the gradient of their mean, as column blocks `[model, size]`."""
        losses, *gradients = self._call("gradient", self._losses_and_gradient, w, batch, shared)
        return losses, [g.reshape(len(w), -1) for g in gradients]

    # ------------------------------------------------------------------ one evaluation, untraced

    def _views(self, w: Tensor) -> list[Tensor]:
        return [w[:, a:b].view(len(w), *shape) for (a, b), shape in zip(self.segments, self.shapes, strict=True)]

    def _vectorised(self, parameters: list[Tensor], batch: tuple[Tensor, ...], shared: bool) -> Tensor:
        def one_model(own_parameters: list[Tensor], own_batch: tuple[Tensor, ...]) -> Tensor:
            values = {f"model.{n}": p for n, p in zip(self.names, own_parameters, strict=True)}
            return functional_call(self.module, {**self.constants, **values}, tuple(own_batch))

        if self._vectorises:
            return vmap(one_model, in_dims=(0, None if shared else 0), randomness="different")(parameters, batch)
        return torch.stack(
            [
                one_model([p[c] for p in parameters], batch if shared else tuple(t[c] for t in batch))
                for c in range(len(parameters[0]))
            ]
        )

    def _losses(self, w: Tensor, batch: tuple[Tensor, ...], shared: bool) -> Tensor:
        return self._vectorised(self._views(w), batch, shared)

    def _losses_and_gradient(self, w: Tensor, batch: tuple[Tensor, ...], shared: bool) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            parameters = [p.detach().requires_grad_() for p in self._views(w)]
            losses = self._vectorised(parameters, batch, shared)
            gradients = torch.autograd.grad(losses.mean(1).sum(), parameters, allow_unused=True)
        gradients = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]
        if w.numel() <= CONCATENATE_LIMIT:
            return losses.detach(), torch.cat([g.reshape(len(w), -1) for g in gradients], dim=1)
        return losses.detach(), *gradients

    # ------------------------------------------------------------------ traced, with fall-backs

    def _call(self, kind: str, function: Callable, w: Tensor, batch: tuple[Tensor, ...], shared: bool):
        key = (kind, shared, w.shape, *(t.shape for t in batch))
        if key not in self._compiled:
            self._compiled[key] = self._compile(kind, function, w, batch, shared)
        return self._compiled[key](w, *batch)

    def _compile(self, kind: str, function: Callable, w: Tensor, batch: tuple[Tensor, ...], shared: bool) -> Callable:
        def plain(w: Tensor, *batch: Tensor):
            return function(w, batch, shared)

        try:
            plain(w, *batch)
        except RuntimeError as error:
            if not self._vectorises or "vmap" not in str(error):
                raise
            self._vectorises = False  # data-dependent control flow: model by model
            plain(w, *batch)
        traceable = kind == "gradient" and self.trace and self._vectorises and w.numel() <= TRACE_LIMIT
        if not traceable:
            return plain
        return traced(plain, w, batch, 0 if shared else 1, self.compilers) or plain


class PerSampleLoss(nn.Module):
    """`loss(model, *batch)` as a module: `functional_call` then swaps the parameters wherever the loss reads them."""

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *batch: Tensor) -> Tensor:
        return self.loss(self.model, *batch)


def traced(
    plain: Callable,
    w: Tensor,
    batch: tuple[Tensor, ...],
    sample_dim: int,
    compilers: tuple[Callable, ...] = (),
) -> Callable | None:
    """`plain` as a flat graph of operations, or None where that fails or does not give the same numbers."""
    try:
        with torch.no_grad():
            graph = simplify(make_fx(plain)(w, *batch))
    except Exception:  # noqa: BLE001  tracing is an optimisation: any failure falls back to the plain function
        return None
    # Another point and the samples in another order: a value baked into the graph would show here.
    moved = w + 1e-2 * torch.linspace(-1, 1, w.numel(), dtype=w.dtype, device=w.device).view_as(w)
    cases = [(point, data, plain(point, *data)) for point, data in
             ((w, batch), (moved, tuple(t.flip(sample_dim) for t in batch)))]  # fmt: skip
    for compiled in compilers or (_torchscript, _python):
        try:
            function = compiled(graph, w, batch)

            def replay(w: Tensor, *batch: Tensor, function: Callable = function):
                with torch.no_grad():
                    return function(w, *batch)

            if all(_agree(replay(point, *data), truth) for point, data, truth in cases):
                return replay
        except Exception:  # noqa: BLE001  the same
            continue
    return None


def _torchscript(graph: Callable, w: Tensor, batch: tuple[Tensor, ...]) -> Callable:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit announces its retirement at every call
        return torch.jit.trace(graph, (w, *batch), check_trace=False)


def _inductor(graph: Callable, w: Tensor, batch: tuple[Tensor, ...]) -> Callable:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(graph)
        with torch.no_grad():
            compiled(w, *batch)
    return compiled


def _python(graph: Callable, w: Tensor, batch: tuple[Tensor, ...]) -> Callable:
    return graph


def _agree(left, right) -> bool:
    left, right = ((x,) if isinstance(x, Tensor) else tuple(x) for x in (left, right))
    return len(left) == len(right) and all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max().nan_to_num(1.0)) + 1e-12, equal_nan=True)
        for a, b in zip(left, right, strict=True)
    )
