"""What an estimate says about its own uncertainty, from draws made by hand and from exact draws from two sides."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from scipy import stats

from devinterp_core.dln import Architecture, gibbs_sample, random_network
from devinterp_core.llc import coefficient_table, local_learning_coefficient

N_BETA, DIMENSION = 10.0, 5


def draws_of(values, virial=None):
    """Draws whose estimates are `values[chain, draw]`."""
    values = np.asarray(values, dtype=float)
    rng = np.random.default_rng(1)
    virial = DIMENSION + rng.standard_normal(values.shape) if virial is None else virial
    return xarray.Dataset(
        {
            "loss_difference": (("chain", "draw"), values / N_BETA),
            "virial": (("chain", "draw"), np.broadcast_to(virial, values.shape)),
            "diverged": (("chain",), np.zeros(len(values), dtype=bool)),
        },
        attrs={"n_beta": N_BETA, "dimension": DIMENSION},
    )


def noise(chains, length, seed=0):
    return np.random.default_rng(seed).standard_normal((chains, length))


def autoregressive(chains, length, rho, seed):
    """Stationary, of unit variance and autocorrelation rho^k."""
    steps, x = noise(chains, length, seed), np.empty((chains, length))
    x[:, 0] = steps[:, 0]
    for k in range(1, length):
        x[:, k] = rho * x[:, k - 1] + math.sqrt(1 - rho**2) * steps[:, k]
    return x


def test_chains_that_disagree_make_students_interval_between_them():
    offsets = np.array([0.0, 1.0, 2.0, 3.0])
    estimate = local_learning_coefficient(draws_of(5 + 0.01 * noise(4, 300) + offsets[:, None]))
    half = stats.t.ppf(0.975, 3) * estimate.per_chain.std(ddof=1) / 2
    interval = estimate.interval()
    low, high = interval
    assert interval.dominated_by == "chains" or interval.parts["draws"] > interval.parts["chains"]
    assert interval.parts["chains"] == pytest.approx(half)
    assert high - low >= 2 * half * (1 - 1e-9)
    assert low < 5 < 8 < high + 2
    assert pickle.loads(pickle.dumps(interval)).parts == interval.parts


def test_draws_dominate_where_the_chains_happen_to_agree():
    values = autoregressive(4, 400, 0.9, seed=0)
    values -= values.mean(1, keepdims=True)
    estimate = local_learning_coefficient(draws_of(values))
    assert estimate.between_chain_error < 1e-9
    parts, t = estimate.interval().parts, stats.t.ppf(0.975, estimate.ess - 1)
    assert parts["draws"] == pytest.approx(t * estimate.standard_error) and parts["chains"] < 1e-8
    assert estimate.interval().high == pytest.approx(math.hypot(parts["draws"], parts["drift"]))
    assert estimate.interval(0.5).high < 0.5 * estimate.interval().high


def test_a_drift_that_all_chains_share_widens_the_interval_to_where_it_leads():
    """Relaxation to 10 over half the kept draws: all chains agree, the mean is low, the interval knows."""
    path = 10 * (1 - np.exp(-np.linspace(0, 2, 400)))  # mean 5.7 of a limit of 10
    estimate = local_learning_coefficient(draws_of(path + 0.05 * noise(4, 400)))
    interval = estimate.interval()
    assert estimate.drift == pytest.approx(path[-133:].mean() - path[:133].mean(), abs=0.03)
    assert estimate.mean < 6 and interval.dominated_by == "drift"
    assert interval.parts["drift"] == pytest.approx(1.5 * estimate.drift)
    assert interval.high > 10


def test_the_interval_of_level_chains_covers_as_often_as_it_says_and_is_not_much_wider():
    covered, widths = [], []
    for seed in range(300):
        estimate = local_learning_coefficient(draws_of(autoregressive(4, 300, 0.8, seed)))
        low, high = estimate.interval()
        covered.append(low < 0 < high)
        widths.append((high - low) / 2)
    assert 0.95 <= np.mean(covered) <= 1.0
    exact = 1.96 * math.sqrt((1 + 0.8) / (1 - 0.8) / 1200)  # normal quantile times the true standard error
    assert exact < np.median(widths) < 2.5 * exact


def test_constant_draws_are_not_effective_draws():
    for values in (np.zeros((4, 100)), np.full((4, 100), 3.0), 3.0 + 1e-16 * noise(4, 100)):
        estimate = local_learning_coefficient(draws_of(values))
        assert estimate.ess == 0 and estimate.standard_error == math.inf and math.isnan(estimate.r_hat)
        assert estimate.interval() == (-math.inf, math.inf)
        assert estimate.interval().dominated_by == "nothing known"


def test_draws_that_are_not_finite_are_diverged_whoever_made_them():
    values = noise(4, 50)
    values[2, 30] = np.nan
    estimate = local_learning_coefficient(draws_of(values))
    assert estimate.num_diverged == 1 and math.isfinite(estimate.mean)
    with pytest.raises(ValueError, match="all 4 chains diverged"):
        local_learning_coefficient(draws_of(np.full((4, 50), np.inf)))


def test_the_virial_ratio_has_the_standard_error_of_its_draws():
    virial = DIMENSION * (1 + 3 * noise(4, 500, seed=3))
    estimate = local_learning_coefficient(draws_of(noise(4, 500), virial))
    assert estimate.virial_standard_error == pytest.approx(3 / math.sqrt(2000), rel=0.25)
    assert abs(estimate.virial_ratio - 1) < 4 * estimate.virial_standard_error


def test_the_table_has_the_interval():
    several = xarray.concat([draws_of(noise(4, 60, seed)) for seed in range(3)], dim="model")
    table = coefficient_table(several, pd.DataFrame({"step": [1, 2, 3]}))
    alone = local_learning_coefficient(several.isel(model=1))
    assert (table.low[1], table.high[1]) == tuple(alone.interval())
    assert table.virial_standard_error[1] == alone.virial_standard_error and table.drift[1] == alone.drift


def test_exact_draws_from_two_sides_show_what_one_side_cannot():
    """A basin that Gibbs sweeps from w* do not leave: one-sided chains agree with each other, two-sided ones do not."""
    model = random_network(Architecture((10, 6, 16, 16), (6, 2, 12)), seed=0, dtype=torch.float64)
    settings = dict(n_beta=1e10, localization=1e3, num_chains=4, num_draws=100, num_burnin=100, progress=False)
    inside, both = (gibbs_sample(model, start=start, **settings) for start in ("centre", "both"))
    one_sided, two_sided = local_learning_coefficient(inside), local_learning_coefficient(both)
    assert one_sided.r_hat < 1.03 and abs(one_sided.mean - 50) < 2
    assert two_sided.r_hat > 1.1 and two_sided.per_chain[2:].max() < 46
    low, high = two_sided.interval()
    assert low < two_sided.per_chain.min() and two_sided.per_chain.max() < high
    easy = gibbs_sample(model, start="both", **settings | {"localization": 1.0, "n_beta": 1e6})
    assert local_learning_coefficient(easy).r_hat < 1.03
    with pytest.raises(ValueError, match="start must be one of"):
        gibbs_sample(model, start="middle", **settings)
    with pytest.raises(ValueError, match="level"):
        one_sided.interval(1.0)
