"""Several runs in the same tables."""

import pandas as pd
import pytest

from devinterp_core import regression
from devinterp_core.companion.studies.transient_runs import compare_runs
from devinterp_core.regression import dmmse_prediction, ridge_prediction


def curves(shape, counts):
    """A model that is nearest to ridge at step 1 out of three; one seed for each number of tasks."""
    rows = []
    for count in counts:
        for step, away in ((0, 3.0), (1, 1.0), (2, 1.5)):
            rows.append({
                "num_tasks": count, "seed": 0, "step": step, "in_loss": away, "ood_loss_0": away, "ood_loss_1": away,
                "ood_to_ridge": away - 0.5, "ood_to_dmmse": 3 - away, "in_to_ridge": away, "in_to_dmmse": 3 - away,
                "ridge_ood_loss": 0.5, "dmmse_ood_loss": 2.0,
            })  # fmt: skip
    return pd.DataFrame(rows)


def test_runs_of_different_shape_are_compared_by_their_own_predictors():
    shapes = {"a": (2, 4), "b": (3, 4)}
    models, every, means = compare_runs(
        {"a": curves(shapes["a"], [2, 8]), "b": curves(shapes["b"], [64, 0])}, shapes, noise_variance=0.125,
        num_sequences=64, small_tasks=4, large_tasks=64, seed=10,
    )  # fmt: skip
    assert models.kind.tolist() == ["small", "intermediate", "large", "large"]
    assert models.relative_rise.to_numpy() == pytest.approx([0.5] * 4) and (models.critical_step == 1).all()
    assert means.value.to_numpy() == pytest.approx([0.5] * 4) and set(every.source) == {"a", "b"}
    # The nearest weakened dMMSE is no further from ridge than dMMSE itself, on the same sequences.
    world = regression.RegressionTasks(2, 4, 0.125, 2, task_seed=0)
    drawn = regression.RegressionTasks(2, 4, 0.125).draw(64, seed=10)
    predicted = dmmse_prediction(*drawn, 0.125, world.task_set()), ridge_prediction(*drawn, 0.125)
    distance = float((predicted[0] - predicted[1]).square().mean())
    nearest = every[(every.source == "a") & (every.num_tasks == 2)].shrunken_to_ridge.iloc[0]
    assert 0 < nearest <= distance
