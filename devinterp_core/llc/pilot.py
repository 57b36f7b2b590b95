r"""A time step for the thermostat, from the curvature that short chains meet.

On a Gaussian the configurations of `sgnht` are exact at any stable step, $h \sqrt{A} < 2$ with $A$ the largest
curvature of the posterior, so its step is bounded by stability and anharmonicity and not, as SGLD's, by the
discretisation of the stiffest direction: it may be an order of magnitude longer.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from devinterp_core.sampler import DivergenceError, sample
from devinterp_core.sampler.curvature import largest_curvature
from devinterp_core.sampler.target import Target
from devinterp_core.vectorized import Evaluator, kept_random_state, map_batch, seed_global

# h sqrt(A) at the largest curvature met: less than half of the stability limit, room for what pilots do not meet.
FRACTION = 0.8
# h^2 times the variance of the minibatch gradient of U, over the unit variance of a momentum: from regressions, whose
# estimates come out about 0.08 times this too low (the thermostat holds the momenta, not the positions, to their heat).
NOISE = 0.05
NOISE_BATCHES = 8
PILOT_STEPS = 300
PILOT_CHAINS = 4
MAX_PILOTS = 12


@dataclass(frozen=True)
class Pilot:
    r"""What short chains found.

    Attributes:
        step_size: $\epsilon = h^2$ for `sgnht`.
        largest_curvature: of the potential, at $w^*$ and where the pilots were.
        num_steps: that the pilots took.
    """

    step_size: float
    largest_curvature: float
    num_steps: int


def pilot(model: nn.Module, target: Target, batch_size: int | None, seed: int, progress: bool) -> Pilot:
    r"""Propose $\epsilon = (0.8)^2 / A$ with the largest curvature $A$ at $w^*$ and along short chains.

    Minibatches shorten the step until their noise is small beside the momenta. A singular $w^*$ may have no curvature
    at all: chains that diverge, or that meet much more curvature than their step was made for, are run again with a
    shorter step.

    Raises:
        DivergenceError: if chains diverge at every step size.
    """
    curvature = largest_curvature(target)
    noisy = math.inf if batch_size is None else NOISE / gradient_noise(target, batch_size, seed)
    step_size, used = min(noisy, FRACTION**2 / curvature), 0
    for attempt in range(MAX_PILOTS):
        used += PILOT_STEPS
        try:
            draws = sample(
                model, target.data, target.loss, step_size=step_size, method="sgnht",
                n_beta=target.n_beta, localization=target.localization, mask=_mask(target), batch_size=batch_size,
                num_chains=PILOT_CHAINS, num_draws=3, num_steps_between_draws=PILOT_STEPS // 3,
                keep_parameters=True, seed=seed + attempt, progress=progress,
                memory_budget=memory_budget(target, PILOT_CHAINS),
            )  # fmt: skip
        except DivergenceError:
            step_size /= 8
            continue
        alive = ~draws.diverged.values
        places = torch.as_tensor(draws.parameters.values[alive]).flatten(0, 1).to(target.centre)
        curvature = max(curvature, *(largest_curvature(target, place, num_iterations=15) for place in places))
        proposed = min(noisy, FRACTION**2 / curvature)
        if alive.all() and proposed > 0.4 * step_size:
            return Pilot(min(step_size, proposed), curvature, used)
        step_size = min(proposed, step_size / (1 if alive.all() else 4))
    raise DivergenceError(
        f"short chains diverge or meet ever more curvature at every step size down to {step_size:.2g}: the posterior "
        f"at n_beta {target.n_beta:g} and localization {target.localization:g} has no scale that they find; raise "
        "localization, or sample with a step_size of your own"
    )


def gradient_noise(target: Target, batch_size: int, seed: int) -> float:
    r"""Variance of the minibatch gradient of $U$ at $w^*$ in its noisiest direction, from eight minibatches.

    The largest eigenvalue of so few samples' covariance lies above that of the true one: the cautious side.
    """
    evaluator = Evaluator(target.model, target.loss, target.names, trace=False)
    generator, gradients = torch.Generator().manual_seed(seed), []
    with kept_random_state(target.centre.device):
        for _ in range(NOISE_BATCHES):
            chosen = torch.randint(target.num_samples, (batch_size,), generator=generator).to(target.centre.device)
            batch = map_batch(lambda t, chosen=chosen: t[chosen], target.data)
            seed_global(0, target.centre.device)
            gradients.append(evaluator.alone(target.centre, batch, gradient=True)[1])
    noise = target.n_beta * torch.stack(gradients).double()
    noise = noise - noise.mean(0)
    noise = noise if target.mask is None else noise * target.mask
    return max(float(torch.linalg.eigvalsh(noise @ noise.T)[-1]) / (NOISE_BATCHES - 1), 1e-300)


def memory_budget(target: Target, num_chains: int) -> int:
    """Bytes with which all chains advance together, as `stop` needs, and evaluations keep to 4 GiB at least."""
    return max(4 * 2**30, 4 * num_chains * target.num_coordinates * target.centre.element_size())


def _mask(target: Target) -> dict[str, torch.Tensor]:
    """The caller's mask, from the target's flat one."""
    if target.mask is None:
        return {n: torch.ones(s, dtype=torch.bool, device=target.centre.device)
                for n, s in zip(target.names, target.shapes, strict=True)}  # fmt: skip
    pieces = target.mask.split([s.numel() for s in target.shapes])
    return {n: p.view(s) for n, p, s in zip(target.names, pieces, target.shapes, strict=True)}
