"""Components of a model, each with coordinates of its own, evaluated together; `lockstep` advances their chains.

A chain holds the component's own coordinates, not the model. Inside the vectorised loss they are scattered into the
frozen parameters of their names, and whatever does not depend on them, all layers below for a head, is computed once
for all components. Where one evaluation is long enough to make launching it cheap, each chain goes alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from devinterp_core.vectorized import Evaluator, PerSampleLoss

from .run import Settings
from .target import Batch, Loss, Target, checked_mask, make_target

# Bytes written in one evaluation of the components that are evaluated together: beyond the caches, more is slower.
STACK_BYTES = 128 * 2**20
# Bytes written for one chain of one component from which every chain is evaluated alone: launching then takes no time
# beside the arithmetic, and the products of one model are faster than batched ones.
ALONE_BYTES = 192 * 2**20


@dataclass(frozen=True)
class Component:
    """A part of a model.

    Attributes:
        name: what the caller calls it.
        whole: the problem on the parameters that its mask names.
        target: the problem on its own coordinates alone: `centre` holds those and there is no mask.
        index: where they stand in the flattened parameters `whole.names`.
    """

    name: str
    whole: Target
    target: Target
    index: Tensor


def make_components(
    model: nn.Module,
    data: Batch,
    loss: Loss,
    masks: Mapping[str, Mapping[str, Tensor]],
    n_beta: float | None,
    localization: float,
) -> list[Component]:
    """Validate all masks, then the problem on each.

    Raises:
        ValueError: no masks; a mask that is empty, of another shape or names no parameter, with the component's name;
            as `make_target`.
    """
    if not masks:
        raise ValueError("no masks: give at least one component, name -> {parameter: boolean tensor}")
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        try:
            checked_mask(dict(mask), parameters)
        except (ValueError, TypeError) as error:
            raise type(error)(f"component {name!r}: {error}") from None
    components = []
    for name, mask in masks.items():
        whole = make_target(model, data, loss, n_beta=n_beta, localization=localization, mask=dict(mask))
        everything = torch.ones(whole.num_coordinates, dtype=torch.bool, device=whole.centre.device)
        index = (everything if whole.mask is None else whole.mask).nonzero()[:, 0]
        own = replace(whole, centre=whole.centre[index], mask=None)
        components.append(Component(name, whole, own, index))
    return components


@runtime_checkable
class Stack(Protocol):
    """Components, alike in the number of their coordinates, that advance together."""

    components: list[Component]

    def losses_and_gradient(self, w: Tensor, batch: tuple[Tensor, ...], shared: bool) -> tuple[Tensor, Tensor]:
        """Per-sample losses `[component, chain, sample]` and the gradient of their mean, at `w`, of the same shape as
        `w[component, chain, coordinate]`. All components see one batch `[chain, sample, ...]`, without the dimension
        `chain` if `shared`."""


class ScatteredStack:
    """Components of any model whose masks name the same parameters and have as many coordinates.

    Args:
        components: alike in names and size.
        trace: whether they will be evaluated hundreds of times.
    """

    def __init__(self, components: list[Component], trace: bool):
        self.components, self.trace = components, trace
        self.module = _Scattered(components)
        self.evaluator = Evaluator(self.module, _scattered_losses, ("own",), trace=trace)

    def losses_and_gradient(self, w: Tensor, batch: tuple[Tensor, ...], shared: bool) -> tuple[Tensor, Tensor]:
        flat = w.transpose(0, 1).flatten(1)
        losses, gradients = self.evaluator.losses_and_gradient(flat, batch, shared)
        gradient = gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=1)
        return losses.movedim(2, 0), gradient.view(w.shape[1], w.shape[0], -1).transpose(0, 1)


class OneByOne:
    """Components whose every chain is evaluated alone.

    Args:
        components: alike in names and size.
    """

    def __init__(self, components: list[Component]):
        self.components = components
        self.module = _Scattered(components)

    def losses_and_gradient(self, w: Tensor, batch: tuple[Tensor, ...], shared: bool) -> tuple[Tensor, Tensor]:
        losses, gradient = [], torch.empty_like(w)
        for chain in range(w.shape[1]):
            data = batch if shared else tuple(t[chain] for t in batch)
            for k, index in enumerate(self.module.index):
                with torch.enable_grad():
                    own = w[k, chain].detach().requires_grad_()
                    found = self.module.losses_of(own, index, *data)
                    (gradient[k, chain],) = torch.autograd.grad(found.mean(), own)
                losses.append(found.detach())
        return torch.stack(losses).unflatten(0, (w.shape[1], w.shape[0])).transpose(0, 1), gradient


def stacks_of(components: list[Component], run: Settings, trace: bool) -> list[Stack]:
    """Components of one kind together, as many as are worth evaluating at once."""
    kinds: dict[tuple, list[Component]] = {}
    for component in components:
        kinds.setdefault((component.whole.names, len(component.index)), []).append(component)
    stacks: list[Stack] = []
    for alike in kinds.values():
        written = max(1, _bytes_of_evaluation(alike[0], run))
        if written > ALONE_BYTES * run.num_chains:
            stacks.append(OneByOne(alike))
            continue
        size = max(1, min(len(alike), STACK_BYTES // written))
        stacks += [ScatteredStack(alike[a : a + size], trace) for a in range(0, len(alike), size)]
    return stacks


class Observer(Evaluator):
    """Losses of one component's chains on observed data, at most `chunk` samples at once."""

    def __init__(self, component: Component, chunk: int):
        super().__init__(_Scattered([component]), _scattered_losses, ("own",), trace=False)
        self.chunk = chunk

    def losses(self, w: Tensor, batch: tuple[Tensor, ...], shared: bool) -> Tensor:
        parts = zip(*(t.split(self.chunk) for t in batch), strict=True)
        return torch.cat([super(Observer, self).losses(w, part, shared)[..., 0] for part in parts], dim=1)


class _Scattered(nn.Module):
    """The parameters of several components, `own[component, coordinate]`, as parameters of one module."""

    def __init__(self, components: list[Component]):
        super().__init__()
        whole = components[0].whole
        self.target = components[0].target
        self.loss = PerSampleLoss(whole.model, whole.losses)
        self.own = nn.Parameter(torch.stack([component.target.centre for component in components]))
        self.register_buffer("index", torch.stack([component.index for component in components]))
        self.register_buffer("frozen", whole.centre)
        self.sizes = [shape.numel() for shape in whole.shapes]
        self.vectorises = True

    def losses_of(self, own: Tensor, index: Tensor, *batch: Tensor) -> Tensor:
        """Per-sample losses with one component's coordinates in their places."""
        pieces = self.frozen.scatter(0, index, own).split(self.sizes)
        named = zip(self.target.names, pieces, self.target.shapes, strict=True)
        return functional_call(self.loss, {f"model.{name}": piece.view(shape) for name, piece, shape in named}, batch)


def _scattered_losses(module: _Scattered, *batch: Tensor) -> Tensor:
    """`[sample, component]`; component by component where the loss cannot be vectorised."""
    if module.vectorises:
        try:
            of_all = vmap(module.losses_of, (0, 0, *(None for _ in batch)), out_dims=1, randomness="different")
            return of_all(module.own, module.index, *batch)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            module.vectorises = False
    rows = zip(module.own, module.index, strict=True)
    return torch.stack([module.losses_of(own, index, *batch) for own, index in rows], dim=1)


class _Bytes(TorchDispatchMode):
    """Counts the bytes of all results of tensor operations."""

    written = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.written += sum(t.numel() * t.element_size() for t in tree_leaves(result) if isinstance(t, Tensor))
        return result


def _bytes_of_evaluation(component: Component, run: Settings) -> int:
    """What one evaluation of a component's chains writes, measured on one chain and at most 8 samples."""
    target, num_samples = component.target, run.batch_size or component.target.num_samples
    few = min(num_samples, 8)
    evaluator = Evaluator(_Scattered([component]), _scattered_losses, ("own",), trace=False)
    arguments = target.centre[None], tuple(t[:few] for t in target.data), True
    evaluator.losses_and_gradient(*arguments)  # finds out whether the loss can be vectorised
    with _Bytes() as counter:
        evaluator.losses_and_gradient(*arguments)
    return counter.written * run.num_chains * num_samples // few
