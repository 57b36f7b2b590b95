"""n-gram statistics, head scores and ablations against hand-built attention, weights and closed forms."""

import copy
import inspect
import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from devinterp_core.heads.ablation import ablated_losses, positional_ablation_gap
from devinterp_core.heads.ngrams import (
    bigram_counts,
    bigram_distribution,
    bigram_entropy,
    bigram_score,
    common_ngrams,
    ngram_losses,
    ngram_score,
)
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
from devinterp_core.transformer import Transformer, TransformerConfig


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def some_tokens(sequences=5, length=9, num_tokens=11, seed=0):
    return torch.randint(num_tokens, (sequences, length), generator=generator(seed))


def as_a_user(function):
    """Without the type checker of the tests, which would refuse some of these inputs first."""
    return inspect.unwrap(function)


# --- n-grams ----------------------------------------------------------------------------------------------------------

COUNTS = torch.tensor([[0, 3, 1], [2, 0, 0], [0, 0, 0]])


def test_bigram_counts_stay_within_sequences():
    tokens = some_tokens(30, 20)
    expected = Counter((int(a), int(b)) for row in tokens for a, b in zip(row[:-1], row[1:], strict=True))
    counts = bigram_counts(tokens, 12)
    assert counts.shape == (12, 12) and counts.sum() == 30 * 19
    assert {(a, b): int(counts[a, b]) for a in range(12) for b in range(12) if counts[a, b]} == dict(expected)


def test_bigram_distribution_and_its_entropy():
    q = bigram_distribution(COUNTS)
    torch.testing.assert_close(q, torch.tensor([[0, 0.75, 0.25], [1, 0, 0], [0, 0, 0]]))
    of_first = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert bigram_entropy(COUNTS) == pytest.approx(4 / 6 * of_first, abs=1e-7)
    cycle = torch.arange(20)[None] % 5
    assert bigram_entropy(bigram_counts(cycle, 5)) == 0
    even = torch.ones(7, 7, dtype=torch.int64)
    assert bigram_entropy(even) == pytest.approx(math.log(7), abs=1e-7)


def test_bigram_score_is_the_entropy_for_the_bigram_model_and_larger_for_others():
    tokens = some_tokens(40, 30, 6)
    counts = bigram_counts(tokens, 6)
    q, current = bigram_distribution(counts).double(), tokens[:, :-1]
    entropy = bigram_entropy(counts)
    shift = torch.randn(40, 29, 1, generator=generator(1)).double()
    logits = q[current].log() + shift  # logits are defined up to a constant
    assert bigram_score(logits, current, q) == pytest.approx(entropy, abs=1e-6)
    assert bigram_score(torch.zeros(40, 29, 6).double(), current, q) == pytest.approx(math.log(6), abs=1e-6)
    p = (logits + torch.randn(logits.shape, generator=generator(2)).double()).log_softmax(-1)
    divergence = (q[current] * (q[current].log() - p)).sum(-1).mean()
    assert bigram_score(p, current, q) == pytest.approx(entropy + float(divergence), abs=1e-6)
    assert divergence > 0.1


def test_bigram_score_by_hand():
    logits = torch.tensor([[[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]]).log()
    q = bigram_distribution(COUNTS)
    expected = (-(0.75 * math.log(0.2) + 0.25 * math.log(0.7)) - math.log(0.5)) / 2
    assert bigram_score(logits, torch.tensor([[0, 1]]), q) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match=r"token 2 has no bigram distribution \(its row sums to 0\)"):
        bigram_score(logits, torch.tensor([[0, 2]]), q)
    with pytest.raises(ValueError, match="token 3 is outside the vocabulary of 3"):
        bigram_score(logits, torch.tensor([[0, 3]]), q)
    with pytest.raises(ValueError, match="do not fit"):
        as_a_user(bigram_score)(logits, torch.tensor([[0, 1, 1]]), q)
    with pytest.raises(ValueError, match="do not fit"):
        as_a_user(bigram_score)(logits, torch.tensor([[0, 1]]), q[:2])


@pytest.mark.parametrize("length", [1, 2, 3])
def test_common_ngrams(length):
    tokens = some_tokens(60, 12, 4, seed=3)
    rows = [row[i : i + length] for row in tokens.tolist() for i in range(13 - length)]
    counts = Counter(tuple(row) for row in rows if 2 not in row)
    expected = sorted(counts, key=lambda ngram: (-counts[ngram], ngram))
    found = common_ngrams(tokens, length, 1000, 4, exclude=(2,))
    assert [tuple(row) for row in found.tolist()] == expected
    assert torch.equal(common_ngrams(tokens, length, 2, 4, exclude=(2,)), found[:2])


class SumModel(nn.Module):
    """Expects the sum of all tokens so far, modulo the vocabulary, with probability `sure`."""

    def __init__(self, num_tokens, sure):
        super().__init__()
        self.config = SimpleNamespace(num_tokens=num_tokens)
        self.hit, self.miss = math.log(sure), math.log((1 - sure) / (num_tokens - 1))

    def forward(self, tokens):
        expected = tokens.cumsum(1) % self.config.num_tokens
        hit = nn.functional.one_hot(expected, self.config.num_tokens).bool()
        return torch.where(hit, self.hit, self.miss)


def test_ngram_losses_and_score():
    model = SumModel(10, 0.75)
    ngrams = torch.tensor([[1, 3, 6], [1, 3, 5]])  # after the start token 2: 2 + 1 + 3 = 6
    hit, miss = -math.log(0.75), -math.log(0.25 / 9)
    torch.testing.assert_close(ngram_losses(model, ngrams, 2), torch.tensor([hit, miss]))
    text = torch.tensor([[2, 1, 1, 4, 9], [2, 1, 1, 3, 9], [2, 0, 5, 7, 9], [2, 0, 5, 6, 9]])
    expected = (2 * hit + 2 * miss) / 4 / hit
    assert ngram_score(model, text, ngrams[:1], 2) == pytest.approx(expected, rel=1e-6)
    assert ngram_score(model, text[:, 1:], ngrams[:1], 2) == pytest.approx(expected, rel=1e-6)
    assert ngram_score(model, ngrams, ngrams, 2) == pytest.approx(1)


def test_bad_corpora_are_refused():
    tokens = some_tokens(4, 5)
    empty = tokens[:0]
    for call in (
        lambda t, v: bigram_counts(t, v),
        lambda t, v: common_ngrams(t, 2, 3, v),
        lambda t, v: ngram_losses(SumModel(v, 0.5), t, 0),
        lambda t, v: ngram_score(SumModel(v, 0.5), t, torch.tensor([[0, 1]]), 0),
    ):
        with pytest.raises(ValueError, match="the corpus is empty"):
            call(empty, 11)
        with pytest.raises(ValueError, match="outside the vocabulary of 3 tokens"):
            call(tokens, 3)
        with pytest.raises(ValueError, match="token -1 is outside the vocabulary of 11"):
            call(torch.tensor([[1, -1, 2]]), 11)
    with pytest.raises(ValueError, match="sequences of 1 tokens are shorter than the 2"):
        bigram_counts(tokens[:, :1], 11)
    with pytest.raises(ValueError, match="sequences of 5 tokens are shorter than the 6"):
        common_ngrams(tokens, 6, 3, 11)
    with pytest.raises(ValueError, match="shorter than the 4"):
        ngram_score(SumModel(11, 0.5), torch.tensor([[0, 1, 2, 3]]), torch.tensor([[1, 2, 3, 4]]), 0)
    with pytest.raises(ValueError, match="length and count must be at least 1"):
        common_ngrams(tokens, 0, 3, 11)
    with pytest.raises(ValueError, match="too many to be numbered"):
        common_ngrams(tokens, 5, 3, 10_000)
    with pytest.raises(ValueError, match="holds one of the excluded tokens"):
        common_ngrams(torch.zeros(3, 4).long(), 2, 3, 11, exclude=(0,))
    with pytest.raises(ValueError, match="corpus is empty"):
        bigram_entropy(torch.zeros(3, 3).long())


# --- attention patterns -----------------------------------------------------------------------------------------------


def pattern_to(keys, length):
    """Attention of 1 to one key for each query."""
    return nn.functional.one_hot(torch.as_tensor(keys), length).float()


def uniform_pattern(length):
    return torch.ones(length, length).tril() / torch.arange(1.0, length + 1)[:, None]


def test_previous_and_current_token_scores():
    length = 6
    previous = pattern_to([0, 0, 1, 2, 3, 4], length)
    current = torch.eye(length)
    first = pattern_to([0] * length, length)
    pattern = torch.stack((previous, current, first, uniform_pattern(length), (previous + 3 * current) / 4))
    batch = torch.stack((pattern, pattern.roll(1, 0)))  # a second sequence, in which heads have changed places
    harmonic = sum(1 / n for n in range(2, length + 1)) / (length - 1)
    expected_previous = torch.tensor([1, 0, 1 / 5, harmonic, 0.25])
    expected_current = torch.tensor([0, 1, 0, harmonic, 0.75])
    torch.testing.assert_close(previous_token_score(pattern[None]), expected_previous)
    torch.testing.assert_close(current_token_score(pattern[None]), expected_current)
    torch.testing.assert_close(previous_token_score(batch), (expected_previous + expected_previous.roll(1)) / 2)
    torch.testing.assert_close(current_token_score(batch), (expected_current + expected_current.roll(1)) / 2)


def test_prefix_matching_on_repeated_random_tokens():
    block, length = 7, 15
    tokens = repeated_random_tokens(torch.arange(3, 30), 4, block, start_token=0, seed=1)
    place = torch.arange(length)
    second = place > block
    follows = pattern_to(torch.where(second, place - block + 1, 0), length)  # to the token after the first [A]
    same = pattern_to(torch.where(second, place - block, 0), length)
    partly = 0.3 * follows + 0.7 * uniform_pattern(length)
    pattern = torch.stack((follows, same, uniform_pattern(length), partly)).expand(4, -1, -1, -1)
    chance = sum(1 / (q + 1) for q in range(block + 1, length)) / block
    expected = torch.tensor([1, 0, chance, 0.3 + 0.7 * chance])
    torch.testing.assert_close(prefix_matching_score(pattern, tokens), expected)


def test_prefix_matching_counts_every_earlier_occurrence():
    tokens = torch.tensor([[5, 8, 5, 9, 5], [1, 2, 3, 4, 1]])
    pattern = torch.zeros(2, 1, 5, 5)
    pattern[0, 0, 2] = torch.tensor([0.1, 0.5, 0.4, 0, 0])  # 5 stood at 0: what followed is at 1
    pattern[0, 0, 4] = torch.tensor([0.1, 0.2, 0.3, 0.3, 0.1])  # 5 stood at 0 and 2: at 1 and 3
    pattern[1, 0, 4] = torch.tensor([0.05, 0.15, 0.5, 0.2, 0.1])
    torch.testing.assert_close(prefix_matching_score(pattern, tokens), torch.tensor([(0.5 + 0.5 + 0.15) / 3]))
    twice = torch.tensor([[7, 7]])  # what followed the first is the second itself
    torch.testing.assert_close(prefix_matching_score(uniform_pattern(2)[None, None], twice), torch.tensor([0.5]))


def test_repeated_random_tokens():
    candidates = torch.tensor([4, 9, 9, 2, 7, 30])
    tokens = repeated_random_tokens(candidates, 4000, 3, start_token=1, seed=0)
    assert tokens.shape == (4000, 7) and (tokens[:, 0] == 1).all()
    assert torch.equal(tokens[:, 1:4], tokens[:, 4:])
    assert all(len(set(row)) == 3 for row in tokens[:, 1:4].tolist())
    for place in (1, 2, 3):
        counts = torch.bincount(tokens[:, place], minlength=31)
        assert counts.nonzero().flatten().tolist() == [2, 4, 7, 9, 30]
        assert (counts[[2, 4, 7, 9, 30]] - 800).abs().max() < 4.5 * math.sqrt(4000 * 0.2 * 0.8)
    assert torch.equal(repeated_random_tokens(candidates, 4000, 3, start_token=1, seed=0), tokens)
    assert not torch.equal(repeated_random_tokens(candidates, 4000, 3, start_token=1, seed=1), tokens)


def test_in_context_score():
    losses = torch.tensor([[5.0, 4.0, 1.0, 0.5], [6.0, 2.0, 2.0, 1.5]])
    assert in_context_score(losses, 1, 4) == pytest.approx(1.0 - 5.5)
    assert in_context_score(losses, 2, 3) == pytest.approx(1.5 - 3.0)
    assert in_context_score(losses, 1, 3, window=2) == pytest.approx(float(losses[:, 2:].mean() - losses[:, :2].mean()))


def test_bad_patterns_are_refused():
    square = uniform_pattern(4)[None, None]
    for score in (previous_token_score, current_token_score):
        with pytest.raises(ValueError, match=r"must be square.*got \(1, 1, 3, 4\)"):
            score(square[:, :, 1:])
        with pytest.raises(ValueError, match="2 positions or more"):
            score(square[:, :, :1, :1])
        with pytest.raises(ValueError, match=r"got \(0, 1, 4, 4\)"):
            score(square[:0])
    with pytest.raises(ValueError, match="no token recurs"):
        prefix_matching_score(square, torch.arange(4)[None])
    with pytest.raises(ValueError, match="is not attention on tokens"):
        as_a_user(prefix_matching_score)(square, torch.arange(5)[None])
    for early, late, window in [(0, 3, 1), (3, 3, 1), (3, 2, 1), (2, 5, 1), (1, 3, 3), (1, 2, 2), (1, 2, 0)]:
        with pytest.raises(ValueError, match="two windows of"):
            in_context_score(torch.ones(2, 4), early, late, window)
    with pytest.raises(ValueError, match="need sequences"):
        in_context_score(torch.ones(0, 4), 1, 2)
    with pytest.raises(ValueError, match=r"block_length in 1..5 \(different candidates\), got 2 and 6"):
        repeated_random_tokens(torch.arange(1, 6), 2, 6, start_token=0, seed=0)
    with pytest.raises(ValueError, match="num_sequences >= 1"):
        repeated_random_tokens(torch.arange(1, 6), 0, 2, start_token=0, seed=0)
    with pytest.raises(ValueError, match="start token 3 is among the candidates"):
        repeated_random_tokens(torch.arange(1, 6), 2, 2, start_token=3, seed=0)


# --- composition ------------------------------------------------------------------------------------------------------


def unit(*shape, seed):
    x = torch.randn(*shape, generator=generator(seed), dtype=torch.float64)
    return x / x.norm(dim=-1, keepdim=True)


def test_composition_of_heads_of_rank_one():
    # writers read v and write o; readers match queries along q with keys along k, and read v'
    v, o, q, k, o2 = (unit(3, 8, seed=s) for s in range(5))
    writer = (4 * v[:, :, None], o[:, None, :])  # [head, width, 1] and [head, 1, width]
    reader = (q[:2, :, None], 0.5 * k[:2, :, None])
    torch.testing.assert_close(k_composition(*writer, *reader), (o @ k[:2].T).abs())
    torch.testing.assert_close(q_composition(*writer, *reader), (o @ q[:2].T).abs())
    values = (k[:2, :, None], o2[:2, None, :])
    torch.testing.assert_close(v_composition(*writer, *values), (o @ k[:2].T).abs())


def test_composition_is_one_for_perfect_matches_and_small_for_random_heads():
    eye = torch.eye(1, dtype=torch.float64)[None]
    assert float(k_composition(eye, eye, eye, eye)) == 1
    model = Transformer(TransformerConfig(2, 6, 96, 4, num_tokens=3, initialization="normal"), seed=1)
    first, second = model.blocks[0].attn, model.blocks[1].attn
    scores = k_composition(first.W_V, first.W_O, second.W_Q, second.W_K)
    assert scores.shape == (6, 6)
    assert ((scores * math.sqrt(96) - 1).abs() < 0.25).all()


def test_composition_by_definition():
    model = Transformer(TransformerConfig(2, 2, 6, 4, num_tokens=3), seed=1).double()
    first, second = model.blocks[0].attn, model.blocks[1].attn
    scores = k_composition(first.W_V, first.W_O, second.W_Q, second.W_K)
    for writer in range(2):
        for reader in range(2):
            ov = first.W_V[writer] @ first.W_O[writer]
            qk = second.W_Q[reader] @ second.W_K[reader].T
            # keys read what the writer writes: scores x W_QK (y W_OV)^T
            x, y = unit(5, 6, seed=1), unit(5, 6, seed=2)
            torch.testing.assert_close(
                x @ (qk @ ov.T) @ y.T, (x @ second.W_Q[reader]) @ (y @ ov @ second.W_K[reader]).T
            )
            torch.testing.assert_close(scores[writer, reader], (qk @ ov.T).norm() / qk.norm() / ov.norm())


def test_bad_heads_of_a_composition_are_refused():
    v, o = torch.ones(2, 8, 3), torch.ones(2, 3, 8)
    for function, last in ((k_composition, v), (q_composition, v), (v_composition, o)):
        with pytest.raises(ValueError, match="only zero weights"):
            function(v, o, torch.zeros_like(v), last)
        with pytest.raises(ValueError, match="only zero weights"):
            function(v * torch.tensor([1.0, 0.0])[:, None, None], o, v, last)
    with pytest.raises(ValueError, match="different widths: 8, 8, 7, 7"):
        as_a_user(k_composition)(v, o, v[:, 1:], v[:, 1:])


# --- ablations --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["shortformer", "learned"])
def model(request) -> Transformer:
    config = TransformerConfig(2, 3, 12, 9, num_tokens=11, positions=request.param, attention_bias=True)
    model = Transformer(config, seed=1).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape, generator=generator(7)))
    return model.requires_grad_(False)


def plain_losses(model, tokens, hooks=None):
    log_p = model(tokens, hooks).log_softmax(-1)
    return -log_p[:, :-1].gather(2, tokens[:, 1:, None])[:, :, 0]


def by_hand(model, tokens, heads, replacement):
    """Losses with what each head writes exchanged, in the output of attention rather than before its projection.

    `replacement` gives what stands in for z [batch, position, size] of one head, from z of the whole model.
    """
    clean = model.run_with_cache(tokens)[1]
    hooks = {}
    for layer in {head[0] for head in heads}:

        def hook(value, layer=layer):
            z = seen[layer]
            for index in [int(head[2]) for head in heads if head[0] == layer]:
                stands_in = replacement(clean[f"blocks.{layer}.attn.hook_z"], layer, index)
                value = value + (stands_in - z[:, :, index]) @ model.blocks[int(layer)].attn.W_O[index]
            return value

        hooks[f"blocks.{layer}.hook_attn_out"] = hook
    seen = {}
    for layer in "01":
        hooks[f"blocks.{layer}.attn.hook_z"] = lambda z, layer=layer: seen.__setitem__(layer, z)
    return plain_losses(model, tokens, hooks)


EVERY = [["0:0"], ["0:2"], ["1:1"], ["0:1", "1:0", "1:2"]]


@pytest.mark.parametrize("heads", EVERY, ids=str)
def test_zero_and_mean_ablations_equal_hand_computation(model, heads):
    tokens, reference = some_tokens(), some_tokens(8, 9, seed=5)
    plain = plain_losses(model, tokens)
    other = model.run_with_cache(reference)[1]

    def mean_of_reference(_, layer, index):
        return other[f"blocks.{layer}.attn.hook_z"][:, :, index].mean((0, 1))

    def mean_by_position(_, layer, index):
        return other[f"blocks.{layer}.attn.hook_z"][:, :, index].mean(0)

    own = {
        "zero": lambda z, layer, index: torch.zeros_like(z[:, :, index]),
        "mean": lambda z, layer, index: z[:, :, index].mean((0, 1)),
        "mean by position": lambda z, layer, index: z[:, :, index].mean(0),
    }
    for kind, replacement in own.items():
        found = ablated_losses(model, tokens, heads, kind)
        assert found.shape == (5, 8)
        torch.testing.assert_close(found, by_hand(model, tokens, heads, replacement))
        assert (found - plain).abs().max() > 1e-2
    for kind, replacement in {"mean": mean_of_reference, "mean by position": mean_by_position}.items():
        found = ablated_losses(model, tokens, heads, kind, reference=reference)
        torch.testing.assert_close(found, by_hand(model, tokens, heads, replacement))
        assert (found - ablated_losses(model, tokens, heads, kind)).abs().max() > 1e-3
    if len(heads) == 1:
        alone = ablated_losses(model, tokens, heads[0], "zero")
        assert torch.equal(alone, ablated_losses(model, tokens, heads, "zero"))


def test_a_longer_reference_is_cut_to_the_positions(model):
    tokens, reference = some_tokens(5, 6), some_tokens(8, 9, seed=5)
    found = ablated_losses(model, tokens, "1:0", "mean by position", reference=reference)
    torch.testing.assert_close(
        found, ablated_losses(model, tokens, "1:0", "mean by position", reference=reference[:, :6])
    )


@pytest.mark.parametrize("heads", EVERY[2:], ids=str)
def test_resampling_takes_one_cycle_of_other_sequences(model, heads):
    tokens = some_tokens()
    found = ablated_losses(model, tokens, heads, "resample", seed=3)
    donors = []
    for i in range(5):
        matches = []
        for j in range(5):
            expected = by_hand(model, tokens, heads, lambda z, layer, index, j=j: z[j, :, index])
            if torch.allclose(found[i], expected[i], atol=1e-9):
                matches.append(j)
        assert len(matches) == 1
        donors += matches
    visited, at = [], 0
    for _ in range(5):
        at = donors[at]
        visited.append(at)
    assert sorted(visited) == list(range(5)) and visited[-1] == 0
    assert torch.equal(ablated_losses(model, tokens, heads, "resample", seed=3), found)
    assert any(not torch.equal(ablated_losses(model, tokens, heads, "resample", seed=s), found) for s in (4, 5, 6))


def test_a_head_that_writes_nothing_does_not_matter(model):
    tokens, twin = some_tokens(), copy.deepcopy(model)
    twin.blocks[1].attn.W_O[2] = 0
    plain = plain_losses(twin, tokens)
    for kind in ("zero", "mean", "mean by position", "resample"):
        torch.testing.assert_close(ablated_losses(twin, tokens, "1:2", kind), plain)
        assert (ablated_losses(twin, tokens, "1:1", kind) - plain).abs().max() > 1e-3


def test_positional_ablation_gap(model):
    tokens, twin = some_tokens(), copy.deepcopy(model)
    twin.pos_embed["W_pos"].zero_()
    expected = float((plain_losses(twin, tokens) - plain_losses(model, tokens)).mean())
    assert abs(expected) > 1e-3
    assert positional_ablation_gap(model, tokens) == pytest.approx(expected, abs=1e-12)
    assert positional_ablation_gap(twin, tokens) == 0


def test_impossible_ablations_are_refused(model):
    tokens = some_tokens()
    for head in ("2:0", "0:3", "-1:0"):
        with pytest.raises(ValueError, match=f"no head {head}: the model has 2 layers of 3 heads"):
            ablated_losses(model, tokens, head, "zero")
    with pytest.raises(ValueError, match="a head is written layer:head, for example 1:3; got '1-2'"):
        ablated_losses(model, tokens, ["0:0", "1-2"], "zero")
    with pytest.raises(ValueError, match="no heads to ablate"):
        ablated_losses(model, tokens, [], "zero")
    with pytest.raises(ValueError, match="kind must be one of .* got 'swap'"):
        as_a_user(ablated_losses)(model, tokens, "0:0", "swap")
    with pytest.raises(ValueError, match="resample takes outputs of other sequences"):
        ablated_losses(model, tokens[:1], "0:0", "resample")
    for kind in ("zero", "resample"):
        with pytest.raises(ValueError, match=f"{kind} takes no reference"):
            ablated_losses(model, tokens, "0:0", kind, reference=tokens)
    with pytest.raises(ValueError, match="reference sequences of 8 tokens are shorter than the 9"):
        ablated_losses(model, tokens, "0:0", "mean by position", reference=tokens[:, 1:])
    for bad in ({"tokens": tokens + 5}, {"tokens": tokens, "reference": tokens - 5}):
        with pytest.raises(ValueError, match="outside the vocabulary of 11 tokens"):
            ablated_losses(model, heads="0:0", kind="mean", **bad)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        positional_ablation_gap(model, tokens + 5)
    with pytest.raises(ValueError, match="corpus is empty"):
        ablated_losses(model, tokens[:0], "0:0", "zero")
    rotary = Transformer(TransformerConfig(1, 1, 4, 9, num_tokens=11, positions="rotary"))
    with pytest.raises(ValueError, match="a model with rotary positions has no position embedding to ablate"):
        positional_ablation_gap(rotary, tokens)
