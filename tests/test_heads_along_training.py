"""Tables along training: what they say of a checkpoint is what is measured of its model alone."""

import pytest
import torch

from devinterp_core import language
from devinterp_core.heads import head_scores, mean_by_kind, model_scores, prefix_matching_score, repeated_random_tokens
from devinterp_core.heads.along_training import (
    loss_by_bigrams,
    prefix_matching_along_training,
    rules_along_training,
    scores_along_training,
)
from devinterp_core.heads.probes import synthetic_probe
from devinterp_core.train import TrainingSettings, train
from devinterp_core.transformer import Transformer, attention_only

WORLD = language.SyntheticLanguage(num_words=20, num_names=8, num_successors=4, num_trigram_rules=30, num_skip_rules=10)
LENGTH = 40
HELD_OUT = WORLD.draw(40, LENGTH, seed=1)


@pytest.fixture(scope="module")
def probe():
    return synthetic_probe(WORLD, HELD_OUT, num_counted=100, seed=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = attention_only(WORLD.vocabulary.size, 8, 2, LENGTH)
    return train(
        [Transformer(config, seed=index) for index in range(2)],
        language.LanguageStream((WORLD,) * 2, 4, LENGTH, seeds=(0, 1)),
        language.next_token_loss,
        TrainingSettings(num_steps=20, learning_rate=1e-2),
        checkpoint_steps=[0, 1, 20],
        folder=tmp_path_factory.mktemp("run"),
        compile=False,
    )


def test_scores_are_those_of_each_model(run, probe):
    curves, heads = scores_along_training({"toy": run}, {"toy": probe}, 3)
    assert curves[["world", "step", "seed"]].values.tolist() == [["toy", s, i] for s in (0, 1, 20) for i in (0, 1)]
    model = run.model(20, 1)
    assert curves.iloc[-1][["loss", "bigram_score"]].tolist() == [
        model_scores(model, probe)[name] for name in ("loss", "bigram_score")
    ]
    last = heads[(heads.step == 20) & (heads.seed == 1)].set_index("head")
    assert last.prefix_matching.to_dict() == {n: s["prefix_matching"] for n, s in head_scores(model, probe).items()}
    with pytest.raises(ValueError, match="probe of each"):
        scores_along_training({"toy": run}, {}, 3)


def test_rules_are_counted_and_their_losses_weighted(run):
    table = rules_along_training(run, WORLD, HELD_OUT, [0, 20])
    with torch.no_grad():
        losses = language.next_token_losses(run.model(0, 0)(HELD_OUT.tokens), HELD_OUT.tokens)
    by_kind = mean_by_kind(losses, WORLD.kinds(HELD_OUT.rules[:, 1:]))
    first = table.iloc[0]
    assert all(first[f"loss_{kind.name.lower()}"] == value for kind, value in by_kind.items())
    ids, counts = HELD_OUT.rules[:, 1:][HELD_OUT.rules[:, 1:] >= 0].unique(return_counts=True)
    assert (table.seen == int((counts >= 3).sum())).all() and (table.memorised <= table.seen).all()
    assert first.memorised == 0, "nothing is known at the start"
    with pytest.raises(ValueError, match="no steps"):
        rules_along_training(run, WORLD, HELD_OUT, [])


def test_prefix_matching_is_that_of_the_best_head_of_the_last_layer(run):
    blocks = {n: repeated_random_tokens(torch.arange(1, 20), 8, n, start_token=0, seed=0) for n in (4, 8)}
    table = prefix_matching_along_training(run, blocks, [20])
    name = "blocks.1.attn.hook_pattern"
    for row in table.itertuples():
        tokens = blocks[row.sequences]
        with torch.no_grad():
            pattern = run.model(20, row.seed).run_with_cache(tokens, [name])[1][name]
        assert row.prefix_matching == pytest.approx(prefix_matching_score(pattern, tokens).max().item())
    assert len(table) == 4


def test_bigrams_pay_for_ngrams_the_logarithm_of_what_they_give_them(probe):
    mean = sum(-probe.bigrams[b, c].log() for _, b, c in probe.ngrams[3].tolist()) / len(probe.ngrams[3])
    assert loss_by_bigrams(probe) == pytest.approx(float(mean))
