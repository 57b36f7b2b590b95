"""Next-token cross-entropy: the loss of language models and of their learning coefficients; it knows no tokenizer."""

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
