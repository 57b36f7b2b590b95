"""Stages over seeds and their tables, on curves written by hand whose every entry is known."""

import numpy as np
import pandas as pd
import pytest

from devinterp_core.trajectory import (
    SmoothCurve,
    Stage,
    Stages,
    find_stages,
    loss_at,
    milestones,
    stage_table,
    stages_of_mean,
    stages_of_seeds,
)


def long(values, name, steps):
    """A table with a row for each step and seed from `{seed: values}`."""
    parts = [pd.DataFrame({"step": steps, "seed": seed, name: own}) for seed, own in values.items()]
    return pd.concat(parts, ignore_index=True)


def rise_and_fall(steps, scale):
    return scale * (40 / (1 + np.exp(-2 * np.log(steps / 30))) - 25 / (1 + np.exp(-4 * np.log(steps / 3000))))


def noisy_llc(scales, noise=1.0):
    steps = np.unique(np.geomspace(1, 1e5, 30).round())
    draw = np.random.default_rng(0).standard_normal
    values = {seed: rise_and_fall(steps, scale) + noise * draw(len(steps)) for seed, scale in scales.items()}
    return long(values, "llc", steps).assign(standard_error=noise)


# ------------------------------------------------------------------------------------------------ several seeds


def test_the_mean_has_the_error_of_a_mean_and_every_seed_its_own():
    llc = noisy_llc({3: 0.8, 5: 1.0, 7: 1.2}).sample(frac=1, random_state=0)  # rows in any order
    found = stages_of_mean(llc)
    wide = llc.pivot(index="step", columns="seed", values="llc")
    by_hand = find_stages(wide.index.to_numpy(), wide.to_numpy().mean(1), np.sqrt(wide.to_numpy().var(1, ddof=1) / 3))
    assert found.types == by_hand.types == "AB"
    np.testing.assert_allclose(found.curve.mean, by_hand.curve.mean, atol=0.05)
    np.testing.assert_allclose(found.curve.standard_deviation, by_hand.curve.standard_deviation, rtol=0.05)
    assert found.stages[0].change == pytest.approx(40, abs=3)
    each = stages_of_seeds(llc)
    assert sorted(each) == [3, 5, 7]
    assert [each[seed].types for seed in (3, 5, 7)] == ["AB", "AB", "AB"]
    own = llc[llc.seed == 7].sort_values("step")
    alone = find_stages(own.step.to_numpy(), own.llc.to_numpy(), own.standard_error.to_numpy())
    assert each[7].stages == alone.stages
    assert each[7].stages[0].change == pytest.approx(1.2 * 40, abs=4)


def test_a_step_that_only_one_of_several_seeds_has_is_left_out():
    llc = noisy_llc({0: 1.0, 1: 1.0, 2: 1.0})
    steps = sorted(llc.step.unique())
    lonely = (llc.step == steps[10]) & (llc.seed > 0)  # two of three are missing
    halved = (llc.step == steps[20]) & (llc.seed == 0)  # one of three
    wild = llc.assign(llc=llc.llc.mask((llc.step == steps[10]) & (llc.seed == 0), 1e4))
    found = stages_of_mean(wild[~lonely & ~halved])
    assert found.types == "AB" and found.curve.mean.max() < 50
    with_both = found.curve.log_steps[[0, -1]]
    np.testing.assert_allclose(np.exp(with_both), [1, 1e5])


def test_one_seed_is_its_own_mean():
    llc = noisy_llc({4: 1.0})
    own = find_stages(llc.step.to_numpy(), llc.llc.to_numpy(), None)
    assert stages_of_mean(llc).stages == own.stages and own.types == "AB"


# ------------------------------------------------------------------------------------------------ the table of stages

STEPS = [0, 10, 100, 1000]
CURVES = long({0: [8.0, 6.0, 3.0, 1.0], 1: [10.0, 6.0, 5.0, 3.0]}, "loss", STEPS)


def test_loss_is_read_at_the_nearest_kept_step():
    assert loss_at(CURVES, 0) == 9.0
    assert [loss_at(CURVES, step, 1) for step in (4, 54, 56, 1e9)] == [10.0, 6.0, 5.0, 3.0]
    assert loss_at(CURVES, 90) == 4.0
    with pytest.raises(ValueError, match=r"no losses of seed 2; there are those of \[0, 1\]"):
        loss_at(CURVES, 0, 2)


def test_the_table_of_stages_counts_the_first_from_step_0():
    grid = np.linspace(0, 1, 2)
    curve = SmoothCurve(grid, grid, grid, grid[None], np.eye(2), 1.0, 1.0)
    stages = [Stage(9.0, 120.0, 20.0, (18.0, 23.0)), Stage(120.0, 900.0, -7.5, (-9.0, -6.0))]
    table = stage_table(Stages(stages, [], curve), CURVES)
    # mean losses 9, 6, 4, 2: from step 0 (not 10) to 100, and from 100 to 1000
    expected = [
        {"stage": 1, "type": "A", "start": 0, "end": 120.0, "loss_change": -5.0, "llc_change": 20.0, "llc_low": 18.0,
         "llc_high": 23.0},
        {"stage": 2, "type": "B", "start": 120.0, "end": 900.0, "loss_change": -2.0, "llc_change": -7.5,
         "llc_low": -9.0, "llc_high": -6.0},
    ]  # fmt: skip
    assert table.to_dict("records") == expected
    nothing = stage_table(Stages([], [], curve), CURVES)
    assert nothing.empty and list(nothing.columns) == list(expected[0])


# ------------------------------------------------------------------------------------------------ moments of each seed


def behaviour():
    """Two seeds: smallest predictions at steps 10 and 100; seed 0's are smaller still at 0 and after the top."""
    steps = [0, 1, 10, 100, 1000, 10_000]
    loss = long({0: [5.0, 4.5, 4.25, 3.0, 2.0, 1.5], 1: [6.0, 5.5, 5.0, 4.0, 2.5, 2.75]}, "loss", steps)
    power = {0: [0.01, 0.5, 0.125, 0.75, 1.0, 0.02], 1: [0.5, 0.4, 0.3, 0.0625, 2.0, 1.0]}
    return loss.merge(long(power, "prediction_power", steps))


def coefficients():
    """Highest at 1000 for both, then falling to 10,000 (seed 0), or falling and rising again (seed 1)."""
    steps = [2, 11, 95, 1000, 5000, 10_000]
    return long({0: [1.0, 20.0, 90.0, 150.0, 130.0, 60.0], 1: [-2.0, 3.0, 24.0, 120.0, 70.0, 80.0]}, "llc", steps)


def test_moments_of_each_seed():
    table = milestones(behaviour().sample(frac=1, random_state=1), coefficients().sample(frac=1, random_state=2))
    assert table.loc[0].to_dict() == {
        "prior": 10, "top": 1000, "prior_power": 0.125, "prior_loss": 4.25,
        "llc_to_prior": 19.0, "llc_to_top": 130.0, "loss_to_prior": 0.75, "loss_to_top": 2.25,
        "llc_after": -90.0, "loss_after": -0.5,
    }  # fmt: skip
    assert table.loc[1].to_dict() == {
        "prior": 100, "top": 1000, "prior_power": 0.0625, "prior_loss": 4.0,
        "llc_to_prior": 26.0, "llc_to_top": 96.0, "loss_to_prior": 2.0, "loss_to_top": 1.5,
        "llc_after": -50.0, "loss_after": 0.0,  # step 5000 is nearer to 1000 than to 10,000
    }  # fmt: skip


def test_a_missing_estimate_is_passed_over():
    llc = coefficients()
    llc.loc[(llc.seed == 0) & llc.step.isin([2, 1000]), "llc"] = np.nan
    row = milestones(behaviour(), llc).loc[0]
    assert (row.top, row.prior, row.llc_to_prior, row.llc_to_top) == (5000, 10, 0.0, 110.0)


def test_nearest_to_the_prior_is_meant_in_log_time():
    llc = long({1: [0.0, 5.0, 7.0, 50.0]}, "llc", [2, 40, 190, 1000])  # 100 / 40 = 2.5 is more than 190 / 100
    assert milestones(behaviour(), llc).loc[1, "llc_to_prior"] == 7.0


def test_a_seed_whose_top_is_at_the_start_is_named():
    llc = long({1: [9.0, 5.0]}, "llc", [1, 100])
    with pytest.raises(ValueError, match="seed 1: no predictions were measured between step 0 and its top, step 1"):
        milestones(behaviour(), llc)
