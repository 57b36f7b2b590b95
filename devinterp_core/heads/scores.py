"""What a head does, read off its attention and its weights; and learning in context, read off the losses."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def previous_token_score(pattern: Float[Tensor, "batch head query key"]) -> Float[Tensor, " head"]:
    """Mean attention to the token before, over all queries but the first.

    Raises:
        ValueError: patterns of one position, or that are not square.

    Reference: Hoogland et al. (2024), structural indicators of the language model.
    """
    _check_pattern(pattern)
    return pattern.diagonal(-1, dim1=2, dim2=3).mean(dim=(0, 2))


def current_token_score(pattern: Float[Tensor, "batch head query key"]) -> Float[Tensor, " head"]:
    """Mean attention of a token to itself, over all queries but the first, which has no choice.

    Raises:
        ValueError: patterns of one position, or that are not square.
    """
    _check_pattern(pattern)
    return pattern.diagonal(0, dim1=2, dim2=3)[..., 1:].mean(dim=(0, 2))


def prefix_matching_score(
    pattern: Float[Tensor, "batch head query key"],
    tokens: Int[Tensor, "batch query"],
    queries: Int[Tensor, " token"] | None = None,
) -> Float[Tensor, " head"]:
    """Mean attention from a token that occurred before to what followed it there: from the second [A] of
    [A][B] ... [A] to [B].

    Queries that no earlier occurrence of their token precedes do not count; attention to what followed several earlier
    occurrences is summed. Take `repeated_random_tokens`, where nothing but the repetition predicts a token.

    Args:
        pattern: attention on `tokens`.
        tokens: sequences in which tokens recur.
        queries: tokens whose attention counts, such as the names of the synthetic language, the only ones from which it
            is worth while to look back; None means all.

    Raises:
        ValueError: shapes that do not fit, or no such token that recurs.

    Reference: Olsson et al. (2022), prefix matching.
    """
    _check_pattern(pattern)
    if tokens.shape != (pattern.shape[0], pattern.shape[2]):
        raise ValueError(f"pattern {tuple(pattern.shape)} is not attention on tokens {tuple(tokens.shape)}")
    follows = torch.zeros(len(tokens), *pattern.shape[2:], dtype=torch.bool, device=tokens.device)
    follows[:, :, 1:] = tokens[:, :, None] == tokens[:, None, :-1]  # key k comes after an occurrence at k - 1
    follows.tril_()  # ... which is earlier than the query
    recurs = follows.any(2)
    if queries is not None:
        recurs &= torch.isin(tokens, queries)
    if not bool(recurs.any()):
        raise ValueError("no token recurs in these sequences: take repeated_random_tokens")
    attention = (pattern * follows[:, None]).sum(3)  # [batch, head, query]
    return (attention * recurs[:, None]).sum(dim=(0, 2)) / recurs.sum()


def repeated_random_tokens(
    candidates: Int[Tensor, " candidate"], num_sequences: int, block_length: int, *, start_token: int, seed: int
) -> Int[Tensor, "sequence position"]:
    """A start token and twice the same random block of different tokens.

    Args:
        candidates: tokens to draw from, each at most once in a block.
        num_sequences: how many.
        block_length: tokens of a block; sequences have one more than twice that.
        start_token: begins every sequence; not a candidate.
        seed: of the draw.

    Raises:
        ValueError: sizes below 1, fewer different candidates than a block needs, the start token among them.
    """
    candidates = candidates.unique()
    if num_sequences < 1 or not 1 <= block_length <= len(candidates):
        raise ValueError(
            f"need num_sequences >= 1 and block_length in 1..{len(candidates)} (different candidates), got "
            f"{num_sequences} and {block_length}"
        )
    if bool((candidates == start_token).any()):
        raise ValueError(f"the start token {start_token} is among the candidates: leave it out, it begins sequences")
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(num_sequences, len(candidates), generator=generator).argsort(1)[:, :block_length]
    block = candidates[order.to(candidates.device)]
    return torch.cat((torch.full_like(block[:, :1], start_token), block, block), dim=1)


def in_context_score(losses: Float[Tensor, "batch predicted"], early: int, late: int, window: int = 1) -> float:
    """Mean loss of the tokens from position `late` on minus that from `early` on: negative where the context helps.

    Args:
        losses: of the tokens at positions 1, 2, ... in nats; position 0, the start token, is not predicted.
        early: first position of the earlier window.
        late: first position of the later window.
        window: positions of each.

    Raises:
        ValueError: no sequences, a window below 1, windows that overlap or leave the sequence.

    Reference: Olsson et al. (2022) and Hoogland et al. (2024), who take the single positions 50 and 500.
    """
    length = losses.shape[1]
    if not losses.numel() or window < 1 or not 1 <= early <= early + window <= late <= late + window <= length + 1:
        raise ValueError(
            f"need sequences and two windows of {window} positions within 1..{length}, got them at {early} and {late}"
        )
    return float(losses[:, late - 1 :][:, :window].mean() - losses[:, early - 1 :][:, :window].mean())


def k_composition(
    writer_v: Float[Tensor, "writer width head_size"],
    writer_o: Float[Tensor, "writer head_size width"],
    reader_q: Float[Tensor, "reader width head_size"],
    reader_k: Float[Tensor, "reader width head_size"],
) -> Float[Tensor, "writer reader"]:
    r"""How much the keys of heads read from what earlier heads write.

    $\lVert W_{QK} W_{OV}^\top \rVert_F / (\lVert W_{QK} \rVert_F \lVert W_{OV} \rVert_F)$ with
    $W_{QK} = W_Q W_K^\top$ of the reader and $W_{OV} = W_V W_O$ of the writer, which act on rows, as in `Transformer`.
    Random matrices have about $1/\sqrt{\text{width}}$. LayerNorm scales are not part of the weights given.

    Raises:
        ValueError: weights that are all zero, or of different widths.

    Reference: Elhage et al. (2021), composition scores.
    """
    qk, ov = _products(writer_v, writer_o, reader_q, reader_k)
    return _ratio(qk[None], ov.mT[:, None], qk, ov)


def q_composition(
    writer_v: Float[Tensor, "writer width head_size"],
    writer_o: Float[Tensor, "writer head_size width"],
    reader_q: Float[Tensor, "reader width head_size"],
    reader_k: Float[Tensor, "reader width head_size"],
) -> Float[Tensor, "writer reader"]:
    r"""How much the queries of heads read from what earlier heads write: $W_{OV} W_{QK}$, as in `k_composition`."""
    qk, ov = _products(writer_v, writer_o, reader_q, reader_k)
    return _ratio(ov[:, None], qk[None], qk, ov)


def v_composition(
    writer_v: Float[Tensor, "writer width head_size"],
    writer_o: Float[Tensor, "writer head_size width"],
    reader_v: Float[Tensor, "reader width head_size"],
    reader_o: Float[Tensor, "reader head_size width"],
) -> Float[Tensor, "writer reader"]:
    r"""How much the values of heads read from what earlier heads write: $W_{OV} W_{OV}'$, as in `k_composition`."""
    reader, writer = _products(writer_v, writer_o, reader_v, reader_o.mT)
    return _ratio(writer[:, None], reader[None], reader, writer)


def _products(v: Tensor, o: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Of each reader left @ right.T, of each writer v @ o: [head, width, width]."""
    if len({v.shape[1], o.shape[2], left.shape[1], right.shape[1]}) != 1:
        raise ValueError(f"heads of different widths: {v.shape[1]}, {o.shape[2]}, {left.shape[1]}, {right.shape[1]}")
    reader, writer = left @ right.mT, v @ o
    if not (bool(reader.flatten(1).any(1).all()) and bool(writer.flatten(1).any(1).all())):
        raise ValueError("a head has only zero weights: its composition is not defined")
    return reader, writer


def _ratio(first: Tensor, second: Tensor, reader: Tensor, writer: Tensor) -> Tensor:
    norms = writer.norm(dim=(1, 2))[:, None] * reader.norm(dim=(1, 2))
    return (first @ second).norm(dim=(2, 3)) / norms


def _check_pattern(pattern: Tensor) -> None:
    if 0 in pattern.shape or pattern.shape[2] != pattern.shape[3] or pattern.shape[2] < 2:
        raise ValueError(f"attention patterns must be square, of 2 positions or more, got {tuple(pattern.shape)}")
