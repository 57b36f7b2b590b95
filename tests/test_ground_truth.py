"""The sweeps of the first two chapters: short chains against the closed forms and quadratures beside them."""

import math

import pandas as pd
import pytest
import torch

from devinterp_core import dln, potentials
from devinterp_core.companion import intervals
from devinterp_core.companion.estimates import row_of
from devinterp_core.companion.studies import deep_linear, ground_truth
from devinterp_core.sampler import sample


def test_a_row_has_the_estimate_with_its_interval():
    draws = sample(
        potentials.Quadratic(torch.ones(4).double()), torch.zeros(1).double(), lambda model, x: model(x),
        step_size=1e-2, n_beta=10.0, num_chains=20, num_draws=400, num_burnin=100, progress=False,
    )  # fmt: skip
    row = row_of(draws, name="bowl")
    assert row["name"] == "bowl" and row["low"] < row["estimate"] < row["high"] and row["num_diverged"] == 0
    assert row["estimate"] == pytest.approx(potentials.quadratic_llc(torch.ones(4).double(), 10.0, 1.0, 1e-2), rel=0.15)


def test_monomials_on_the_population_loss_lie_on_the_quadrature():
    table = ground_truth.population_monomials([(0, 1)], [10.0], num_chains=40, num_draws=200, seed=0)
    (row,) = table.itertuples()
    assert (row.powers, row.truth, row.multiplicity) == ("(0, 1)", 0.5, 1)
    assert row.estimate == pytest.approx(row.exact, rel=0.1)


def test_two_points_on_the_same_data_sets():
    table = ground_truth.two_points(2, num_samples=100, noise=0.5, num_steps=40, seed=0)
    assert table.point.tolist() == ["origin", "line"] * 2 and table.repeat.tolist() == [0, 0, 1, 1]
    exact = table.groupby("point").exact.unique()
    assert len(exact["line"]) == 1 and exact["origin"][0] < exact["line"][0]


def test_data_sets_of_monomials():
    table = ground_truth.sampled_monomials(
        [(0, 1), (1, 0)], num_samples=50, noise=0.5, num_seeds=2, num_steps=400, seed=0
    )
    assert table.powers.tolist() == ["(0, 1)", "(1, 0)"] * 2 and table.data_set.tolist() == [0, 0, 1, 1]
    assert table.estimate.nunique() == 4 and table.estimate.abs().max() < 2
    exact = ground_truth.exact_on_data_sets([(0, 1)], num_samples=50, noise=0.5, num_seeds=2, seed=0)
    assert exact.exact.tolist() == table.exact[table.powers == "(0, 1)"].tolist()


def test_exact_means_of_pairs_tend_to_their_coefficients():
    pairs = pd.DataFrame([(1, 2, 0, 0), (2, 1, 2, 2)], columns=["k1", "k2", "h1", "h2"])
    table = ground_truth.exact_pairs(pairs, [1e3, 1e10], 0.5)
    assert table.truth.tolist() == [0.25, 0.75] and table.prior.tolist() == ["(0, 0)", "(2, 2)"]
    assert table[1e10].to_numpy() == pytest.approx(table.truth.to_numpy(), rel=0.02)


def test_reduced_rank_by_both_samplers():
    table = ground_truth.reduced_rank({"small": (2, 2, 2, 1)}, [1e4], 30.0, num_draws=200, num_steps=400, seed=0)
    assert table.sampler.tolist() == ["gibbs", "gibbs", "sgnht"] and table.n_beta.tolist() == [30.0, 1e4, 30.0]
    row = table.iloc[1]
    assert row.estimate == pytest.approx(row.truth - (row.multiplicity - 1) / math.log(1e4), rel=0.1)


def test_a_quadratic_loss_over_localisers_and_steps():
    curvatures = torch.tensor([0.5, 1.0]).double()
    rows, fine = ground_truth.quadratic_sweep(curvatures, 50.0, [1.0], [0.5, 2.0], num_draws=200, seed=0)
    assert rows.estimate.to_numpy() == pytest.approx(rows.exact.to_numpy(), rel=0.15)
    assert rows.exact.iloc[0] == potentials.quadratic_llc(curvatures, 50.0, 1.0, 0.5 / 51)
    assert fine.relative_step.is_monotonic_increasing and len(fine) == 200


def test_least_squares_is_the_minimum_of_a_regular_model():
    model, data = potentials.linear_regression(3, 40, seed=1)
    at_minimum = potentials.linear_regression_loss(model, data).mean()
    at_minimum.backward()
    assert model.weight.grad.abs().max() < 1e-12
    with pytest.raises(ValueError, match="num_samples"):
        potentials.linear_regression(5, 4, seed=0)


def test_a_rescaled_network_by_three_samplers():
    network = dln.redundant_relu_network(3, 9, 2, seed=0)
    table = deep_linear.rescaling_sweep(network, [1.0, 100.0], num_steps=20, seed=0)
    scaled = table[table.sampler == "co-scaled"].estimate
    assert scaled.max() == pytest.approx(scaled.min(), rel=1e-3)
    plain = table[table.sampler == "plain"].set_index("scale").estimate
    assert math.isfinite(plain[1.0])
    assert plain[1.0] == table[(table.sampler == "calibrated") & (table.scale == 1)].estimate.item()


def test_the_median_lies_in_its_interval():
    found = intervals.median([1.0, 2.0, 3.0, 4.0, 50.0], "networks")
    assert found.value == 3.0 and found.interval[0] <= 3.0 <= found.interval[1] and "5 networks" in found.over
    with pytest.raises(ValueError, match="two"):
        intervals.median([1.0])


def test_measurements_together_keep_their_order():
    found = intervals.together([intervals.mean([1.0, 1.0, 1.0]), intervals.mean([2.0, 2.0, 2.0])])
    assert (found.value, found.interval) == ("1.00, 2.00", "1.00 to 1.00; 2.00 to 2.00")
    with pytest.raises(ValueError, match="no measurements"):
        intervals.together([])


def test_the_sweep_over_localisers_reaches_both_coefficients():
    example = dln.Architecture(widths=(4, 3, 6, 6), layer_ranks=(3, 1, 4))
    model = dln.random_network(example, seed=0)
    table = deep_linear.localiser_sweep(model, [1e4], [1.0, 1e9], num_draws=40, seed=0)
    assert isinstance(table, pd.DataFrame) and table.localization.tolist() == [1.0, 1e9]
    assert table.estimate.iloc[0] > 5 * table.estimate.iloc[1]  # behind so narrow a localiser the loss cannot be seen
