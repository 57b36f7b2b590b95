"""Losses of texts: next-token cross-entropy, divergence from a simpler model, and a check of the tokens."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from devinterp_core.next_token import next_token_loss, next_token_losses

__all__ = ["check_tokens", "divergence_from_baseline", "next_token_loss", "next_token_losses"]


def divergence_from_baseline(
    model: nn.Module,
    batch: tuple[Int[Tensor, "batch position"], Float[Tensor, "batch position token"]],
) -> Float[Tensor, " batch"]:
    r"""$\mathrm{KL}(q_{\text{baseline}} \,\|\, p_{\text{model}})$ of each sequence: mean over positions, in nats.

    As the loss of a refined learning coefficient it measures a component against what a simpler model knows: directions
    that only disturb what the simpler model lacks cost little.

    Args:
        model: gives logits.
        batch: tokens, and the baseline's log-probabilities of the next token at each position.
    """
    tokens, baseline = batch
    logits = model(tokens)[:, :-1]
    known = baseline[:, :-1]
    return (known.exp() * (known - logits.log_softmax(-1))).sum(-1).mean(1)


def check_tokens(tokens: Tensor, num_tokens: int) -> None:
    """Refuse tokens that a vocabulary does not have; inside a vectorised loss nobody could look.

    Raises:
        ValueError: naming the first token out of range.
    """
    if tokens.numel() == 0:
        raise ValueError("there are no tokens: the corpus is empty")
    outside = tokens[(tokens < 0) | (tokens >= num_tokens)]
    if len(outside):
        raise ValueError(f"token {int(outside[0])} is outside the vocabulary of {num_tokens} tokens")
