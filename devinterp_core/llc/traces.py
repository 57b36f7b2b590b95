r"""What competes with the refined learning coefficient: traces of the Hessian and of the Fisher information.

Both are quadratic at $w^*$, where the learning coefficient looks as far as the posterior reaches.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from devinterp_core.sampler.components import Component, make_components
from devinterp_core.sampler.curvature import hessian_product
from devinterp_core.sampler.target import make_target
from devinterp_core.vectorized import Batch, Loss, PerSampleLoss, in_form_of, split_batch, tensors_of

Masks = Mapping[str, Mapping[str, Tensor]]


def hessian_traces(
    model: nn.Module, data: Batch, loss: Loss, masks: Masks, *, num_probes: int = 16, seed: int = 0
) -> dict[str, Float[Tensor, " probe"]]:
    r"""Hutchinson's estimates of $\operatorname{tr} H_{VV}$, $H$ the Hessian of the mean loss, for every component $V$.

    One Hessian-vector product serves all components: with independent signs $z$,
    $\mathbb{E}[z_V^\top (H z)_V] = \operatorname{tr} H_{VV}$, whatever other coordinates the product mixes in. Those
    add noise, which falls with the number of probes.

    Args:
        model: any module; its parameters are $w^*$.
        data: samples over which the loss is averaged, at most 4,096 of them.
        loss: `(model, batch) -> Tensor[batch]`.
        masks: component to mask, as `refined_llc` takes them.
        num_probes: vectors of random signs.
        seed: of the signs.

    Returns:
        One unbiased estimate a probe, in units of the loss over squared parameters; their mean is the estimate and
        their standard deviation over $\sqrt{\text{probes}}$ its standard error.

    Raises:
        ValueError: no probes; as `refined_llc`.

    Reference: Hutchinson (1990); Wang et al. (2025), who compare with the Hessian trace.
    """
    if num_probes < 1:
        raise ValueError(f"num_probes must be at least 1, got {num_probes}")
    components = make_components(model, data, loss, masks, 1.0, 0.0)
    whole = make_target(model, data, loss, n_beta=1.0, localization=0.0)
    places = {component.name: _places(component, whole) for component in components}
    generator = torch.Generator().manual_seed(seed)
    found = {name: torch.empty(num_probes) for name in places}
    for probe in range(num_probes):
        signs = torch.randint(0, 2, whole.centre.shape, generator=generator).to(whole.centre) * 2 - 1
        products = signs * hessian_product(whole, whole.centre, signs)
        for name, place in places.items():
            found[name][probe] = float(products[place].sum())
    return found


def fisher_traces(
    model: nn.Module, data: Batch, loss: Loss, masks: Masks, *, chunk: int = 16
) -> dict[str, Float[Tensor, " sample"]]:
    r"""Squared norms $\lVert \nabla_V \ell_i \rVert^2$ of the gradients of single samples, for every component $V$.

    Their mean over samples is the trace of the empirical Fisher information, a sample being what the loss takes for
    one: for `next_token_loss` a sequence with its mean loss.

    Args:
        model: any module; its parameters are $w^*$.
        data: samples.
        loss: `(model, batch) -> Tensor[batch]`.
        masks: component to mask, as `refined_llc` takes them.
        chunk: samples whose gradients are in memory at once.

    Returns:
        Component to squared gradient norms, in squared units of the loss over squared parameters.

    Raises:
        ValueError: a chunk below 1; as `refined_llc`.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    components = make_components(model, data, loss, masks, 1.0, 0.0, batch_size=1)
    whole = make_target(model, data, loss, n_beta=1.0, localization=0.0, batch_size=1)
    names = {f"model.{name}" for component in components for name in component.whole.names}
    module = PerSampleLoss(whole.model, whole.loss)
    values = {name: value.detach() for name, value in module.named_parameters()}
    frozen = {name: value for name, value in values.items() if name not in names}
    moving = {name: value for name, value in values.items() if name in names}

    def loss_of_one(own: dict[str, Tensor], *sample: Tensor) -> Tensor:
        batch = in_form_of(whole.data, tuple(t[None] for t in sample))
        return functional_call(module, own | frozen, (batch,)).sum()

    gradients = vmap(grad(loss_of_one), in_dims=(None,) + (0,) * len(tensors_of(whole.data)))
    pieces: dict[str, list[Tensor]] = {component.name: [] for component in components}
    for batch in split_batch(whole.data, chunk):
        found = gradients(moving, *tensors_of(batch))
        for component in components:
            own = torch.cat([found[f"model.{name}"].flatten(1) for name in component.whole.names], dim=1)
            own = own[:, component.index]
            pieces[component.name].append(own.square().sum(1))
    return {name: torch.cat(own) for name, own in pieces.items()}


def _places(component: Component, whole) -> Tensor:
    """Where a component's coordinates stand among those of the whole model."""
    starts, start = {}, 0
    for name, shape in zip(whole.names, whole.shapes, strict=True):
        starts[name] = start
        start += shape.numel()
    named = zip(component.whole.names, component.whole.shapes, strict=True)
    own = torch.cat([torch.arange(shape.numel()) + starts[name] for name, shape in named])
    return own.to(component.index.device)[component.index]
