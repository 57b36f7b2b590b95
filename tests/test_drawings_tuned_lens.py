"""Figures of chapter 9 draw what their tables say."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from devinterp_core.companion.drawings import tuned_lens as drawings


def test_the_shown_layer_stands_on_the_left():
    values = {"lens": [1.0, 0.1, 5.0], "model": [0.5, 0.2, 5.0], "chosen_on": [3.0, np.nan, 9.0]}
    influences = pd.DataFrame({"layer": [3, 3, 9], "basis": ["causal", "random", "causal"]} | values)
    found = {"causal": [0.5, 0.1], "causal_low": [0.4, -0.2], "causal_high": 0.6}
    found |= {"random": 0.0, "random_low": -0.1, "random_high": 0.1, "shown": [True, False]}
    figure = drawings.causal(influences, pd.DataFrame({"layer": [3, 9]} | found))
    left, right = figure.axes
    chosen, causal = left.lines[:2]
    assert (chosen.get_xdata(), chosen.get_ydata()) == ([3.0], [0.5])
    assert (causal.get_xdata(), causal.get_ydata()) == ([1.0], [0.5])
    assert right.lines[0].get_ydata().tolist() == [0.5, 0.1]
    assert [bar[:, 1].tolist() for bar in right.collections[0].get_segments()] == [[0.4, 0.6], [-0.2, 0.6]]
    plt.close(figure)


def test_step_zero_stands_at_the_left_edge_and_the_model_beside_its_layers():
    table = {"lens": "tuned", "layer": [0, 0, 1, 1], "step": [0, 8] * 2, "bits_per_byte": [4.0, 3, 4, 2]}
    shares = pd.DataFrame({"layer": [0], "step": [8], "share": [0.5]})
    figure = drawings.development(pd.DataFrame(table | {"low": 1.0, "high": 5.0}), shares)
    layer, model = figure.axes[0].lines
    assert layer.get_xdata().tolist() == [4, 8] and layer.get_ydata().tolist() == [4, 3]
    assert model.get_ydata().tolist() == [4, 2] and figure.axes[1].lines[0].get_ydata().tolist() == [0.5]
    plt.close(figure)


def test_a_median_is_drawn_through_the_sequences():
    table = {"lens": ["logit", "logit", "logit", "tuned"], "layer": 0, "sequence": [0, 1, 2, 0]}
    cosines = pd.DataFrame(table | {"cosine": [-0.5, 0.1, 0.3, -1.0]})
    deleted = pd.DataFrame({"layer": [0, 1], "rise": [3.0, 0.2], "low": [2.0, -0.1], "high": [4.0, 0.5]})
    paper = pd.DataFrame({"layer": [0], "num_layers": [2], "median_cosine": [-0.01]})
    figure = drawings.blocks(cosines, deleted, paper)
    assert figure.axes[0].lines[1].get_ydata().tolist() == [0.1]
    assert figure.axes[2].lines[0].get_ydata().tolist() == [3.0, 0.2]
    plt.close(figure)
