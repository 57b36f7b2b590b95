"""What the chapter on transient ridge regression asks of each run: of tables whose verdicts are known."""

import pandas as pd
import pytest

from devinterp_core.companion import claims
from devinterp_core.companion.studies import transient_claims

BOUNDS = {"rise_bound": 0.02, "at_predictor": 0.25, "at_ridge": 0.1}


def models(rises_by_tasks):
    rows = [
        {
            "num_tasks": count, "seed": seed, "relative_rise": rise, "kind": "intermediate", "last_step": 100,
            "final_ratio": 1.0, "critical_share": 0.2, "critical_ratio": 0.5, "against_shrunken": 0.5,
            "final_share": 0.5, "moves_in": True, "moves_to_dmmse": seed > 0,
        }
        for count, rises in rises_by_tasks.items() for seed, rise in enumerate(rises)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def verdicts(rises_by_tasks):
    sheet = claims.ClaimSheet("06_transient_ridge", paper="a paper")
    transient_claims.of_models(sheet, models(rises_by_tasks), "Run: ", **BOUNDS)
    return {claim.statement.removeprefix("Run: "): claim.holds for claim in sheet.claims}


@pytest.mark.parametrize(
    ("at_32", "verdict"), [((0.05, 0.06, 0.055), True), ((0.0, 0.001, 0.0), False), ((0.0, 0.05, 0.02), None)]
)
def test_every_task_count_is_transient_only_if_none_is_left_open(at_32, verdict):
    found = verdicts({16: (0.05, 0.06, 0.055), 32: at_32})
    assert found["Every M from 16 to 128 is transient"] is verdict
    assert found["At M = 32 the loss out of distribution rises after its minimum"] is verdict
    assert found["At M = 16 the loss out of distribution rises after its minimum"] is True


def test_two_seeds_decide_no_mean():
    found = verdicts({16: (0.05, 0.06)})
    assert found["Every M from 16 to 128 is transient"] is None
    assert found["At intermediate M the model is at ridge at its critical step"] is None


def test_distances_and_counts_of_models_decide():
    found = verdicts({16: (0.05, 0.06, 0.055)})
    assert found["At intermediate M the model is at ridge at its critical step"] is True
    assert found["At intermediate M the model is at dMMSE at the end"] is False
    move = "At intermediate M the model moves from ridge towards dMMSE after its critical step"
    assert found[move] is False  # seed 0 does not, out of distribution


def test_coefficients_are_compared_seed_by_seed():
    sizes = {4: 0.5, 16: 1.2, 32: 1.0, 64: 1.0, 0: 1.0}
    rows = [
        {"num_tasks": count, "seed": seed, "llc": size * (100 + 30 * seed), "over_32": size, "over_infinity": size}
        for count, size in sizes.items() for seed in range(3)
    ]  # fmt: skip
    sheet = claims.ClaimSheet("06_transient_ridge", paper="a paper")
    transient_claims.of_coefficients(sheet, pd.DataFrame(rows), "", "settings", small_tasks=4, large_tasks=64)
    found = {claim.statement: claim.holds for claim in sheet.claims}
    assert found["The LLC is level from M = 32 on"] is True
    assert found["At the largest finite M the LLC is that of M = infinity"] is True
    crosses = "The LLC crosses that of M = infinity at the onset of transience"
    assert found[crosses] is False  # at 32, intermediate too, it is exactly that of infinity, not above
    assert found["The LLC of trained models rises with M"] is True
