"""What a head is for: the kind of rule on whose tokens the loss rises most when the head is ablated.

In the synthetic language every token comes with its rule, so that the head types of Wang et al. (2025), which they read
off samples of tokens, are counted here.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from devinterp_core.language.loss import next_token_losses
from devinterp_core.language.synthetic_rules import RuleKind

from .ablation import Kind, ablated_losses
from .multigrams import check_shapes, mean_by_kind

ROLES = {
    "bigram": (RuleKind.BIGRAM,),
    "multigram": (RuleKind.TRIGRAM, RuleKind.SKIP),  # what no pair of neighbours tells
    "in context": (RuleKind.BINDING, RuleKind.REPEAT),
    "bracket": (RuleKind.CLOSE,),
}


class HeadRole(NamedTuple):
    """What was found of a head.

    - `role`: the largest share's name, one of `ROLES`; `none` where its ablation raises no loss.
    - `shares`: of the mean rise for a token of each role; they sum to 1, or are all 0.
    - `effect`: mean rise of the loss over all tokens, in nats.
    """

    role: str
    shares: dict[str, float]
    effect: float


def ablation_shares(
    losses: Float[Tensor, "*shape"], ablated: Float[Tensor, "*shape"], kinds: Int[Tensor, "*shape"]
) -> dict[str, float]:
    r"""Share of each role in the rise of the loss under an ablation.

    With $\Delta_r$ the mean of $\ell'_t - \ell_t$ over the tokens made by the rules of role $r$, the share is
    $\max(\Delta_r, 0) / \sum_s \max(\Delta_s, 0)$. A mean, so that a role does not win by having many tokens, as
    bigrams would, which make half of them; a role without tokens has no share. Tokens drawn at a rate or
    not to be predicted (names, openings, introductions, jumps) count for no role.

    Args:
        losses: cross-entropy of each token in nats.
        ablated: the same with a head, or heads, ablated.
        kinds: what made each token (`SyntheticLanguage.kinds`).

    Raises:
        ValueError: shapes that differ, or no tokens.
    """
    check_shapes(losses, ablated)
    check_shapes(losses, kinds)
    rise = (ablated - losses).double()
    chosen = {role: torch.isin(kinds, torch.tensor([int(kind) for kind in own])) for role, own in ROLES.items()}
    means = {role: max(0.0, float(rise[own].mean())) if own.any() else 0.0 for role, own in chosen.items()}
    whole = sum(means.values())
    return {role: mean / whole if whole else 0.0 for role, mean in means.items()}


@torch.no_grad()
def head_roles(
    model: nn.Module,
    tokens: Int[Tensor, "sequence position"],
    kinds: Int[Tensor, "sequence position"],
    ablation: Kind = "mean by position",
) -> dict[str, HeadRole]:
    """Role of every head of a model of the synthetic language, by ablating one after the other.

    Args:
        model: a `Transformer`.
        tokens: sequences of the language.
        kinds: what made each of them, `language.kinds(annotated.rules)`.
        ablation: as in `ablated_losses`.

    Returns:
        Head, written `layer:head`, to its role.

    Raises:
        ValueError: shapes that differ; as `ablated_losses`.
    """
    check_shapes(tokens, kinds)
    losses = next_token_losses(model(tokens), tokens)
    roles = {}
    for layer in range(model.config.num_layers):
        for index in range(model.config.num_heads):
            ablated = ablated_losses(model, tokens, f"{layer}:{index}", ablation)
            shares = ablation_shares(losses, ablated, kinds[:, 1:])
            role = max(shares, key=shares.get) if any(shares.values()) else "none"
            roles[f"{layer}:{index}"] = HeadRole(role, shares, float((ablated - losses).mean()))
    return roles


@torch.no_grad()
def joint_ablation(
    model: nn.Module,
    tokens: Int[Tensor, "sequence position"],
    kinds: Int[Tensor, "sequence position"],
    ablation: Kind = "mean by position",
) -> dict[str, Float[Tensor, "lower upper"]]:
    r"""How far heads of the first layer work with heads of the second: ablated jointly beyond one by one.

    $I_{ab} = (\ell_{ab} - \ell) - (\ell_a - \ell) - (\ell_b - \ell)$, the mean over the tokens of a kind of rule.
    Positive: each head can stand in for the other. Negative: one is of no use without the other, so that the second
    ablation has nothing left to destroy.

    Args:
        model: a `Transformer` of two layers.
        tokens: sequences of the language.
        kinds: what made each of them.
        ablation: as in `ablated_losses`.

    Returns:
        Name of each kind of rule that occurs, in lower case, to the matrix, in nats a token.

    Raises:
        ValueError: a model of another number of layers, shapes that differ; as `ablated_losses`.
    """
    check_shapes(tokens, kinds)
    if model.config.num_layers != 2:
        raise ValueError(f"joint ablation is for two layers, the model has {model.config.num_layers}")
    predicted, count = kinds[:, 1:], model.config.num_heads
    losses = next_token_losses(model(tokens), tokens)

    def rise(*heads: str) -> Tensor:
        """Rise of each token's loss."""
        return ablated_losses(model, tokens, heads, ablation) - losses

    single = {f"{layer}:{index}": rise(f"{layer}:{index}") for layer in (0, 1) for index in range(count)}
    found = {kind.name.lower(): torch.zeros(count, count) for kind in RuleKind if bool((predicted == kind).any())}
    for lower in range(count):
        for upper in range(count):
            pair = rise(f"0:{lower}", f"1:{upper}") - single[f"0:{lower}"] - single[f"1:{upper}"]
            for kind, mean in mean_by_kind(pair, predicted).items():
                found[kind.name.lower()][lower, upper] = mean
    return found
