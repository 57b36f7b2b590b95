"""What is measured at a checkpoint: against models whose behaviour is known exactly."""

import math

import pytest
import torch

from devinterp_core.heads.development import head_scores, make_probe, model_scores
from devinterp_core.language.stream import LanguageStream
from devinterp_core.language.synthetic import SyntheticLanguage
from devinterp_core.transformer import Transformer, TransformerConfig


@pytest.fixture(scope="module")
def probe():
    language = SyntheticLanguage(num_trigram_rules=40, num_skip_rules=0)
    stream = LanguageStream((language,), 300, 50, seeds=(0,))
    return make_probe(stream(0)[0][0], stream(1)[0][0], language.vocabulary.size, num_ngrams=20)


@pytest.fixture
def model(probe):
    config = TransformerConfig(
        num_layers=2, num_heads=2, d_model=16, num_positions=50, num_tokens=len(probe.bigrams), positions="shortformer"
    )
    return Transformer(config, seed=1)


def test_a_model_that_knows_nothing_scores_the_logarithm_of_the_vocabulary(model, probe):
    with torch.no_grad():
        for parameter in model.unembed.parameters():
            parameter.zero_()
    scores = model_scores(model, probe)
    for name in ("loss", "bigram_score", "ngram_3", "ngram_4", "repeated_loss"):
        assert scores[name] == pytest.approx(math.log(len(probe.bigrams)), abs=1e-5)
    assert scores["in_context_score"] == pytest.approx(0, abs=1e-6)
    assert scores["positional_gap"] == pytest.approx(0, abs=1e-6)


def test_a_model_that_predicts_bigrams_scores_their_entropy(model, probe):
    size = len(probe.bigrams)
    predict = torch.nn.Module()
    predict.config = model.config
    table = (probe.bigrams + 1e-12).log().float()
    predict.forward = lambda tokens, hooks=None: table[tokens]
    scores = model_scores(predict, probe)
    rows = probe.bigrams[probe.tokens[:, :-1].flatten()].double()
    entropy = float(torch.special.entr(rows).sum(1).mean())
    assert scores["bigram_score"] == pytest.approx(entropy, abs=1e-4)
    assert scores["bigram_score"] < math.log(size) - 1
    assert probe.bigram_entropy == pytest.approx(entropy, rel=0.05)
    assert scores["positional_gap"] == 0


def test_heads_of_constant_attention(model, probe):
    """Queries of zero attend evenly to everything before them."""
    with torch.no_grad():
        for block in model.blocks:
            block.attn.W_Q.zero_()
    length, block = probe.tokens.shape[1], (probe.repeated.shape[1] - 1) // 2
    even = torch.arange(2, length + 1).reciprocal().mean().item()  # 1/2 for the second query, and so on
    matched = torch.arange(block + 2, 2 * block + 2).reciprocal().mean().item()  # queries of the second copy
    scores = head_scores(model, probe)
    assert list(scores) == ["0:0", "0:1", "1:0", "1:1"]
    for found in scores.values():
        assert found["previous_token"] == pytest.approx(even, abs=1e-6)
        assert found["current_token"] == pytest.approx(even, abs=1e-6)
        assert found["prefix_matching"] == pytest.approx(matched, abs=1e-6)


def test_candidates_of_repeated_blocks_are_respected(probe):
    words = torch.arange(5, 40)
    again = make_probe(probe.tokens, probe.tokens, len(probe.bigrams), candidates=words, num_ngrams=5, seed=3)
    assert set(again.repeated[:, 1:].unique().tolist()) <= set(words.tolist())
    length = probe.tokens.shape[1]
    assert (again.early, again.late, again.window) == (length // 16, 7 * length // 8, length // 16)
    with pytest.raises(ValueError, match="block_length in 1..3"):
        make_probe(probe.tokens, probe.tokens, len(probe.bigrams), candidates=words[:3])


def test_prefix_matching_from_names_only(model, probe):
    """Even attention from recurring names in the text, by hand."""
    names = torch.arange(65, 81)
    again = make_probe(probe.tokens[:20], probe.tokens, len(probe.bigrams), queries=names, num_ngrams=5)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.W_Q.zero_()
    shares = []
    for row in again.tokens.tolist():
        for at, token in enumerate(row):
            earlier = [k for k in range(at) if row[k] == token]
            if token in range(65, 81) and earlier:
                shares.append(len(earlier) / (at + 1))
    assert len(shares) > 20
    for found in head_scores(model, again).values():
        assert found["prefix_matching"] == pytest.approx(sum(shares) / len(shares), abs=1e-6)
