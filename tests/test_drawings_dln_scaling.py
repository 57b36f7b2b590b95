"""The figures of the chapter on deep linear networks are drawn from their tables alone."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from devinterp_core.companion.drawings import dln_scaling as drawings


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_errors_beyond_the_axis_stand_on_its_edge():
    table = pd.DataFrame({"sampler": "gradient", "class": "1K", "error": [0.1, 2.0, -0.9]})
    (ax,) = drawings.relative_error(table).axes
    inside, above, below, *_ = ax.lines
    assert inside.get_ydata().tolist() == [0.1]
    assert above.get_ydata().tolist() == [drawings.EDGE] and below.get_ydata().tolist() == [-drawings.EDGE]


def test_a_scale_at_which_every_chain_diverged_is_shown():
    table = pd.DataFrame({"sampler": "plain", "scale": [1.0, 100.0], "estimate": [4.0, np.nan]})
    (ax,) = drawings.rescaling(table.assign(low=[3.0, np.nan], high=[5.0, np.nan])).axes
    dead = [line for line in ax.lines if line.get_ydata().tolist() == [1.25 * 5]]
    assert [line.get_xdata().tolist() for line in dead] == [[100.0]]


def test_intervals_that_miss_the_truth_are_open():
    rows = {"sampler": "exact", "class": "1K", "truth": [10.0, 20.0], "low": [9.0, 21.0], "high": [11.0, 22.0]}
    table = pd.DataFrame(rows | {"error": [0.0, 0.075], "covers": [True, False]})
    (ax,) = drawings.intervals(table).axes
    markers = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() == "white" for line in markers] == [False, True]


def test_the_loss_and_a_curve_for_each_sampler():
    descent = pd.DataFrame({"step": [0, 10], "loss": [9.0, 1.0]})
    estimates = pd.DataFrame({"sampler": ["short", "short", "exact draws", "exact draws"], "step": [0, 10, 0, 10]})
    estimates = estimates.assign(estimate=[0.0, 5.0, 12.0, 13.0], low=[0.0, 4.0, 11.0, 12.0], high=14.0)
    left, right = drawings.saddles(descent, estimates, pd.DataFrame({"value": [12.5], "words": ["truth"]})).axes
    assert left.lines[0].get_ydata().tolist() == [9.0, 1.0]
    assert right.lines[0].get_ydata().tolist() == [0.0, 5.0]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["short", "truth", "exact draws"]
