"""Stimulus-response alignment: does the lens answer an intervention as the model does?"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .lenses import LogitLens


def aitchison_similarity(
    stimulus: Float[Tensor, "*batch token"], response: Float[Tensor, "*batch token"], weights: Float[Tensor, " token"]
) -> Float[Tensor, "*batch"]:
    r"""Weighted Aitchison cosine of two changes of log-probabilities.

    $\langle x, y \rangle_w = \sum_v w_v\,\mathrm{clr}(x)_v\,\mathrm{clr}(y)_v$ with $\mathrm{clr}(x) = x - \sum_v w_v
    x_v$ and $\sum w = 1$; the cosine does not change when a constant is added to all logits.

    Args:
        stimulus: change of the lens's log-probabilities.
        response: change of the model's.
        weights: of the tokens, not negative; the model's marginal distribution keeps rare tokens from dominating.

    Raises:
        ValueError: weights that are negative or all zero.

    Reference: Belrose et al. (2023), section 4.3.
    """
    if (weights < 0).any() or not weights.sum() > 0:
        raise ValueError("weights must not be negative, and not all zero")
    w = weights / weights.sum()
    x, y = (z - (w * z).sum(-1, keepdim=True) for z in (stimulus, response))
    norms = (w * x * x).sum(-1).sqrt() * (w * y * y).sum(-1).sqrt()
    return (w * x * y).sum(-1) / norms.clamp_min(1e-8)


@torch.no_grad()
def stimulus_response_alignment(
    lens: LogitLens,
    tokens: Int[Tensor, "batch position"],
    layer: int,
    directions: Float[Tensor, "direction d_model"],
    weights: Float[Tensor, " token"],
    *,
    seed: int = 0,
) -> Float[Tensor, " batch"]:
    r"""Alignment of lens and model under resampling ablation of a subspace at the last position of each sequence.

    $h' = h + V^\top V (h_{\text{other}} - h)$ with the state of another sequence; the context before is left alone. The
    stimulus is the change of the lens at that layer, the response that of the model.

    Args:
        lens: logit or tuned.
        tokens: two sequences or more.
        layer: of the intervention.
        directions: orthonormal rows $V$, for example the first of a causal basis of this lens.
        weights: see `aitchison_similarity`.
        seed: of the shuffle that gives every sequence another one's state.

    Raises:
        ValueError: one sequence only, bad tokens, layer or weights.
    """
    if len(tokens) < 2:
        raise ValueError("resampling needs two sequences or more")
    model, generator = lens.model, torch.Generator().manual_seed(seed)
    order = torch.randperm(len(tokens), generator=generator)
    other = torch.empty_like(order)
    other[order] = order.roll(1)  # one cycle through all: no sequence keeps its own

    def treat(h: Tensor) -> Tensor:
        change = (h[other, -1] - h[:, -1]) @ directions.T @ directions
        return torch.cat([h[:, :-1], (h[:, -1] + change)[:, None]], dim=1)

    control, treated = model.hidden_states(tokens), model.hidden_states(tokens, {layer: treat})

    def log_probabilities(states: list[Tensor], at: int) -> Tensor:
        return lens(states[at][:, -1], at).log_softmax(-1)

    stimulus, response = (
        log_probabilities(treated, at) - log_probabilities(control, at) for at in (layer, lens.num_layers)
    )
    return aitchison_similarity(stimulus, response, weights.to(stimulus))
