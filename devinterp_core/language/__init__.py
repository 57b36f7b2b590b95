r"""Language: real texts, a synthetic language whose every token has a known rule, and what is measured of a model.

    corpora          documents: prose, code, folders, Debian packages, data sets of the Hugging Face hub
    tokenizer        byte-pair encoding, tokens of several sources
    synthetic        a language with bigrams, multigram rules, brackets, names bound in context, repeated segments
    synthetic_rules  its vocabulary and its lists of rules
    stream           training batches of texts and of languages
    passages         passages of documents for a model with its own tokenizer
    loss             next-token cross-entropy
    ngrams           n-gram statistics and how far they explain a model
    scores           previous-token, prefix-matching and in-context scores, compositions of heads
    ablation         losses of single tokens without heads, or without positions
    multigrams       which rules a model has memorised, which depend on a head
    specialization   what kind of rule each head serves
    development      what is measured of a model at each checkpoint

Reference: Hoogland et al. (2024), arXiv:2402.02364; Wang et al. (2025), arXiv:2410.02984.
"""

from devinterp_core.language.ablation import ablated_losses, positional_ablation_gap
from devinterp_core.language.loss import check_tokens, divergence_from_baseline, next_token_loss, next_token_losses
from devinterp_core.language.multigrams import RuleReport, dependent_rules, mean_by_kind, memorised_rules
from devinterp_core.language.ngrams import (
    bigram_counts,
    bigram_distribution,
    bigram_entropy,
    bigram_score,
    common_ngrams,
    ngram_losses,
    ngram_score,
)
from devinterp_core.language.passages import PassageStream, token_bytes
from devinterp_core.language.scores import (
    current_token_score,
    in_context_score,
    k_composition,
    prefix_matching_score,
    previous_token_score,
    q_composition,
    repeated_random_tokens,
    v_composition,
)
from devinterp_core.language.specialization import HeadRole, ablation_shares, head_roles, joint_ablation
from devinterp_core.language.stream import LanguageStream, TextStream, text_sequences
from devinterp_core.language.synthetic import AnnotatedTokens, SyntheticLanguage
from devinterp_core.language.synthetic_rules import RuleKind
from devinterp_core.language.tokenizer import TextCorpus, text_corpus, train_tokenizer

__all__ = [
    "AnnotatedTokens",
    "HeadRole",
    "LanguageStream",
    "PassageStream",
    "RuleKind",
    "RuleReport",
    "SyntheticLanguage",
    "TextCorpus",
    "TextStream",
    "ablated_losses",
    "ablation_shares",
    "bigram_counts",
    "bigram_distribution",
    "bigram_entropy",
    "bigram_score",
    "check_tokens",
    "common_ngrams",
    "current_token_score",
    "dependent_rules",
    "divergence_from_baseline",
    "head_roles",
    "in_context_score",
    "joint_ablation",
    "k_composition",
    "mean_by_kind",
    "memorised_rules",
    "next_token_loss",
    "next_token_losses",
    "ngram_losses",
    "ngram_score",
    "positional_ablation_gap",
    "prefix_matching_score",
    "previous_token_score",
    "q_composition",
    "repeated_random_tokens",
    "text_corpus",
    "text_sequences",
    "token_bytes",
    "train_tokenizer",
    "v_composition",
]
