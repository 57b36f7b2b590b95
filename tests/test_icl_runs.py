"""The tables of the chapter on stages, of runs small enough to be read."""

import numpy as np
import pandas as pd
import pytest

from devinterp_core.companion.studies.icl_runs import chain_table, curves_of_runs, stages_of_runs
from devinterp_core.trajectory import stages_of_mean


def coefficients(r_hat: float) -> pd.DataFrame:
    """A coefficient that rises to 30 at step 100 and falls to 10, of two seeds."""
    steps = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000]
    rows = [(step, seed, 10 * min(np.log10(step) + 1, 5 - np.log10(step))) for step in steps for seed in (0, 1)]
    table = pd.DataFrame(rows, columns=["step", "seed", "llc"])
    return table.assign(
        standard_error=0.1,
        virial_ratio=[0.9, *[1.0] * 17],
        r_hat=r_hat,
        ess=[*range(20, 38)],
        num_diverged=[2, *[0] * 17],
    )


def test_a_chain_table_has_the_worst_of_each_run():
    table = chain_table({"one": coefficients(np.nan), "four": coefficients(1.05)[:17]}).set_index("run")
    assert list(table.loc["four"]) == [17, 1, 2, 1.0, 0.9, 1.0, 1.05, 20]
    assert np.isnan(table.r_hat["one"])


def test_stages_and_curves_of_all_runs_stand_in_one_table():
    llc = {"a": coefficients(1), "b": coefficients(1).assign(llc=lambda table: 2 * table.llc)}
    behaviours = {run: table.assign(loss=5 - np.log10(table.step), ridge_gap=7.0) for run, table in llc.items()}
    published = pd.DataFrame({"type": ["A", "B"], "end": [5, 9], "loss_change": [-1, -2], "llc_change": [3, -4]})
    table = stages_of_runs({run: stages_of_mean(own) for run, own in llc.items()}, behaviours, published)
    assert list(table.run) == ["a", "a", "b", "b", "paper", "paper"] and list(table.type) == ["A", "B"] * 3
    assert list(table[table.run == "paper"].start) == [0, 5] and list(table[table.run == "paper"].stage) == [1, 2]
    assert table.end[0] == pytest.approx(100, rel=0.1)
    assert table.llc_change[2] == pytest.approx(2 * table.llc_change[0], rel=0.1)
    curves = curves_of_runs(behaviours, llc)
    assert len(curves) == 2 * 2 * 18
    own = curves[(curves.run == "b") & (curves.quantity == "llc") & (curves.step == 100)]
    assert list(own.value) == [60, 60] and set(curves[curves.quantity == "ridge_gap"].value) == {7}
