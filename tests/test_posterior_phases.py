"""Phases of posteriors by SMC, and where they cross."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from devinterp_core import tms
from devinterp_core.companion import intervals
from devinterp_core.companion.studies import posterior_phases
from devinterp_core.tms.evidence import laplace_log_evidence


def test_log_odds_cross_where_they_are_zero_whatever_the_noise():
    n = [100.0, 200.0, 300.0, 400.0]
    odds = np.array([[-1.0, 0.5, -0.5, 1.0], [1.0, 2.0, 3.0, 4.0]])  # noisy, and on the far side from the start
    index = pd.MultiIndex.from_product([[0, 1], n], names=["run", "n"])
    shares = pd.DataFrame({4: 1 / (1 + np.exp(odds.ravel())), 5: 1 / (1 + np.exp(-odds.ravel()))}, index=index)
    first, second = posterior_phases.crossings(shares, 4, 5)
    assert 200 <= first <= 300  # the running maximum would have crossed at 167
    assert second == 100


def test_shares_of_phases_add_up_and_follow_the_weights():
    cloud = {"weight": [[[0.5, 0.3, 0.2]]], "k": [[[4, 4, 5]]], "sigma": [[[0, 1, 0]]]}
    draws = xr.Dataset({name: (("run", "n", "particle"), values) for name, values in cloud.items()})
    draws = draws.assign_coords(run=[0], n=[100])
    shares = posterior_phases.phase_shares(draws, 5).set_index(["k", "sigma"]).share
    assert shares[4, 0] == 0.5
    assert shares[4, 1] == 0.3
    assert shares[5, 0] == 0.2
    assert shares.sum() == pytest.approx(1)


def test_a_small_posterior_given_data():
    data = tms.one_hot_data(60, 6, seed=3, dtype=torch.float64)
    settings = {"conditional_ess": 0.5, "num_leapfrog": 2, "decorrelation": 0.8}
    table = posterior_phases.data_posterior(data, [30, 60], 40, torch.Generator().manual_seed(0), **settings)
    assert table.n.tolist() == [30, 60]
    assert (table.without_weakest <= table.five + 1e-12).all()
    assert table.log_evidence[1] < table.log_evidence[0] < 0
    both = posterior_phases.data_posteriors([data, data], [30, 60], 40, run=0, seed=0, **settings)
    assert both.data_set.tolist() == [0, 0, 1, 1]
    pd.testing.assert_frame_equal(both[both.data_set == 0][table.columns], table)
    with pytest.raises(ValueError, match="0 to 9"):
        posterior_phases.data_posteriors([data], [30], 40, run=10, seed=0)


def test_the_median_of_order_statistics():
    found = intervals.median([5.0, 1.0, 4.0, 2.0, 3.0, 6.0], "data sets")
    assert found.value == 3.5
    assert found.interval == (1.0, 6.0)
    assert found.over == "97%, order statistics, 6 data sets"
    assert intervals.median(range(30), "runs").interval == (9.0, 20.0)
    draws = np.random.default_rng(0).exponential(size=(2000, 11))
    low, high = np.transpose([intervals.median(row, "runs").interval for row in draws])
    assert 0.95 < ((low <= np.log(2)) & (np.log(2) <= high)).mean() < 0.995
    with pytest.raises(ValueError, match="finite"):
        intervals.median([], "runs")


def test_formulas_cross_where_their_curves_do():
    leading, laplace = posterior_phases.formula_crossings()
    assert leading == pytest.approx(601, abs=0.5)
    curves = posterior_phases.formula_curves([2 * leading, leading, laplace])
    assert curves["leading formula"][0] == pytest.approx(0, abs=1e-6)
    assert curves["leading formula, n as in the paper"][1] == pytest.approx(0, abs=1e-6)
    assert curves["Laplace, all constants"][2] == pytest.approx(0, abs=1e-6)


def test_evidence_over_that_of_laplace():
    n = [600.0, 1200.0]
    draws = xr.Dataset({"log_evidence": (("run", "n"), [[0.0, 1.0]])}, coords={"run": [0], "n": n})
    table = posterior_phases.evidence_beside_laplace(draws)
    both = [np.logaddexp(*(laplace_log_evidence(k, 6, size / 2) for k in (5, 6))) for size in n]
    assert table.excess.tolist() == pytest.approx([-both[0], 1 - both[1]])
