"""The figures of the chapter on known values are drawn from their tables alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from devinterp_core import potentials
from devinterp_core.companion.drawings import llc_ground_truth as drawings
from devinterp_core.sampler import sample


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_ordering_joins_the_estimates_of_a_data_set():
    table = pd.DataFrame({
        "repeat": [0, 0, 1, 1], "point": ["origin", "line"] * 2, "estimate": [0.1, 0.5, 0.2, 0.4],
        "standard_error": 0.01, "truth": [0.25, 0.5] * 2, "exact": [0.3, 0.4] * 2,
    })  # fmt: skip
    (ax,) = drawings.ordering(table).axes
    joins = [line.get_ydata().tolist() for line in ax.lines if line.get_color() == "0.8"]
    assert joins == [[0.1, 0.5], [0.2, 0.4]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["origin", "line"]


def test_relu_shows_every_network_and_their_median():
    here = pd.DataFrame({"num_samples": 100, "method": "sgld", "network": [0, 1, 2], "estimate": [1.0, 2.0, 6.0]})
    paper = pd.DataFrame({"num_samples": [100, 1000], "sgld": [3.0, 4.0]})
    (ax,) = drawings.relu(here, paper, pd.DataFrame({"half_parameters": [5.0]})).axes
    single, median, line, bound = (each.get_ydata() for each in ax.lines)
    assert (list(single), list(median), list(line), bound[0]) == ([1.0, 2.0, 6.0], [2.0], [3.0, 4.0], 5.0)


def test_a_trace_from_its_tables_is_that_of_the_run():
    draws = sample(
        potentials.Quadratic(torch.ones(2).double()), torch.zeros(1).double(), lambda model, x: model(x),
        step_size=0.1, n_beta=10.0, num_chains=2, num_draws=8, num_burnin=4, progress=False,
    )  # fmt: skip
    loss, *_ = drawings.trace(**drawings.trace_tables(draws)).axes
    early, late, *_ = (line.get_ydata() for line in loss.lines)
    assert np.allclose(early, 10 * draws.burnin_loss_difference[0])
    assert np.allclose(late, 10 * draws.loss_difference[0])
