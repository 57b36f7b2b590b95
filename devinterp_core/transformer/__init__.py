"""One small, hookable decoder: attention-only or with MLP, tokens or vectors, several kinds of positions.

    config        the architecture: every choice that the papers make differently
    model         the decoder; hook points and parameters under TransformerLens' names
    masks         components (heads, layers, embeddings, LayerNorms) as masks of coordinates for the sampler
    flops         arithmetic of a training step
    observables   entropy and variability of attention, collapse of LayerNorm scales
"""

from devinterp_core.transformer.config import TransformerConfig, attention_only
from devinterp_core.transformer.flops import step_flops
from devinterp_core.transformer.masks import (
    all_heads,
    embedding_mask,
    head_mask,
    layer_mask,
    layernorm_mask,
    unembedding_mask,
)
from devinterp_core.transformer.model import Transformer
from devinterp_core.transformer.observables import attention_entropy, attention_variability, collapsed_share

__all__ = [
    "Transformer",
    "TransformerConfig",
    "all_heads",
    "attention_entropy",
    "attention_only",
    "attention_variability",
    "collapsed_share",
    "embedding_mask",
    "head_mask",
    "layer_mask",
    "layernorm_mask",
    "step_flops",
    "unembedding_mask",
]
