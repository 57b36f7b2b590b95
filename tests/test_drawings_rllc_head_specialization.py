"""Figures of chapter 8 draw what their tables say."""

import pandas as pd
from matplotlib import pyplot as plt

from devinterp_core.companion.drawings import rllc_head_specialization as drawings


def test_curves_stand_in_the_panel_of_their_layer_and_bars_end_at_one():
    table = {"seed": 0, "step": [1, 10] * 2, "head": ["0:0"] * 2 + ["1:0"] * 2, "role": "bigram"}
    curves = pd.DataFrame(table | {"llc": [1.0, 2, 3, 4], "standard_error": 0.1})
    shares = pd.DataFrame({"seed": 0, "head": ["0:0", "1:0"], "share bigram": [0.25, 1], "share bracket": [0.75, 0]})
    figure = drawings.curves(curves, shares)
    left, middle, right = figure.axes
    assert left.lines[0].get_ydata().tolist() == [1, 2] and middle.lines[0].get_ydata().tolist() == [3, 4]
    assert [patch.get_x() + patch.get_width() for patch in right.patches] == [0.25, 1, 1, 1]
    plt.close(figure)


def test_settings_of_the_grid_stand_in_their_order():
    setting = {"n_beta": [30.0, 300.0, 30.0], "localization": [200.0, 200.0, 20.0]}
    cells = {"seed": 0, "head": "1:0", "role": "none", "llc": [2.0, 9, 5], "standard_error": 0.1}
    cells = pd.DataFrame(cells | setting)
    figure = drawings.grid(cells)
    (ax,) = figure.axes
    assert ax.lines[0].get_xdata().tolist() == [0, 1, 2] and ax.lines[0].get_ydata().tolist() == [2, 9, 5]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["30, 200", "300, 200", "30, 20"]
    plt.close(figure)


def test_the_sweep_draws_the_mean_of_the_models_that_have_the_role():
    models = {"num_trigram_rules": [16, 16, 64], "layer_0_multigram": [1.0, 3.0, None], "layer_1_none": 1.0}
    figure = drawings.sweep(pd.DataFrame(models | {"memorised_share": 0.5, "prefix_matching": 0.1}))
    points, mean = figure.axes[0].lines
    assert mean.get_xdata().tolist() == [16] and mean.get_ydata().tolist() == [2.0]
    plt.close(figure)
