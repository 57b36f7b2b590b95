"""The rise of a loss after its lowest checkpoint: exact curves, and noise whose order statistics are known."""

import numpy as np
import pytest
from scipy import integrate, stats

from devinterp_core.trajectory.rise import rise_after_minimum


def test_a_curve_without_noise_gives_its_own_rise():
    curve = np.array([5.0, 3.0, 2.0, 2.5, 2.75])
    found = rise_after_minimum(np.stack([curve, curve + 1, curve - 0.5], axis=1))
    assert (found.critical, found.minimum, found.final) == (2, 2 + 0.5 / 3, 2.75 + 0.5 / 3)
    assert found.rise == found.uncorrected == 0.75


def test_a_falling_curve_does_not_rise():
    found = rise_after_minimum(np.array([[3.0, 4.0], [2.0, 3.0], [1.0, 2.0]]))
    assert (found.critical, found.rise, found.uncorrected) == (2, 0.0, 0.0)


def test_each_fold_is_read_where_the_others_are_lowest():
    # fold 0 is lowest at 1, fold 1 at 2: fold 0 is read at 2 (3.0), fold 1 at 1 (4.0); the sum is lowest at 1
    found = rise_after_minimum(np.array([[5.0, 5.0], [1.0, 4.0], [3.0, 2.5], [4.0, 5.0]]))
    assert (found.critical, found.minimum, found.final) == (1, 3.5, 4.5)
    assert found.rise == 1.0
    assert found.uncorrected == 2.0


def test_noise_alone_makes_no_rise_though_the_uncorrected_one_is_large():
    num_checkpoints, num_folds, repeats = 50, 2, 2000
    noise = np.random.default_rng(0).normal(2.0, 1.0, (repeats, num_checkpoints, num_folds))
    found = [rise_after_minimum(curve) for curve in noise]
    rises, uncorrected = np.array([(each.rise, each.uncorrected) for each in found]).T
    # E[max of n standard normals], by quadrature; the mean of two folds has standard deviation 1 / sqrt 2
    density = lambda z: z * num_checkpoints * stats.norm.pdf(z) * stats.norm.cdf(z) ** (num_checkpoints - 1)
    bias = integrate.quad(density, -10, 10)[0] / np.sqrt(num_folds)
    assert bias > 1.5
    assert abs(rises.mean()) < 4 * rises.std() / np.sqrt(repeats) < 0.1
    assert abs(uncorrected.mean() - bias) < 4 * uncorrected.std() / np.sqrt(repeats) < 0.1


@pytest.mark.parametrize(("noise", "least"), [(0.01, 0.49), (1.0, 0.0)])
def test_on_average_it_is_at_most_the_true_rise(noise, least):
    true = 0.5 * np.abs(np.linspace(-1, 1, 21))  # falls to 0 and rises by 0.5
    draws = np.random.default_rng(1).normal(0.0, noise, (1000, 21, 2))
    rises = np.array([rise_after_minimum(true[:, None] + each).rise for each in draws])
    error = rises.std() / np.sqrt(len(rises))
    assert least < rises.mean() < 0.5 + 4 * error
    assert noise < 0.1 or rises.mean() < 0.5 - 4 * error  # with much noise the lowest checkpoint is missed


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (np.ones((3, 1)), "2 folds"),
        (np.ones((0, 2)), "checkpoint, fold"),
        (np.array([[1.0, np.nan]]), "NaN"),
    ],
)
def test_what_is_no_curve_is_refused(losses, message):
    with pytest.raises(ValueError, match=message):
        rise_after_minimum(losses)
