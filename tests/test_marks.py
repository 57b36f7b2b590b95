"""Marks: what they put on the axes is what their table says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from devinterp_core.companion import marks
from devinterp_core.companion.drawings import icl_stages


@pytest.fixture
def ax():
    fig, axes = plt.subplots()
    yield axes
    plt.close(fig)


def test_seeds_are_thin_and_their_mean_thick(ax):
    table = pd.DataFrame({"step": [0, 0, 1, 1, 2, 2], "seed": [0, 1] * 3, "loss": [9.0, 9, 1, 3, 2, 6]})
    marks.seeds(ax, table, "loss", label="mean")
    *single, mean = ax.lines
    assert [line.get_ydata().tolist() for line in single] == [[1, 2], [3, 6]]
    assert mean.get_xdata().tolist() == [1, 2] and mean.get_ydata().tolist() == [2, 4]
    assert mean.get_linewidth() > single[0].get_linewidth()


def test_bars_end_where_the_interval_does(ax):
    marks.bars(ax, [1, 2], pd.DataFrame({"value": [1.0, 2.0], "low": [0.5, np.nan], "high": [1.25, 4.0]}))
    (segments,) = [container.lines[2][0].get_segments() for container in ax.containers]
    assert np.allclose([segment[:, 1] for segment in segments], [[0.5, 1.25], [2.0, 4.0]])


def test_stages_of_both_types_are_shaded(ax):
    marks.stages([ax], pd.DataFrame({"type": ["A", "B"], "start": [0, 5], "end": [5, 9]}))
    first, second = ax.patches
    assert first.get_x() == 1 and second.get_x() == 5  # a logarithmic axis has no zero
    assert first.get_facecolor() != second.get_facecolor()


def test_a_chapters_figure_is_drawn_from_its_tables_alone():
    values = {"prediction_power": 1.0, "icl_score": -1.0, "relative_5": 0.7}
    steps = pd.DataFrame({"step": [1, 10, 100], "seed": 0, **values})
    none = pd.DataFrame({"type": [], "start": [], "end": []})
    figure = icl_stages.behaviour(steps, none, pd.DataFrame({"icl_score": [-2.0]}))
    assert [ax.get_ylabel() for ax in figure.axes][1] == "in-context learning score"
    assert figure.axes[1].lines[-1].get_ydata()[0] == -2.0
    plt.close(figure)
