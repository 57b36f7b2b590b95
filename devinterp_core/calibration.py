"""A step size from the measured curvature of the localised posterior."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .sampler import DivergenceError, sample
from .sampler.curvature import MAX_SAMPLES, largest_curvature
from .sampler.target import make_target
from .vectorized import Batch, Loss, map_batch

LEAST_ACCEPTANCE = 0.5
MAX_ATTEMPTS = 25


@dataclass(frozen=True)
class Calibration:
    r"""A proposal for $\epsilon$ and the measurements behind it.

    Attributes:
        step_size: proposed $\epsilon$ = `fraction` / `largest_curvature`.
        largest_curvature: of $U = n\beta L_n + \tfrac{\gamma}{2}\lVert w - w^*\rVert^2$, the largest met at $w^*$ and
            at the ends of short chains, in inverse squared parameter units. SGLD is unstable from 4 over this.
        variance_factor: $1 / (1 - \epsilon h / 4)$ of SGLD in the stiffest direction; 1 in the flat ones.
        acceptance: of MALA with this $\epsilon$, mean over chains; near 1 means that discretisation hardly matters.
    """

    step_size: float
    largest_curvature: float
    variance_factor: float
    acceptance: float


def calibrate(
    model: nn.Module,
    data: Batch,
    loss: Loss,
    *,
    n_beta: float | None = None,
    localization: float = 1.0,
    mask: dict[str, Tensor] | None = None,
    fraction: float = 0.25,
    num_chains: int = 4,
    num_steps: int = 100,
    seed: int = 0,
) -> Calibration:
    r"""Propose `step_size` = `fraction` / (largest curvature of the posterior) and test it with MALA.

    The curvature at a singular $w^*$ says little about its surroundings, so short MALA chains walk away from $w^*$, the
    curvature is measured again where they end, and the step is shortened until it fits what they meet. They see only
    as far as `num_steps` carries them: around a $w^*$ without any curvature the posterior may still be stiffer further
    out. Judge the run itself by its virial ratio and `devinterp_core.diagnostics.trace_plot`.

    Args:
        model, data, loss, n_beta, localization, mask: as for `devinterp_core.sampler.sample`. At most
            4096 samples of `data` are used, at the n_beta of all of them.
        fraction: $\epsilon h_{\max}$, in (0, 4): 0.25 inflates SGLD's stiffest variance by 6.7 %.
        num_chains: short chains.
        num_steps: steps of each short chain.
        seed: of the chains.

    Raises:
        ValueError: bad input, as in `sample`; `fraction` outside (0, 4).
        RuntimeError: if no step size is found at which MALA accepts.
    """
    if not 0 < fraction < 4:
        raise ValueError(f"fraction must lie between 0 and SGLD's stability limit 4, got {fraction}")
    target = make_target(model, data, loss, n_beta=n_beta, localization=localization, mask=mask)
    few = map_batch(lambda t: t[:MAX_SAMPLES], target.data)
    curvature = largest_curvature(target)
    for attempt in range(MAX_ATTEMPTS):
        draws = sample(
            model,
            few,
            loss,
            step_size=fraction / curvature,
            localization=localization,
            n_beta=target.n_beta,
            num_chains=num_chains,
            num_draws=1,
            num_steps_between_draws=num_steps,
            mask=mask,
            method="mala",
            seed=seed + attempt,
            keep_parameters=True,
            progress=False,
        )
        acceptance = float(draws.acceptance.mean())
        ends = torch.as_tensor(draws.parameters.values[:, 0]).to(target.centre)
        met = max(largest_curvature(target, end) for end in ends)
        if met <= 1.2 * curvature and acceptance > LEAST_ACCEPTANCE:
            break
        # Chains that accept nothing cannot report what curvature they would meet: shorten the step and try again.
        curvature = max(met, 4 * curvature if acceptance <= LEAST_ACCEPTANCE else met)
    else:
        raise RuntimeError(
            f"MALA still accepts only {acceptance:.0%} of its proposals at step_size {fraction / curvature:.2g}: the "
            "posterior has no scale that these chains find; give n_beta, localization and step_size by hand"
        )
    step_size = fraction / curvature
    return Calibration(
        step_size=step_size,
        largest_curvature=curvature,
        variance_factor=1 / (1 - fraction / 4),
        acceptance=acceptance,
    )


def pilot_step_size(
    model: nn.Module,
    data: Batch,
    loss: Loss,
    *,
    method: str = "sgnht",
    num_steps: int,
    n_beta: float | None = None,
    localization: float = 1.0,
    batch_size: int | None = None,
    fraction: float = 0.3,
    reached_fraction: float = 0.6,
    num_pilots: int = 3,
    num_chains: int = 2,
    seed: int = 0,
) -> float:
    r"""A step size for long chains of `method`, shortened to the curvature that short chains of the same method meet.

    The first is $\epsilon = f^2 / h(w^*)$ with $f$ = `fraction` and $h$ the largest curvature of the localised
    posterior. A pilot of `num_steps` that stays finite bounds it by $f_1^2 / \max h(w_{end})$ with $f_1$ =
    `reached_fraction`; one that diverges divides it by four and is followed by another. Unlike `calibrate` it walks as
    far as the chains themselves will in `num_steps`, so it suits posteriors whose curvature grows away from $w^*$, such
    as those of deep linear networks.

    Args:
        model, data, loss, n_beta, localization, batch_size: as for `devinterp_core.sampler.sample`.
        method: of the pilots and of the run that follows.
        num_steps: steps of a pilot.
        fraction, reached_fraction: step size times largest curvature, square root, at $w^*$ and where the pilots end.
        num_pilots: attempts; after that many divergences the last step size, a fourth of the one that diverged, stands
            untried, and the run itself will tell.
        num_chains: chains of a pilot.
        seed: of the pilots.

    Raises:
        ValueError: bad input, as in `sample`; a fraction that is not positive.
    """
    if not (fraction > 0 and reached_fraction > 0):
        raise ValueError(f"fraction and reached_fraction must be positive, got {fraction} and {reached_fraction}")
    target = make_target(model, data, loss, n_beta=n_beta, localization=localization)
    step_size = fraction**2 / largest_curvature(target)
    for _ in range(num_pilots):
        try:
            pilot = sample(
                model,
                data,
                loss,
                step_size=step_size,
                method=method,
                n_beta=target.n_beta,
                localization=localization,
                num_chains=num_chains,
                batch_size=batch_size,
                num_burnin=num_steps,
                num_draws=1,
                keep_parameters=True,
                seed=seed,
                progress=False,
            )
        except DivergenceError:
            step_size /= 4
            continue
        ends = torch.as_tensor(pilot["parameters"].values[~pilot["diverged"].values, 0]).to(target.centre)
        return min(step_size, reached_fraction**2 / max(largest_curvature(target, end) for end in ends))
    return step_size
