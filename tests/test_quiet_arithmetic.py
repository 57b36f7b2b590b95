"""Inputs that gave another number without a word: integers, NaN, complex and half precision; right, or refused."""

from fractions import Fraction

import jaxtyping
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from devinterp_core import dln, potentials, regression, smc, tms, trajectory
from devinterp_core.tms.empirical import EmpiricalLoss
from devinterp_core.trajectory.clusters import adjusted_rand, cluster_curves
from devinterp_core.trajectory.crossing import crossing_step
from devinterp_core.trajectory.smoothing import smooth

REFUSED = (ValueError, TypeError, jaxtyping.TypeCheckError)  # in tests the annotations are checked first


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_smoothing_is_that_of_the_same_numbers_in_float64(dtype):
    steps = (np.arange(20) % 3 > 0).astype(dtype)
    np.testing.assert_allclose(smooth(steps, 2.0, 3.0), smooth(steps.astype(float), 2.0, 3.0), rtol=1e-6)
    assert 0.4 < smooth(steps, 2.0, 3.0)[10] < 0.9
    circles = [trajectory.osculating_circles((10 * np.eye(5, 2)).astype(t)) for t in (np.int64, float)]
    np.testing.assert_array_equal(circles[0].centre, circles[1].centre)


@pytest.mark.parametrize(
    "call",
    [
        lambda z: smooth(z),
        lambda z: trajectory.JointPCA.fit(z, 1),
        lambda z: trajectory.JointPCA.fit(z.real, 1).transform(z),
        lambda z: trajectory.rise_after_minimum(z),
        lambda z: trajectory.osculating_circles(z),
        lambda z: cluster_curves(z, 2),
        lambda z: crossing_step(np.arange(6), z[:, 0], 0.5),
        lambda z: trajectory.find_stages(np.arange(1, 7), z[:, 0]),
    ],
)
def test_complex_numbers_are_refused_not_cut(call):
    z = np.random.default_rng(0).standard_normal((6, 2)) * (1 + 1j)
    with pytest.raises(REFUSED, match="real numbers|Type-check"):
        call(z)


@pytest.mark.parametrize("place", [("W", (0, 1)), ("b", (1,)), ("b", (5,))])
def test_the_population_loss_of_nan_is_nan(place):
    """Comparisons with NaN are false: a branch that is a constant would be taken."""
    parameters = {"W": torch.eye(2, 6).double(), "b": torch.tensor([-0.1, 0.1, -0.1, 0.0, 0.2, -1.0]).double()}
    finite = tms.population_loss(**parameters)
    parameters[place[0]][place[1]] = torch.nan
    batch = {name: torch.stack([tensor, torch.zeros_like(tensor)]) for name, tensor in parameters.items()}
    found = tms.population_loss(**batch)
    assert finite.isfinite() and found[0].isnan() and found[1] == pytest.approx(1 / 3)


def test_a_nan_is_no_phase_no_level_and_no_survivor():
    W, b = torch.zeros(2, 6), torch.zeros(6)
    with pytest.raises(ValueError, match="no convex hull"):
        tms.classify(W * torch.nan, b)
    with pytest.raises(ValueError, match="no phase"):
        tms.classify(W, b * torch.nan)
    with pytest.raises(ValueError, match="no level is nearest"):
        tms.nearest_level(np.array([0.1, np.nan]), np.array([0.1]))
    index, distance = tms.nearest_level(np.array([1], np.uint8), np.array([0, 3], np.uint8))
    assert index == [0] and distance == [1]
    for weights in ([0.5, torch.nan, 0.5], [1.5, -1.0, 0.5], [0.0, 0.0], [torch.inf, 1.0]):
        with pytest.raises(ValueError, match="not negative and not all zero"):
            smc.systematic_resample(torch.tensor(weights), generator())


def test_exact_losses_and_sgd_want_full_precision_and_finite_data():
    data = tms.one_hot_data(1000, 6)
    with pytest.raises(ValueError, match="float32 or float64"):
        EmpiricalLoss(data.bfloat16())
    with pytest.raises(REFUSED):
        EmpiricalLoss(data.round().long())
    W, b = torch.zeros(1, 2, 6), torch.zeros(1, 6)
    arguments = dict(num_steps=2, batch_size=4, learning_rate=0.1, checkpoint_steps=[2], progress=False)
    for bad in (data[None] * torch.nan, data[None].half()):
        with pytest.raises(ValueError, match="data must hold finite numbers in float32 or float64"):
            tms.train(W, b, bad, **arguments)


def test_a_block_is_assimilated_whole():
    """Prior N(0, 1), a likelihood of precision 10 at 1: the posterior has the mean 10 / 11 at temperature 1."""
    likelihood = lambda w: -5 * (w[:, 0] - 1) ** 2
    prior = lambda w: -w.square().sum(1) / 2

    def mean(**settings):
        particles = torch.randn(2000, 1, generator=generator(), dtype=torch.float64)
        draws = smc.assimilate(prior, [likelihood], particles, generator=generator(), **settings).isel(block=0)
        return float((draws.particles[:, 0] * draws.weight).sum())

    assert abs(mean() - 10 / 11) < 0.03 and mean(temperatures=[1.0]) == mean()
    for temperatures in ([0.1, 1.0], [0.5], [2.0]):
        with pytest.raises(ValueError, match="whole, at temperature 1"):
            mean(temperatures=temperatures)
    with pytest.raises(REFUSED, match="float32 or float64|Type-check"):
        smc.temper(prior, likelihood, torch.zeros(5, 1, dtype=torch.complex64), generator=generator())


def test_a_particle_of_infinite_likelihood_is_not_taken():
    """Beyond 1.5 the density is infinite: once there, a particle would never leave and every mean would be its."""
    likelihood = lambda w: torch.where(w[:, 0] < 1.5, -(w[:, 0] ** 2), torch.inf)
    particles = 0.2 * torch.randn(500, 1, generator=generator(), dtype=torch.float64)
    draws = smc.temper(lambda w: -w.square().sum(1) / 2, likelihood, particles, generator=generator())
    assert float(draws.particles.max()) < 1.5 and np.isfinite(draws.log_evidence).all()


def test_what_is_followed_through_training_is_measured():
    with pytest.raises(ValueError, match="is NaN"):
        crossing_step([0, 1, 2, 3], [0.0, np.nan, 0.9, 1.0], 0.5)
    with pytest.raises(ValueError, match="is NaN"):
        crossing_step([0, 1, 2], [0.0, 0.5, 1.0], np.nan)
    assert crossing_step([0, 1, 2, 3], [0, 0, 1, np.nan], 1) == pytest.approx(2)  # what comes later is not asked for
    curves = pd.DataFrame({"step": [0, 0, 1, 1], "seed": [0, 1, 0, 1], "loss": [1.0, np.nan, 2.0, 4.0]})
    assert trajectory.loss_at(curves, 1) == 3 and np.isnan(trajectory.loss_at(curves, 0))
    with pytest.raises(ValueError, match="step is NaN"):
        trajectory.loss_at(curves, float("nan"))
    with pytest.raises(ValueError, match="NaN"):
        adjusted_rand([0.0, np.nan, 1.0], [0, 1, 1], num_resamples=2)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int64])
def test_exact_formulas_do_not_overflow(dtype):
    assert dln.learning_coefficient(np.array([300, 300, 300], dtype), dtype(100)) == (Fraction(40000), 1)
    assert dln.learning_coefficient([300, 300, 300], 100) == (Fraction(40000), 1)
    sizes = (200, 200, 200, 100)
    found = dln.reduced_rank_learning_coefficient(*np.array(sizes, dtype))
    assert found == dln.reduced_rank_learning_coefficient(*sizes) and found[0] == Fraction(18750)
    with pytest.raises(REFUSED):
        dln.learning_coefficient([3.5, 3.0], 1)


def test_losses_and_potentials_refuse_what_has_no_answer():
    loss = potentials.gaussian_loss(1.0)
    with pytest.raises(ValueError, match=r"outputs of shape \(4, 1\) for targets of shape \(4,\)"):
        loss(nn.Linear(1, 1), (torch.zeros(4, 1), torch.zeros(4)))
    for curvatures, localization, step_size in [([1.0, -1.0], 1.0, 0.0), ([0.0], 0.0, 0.0), ([1.0], 1.0, -0.1)]:
        with pytest.raises(ValueError, match="there is no posterior otherwise"):
            potentials.quadratic_llc(torch.tensor(curvatures), 100.0, localization, step_size)
    with pytest.raises(ValueError, match="and the noise"):
        potentials.exact_tempered_mean(potentials.monomial((1, 1)), 10.0, noise=0.0)


def test_predictors_answer_in_the_precision_of_real_inputs():
    x, y = torch.tensor([[1, 2], [2, 1], [1, 1]]), torch.tensor([1, 2, 1])
    assert regression.ridge_prediction(x.double(), y.double(), 0.5)[1] != 0
    for predict in (
        lambda x, y: regression.ridge_prediction(x, y, 0.5),
        regression.least_squares_prediction,
        lambda x, y: regression.dmmse_prediction(x, y, 0.5, torch.ones(2, 2)),
    ):
        for kind in (torch.int64, torch.complex64):
            with pytest.raises(REFUSED, match="floating-point|Type-check"):
                predict(x.to(kind), y.to(kind))
    with pytest.raises(REFUSED, match="floating-point|Type-check"):
        regression.to_tokens((x, y / 2))
    with pytest.raises(ValueError, match="positive and finite"):
        regression.ridge_prediction(x.double(), y.double(), float("inf"))
