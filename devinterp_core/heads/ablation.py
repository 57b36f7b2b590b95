"""Losses of single tokens without a head, or without positions."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from devinterp_core.language.loss import check_tokens, next_token_losses

Kind = Literal["zero", "mean", "mean by position", "resample"]
KINDS = ("zero", "mean", "mean by position", "resample")


@torch.no_grad()
def ablated_losses(
    model: nn.Module,
    tokens: Int[Tensor, "batch position"],
    heads: str | Sequence[str],
    kind: Kind,
    reference: Int[Tensor, "reference_batch reference_position"] | None = None,
    seed: int = 0,
) -> Float[Tensor, "batch predicted"]:
    r"""Next-token losses in nats with the output $z = A v$ of heads replaced, before it is projected by $W_O$.

    `zero`: by 0. `mean`: by its mean over the reference batch and its positions. `mean by position`: by its mean over
    the reference batch, at each position. `resample`: by that of another sequence of the same batch, at each position;
    which, is one random cycle through the batch. All replacements are taken from the model as it is.

    Args:
        model: a `Transformer`, or any model with `model(tokens, hooks=...)`, hook points `blocks.L.attn.hook_z`
            [batch, position, head, size] and a `config` with its numbers of layers, heads and tokens.
        tokens: sequences.
        heads: one, written `layer:head`, or several that are ablated together.
        kind: of ablation.
        reference: sequences for the means; None means `tokens`.
        seed: of `resample`.

    Returns:
        Losses of the tokens at positions 1, 2, ...

    Raises:
        ValueError: a head that does not exist, no heads, an unknown kind, tokens outside the vocabulary, a batch of one
            to resample from, a reference that does not fit the kind or is too short.

    Reference: Wang et al. (2025), who use resampling, for heads by token.
    """
    by_layer = _by_layer(model, [heads] if isinstance(heads, str) else heads)
    for sequences in (tokens, reference):
        if sequences is not None:
            check_tokens(sequences, model.config.num_tokens)
    _check_kind(kind, tokens, reference)
    outputs: dict[str, Tensor] = {}
    if kind != "zero":
        source = tokens if reference is None else reference
        model(source, hooks={name: _keep(outputs, name) for name in by_layer})
    hooks = {}
    for name, indices in by_layer.items():
        hooks[name] = _replace(indices, _replacement(kind, outputs.get(name), tokens, seed))
    return next_token_losses(model(tokens, hooks=hooks), tokens)


@torch.no_grad()
def positional_ablation_gap(model: nn.Module, tokens: Int[Tensor, "batch position"]) -> float:
    """Mean loss with the position embedding set to zero, minus that with it, in nats.

    Raises:
        ValueError: a model without an embedding of positions, or tokens outside the vocabulary.

    Reference: Hoogland et al. (2024), behavioural indicators of the language model.
    """
    if model.config.positions not in ("learned", "shortformer"):
        raise ValueError(f"a model with {model.config.positions} positions has no position embedding to ablate")
    check_tokens(tokens, model.config.num_tokens)
    without = next_token_losses(model(tokens, hooks={"hook_pos_embed": torch.zeros_like}), tokens)
    return float((without - next_token_losses(model(tokens), tokens)).mean())


def _by_layer(model: nn.Module, heads: Sequence[str]) -> dict[str, list[int]]:
    """Hook points of the heads, and which heads at each."""
    config, chosen = model.config, {}
    if not heads:
        raise ValueError("no heads to ablate")
    for head in heads:
        try:
            layer, index = (int(part) for part in head.split(":"))
        except ValueError:
            raise ValueError(f"a head is written layer:head, for example 1:3; got {head!r}") from None
        if not (0 <= layer < config.num_layers and 0 <= index < config.num_heads):
            raise ValueError(f"no head {head}: the model has {config.num_layers} layers of {config.num_heads} heads")
        chosen.setdefault(f"blocks.{layer}.attn.hook_z", []).append(index)
    return chosen


def _check_kind(kind: str, tokens: Tensor, reference: Tensor | None) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    if reference is not None and not kind.startswith("mean"):
        raise ValueError(f"{kind} takes no reference: it is for means")
    if kind == "mean by position" and reference is not None and reference.shape[1] < tokens.shape[1]:
        raise ValueError(f"reference sequences of {reference.shape[1]} tokens are shorter than the {tokens.shape[1]}")
    if kind == "resample" and len(tokens) < 2:
        raise ValueError("resample takes outputs of other sequences: give 2 or more")


def _replacement(kind: str, z: Tensor | None, tokens: Tensor, seed: int) -> Tensor | float:
    """What stands in for `z`; broadcasts to [batch, position, head, size]."""
    if z is None:
        return 0.0
    if kind == "mean":
        return z.mean(dim=(0, 1), keepdim=True)
    if kind == "mean by position":
        return z.mean(dim=0, keepdim=True)[:, : tokens.shape[1]]
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed)).to(z.device)
    donor = torch.empty_like(order)
    donor[order] = order.roll(1)  # a cycle through all sequences: none gives to itself
    return z[donor]


def _keep(outputs: dict[str, Tensor], name: str) -> Callable[[Tensor], None]:
    def hook(z: Tensor) -> None:
        outputs[name] = z

    return hook


def _replace(indices: list[int], replacement: Tensor | float) -> Callable[[Tensor], Tensor]:
    def hook(z: Tensor) -> Tensor:
        chosen = torch.zeros(z.shape[2], 1, dtype=torch.bool, device=z.device)
        chosen[indices] = True
        return torch.where(chosen, replacement, z)

    return hook
