"""What is read off a transformer, on patterns and models whose values are known."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from devinterp_core.train import matmul_rate
from devinterp_core.transformer import (
    Transformer,
    TransformerConfig,
    attention_entropy,
    attention_variability,
    collapsed_share,
    step_flops,
)


def test_entropy_of_uniform_and_of_single_attention():
    length = 8
    uniform = torch.ones(length, length, dtype=torch.float64).tril()
    uniform = uniform / uniform.sum(1, keepdim=True)
    single = torch.eye(length, dtype=torch.float64)
    pattern = torch.stack([uniform, single]).expand(3, 2, length, length)
    entropy = attention_entropy(pattern)
    assert entropy[0] == pytest.approx(sum(math.log(i) for i in range(1, length + 1)) / length, rel=1e-12)
    assert entropy[1] == 0


def test_variability_of_fixed_and_of_alternating_attention():
    fixed = torch.tensor([[0.3, 0.7], [0.5, 0.5]], dtype=torch.float64)
    left, right = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.0, 1.0]] * 2)
    pattern = torch.stack([torch.stack([fixed, left.double()]), torch.stack([fixed, right.double()])])
    # the mean row of the second head is (1/2, 1/2): total variation 1/2 for each sequence
    torch.testing.assert_close(attention_variability(pattern), torch.tensor([0.0, 0.5], dtype=torch.float64))


def test_collapsed_share_counts_small_scales_of_either_sign():
    scales = torch.tensor([[1.0, -0.05, 0.09, -2.0], [0.1, 0.2, 0.3, 0.4]])
    assert collapsed_share(scales).tolist() == [0.5, 0.0]


@pytest.mark.parametrize(
    "config",
    [
        TransformerConfig(2, 4, 64, 16, input_size=5, output_size=5, d_mlp=64),
        TransformerConfig(1, 2, 16, 12, num_tokens=30, attention_bias=True, positions="shortformer"),
        TransformerConfig(2, 2, 16, 12, input_size=3, output_size=3, attention_output=False, d_mlp=8),
    ],
)
def test_flops_of_a_step_are_those_that_torch_counts(config):
    """Torch omits the products with a gradient of the inputs, which nobody asks for."""
    model = Transformer(config)
    shape = (4, 10) if config.num_tokens else (4, 10, config.input_size)
    inputs = torch.zeros(shape, dtype=torch.long) if config.num_tokens else torch.randn(shape)
    with FlopCounterMode(display=False) as counter:
        model(inputs).sum().backward()
    unasked = 0 if config.num_tokens else 2 * 4 * 10 * config.input_size * config.d_model
    assert step_flops(model, 4, 10) == counter.get_total_flops() + unasked


def test_matmul_rate_is_a_rate():
    assert 1e7 < matmul_rate(64, repeats=3) < 1e16
