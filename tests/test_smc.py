"""Tempered SMC against closed forms: Gaussian, conjugate linear model, a mixture with known weights."""

import math

import numpy as np
import pytest
import torch

from devinterp_core.smc import assimilate, effective_sample_size, systematic_resample, temper

NUM_PARTICLES = 2000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal_prior(w):
    return -w.square().sum(1) / 2


def prior_draws(dim, rng, count=NUM_PARTICLES):
    return torch.randn(count, dim, generator=rng, dtype=torch.float64)


def run_gaussian(seed, temperatures=(1.0, 10.0, 100.0), **settings):
    """Prior N(0, 1) on each coordinate, log-likelihood -sum_j h_j (w_j - m_j)^2 / 2."""
    rng = generator(seed)
    precision = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    centre = torch.tensor([0.5, -1.0, 1.5], dtype=torch.float64)
    draws = temper(
        normal_prior,
        lambda w: -((w - centre).square() @ precision) / 2,
        prior_draws(3, rng),
        generator=rng,
        temperatures=temperatures,
        **settings,
    )
    return draws, precision.numpy(), centre.numpy()


@pytest.mark.parametrize("num_leapfrog", [1, 8])
def test_gaussian_posterior_and_evidence_at_every_temperature(num_leapfrog):
    draws, precision, centre = run_gaussian(0, num_leapfrog=num_leapfrog, max_moves=40)
    for t in draws.temperature.values:
        at = draws.sel(temperature=t)
        variance = 1 / (1 + t * precision)
        mean = variance * t * precision * centre
        exact = 0.5 * np.sum(np.log(variance) - t * precision * centre**2 * variance)
        assert abs(float(at.log_evidence) - exact) < 0.15
        weights = at.weight.values
        size = effective_sample_size(torch.tensor(weights).log())
        estimate = weights @ at.particles.values
        spread = weights @ (at.particles.values - estimate) ** 2
        assert np.all(np.abs(estimate - mean) < 4.5 * np.sqrt(variance / size))
        assert np.all(np.abs(spread / variance - 1) < 4.5 * np.sqrt(2 / size))


def test_evidence_of_a_conjugate_linear_model():
    rng = generator(1)
    inputs = torch.randn(30, 5, generator=rng, dtype=torch.float64)
    noise = 0.3
    targets = inputs @ torch.randn(5, generator=rng, dtype=torch.float64) + noise * torch.randn(
        30, generator=rng, dtype=torch.float64
    )
    marginal = torch.distributions.MultivariateNormal(
        torch.zeros(30, dtype=torch.float64), inputs @ inputs.T + noise**2 * torch.eye(30, dtype=torch.float64)
    )
    exact = marginal.log_prob(targets).item()

    def log_likelihood(w):
        return torch.distributions.Normal(w @ inputs.T, noise).log_prob(targets).sum(1)

    draws = temper(normal_prior, log_likelihood, prior_draws(5, rng), generator=rng)
    assert abs(draws.log_evidence.item() - exact) < 0.25  # 25 nats from the prior's typical value; spread about 0.05
    covariance = torch.linalg.inv(torch.eye(5, dtype=torch.float64) + inputs.T @ inputs / noise**2)
    mean = covariance @ inputs.T @ targets / noise**2
    z = (torch.tensor(draws.particles.values[0].mean(0)) - mean) / covariance.diagonal().sqrt()
    assert z.abs().max() < 4.5 / math.sqrt(NUM_PARTICLES / 4)


def mixture(w, mass=0.3, separation=6.0, widths=(0.15, 0.05)):
    """Log-density of two Gaussians, masses `mass` and 1 - mass, `separation` apart, one three times narrower."""
    parts = []
    for share, sign, width in ((mass, -1, widths[0]), (1 - mass, 1, widths[1])):
        centre = torch.zeros(w.shape[1], dtype=w.dtype)
        centre[0] = sign * separation / 2
        normal = -((w - centre) / width).square().sum(1) / 2 - w.shape[1] * math.log(width * math.sqrt(2 * math.pi))
        parts.append(math.log(share) + normal)
    return torch.logsumexp(torch.stack(parts), 0)


def run_mixture(seed):
    """Prior N(0, 3^2) in two dimensions; the likelihood is the mixture over the prior, so the answers are known.

    The narrow mode holds 10 % of the mass on the way and 70 % at the end: a step size that suits the wide mode only
    leaves the narrow one frozen, and its final mass wrong by up to half.
    """
    rng = generator(seed)

    def prior(w):
        return -(w / 3).square().sum(1) / 2

    def log_likelihood(w):
        return mixture(w) - prior(w) + 2 * math.log(3 * math.sqrt(2 * math.pi))

    draws = temper(prior, log_likelihood, 3 * prior_draws(2, rng), generator=rng, conditional_ess=0.9, max_moves=8)
    right = draws.particles.values[0][:, 0] > 0
    return draws.log_evidence.item(), float(draws.weight.values[0] @ right)


def test_two_modes_keep_their_masses_and_independent_runs_agree():
    runs = np.array([run_mixture(seed) for seed in range(4)])
    evidence, mass = runs.T
    assert abs(evidence.mean()) < 0.2  # the mixture over the prior integrates to exactly 1; one run spreads by 0.1
    assert abs(mass.mean() - 0.7) < 0.06
    assert np.abs(mass - 0.7).max() < 0.12 and evidence.std(ddof=1) < 0.25


def test_blocks_of_data_add_up():
    """Evidence of a conjugate linear model after 10, 20 and 30 of its samples, and the mean of the last posterior."""
    rng = generator(4)
    inputs = torch.randn(30, 3, generator=rng, dtype=torch.float64)
    targets = inputs @ torch.ones(3, dtype=torch.float64) + 0.5 * torch.randn(30, generator=rng, dtype=torch.float64)

    def block(start):
        rows = slice(start, start + 10)
        return lambda w: torch.distributions.Normal(w @ inputs[rows].T, 0.5).log_prob(targets[rows]).sum(1)

    draws = assimilate(normal_prior, [block(0), block(10), block(20)], prior_draws(3, rng), generator=rng)
    assert draws.sizes == {"block": 3, "particle": NUM_PARTICLES, "coordinate": 3}
    for index, count in enumerate((10, 20, 30)):
        x, y = inputs[:count], targets[:count]
        covariance = x @ x.T + 0.25 * torch.eye(count, dtype=torch.float64)
        exact = torch.distributions.MultivariateNormal(torch.zeros_like(y), covariance).log_prob(y).item()
        assert abs(float(draws.log_evidence[index]) - exact) < 0.2
    covariance = torch.linalg.inv(torch.eye(3, dtype=torch.float64) + inputs.T @ inputs / 0.25)
    mean = draws.weight.values[-1] @ draws.particles.values[-1]
    z = (torch.tensor(mean) - covariance @ inputs.T @ targets / 0.25) / covariance.diagonal().sqrt()
    assert z.abs().max() < 4.5 / math.sqrt(NUM_PARTICLES / 4)


def test_no_block_of_data_is_refused():
    with pytest.raises(ValueError, match="log_likelihoods is empty"):
        assimilate(normal_prior, [], prior_draws(2, generator()), generator=generator())


def test_particles_decorrelate_and_diagnostics_are_kept():
    draws, *_ = run_gaussian(5)
    assert draws.acceptance.min() > 0.3
    assert draws.moved.min() >= 0.95
    assert draws.correlation.mean() < 0.2
    assert draws.stage_temperature.values[-1] == 100.0
    assert np.all(np.diff(draws.stage_temperature.values) > 0)
    assert draws.attrs["num_evaluations"] == 1 + draws.sizes["stage"] + 8 * int(draws.num_moves.sum())
    np.testing.assert_allclose(draws.weight.sum("particle"), 1, rtol=1e-9)


def test_same_generator_same_draws():
    first, *_ = run_gaussian(7, temperatures=(1.0,))
    second, *_ = run_gaussian(7, temperatures=(1.0,))
    third, *_ = run_gaussian(8, temperatures=(1.0,))
    np.testing.assert_array_equal(first.particles, second.particles)
    assert not np.array_equal(first.particles, third.particles)


def test_systematic_resampling_is_unbiased_and_within_one_copy():
    weights = torch.tensor([0.05, 0.5, 0.0, 0.31, 0.14], dtype=torch.float64)
    rng = generator()
    counts = torch.stack([systematic_resample(weights, rng).bincount(minlength=5) for _ in range(4000)])
    assert ((counts - 5 * weights).abs() < 1).all()
    assert ((counts.double().mean(0) - 5 * weights).abs() < 0.04).all()


def test_effective_sample_size_counts_equal_weights():
    assert effective_sample_size(torch.tensor([0.5, 0.5, 0.0]).log()) == pytest.approx(2)


BAD_INPUTS = {
    "NaN or infinity": {"initial_particles": torch.full((10, 2), math.nan)},
    "at least 2 particles": {"initial_particles": torch.zeros(1, 2)},
    "increasing": {"temperatures": (1.0, 0.5)},
    "positive": {"temperatures": (0.0, 1.0)},
    "finite, positive": {"temperatures": ()},
    "conditional_ess": {"conditional_ess": 1.0},
    "resample_below": {"resample_below": 0.0},
    "num_leapfrog": {"num_leapfrog": 0},
    "log_likelihood returned shape": {"log_likelihood": lambda w: w},
    "log_prior returned shape": {"log_prior": lambda w: w.sum()},
    "log_likelihood has no gradient": {"log_likelihood": lambda w: w.detach().sum(1)},
    "not finite at 10 of 10": {"log_likelihood": lambda w: w.sum(1) * math.inf},
}


@pytest.mark.parametrize("message", BAD_INPUTS)
def test_bad_input_is_refused_at_once(message):
    settings = {
        "log_prior": normal_prior,
        "log_likelihood": lambda w: -w.square().sum(1),
        "initial_particles": torch.randn(10, 2, generator=generator()),
        "generator": generator(),
    } | BAD_INPUTS[message]
    with pytest.raises(ValueError, match=message):
        temper(**settings)


def test_too_few_stages_is_an_error_that_says_what_to_change():
    with pytest.raises(RuntimeError, match="raise max_stages"):
        run_gaussian(0, max_stages=2)


def test_a_support_is_respected():
    """Half-normal prior: proposals outside have log-prior -inf and are refused; E w = 2 phi(0) / sqrt(2)."""
    rng = generator(2)

    def half_normal(w):
        return torch.where((w > 0).all(1), normal_prior(w), normal_prior(w) - math.inf)

    draws = temper(half_normal, lambda w: -w.square().sum(1) / 2, prior_draws(1, rng).abs(), generator=rng)
    assert draws.particles.min() > 0
    assert draws.log_evidence.item() == pytest.approx(-0.5 * math.log(2), abs=0.05)
    assert float(draws.particles.mean()) == pytest.approx(math.sqrt(2 / math.pi) / math.sqrt(2), abs=0.04)
