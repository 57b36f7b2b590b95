"""Tables of a lens against the functions that they are made of, and intervals against hand-made numbers."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from test_lens import random_lens

from devinterp_core.companion.studies.lens_tables import (
    bits_by_source,
    block_tables,
    development_tables,
    divergence_by_domain,
    per_byte,
    share_of_gain,
    transfer_table,
)
from devinterp_core.companion.studies.lens_training import train_translators
from devinterp_core.language import PassageStream
from devinterp_core.lens import (
    LensModel,
    LensTraining,
    LogitLens,
    TunedLens,
    evaluate_lens,
    gradient_alignment,
    injection_tables,
    layer_deletion,
    loss_table,
    prediction_trajectory,
    sentiment_prompts,
    token_table,
)
from devinterp_core.lens.smollm2 import stand_in


@pytest.fixture(scope="module")
def case():
    module, tokenizer = stand_in(0)
    model = LensModel(module)
    tokens = torch.tensor([tokenizer.encode("the model of the text").ids[:4] * 3] * 3)
    return model, tokenizer, tokens


def test_bits_and_bytes_are_of_the_predicted_tokens(case):
    model, tokenizer, tokens = case
    table, marginal = loss_table(LogitLens(model), tokens, tokenizer, skip=2)
    found = evaluate_lens(LogitLens(model), [tokens], skip=2)
    assert np.allclose(marginal, found.marginal)
    row = table.set_index(["layer", "sequence"]).loc[(1, 2)]
    assert row["bits"] == pytest.approx(float(found.cross_entropy[1, 2]) * (tokens.shape[1] - 3) / math.log(2))
    words = [tokenizer.id_to_token(token) for token in tokens[2, 3:].tolist()]
    assert row["bytes"] == sum(map(len, words))


def test_the_table_of_tokens_holds_the_most_probable_one(case):
    model, tokenizer, _ = case
    table = token_table(LogitLens(model), "one two", tokenizer)
    ids = tokenizer.encode("one two").ids
    found = prediction_trajectory(LogitLens(model), torch.tensor([ids]))
    last = table[(table["layer"] == 1) & (table["position"] == len(ids) - 1)].iloc[0]
    assert last["word"] == tokenizer.decode([int(found.prediction[1, 0, -1])])
    assert last["input"] == tokenizer.decode(ids[-1:])


def test_bits_per_byte_are_of_all_sequences_together_and_differences_by_source():
    rows = {"layer": [0, 0, 1, 1], "sequence": [0, 1, 0, 1], "bits": [10.0, 2, 6, 2], "bytes": [2, 2, 2, 2]}
    table = per_byte(pd.DataFrame(rows), "layer")
    assert table["bits_per_byte"].tolist() == [3, 2]
    assert (table["low"] == [1, 1]).all() and (table["high"] == [5, 3]).all()
    sources = pd.DataFrame(rows | {"lens": "tuned", "source": "prose"})
    both = bits_by_source(pd.concat([sources, sources.assign(source="code", sequence=sources["sequence"] + 2)]))
    by_source = both.groupby("source")["bits_per_byte"].apply(list).to_dict()
    assert by_source == {"all": [3, 2], "prose": [3, 2], "code": [3, 2]}


def test_a_penalty_that_falls_with_the_similarity_correlates_fully():
    similarity = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.4], [0.2, 0.4, 1.0]])
    penalties = np.stack([1 - similarity, 2 - 2 * similarity])
    pairs, found = transfer_table(penalties, similarity, [0, 4, 8], num_resamples=20)
    for each in found.values():
        assert [each.value, *each.interval] == pytest.approx([-1, -1, -1])
    row = pairs[(pairs["trained"] == 4) & (pairs["tested"] == 8)].iloc[0]
    assert row["penalty"] == pytest.approx(0.9) and row["low"] <= 0.9 <= row["high"]
    with pytest.raises(ValueError, match="two of them"):
        transfer_table(penalties[:1], similarity, [0, 4, 8])


def test_divergences_outside_are_compared_with_those_inside_layer_by_layer():
    rows = [
        (kind, domain, layer, sequence, kl * size)
        for kind, size in (("prose", 1.0), ("code", 10.0))
        for sequence in (0, 1)
        for domain, layer, kl in (("inside", 0, 2.0), ("inside", 1, 1.0), ("outside", 0, 3.0), ("outside", 1, 4.0))
    ]
    table = pd.DataFrame(rows, columns=["kind", "domain", "layer", "sequence", "kl"])  # fmt: skip
    table.loc[(table["kind"] == "prose") & (table["domain"] == "outside"), "kl"] /= 2
    layers, ratios = divergence_by_domain(table, num_resamples=20)
    for kind, expected in (("code", 2.75), ("prose", 1.375)):  # median of 1.5 and 4, and half of it: not pooled
        assert [ratios[kind].value, *ratios[kind].interval] == pytest.approx([expected] * 3)
    row = layers.set_index(["kind", "domain", "layer"]).loc[("code", "outside", 1)]
    assert row["kl"] == row["low"] == row["high"] == 40
    with pytest.raises(ValueError, match="got 1 outside"):
        divergence_by_domain(table[(table["sequence"] == 0) | (table["domain"] == "inside")])


def test_the_share_of_the_gain_begins_where_the_model_has_gained():
    curves = {"layer": [0, 0, 0, 1, 1, 1], "step": [0, 1, 2] * 2, "bits_per_byte": [4.0, 3.9, 3, 4, 3.9, 2]}
    share = share_of_gain(pd.DataFrame(curves), 0, 1)
    assert share["step"].tolist() == [2] and share["share"].tolist() == [0.5]


def test_injection_tables_want_the_same_questions(case):
    model, tokenizer, _ = case
    prompts = [sentiment_prompts(12, injected=flag, seed=1) for flag in (False, True)]
    lenses = {"logit": LogitLens(model), "tuned": random_lens(model)}
    areas, baseline, odds, accuracy = injection_tables(lenses, tokenizer, *prompts, num_splits=2, num_bootstraps=5)
    assert len(areas) == 4 and len(baseline) == model.num_layers + 1 and 0 <= accuracy["normal"] <= 1
    assert (odds["low"] <= odds["median"]).all() and set(odds["prompts"]) == {"normal", "injected"}
    with pytest.raises(ValueError, match="same seed"):
        injection_tables(lenses, tokenizer, prompts[0], sentiment_prompts(12, injected=True, seed=2))


def test_a_training_leaves_what_its_record_keeps(case, tmp_path):
    model, tokenizer, tokens = case
    lens = TunedLens(model)
    streams = [PassageStream(tokenizer, ("prose",), 2, 12, seed=seed) for seed in (0, 1)]
    settings = LensTraining(num_steps=2, vocabulary_sample=16, skip=1)
    train_translators(
        lens, *streams, settings, tokens, tokenizer, num_regression=2, ridge=1e-3,
        state_file=tmp_path / "state.safetensors", folder=tmp_path,
    )  # fmt: skip
    assert len(pd.read_csv(tmp_path / "training.csv")) == 2
    again = TunedLens.load(tmp_path / "translators.safetensors", model)
    before = pd.read_csv(tmp_path / "least_squares.csv").set_index(["layer", "sequence"]).kl
    after = loss_table(again, tokens, tokenizer, skip=1)[0].set_index(["layer", "sequence"]).kl
    assert not np.allclose(before, after)  # the file holds the least squares, the translators have been trained


def test_block_tables_hold_the_cosines_of_every_lens_and_the_mean_rise_without_each_block(case):
    model, _, tokens = case
    pair = {"logit": LogitLens(model), "tuned": random_lens(model)}
    cosines, deleted = block_tables(pair, model, tokens, skip=1)
    for name, lens in pair.items():
        own = cosines[cosines.lens == name].pivot(index="layer", columns="sequence", values="cosine")
        assert np.allclose(own, gradient_alignment(lens, tokens, skip=1))
    rises = layer_deletion(model, tokens, skip=1)
    assert np.allclose(deleted.rise, rises.mean(1)) and list(deleted.layer) == list(range(model.num_layers))
    half = 4.302653 * rises.std(1) / 3**0.5  # Student, three sequences
    assert np.allclose(deleted.high - deleted.low, 2 * half, atol=1e-5)


def test_a_development_has_curves_shares_and_the_gap_at_the_end():
    bits = {("logit", 0): (40, 36), ("tuned", 0): (40, 30), ("logit", 1): (40, 20), ("tuned", 1): (40, 20)}
    rows = [
        {"lens": lens, "layer": layer, "step": step, "sequence": sequence, "bits": value * size, "bytes": 10 * size}
        for (lens, layer), values in bits.items()
        for step, value in zip((0, 8), values, strict=True)
        for sequence, size in ((0, 1), (1, 3))
    ]
    along, shares, gap = development_tables(pd.DataFrame(rows))
    assert list(along[(along.lens == "tuned") & (along.layer == 0)].bits_per_byte) == [4, 3]
    assert shares.to_dict("records") == [{"step": 8, "share": 0.5, "layer": 0}]
    assert gap.to_dict("records") == [{"layer": 0, "bits_per_byte": pytest.approx(0.6), "low": 0.6, "high": 0.6}]
