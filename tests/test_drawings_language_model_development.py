"""The drawings of chapter 7, from tables of a few rows."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from devinterp_core.companion.drawings import language_model_development as drawings

STEPS = {"step": [0, 10, 100], "seed": 0, "world": "toy"}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_stages_draws_each_world_and_the_paper():
    values = [pd.DataFrame(STEPS).assign(quantity=quantity, value=[3.0, 2.0, 1.0]) for quantity in ("loss", "llc")]
    smooth = pd.DataFrame({"world": "toy", "step": [10, 100], "mean": [2.0, 1.0], "standard_deviation": 0.5})
    stages = pd.DataFrame({"world": ["toy", "paper"], "type": ["A", "B"], "start": [10, 20], "end": [100, 30]})
    paper = pd.DataFrame({"step": [0, 500], "loss": [9.0, 4.0], "llc": [100.0, 150.0]})
    figure = drawings.stages(pd.concat(values), smooth, stages, paper)
    (loss, published), (llc, _) = np.reshape(figure.axes, (2, 2))
    assert loss.lines[-1].get_ydata().tolist() == [2.0, 1.0] and published.lines[0].get_ydata().tolist() == [4.0]
    assert llc.collections[0].get_datalim(llc.transData).y1 == 3.0  # two standard deviations above


def test_behaviour_is_the_mean_over_seeds():
    skills = ["bigram_score", "ngram_3", "ngram_4", "in_context_score", "positional_gap"]
    table = pd.DataFrame({"world": "toy", "step": [10, 10], "seed": [0, 1], **{name: [1.0, 3.0] for name in skills}})
    figure = drawings.behaviour(table, pd.DataFrame({"world": ["toy"], "bigram_entropy": [0.5]}))
    assert [len(ax.lines) for ax in figure.axes] == [2, 2, 1, 1]
    assert figure.axes[0].lines[0].get_ydata().tolist() == [2.0] and figure.axes[0].lines[1].get_ydata()[0] == 0.5


def test_rules_counts_those_memorised():
    losses = {f"loss_{kind}": 1.0 for kind in drawings.KINDS}
    table = pd.DataFrame({"step": [1, 2], "seed": 0, "memorised": [0, 5], "seen": 9, **losses})
    left, right = drawings.rules(table).axes
    assert len(left.lines) == len(drawings.KINDS) and right.lines[0].get_ydata().tolist() == [0, 5]
    assert right.lines[1].get_ydata()[0] == 9


def test_heads_stand_in_the_panels_of_their_layer():
    names = [f"{layer}:{head}" for layer in (0, 1) for head in range(8)]
    table = pd.DataFrame({"world": "toy", "step": 10, "head": names, "previous_token": 0.25, "prefix_matching": 0.5})
    figure = drawings.heads(table)
    assert [len(ax.lines) for ax in figure.axes] == [8, 8, 8]
    assert figure.axes[2].lines[0].get_ydata().tolist() == [0.5]
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 8, "heads can be told"


def test_blocks_draws_a_line_for_each_step_and_each_text():
    blocks = pd.DataFrame({"step": [1, 1, 9, 9], "block_length": [8, 16] * 2, "prefix_matching": [0.0, 0.0, 0.25, 0.5]})
    text = pd.DataFrame({"step": [0, 1, 9], "sequences": "prose", "prefix_matching": [0.0, 0.1, 0.2]})
    left, right = drawings.blocks(blocks, text).axes
    assert left.lines[0].get_ydata().tolist() == [0.25, 0.5] and right.lines[0].get_ydata().tolist() == [0.1, 0.2]
