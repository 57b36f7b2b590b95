"""A batch: one tensor, or a tuple of tensors with a common first dimension, in the form that a loss is given it."""

from collections.abc import Callable

from torch import Tensor

Batch = Tensor | tuple[Tensor, ...]


def tensors_of(batch: Batch) -> tuple[Tensor, ...]:
    """The tensors of a batch, whatever its form."""
    return (batch,) if isinstance(batch, Tensor) else batch


def map_batch(function: Callable[[Tensor], Tensor], batch: Batch) -> Batch:
    """`function` of every tensor, in the same form."""
    return function(batch) if isinstance(batch, Tensor) else tuple(function(tensor) for tensor in batch)


def split_batch(batch: Batch, size: int, dim: int = 0) -> list[Batch]:
    """The batch in pieces of at most `size` samples, which lie along `dim`."""
    if isinstance(batch, Tensor):
        return list(batch.split(size, dim))
    return list(zip(*(tensor.split(size, dim) for tensor in batch), strict=True))


def in_form_of(batch: Batch, tensors: tuple[Tensor, ...]) -> Batch:
    """`tensors` as one tensor or as a tuple, whichever `batch` is."""
    return tensors[0] if isinstance(batch, Tensor) else tensors
