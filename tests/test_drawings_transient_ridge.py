"""The drawings of chapter 6, from tables of a few rows."""

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from devinterp_core.companion.drawings import transient_ridge as drawings

DISTANCES = {"ood_to_ridge": [4.0, 1.0, 2.0], "ood_to_dmmse": [3.0, 2.0, 1.0]}
DISTANCES |= {"in_to_ridge": [4.0, 1.0, 2.0], "in_to_dmmse": [3.0, 2.0, 1.0]}
CURVES = pd.DataFrame({
    "source": "run", "num_tasks": 16, "seed": 0, "step": [0, 10, 100], "kind": "intermediate", "critical_step": 10,
    "ood_loss": [6.0, 3.0, 4.0], "ridge_ood_loss": 2.0, "dmmse_ood_loss": 5.0, **DISTANCES,
})  # fmt: skip
RISES = pd.DataFrame({"source": "run", "num_tasks": [16], "relative_rise": [0.25], "critical_share_of_training": [0.1]})
MEANS = pd.DataFrame(
    {"source": "run", "num_tasks": [16, 0], "value": [0.25, 0.0], "low": [0.2, 0.0], "high": [0.3, 0.0], "bound": 0.02}
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_at_dimension_draws_the_loss_its_critical_step_and_the_distances():
    left, right, ood, own = drawings.at_dimension(CURVES, RISES, MEANS).axes
    assert left.lines[0].get_ydata().tolist() == [3.0, 4.0] and left.lines[1].get_xdata().tolist() == [10]
    assert [label.get_text() for label in right.get_xticklabels()] == ["16", "∞"]
    assert [line.get_ydata().tolist() for line in own.lines[:2]] == [[1.0, 2.0], [2.0, 1.0]]
    assert len(ood.lines) == 3, "two distances and the critical step"


def test_losses_shows_the_predictors():
    (ax,) = drawings.losses(CURVES).axes
    triangle, ridge = ax.lines[2:]
    assert triangle.get_ydata().tolist() == [5.0] and ridge.get_ydata()[0] == 2.0


def test_distances_has_a_column_for_each_number_of_tasks():
    top, _, bottom, _ = drawings.distances(pd.concat([CURVES, CURVES.assign(num_tasks=0)])).axes
    assert top.get_title() == "M = 16" and len(top.lines) == 3 and bottom.lines[0].get_ydata().tolist() == [1.0, 2.0]


def test_plane_draws_models_and_predictors():
    path = pd.DataFrame({"num_tasks": 16, "kind": "model", "critical": [False, True, False], "pc1": [0.0, 1.0, 2.0]})
    table = pd.concat([path, pd.DataFrame({"num_tasks": [16, 0], "kind": ["dmmse", "ridge"], "pc1": [5.0, 7.0]})])
    (ax,) = drawings.plane(table.assign(source="run", pc2=0.0, explained_1=0.5, explained_2=0.25)).axes
    assert [float(line.get_xdata()[-1]) for line in ax.lines[2:]] == [1.0, 2.0, 5.0, 7.0]
    assert ax.get_xlabel() == "PC 1 (50 % of variance)"


def test_coefficients_draws_bars_of_the_estimates():
    losses = {f"{who}{inputs}_loss": 1.0 for who in ("", "ridge_", "dmmse_") for inputs in ("in", "ood")}
    table = pd.DataFrame({"source": "run", "where": "final", "num_tasks": [4, 0], "llc": [50.0, 90.0], **losses})
    *_, ax = drawings.coefficients(table.assign(standard_error=1.0)).axes
    assert ax.lines[0].get_ydata().tolist() == [50.0, 90.0]
