"""The figures of the chapter on known values are drawn from their tables alone."""

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from devinterp_core.companion.drawings import llc_ground_truth as drawings


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
    here = pd.DataFrame({"num_samples": 100, "method": "sgld", "estimate": [1.0, 2.0, 6.0]})
    paper = pd.DataFrame({"num_samples": [100, 1000], "sgld": [3.0, 4.0], "mala": [3.5, 4.5]})
    same = here.assign(estimate=here.estimate / 2)
    (ax,) = drawings.relu(here, same, paper, pd.DataFrame({"half_parameters": [5.0]})).axes
    lines = [list(line.get_ydata()) for line in ax.lines]
    assert lines[:4] == [[0.5, 1.0, 3.0], [1.0], [1.0, 2.0, 6.0], [2.0]]
    assert lines[-3:] == [[3.0, 4.0], [3.5, 4.5], [5.0, 5.0]]


def test_the_hidden_heat_joins_the_rules_of_a_network():
    table = pd.DataFrame({"model": [0, 1] * 3, "rule": ["before"] * 2 + ["after, same"] * 2 + ["after, fresh"] * 2})
    table["estimate"] = [4.0, 5.0, 2.0, 3.0, 4.5, 5.5]
    (ax,) = drawings.hidden_heat(table, pd.DataFrame({"num_samples": [1, 2], "sgld": [0, 7.0], "mala": [0, 8.0]})).axes
    assert ax.lines[0].get_ydata()[:3].tolist() == [4.0, 4.5, 2.0]
    assert ax.lines[-1].get_ydata().tolist() == [7.0, 8.0]
