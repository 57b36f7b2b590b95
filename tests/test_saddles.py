"""The fall from saddle to saddle."""

import pytest
import torch

from devinterp_core import dln
from devinterp_core.companion.studies import saddles


def test_a_step_is_that_of_autograd():
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=generator) for shape in ((4, 5), (3, 4))]
    inputs, targets = torch.randn(7, 5, generator=generator), torch.randn(7, 3, generator=generator)
    model = dln.DeepLinearNetwork([weight.clone() for weight in weights])
    dln.squared_error(model, (inputs, targets)).mean().backward()
    expected = [layer.detach() - 0.1 * layer.grad for layer in model.layers]
    saddles._descend(weights, inputs, targets, 0.1)
    for ours, truth in zip(weights, expected, strict=True):
        torch.testing.assert_close(ours, truth)


def test_the_loss_falls_and_estimates_stand_at_checkpoints():
    inputs, networks, curve = saddles.train([0, 300], seed=0)
    assert curve["loss"].iloc[0] == pytest.approx(1100, rel=0.05)  # of the zero map: the mean of (10 i)^2
    assert curve["loss"].iloc[1] < curve["loss"].iloc[0]
    table = saddles.coefficients(networks, [0, 300], inputs, [4], exact_draws=10, seed=0)
    assert table["sampler"].tolist() == ["SGLD, 4 steps"] * 2 + ["exact draws"] * 2
    assert (table["estimate"] < dln.learning_coefficient(saddles.WIDTHS, 0)[0] * 2).all()
    with pytest.raises(ValueError, match="0 or more"):
        saddles.train([])
