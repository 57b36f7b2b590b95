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

from devinterp_core.vectorized import Batch, Evaluator, Loss, PerSampleLoss, kept_random_state, map_batch
from devinterp_core.vectorized.bytes import bytes_written
from devinterp_core.vectorized.gradients import check_gradient

from .settings import Settings
from .target import Target, check_model, checked_mask, make_target, masked_target

# Bytes written in one evaluation of the components that are evaluated together: beyond the caches, more is slower.
STACK_BYTES = 128 * 2**20


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
    batch_size: int | None = None,
) -> list[Component]:
    """Validate all masks, then the problem.

    Raises:
        ValueError: no masks; a mask that is empty, of another shape or names no parameter, with the component's name;
            as `make_target`.
    """
    if not masks:
        raise ValueError("no masks: give at least one component, name -> {parameter: boolean tensor}")
    check_model(model)
    parameters = dict(model.named_parameters())
    checked = {}
    for name, mask in masks.items():
        try:
            checked[name] = checked_mask(dict(mask), parameters)
        except (ValueError, TypeError) as error:
            raise type(error)(f"component {name!r}: {error}") from None
    union = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in parameters.items()}
    for mask in checked.values():
        for name, part in mask.items():
            union[name] = union[name] | part
    every = make_target(model, data, loss, n_beta=n_beta, localization=localization, mask=union, batch_size=batch_size)
    components = []
    for name, mask in checked.items():
        whole = masked_target(every, model, mask)
        everything = torch.ones(whole.num_coordinates, dtype=torch.bool, device=whole.centre.device)
        index = (everything if whole.mask is None else whole.mask).nonzero()[:, 0]
        own = replace(whole, centre=whole.centre[index], mask=None)
        components.append(Component(name, whole, own, index))
    return components


@runtime_checkable
class Stack(Protocol):
    """Components, alike in the number of their coordinates, that advance together."""

    components: list[Component]

    def losses_and_gradient(self, w: Tensor, batch: Batch, shared: bool) -> tuple[Tensor, Tensor]:
        """Per-sample losses `[component, chain, sample]` and the gradient of their mean, at `w`, of the same shape as
        `w[component, chain, coordinate]`. All components see one batch `[chain, sample, ...]`, without the dimension
        `chain` if `shared`."""


class ScatteredStack:
    """Components of any model whose masks name the same parameters and have as many coordinates.

    Args:
        components: alike in names and size.
        trace: whether they will be evaluated hundreds of times.
        memory: bytes that an evaluation may write; None means no limit.
    """

    def __init__(self, components: list[Component], trace: bool, memory: int | None = None):
        self.components = components
        target = components[0].target
        memory = None if target.coupled else memory
        self.evaluator = Evaluator(
            Scattered(components), scattered_losses, ("own",), trace=trace, memory=memory, random=target.random
        )

    def losses_and_gradient(self, w: Tensor, batch: Batch, shared: bool) -> tuple[Tensor, Tensor]:
        flat = w.transpose(0, 1).flatten(1)
        losses, gradients = self.evaluator.losses_and_gradient(flat, batch, shared)
        gradient = gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=1)
        return losses.movedim(2, 0), gradient.view(w.shape[1], w.shape[0], -1).transpose(0, 1)


class WholeStack:
    """Components of a model whose backward pass computes anew what the forward pass did (recomputed activations).

    The parameters have to stay in their places until the gradient is there, so that the whole model is differentiated
    and the component's coordinates are taken from its gradient.

    Args:
        components: alike in names and size.
        trace: whether they will be evaluated hundreds of times.
        memory: bytes that an evaluation may write; None means no limit.
    """

    def __init__(self, components: list[Component], trace: bool, memory: int | None = None):
        self.components, whole = components, components[0].whole
        memory = None if whole.coupled else memory
        self.evaluator = Evaluator(
            whole.model, whole.loss, whole.names, trace=trace, memory=memory, random=whole.random
        )

    def losses_and_gradient(self, w: Tensor, batch: Batch, shared: bool) -> tuple[Tensor, Tensor]:
        losses, gradients = [], []
        for component, own in zip(self.components, w, strict=True):
            index = component.index.expand(len(own), -1)
            point = component.whole.centre.expand(len(own), -1).scatter(1, index, own)
            found, blocks = self.evaluator.losses_and_gradient(point, batch, shared)
            losses.append(found)
            gradients.append(torch.cat(blocks, dim=1).gather(1, index))
        return torch.stack(losses), torch.stack(gradients)


def stacks_of(components: list[Component], run: Settings, trace: bool) -> list[Stack]:
    """Components of one kind together, as many as are worth evaluating at once."""
    kinds: dict[tuple, list[Component]] = {}
    for component in components:
        kinds.setdefault((component.whole.names, len(component.index)), []).append(component)
    stacks: list[Stack] = []
    for alike in kinds.values():
        evaluator = Evaluator(Scattered(alike[:1]), scattered_losses, ("own",), trace=False)
        target = alike[0].target
        few = map_batch(lambda t: t[:8], target.data)
        try:
            with kept_random_state(target.centre.device):
                check_gradient(evaluator.alone, target.centre, evaluator.segments, few)
        except (RuntimeError, ValueError):  # what is wrong with the model as a whole is said when it is evaluated
            stacks.append(WholeStack(alike, trace, run.memory_budget))
            continue
        fixed, each = bytes_written(lambda b, e=evaluator, c=target.centre: e.alone(c, b, True), few, 8)
        written = run.num_chains * (fixed + each * (run.batch_size or target.num_samples))
        size = max(1, min(len(alike), int(STACK_BYTES // max(1, written))))
        stacks += [ScatteredStack(alike[a : a + size], trace, run.memory_budget) for a in range(0, len(alike), size)]
    return stacks


class Scattered(nn.Module):
    """The parameters of several components, `own[component, coordinate]`, as parameters of one module.

    Args:
        components: alike in names and size.
        function: of model and data; None means the loss.
    """

    def __init__(self, components: list[Component], function: Loss | None = None):
        super().__init__()
        whole = components[0].whole
        self.target = components[0].target
        self.loss = PerSampleLoss(whole.model, whole.loss if function is None else function)
        self.own = nn.Parameter(torch.stack([component.target.centre for component in components]))
        self.register_buffer("index", torch.stack([component.index for component in components]))
        self.register_buffer("frozen", whole.centre)
        self.sizes = [shape.numel() for shape in whole.shapes]
        self.vectorises = len(components) > 1

    def losses_of(self, own: Tensor, index: Tensor, batch: Batch) -> Tensor:
        """Per-sample losses with one component's coordinates in their places."""
        pieces = self.frozen.scatter(0, index, own).split(self.sizes)
        named = zip(self.target.names, pieces, self.target.shapes, strict=True)
        values = {f"model.{name}": piece.view(shape) for name, piece, shape in named}
        return functional_call(self.loss, values, (batch,))


def scattered_losses(module: Scattered, batch: Batch) -> Tensor:
    """`[sample, component]`; component by component where the loss cannot be vectorised."""
    if module.vectorises:
        try:
            of_all = vmap(module.losses_of, (0, 0, None), out_dims=1, randomness="different")
            return of_all(module.own, module.index, batch)
        except Exception:  # noqa: BLE001  one by one, or with the error that a single one has
            module.vectorises = False
    rows = zip(module.own, module.index, strict=True)
    return torch.stack([module.losses_of(own, index, batch) for own, index in rows], dim=1)


def component_evaluator(component: Component, function: Loss, memory: int | None = None) -> Evaluator:
    """Values of a function of model and data at the positions of one component's chains, `[chain, ...]`."""

    def values(module: Scattered, batch: Batch) -> Tensor:
        return module.losses_of(module.own[0], module.index[0], batch)

    return Evaluator(Scattered([component], function), values, ("own",), trace=False, memory=memory)
