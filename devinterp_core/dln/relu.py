r"""Random ReLU networks, as the published code draws them: no coefficient is known, but samplers can be compared."""

from collections.abc import Sequence

import torch
from torch import nn


def random_relu_network(widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    r"""A ReLU network in float32 with layers of `widths`, inputs first.

    Weights are truncated normal with standard deviation $0.88 / \sqrt{\text{fan-in}}$ (cut at two of the untruncated
    ones), biases standard normal in the hidden layers and zero at the outputs.

    Args:
        widths: two or more, each at least 1.
        generator: of all random numbers; it is advanced.

    Raises:
        ValueError: for other widths.

    Reference: Lau et al. (2025), comparison of SGLD and MALA in the published code.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths must be at least two positive integers, got {list(widths)}")
    layers: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(zip(widths, widths[1:])):
        layer, std = nn.Linear(fan_in, fan_out), fan_in**-0.5
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        is_hidden = index < len(widths) - 2
        layer.bias.data = torch.randn(fan_out, generator=generator) if is_hidden else torch.zeros(fan_out)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
