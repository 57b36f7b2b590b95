"""The arithmetic of a training step, from which the floor under its time follows."""

from .model import Transformer


def step_flops(model: Transformer, batch_size: int, num_positions: int) -> float:
    r"""Floating-point operations of the matrix products in one step of one model.

    Forward, $2 N$ a token for the $N$ weights of the linear maps and $4 T d_{heads}$ a layer for attention over $T$
    positions (all of them, as computed); backward, twice that.

    Args:
        model: the architecture.
        batch_size: sequences.
        num_positions: $T$, tokens of a sequence.
    """
    config = model.config
    lookup = config.num_tokens is not None  # embedding by look-up is no product
    skipped = ("W_pos", "W_E") if lookup else ("W_pos",)
    weights = sum(
        p.numel()
        for name, p in model.named_parameters()
        if (leaf := name.rsplit(".", 1)[-1]).startswith("W_") and leaf not in skipped
    )
    attention = 4 * num_positions * config.num_layers * config.num_heads * config.head_size
    return 3.0 * batch_size * num_positions * (2 * weights + attention)
