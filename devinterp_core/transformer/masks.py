"""Masks of components, for learning coefficients refined by weights.

A mask names parameters and marks the coordinates that belong to the component; the sampler moves those and freezes the
rest.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from .model import Transformer

Mask = dict[str, Bool[Tensor, "..."]]


def head_mask(model: Transformer, head: str) -> Mask:
    r"""One attention head, written `layer:head`: its slices of $W_Q, W_K, W_V, W_O$ and of the biases of queries, keys
    and values. The output bias belongs to no head.

    Raises:
        ValueError: if it is not written so, or the model has no such head.

    Reference: Wang et al. (2025), refined LLCs of attention heads.
    """
    try:
        layer, index = (int(part) for part in head.split(":"))
    except ValueError:
        raise ValueError(f"a head is written layer:head, for example 1:3; got {head!r}") from None
    config = model.config
    if not (0 <= layer < config.num_layers and 0 <= index < config.num_heads):
        raise ValueError(f"no head {head}: the model has {config.num_layers} layers of {config.num_heads} heads")
    mask = {}
    for name, parameter in model.blocks[layer].attn.named_parameters():
        if name == "b_O":
            continue
        chosen = torch.zeros(parameter.shape, dtype=torch.bool)
        chosen[index] = True
        mask[f"blocks.{layer}.attn.{name}"] = chosen
    return mask


def layer_mask(model: Transformer, layer: int) -> Mask:
    """Every parameter of one block: attention, MLP and LayerNorms.

    Raises:
        ValueError: if there is no such layer.
    """
    if not 0 <= layer < model.config.num_layers:
        raise ValueError(f"no layer {layer}: the model has {model.config.num_layers}")
    return _whole(model, f"blocks.{layer}.")


def embedding_mask(model: Transformer) -> Mask:
    """Token and position embeddings."""
    return _whole(model, "embed.", "pos_embed.")


def unembedding_mask(model: Transformer) -> Mask:
    """The unembedding with its bias, without the LayerNorm before it."""
    return _whole(model, "unembed.")


def layernorm_mask(model: Transformer) -> Mask:
    """Scales and shifts of every LayerNorm, the final one too."""
    names = [name for name, _ in model.named_parameters() if ".ln" in f".{name}"]
    return {name: mask for name, mask in _whole(model, "").items() if name in names}


def all_heads(model: Transformer) -> list[str]:
    """Every head as `layer:head`, layer by layer."""
    return [f"{layer}:{head}" for layer in range(model.config.num_layers) for head in range(model.config.num_heads)]


def _whole(model: Transformer, *prefixes: str) -> Mask:
    return {
        name: torch.ones(parameter.shape, dtype=torch.bool)
        for name, parameter in model.named_parameters()
        if name.startswith(prefixes)
    }
