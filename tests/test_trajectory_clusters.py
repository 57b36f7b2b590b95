"""Clusters of curves on curves whose clusters are known; agreement against textbook values."""

import numpy as np
import pytest
from scipy.special import comb

from devinterp_core.trajectory.clusters import adjusted_rand, cluster_curves


def curves(noise=0.05):
    t = np.linspace(0, 1, 9)
    random = np.random.default_rng(0)
    shapes = [5 * t, 5 * t, 1 + 0 * t, 1 + 0 * t, 3 * t**4, 3 * t**4]
    return np.array([shape + noise * random.normal(size=9) for shape in shapes])


def test_clusters_are_found_and_numbered_by_their_last_value():
    assert cluster_curves(curves(), 3).tolist() == [2, 2, 0, 0, 1, 1]
    assert cluster_curves(curves(), 1).tolist() == [0] * 6


def test_scaling_looks_at_the_shape_only():
    t = np.linspace(0, 1, 9)
    shapes = np.array([t, 10 * t, t**6, 10 * t**6])
    for scale in ("standardize", "min-max"):
        labels = cluster_curves(shapes, 2, scale)
        assert labels[0] == labels[1] != labels[2] == labels[3]
    assert cluster_curves(shapes, 2, "none").tolist() == [0, 1, 0, 1]
    assert len(set(cluster_curves(np.array([np.ones(4), np.ones(4) * 2, np.arange(4.0)]), 2, "standardize")[:2])) == 1


def test_the_index_is_hubert_and_arabies_formula():
    labels, types = list("aaabbbcc"), [0, 0, 1, 1, 1, 2, 2, 2]
    table = np.array([[2, 1, 0], [0, 2, 1], [0, 0, 2]])
    pairs = comb(table, 2).sum()
    rows, columns = comb(table.sum(1), 2).sum(), comb(table.sum(0), 2).sum()
    expected = rows * columns / comb(8, 2)
    value, (low, high), chance = adjusted_rand(labels, types)
    assert value == pytest.approx((pairs - expected) / ((rows + columns) / 2 - expected))
    assert low <= value <= high and 0 < chance < 1


def test_equal_partitions_are_one_and_chance_is_the_share_of_permutations():
    value, interval, chance = adjusted_rand(["x", "x", "y", "y"], [7, 7, 3, 3], num_resamples=6000)
    assert value == 1 and interval[1] == 1
    assert chance == pytest.approx(1 / 3, abs=0.03)  # 8 of the 24 permutations keep the pairs


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="need 1 to 6 clusters"):
        cluster_curves(curves(), 7)
    with pytest.raises(ValueError, match="two or more objects"):
        adjusted_rand([1], [1])
    with pytest.raises(ValueError, match="two or more objects"):
        adjusted_rand([1, 2], [1, 2, 3])
