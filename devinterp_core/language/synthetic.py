r"""A synthetic language with ground truth: every token comes with the rule that made it.

Bigrams, multigrams to memorise, brackets to match, and two things that only the context tells: which word belongs to a
name, and how a repeated segment goes on. Because the multigram rules are a known list, how many of them a model has
memorised can be counted (see `multigrams`).
"""

import operator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .synthetic_rules import Grammar, RuleKind, Vocabulary, make_grammar, make_vocabulary

BRACKET_GAPS = (3, 6)  # a bracket is closed so many tokens after it was opened
SEGMENT_LENGTHS = (6, 12)  # of repeated segments
NO_RULE = -int(RuleKind.BIGRAM)


class AnnotatedTokens(NamedTuple):
    r"""Sequences, and for every token the rule that made it.

    Rules $0, \ldots, R_3 - 1$ are the trigram rules, the following ones the skip rules, in the order of the language's
    lists; every other kind of rule has one id, minus its `RuleKind`.
    """

    tokens: Int[Tensor, "sequence position"]
    rules: Int[Tensor, "sequence position"]


@dataclass(frozen=True)
class SyntheticLanguage:
    r"""The language; equal fields are equal languages.

    Token 0 begins a sequence; words, names, opening and closing brackets follow. The highest of these rules that
    applies makes the next token:

    1. A bracket is closed by its match 3 to 6 tokens later (uniformly). Brackets nest; all are closed within the
       sequence, and none is open inside a segment that is repeated or its copy.
    2. In a share of the sequences one segment of 6 to 12 tokens, at a random place, occurs again later.
    3. A name is followed by its word. A sequence has a few active names, each with a word of its own.
    4. A trigram rule: two words force the third.
    5. A skip rule: the words one and four places before force the next.
    6. Otherwise one of the active names or an opening bracket is drawn with its share (a bracket that would not fit is
       not opened, and no name stands right before a closing bracket or a copied segment: a word is drawn then), and
       else a word from the successors of the token before, the $r$-th of them with probability $\propto 1/r$.

    Languages that differ only in their numbers of rules share successors, and the rules of the smaller are among those
    of the larger. In the defaults a two-layer transformer finds all kinds of rules within minutes, the bindings by an
    induction head; with vocabularies of hundreds of words these take far longer.

    Attributes:
        num_words: words.
        num_names: names.
        num_successors: words that may follow a token, below half the number of words.
        num_trigram_rules: at most `num_words * num_successors`.
        num_skip_rules: at most `num_words * (num_words // 2)`.
        num_bracket_kinds: pairs of brackets.
        num_active_names: names of one sequence.
        name_share: probability of a name where no rule forces a token.
        bracket_share: of an opening bracket there.
        repeat_share: share of the sequences with a repeated segment.
        seed: of successors and rules.

    Raises:
        TypeError: if a count or the seed is not an integer.
        ValueError: if one of them is out of its range.
    """

    num_words: int = 64
    num_names: int = 16
    num_successors: int = 16
    num_trigram_rules: int = 256
    num_skip_rules: int = 128
    num_bracket_kinds: int = 4
    num_active_names: int = 3
    name_share: float = 0.2
    bracket_share: float = 0.06
    repeat_share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_words", "num_names", "num_successors", "num_trigram_rules", "num_skip_rules",
                     "num_bracket_kinds", "num_active_names", "seed"):  # fmt: skip
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, operator.index(value))
            except TypeError:
                raise TypeError(f"{name} must be an integer, got {value!r}") from None
            if value < 0:
                raise ValueError(f"{name} must not be negative, got {value}")
        for name in ("name_share", "bracket_share", "repeat_share"):
            object.__setattr__(self, name, float(getattr(self, name)))
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not 1 <= self.num_successors < self.num_words / 2:
            raise ValueError(
                f"num_successors must be at least 1 and below half of the {self.num_words} words (forced words are "
                f"never successors), got {self.num_successors}: give more words or fewer successors"
            )
        for name, most in [("num_trigram_rules", self.num_words * self.num_successors),
                           ("num_skip_rules", self.num_words * (self.num_words // 2))]:  # fmt: skip
            if getattr(self, name) > most:
                raise ValueError(
                    f"{name} can be at most {most} for {self.num_words} words with {self.num_successors} successors, "
                    f"got {getattr(self, name)}: raise num_words or num_successors"
                )
        if self.name_share and not 1 <= self.num_active_names <= self.num_names:
            raise ValueError(
                f"num_active_names must lie in 1..{self.num_names} (num_names), got {self.num_active_names}; for a "
                "language without names set name_share=0"
            )
        if self.bracket_share and not self.num_bracket_kinds:
            raise ValueError("brackets need num_bracket_kinds of at least 1; for none of them set bracket_share=0")
        if self.name_share + self.bracket_share >= 1:
            raise ValueError("name_share and bracket_share must leave room for words: their sum must be below 1")

    @property
    def vocabulary(self) -> Vocabulary:
        """Where each kind of token begins, and `size`, the number of all tokens."""
        return make_vocabulary(self.num_words, self.num_names, self.num_bracket_kinds)

    @property
    def grammar(self) -> Grammar:
        """Successors and the lists of trigram and skip rules."""
        return _tables(self).grammar

    @property
    def num_rules(self) -> int:
        """Multigrams that can be memorised: trigram and skip rules."""
        return self.num_trigram_rules + self.num_skip_rules

    @property
    def min_length(self) -> int:
        """Shortest sequence that can be drawn: with repeated segments, one that holds the longest of them twice."""
        return 1 + 2 * SEGMENT_LENGTHS[1] if self.repeat_share else 2

    def bigram_distribution(self) -> Float[Tensor, "token next"]:
        """Probability of the next token where it is a word made by the bigram rule; zeros in the row of a name."""
        size, grammar = self.vocabulary.size, self.grammar
        table = torch.zeros(size, size, dtype=torch.float64)
        table.scatter_(1, grammar.successors, grammar.rank_probabilities.expand(size, -1))
        table[self.vocabulary.names : self.vocabulary.openings] = 0
        return table

    def bigram_entropy(self) -> float:
        """Entropy of a word made by the bigram rule given the token before, in nats: that of Zipf's law."""
        p = self.grammar.rank_probabilities
        return float(-(p * p.log()).sum())

    def kinds(self, rules: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """The `RuleKind` of each rule id.

        Raises:
            ValueError: an id that is no rule of this language.
        """
        if rules.numel() and not -max(RuleKind) <= int(rules.min()) <= int(rules.max()) < self.num_rules:
            raise ValueError(
                f"rule ids of this language lie in {-max(RuleKind)}..{self.num_rules - 1}, got "
                f"{int(rules.min())}..{int(rules.max())}"
            )
        multigrams = torch.where(rules < self.num_trigram_rules, int(RuleKind.TRIGRAM), int(RuleKind.SKIP))
        return torch.where(rules < 0, -rules, multigrams)

    def draw(self, num_sequences: int, length: int, seed: int | torch.Generator) -> AnnotatedTokens:
        """Independent sequences of `length` tokens, the first of them 0.

        Args:
            num_sequences: how many, at least 1.
            length: tokens of a sequence, at least `min_length`.
            seed: of the random numbers, or a generator on the CPU, advanced by the call.

        Raises:
            ValueError: if one of them is too small.
        """
        if num_sequences < 1 or length < self.min_length:
            raise ValueError(
                f"need num_sequences >= 1 and length >= {self.min_length} (a start token and, with repeat_share > 0, "
                f"room for the longest segment twice), got {num_sequences} and {length}"
            )
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        tokens, rules = _draw(self, num_sequences, length, generator)
        return AnnotatedTokens(torch.from_numpy(tokens.T.copy()), torch.from_numpy(rules.T.copy()))


class _Tables(NamedTuple):
    grammar: Grammar
    successors: np.ndarray  # [token, rank]
    trigram: np.ndarray  # [second, first] -> rule or NO_RULE
    skip: np.ndarray  # [last, three before] -> rule or NO_RULE
    forced: np.ndarray  # [rule] -> token; padded, so that NO_RULE is an index too


@lru_cache(maxsize=32)
def _tables(language: SyntheticLanguage) -> _Tables:
    size = language.vocabulary.size
    counts = (language.num_successors, language.num_trigram_rules, language.num_skip_rules)
    grammar = make_grammar(language.vocabulary, *counts, language.seed)
    rules = np.concatenate((grammar.trigram_rules.numpy(), grammar.skip_rules.numpy()))
    lookup = np.full((2, size, size), NO_RULE)
    which = (np.arange(len(rules)) >= language.num_trigram_rules).astype(int)
    lookup[which, rules[:, 1], rules[:, 0]] = np.arange(len(rules))
    forced = np.append(rules[:, 2], np.zeros(1, dtype=rules.dtype))
    return _Tables(grammar, grammar.successors.numpy(), lookup[0], lookup[1], forced)


def _draw(
    language: SyntheticLanguage, count: int, length: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and rules, both [position, sequence]: one pass over positions, all sequences at once."""
    table, ids, each = _tables(language), language.vocabulary, np.arange(count)

    def uniform(*shape: int) -> np.ndarray:
        return torch.rand(*shape, generator=generator, dtype=torch.float64).numpy()

    # What does not depend on the text so far is drawn for all positions beforehand.
    rank = np.searchsorted(table.grammar.rank_probabilities.cumsum(0).numpy()[:-1], uniform(length, count), "right")
    choice, which, gap = uniform(3, length, count)
    wants_name = choice < language.name_share
    wants_open = ~wants_name & (choice < language.name_share + language.bracket_share)
    active = ids.names + uniform(count, language.num_names).argsort(1)[:, : language.num_active_names]
    word_of = np.zeros((count, ids.size), dtype=np.int64)  # of each active name
    np.put_along_axis(word_of, active, 1 + (uniform(*active.shape) * language.num_words).astype(np.int64), axis=1)
    name = active[each, (which * active.shape[1]).astype(np.int64)] if active.size else np.zeros_like(rank)
    kind = (which * language.num_bracket_kinds).astype(np.int64)
    gap = BRACKET_GAPS[0] + (gap * (BRACKET_GAPS[1] - BRACKET_GAPS[0] + 1)).astype(np.int64)
    reach = np.arange(BRACKET_GAPS[1] + 1)[:, None] <= gap[:, None]  # [position, offset, sequence]
    copied_from, copying = _segments(language, length, uniform(4, count))
    wants_name[:-1] &= ~(copying[1:] & ~copying[:-1])
    taken = np.ones((length + BRACKET_GAPS[1] + 1, count), dtype=bool)  # where no bracket may be open or close
    taken[:length] = copying
    taken[copied_from[copying], np.nonzero(copying)[1]] = True
    closing = np.zeros((length + 1, count), dtype=np.int64)  # the bracket due at a position, or 0

    tokens = np.zeros((length, count), dtype=np.int64)
    rules = np.full((length, count), NO_RULE)
    row, word_at = each * ids.size, word_of.ravel()
    trigram, skip, successors = table.trigram.ravel(), table.skip.ravel(), table.successors.ravel()
    for n in range(1, length):
        last = tokens[n - 1]
        rule = trigram.take(last * ids.size + tokens[max(n - 2, 0)])
        rule = np.where(rule < 0, skip.take(last * ids.size + tokens[max(n - 4, 0)]), rule)
        token = np.where(rule < 0, successors.take(last * language.num_successors + rank[n]), table.forced.take(rule))
        word = word_at.take(row + last)
        free = (rule < 0) & (word == 0)

        where = (wants_open[n] & free).nonzero()[0]
        if len(where):
            where = where[~(taken[n : n + len(reach[n]), where] & reach[n][:, where]).any(0)]
            token[where], rule[where] = ids.openings + kind[n, where], -int(RuleKind.OPEN)
            due = n + gap[n, where]
            closing[due, where], taken[due, where] = ids.closings + kind[n, where], True
        naming = wants_name[n] & free & (closing[n + 1] == 0)
        rule[naming] = -int(RuleKind.NAME)
        token = np.where(naming, name[n], np.where(word > 0, word, token))
        token = np.where(copying[n], tokens[copied_from[n], each], token)
        tokens[n] = np.where(closing[n] > 0, closing[n], token)
        rules[n] = rule

    # Of what overrules the rules above, the tokens are known by now.
    bound = np.zeros_like(copying)
    bound[1:] = word_of[each, tokens[:-1]] > 0
    rules[bound] = -int(RuleKind.BINDING)
    position, sequence = bound.nonzero()
    introduced = np.unique(sequence * ids.size + tokens[position - 1, sequence], return_index=True)[1]
    rules[position[introduced], sequence[introduced]] = -int(RuleKind.INTRODUCTION)
    rules[copying] = -int(RuleKind.REPEAT)
    rules[1:][copying[1:] & ~copying[:-1]] = -int(RuleKind.JUMP)
    rules[closing[:length] > 0] = -int(RuleKind.CLOSE)
    rules[0] = -int(RuleKind.START)
    return tokens, rules


def _segments(language: SyntheticLanguage, length: int, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every [position, sequence], where its token is copied from, and whether it is."""
    shortest, longest = SEGMENT_LENGTHS
    size = shortest + (uniform[0] * (longest - shortest + 1)).astype(np.int64)
    slack = length - 1 - 2 * size  # tokens before, between and after the two
    first, second = np.sort((uniform[1:3] * (slack + 1)).astype(np.int64), axis=0)
    start = 1 + second + size
    position = np.arange(length)[:, None]
    copying = (position >= start) & (position < start + size) & (uniform[3] < language.repeat_share)
    return np.where(copying, position - (second + size - first), 0), copying
