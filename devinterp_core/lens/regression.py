"""The lens in closed form: each layer's translator by least squares to the last hidden state."""

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

from .lenses import TunedLens


@torch.no_grad()
def fit_least_squares(
    lens: TunedLens,
    batches: Callable[[int], Int[Tensor, "batch position"]],
    num_batches: int,
    *,
    ridge: float = 1e-3,
    skip: int = 0,
    normalize: bool = True,
    progress: bool = False,
) -> None:
    r"""Set every translator of a lens to the ridge regression of the last hidden state on the layer's, in place.

    $A_l, b_l = \arg\min \mathbb{E} \lVert A h_l + b - t \rVert^2 + \lambda s_l \lVert A - I \rVert^2$, with $s_l$ the
    mean variance of the layer's coordinates; the moments are streamed, $(d+1)^2$ numbers a layer. The final norm does
    not see the length of a state, so the target $t$ is by default the last state brought to one length, the root mean
    square of all: otherwise tokens with large states would count for more. A warm start for `train_lens`, and the
    "linear shortcut" of which it is a refinement.

    Args:
        lens: whose translators are replaced.
        batches: step to tokens, as in `train_lens`.
        num_batches: how many of them are read.
        ridge: $\lambda \geq 0$, pull towards the logit lens, relative to $s_l$.
        skip: positions at the beginning of each sequence that are left out; in many models the first token's state is
            many times larger than all others.
        normalize: whether the targets are brought to one length.
        progress: show a progress bar.

    Raises:
        ValueError: settings out of their range, sequences of no more than `skip` tokens, bad tokens, or too few tokens
            for a regression without ridge.

    Reference: Din et al. (2023), arXiv:2303.09435.
    """
    if num_batches < 1 or ridge < 0 or skip < 0:
        raise ValueError(f"need num_batches >= 1, ridge >= 0, skip >= 0; got {num_batches}, {ridge} and {skip}")
    model, width = lens.model, lens.model.d_model
    like = {"dtype": torch.float64, "device": model.device}
    inner = torch.zeros(lens.num_layers, width + 1, width + 1, **like)  # of (h, 1) with itself
    outer = torch.zeros(lens.num_layers, width + 1, width, **like)  # of (h, 1) with the target
    lengths, count = 0.0, 0
    for step in tqdm(range(num_batches), desc="least squares", unit="batch", disable=not progress):
        tokens = batches(step)
        model.check_tokens(tokens)
        if tokens.shape[1] <= skip:
            raise ValueError(f"sequences of {tokens.shape[1]} tokens have none left after skipping {skip}")
        *states, last = (state[:, skip:].flatten(0, 1) for state in model.hidden_states(tokens))
        length = last.square().mean(1, keepdim=True).sqrt()
        target = last / length if normalize else last
        one = torch.ones_like(length)
        for layer, state in enumerate(states):
            row = torch.cat([state, one], dim=1)
            inner[layer] += row.T @ row
            outer[layer] += row.T @ target
        lengths, count = lengths + length.double().square().sum(), count + len(last)
    if normalize:
        outer *= (lengths / count).sqrt()
    if not ridge and count <= width:
        raise ValueError(f"{count} tokens do not determine {width + 1} coefficients: give more, or use a ridge")
    identity = torch.eye(width, **like)
    for layer in range(lens.num_layers):
        mean = inner[layer, :-1, -1] / count
        variance = (inner[layer].diagonal()[:-1] / count - mean.square()).mean()
        pull = ridge * variance * count
        system, right = inner[layer].clone(), outer[layer].clone()
        system.diagonal()[:-1] += pull
        right[:-1] += pull * identity
        found, singular = torch.linalg.solve_ex(system, right)
        if singular:
            raise ValueError(f"the states of layer {layer} do not span all {width} dimensions: use a ridge")
        lens.weight[layer] = (found[:-1].T - identity).to(lens.weight.dtype)
        lens.bias[layer] = found[-1].to(lens.bias.dtype)
