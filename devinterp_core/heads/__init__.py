r"""Heads: what is measured of a language model and its attention heads.

    development      what is measured of a model at each checkpoint
    probes           on what models of the synthetic language and of text are measured
    along_training   tables of what is measured at all checkpoints: behaviour, heads, rules, prefix matching
    ngrams           n-gram statistics and how far they explain a model
    scores           previous-token, prefix-matching and in-context scores, compositions of heads
    ablation         losses of single tokens without heads, or without positions
    multigrams       which rules a model has memorised, which depend on a head
    roles            what kind of rule each head serves
    describe         all of this in tables, one row a head

Reference: Hoogland et al. (2024), arXiv:2402.02364; Wang et al. (2025), arXiv:2410.02984.
"""

from devinterp_core.heads.ablation import ablated_losses, positional_ablation_gap
from devinterp_core.heads.describe import (
    attention_types,
    describe_heads,
    describe_text_heads,
    memorised_share,
    pair_interactions,
)
from devinterp_core.heads.development import Probe, head_scores, make_probe, model_scores
from devinterp_core.heads.multigrams import RuleReport, dependent_rules, mean_by_kind, memorised_rules
from devinterp_core.heads.ngrams import (
    bigram_counts,
    bigram_distribution,
    bigram_entropy,
    bigram_score,
    common_ngrams,
    ngram_losses,
    ngram_score,
)
from devinterp_core.heads.roles import HeadRole, ablation_shares, head_roles, joint_ablation
from devinterp_core.heads.scores import (
    current_token_score,
    in_context_score,
    k_composition,
    prefix_matching_score,
    previous_token_score,
    q_composition,
    repeated_random_tokens,
    v_composition,
)

__all__ = [
    "HeadRole",
    "Probe",
    "RuleReport",
    "ablated_losses",
    "ablation_shares",
    "attention_types",
    "bigram_counts",
    "bigram_distribution",
    "bigram_entropy",
    "bigram_score",
    "common_ngrams",
    "current_token_score",
    "dependent_rules",
    "describe_heads",
    "describe_text_heads",
    "head_roles",
    "head_scores",
    "in_context_score",
    "joint_ablation",
    "k_composition",
    "make_probe",
    "mean_by_kind",
    "memorised_rules",
    "memorised_share",
    "model_scores",
    "ngram_losses",
    "ngram_score",
    "pair_interactions",
    "positional_ablation_gap",
    "prefix_matching_score",
    "previous_token_score",
    "q_composition",
    "repeated_random_tokens",
    "v_composition",
]
