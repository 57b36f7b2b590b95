r"""`estimate_llc`: a learning coefficient whose settings are chosen, and whose trust is judged, by the library."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import xarray
from torch import Tensor, nn

from devinterp_core.sampler import DivergenceError, sample
from devinterp_core.sampler.target import Target, make_target
from devinterp_core.vectorized import Batch, Loss

from .judge import Verdict, judge, remarks
from .pilot import memory_budget, pilot
from .trusted import TrustedEstimate

# Full batch up to here: minibatch noise biases, and small data are no work.
FULL_BATCH = 8192
BATCH_SIZE = 2048
STEPS_BETWEEN_DRAWS = 5
LEAST_DRAWS = 200
# Steps of a run grow by this factor between two looks.
GROWTH = 1.5
MAX_RETRIES = 4


def estimate_llc(
    model: nn.Module,
    data: Batch,
    loss: Loss,
    *,
    relative_error: float = 0.05,
    max_steps: int = 50_000,
    mask: dict[str, Tensor] | None = None,
    n_beta: float | None = None,
    localization: float = 1.0,
    seed: int = 0,
    progress: bool = True,
) -> TrustedEstimate:
    r"""Estimate $\hat\lambda(w^*)$ and say whether it can be trusted.

    Chains of the thermostat `sgnht` start at $w^*$ with a time step from the curvature that pilots meet, and run until
    the second half of their draws gives a 95 % interval as narrow as asked *and* drift, R-hat, effective draws and the
    distance from $w^*$ agree. A second, independent run with half the time step must then agree too: it tells the
    step's bias, and, being half as far in time, what the first run has not finished exploring; the mean is that of
    both. Otherwise everything is repeated, longer, and with half the time step if that is what changed the answer,
    until `max_steps` is spent.

    What is estimated is the mean of the localised posterior at this `n_beta`, which differs from $\lambda$ itself by
    terms of order $1 / \log n\beta$.

    Args:
        model: trained: its parameters are $w^*$. Not modified.
        data: a tensor or a tuple of tensors with a common first dimension $n$; all of it at each step up to 8192
            samples, minibatches of 2048 beyond.
        loss: `(model, batch) -> Tensor[batch]`, per-sample losses.
        relative_error: half-width asked of the 95 % interval over the estimate; of estimates below 1/2, the
            coefficient of a single regular direction, over 1/2.
        max_steps: of each chain, pilots and check together.
        mask, n_beta, localization: as for `devinterp_core.sampler.sample`.
        seed: of every random number.
        progress: show progress bars on stderr.

    Returns:
        The estimate, with `converged`, `warnings` and the settings chosen.

    Raises:
        ValueError: bad input, as `sample`; `relative_error` outside (0, 1); `max_steps` below 2000.
        DivergenceError: if chains diverge at every step size.

    Example:
        >>> from devinterp_core import potentials
        >>> model, data = potentials.linear_regression(4, num_samples=1000, seed=0)
        >>> loss = potentials.linear_regression_loss
        >>> estimate = estimate_llc(model, data, loss, progress=False)
        >>> estimate.converged, round(estimate.mean)
        (True, 2)
    """
    if not 0 < relative_error < 1:
        raise ValueError(f"relative_error must lie between 0 and 1, got {relative_error}")
    if isinstance(max_steps, bool) or int(max_steps) != max_steps or max_steps < 2000:
        raise ValueError(f"max_steps must be an integer of at least 2000, got {max_steps!r}")
    target = make_target(model, data, loss, n_beta=n_beta, localization=localization, mask=mask)
    batch_size = None if target.num_samples <= FULL_BATCH or target.coupled else BATCH_SIZE
    found = pilot(model, target, batch_size, seed=1000 * seed + 500, progress=progress)
    num_chains = _num_chains(target)
    settings: dict[str, Any] = dict(
        localization=localization, n_beta=target.n_beta, mask=mask, method="sgnht", batch_size=batch_size,
        num_chains=num_chains, num_steps_between_draws=STEPS_BETWEEN_DRAWS, progress=progress,
        memory_budget=memory_budget(target, num_chains),
    )  # fmt: skip
    step_size, used, least = found.step_size, found.num_steps, LEAST_DRAWS
    for attempt in range(MAX_RETRIES):
        settings |= {"seed": 1000 * seed + 2 * attempt}
        room = max(16, int(0.6 * (max_steps - used)) // STEPS_BETWEEN_DRAWS)
        try:
            draws = _run(model, data, loss, step_size, room, least, relative_error, settings)
        except DivergenceError:
            if attempt == MAX_RETRIES - 1:
                raise
            used, step_size = used + STEPS_BETWEEN_DRAWS * LEAST_DRAWS, step_size / 4
            continue
        verdict = judge(draws, relative_error)
        num_draws = draws.sizes["draw"]
        used += STEPS_BETWEEN_DRAWS * num_draws
        bias, width, again = math.nan, math.nan, ""
        if not verdict.reasons:
            check_draws = min(num_draws, max(16, (max_steps - used) // STEPS_BETWEEN_DRAWS))
            check = sample(model, data, loss, step_size=step_size / 4, num_draws=check_draws,
                           **settings | {"seed": 1000 * seed + 2 * attempt + 1})  # fmt: skip
            used += STEPS_BETWEEN_DRAWS * check_draws
            bias, width, again = _compare(verdict, check, relative_error)
            verdict.estimate = verdict.estimate if again else _pooled(verdict, check)
        longer = int(GROWTH * num_draws)
        spent = 0.6 * (max_steps - used) < longer * STEPS_BETWEEN_DRAWS
        lost = verdict.estimate.num_diverged > 0
        if spent or not (again or lost):
            break
        step_size, least = step_size / (4 if lost or abs(bias) > width else 1), longer
    reasons = verdict.reasons + ([again] if again else [])
    found_remarks = remarks(draws, verdict.estimate, target, relative_error)
    return replace(
        verdict.estimate,
        converged=not reasons and not any(r.startswith("w* is no minimum") for r in found_remarks),
        warnings=(*reasons, *found_remarks), step_bias=bias, step_bias_half_width=width, step_size=step_size,
        batch_size=batch_size or target.num_samples, num_chains=draws.sizes["chain"],
        num_steps=STEPS_BETWEEN_DRAWS * num_draws, total_steps=used, n_beta=target.n_beta,
        localization=target.localization, draws=draws,
    )  # fmt: skip


def _num_chains(target: Target) -> int:
    """More chains where they are nearly free: a small model's step is spent on launching operations."""
    work = target.num_coordinates + target.num_samples
    return 32 if work <= 150 else 16 if work <= 600 else 8 if work <= 20_000 else 4


def _run(
    model: nn.Module, data: Batch, loss: Loss, step_size: float, most: int, least: int, relative_error: float,
    settings: dict[str, Any],
) -> xarray.Dataset:  # fmt: skip
    """Draws until `judge` has nothing against them, `most` at most and `least` at least."""
    looks = {"next": least}

    def enough(draws: xarray.Dataset) -> bool:
        if draws.sizes["draw"] < looks["next"]:
            return False
        looks["next"] = int(GROWTH * draws.sizes["draw"])
        alive = np.isfinite(draws.loss_difference.values).all(axis=1)
        return not alive.any() or not judge(draws, relative_error).reasons

    return sample(model, data, loss, step_size=step_size, num_draws=most, stop=enough, stop_every=50, **settings)


def _pooled(verdict: Verdict, check: xarray.Dataset) -> TrustedEstimate:
    """Both runs' mean, by inverse squared widths; the width stays that of the first, which stopped where narrow."""
    other = judge(check, 1.0)
    share = verdict.half_width**2 / (verdict.half_width**2 + other.half_width**2)
    return replace(verdict.estimate, mean=(1 - share) * verdict.estimate.mean + share * other.estimate.mean)


def _compare(verdict: Verdict, check: xarray.Dataset, relative_error: float) -> tuple[float, float, str]:
    """Estimate minus that of the check, its 95 % half-width, and a sentence where they disagree."""
    other = judge(check, relative_error)
    bias = verdict.estimate.mean - other.estimate.mean
    width = math.hypot(verdict.half_width, other.half_width)
    if other.estimate.num_diverged or not math.isfinite(width):
        return bias, math.inf, "not converged: chains with half the time step diverged or do not move"
    if other.half_width > 3 * verdict.tolerance or not other.estimate.r_hat < 1.2:
        return bias, width, (
            f"not converged: an independent run with half the time step gives {other.estimate.mean:.4g} ± "
            f"{other.half_width:.2g} with R-hat {other.estimate.r_hat:.2f}: it is not level; raise max_steps"
        )  # fmt: skip
    if abs(bias) > width:
        return bias, width, (
            f"not converged, or the step size is biased: an independent run with half the time step gives "
            f"{other.estimate.mean:.4g} ± {other.half_width:.2g}, the estimate differs from it by {bias:+.2g}; raise "
            "max_steps"
        )  # fmt: skip
    return bias, width, ""
