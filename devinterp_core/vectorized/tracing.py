"""A function of tensors as a flat graph of operations, checked against the function before it is used."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from .graph import simplify


def traced(
    plain: Callable,
    w: Tensor,
    batch: tuple[Tensor, ...],
    sample_dim: int,
    compilers: tuple[Callable, ...] = (),
) -> Callable | None:
    """`plain` as a flat graph of operations, or None where that fails or does not give the same numbers.

    Tracing is an optimisation: any failure falls back to the plain function, but a shortage of memory, after which a
    resumed run would go another way than the first.
    """
    try:
        with torch.no_grad():
            graph = simplify(make_fx(plain)(w, *batch))
    except Exception as error:  # noqa: BLE001
        if is_shortage(error):
            raise
        return None
    # Another point and the samples in another order: a value baked into the graph would show here.
    moved = w + 1e-2 * torch.linspace(-1, 1, w.numel(), dtype=w.dtype, device=w.device).view_as(w)
    cases = [(point, data, plain(point, *data)) for point, data in
             ((w, batch), (moved, tuple(t.flip(sample_dim) for t in batch)))]  # fmt: skip
    for compiled in compilers or (torchscript, replay_in_python):
        try:
            function = compiled(graph, w, batch)

            def replay(w: Tensor, *batch: Tensor, function: Callable = function):
                with torch.no_grad():
                    return function(w, *batch)

            if all(_agree(replay(point, *data), truth) for point, data, truth in cases):
                return replay
        except Exception as error:  # noqa: BLE001  the same
            if is_shortage(error):
                raise
    return None


def is_shortage(error: Exception) -> bool:
    """Whether memory ran out."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)


def torchscript(graph: Callable, w: Tensor, batch: tuple[Tensor, ...]) -> Callable:
    """The graph as a TorchScript function of its own.

    `torch.jit.trace` would enter it as a module in the process's table of types, which keeps .8 MiB a call for ever.
    """
    names = ["w", *(f"batch_{i}" for i in range(len(batch)))]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit announces its retirement at every call
        try:
            found = torch._C._create_graph_by_tracing(
                lambda *tensors: graph(*tensors), (w, *batch), lambda value: "", True, False, None, names
            )
            return torch._C._create_function_from_graph("step", found[0])
        except (AttributeError, TypeError):  # a torch that has these no more
            return torch.jit.trace(graph, (w, *batch), check_trace=False)


def inductor(graph: Callable, w: Tensor, batch: tuple[Tensor, ...]) -> Callable:
    """The graph compiled by `torch.compile`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(graph)
        with torch.no_grad():
            compiled(w, *batch)
    return compiled


def replay_in_python(graph: Callable, w: Tensor, batch: tuple[Tensor, ...]) -> Callable:
    """The graph as it is."""
    return graph


def _agree(left, right) -> bool:
    left, right = ((x,) if isinstance(x, Tensor) else tuple(x) for x in (left, right))
    return len(left) == len(right) and all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max().nan_to_num(1.0)) + 1e-12, equal_nan=True)
        for a, b in zip(left, right, strict=True)
    )
