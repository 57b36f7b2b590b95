"""One small, hookable decoder: attention-only or with MLP, tokens or vectors, several kinds of positions.

    config   the architecture: every choice that the papers make differently
    model    the decoder; hook points and parameters under TransformerLens' names
    masks    components (heads, layers, embeddings, LayerNorms) as masks of coordinates for the sampler
"""

from devinterp_core.transformer.config import TransformerConfig
from devinterp_core.transformer.masks import (
    all_heads,
    embedding_mask,
    head_mask,
    layer_mask,
    layernorm_mask,
    unembedding_mask,
)
from devinterp_core.transformer.model import Transformer

__all__ = [
    "Transformer",
    "TransformerConfig",
    "all_heads",
    "embedding_mask",
    "head_mask",
    "layer_mask",
    "layernorm_mask",
    "unembedding_mask",
]
