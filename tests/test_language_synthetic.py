"""The synthetic language: every token follows from its rule, frequencies are those specified, counts are exact."""

import dataclasses
import inspect
import json
import math
from collections import Counter
from functools import lru_cache

import pytest
import torch

from devinterp_core.heads.multigrams import dependent_rules, mean_by_kind, memorised_rules
from devinterp_core.language.synthetic import AnnotatedTokens, SyntheticLanguage
from devinterp_core.language.synthetic_rules import RuleKind

DEFAULT = SyntheticLanguage()
LANGUAGES = {
    "defaults": DEFAULT,
    "thousands of rules": SyntheticLanguage(num_successors=31, num_trigram_rules=1984, num_skip_rules=2048),
    "small": SyntheticLanguage(9, 2, 4, 30, 30, 1, num_active_names=2, name_share=0.3, bracket_share=0.3, seed=5),
    "always repeated": SyntheticLanguage(num_active_names=1, repeat_share=1.0, name_share=0.4, bracket_share=0.2),
    "only multigrams": SyntheticLanguage(8, 0, 3, 20, 20, 0, name_share=0, bracket_share=0, repeat_share=0),
}
FORCED = (RuleKind.TRIGRAM, RuleKind.SKIP)


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request) -> SyntheticLanguage:
    return LANGUAGES[request.param]


@pytest.fixture(scope="module")
def text() -> AnnotatedTokens:
    """A corpus of the default language."""
    return DEFAULT.draw(6000, 64, seed=3)


def as_a_user(function):
    """Without the type checker of the tests, which would refuse some of these shapes first."""
    return inspect.unwrap(function)


def assert_frequencies(counts, probabilities):
    """Counts of independent draws, each bin within 4.5 standard deviations."""
    counts, p = torch.as_tensor(counts).double(), torch.as_tensor(probabilities).double()
    assert counts.sum() > 300  # enough to say something
    assert ((counts - counts.sum() * p).abs() < 4.5 * (counts.sum() * p * (1 - p)).sqrt() + 1e-9).all(), counts


def frequencies(values, low, size):
    return torch.bincount(values.flatten() - low, minlength=size)


# --- the rules, replayed one token after the other ---


@lru_cache
def rule_book(language):
    """(two before, last) and (three before that, last) to rule and forced token; successors of each token."""
    trigram, skip = (
        {(a, b): (i, c) for i, (a, b, c) in enumerate(rules.tolist(), start)}
        for rules, start in (
            (language.grammar.trigram_rules, 0),
            (language.grammar.skip_rules, language.num_trigram_rules),
        )
    )
    return trigram, skip, language.grammar.successors.tolist()


def replay(language, tokens, rules):
    """Check each token against the rules and the text before it; the kinds of all tokens."""
    ids = language.vocabulary
    trigrams, skips, successors = rule_book(language)
    kinds = [RuleKind(k) for k in language.kinds(rules).tolist()]
    tokens, rules = tokens.tolist(), rules.tolist()
    assert tokens[0] == 0 and kinds[0] == RuleKind.START
    brackets, words = [], {}
    for n in range(1, len(tokens)):
        token, last, kind = tokens[n], tokens[n - 1], kinds[n]
        pair, skip = (tokens[n - 2] if n > 1 else 0, last), (tokens[n - 4] if n > 3 else 0, last)
        assert token > 0
        if kind == RuleKind.CLOSE:
            opened = brackets.pop()
            assert 3 <= n - opened <= 6
            assert token - ids.closings == tokens[opened] - ids.openings
        elif kind in (RuleKind.JUMP, RuleKind.REPEAT):
            assert not brackets and not ids.openings <= token < ids.size
            assert kind == RuleKind.REPEAT or not ids.names <= last < ids.openings
            assert (kind == RuleKind.REPEAT) == (kinds[n - 1] in (RuleKind.JUMP, RuleKind.REPEAT))
        elif ids.names <= last < ids.openings:
            assert kind == (RuleKind.BINDING if last in words else RuleKind.INTRODUCTION)
            assert token == words.setdefault(last, token) and ids.words <= token < ids.names
        elif pair in trigrams:
            assert (rules[n], token) == trigrams[pair]
        elif skip in skips:
            assert (rules[n], token) == skips[skip]
        elif kind == RuleKind.NAME:
            assert ids.names <= token < ids.openings
        elif kind == RuleKind.OPEN:
            assert ids.openings <= token < ids.closings
            brackets.append(n)
        else:
            assert kind == RuleKind.BIGRAM and token in successors[last]
    assert not brackets and len(words) <= language.num_active_names
    copied = [n for n, kind in enumerate(kinds) if kind in (RuleKind.JUMP, RuleKind.REPEAT)]
    if copied:
        start, size = copied[0], len(copied)
        assert 6 <= size <= 12 and copied == list(range(start, start + size))
        segment = tokens[start : start + size]
        assert any(tokens[s : s + size] == segment for s in range(1, start - size + 1))
    return kinds


def test_every_token_follows_from_the_rule_that_it_came_with(language):
    tokens, rules = language.draw(150, 64, seed=1)
    assert tokens.shape == rules.shape == (150, 64) and tokens.dtype == rules.dtype == torch.int64
    seen = {kind for row in zip(tokens, rules, strict=True) for kind in replay(language, *row)}
    unused = set()
    if language.num_names == 0:
        unused |= {RuleKind.NAME, RuleKind.INTRODUCTION, RuleKind.BINDING, RuleKind.OPEN, RuleKind.CLOSE}
        unused |= {RuleKind.JUMP, RuleKind.REPEAT}
    assert seen == set(RuleKind) - unused


def test_the_shortest_sequences(language):
    tokens, rules = language.draw(100, language.min_length, seed=2)
    for row in zip(tokens, rules, strict=True):
        replay(language, *row)


def test_brackets_nest_and_segments_vary(text):
    ids = DEFAULT.vocabulary
    opening = (text.tokens >= ids.openings) & (text.tokens < ids.closings)
    depth = opening.long().cumsum(1) - (text.tokens >= ids.closings).long().cumsum(1)
    assert depth.min() == 0 and depth.max() == 2 and not depth[:, -1].any()
    kinds = DEFAULT.kinds(text.rules)
    start = (kinds == RuleKind.JUMP).nonzero()[:, 1]
    assert start.min() <= 8 and start.max() == 64 - 6


def test_no_more_than_two_forced_tokens_in_a_row(language):
    kinds = language.kinds(language.draw(500, 64, seed=4).rules)
    forced = (kinds == RuleKind.TRIGRAM) | (kinds == RuleKind.SKIP)
    assert (forced[:, 1:] & forced[:, :-1]).any()  # a skip rule after a trigram rule
    assert not ((kinds[:, 1:] == RuleKind.TRIGRAM) & forced[:, :-1]).any()
    assert not ((kinds[:, 1:] == RuleKind.SKIP) & (kinds[:, :-1] == RuleKind.SKIP)).any()


# --- the tables ---


def test_the_grammar(language):
    ids, grammar = language.vocabulary, language.grammar
    assert ids.size == 1 + language.num_words + language.num_names + 2 * language.num_bracket_kinds
    named = torch.arange(ids.size)
    named = (named >= ids.names) & (named < ids.openings)
    assert not grammar.successors[named].any()
    rows = grammar.successors[~named]
    assert rows.min() >= 1 and rows.max() < ids.names
    assert all(len(set(row)) == language.num_successors for row in rows.tolist())
    assert len(grammar.trigram_rules) + len(grammar.skip_rules) == language.num_rules
    for rules in (grammar.trigram_rules, grammar.skip_rules):
        assert len({(a, b) for a, b, _ in rules.tolist()}) == len(rules)  # one rule a pair
        assert rules.min() >= 1 and rules.max() < ids.names
        assert not (grammar.successors[rules[:, 1]] == rules[:, 2:]).any()  # bigrams do not predict it
    first, second, _ = grammar.trigram_rules.T
    assert (grammar.successors[first] == second[:, None]).any(1).all()
    assert grammar.skip_rules[:, 1].max() <= language.num_words // 2 < grammar.skip_rules[:, 2].min()


def test_languages_with_fewer_rules_are_parts_of_those_with_more():
    few = dataclasses.replace(DEFAULT, num_trigram_rules=7, num_skip_rules=5).grammar
    none = dataclasses.replace(DEFAULT, num_trigram_rules=0, num_skip_rules=0).grammar
    assert torch.equal(few.successors, DEFAULT.grammar.successors)
    assert torch.equal(few.trigram_rules, DEFAULT.grammar.trigram_rules[:7]) and len(none.trigram_rules) == 0
    assert torch.equal(few.skip_rules, DEFAULT.grammar.skip_rules[:5]) and len(none.skip_rules) == 0
    other = dataclasses.replace(DEFAULT, seed=1).grammar
    assert (other.successors == few.successors).double().mean() < 0.4  # names have zeros in both


def test_every_rule_occurs(text):
    occurrences = torch.bincount(text.rules[text.rules >= 0], minlength=DEFAULT.num_rules)
    assert DEFAULT.num_rules == 256 + 128 == len(occurrences) and occurrences.min() >= 3


def test_exact_bigrams():
    two = SyntheticLanguage(num_successors=2, num_trigram_rules=0, num_skip_rules=0)
    assert two.bigram_entropy() == pytest.approx(math.log(3) - 2 / 3 * math.log(2), abs=1e-12)
    for language in (two, DEFAULT):
        table, ids = language.bigram_distribution(), language.vocabulary
        assert table.shape == (ids.size, ids.size) and not table[:, ids.names :].any() and not table[:, 0].any()
        rows = torch.cat((table[: ids.names], table[ids.openings :]))
        torch.testing.assert_close(rows.sum(1), torch.ones(len(rows), dtype=torch.float64))
        entropy = torch.special.entr(rows).sum(1)
        torch.testing.assert_close(entropy, torch.full_like(entropy, language.bigram_entropy()))
        assert not table[ids.names : ids.openings].any()
        best = language.grammar.successors[: ids.names, 0]
        assert torch.equal(table.argmax(1)[: ids.names], best)


# --- frequencies ---


def test_words_follow_the_bigram_distribution(text):
    made = text.rules[:, 1:] == -RuleKind.BIGRAM
    last, token = text.tokens[:, :-1][made], text.tokens[:, 1:][made]
    rank = (DEFAULT.grammar.successors[last] == token[:, None]).long().argmax(1)
    zipf = 1 / torch.arange(1.0, 17)
    assert_frequencies(frequencies(rank, 0, 16), zipf / zipf.sum())
    often = int(torch.bincount(last[last > 0]).argmax())
    table = DEFAULT.bigram_distribution()[often]
    assert_frequencies(frequencies(token[last == often], 0, len(table)), table)


def test_share_of_names():
    language = SyntheticLanguage(bracket_share=0, repeat_share=0, name_share=0.3)
    kinds = language.kinds(language.draw(1000, 64, seed=1).rules)
    assert_frequencies([int((kinds == RuleKind.NAME).sum()), int((kinds == RuleKind.BIGRAM).sum())], [0.3, 0.7])


def test_names_and_their_words_are_uniform(text):
    ids, kinds = DEFAULT.vocabulary, DEFAULT.kinds(text.rules)
    introduced = kinds == RuleKind.INTRODUCTION
    assert_frequencies(frequencies(text.tokens[introduced], 1, 64), [1 / 64] * 64)
    names = text.tokens[:, :-1][introduced[:, 1:]]
    assert_frequencies(frequencies(names, ids.names, 16), [1 / 16] * 16)
    per_sequence = introduced.sum(1)
    assert per_sequence.max() == 3 and per_sequence.double().mean() > 2.5
    language = SyntheticLanguage(num_trigram_rules=0, num_skip_rules=0, repeat_share=0, bracket_share=0)
    tokens, rules = language.draw(2000, 40, seed=6)
    second = []  # is the second name that is drawn the first again?
    for row, named in zip(tokens, rules == -RuleKind.NAME, strict=True):
        if int(named.sum()) > 1:
            first, again = row[named][:2].tolist()
            second.append(first == again)
    assert_frequencies([sum(second), len(second) - sum(second)], [1 / 3, 2 / 3])


def test_shares_and_sizes_of_repeated_segments(text):
    kinds = DEFAULT.kinds(text.rules)
    jumps, copied = (kinds == RuleKind.JUMP).sum(1), (kinds == RuleKind.REPEAT).sum(1)
    assert jumps.max() == 1
    assert_frequencies(frequencies(jumps, 0, 2), [0.5, 0.5])
    assert_frequencies(frequencies(1 + copied[jumps > 0], 6, 7), [1 / 7] * 7)


def test_share_of_brackets_and_their_gaps():
    language = SyntheticLanguage(name_share=0, repeat_share=0, bracket_share=0.1)
    tokens, rules = language.draw(3000, 64, seed=8)
    ids, kinds = language.vocabulary, language.kinds(rules)
    opens, closes = kinds == RuleKind.OPEN, kinds == RuleKind.CLOSE
    depth_before = (opens.long() - closes.long()).cumsum(1)[:, :-1]
    free = (opens | (kinds == RuleKind.BIGRAM))[:, 1:] & (depth_before == 0)
    free[:, 64 - 6 - 1 :] = False  # where every gap fits
    outer = opens[:, 1:] & free
    assert_frequencies([int(outer.sum()), int((free & ~outer).sum())], [0.1, 0.9])
    assert_frequencies(frequencies(tokens[opens], ids.openings, 4), [1 / 4] * 4)
    row, place = outer.nonzero().T
    shut = (closes.long().cumsum(1) - opens.long().cumsum(1))[row]  # back to its value before the bracket opened
    after = torch.arange(64) > (place + 1)[:, None]
    level = shut.gather(1, place[:, None])
    gap = (after & (shut == level)).long().argmax(1) - (place + 1)
    assert_frequencies(frequencies(gap, 3, 4), [1 / 4] * 4)


# --- seeds and keys ---


def test_draws_belong_to_their_seed():
    first, again = DEFAULT.draw(20, 64, seed=5), DEFAULT.draw(20, 64, seed=torch.Generator().manual_seed(5))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = DEFAULT.draw(20, 64, seed=6)
    assert (first.tokens == other.tokens)[:, 1:].double().mean() < 0.1
    generator = torch.Generator().manual_seed(5)
    moved = [DEFAULT.draw(20, 64, seed=generator).tokens for _ in range(2)]
    assert torch.equal(moved[0], first.tokens) and not torch.equal(*moved)
    state = torch.get_rng_state()
    DEFAULT.draw(2, 64, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    first.tokens.zero_()
    assert torch.equal(DEFAULT.draw(20, 64, seed=5).tokens, again.tokens)


def test_fields_are_a_plain_key():
    language = SyntheticLanguage(name_share=0)
    plain = json.loads(json.dumps(dataclasses.asdict(language)))
    assert SyntheticLanguage(**plain) == language and hash(SyntheticLanguage(**plain)) == hash(language)
    assert json.dumps(plain) == json.dumps(dataclasses.asdict(SyntheticLanguage(name_share=0.0)))
    with pytest.raises(TypeError, match="num_words must be an integer, got 64.5"):
        as_a_user(SyntheticLanguage.__init__)(object.__new__(SyntheticLanguage), num_words=64.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_trigram_rules": 64 * 16 + 1}, "num_trigram_rules can be at most 1024 for 64 words with 16.*num_words"),
        ({"num_skip_rules": 64 * 32 + 1}, "num_skip_rules can be at most 2048 .* got 2049: raise num_words"),
        ({"num_successors": 32}, "num_successors must be .* below half of the 64 words"),
        ({"num_successors": 0}, "num_successors must be at least 1"),
        ({"num_words": 0}, "below half of the 0 words"),
        ({"num_words": -1}, "num_words must not be negative"),
        ({"num_active_names": 17}, r"num_active_names must lie in 1..16 .* set name_share=0"),
        ({"num_active_names": 0}, "num_active_names must lie in"),
        ({"num_bracket_kinds": 0}, "num_bracket_kinds of at least 1.* bracket_share=0"),
        ({"name_share": 1.2}, r"name_share must lie in \[0, 1\], got 1.2"),
        ({"repeat_share": math.nan}, "repeat_share must lie in"),
        ({"name_share": 0.5, "bracket_share": 0.5}, "sum must be below 1"),
        ({"seed": -3}, "seed must not be negative"),
    ],
)
def test_impossible_languages_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SyntheticLanguage(**changes)


def test_impossible_draws_are_refused():
    with pytest.raises(ValueError, match="length >= 25 .*longest segment twice.*got 4 and 24"):
        DEFAULT.draw(4, 24, seed=0)
    with pytest.raises(ValueError, match="length >= 2 "):
        dataclasses.replace(DEFAULT, repeat_share=0).draw(4, 1, seed=0)
    with pytest.raises(ValueError, match="num_sequences >= 1"):
        DEFAULT.draw(0, 64, seed=0)
    for wrong in (384, -12):
        with pytest.raises(ValueError, match=r"rule ids of this language lie in -11..383"):
            DEFAULT.kinds(torch.tensor([0, wrong]))


# --- what a model knows of the rules ---


def test_memorised_rules_of_a_model_that_knows_some(text):
    rules = text.rules[:1500, 1:]
    known = torch.arange(384) % 3 == 0
    probability = torch.where((rules >= 0) & known[rules.clamp_min(0)], 0.9, 0.01)
    noise = torch.rand(rules.shape, generator=torch.Generator().manual_seed(0)) / 20
    report = memorised_rules(-(probability + noise).log(), rules, 384)
    found = Counter(rules.flatten().tolist())
    counts = torch.tensor([found[i] for i in range(384)])
    assert torch.equal(report.occurrences, counts)
    assert torch.equal(report.holds, known & (counts >= 10)) and 0 < int((counts < 10).sum()) < 100
    assert ((report.mean - torch.where(known, 0.925, 0.035)).abs() < 0.025).all()


def test_memorised_rules_by_hand():
    rules = torch.tensor([[0, 0, 2, -1], [3, 3, -4, 0]])
    probability = torch.tensor([[0.9, 0.6, 0.4, 1.0], [0.5, 0.6, 1.0, 0.3]], dtype=torch.float64)
    report = memorised_rules(-probability.log(), rules, 5, min_occurrences=1)
    torch.testing.assert_close(report.mean, torch.tensor([0.6, math.nan, 0.4, 0.55, math.nan]).double(), equal_nan=True)
    assert report.occurrences.tolist() == [3, 0, 1, 2, 0]
    assert report.holds.tolist() == [True, False, False, True, False]
    assert memorised_rules(-probability.log(), rules, 5, min_occurrences=3).holds.tolist() == [True] + [False] * 4
    high = memorised_rules(-probability.log(), rules, 5, threshold=0.58, min_occurrences=1)
    assert high.holds.tolist() == [True] + [False] * 4


def test_rules_that_depend_on_a_head():
    rules = torch.tensor([0, 0, 1, 1, -3, 2])
    losses = torch.tensor([0.1, 0.3, 0.2, 0.2, 5.0, 1.0])
    ablated = torch.tensor([1.1, 0.5, 0.3, 0.3, 9.0, 0.0])
    report = dependent_rules(losses, ablated, rules, 3, min_occurrences=1)
    torch.testing.assert_close(report.mean, torch.tensor([0.6, 0.1, -1.0]).double())
    assert report.holds.tolist() == [True, False, False]
    assert dependent_rules(losses, ablated, rules, 3, threshold=0.05, min_occurrences=2).holds.tolist() == [
        True, True, False]  # fmt: skip


def test_means_by_kind():
    kinds = torch.tensor([[RuleKind.TRIGRAM, RuleKind.CLOSE], [RuleKind.TRIGRAM, RuleKind.CLOSE]])
    means = mean_by_kind(torch.tensor([[1.0, 5.0], [2.0, 7.0]]), kinds)
    assert means == {RuleKind.TRIGRAM: 1.5, RuleKind.CLOSE: 6.0}


def test_reports_refuse_what_does_not_fit():
    losses, rules = torch.ones(2, 4), torch.zeros(2, 4, dtype=torch.int64)
    for function in (memorised_rules, mean_by_kind):
        with pytest.raises(ValueError, match=r"shapes \(2, 4\) and \(2, 5\); losses of tokens\[:, 1:\] go with"):
            as_a_user(function)(losses, torch.zeros(2, 5, dtype=torch.int64), *[9] * (function is memorised_rules))
        with pytest.raises(ValueError, match="one number is needed for every token"):
            function(losses[:0], rules[:0], *[9] * (function is memorised_rules))
    with pytest.raises(ValueError, match="one number is needed"):
        as_a_user(dependent_rules)(losses, losses[:, 1:], rules, 9)
    with pytest.raises(ValueError, match="rule 7 is none of the 7 rules"):
        memorised_rules(losses, rules + 7, 7)
    with pytest.raises(ValueError, match=r"probability in \(0, 1\), got 1.5"):
        memorised_rules(losses, rules, 9, threshold=1.5)
    with pytest.raises(ValueError, match="positive number of nats"):
        dependent_rules(losses, losses, rules, 9, threshold=0.0)
    with pytest.raises(ValueError, match="min_occurrences must be at least 1"):
        memorised_rules(losses, rules, 9, min_occurrences=0)
