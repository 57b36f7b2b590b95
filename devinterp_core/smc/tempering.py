r"""Tempered sequential Monte Carlo for low-dimensional posteriors with many modes.

A cloud of $N$ weighted particles is carried along $\pi_t(w) \propto p(w)\, e^{t\,\ell(w)}$ from the prior ($t=0$) to
the largest temperature asked for, and is recorded at every one asked for on the way. One stage is

1. **reweight**: the largest $t' > t$ at which the increments $u_i = e^{(t'-t)\ell(w_i)}$ keep the *conditional*
   effective sample size $(\sum_i W_i u_i)^2 / \sum_i W_i u_i^2$ (weights $W$ summing to 1) at the fraction asked for;
   the evidence grows by $\log\sum_i W_i u_i$, and $W_i \propto W_i u_i$;
2. **resample** systematically when $1/\sum_i W_i^2$ falls below a fraction of $N$;
3. **move** every particle by Hamiltonian Monte Carlo, preconditioned by the covariance of the particles, until 95 %
   of them have moved and the log-likelihoods have forgotten their values at the start of the stage.

A chain must cross between modes; here their proportions come from weights that were set while the modes still
overlapped. With $\ell = -L$, $t$ is the number of samples $n$: one run is a whole phase diagram. `assimilate` does the
same along a growing data set.

References: Del Moral, Doucet & Jasra (2006), *Sequential Monte Carlo samplers*; Zhou, Johansen & Aston (2016) for the
conditional effective sample size.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from devinterp_core.smc.weights import effective_sample_size, largest_step, systematic_resample

LogDensity = Callable[[Tensor], Tensor]  # (particle, coordinate) -> (particle,), differentiable


def temper(
    log_prior: LogDensity,
    log_likelihood: LogDensity,
    initial_particles: Float[Tensor, "particle coordinate"],
    *,
    generator: torch.Generator,
    temperatures: Sequence[float] = (1.0,),
    conditional_ess: float = 0.95,
    resample_below: float = 0.5,
    num_leapfrog: int = 8,
    max_moves: int = 20,
    decorrelation: float = 0.2,
    max_stages: int = 1000,
    progress: bool = False,
) -> xr.Dataset:
    r"""Sample $p(w)\,e^{t\,\ell(w)}$ at each of several temperatures $t$ in one run, with the evidence of each.

    Args:
        log_prior: $\log p$ of a batch of particles, up to a constant; $-\infty$ outside the support.
        log_likelihood: $\ell$ of a batch of particles (nats at $t=1$), differentiable by autograd.
        initial_particles: independent draws from the prior; their dtype and device are those of the run.
        generator: source of all randomness, on the device of the particles.
        temperatures: increasing $t > 0$ at which the cloud is recorded.
        conditional_ess: fraction of $N$ that one step in $t$ may leave of the conditional effective sample size.
        resample_below: resample when the effective sample size is below this fraction of $N$.
        num_leapfrog: leapfrog steps of one move; 1 is preconditioned MALA.
        max_moves: most moves in a stage.
        decorrelation: moves are repeated until the correlation, across particles, of $\ell$ with its value at the
            start of the stage is below this, and 95 % of the particles have moved.
        max_stages: most steps in $t$.
        progress: show a progress bar over $\log(1 + t)$.

    Returns:
        Dataset with `particles` (temperature, particle, coordinate), `weight` and `log_likelihood` (temperature,
        particle), weights summing to 1; `log_evidence` (temperature), $\log\int p\,e^{t\ell} / \int p$ in nats; and for
        each stage `stage_temperature`, `ess` (before resampling), `acceptance`, `moved`, `step_size`, `num_moves`,
        `correlation` (stage). `attrs` hold the settings and `num_evaluations` of the gradient for the whole cloud.

    Raises:
        ValueError: on particles that are not finite, settings out of range, densities of the wrong shape, no gradient,
            or a density that is not finite at an initial particle.
        RuntimeError: when `max_stages` do not reach the last temperature, or all particles reject all moves of a stage.

    Reference: Del Moral, Doucet & Jasra (2006), section 3; Zhou, Johansen & Aston (2016), section 3.3.
    """
    targets = [float(t) for t in temperatures]
    _check(initial_particles, generator, targets, conditional_ess, resample_below, num_leapfrog, max_moves, max_stages)
    count = len(initial_particles)
    w = initial_particles.detach().clone()
    densities = partial(_densities, log_prior, log_likelihood)
    prior, likelihood, _ = densities(w, 0.0)
    if not (prior.isfinite() & likelihood.isfinite()).all():
        bad = int((~(prior.isfinite() & likelihood.isfinite())).sum())
        raise ValueError(f"log_prior or log_likelihood is not finite at {bad} of {count} initial particles")
    log_weights = torch.full_like(likelihood, -math.log(count))
    temperature, log_evidence, step_size, evaluations = 0.0, 0.0, w.shape[1] ** -0.25, 1
    records, stages = [], []
    bar = tqdm(total=1.0, disable=not progress, desc="temperature", bar_format="{l_bar}{bar}| {elapsed}<{remaining}")
    while len(records) < len(targets):
        if len(stages) == max_stages:
            raise RuntimeError(
                f"temperature {temperature:.4g} of {targets[-1]:.4g} after {max_stages} stages: raise "
                "max_stages, lower conditional_ess, or use more particles"
            )
        step = largest_step(log_weights, likelihood, targets[len(records)] - temperature, conditional_ess * count)
        reached = temperature + step >= targets[len(records)] * (1 - 1e-12)
        temperature = targets[len(records)] if reached else temperature + step
        log_weights = log_weights + step * likelihood
        log_evidence += torch.logsumexp(log_weights, 0).item()
        log_weights = log_weights - torch.logsumexp(log_weights, 0)
        ess = effective_sample_size(log_weights)
        factor = _covariance_factor(w, log_weights.exp())
        if ess < resample_below * count:
            w = w[systematic_resample(log_weights.exp(), generator)]
            log_weights = torch.full_like(log_weights, -math.log(count))
        prior, likelihood, gradient = densities(w, temperature)
        start, accepted, moves, correlation = likelihood, 0.0, 0, 1.0
        moved = torch.zeros(count, dtype=torch.bool, device=w.device)
        while moves < max_moves and (correlation > decorrelation or moved.double().mean() < 0.95):
            w, prior, likelihood, gradient, accept = _move(
                densities, w, prior, likelihood, gradient, temperature, factor, step_size, num_leapfrog, generator
            )
            rate = accept.double().mean().item()
            moves, accepted, moved = moves + 1, accepted + rate, moved | accept
            step_size *= math.exp(0.5 * (rate - (0.574 if num_leapfrog == 1 else 0.75)))
            correlation = _correlation(start, likelihood, log_weights.exp())
        evaluations += 1 + moves * num_leapfrog
        if accepted == 0:
            raise RuntimeError(
                f"no particle moved at temperature {temperature:.4g} (step size {step_size:.3g}): "
                "is the gradient of the log-likelihood finite there?"
            )
        stages.append((temperature, ess, accepted / moves, moved.double().mean().item(), step_size, moves, correlation))
        if reached:
            records.append((w, log_weights.exp(), likelihood, log_evidence))
        bar.update(math.log1p(temperature) / math.log1p(targets[-1]) - bar.n)
    bar.close()
    particles, weight, recorded, evidence = zip(*records, strict=True)
    names = ("stage_temperature", "ess", "acceptance", "moved", "step_size", "num_moves", "correlation")
    return xr.Dataset(
        {
            "particles": (("temperature", "particle", "coordinate"), torch.stack(particles).cpu().numpy()),
            "weight": (("temperature", "particle"), torch.stack(weight).cpu().numpy()),
            "log_likelihood": (("temperature", "particle"), torch.stack(recorded).cpu().numpy()),
            "log_evidence": ("temperature", list(evidence)),
            **{name: ("stage", list(values)) for name, values in zip(names, zip(*stages, strict=True), strict=True)},
        },
        coords={"temperature": targets},
        attrs={
            "num_particles": count,
            "conditional_ess": conditional_ess,
            "resample_below": resample_below,
            "num_leapfrog": num_leapfrog,
            "max_moves": max_moves,
            "decorrelation": decorrelation,
            "num_evaluations": evaluations,
        },
    )


def _check(particles, generator, temperatures, conditional_ess, resample_below, num_leapfrog, max_moves, max_stages):
    if particles.shape[0] < 2 or particles.shape[1] < 1:
        raise ValueError(f"need at least 2 particles and 1 coordinate, got shape {tuple(particles.shape)}")
    if particles.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"initial_particles must be float32 or float64, got {particles.dtype}")
    if not particles.isfinite().all():
        raise ValueError("initial_particles hold NaN or infinity")
    if generator.device.type != particles.device.type:
        raise ValueError(f"generator is on {generator.device}, the particles on {particles.device}: use one device")
    ordered = all(a < b for a, b in zip([0.0, *temperatures], temperatures, strict=False))
    if not temperatures or not ordered or not math.isfinite(temperatures[-1]):
        raise ValueError(f"temperatures must be finite, positive and increasing, got {temperatures}")
    for name, value in (("conditional_ess", conditional_ess), ("resample_below", resample_below)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is a fraction strictly between 0 and 1, got {value}")
    for name, value in (("num_leapfrog", num_leapfrog), ("max_moves", max_moves), ("max_stages", max_stages)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def _densities(log_prior: LogDensity, log_likelihood: LogDensity, w: Tensor, temperature: float):
    """Log-prior and log-likelihood of each particle, and the gradient of their tempered sum."""
    w = w.detach().requires_grad_()
    prior, likelihood = log_prior(w), log_likelihood(w)
    for name, value in (("log_prior", prior), ("log_likelihood", likelihood)):
        if value.shape != w.shape[:1]:
            raise ValueError(f"{name} returned shape {tuple(value.shape)}, expected one value a particle: ({len(w)},)")
        if not value.requires_grad:
            raise ValueError(f"{name} has no gradient in the particles: write it in torch operations, without no_grad")
    (gradient,) = torch.autograd.grad((prior + temperature * likelihood).sum(), w)
    return prior.detach(), likelihood.detach(), gradient


def _covariance_factor(w: Tensor, weights: Tensor) -> Tensor:
    """Cholesky factor of the weighted covariance of the particles, with a small ridge against collapsed directions."""
    centred = w - weights @ w
    covariance = (centred * weights[:, None]).T @ centred
    ridge = 1e-6 * covariance.diagonal().mean() + torch.finfo(w.dtype).tiny
    return torch.linalg.cholesky(covariance + ridge * torch.eye(w.shape[1], dtype=w.dtype, device=w.device))


def _move(densities, w, prior, likelihood, gradient, temperature, factor, step_size, num_leapfrog, generator):
    r"""One Hamiltonian move of every particle in coordinates whitened by `factor`, accepted or rejected one by one.

    Each particle draws its own step size, log-uniform from `step_size` / 10 to `step_size`. With one size for all, a
    narrow mode that refuses every move can hide behind a wide mode that takes every move.
    """
    count = len(w)
    jitter = torch.rand(count, 1, generator=generator, device=w.device, dtype=w.dtype)
    epsilon = step_size * 10**-jitter
    momentum = torch.randn(w.shape, generator=generator, device=w.device, dtype=w.dtype)
    energy = prior + temperature * likelihood - momentum.square().sum(1) / 2
    proposal, slope = w, gradient
    for _ in range(num_leapfrog):
        momentum = momentum + epsilon / 2 * (slope @ factor)
        proposal = proposal + epsilon * (momentum @ factor.T)
        new_prior, new_likelihood, slope = densities(proposal, temperature)
        momentum = momentum + epsilon / 2 * (slope @ factor)
    change = new_prior + temperature * new_likelihood - momentum.square().sum(1) / 2 - energy
    uniform = torch.rand(count, generator=generator, device=w.device, dtype=w.dtype)
    # A proposal that is not a number compares false: rejected; one of infinite density is none of a distribution.
    accept = (uniform.log() < change) & (change < math.inf)
    w, gradient = torch.where(accept[:, None], proposal, w), torch.where(accept[:, None], slope, gradient)
    prior, likelihood = torch.where(accept, new_prior, prior), torch.where(accept, new_likelihood, likelihood)
    return w, prior, likelihood, gradient, accept


def _correlation(a: Tensor, b: Tensor, weights: Tensor) -> float:
    a, b = a - weights @ a, b - weights @ b
    return float((weights * a * b).sum() / ((weights * a * a).sum() * (weights * b * b).sum()).sqrt().clamp(min=1e-30))
