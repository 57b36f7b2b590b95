"""Intervals of means, slopes and rank correlations against the textbook's tables, coverage, and degenerate cases."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from devinterp_core.companion.correlations import of_rank_correlation, of_slope, within_strata
from devinterp_core.companion.criteria import at_most
from devinterp_core.companion.intervals import listed, over_seeds, prediction, verdict_of_groups, verdict_of_mean


@pytest.mark.parametrize(("n", "t"), [(3, 4.303), (5, 2.776), (10, 2.262)])  # quantiles from a printed table
def test_the_half_width_is_students_quantile_times_the_standard_error(n, t):
    values = np.arange(n) * 2.0 + 1  # mean n; sample variance of 0..n-1 is n (n + 1) / 12
    half = t * 2 * np.sqrt((n + 1) / 12)
    assert over_seeds(values) == pytest.approx((n - half, n + half), rel=1e-3)


def test_it_covers_the_mean_of_five_normal_values_in_95_of_100():
    draws = np.random.default_rng(0).normal(3.0, 2.0, (4000, 5))
    covered = np.mean([low <= 3.0 <= high for low, high in map(over_seeds, draws)])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 4000)  # 0.014; the normal quantile would cover 0.88


@pytest.mark.parametrize(("values", "expected"), [([2.0, -1.0], (-1.0, 2.0)), ([4], (4.0, 4.0)), ([1, 1, 1], (1, 1))])
def test_fewer_than_three_give_their_range_and_equal_ones_a_point(values, expected):
    assert over_seeds(values) == expected
    assert over_seeds(pd.Series(values, index=range(7, 7 + len(values)))) == expected


@pytest.mark.parametrize("values", [[], [1.0, np.nan, 2.0], [np.inf], [[1.0, 2.0]]])
def test_what_has_no_interval_is_refused(values):
    with pytest.raises(ValueError, match="one finite number a seed"):
        over_seeds(values)


def test_the_slopes_interval_is_the_textbooks():
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])
    slope, intercept, (low, high) = of_slope(x, y)
    # sums of squares by hand: Sxx = 10, Sxy = 8, residuals 3.6, so the error is sqrt(3.6 / 3 / 10); t(3) = 3.182
    assert (slope, intercept) == pytest.approx((0.8, 0.6))
    assert (low, high) == pytest.approx((0.8 - 3.182 * 0.12**0.5, 0.8 + 3.182 * 0.12**0.5), abs=2e-3)
    assert np.isnan(of_slope([1, 1, 1], [1, 2, 3])[0])


def test_rank_correlation_and_its_interval():
    value, (low, high) = of_rank_correlation([1, 2, 3, 4], [1, 8, 27, 64])
    assert (value, low, high) == pytest.approx((1, 1, 1), rel=0, abs=1e-12)
    value, (low, high) = of_rank_correlation([1.0, 2, 3, 4, 5], [2.0, 1, 4, 3, 5])
    assert value == pytest.approx(1 - 6 * 4 / (5 * 24)) and low < value < high  # four squared differences of one
    assert of_rank_correlation([1, 1, 1], [1, 2, 3]) == (0.0, (-1.0, 1.0))
    drawn = np.random.default_rng(7).integers(6, size=(50, 6))
    x, y = np.array([1.0, 1, 2, 3, 5, 8]), np.array([2.0, 1, 1, 4, 3, 9])  # with ties
    one_by_one = [spearmanr(x[rows], y[rows]).statistic for rows in drawn if np.ptp(x[rows]) and np.ptp(y[rows])]
    assert of_rank_correlation(x, y, 50, seed=7)[1] == pytest.approx(np.quantile(one_by_one, [0.025, 0.975]))
    random = np.random.default_rng(1)
    covered = sum(
        low <= 0 <= high
        for _ in range(200)
        for _, (low, high) in [of_rank_correlation(*random.normal(size=(2, 15)), num_resamples=200)]
    )
    assert 170 <= covered <= 200  # nominal 190; percentiles of so few points are a little short


@pytest.mark.parametrize("function", [of_slope, of_rank_correlation])
def test_too_few_pairs_are_refused(function):
    with pytest.raises(ValueError, match="at least three pairs"):
        function([1, 2], [1, 2])
    with pytest.raises(ValueError, match="at least three pairs"):
        function([1, 2, 3], [1, 2])


def test_a_correlation_that_is_the_difference_of_strata_is_gone_within_them():
    strata = np.repeat([0, 1, 2], 6)
    random = np.random.default_rng(4)
    x, y = 10 * strata + random.random(18), 10 * strata + random.random(18)
    assert of_rank_correlation(x, y)[0] > 0.85
    value, (low, high), chance = within_strata(x, y, strata)
    expected = np.mean([spearmanr(x[strata == s], y[strata == s]).statistic for s in range(3)])
    assert value == pytest.approx(expected) and low < value < high
    assert chance > 0.05
    value, (low, _), chance = within_strata(x, x**3, strata)
    assert value == pytest.approx(1) and low > 0.9 and chance < 0.002


def test_within_strata_too_small_or_constant_nothing_is_known():
    assert within_strata([1, 2, 3, 4], [1, 2, 3, 4], [0, 0, 1, 1])[1] == (-1, 1)
    assert within_strata([1, 1, 2, 2], [1, 2, 3, 4], [0, 0, 1, 1])[0] == 0
    with pytest.raises(ValueError, match="strata"):
        within_strata([1, 2, 3], [1, 2, 3], [0, 0])


def test_few_values_are_listed_with_their_range():
    found = listed([1234.4, 7.0], unit="steps", over="models")
    assert (found.value, found.interval, found.over) == ("1,234, 7 steps", (7.0, 1234.4), "range of 2 models")
    found = listed([0.125, np.nan], digits=2, missing="never")
    assert (found.value, found.interval) == ("0.12, never", (0.125, 0.125))
    assert listed([np.nan], missing="never").interval == "none"
    for values in ([], [np.nan], [np.inf]):
        with pytest.raises(ValueError, match="finite"):
            listed(values)


def test_two_values_decide_nothing():
    assert verdict_of_mean([1.0, 1.1, 0.9], at_most(2.0))[1] is True
    found, holds = verdict_of_mean([1.0, 2.0], at_most(2.0))
    assert holds is None and found.interval == (1.0, 2.0)


def test_groups_decide_together_and_by_their_intervals():
    table = pd.DataFrame({"count": [1] * 4 + [0] * 4, "x": [1.0, 1.1, 0.9, 1.0, 1.5, 2.5, 1.8, 2.2], "y": 1.0})
    found, holds = verdict_of_groups(table, "count", {"x": at_most(4.0)})
    assert holds is True and found.value == "so at 1, infinity"
    found, holds = verdict_of_groups(table, "count", {"x": at_most(2.0)})
    assert holds is None and found.value == "so at 1; undecided at infinity"
    found, holds = verdict_of_groups(table, "count", {"x": at_most(1.2)})
    assert holds is False and found.value == "so at 1; not so at infinity"
    assert verdict_of_groups(table, "count", {"x": at_most(4.0), "y": at_most(0.5)})[1] is False
    found, holds = verdict_of_groups(table.iloc[:4], "count", {"x": at_most(4.0), "y": at_most(2.0)})
    assert holds is True and found.value == pytest.approx(1.0) and found.interval == over_seeds(table.x[:4])
    assert verdict_of_groups(table.iloc[:2], "count", {"x": at_most(4.0)})[1] is None  # two seeds
    for rows, asked in ((0, {"x": at_most(4.0)}), (4, {})):
        with pytest.raises(ValueError, match="nothing to decide"):
            verdict_of_groups(table.iloc[:rows], "count", asked)


def test_one_further_value_falls_in_its_interval_as_often_as_said():
    draws = np.random.default_rng(0).normal(size=(3000, 6))
    found = [prediction(row[:5], "networks").interval for row in draws]
    inside = [low <= row[5] <= high for row, (low, high) in zip(draws, found, strict=True)]
    assert 0.935 < np.mean(inside) < 0.965
    with pytest.raises(ValueError, match="two finite"):
        prediction([1.0], "networks")
