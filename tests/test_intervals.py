"""Intervals over seeds: the textbook's table of Student's t, coverage, and the range of one or two values."""

import numpy as np
import pandas as pd
import pytest

from devinterp_core.companion.intervals import over_seeds


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
