"""ReLU networks by both samplers, and what is asked of them."""

import pandas as pd

from devinterp_core.companion import claims
from devinterp_core.companion.studies import ground_truth_claims, relu_networks


def test_both_methods_on_the_same_networks():
    table, rules = relu_networks.relu_estimates(2, [30, 60], mala_largest=30, mala_inputs=20, num_steps=40, seed=0)
    counts = table.groupby(["num_samples", "method"]).network.apply(list)
    assert counts.to_dict() == {(n, method): [0, 1] for n in (30, 60) for method in ("mala", "sgld")}
    assert len(rules) == 2 * 2 * 3 and set(rules.num_samples) == {30, 60}
    # Weights and biases of widths 10, 20, 20, 10; those of the last layer begin at zero.
    assert relu_networks.num_parameters() == 10 * 20 + 20 + 20 * 20 + 20 + 20 * 10 + 10


def test_a_network_that_mala_hardly_left_does_not_decide_the_heat():
    """Eleven ratios just below one and one of ten: the mean is above one, the median is not."""
    at_largest = pd.DataFrame({"after, same": 90.0, "after, fresh": [99.0] * 11 + [1000.0], "MALA": 100.0})
    sheet = claims.ClaimSheet("01_llc_ground_truth", paper="a paper")
    ground_truth_claims.of_recording_rules(sheet, at_largest, 1000, 20)
    assert [claim.holds for claim in sheet.claims] == [True, False]
