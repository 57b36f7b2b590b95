r"""Learning coefficients refined by weights and by data.

$$\hat\lambda(w^*; V, q') = n\beta \bigl(\mathbb{E}_v[\ell'_n(u^*, v)] - \ell'_n(w^*)\bigr), \qquad
p(v) \propto \exp\{-n\beta\, \ell'_n(u^*, v) - \tfrac{\gamma}{2} \lVert v - v^*\rVert^2\}$$

where $w^* = (u^*, v^*)$ and only the component's coordinates $v \in V$ move. Weight-refined: $V$ is a component and
$q'$ the training distribution. Data-refined: $V$ is everything and $q'$ another distribution. Or both.
"""

from collections.abc import Mapping
from typing import Any

import xarray
from torch import Tensor, nn

from devinterp_core.sampler.components import make_components, stacks_of
from devinterp_core.sampler.lockstep import sample_components, trace_pays
from devinterp_core.sampler.run import Settings
from devinterp_core.sampler.target import Batch, Loss

from .estimate import LearningCoefficient, local_learning_coefficient
from .heads import head_stacks


def refined_llc(
    model: nn.Module,
    data: Batch,
    loss: Loss,
    masks: Mapping[str, Mapping[str, Tensor]],
    *,
    n_beta: float | None = None,
    localization: float = 1.0,
    observe: dict[str, Batch] | None = None,
    shortcut: bool = True,
    progress: bool = True,
    **settings: Any,
) -> xarray.Dataset:
    r"""Draws for the refined learning coefficient of every component, `local_learning_coefficients` for the estimates.

    All components and chains advance together, small models in one vectorised step, large ones chain by chain; a chain
    holds and moves its component's coordinates only.
    Every component replays the random numbers of `seed`, so that its draws are those of a call with it alone and
    components of one size (all heads of a model) meet the same minibatches and the same noise: differences between
    components are more precise than the components' standard errors say, sums and means less. Give other seeds for
    independent errors. A mask of all parameters gives the draws of `sample`.

    Args:
        model: any module; its parameters are $w^*$.
        data: as in `sample`; another distribution than that of the training refines by data.
        loss: as in `sample`, `(model, batch) -> Tensor[batch]`.
        masks: component to mask, a mask being parameter name to boolean tensor of its shape, as
            `devinterp_core.transformer.masks` and `devinterp_core.llc.huggingface` make them.
        n_beta: $n\beta$; None means $n / \log n$.
        localization: $\gamma$.
        observe: as in `sample`: name to data whose per-sample losses are recorded at each draw.
        shortcut: let attention heads of `devinterp_core.transformer.Transformer` take the path that runs the network
            from the head on (the same numbers to rounding); False takes the general path for every component.
        progress: show a progress bar on stderr.
        settings: further settings of `sample`: `step_size` (required), `num_chains`, `num_draws`, `num_burnin`,
            `num_steps_between_draws`, `batch_size`, `method`, `seed`, `keep_parameters`, `memory_budget`.

    Returns:
        As `sample`, with the dims `component`, `chain`, `draw`, and `dimension`, the coordinates of each component.

    Raises:
        ValueError: no masks; a mask that is empty or names no parameter, with the component's name; as in `sample`.
        DivergenceError: if every chain of every component diverged; otherwise the flags tell.

    Reference: Wang et al. (2025), eq. (5).
    """
    unknown = sorted({"checkpoint", "checkpoint_every", "train_mode", "mask"} & set(settings))
    if unknown:
        raise ValueError(f"refined_llc does not take {unknown}; components are given by masks, in eval mode")
    run = Settings(**settings)
    components = make_components(model, data, loss, masks, n_beta, localization)
    trace = trace_pays(run)
    short, rest = head_stacks(components, run, trace) if shortcut else ([], components)
    draws = sample_components(short + stacks_of(rest, run, trace), run, observe, progress)
    return draws.sel(component=list(masks))


def local_learning_coefficients(draws: xarray.Dataset, discard: float = 0.0) -> dict[str, LearningCoefficient]:
    """`local_learning_coefficient` of each component of `refined_llc`'s draws.

    Args:
        draws: with the dim `component`.
        discard: as there.

    Raises:
        ValueError: naming the component, as there.
    """
    estimates = {}
    for name in draws.component.values.tolist():
        try:
            estimates[name] = local_learning_coefficient(draws.sel(component=name), discard)
        except ValueError as error:
            raise ValueError(f"component {name!r}: {error}") from None
    return estimates
