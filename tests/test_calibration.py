"""Calibration and diagnostics against a problem whose curvatures are known."""

import matplotlib
import pytest
import torch
from matplotlib import pyplot
from torch import nn

from devinterp_core.calibration import calibrate
from devinterp_core.diagnostics import trace_plot
from devinterp_core.sampler import sample
from devinterp_core.sampler.curvature import largest_curvature
from devinterp_core.sampler.target import make_target

matplotlib.use("agg")
CURVATURES = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)


class Bowl(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3, dtype=torch.float64))


def bowl_loss(model, batch):
    return 0.5 * (CURVATURES * model.w**2).sum() + 0 * batch


def quartic_loss(model, batch):  # no curvature at the centre, much around it
    return 25 * (model.w**4).sum() + 0 * batch


DATA = torch.zeros(5, dtype=torch.float64)


def test_curvature_and_step_size_of_a_bowl():
    target = make_target(Bowl(), DATA, bowl_loss, n_beta=2.0, localization=3.0)
    assert largest_curvature(target) == pytest.approx(203.0, rel=1e-3)
    masked = make_target(Bowl(), DATA, bowl_loss, n_beta=2.0, localization=3.0,
                         mask={"w": torch.tensor([True, True, False])})  # fmt: skip
    assert largest_curvature(masked) == pytest.approx(23.0, rel=1e-3)
    found = calibrate(Bowl(), DATA, bowl_loss, n_beta=2.0, localization=3.0)
    assert found.step_size == pytest.approx(0.25 / 203, rel=1e-2)
    assert found.variance_factor == pytest.approx(1 / (1 - 0.25 / 4))
    assert found.acceptance > 0.9


def test_curvature_away_from_a_singular_centre_counts():
    found = calibrate(Bowl(), DATA, quartic_loss, n_beta=100.0, localization=0.01)
    assert make_target(Bowl(), DATA, quartic_loss, n_beta=100.0, localization=0.01).n_beta == 100.0
    # At the centre only the localiser curves (0.01); a posterior draw, w^4 ~ 1/(4 * 2500), has 12 * 2500 * w^2 = 300.
    assert 100 < found.largest_curvature < 3000
    assert found.acceptance > 0.6


def test_fraction_must_be_stable():
    with pytest.raises(ValueError, match="fraction"):
        calibrate(Bowl(), DATA, bowl_loss, n_beta=2.0, fraction=4.0)


def test_trace_plot_shows_every_chain_and_the_numbers():
    draws = sample(Bowl(), DATA, bowl_loss, n_beta=1.0, step_size=0.01, num_draws=50, num_burnin=20, progress=False)
    figure = trace_plot(draws)
    loss, distance, running = figure.axes
    assert len(distance.lines) == draws.sizes["chain"] and len(loss.lines) == 2 * draws.sizes["chain"]
    title = figure.get_suptitle()
    assert all(word in title for word in ("R-hat", "ESS", "virial", "diverged 0 of 4"))
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in (loss, distance, running))
    pyplot.close(figure)
