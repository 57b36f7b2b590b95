"""Distances to ridge and dMMSE: of a model that predicts zero they are known, and of the plane its ends are."""

import numpy as np
import pandas as pd
import pytest
import torch

from devinterp_core import regression
from devinterp_core.regression import RegressionTasks
from devinterp_core.train import TrainingSettings, train
from devinterp_core.trajectory.two_predictors import (
    distances_along_training,
    joint_plane,
    nearest_weakened,
    two_predictors,
)
from devinterp_core.transformer import Transformer, TransformerConfig

NOISE = 0.25
WORLDS = [RegressionTasks(2, 3, NOISE, 4), RegressionTasks(2, 3, NOISE, None)]


@pytest.fixture(scope="module")
def on():
    return two_predictors(WORLDS, num_sequences=40, num_probe=6, seed=100)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = TransformerConfig(
        num_layers=1, num_heads=1, d_model=4, num_positions=6, input_size=3, output_size=3, d_mlp=4
    )
    models = [Transformer(config, seed=index) for index in range(2)]
    with torch.no_grad():
        for model in models:
            for parameter in model.unembed.parameters():
                parameter.zero_()
    return train(
        models,
        regression.RegressionStream(tuple(WORLDS), 4, seed=0),
        regression.sequence_loss,
        TrainingSettings(num_steps=4, learning_rate=1e-2),
        checkpoint_steps=[0, 2, 4],
        folder=tmp_path_factory.mktemp("run"),
        compile=False,
    )


def test_both_predictors_are_one_where_tasks_are_infinite(on):
    for kind, shape in (("ood", (40, 3)), ("in", (40, 3)), ("probe", (6, 3))):
        ridge = on.ridge[kind] if kind == "ood" else on.ridge[kind][1]
        assert on.dmmse[kind].shape == (2, *shape)
        assert torch.equal(on.dmmse[kind][1], ridge) and not torch.equal(on.dmmse[kind][0], ridge)
    own = on.sequences["in"]
    expected = regression.dmmse_prediction(own.inputs[0], own.targets[0], NOISE, WORLDS[0].task_set())
    assert torch.equal(on.dmmse["in"][0], expected)


def test_losses_are_mean_squared_errors(on):
    first = on.losses().iloc[0]
    error = (on.ridge["in"][0] - on.sequences["in"].targets[0]).square().mean().item()
    assert first.ridge_in_loss == pytest.approx(error, rel=1e-5)
    error = (on.dmmse["ood"][0] - on.sequences["ood"].targets).square().mean().item()
    assert first.dmmse_ood_loss == pytest.approx(error, rel=1e-5)


def test_a_model_that_predicts_zero_is_as_far_as_the_predictors_are_large(on, run):
    curves, probes = distances_along_training(run, on)
    assert probes.shape == (3, 2, 18) and not probes[0].any() and probes[2].any()
    first = curves[curves.step == 0].set_index("model").loc[0]
    assert first.in_to_dmmse == pytest.approx(on.dmmse["in"][0].square().mean().item(), rel=1e-5)
    assert first.ood_to_ridge == pytest.approx(on.ridge["ood"].square().mean().item(), rel=1e-5)
    assert first.in_loss == pytest.approx(on.sequences["in"].targets[0].square().mean().item(), rel=1e-5)
    assert first.ood_loss == pytest.approx(first.ood_to_ridge + on.losses().ridge_ood_loss[0], rel=1e-5)
    assert first.ood_loss == pytest.approx((first.ood_loss_0 + first.ood_loss_1) / 2, rel=1e-6)
    with pytest.raises(ValueError, match="not one for each"):
        distances_along_training(run, two_predictors(WORLDS[:1], num_sequences=2, num_probe=2, seed=0))


def test_the_plane_holds_models_and_predictors(on, run):
    curves, probes = distances_along_training(run, on)
    models = curves.assign(num_tasks=curves.model.map({0: 4, 1: 0}), critical_step=2)
    plane = joint_plane(probes, models, on)
    assert plane.kind.tolist() == ["model"] * 6 + ["ridge", "dmmse"]
    assert plane[plane.critical].step.tolist() == [2, 2]
    zeros = plane[plane.step == 0]
    assert np.ptp(zeros.pc1) < 1e-6, "both begin at zero predictions"
    error = (on.dmmse["probe"][0] - on.sequences["probe"].targets[0]).square().mean().item()
    assert plane.root_loss.iloc[-1] == pytest.approx(error, rel=1e-5)
    with pytest.raises(ValueError, match="no models"):
        joint_plane(probes, models.iloc[:0], on)


def test_weakened_dmmse_of_each_world():
    finite, infinite = nearest_weakened(WORLDS, num_sequences=20, seed=2)
    drawn = RegressionTasks(2, 3, NOISE).draw(20, seed=2)
    assert finite == regression.nearest_weakened_dmmse(*drawn, NOISE, WORLDS[0].task_set()) and np.isnan(infinite)


def test_sequences_come_in_halves():
    for odd in ({"num_sequences": 3, "seed": 0}, {"num_sequences": 2, "seed": 1}):
        with pytest.raises(ValueError, match="even"):
            two_predictors(WORLDS, num_probe=2, **odd)
    assert pd.notna(two_predictors(WORLDS, num_sequences=2, num_probe=2, seed=0).losses()).all(axis=None)
