"""The one call: right on what is known, and never silent on what it cannot know."""

import math
import re
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from torch import nn

from devinterp_core import dln, potentials
from devinterp_core.llc import LearningCoefficient, TrustedEstimate, estimate_llc, local_learning_coefficient
from devinterp_core.llc.judge import gradient_step_gain, judge, localization_sensitivity, spreading
from devinterp_core.llc.pilot import gradient_noise, pilot
from devinterp_core.sampler.target import make_target

ROOT = Path(__file__).parent.parent


def squared_error(model, batch):
    x, y = batch
    return (model(x) - y).square().sum(-1)


def regression(d=5, n=200, away=0.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(n, k, generator=g, dtype=torch.float64) for k in (d, 1))
    model = nn.Linear(d, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(x, y).solution.T + away)
    return model, (x, y), squared_error


def regression_truth(data, n_beta, localization):
    stiffness = n_beta * torch.linalg.eigvalsh(2 * data[0].T @ data[0] / len(data[0]))
    return float((stiffness / (stiffness + localization)).sum() / 2)


def network(steps):
    torch.manual_seed(0)
    x = torch.randn(200, 2)
    y = torch.sin(x[:, :1]) + 0.2 * torch.randn(200, 1)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        squared_error(model, (x, y)).mean().backward()
        optimizer.step()
    return model, (x, y), squared_error


@pytest.mark.parametrize(("d", "localization"), [(2, 1.0), (20, 30.0)])
def test_a_regular_model(d, localization):
    model, data, loss = regression(d)
    before = model.weight.detach().clone()
    found = estimate_llc(model, data, loss, localization=localization, relative_error=0.1, progress=False)
    low, high = found.interval()
    assert found.converged and low < regression_truth(data, found.n_beta, localization) < high
    assert (high - low) / 2 <= 0.1 * max(found.mean, 0.5)
    assert found.n_beta == pytest.approx(200 / math.log(200)) and isinstance(found, LearningCoefficient)
    assert found.total_steps <= 50_000 and found.num_chains >= 4
    assert bool(torch.equal(before, model.weight)) and model.weight.grad is None
    assert any("localization 30 is strong" in w for w in found.warnings) == (localization > 1)
    text = repr(found)
    assert text.startswith(f"learning coefficient {found.mean:.4g}") and "half the time step" in text
    assert all(warning in text for warning in found.warnings)


def test_the_same_seed_gives_the_same_estimate_and_masks_are_respected():
    model, data, loss = regression(6)
    mask = {"weight": torch.tensor([[True, True, True, False, False, False]])}
    first, again, other = (
        estimate_llc(model, data, loss, mask=mask, relative_error=0.2, seed=seed, progress=False) for seed in (0, 0, 1)
    )
    assert first.mean == again.mean != other.mean
    assert first.interval()[0] < 1.5 < first.interval()[1]


def test_exact_draws_agree():
    model = dln.random_network(dln.Architecture((4, 3, 4), (3, 1)), seed=0)
    found = estimate_llc(model, dln.population_data(model), dln.squared_error, n_beta=100.0, relative_error=0.1,
                         progress=False)  # fmt: skip
    exact = local_learning_coefficient(
        dln.gibbs_sample(model, n_beta=100.0, num_chains=8, num_draws=300, start="both", progress=False)
    )
    low, high = found.interval()
    assert found.converged and low < exact.mean < high


def test_a_singular_model():
    polynomial = potentials.monomial((1, 1))
    data = (torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64))
    model = potentials.PolynomialRegression(polynomial, (0.0, 0.0))
    found = estimate_llc(model, data, potentials.gaussian_loss(1.0), n_beta=100.0, relative_error=0.1, progress=False)
    truth = potentials.exact_tempered_mean(polynomial, 100.0)
    assert not found.converged or found.interval()[0] < truth < found.interval()[1]
    assert found.interval()[1] - found.interval()[0] < 0.2 and abs(found.mean - truth) < 0.08


def test_an_untrained_model_is_no_measurement():
    found = estimate_llc(*network(0), max_steps=6000, relative_error=0.1, progress=False)
    assert found.mean < 0 and not found.converged
    assert any(w.startswith("w* is no minimum: 16 of 16 chains") and "train further" in w for w in found.warnings)
    assert repr(found).startswith("NOT CONVERGED")


def test_a_trained_model_with_no_budget_says_so_and_what_to_raise():
    found = estimate_llc(*network(500), max_steps=2000, relative_error=0.01, progress=False)
    assert not found.converged and found.total_steps <= 2000
    assert any("± " in w and "raise max_steps" in w for w in found.warnings)


def test_a_point_beside_the_minimum_is_remarked():
    model, data, loss = regression(3, away=0.05)
    found = estimate_llc(model, data, loss, relative_error=0.1, progress=False)
    assert any(w.startswith("w* is not quite a minimum") for w in found.warnings)


def test_a_number_of_no_minimum_is_not_converged():
    """Its interval may be right for the posterior mean; a learning coefficient it is not."""
    model, data, loss = regression(d=3, away=0.6)
    gain = gradient_step_gain(make_target(model, data, loss, n_beta=None, localization=1.0))
    found = estimate_llc(model, data, loss, relative_error=0.1, max_steps=4000, progress=False)
    assert gain > max(0.5 * abs(found.mean), 0.1)
    assert not found.converged and any(text.startswith("w* is no minimum") for text in found.warnings)


def test_settings_are_checked_before_any_work():
    model, data, loss = regression()
    for bad in ({"relative_error": 0.0}, {"relative_error": 1.5}, {"max_steps": 10}, {"localization": -1.0},
                {"n_beta": 0.0}, {"mask": {"nothing": torch.ones(1, dtype=torch.bool)}}):  # fmt: skip
        with pytest.raises(ValueError):
            estimate_llc(model, data, loss, progress=False, **bad)


# ------------------------------------------------------------------------------------------------ the parts


def draws_of(values, distance=None, localization=1.0):
    values = np.asarray(values, dtype=float)
    return xarray.Dataset(
        {
            "loss_difference": (("chain", "draw"), values),
            "virial": (("chain", "draw"), np.random.default_rng(0).standard_normal(values.shape) + 1),
            "distance": (("chain", "draw"), np.ones_like(values) if distance is None else distance),
            "diverged": (("chain",), np.zeros(len(values), dtype=bool)),
            "dimension": ((), 1),
        },
        attrs={"n_beta": 1.0, "localization": localization},
    )


def test_verdicts_by_kind():
    rng = np.random.default_rng(0)
    level = 5 + rng.standard_normal((8, 800))
    assert judge(draws_of(level), 0.1).reasons == []
    for spoiled, word in [
        (level + np.arange(8)[:, None], "disagree"),
        (level + np.linspace(0, 8, 800), "drift"),
        (np.full((8, 800), 2.0), "all draws are equal"),
        (np.where(np.arange(8)[:, None] == 3, np.nan, level), "1 chains diverged"),
    ]:
        assert any(word in reason for reason in judge(draws_of(spoiled), 0.1).reasons), word
    walking = np.sqrt(np.linspace(1, 3, 800)) + 0.01 * rng.standard_normal((8, 800))
    assert any("spreading" in reason for reason in judge(draws_of(level, walking), 0.1).reasons)
    assert spreading(draws_of(level, walking))[0] > 0.3
    assert any("asked for" in reason for reason in judge(draws_of(level), 0.001).reasons)


def test_the_sensitivity_to_the_localiser_is_that_of_gaussians():
    """One direction of curvature a = n beta h beside gamma: lambda = a / 2(a + gamma), with a known derivative."""
    a, gamma = 3.0, 2.0
    w = np.random.default_rng(0).standard_normal((8, 20_000)) / math.sqrt(a + gamma)
    slope, error = localization_sensitivity(draws_of(a * w**2 / 2, np.abs(w), gamma))
    assert slope == pytest.approx(-a * gamma / 2 / (a + gamma) ** 2, abs=4 * error) and error < 0.01


def test_the_gain_of_a_gradient_step():
    model, data, loss = regression(1, away=0.3)
    target = make_target(model, data, loss, n_beta=40.0, localization=0.0)
    curvature = 2 * float(data[0].square().mean())
    assert gradient_step_gain(target) == pytest.approx(40 * curvature * 0.3**2 / 2, rel=1e-6)
    assert gradient_step_gain(make_target(*regression(1), n_beta=40.0)) < 1e-20


def test_minibatch_noise_shortens_the_step():
    model, data, loss = regression(4, n=4000)
    target = make_target(model, data, loss)
    noise = gradient_noise(target, 100, seed=0)
    gradients = 2 * target.n_beta * (data[0] * (model(data[0]) - data[1]).detach())
    largest = float(torch.linalg.eigvalsh(torch.cov(gradients.T))[-1]) / 100
    assert 0.4 * largest < noise < 6 * largest
    full, small = (pilot(model, target, size, seed=0, progress=False).step_size for size in (None, 100))
    assert small == pytest.approx(0.05 / noise, rel=1e-6) and small < full


def test_a_significant_step_bias_widens_the_interval():
    plain = TrustedEstimate(10.0, 0.1, np.array([9.9, 10.0, 10.1, 10.0]), 1.0, 400.0, 0, 1.0, 0.1, 0.0)
    biased = replace(plain, step_bias=1.0, step_bias_half_width=0.3)
    assert biased.interval().high > 11 and biased.interval().dominated_by == "drift"
    assert replace(plain, step_bias=0.2, step_bias_half_width=0.3).interval() == plain.interval()


# ------------------------------------------------------------------------------------------------ the texts


def examples(page):
    """Code and printed output of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```\s*```text\n(.*?)```", text, flags=re.S)


def test_the_first_example_runs_as_printed():
    """Code as it stands; numbers as printed within their intervals (they may differ between machines)."""
    page = "book/first_coefficient.md"
    assert examples("README.md")[0] == examples(page)[0]
    namespace: dict = {}
    for code, printed in examples(page):
        out = StringIO()
        with redirect_stdout(out):
            exec(compile(code, page, "exec"), namespace)  # noqa: S102
        (mean, half), (now, own) = (
            map(float, re.search(r"(-?[\d.]+) ± ([\d.]+) \(95 %", t).groups()) for t in (printed, out.getvalue())
        )
        assert abs(mean - now) <= math.hypot(half, own)
        kind, found = ([re.split(r"[-+]?\d|mostly", line)[0] for line in t.strip().splitlines()]
                       for t in (printed, out.getvalue()))  # fmt: skip
        assert kind == found
