"""How many bytes an evaluation writes: a measure of its length and an upper bound of its memory."""

from collections.abc import Callable

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .batches import Batch, map_batch, tensors_of
from .randomness import kept_random_state


class _Bytes(TorchDispatchMode):
    """Counts the bytes of all results of tensor operations, views included."""

    written = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.written += sum(t.numel() * t.element_size() for t in tree_leaves(result) if isinstance(t, Tensor))
        return result


def bytes_written(evaluate: Callable[[Batch], object], batch: Batch, few: int) -> tuple[float, float]:
    """Bytes that `evaluate` writes whatever the number of samples, and for each of them.

    Measured on `few` samples and on half of them; the random state stays as it is.
    """
    counts = []
    size = min(few, len(tensors_of(batch)[0]))
    with kept_random_state(tensors_of(batch)[0].device):
        for samples in {size, max(1, size // 2)}:
            with _Bytes() as counter:
                evaluate(map_batch(lambda t, samples=samples: t[:samples], batch))
            counts.append((samples, counter.written))
    (less, first), (more, last) = min(counts), max(counts)
    each = (last - first) / (more - less) if more > less else last / more
    return max(0.0, last - each * more), each
