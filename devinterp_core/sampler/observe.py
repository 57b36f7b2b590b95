"""What is looked at along the chains beside the loss: further data, and functions of model and data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from devinterp_core.draws import RESERVED
from devinterp_core.vectorized import Batch, Evaluator, kept_random_state, split_batch, tensors_of

from .target import Target, checked_batch

# Samples of observed data evaluated at once, over all chains of a group.
OBSERVE_CHUNK = 65_536


@dataclass(frozen=True)
class Observable:
    """Something observed at every draw.

    Attributes:
        data: a tensor or tuple of tensors; None means the data of the run.
        function: `(model, data) -> Tensor` of any shape, of all data at once; None means the per-sample loss.
        keep: `draws`, every value; or `moments`, the mean and the covariance over each chain's draws, accumulated
            while sampling: `name_mean` (chain, sample) and `name_covariance` (chain, sample, sample).
    """

    data: Batch | None = None
    function: Callable[[nn.Module, Batch], Tensor] | None = None
    keep: Literal["draws", "moments"] = "draws"

    def __post_init__(self) -> None:
        if self.keep not in ("draws", "moments"):
            raise ValueError(f"keep must be 'draws' or 'moments', got {self.keep!r}")
        if self.function is not None and not callable(self.function):
            raise TypeError(f"function must be callable, (model, data) -> Tensor, got {self.function!r}")


Observed = Mapping[str, Batch | Callable[[nn.Module, Batch], Tensor] | Observable]


class Observer:
    """An observable of one run, evaluated at the chains' positions.

    Args:
        observable: with data.
        evaluator: of its function.
        chunk: samples evaluated at once.
    """

    def __init__(self, observable: Observable, evaluator: Evaluator, chunk: int):
        self.keep, self.evaluator, self.chunk = observable.keep, evaluator, max(1, chunk)
        self.data, self.whole = observable.data, observable.function is not None

    def __call__(self, w: Tensor) -> Tensor:
        """Values `[chain, ...]`."""
        if self.whole:
            return self.evaluator.losses(w, self.data, True)
        parts = split_batch(self.data, self.chunk)
        return torch.cat([self.evaluator.losses(w, part, True) for part in parts], dim=1)


def checked_observables(
    target: Target, observe: Observed | None, num_chains: int, budget: int
) -> dict[str, Observable]:
    """Every observable with its data, evaluated once at w*.

    Raises:
        ValueError: reserved names, data that are not finite, a loss or function that fails, is not finite or has
            another shape on them, moments that do not fit into the memory budget.
        TypeError: neither data nor a function.
    """
    if observe is not None and not isinstance(observe, Mapping):
        raise TypeError(f"observe must be a dict of data, functions or Observables, got {type(observe).__name__}")
    found = {}
    for name, given in (observe or {}).items():
        if name in RESERVED or name.endswith(("_mean", "_covariance")):
            raise ValueError(f"observe may not use the names {[name]}")
        if not isinstance(given, Observable):
            is_function = callable(given) and not isinstance(given, Tensor)
            given = Observable(function=given) if is_function else Observable(given)
        if given.data is None and target.own_data:
            raise ValueError(f"observe[{name!r}] needs data of its own: every model has other data")
        data = given.data
        data = target.data if data is None else checked_batch(data, f"observe[{name!r}]", target.centre.device)
        given = Observable(data, given.function, given.keep)
        size = _evaluate_once(target, name, given)
        if given.keep == "moments" and 8 * num_chains * size**2 > budget:
            raise ValueError(
                f"the covariance of observe[{name!r}], {size} values in {num_chains} chains, takes "
                f"{8 * num_chains * size**2 / 2**30:.1f} GiB, more than memory_budget: raise it or observe less"
            )
        found[name] = given
    return found


def _evaluate_once(target: Target, name: str, observable: Observable) -> int:
    """Number of values at one draw."""
    function = target.loss if observable.function is None else observable.function
    evaluator = Evaluator(target.model, function, target.names, trace=False)
    pieces = [observable.data] if observable.function is not None else split_batch(observable.data, 4096)
    size = 0
    for piece in pieces:
        try:
            with kept_random_state(target.centre.device):
                (values,) = evaluator.alone(target.centre.clone(), piece)
        except Exception as error:
            raise ValueError(f"observe[{name!r}] cannot be evaluated at w*: {error}") from error
        if not isinstance(values, Tensor) or not values.isfinite().all():
            raise ValueError(f"observe[{name!r}] is not a finite tensor at w*")
        expected = (len(tensors_of(piece)[0]),)
        if observable.function is None and values.shape != expected:
            raise ValueError(f"the loss on observe[{name!r}] has shape {tuple(values.shape)}, expected {expected}")
        size += values.numel()
    return size
