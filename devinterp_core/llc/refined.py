r"""Learning coefficients refined by weights and by data.

$$\hat\lambda(w^*; V, q') = n\beta \bigl(\mathbb{E}_v[\ell'_n(u^*, v)] - \ell'_n(w^*)\bigr), \qquad
p(v) \propto \exp\{-n\beta\, \ell'_n(u^*, v) - \tfrac{\gamma}{2} \lVert v - v^*\rVert^2\}$$

where $w^* = (u^*, v^*)$ and only the component's coordinates $v \in V$ move. Weight-refined: $V$ is a component and
$q'$ the training distribution. Data-refined: $V$ is everything and $q'$ another distribution. Or both.
"""

import os
from collections.abc import Mapping

import xarray
from torch import Tensor, nn

from devinterp_core.locks import path_of
from devinterp_core.sampler.components import Component, Stack, make_components, stacks_of
from devinterp_core.sampler.engine import TRACE_FROM
from devinterp_core.sampler.lockstep import sample_components
from devinterp_core.sampler.observe import Observed
from devinterp_core.sampler.settings import Settings
from devinterp_core.vectorized import Batch, Loss

from .estimate import LearningCoefficient, local_learning_coefficient


def refined_llc(
    model: nn.Module,
    data: Batch,
    loss: Loss,
    masks: Mapping[str, Mapping[str, Tensor]],
    *,
    step_size: float,
    localization: float = 1.0,
    n_beta: float | None = None,
    num_chains: int = 4,
    num_draws: int = 200,
    num_burnin: int = 0,
    num_steps_between_draws: int = 1,
    batch_size: int | None = None,
    observe: Observed | None = None,
    method: str = "sgld",
    seed: int = 0,
    progress: bool = True,
    keep_parameters: bool = False,
    memory_budget: int = 4 * 2**30,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int = 1000,
    shortcut: bool = True,
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
        step_size: as in `sample`, and so are all other arguments but the next, for every component.
        shortcut: use the short way for attention heads of a `Transformer`.

    Returns:
        As `sample`, with the dims `component`, `chain`, `draw`, and `dimension`, the coordinates of each component.

    Raises:
        ValueError: no masks; a mask that is empty or names no parameter, with the component's name; as in `sample`.
        DivergenceError: if every chain of every component diverged; otherwise the flags tell.

    Reference: Wang et al. (2025), eq. (5).
    """
    run = Settings(
        step_size=step_size, num_chains=num_chains, num_draws=num_draws, num_burnin=num_burnin,
        num_steps_between_draws=num_steps_between_draws, batch_size=batch_size, method=method, seed=seed,
        keep_parameters=keep_parameters, memory_budget=memory_budget, checkpoint_every=checkpoint_every,
    )  # fmt: skip
    components = make_components(model, data, loss, masks, n_beta, localization, run.batch_size)
    trace = run.num_steps >= TRACE_FROM
    short, rest = _heads(components, run, trace) if shortcut else ([], components)
    place = None if checkpoint is None else path_of("checkpoint", checkpoint)
    draws = sample_components(short + stacks_of(rest, run, trace), run, observe, progress, place)
    return draws.sel(component=list(masks))


def _heads(components: list[Component], run: Settings, trace: bool) -> tuple[list[Stack], list[Component]]:
    """The short way where it is known: only then are transformers needed."""
    if not type(components[0].whole.model).__module__.startswith("devinterp_core.transformer"):
        return [], components
    from .heads import head_stacks

    return head_stacks(components, run, trace)


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
