"""The localiser chosen by a rule; multiplicities weighted by the published runs."""

import pandas as pd
import pytest

from devinterp_core.companion.studies import deep_linear, localiser


def test_random_architectures_have_two_coefficients():
    for seed in range(20):
        found = localiser.random_three_layers(seed)
        local, whole = localiser.local_and_global(found)
        assert local >= 1.1 * whole
        assert found.layer_ranks[0] == found.widths[1] and found.rank == found.layer_ranks[1]
    assert localiser.random_three_layers(3) == localiser.random_three_layers(3)


def test_the_localiser_of_the_least_median_error_is_chosen():
    table = pd.DataFrame({"localization": [1.0, 1.0, 1.0, 9.0, 9.0, 9.0], "e": [0.0, 0.3, 0.4, 0.2, 0.2, 9.0]})
    assert localiser.chosen(table, "e") == 9.0


def test_a_narrow_localiser_finds_the_local_coefficient():
    table = localiser.random_sweeps([5], [1e-1, 1e3], n_beta=1e10, num_draws=60).set_index("localization")
    assert table.loc[1e3, "local_error"] < table.loc[1e3, "whole_error"]
    assert table.loc[1e-1, "whole_error"] < table.loc[1e-1, "local_error"]


def test_weighted_multiplicities_are_shares():
    shares, weighted, one = deep_linear.multiplicities(30, seed=0)
    assert weighted["share"].sum() == pytest.approx(1)
    per_class = shares[shares["multiplicity"] == 1].set_index("class")["share"]
    assert one.value == pytest.approx(sum(per_class[name] * runs for name, runs in deep_linear.USABLE.items()) / 545)
    assert one.interval[0] < one.value < one.interval[1]
