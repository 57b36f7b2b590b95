"""Figures of the two chapters on the toy model of superposition, drawn from small tables."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from devinterp_core.companion.drawings import tms_kgons, tms_phases
from devinterp_core.companion.studies import superposition


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_an_arrow_for_each_jump_in_the_look_of_its_change():
    jumps = pd.DataFrame({"loss": 0.2, "llc": 1.0, "next_loss": 0.1, "next_llc": [4.0, 0.0, 1.1], "change": [3, -3, 0]})
    levels = pd.DataFrame({"label": ["a", "b", "c"], "loss": [0.2, 0.1, 0.0]})
    (ax,) = tms_kgons.jumps(jumps, levels).axes
    assert [text.arrow_patch.get_linestyle() for text in ax.texts] == ["-", "--", ":"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b"]  # only levels that a jump touches
    assert ax.lines[1].get_ydata().tolist() == [4.0, 0.0, 1.1]


def test_chains_that_disagree_are_open():
    common = {"k": 5, "sigma": 0, "llc": 7.0, "low": 6.5, "high": 7.5, "truth": 7.0}
    limit = pd.DataFrame({**common, "n_beta": [1e3, 1e4, 1e5], "converged": [False, True, True]})
    finite = pd.DataFrame([{**common, "n_beta": 600.0, "published": np.nan}])
    (ax,) = tms_kgons.llc_limit(limit, finite).axes
    dots = {line.get_label(): line for line in ax.lines}
    apart = dots["MALA, population loss, chains apart"]
    assert apart.get_markerfacecolor() == "white"
    assert apart.get_xdata().tolist() == [1e3]
    assert dots["MALA, population loss"].get_xdata().tolist() == [1e4, 1e5]


def test_coefficients_of_jumps_and_rests():
    jumps = pd.DataFrame({"run": [1, 2], "level": 0, "middle": 3, "next_level": 1, "next_middle": [7, 8]})
    estimates = pd.DataFrame({"run": [1, 1, 2], "checkpoint": [3, 7, 3], "llc": [2.0, 7.0, 1.0], "standard_error": 3.0})
    estimates["standard_error"] = [3.0, 4.0, 1.0]
    found = superposition.jumps_with_coefficients(jumps, estimates, np.array([0.2, 0.1]))
    assert found.change.tolist()[0] == 1.0  # a rise of 5 with a standard error of 5
    assert np.isnan(found.change[1])  # an estimate is missing
    rests = pd.DataFrame({"run": [1], "level": [0], "first": [0], "last": [1], "middle": [0]})
    points = pd.DataFrame({"run": 1, "step": [10, 20, 30], "on_level": True, "llc": [1.0, 3.0, 100.0]})
    levels = pd.DataFrame({"label": ["a"], "loss": [0.2]})
    stairs = superposition.rests_with_coefficients(rests, points, levels, np.array([10, 20, 30]))
    assert stairs[["start", "end", "llc"]].to_numpy().tolist() == [[10, 20, 2.0]]


def test_runs_with_most_rests_of_each_kind():
    rests = pd.DataFrame({"run": [0, 1, 1, 3]})
    loss, kinds = np.array([0.1, 0.2, 0.3, 0.2]), np.array([0, 0, 1, 1])
    assert superposition.with_most_rests(rests, loss, kinds, 1) == [1, 3]


def test_curves_of_hulls_and_of_the_posterior():
    losses = pd.DataFrame({"step": [100, 200], "run": 0, "loss": [0.2, 0.1]})
    levels = pd.DataFrame({"label": ["$5$"], "loss": [0.07], "num_positive": [0], "num_negative": [0]})
    shares = superposition.hull_shares(np.array([[5, 4], [5, 5]]), np.array([100, 200]), [4, 5])
    posterior = pd.DataFrame({"k": [4, 5], "n": 500, "mean": [0.25, 0.75], "min": [0.2, 0.7], "max": [0.3, 0.8]})
    left, middle, right = tms_phases.sgd_and_posterior(losses, levels, shares, posterior).axes
    assert left.lines[0].get_ydata().tolist() == [0.2, 0.1]
    assert [line.get_ydata().tolist() for line in middle.lines] == [[0.5, 0.0], [0.5, 1.0]]
    (segments,) = right.containers[1].lines[2][0].get_segments()
    assert segments[:, 1].tolist() == [0.7, 0.8]


def test_shares_of_hulls_have_intervals_at_none_and_at_all():
    table = superposition.hull_shares(np.full((1, 10), 5), np.array([7]), [5, 6])
    assert table.share.tolist() == [1.0, 0.0]
    assert table.high[0] == 1
    assert table.low[1] == 0
    assert table.low[0] == pytest.approx(0.025 ** (1 / 10))  # ten of ten


def test_chains_of_the_papers_sampler_beside_smc():
    chains = pd.DataFrame({"data_set": 0, "n": 400, "start": ["random", "5-gon", "6-gon"], "six": [0.3, 0.1, 0.9]})
    particles = pd.DataFrame({"data_set": [0], "n": 400, "six": 0.5})
    (ax,) = tms_phases.paper_sampler(chains, particles).axes
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0.3], [0.1], [0.9]]
    sets = pd.DataFrame({"data_set": [0, 0, 1, 1], "n": [400, 700] * 2, "six": [0.1, 0.2, 0.3, 0.4]})
    (ax,) = tms_phases.actual_data(sets, pd.DataFrame({"n": [50, 500], "mean": [0.0, 0.5]})).axes
    assert [line.get_ydata().tolist() for line in ax.lines[:3]] == [[0.1, 0.2], [0.3, 0.4], [0.5]]


def test_starts_of_sgd_and_counts_of_jumps():
    W, b, kinds = superposition.starts_at_kgons(3, 8, seed=0)
    assert W.shape == (11, 2, 6)
    assert b.shape == (11, 6)
    assert kinds[:2] == ["bias 0", "bias 0"]
    assert (b[3:5, 5] == 0).all()
    with pytest.raises(ValueError, match="4 kinds"):
        superposition.starts_at_kgons(3, 7, seed=0)
    names = np.array([["4", "4"], ["between levels", "4"], ["5", "4"]])
    table = superposition.jump_counts(names)
    assert table.loc["4", "5"] == 1
    assert table.to_numpy().sum() == 1
    flat, least = superposition.flat_directions(5, 6, 0)
    assert (flat, least > 0) == (4, True)
