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


def bytes_written(
    evaluate: Callable[[Batch], object], batch: Batch, few: int, enough: float = 0.0
) -> tuple[float, float]:
    """Bytes that `evaluate` writes whatever the number of samples, and for each of them.

    Measured on `few` samples and on half of them; where the first of these shows that the whole batch writes fewer than
    `enough` bytes, an upper bound, `(0, bytes / few)`, does. The random state stays as it is.
    """
    num_samples = len(tensors_of(batch)[0])
    size = min(few, num_samples)

    def count(samples: int) -> int:
        with _Bytes() as counter:
            evaluate(map_batch(lambda t: t[:samples], batch))
        return counter.written

    with kept_random_state(tensors_of(batch)[0].device):
        more = count(size)
        if size == 1 or more / size * num_samples <= enough:
            return 0.0, more / size
        less = count(size // 2)
    each = (more - less) / (size - size // 2)
    return max(0.0, more - each * size), each
