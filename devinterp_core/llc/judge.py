r"""Whether draws are enough, and what is wrong with them, in sentences."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray

from devinterp_core.sampler.curvature import MAX_SAMPLES, hessian_product
from devinterp_core.sampler.target import Target
from devinterp_core.vectorized import Evaluator, kept_random_state, seed_global, split_batch, tensors_of

from .trusted import TrustedEstimate, trusted

# The coefficient of one regular direction: relative errors are of the estimate or of this, whichever is larger.
ABSOLUTE_FLOOR = 0.5
LARGEST_R_HAT = 1.05
LEAST_ESS = 100.0
# Growth of the squared distance between the first and the last third of the kept draws that counts as spreading.
LARGEST_SPREADING = 0.15
# Share of the estimate that one step along the gradient may gain: beyond it the estimate is of no minimum.
LARGEST_GAIN = 0.5


@dataclass
class Verdict:
    """An estimate from the second half of the draws so far, and what speaks against it.

    Attributes:
        estimate: from the second half.
        half_width: of its 95 % interval.
        tolerance: half-width asked for.
        reasons: sentences why the draws are not enough; empty where they are.
    """

    estimate: TrustedEstimate
    half_width: float
    tolerance: float
    reasons: list[str] = field(default_factory=list)


def tolerance_of(mean: float, relative_error: float) -> float:
    """Half-width asked for: `relative_error` times the estimate, or times 1/2 where that is larger."""
    return relative_error * max(abs(mean), ABSOLUTE_FLOOR)


def judge(draws: xarray.Dataset, relative_error: float) -> Verdict:
    """Judge the second half of the draws by width, drift, R-hat, effective draws and exploration.

    Raises:
        ValueError: if all chains diverged or there are fewer than 16 draws.
    """
    late, early = (draws.isel(draw=part) for part in _halves(draws.sizes["draw"]))
    estimate = trusted(late)
    interval = estimate.interval()
    half, tolerance = (interval.high - interval.low) / 2, tolerance_of(estimate.mean, relative_error)
    verdict = Verdict(estimate, half, tolerance)
    say = verdict.reasons.append
    if estimate.ess == 0:
        say(
            "not converged: all draws are equal, so they are no evidence; either the chains cannot move or the loss "
            "does not depend on the sampled parameters around w* (look at mask and loss)"
        )
        return verdict
    if half > tolerance:
        say(
            f"not converged: the 95 % interval is ± {half:.2g}, mostly from {_WORDS[interval.dominated_by]}, where "
            f"± {tolerance:.2g} was asked for; raise max_steps or relative_error"
        )
    if not estimate.r_hat < LARGEST_R_HAT:
        say(
            f"not converged: the chains disagree, R-hat {estimate.r_hat:.3f} (at most {LARGEST_R_HAT}); raise "
            "max_steps, or localization if they have gone to different places"
        )
    if estimate.ess < LEAST_ESS:
        say(f"not converged: only {estimate.ess:.0f} effective draws ({LEAST_ESS:.0f} at least); raise max_steps")
    before = trusted(early)
    change = estimate.mean - before.mean
    if abs(change) > math.hypot(half, np.ptp(before.interval()) / 2) or interval.parts["drift"] > 0.7 * tolerance:
        say(
            f"not converged: the estimate still drifts, by {change:+.2g} from the second quarter of the run to its "
            "second half; raise max_steps"
        )
    if estimate.num_diverged:
        say(f"not converged: {estimate.num_diverged} chains diverged and are left out: what they met is missing")
    growth, error = spreading(late)
    if growth > LARGEST_SPREADING + 2 * error:
        say(
            f"not converged: the chains are still spreading: their squared distance from w* grew by {growth:.0%} "
            f"between the first and the last third of the kept draws (virial ratio {estimate.virial_ratio:.2f}, 1 "
            "where all directions are explored); raise max_steps, or localization"
        )
    return verdict


_WORDS = {
    "draws": "too few effective draws", "chains": "the spread between chains", "drift": "drift along the chains",
    "nothing known": "draws that say nothing",
}  # fmt: skip


def _halves(num_draws: int) -> tuple[slice, slice]:
    """The second half of the draws, and the quarter before it."""
    if num_draws < 16:
        raise ValueError(f"{num_draws} draws a chain are too few to judge: 16 at least")
    return slice(num_draws // 2, None), slice(num_draws // 4, num_draws // 2)


def spreading(draws: xarray.Dataset) -> tuple[float, float]:
    """Relative growth of the squared distance from w* between first and last third, and its standard error."""
    squared = draws.distance.values[~draws.diverged.values] ** 2
    third = max(1, squared.shape[1] // 3)
    growth = (squared[:, -third:].mean(1) - squared[:, :third].mean(1)) / max(float(squared.mean()), 1e-300)
    return float(growth.mean()), float(growth.std(ddof=1) / math.sqrt(len(growth))) if len(growth) > 1 else math.inf


def localization_sensitivity(draws: xarray.Dataset) -> tuple[float, float]:
    r"""How the estimate changes with the localisation, and the standard error of that.

    $$\frac{d\hat\lambda}{d\ln\gamma} = -\mathrm{Cov}(n\beta\,\Delta L,\; \tfrac{\gamma}{2}\lVert w - w^*\rVert^2)$$

    An identity of the exact posterior; estimated in each chain and averaged over them.
    """
    alive = ~draws.diverged.values
    loss = draws.attrs["n_beta"] * draws.loss_difference.values[alive]
    pull = draws.attrs["localization"] / 2 * draws.distance.values[alive] ** 2
    by_chain = -((loss - loss.mean(1, keepdims=True)) * (pull - pull.mean(1, keepdims=True))).mean(1)
    return float(by_chain.mean()), float(by_chain.std(ddof=1) / math.sqrt(len(by_chain)))


def gradient_step_gain(target: Target) -> float:
    r"""$n\beta$ times the loss that the best step along the gradient $g$ gains: $\lVert g\rVert^4 / 2 g^\top H g$.

    0 at a critical point, infinite where the loss curves downwards along its gradient. A lower bound, to second order,
    on how far $w^*$ is above the nearest minimum, in the units of $\hat\lambda$.
    """
    gradient = torch.zeros_like(target.centre, dtype=torch.float64)
    with kept_random_state(target.centre.device):
        evaluator = Evaluator(target.model, target.loss, target.names, trace=False)
        for batch in split_batch(target.data, target.num_samples if target.coupled else MAX_SAMPLES):
            seed_global(0, target.centre.device)
            share = len(tensors_of(batch)[0]) / target.num_samples
            gradient += share * evaluator.alone(target.centre, batch, gradient=True)[1].double()
    gradient = gradient.to(target.centre)
    gradient = target.n_beta * (gradient if target.mask is None else gradient * target.mask)
    squared = float(gradient.double().square().sum())
    if squared == 0:
        return 0.0
    curved = float(gradient.double() @ hessian_product(target, target.centre, gradient).double())
    return squared**2 / (2 * curved) if curved > 0 else math.inf


def remarks(draws: xarray.Dataset, estimate: TrustedEstimate, target: Target, relative_error: float) -> list[str]:
    """What is wrong with the problem rather than with the length of the run: w*, gamma, n beta, heat."""
    found, tolerance = [], tolerance_of(estimate.mean, relative_error)
    kept = draws.isel(draw=_halves(draws.sizes["draw"])[0])
    gain = gradient_step_gain(target)
    below = int((estimate.per_chain < 0).sum())
    if below and estimate.interval().high < 0.5 * abs(estimate.mean) and estimate.mean < 0:
        found.append(
            f"w* is no minimum: {below} of {len(estimate.per_chain)} chains lie below its loss, by "
            f"{-estimate.mean:.3g} in units of the estimate, and a learning coefficient cannot be negative; "
            "train further, or raise localization"
        )
    elif gain > max(LARGEST_GAIN * abs(estimate.mean), 0.1) and math.isfinite(gain):
        found.append(
            f"w* is no minimum: one step along the gradient lowers n_beta * loss by {gain:.2g}, and the estimate, "
            f"{estimate.mean:.3g}, is too low by at least as much; train further, or raise localization"
        )
    elif below or gain > max(tolerance, 0.1):
        lower = "" if not below else f"{below} of {len(estimate.per_chain)} chains have a negative mean; "
        step = f"one step along the gradient lowers n_beta * loss by {gain:.2g}" if math.isfinite(gain) else (
            "the loss curves downwards along its gradient at w*")  # fmt: skip
        found.append(f"w* is not quite a minimum: {lower}{step}, and the estimate is too low by at least as much")
    slope, error = localization_sensitivity(kept)
    if abs(slope) > 3 * error and abs(slope) > 2 * tolerance:
        if slope < 0:
            found.append(
                f"localization {target.localization:g} is strong at n_beta {target.n_beta:.3g}: it hides directions; "
                f"half of it would change the estimate by about {-slope * math.log(2):+.2g}: lower it, or raise n_beta"
            )
        else:
            found.append(
                f"localization {target.localization:g} is weak at n_beta {target.n_beta:.3g}: the chains leave the "
                f"neighbourhood of w*; twice as much would change the estimate by about {slope * math.log(2):+.2g}"
            )
    if estimate.virial_ratio - 1 > max(0.1, 3 * estimate.virial_standard_error):
        found.append(
            f"the chains are too hot: virial ratio {estimate.virial_ratio:.2f} ± {estimate.virial_standard_error:.2g} "
            "where 1 is right, so the estimate is too high, by up to the same factor: minibatch noise or too long a "
            "step"
        )
    return found
