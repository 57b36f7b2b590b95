"""When a model learns what, on curves written by hand."""

import numpy as np
import pandas as pd
import pytest

from devinterp_core.trajectory.skills import skill_table

STEPS = np.array([0, 1, 3, 7, 15])  # evenly spaced in log(1 + t)
CURVES = pd.DataFrame({
    "world": "toy", "seed": 0, "step": STEPS, "bigram_score": [5.0, 4.0, 3.5, 4.0, 4.5],
    "ngram_3": [6.0, 5.0, 4.0, 3.0, 2.0], "in_context_score": [0.0, 0.0, 0.0, -0.4, -0.4],
    "positional_gap": [0.0, 0.0, 0.0, 0.2, 1.0],
})  # fmt: skip
HEADS = pd.concat([
    pd.DataFrame({"world": "toy", "seed": 0, "step": STEPS, "head": head, "previous_token": previous,
                  "prefix_matching": matching})
    for head, previous, matching in (
        ("0:0", [0, 0, 0, 0, 0.8], 0.9), ("1:0", [0, 0, 0.4, 0.4, 0.4], [0, 0, 0, 0.1, 0.2]),
        ("1:1", [0.0] * 5, [0, 0, 0, 0, 0.6]),
    )
])  # fmt: skip
KNOWN = pd.DataFrame({"world": ["toy"], "bigram_entropy": [3.25], "ngram_by_bigrams": [4.0]})


def test_every_moment():
    (row,) = skill_table(CURVES, HEADS, KNOWN).to_dict("records")
    assert row["world"] == "toy" and row["seed"] == 0
    assert row["bigrams"] == 3 and row["bigram_gap"] == pytest.approx(0.25)
    assert row["ngrams"] == pytest.approx(7)  # half-way from 4 to 2
    assert row["in_context"] == pytest.approx(2**2.5 - 1) and row["final_in_context"] == -0.4
    assert row["positions"] == pytest.approx(2**2.5 - 1) and row["final_gap"] == 1.0
    assert row["previous_token_0"] == pytest.approx(2**3.5 - 1) and row["previous_token_1"] == pytest.approx(2**1.5 - 1)
    assert row["prefix_matching_1"] == pytest.approx(2 ** (3 + 0.2 / 0.5) - 1) and row["final_prefix_matching_1"] == 0.6


def test_a_level_that_is_not_reached_has_no_step():
    assert np.isnan(skill_table(CURVES.assign(positional_gap=0.0), HEADS, KNOWN).positions.item())


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="ngram_3"):
        skill_table(CURVES.drop(columns="ngram_3"), HEADS, KNOWN)
    with pytest.raises(ValueError, match="known"):
        skill_table(CURVES.assign(world="other"), HEADS, KNOWN)
