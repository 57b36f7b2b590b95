"""Next-token cross-entropy."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def next_token_losses(
    logits: Float[Tensor, "batch position token"], tokens: Int[Tensor, "batch position"]
) -> Float[Tensor, "batch predicted"]:
    r"""Cross-entropy of each prediction in nats, $-\log p(t_{i+1} \mid t_{\le i})$, for every position but the last.

    Raises:
        ValueError: logits of other sequences, or fewer than 2 positions.
    """
    if logits.shape[:2] != tokens.shape or tokens.shape[1] < 2:
        raise ValueError(f"logits {tuple(logits.shape)} do not predict tokens {tuple(tokens.shape)} of 2 or more")
    targets = tokens[:, 1:].long()
    # the chosen logit minus the normaliser: the table of log-probabilities is never made
    chosen = logits[:, :-1].gather(2, targets[:, :, None])[:, :, 0]
    return torch.logsumexp(logits[:, :-1], dim=2) - chosen


def next_token_loss(
    model: nn.Module, batch: Int[Tensor, "batch position"] | tuple[Int[Tensor, "batch position"], ...]
) -> Float[Tensor, " batch"]:
    """Mean next-token cross-entropy of each sequence in nats: the loss of training and of learning coefficients."""
    tokens = batch[0] if isinstance(batch, tuple) else batch
    return next_token_losses(model(tokens), tokens).mean(1)


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
