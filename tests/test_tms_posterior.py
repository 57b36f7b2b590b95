"""The exact loss of a data set against the model itself; free energies against the paper and against SMC."""

import pytest
import torch
from scipy.optimize import brentq

from devinterp_core import smc, tms
from devinterp_core.tms.empirical import EmpiricalLoss
from devinterp_core.tms.evidence import critical_learning_coefficient, laplace_log_evidence, leading_free_energy


@pytest.mark.parametrize("num_samples", [1, 7, 400])
def test_empirical_loss_and_gradient_equal_the_model(num_samples):
    data = tms.one_hot_data(num_samples, 5, seed=num_samples, dtype=torch.float64)
    if num_samples > 5:
        data[3] = 0  # an input of size 0 still counts
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(300, 2, 5, generator=generator, dtype=torch.float64).requires_grad_()
    b = torch.randn(300, 5, generator=generator, dtype=torch.float64)
    b[::3] = 0
    b.requires_grad_()
    output = torch.relu(data @ W.mT @ W + b[:, None])
    truth = (data - output).square().sum(-1).mean(1)
    loss = EmpiricalLoss(data)(W, b)
    torch.testing.assert_close(loss, truth, rtol=1e-11, atol=1e-12)
    for ours, exact in zip(*(torch.autograd.grad(x.sum(), (W, b)) for x in (loss, truth)), strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-10, atol=1e-11)


def test_empirical_loss_tends_to_the_population_loss():
    W, b = tms.kgon(5, 6)
    loss = EmpiricalLoss(tms.one_hot_data(200_000, 6, seed=0, dtype=torch.float64))(W[None], b[None])
    assert loss.item() == pytest.approx(tms.population_loss(W, b).item(), abs=0.002)


@pytest.mark.parametrize("data", [torch.zeros(0, 3), torch.ones(2, 3), -torch.eye(3), torch.eye(3) * torch.inf])
def test_other_data_is_refused(data):
    with pytest.raises(ValueError, match="at most one non-zero entry"):
        EmpiricalLoss(data)


@pytest.mark.parametrize(
    ("k", "num_features", "num_positive", "truth"),
    [(5, 6, 0, 7), (5, 6, 1, 8.5), (6, 6, 0, 8.5), (5, 5, 0, 7), (7, 8, 0, 10), (8, 8, 0, 11.5)],
)
def test_learning_coefficients_of_the_paper(k, num_features, num_positive, truth):
    assert critical_learning_coefficient(k, num_features, num_positive) == truth


def test_leading_free_energies_cross_where_the_paper_says():
    crossing = brentq(lambda n: leading_free_energy(5, 6, n) - leading_free_energy(6, 6, n), 10, 10_000)
    assert crossing == pytest.approx(601, abs=0.5)


@pytest.mark.parametrize("k", [5, 6])
def test_laplace_evidence_grows_as_the_leading_formula(k):
    """-d log Z / d log n = nL + lambda up to O(1/n), at large n."""
    n, ratio = 1e5, 1.01
    exact = leading_free_energy(k, 6, n * ratio) - leading_free_energy(k, 6, n)
    if k == 5:  # free of the sixth column's own slow change: the model with five features
        exact = leading_free_energy(5, 5, n * ratio) - leading_free_energy(5, 5, n)
    features = 5 if k == 5 else 6
    ours = laplace_log_evidence(k, features, n) - laplace_log_evidence(k, features, n * ratio)
    assert ours == pytest.approx(exact, abs=1e-4)


def test_smc_evidence_agrees_with_laplace_where_the_posterior_is_regular():
    """Five features at large n: the posterior is the 5-gon and its copies. The rest is O(1/n), and Monte Carlo."""
    generator = torch.Generator().manual_seed(0)
    draws = smc.temper(
        lambda w: -w.square().sum(1) / 2,
        lambda w: -tms.population_loss(w[:, :10].view(-1, 2, 5), w[:, 10:]),
        torch.randn(500, 15, generator=generator, dtype=torch.float64),
        generator=generator,
        temperatures=[4000.0],
        conditional_ess=0.9,
        num_leapfrog=4,
        decorrelation=0.3,
    )
    assert draws.log_evidence.item() == pytest.approx(laplace_log_evidence(5, 5, 4000.0), abs=0.6)


@pytest.mark.parametrize("call", [critical_learning_coefficient, lambda k, c: laplace_log_evidence(k, c, 100.0)])
def test_four_gons_are_refused(call):
    with pytest.raises(ValueError, match="not twice differentiable"):
        call(4, 6)
