r"""The localised, tempered posterior that every method of `devinterp_core.sampler` samples.

$$p(w) \propto \exp\{-n\beta\, L_n(w) - \tfrac{\gamma}{2} \lVert w - w^*\rVert^2\}$$

restricted to the coordinates of a mask; all other coordinates stay at $w^*$.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Batch = Tensor | tuple[Tensor, ...]
Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Target:
    """A validated problem: what is sampled, around which point, at which temperature.

    Attributes:
        model: a private copy of the caller's model (parameters shared, never written).
        loss: per-sample losses, `(model, batch) -> Tensor[batch]`.
        data: tuple of tensors with a common first dimension $n$.
        single: whether the caller's data was one tensor rather than a tuple.
        names: sampled parameters, in `named_parameters` order.
        shapes: their shapes.
        centre: $w^*$ of the sampled parameters, flattened and concatenated.
        mask: which coordinates move; `None` means all.
        n_beta: $n\\beta$.
        localization: $\\gamma$.
        centres: $w^*$ of several models whose chains advance together; None where there is one model.
        chains_of_model: consecutive chains that belong to one model.
        own_data: whether each model has its own data set; `data` then holds them one after the other.
    """

    model: nn.Module
    loss: Loss
    data: tuple[Tensor, ...]
    single: bool
    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    centre: Float[Tensor, " coordinate"]
    mask: Bool[Tensor, " coordinate"] | None
    n_beta: float
    localization: float
    centres: Float[Tensor, "model coordinate"] | None = None
    chains_of_model: int = 1
    own_data: bool = False

    @property
    def num_models(self) -> int:
        return 1 if self.centres is None else len(self.centres)

    @property
    def num_samples(self) -> int:
        """Samples of one data set."""
        return len(self.data[0]) // (self.num_models if self.own_data else 1)

    def model_of(self, chains: Tensor) -> Tensor:
        """The model to which each chain belongs."""
        return chains // self.chains_of_model if self.num_models > 1 else torch.zeros_like(chains)

    @property
    def num_coordinates(self) -> int:
        return self.centre.numel()

    @property
    def dimension(self) -> int:
        """Number of coordinates that move."""
        return self.num_coordinates if self.mask is None else int(self.mask.sum())

    def batch(self, tensors: tuple[Tensor, ...]) -> Batch:
        """The form of a batch that the caller's loss expects."""
        return tensors[0] if self.single else tensors

    def losses(self, model: nn.Module, *tensors: Tensor) -> Tensor:
        """Per-sample losses of a batch given as separate tensors."""
        return self.loss(model, self.batch(tensors))


def as_tensors(data: Batch, name: str, device: torch.device) -> tuple[Tensor, ...]:
    """Check that `data` is a tensor or a tuple of finite tensors of one length, and move it to `device`."""
    tensors = (data,) if isinstance(data, Tensor) else tuple(data)
    if not tensors or not all(isinstance(t, Tensor) for t in tensors):
        raise TypeError(f"{name} must be a tensor or a non-empty tuple of tensors, got {type(data).__name__}")
    if any(t.ndim == 0 for t in tensors) or len({len(t) for t in tensors}) > 1:
        raise ValueError(
            f"the tensors of {name} must share their first dimension, got {[tuple(t.shape) for t in tensors]}"
        )
    if len(tensors[0]) == 0:
        raise ValueError(f"{name} is empty")
    for t in tensors:
        if t.is_floating_point() and not torch.isfinite(t).all():
            raise ValueError(f"{name} holds NaN or infinite values ({int((~torch.isfinite(t)).sum())} of {t.numel()})")
    return tuple(t.to(device) for t in tensors)


def make_target(
    model: nn.Module,
    data: Batch,
    loss: Loss,
    *,
    n_beta: float | None = None,
    localization: float = 1.0,
    mask: dict[str, Tensor] | None = None,
    train_mode: bool = False,
) -> Target:
    r"""Validate a problem before any long work starts.

    Args:
        model: any module; its floating-point parameters give $w^*$, device and dtype.
        data: a tensor, or a tuple of tensors with a common first dimension $n$.
        loss: `(model, batch) -> Tensor[batch]`, per-sample losses.
        n_beta: $n\beta$; `None` means $n / \log n$.
        localization: $\gamma \ge 0$.
        mask: parameter name to boolean tensor of its shape; unnamed parameters stay frozen. `None`: every parameter
            that requires a gradient.
        train_mode: keep the model's train/eval flags instead of switching dropout and batch-norm to eval mode.

    Raises:
        ValueError: NaN or infinite data or parameters, n = 1 with the default n_beta, an empty mask, unknown names in
            the mask, a mask of another shape, a loss of the wrong shape or not finite at $w^*$.
        TypeError: data or mask that are not tensors.
    """
    parameters = dict(model.named_parameters())
    if mask is None:
        chosen = {name: None for name, p in parameters.items() if p.requires_grad}
        if not chosen:
            raise ValueError("the model has no parameter that requires a gradient: nothing to sample")
    else:
        chosen = checked_mask(mask, parameters)
    names = tuple(name for name in parameters if name in chosen)
    first = parameters[names[0]]
    if any(parameters[n].dtype != first.dtype or parameters[n].device != first.device for n in names):
        raise ValueError("all sampled parameters must share one dtype and one device")
    centre = torch.cat([parameters[n].detach().reshape(-1) for n in names])
    if not torch.isfinite(centre).all():
        raise ValueError("the model's parameters hold NaN or infinite values")
    flat_mask = None
    if mask is not None and not all(bool(chosen[n].all()) for n in names):
        flat_mask = torch.cat([chosen[n].reshape(-1) for n in names]).to(first.device)

    tensors = as_tensors(data, "data", first.device)
    n = len(tensors[0])
    if n_beta is None:
        if n < 2:
            raise ValueError("n = 1: the default n_beta = n / log n is infinite; give more data or an explicit n_beta")
        n_beta = n / math.log(n)
    if not (math.isfinite(n_beta) and n_beta > 0):
        raise ValueError(f"n_beta must be positive and finite, got {n_beta}")
    if not (math.isfinite(localization) and localization >= 0):
        raise ValueError(f"localization must be zero or positive, got {localization}")

    # A private copy of the structure: parameters are shared (memo), so this is cheap, and flags can be switched.
    private = copy.deepcopy(model, {id(p): p for p in model.parameters()})
    if not train_mode:
        private.eval()
    target = Target(
        model=private,
        loss=loss,
        data=tensors,
        single=isinstance(data, Tensor),
        names=names,
        shapes=tuple(parameters[n].shape for n in names),
        centre=centre,
        mask=flat_mask,
        n_beta=float(n_beta),
        localization=float(localization),
    )
    _check_loss(target)
    return target


def checked_mask(mask: dict[str, Tensor], parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    unknown = sorted(set(mask) - set(parameters))
    if unknown:
        raise ValueError(f"mask names no parameter of the model: {unknown}; parameters are {sorted(parameters)}")
    for name, m in mask.items():
        if not isinstance(m, Tensor) or m.dtype != torch.bool:
            raise TypeError(f"mask[{name!r}] must be a boolean tensor")
        if m.shape != parameters[name].shape:
            raise ValueError(
                f"mask[{name!r}] has shape {tuple(m.shape)}, the parameter {tuple(parameters[name].shape)}"
            )
    chosen = {name: m for name, m in mask.items() if bool(m.any())}
    if not chosen:
        raise ValueError("the mask is empty: no coordinate would move")
    return chosen


def _check_loss(target: Target) -> None:
    size = min(target.num_samples, 4)
    with torch.no_grad():
        losses = target.loss(target.model, target.batch(tuple(t[:size] for t in target.data)))
    if not isinstance(losses, Tensor) or losses.shape != (size,):
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(
            f"loss(model, batch) must return per-sample losses of shape ({size},) for {size} samples, got {got}"
        )
    if not torch.isfinite(losses).all():
        raise ValueError("the loss at the model's own parameters is NaN or infinite")
