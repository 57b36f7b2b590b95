"""The rules of the synthetic language: which tokens exist, which successors a token has, what forces what."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


class RuleKind(IntEnum):
    """What made a token. A higher rule overrules the lower ones (but NAME and OPEN are drawn instead of BIGRAM)."""

    BIGRAM = 1  # drawn from the successors of the token before
    NAME = 2  # one of the sequence's names, drawn
    OPEN = 3  # an opening bracket, drawn
    SKIP = 4  # forced by the tokens one and four places before
    TRIGRAM = 5  # forced by the two tokens before
    INTRODUCTION = 6  # word of a name, the first time in the sequence: cannot be predicted
    BINDING = 7  # word of a name, later in the sequence: the name and its word are to be found in the context
    JUMP = 8  # first token of a repeated segment: cannot be predicted
    REPEAT = 9  # further tokens of a repeated segment: to be copied from the context
    CLOSE = 10  # the bracket that matches the innermost open one
    START = 11  # beginning of the sequence


class Vocabulary(NamedTuple):
    """First ids of the kinds of tokens: 0 begins a sequence, then come words, names, opening and closing brackets."""

    words: int
    names: int
    openings: int
    closings: int
    size: int


class Grammar(NamedTuple):
    """The tables that a language's seed determines.

    Attributes:
        successors: words that may follow a token, most frequent first; a name has none (zeros).
        rank_probabilities: of the successors by rank, Zipf's law.
        trigram_rules: rows (first, second, forced).
        skip_rules: rows (three before the last, last, forced).
    """

    successors: Int[Tensor, "token rank"]
    rank_probabilities: Float[Tensor, " rank"]
    trigram_rules: Int[Tensor, "rule 3"]
    skip_rules: Int[Tensor, "rule 3"]


def make_vocabulary(num_words: int, num_names: int, num_bracket_kinds: int) -> Vocabulary:
    """The ids of a language of that size."""
    names = 1 + num_words
    openings = names + num_names
    closings = openings + num_bracket_kinds
    return Vocabulary(1, names, openings, closings, closings + num_bracket_kinds)


def make_grammar(
    vocabulary: Vocabulary, num_successors: int, num_trigram_rules: int, num_skip_rules: int, seed: int
) -> Grammar:
    r"""Draw successors and rules; the rules of a language with fewer are the first of one with more.

    Successors of each token are words without repetition, with probabilities $\propto 1/\text{rank}$. A trigram rule
    belongs to a word and one of its successors, so that every rule occurs. The forced word is never a successor of the
    word before it: bigrams do not predict it, and no trigram rule follows. Skip rules end on a word of the first half
    and force one of the second: none follows another. A chain of forced tokens is thus at most a trigram and a skip
    rule long, and the language cannot run into a cycle.

    Args:
        vocabulary: ids of the tokens.
        num_successors: of each token, below half the number of words.
        num_trigram_rules: at most words times successors.
        num_skip_rules: at most words times half the words.
        seed: of the tables.
    """
    num_words = vocabulary.names - vocabulary.words
    half = num_words // 2
    # Hashed, so that text drawn with the same number as a seed does not repeat the tables' random numbers.
    rng = np.random.default_rng(np.random.SeedSequence([seed, num_words, 0x6772616D]))
    successors = 1 + rng.random((vocabulary.size, num_words)).argsort(1)[:, :num_successors]
    follows = np.zeros((vocabulary.size, num_words + 1), dtype=bool)
    np.put_along_axis(follows, successors, True, axis=1)
    trigram_key = rng.permutation(num_words * num_successors)
    first, second = 1 + trigram_key // num_successors, trigram_key % num_successors
    trigrams = _with_forced(rng, first, successors[first, second], follows, 1)
    skip_key = rng.permutation(num_words * half)
    skips = _with_forced(rng, 1 + skip_key // half, 1 + skip_key % half, follows, 1 + half)
    successors[vocabulary.names : vocabulary.openings] = 0
    weights = 1 / torch.arange(1, num_successors + 1, dtype=torch.float64)
    return Grammar(
        torch.from_numpy(successors),
        weights / weights.sum(),
        torch.from_numpy(trigrams[:num_trigram_rules].copy()),
        torch.from_numpy(skips[:num_skip_rules].copy()),
    )


def _with_forced(
    rng: np.random.Generator, first: np.ndarray, last: np.ndarray, follows: np.ndarray, lowest: int
) -> np.ndarray:
    """Rules (first, last, forced), forced uniform among the words from `lowest` on that may not follow `last`."""
    order = np.argsort(follows[:, lowest:], axis=1, kind="stable")  # those that may not follow come first
    count = (~follows[:, lowest:]).sum(1)
    forced = lowest + order[last, (rng.random(len(last)) * count[last]).astype(np.int64)]
    return np.stack((first, last, forced), axis=1)
