"""Polynomial models: closed forms against each other, and the sampler against exact integrals."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from devinterp_core import potentials
from devinterp_core.llc import local_learning_coefficient
from devinterp_core.sampler import sample


@pytest.mark.parametrize(
    ("powers", "expected"),
    [((0, 1), (Fraction(1, 2), 1)), ((1, 2), (Fraction(1, 4), 1)), ((1, 1), (Fraction(1, 2), 2)),
     ((3, 3), (Fraction(1, 6), 2))],
)  # fmt: skip
def test_monomial_learning_coefficients(powers, expected):
    assert potentials.monomial_learning_coefficient(powers) == expected


def test_quadrature_of_one_regular_direction_is_the_closed_form():
    for n_beta in (1.0, 100.0):
        exact = potentials.exact_tempered_mean(potentials.monomial((0, 1)), n_beta, noise=0.5, localization=2.0)
        assert exact == pytest.approx(potentials.quadratic_llc(torch.tensor([4.0]).double(), n_beta, 2.0), rel=1e-4)


@pytest.mark.parametrize("powers", [(1, 2), (1, 3), (2, 3)])
def test_quadrature_tends_to_the_learning_coefficient(powers):
    truth = float(potentials.monomial_learning_coefficient(powers)[0])
    errors = [abs(potentials.exact_tempered_mean(potentials.monomial(powers), n) - truth) for n in (1e3, 1e6, 1e12)]
    assert (
        errors[0] > errors[1] > errors[2] and errors[2] < 0.05 * truth
    )  # slowest for (2, 3): the gap falls as n^(-1/12)


def test_multiplicity_slows_the_approach_logarithmically():
    """nbeta E[K] = lambda - (m - 1) / (log nbeta + const) + ...: with m = 2 the gap times log nbeta tends to 1."""
    gaps = [0.5 - potentials.exact_tempered_mean(potentials.monomial((1, 1)), 10.0**k) for k in (4, 8)]
    const = [1 / g - np.log(10.0**k) for g, k in zip(gaps, (4, 8), strict=True)]
    assert const[0] == pytest.approx(const[1], abs=0.05)


@pytest.mark.parametrize(("powers", "n_beta"), [((1, 2), 100.0), ((1, 1), 100.0)])
def test_sampler_agrees_with_quadrature(powers, n_beta):
    """MALA on the population loss against the exact integral at the same finite n-beta."""
    exact = potentials.exact_tempered_mean(potentials.monomial(powers), n_beta)
    model = potentials.PolynomialRegression(potentials.monomial(powers), (0.0, 0.0))
    draws = sample(model, torch.ones(1, dtype=torch.float64), lambda m, x: m(x) ** 2 / 2, step_size=0.03, n_beta=n_beta,
                   num_chains=300, num_draws=400, num_burnin=600, method="mala", progress=False)  # fmt: skip
    estimate = local_learning_coefficient(draws)
    assert estimate.standard_error < 0.005
    assert estimate.mean == pytest.approx(exact, rel=0.04)  # lambda itself is 26 % and 48 % away from these


def test_quadratic_llc_is_what_sgld_measures():
    curvatures = torch.tensor([1.0, 3.0, 10.0], dtype=torch.float64)

    class Bowl(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    expected = potentials.quadratic_llc(curvatures, 50.0, 20.0, 5e-4)
    assert abs(expected - 1.5) > 0.1  # far from d/2: localiser and step both show
    draws = sample(Bowl(), torch.zeros(1, dtype=torch.float64), lambda m, b: 0.5 * (curvatures * m.w**2).sum() + 0 * b,
                   step_size=5e-4, n_beta=50.0, localization=20.0, num_chains=200, num_draws=200, num_burnin=200,
                   num_steps_between_draws=10, progress=False)  # fmt: skip
    estimate = local_learning_coefficient(draws)
    assert abs(estimate.mean - expected) < 3.5 * estimate.standard_error < 0.05


def test_two_component_zeros_and_bad_input():
    w = torch.tensor([[0.0, 0.0], [1.0, 0.3], [0.5, 0.5]])
    assert potentials.two_component(w).tolist()[:2] == [0.0, 0.0] and potentials.two_component(w)[2] == -0.125
    with pytest.raises(ValueError, match="powers"):
        potentials.monomial((0, 0))
    with pytest.raises(ValueError, match="unstable"):
        potentials.quadratic_llc(torch.ones(1), 100.0, step_size=0.05)
    with pytest.raises(ValueError, match="positive"):
        potentials.gaussian_loss(0.0)
    with pytest.raises(ValueError, match="positive"):
        potentials.exact_tempered_mean(potentials.two_component, 0.0)


def test_the_exact_mean_on_a_data_set_is_that_of_its_gaussian():
    """p = w_2: with u = n_beta m_xx / sigma^2 + 1 the posterior of w_2 is N(n_beta m_xy / sigma^2 / u, 1 / u)."""
    x, y = potentials.polynomial_data(200, 0.5, seed=3)
    n_beta, xx, xy = 40.0, float(x.square().mean()), float((x * y).mean())
    exact = potentials.exact_tempered_mean(potentials.monomial((0, 1)), n_beta, noise=0.5, moments=(xx, xy))
    stiffness = n_beta * xx / 0.25 + 1
    mean = n_beta * xy / 0.25 / stiffness
    expected = n_beta / 0.5 * (xx * (mean**2 + 1 / stiffness) - 2 * xy * mean)
    assert exact == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("powers", "prior", "expected"),
    [((1, 3), (1, 0), (Fraction(1, 6), 1)), ((1, 1), (1, 1), (Fraction(1), 2)), ((4, 1), (6, 3), (Fraction(7, 8), 1))],
)
def test_priors_that_vanish_raise_the_coefficient(powers, prior, expected):
    assert potentials.monomial_learning_coefficient(powers, prior) == expected
    n_beta, (truth, multiplicity) = 1e12, expected
    exact = potentials.exact_tempered_mean(potentials.monomial(powers), n_beta, prior_powers=prior)
    assert exact == pytest.approx(float(truth) - (multiplicity - 1) / np.log(n_beta), rel=0.02)
    with pytest.raises(ValueError, match="prior"):
        potentials.monomial_learning_coefficient(powers, (1,))
