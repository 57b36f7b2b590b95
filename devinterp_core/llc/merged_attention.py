"""Attention for many evaluations on a processor: one projection, causal blocks, gradients by hand, no hooks inside."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from devinterp_core.transformer.model import Attention, Points, turn

# Blocks of queries, each with the keys up to its end: 3/4 of the scores of the whole square.
QUERY_BLOCKS = 2
# Scores that are in memory at once: 1 MiB stays in a core's second-level cache.
BLOCK_SCORES = {"cpu": 2**18}
BLOCK_SCORES_ELSEWHERE = 2**30


class MergedAttention(nn.Module):
    """The attention of a layer, with its parameters, and of its hook points `hook_z` only.

    With embeddings of positions $p$ for queries and keys, $(x + p) W = x W + p W$: queries, keys and values are one
    product with $x$, and $p W$ is the same for all sequences.
    """

    def __init__(self, attention: Attention):
        super().__init__()
        self.config, self.name = attention.config, attention.name
        for name, parameter in attention.named_parameters():
            self.register_parameter(name, parameter)

    def forward(self, x: Tensor, positions: Tensor | None, at: Points) -> Float[Tensor, "batch position d_model"]:
        batch, length, _ = x.shape
        heads, size = self.config.num_heads, self.config.head_size
        q, k, v = (getattr(self, f"W_{part}").transpose(0, 1).flatten(1) for part in "QKV")
        projected = x @ torch.cat((q / math.sqrt(size), k, v), dim=1)
        offset = None
        if self.config.attention_bias:
            offset = torch.cat((self.b_Q.flatten() / math.sqrt(size), self.b_K.flatten(), self.b_V.flatten()))
        if positions is not None:
            of_positions = positions @ torch.cat((q / math.sqrt(size), k), dim=1)
            of_positions = nn.functional.pad(of_positions, (0, heads * size))
            offset = of_positions if offset is None else of_positions + offset
        if offset is not None:
            projected = projected + offset
        q, k, v = projected.view(batch, length, 3, heads, size).unbind(2)
        if self.config.positions == "rotary":
            q, k = turn(q), turn(k)
        q, k, v = (t.transpose(1, 2).flatten(0, 1) for t in (q, k, v))
        z = _Mixed.apply(q, k, v).view(batch, heads, length, size).transpose(1, 2)
        z = at(f"{self.name}.hook_z", z).reshape(batch, length, heads * size)
        out = z @ self.W_O.flatten(0, 1)
        return out + self.b_O if self.config.attention_bias else out


class _Mixed(torch.autograd.Function):
    r"""$P v$ with $P = \mathrm{softmax}(q k^\top)$, causal, for `[row, position, size]`; queries are already scaled.

    With $\Delta$ the gradient of the result: $P^\top \Delta$ for the values, and
    $S = P \odot (\Delta v^\top - \mathrm{rowsum}(\Delta \odot P v))$, $S k$, $S^\top q$ for queries and keys.
    """

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mixed, patterns = torch.empty_like(q), []
        for rows, start, stop in _blocks(q):
            scores = torch.bmm(q[rows, start:stop], k[rows, :stop].transpose(1, 2))
            scores[:, :, start:] += q.new_full((stop - start, stop - start), -torch.inf).triu(1)
            patterns.append(scores.softmax(-1))
            mixed[rows, start:stop] = torch.bmm(patterns[-1], v[rows, :stop])
        ctx.save_for_backward(q, k, v, mixed, *patterns)
        return mixed

    @staticmethod
    def backward(ctx, upstream: Tensor):
        q, k, v, mixed, *patterns = ctx.saved_tensors
        of_q, of_k, of_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        inner = (upstream * mixed).sum(-1, keepdim=True)
        for pattern, (rows, start, stop) in zip(patterns, _blocks(q), strict=True):
            above = upstream[rows, start:stop]
            of_v[rows, :stop] += torch.bmm(pattern.transpose(1, 2), above)
            scores = torch.bmm(above, v[rows, :stop].transpose(1, 2)).sub_(inner[rows, start:stop]).mul_(pattern)
            of_q[rows, start:stop] = torch.bmm(scores, k[rows, :stop])
            of_k[rows, :stop] += torch.bmm(scores.transpose(1, 2), q[rows, start:stop])
        return of_q, of_k, of_v


def _blocks(q: Float[Tensor, "row position size"]) -> list[tuple[slice, int, int]]:
    """Rows, first query and end of the queries (and keys) of each block."""
    most = BLOCK_SCORES.get(q.device.type, BLOCK_SCORES_ELSEWHERE)
    queries = math.ceil(q.shape[1] / QUERY_BLOCKS)
    rows = max(1, most // (queries * q.shape[1]))
    return [
        (slice(row, row + rows), start, min(start + queries, q.shape[1]))
        for row in range(0, len(q), rows)
        for start in range(0, q.shape[1], queries)
    ]
