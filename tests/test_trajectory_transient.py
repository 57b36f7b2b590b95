"""The table of transients on curves written by hand: every entry is a fraction that can be checked by eye."""

import numpy as np
import pandas as pd
import pytest

from devinterp_core.trajectory import transient_table


def model(count, seed, ood, to_ridge, to_dmmse, **changes):
    """Curves of one model at steps 0, 10, ...; the two halves of the loss are 1/4 above and below `ood`."""
    ood = np.asarray(ood)
    columns = {"step": 10 * np.arange(len(ood)), "ood_loss_0": ood + 0.25, "ood_loss_1": ood - 0.25}
    columns |= {"ood_to_ridge": to_ridge, "ood_to_dmmse": to_dmmse, "in_to_ridge": to_ridge, "in_to_dmmse": to_dmmse}
    fixed = {"in_loss": 0.5, "ridge_ood_loss": 1.5, "dmmse_ood_loss": 5.5, "shrunken_to_ridge": 2.0} | changes
    return pd.DataFrame(columns).assign(num_tasks=count, seed=seed, unused="text", **fixed)


# falls from 4 to 2 at step 20 and rises to 3; distances move to dMMSE after the minimum
TRANSIENT = model(8, 1, [4.0, 2.5, 2.0, 2.75, 3.0], [4.0, 1.5, 1.0, 1.25, 2.0], [3.0, 2.5, 2.0, 1.0, 0.5],
                  in_loss=[4.0, 3.0, 2.0, 1.0, 0.75])  # fmt: skip
STAYS = model(0, 0, [4.0, 3.0, 2.0], [4.0, 2.0, 0.5], [4.0, 2.0, 0.5])


def test_every_entry_of_a_transient_model():
    (row,) = transient_table(TRANSIENT).to_dict("records")
    assert row == {
        "num_tasks": 8, "seed": 1, "critical_step": 20, "minimum": 2.0, "final": 3.0, "rise": 1.0,
        "relative_rise": 0.5, "uncorrected": 0.5,
        "share_of_gap": 0.25,  # of 5.5 - 1.5
        "approach": 0.75,  # from 4 to 1
        "against_shrunken": 0.5,  # 1 over 2
        "moves_to_dmmse": True,
        "critical_share": 0.25, "final_share": 0.5, "critical_in_to_ridge": 1.0, "critical_in_to_dmmse": 2.0,
        "final_in_loss": 0.75, "final_in_to_ridge": 2.0, "final_in_to_dmmse": 0.5, "final_ood_to_dmmse": 0.5,
        "critical_ratio": 0.5, "final_ratio": 0.25, "moves_in": True,
    }  # fmt: skip


def test_infinitely_many_tasks_have_one_predictor_and_no_gap():
    (row,) = transient_table(STAYS).to_dict("records")
    assert np.isnan(row["share_of_gap"]) and np.isnan(row["against_shrunken"])
    assert (row["critical_step"], row["rise"], row["relative_rise"], row["approach"]) == (20, 0.0, 0.0, 0.875)
    assert not row["moves_to_dmmse"]  # the critical step is the last one


@pytest.mark.parametrize("distance", ["ood_to_ridge", "ood_to_dmmse"])
def test_a_model_leaves_ridge_for_dmmse_only_if_both_distances_say_so(distance):
    assert not transient_table(TRANSIENT.assign(**{distance: 1.0})).moves_to_dmmse.item()


def test_the_rise_is_cross_fitted_and_the_critical_step_is_of_the_mean():
    noisy = TRANSIENT.assign(ood_loss_0=[9.0, 1.0, 3.0, 4.0, 4.0], ood_loss_1=[9.0, 4.0, 2.5, 5.0, 5.0])
    (row,) = transient_table(noisy).to_dict("records")
    assert (row["critical_step"], row["minimum"], row["rise"], row["uncorrected"]) == (10, 3.5, 1.0, 2 / 3.5)
    assert (row["relative_rise"], row["share_of_gap"]) == (1 / 3.5, 0.25)


def test_models_are_kept_apart_and_sorted_whatever_the_order_of_rows():
    curves = pd.concat([TRANSIENT, STAYS, TRANSIENT.assign(seed=0, ood_to_ridge=1.0)], ignore_index=True)
    table = transient_table(curves.sample(frac=1, random_state=0))
    assert table[["num_tasks", "seed"]].to_numpy().tolist() == [[0, 0], [8, 0], [8, 1]]
    assert table.approach.tolist() == [0.875, 0.0, 0.75]
    assert table.critical_step.tolist() == [20, 20, 20]


def test_what_cannot_be_a_table_of_curves_is_refused():
    with pytest.raises(ValueError, match=r"missing: \['seed', 'shrunken_to_ridge'\]"):
        transient_table(TRANSIENT.drop(columns=["shrunken_to_ridge", "seed"]))
    with pytest.raises(ValueError, match="rows: 0"):
        transient_table(TRANSIENT.iloc[:0])
    with pytest.raises(ValueError, match="NaN"):
        transient_table(TRANSIENT.assign(ood_loss_0=np.nan))
