"""Behaviour and structure of regression transformers along training, against what they are by definition."""

import numpy as np
import pytest
import torch

from devinterp_core import regression
from devinterp_core.train import TrainingSettings, train
from devinterp_core.trajectory import development
from devinterp_core.transformer import Transformer, TransformerConfig

WORLD = regression.RegressionTasks(2, 3, 0.25)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    config = TransformerConfig(
        num_layers=1, num_heads=2, d_model=8, num_positions=6, input_size=3, output_size=3, d_mlp=8
    )
    return train(
        [Transformer(config, seed=seed) for seed in (0, 1)],
        regression.RegressionStream((WORLD, WORLD), 4, seed=0),
        regression.sequence_loss,
        TrainingSettings(num_steps=2, learning_rate=1e-3),
        checkpoint_steps=[0, 2],
        folder=tmp_path_factory.mktemp("run"),
    )


def test_behaviour_is_what_its_definition_says(checkpoints):
    table, ridge_score = development.behaviour(checkpoints, [0, 2], WORLD, num_sequences=16, input_scales=[5.0], seed=3)
    assert table[["step", "seed"]].to_numpy().tolist() == [[0, 0], [0, 1], [2, 0], [2, 1]]
    test = WORLD.draw(16, seed=10_003)
    ridge = regression.ridge_prediction(*test, WORLD.noise_variance)
    with torch.no_grad():
        outputs = regression.read_predictions(checkpoints.model(2, 1)(regression.to_tokens(test)))
    errors = (outputs - test.targets) ** 2
    last = table.iloc[-1]
    assert last.loss == pytest.approx(float(errors.mean()), rel=1e-5)
    assert last.icl_score == pytest.approx(float(errors.mean(0)[-1] - errors.mean(0)[0]), rel=1e-4)
    assert last.ridge_gap == pytest.approx(float(((outputs - ridge) ** 2).mean()), rel=1e-5)
    assert last.prediction_power == pytest.approx(float((outputs**2).mean()), rel=1e-5)
    assert np.allclose(table.relative_5 * (2 * 25 + 0.25), table.ood_5)
    of_ridge = ((ridge - test.targets) ** 2).mean(0)
    assert ridge_score == pytest.approx(float(of_ridge[-1] - of_ridge[0]), rel=1e-5)


def test_structure_of_fresh_models(checkpoints):
    table = development.structure(checkpoints, [0])
    assert np.allclose(table[["unembedding", "first_attention"]], 8**0.5) and (table.collapsed == 0).all()
    assert table.embedding_ratio.between(0, 1).all()
    tokens = regression.to_tokens(WORLD.draw(8, seed=0))
    heads = development.attention(checkpoints, [0], tokens, 1)
    assert len(heads) == 4 and heads.entropy.between(0, np.log(6)).all() and heads.variability.between(0, 1).all()
