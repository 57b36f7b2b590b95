r"""The localised, tempered posterior that every method of `devinterp_core.sampler` samples.

$$p(w) \propto \exp\{-n\beta\, L_n(w) - \tfrac{\gamma}{2} \lVert w - w^*\rVert^2\}$$

restricted to the coordinates of a mask; all other coordinates stay at $w^*$.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from devinterp_core.numbers import number
from devinterp_core.vectorized import Batch, Loss, private_copy, tensors_of

from .checks import check_loss

# Sixteen bits do not hold a step beside its parameter, and a posterior over complex numbers is not defined here.
DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Target:
    """A validated problem: what is sampled, around which point, at which temperature.

    Attributes:
        model: a private copy of the caller's model (parameters shared, never written).
        loss: per-sample losses, `(model, batch) -> Tensor[batch]`.
        data: a tensor or a tuple of tensors with a common first dimension $n$, as the loss takes batches of it.
        names: sampled parameters, in `named_parameters` order.
        shapes: their shapes.
        centre: $w^*$ of the sampled parameters, flattened and concatenated.
        mask: which coordinates move; `None` means all.
        n_beta: $n\\beta$.
        localization: $\\gamma$.
        centres: $w^*$ of several models whose chains advance together; None where there is one model.
        chains_of_model: consecutive chains that belong to one model.
        own_data: whether each model has its own data set; `data` then holds them one after the other.
        random: whether the loss draws random numbers.
        coupled: whether a sample's loss depends on the other samples of its batch, which then is always all data.
    """

    model: nn.Module
    loss: Loss
    data: Batch
    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    centre: Float[Tensor, " coordinate"]
    mask: Bool[Tensor, " coordinate"] | None
    n_beta: float
    localization: float
    centres: Float[Tensor, "model coordinate"] | None = None
    chains_of_model: int = 1
    own_data: bool = False
    random: bool = False
    coupled: bool = False

    @property
    def num_models(self) -> int:
        return 1 if self.centres is None else len(self.centres)

    @property
    def num_samples(self) -> int:
        """Samples of one data set."""
        return len(tensors_of(self.data)[0]) // (self.num_models if self.own_data else 1)

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


def check_model(model: object) -> None:
    """Refuse what is no module, or one whose parameters are not there or cannot be exchanged.

    Raises:
        TypeError: no module, or a scripted one.
        ValueError: parameters without values.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, its parameters being w*, got {type(model).__name__}")
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TypeError("a scripted module cannot exchange its parameters: give the module before torch.jit.script")
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter) or parameter.is_meta:
            raise ValueError(f"the parameter {name} has no values yet: run the model once, or load its weights")


def checked_batch(data: object, name: str, device: torch.device) -> Batch:
    """Check that `data` is a tensor or a tuple of finite tensors of one length, and move it to `device`."""
    if not isinstance(data, (Tensor, tuple, list)):
        raise TypeError(
            f"{name} must be a tensor or a tuple of tensors with a common first dimension, got {type(data).__name__}: "
            "read a data loader into tensors first"
        )
    tensors = (data,) if isinstance(data, Tensor) else tuple(data)
    if not tensors or not all(isinstance(t, Tensor) for t in tensors):
        raise TypeError(f"{name} must be a tensor or a non-empty tuple of tensors, got {type(data).__name__}")
    if any(t.ndim == 0 for t in tensors) or len({len(t) for t in tensors}) > 1:
        raise ValueError(
            f"the tensors of {name} must share their first dimension, got {[tuple(t.shape) for t in tensors]}"
        )
    if len(tensors[0]) == 0:
        raise ValueError(f"{name} is empty")
    if any(t.is_meta for t in tensors):
        raise ValueError(f"{name} holds tensors without values (of the meta device)")
    for t in tensors:
        if (t.is_floating_point() or t.is_complex()) and not torch.isfinite(t).all():
            bad = ~torch.isfinite(t)
            first = int(bad.flatten(1).any(1).nonzero()[0]) if t.ndim > 1 else int(bad.nonzero()[0])
            raise ValueError(
                f"{name} holds NaN or infinite values ({int(bad.sum())} of {t.numel()}, the first in sample {first})"
            )
    moved = tuple(t.detach().to(device) for t in tensors)
    return moved[0] if isinstance(data, Tensor) else moved


def make_target(
    model: nn.Module,
    data: Batch,
    loss: Loss,
    *,
    n_beta: float | None = None,
    localization: float = 1.0,
    mask: Mapping[str, Tensor] | None = None,
    train_mode: bool = False,
    batch_size: int | None = None,
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
        batch_size: of minibatches; None where every evaluation is of all data.

    Raises:
        ValueError: NaN or infinite data or parameters, parameters of other types than float32 and float64, n = 1 with
            the default n_beta, an empty mask, unknown names in the mask, a mask of another shape; a loss of the wrong
            shape or not finite at $w^*$, that does not use the model, keeps a state, writes into parameters, or whose
            value for a sample depends on the other samples of its minibatch.
        TypeError: data or mask that are not tensors, a scripted module.
    """
    check_model(model)
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
    if first.dtype not in DTYPES:
        raise ValueError(
            f"the sampled parameters are {first.dtype}; chains need float32 or float64, since a step is far smaller "
            "than a parameter: give a copy of the model in float32 (copy.deepcopy(model).float())"
        )
    centre = torch.cat([parameters[n].detach().reshape(-1) for n in names])
    if not torch.isfinite(centre).all():
        raise ValueError("the model's parameters hold NaN or infinite values")
    flat_mask = None
    if mask is not None and not all(bool(chosen[n].all()) for n in names):
        flat_mask = torch.cat([chosen[n].reshape(-1) for n in names]).to(first.device)

    batch = checked_batch(data, "data", first.device)
    n = len(tensors_of(batch)[0])
    if n_beta is None:
        if n < 2:
            raise ValueError("n = 1: the default n_beta = n / log n is infinite; give more data or an explicit n_beta")
        n_beta = n / math.log(n)
    n_beta, localization = number("n_beta", n_beta), number("localization", localization)
    if not (math.isfinite(n_beta) and n_beta > 0):
        raise ValueError(f"n_beta must be positive and finite, got {n_beta}")
    if not (math.isfinite(localization) and localization >= 0):
        raise ValueError(f"localization must be zero or positive, got {localization}")
    if batch_size is not None and batch_size > n:
        raise ValueError(f"batch_size {batch_size} exceeds the {n} samples of data")

    private = private_copy(model)
    if not train_mode:
        private.eval()
    random, coupled = check_loss(private, loss, names, centre, flat_mask, batch, batch_size)
    return Target(
        model=private,
        loss=loss,
        data=batch,
        names=names,
        shapes=tuple(parameters[n].shape for n in names),
        centre=centre,
        mask=flat_mask,
        n_beta=n_beta,
        localization=localization,
        random=random,
        coupled=coupled,
    )


def masked_target(target: Target, model: nn.Module, mask: Mapping[str, Tensor]) -> Target:
    """The same problem on the coordinates of another, checked, mask."""
    parameters = dict(model.named_parameters())
    names = tuple(name for name in parameters if name in mask)
    flat = torch.cat([mask[name].reshape(-1) for name in names]).to(target.centre.device)
    return replace(
        target,
        names=names,
        shapes=tuple(parameters[name].shape for name in names),
        centre=torch.cat([parameters[name].detach().reshape(-1) for name in names]),
        mask=None if bool(flat.all()) else flat,
    )


def checked_mask(mask: Mapping[str, Tensor], parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """The parts of a mask in which something moves.

    Raises:
        ValueError: an empty mask, unknown names, another shape.
        TypeError: no boolean tensor.
    """
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
