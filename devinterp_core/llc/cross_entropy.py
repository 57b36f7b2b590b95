"""Next-token cross-entropy from the stream, block by block: the table of all logits is never made."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Logits that are in memory at once: 1 MiB stays in a core's second-level cache.
BLOCK_LOGITS = {"cpu": 2**18}
BLOCK_LOGITS_ELSEWHERE = 2**26


def next_token_losses_of_stream(
    stream: Float[Tensor, "batch position d_model"],
    weights: Float[Tensor, "d_model token"],
    bias: Float[Tensor, " token"] | None,
    tokens: Int[Tensor, "batch position"],
) -> Float[Tensor, "batch predicted"]:
    r"""$-\log \mathrm{softmax}(x_i W_U + b_U)_{t_{i+1}}$ for every position but the last, in nats.

    Its gradient, $(p - 1_{t_{i+1}})\, W_U^\top$, is computed on the way, with respect to the stream only: the
    unembedding is a constant here.
    """
    return _NextToken.apply(stream, weights, bias, tokens)


class _NextToken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, stream: Tensor, weights: Tensor, bias: Tensor | None, tokens: Tensor) -> Tensor:
        rows, targets = stream[:, :-1].flatten(0, 1), tokens[:, 1:].flatten().long()[:, None]
        transposed = weights.t()
        most = BLOCK_LOGITS.get(stream.device.type, BLOCK_LOGITS_ELSEWHERE)
        size = max(1, most // weights.shape[1])
        losses, gradients = [], []
        for x, target in zip(rows.split(size), targets.split(size), strict=True):
            logits = x @ weights if bias is None else torch.addmm(bias, x, weights)
            chosen = logits.gather(1, target)
            top = logits.amax(1, keepdim=True)
            unnormalised = logits.sub_(top).exp_()
            total = unnormalised.sum(1, keepdim=True)
            losses.append(total.log() + top - chosen)
            gradients.append((unnormalised @ transposed) / total - transposed[target[:, 0]])
        ctx.save_for_backward(torch.cat(gradients).view(len(stream), -1, stream.shape[2]))
        return torch.cat(losses).view(len(stream), -1)

    @staticmethod
    def backward(ctx, upstream: Tensor):
        (gradient,) = ctx.saved_tensors
        gradient = gradient * upstream[:, :, None]
        return torch.nn.functional.pad(gradient, (0, 0, 0, 1)), None, None, None
