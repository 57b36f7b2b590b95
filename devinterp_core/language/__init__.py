r"""Language: real texts, and a synthetic language whose every token has a known rule.

    corpora          documents: prose, code, folders, Debian packages, data sets of the Hugging Face hub
    tokenizer        byte-pair encoding, tokens of several sources
    synthetic        a language with bigrams, multigram rules, brackets, names bound in context, repeated segments
    synthetic_rules  its vocabulary and its lists of rules
    stream           training batches of texts and of languages
    passages         passages of documents for a model with its own tokenizer
    loss             next-token cross-entropy

Reference: Hoogland et al. (2024), arXiv:2402.02364; Wang et al. (2025), arXiv:2410.02984.
"""

from devinterp_core.language.loss import check_tokens, divergence_from_baseline, next_token_loss, next_token_losses
from devinterp_core.language.passages import PassageStream, token_bytes
from devinterp_core.language.stream import LanguageStream, TextStream, text_sequences
from devinterp_core.language.synthetic import AnnotatedTokens, SyntheticLanguage
from devinterp_core.language.synthetic_rules import RuleKind
from devinterp_core.language.tokenizer import TextCorpus, text_corpus, train_tokenizer

__all__ = [
    "AnnotatedTokens",
    "LanguageStream",
    "PassageStream",
    "RuleKind",
    "SyntheticLanguage",
    "TextCorpus",
    "TextStream",
    "check_tokens",
    "divergence_from_baseline",
    "next_token_loss",
    "next_token_losses",
    "text_corpus",
    "text_sequences",
    "token_bytes",
    "train_tokenizer",
]
