"""Tables of heads against the functions that they are made of, and against heads that are known."""

import numpy as np
import pandas as pd
import pytest
import torch

from devinterp_core.companion.correlations import rank_correlation_within, within_strata
from devinterp_core.companion.intervals import difference_of_groups
from devinterp_core.companion.studies.head_tables import sweep_by_model, trace_table
from devinterp_core.heads import (
    ablated_losses,
    attention_types,
    describe_heads,
    describe_text_heads,
    head_roles,
    joint_ablation,
    make_probe,
    memorised_share,
    pair_interactions,
)
from devinterp_core.language import SyntheticLanguage, next_token_loss, next_token_losses
from devinterp_core.transformer import Transformer, all_heads, attention_only, head_mask


@pytest.fixture(scope="module")
def case():
    world = SyntheticLanguage(num_words=20, num_names=4, num_successors=5, num_trigram_rules=60, num_skip_rules=30)
    model = Transformer(attention_only(world.vocabulary.size, 16, 2, 28), seed=3)
    with torch.no_grad():
        dict(model.named_parameters())["blocks.1.attn.W_O"][0] = 0  # this one writes nothing
    return model, world.draw(20, 28, seed=5), world


def test_a_described_head_has_its_role_and_no_rule_depends_on_one_that_writes_nothing(case):
    model, text, world = case
    probe = make_probe(text.tokens, text.tokens, world.vocabulary.size, block_length=8)
    table = describe_heads(model, text, world, probe)
    roles = head_roles(model, text.tokens, world.kinds(text.rules))
    assert table["role"].tolist() == [roles[head].role for head in table["head"]]
    idle = table.set_index("head").loc["1:0"]
    assert idle["role"] == "none" and idle["multigrams"] == 0 and idle["ablation"] == 0
    assert {"previous_token", "current_token", "prefix_matching", "share bigram"} <= set(table)


def test_a_model_that_knows_nothing_has_memorised_nothing_and_one_that_knows_all_everything(case):
    model, text, world = case
    assert memorised_share(model, text, world, min_occurrences=1) == 0

    class Oracle(torch.nn.Module):
        def forward(self, tokens):
            logits = torch.zeros(*tokens.shape, world.vocabulary.size)
            return logits.scatter(2, tokens.roll(-1, 1)[..., None], 50.0)

    assert memorised_share(Oracle(), text, world, min_occurrences=1) == 1


def test_interactions_of_pairs_are_those_of_joint_ablation(case):
    model, text, world = case
    table = pair_interactions(model, text, world).set_index(["kind", "lower", "upper"]).interaction
    matrix = joint_ablation(model, text.tokens, world.kinds(text.rules))["trigram"]
    assert table["trigram", "0:1", "1:0"] == pytest.approx(float(matrix[1, 0]))


def test_heads_of_text_have_an_effect_on_each_source_that_averages_to_the_whole(case):
    model, text, world = case
    texts = {"prose": text.tokens[:15], "code": text.tokens[15:]}
    table = describe_text_heads(model, texts, world.vocabulary.size, {"previous_token": 0.0}, block_length=8)
    assert np.allclose(0.75 * table["ablation prose"] + 0.25 * table["ablation code"], table["ablation"], atol=1e-6)
    with torch.no_grad():
        rise = ablated_losses(model, text.tokens[15:], "0:1", "mean by position")
        rise = rise - next_token_losses(model(text.tokens[15:]), text.tokens[15:])
    # means by position are those of all sequences together, so that one source alone gives nearly, not quite, the same
    assert table.set_index("head")["ablation code"]["0:1"] == pytest.approx(float(rise.mean()), abs=0.01)
    assert table["layer"].tolist() == ["0", "0", "1", "1"] and set(table["type"]) == {"previous_token"}


def test_the_first_score_that_passes_names_the_type():
    scores = pd.DataFrame({"a": [0.5, 0.1, 0.1], "b": [0.9, 0.9, 0.1]}, index=["0:0", "0:1", "1:0"])
    assert attention_types(scores, {"a": 0.3, "b": 0.3}).to_dict() == {"0:0": "a", "0:1": "b", "1:0": "other"}


def test_traces_and_norms_are_of_the_head(case):
    model, text, _ = case
    masks = {head: head_mask(model, head) for head in all_heads(model)}
    table = trace_table([model], text.tokens, next_token_loss, masks, num_probes=2).set_index("head")
    assert table["norm"]["1:0"] < table["norm"]["1:1"]  # its output weights are zero
    assert (table["fisher"] > 0).all() and (table["hessian_error"] >= 0).all()
    with pytest.raises(ValueError, match="two of them"):
        trace_table([model], text.tokens, next_token_loss, masks, num_probes=1)


def test_measured_differences_and_correlations_within_strata():
    gap = difference_of_groups([4.0, 6.0], [1.0, 2.0])
    assert gap.value == 3.5 and gap.interval == (2.0, 5.0)
    for empty in ([], [np.nan]):
        with pytest.raises(ValueError, match="both groups"):
            difference_of_groups(empty, [1.0])
    x, y, strata = [1, 2, 3, 4, 10, 11, 12, 13], [4, 3, 2, 1, 40, 30, 20, 10], [0] * 4 + [1] * 4
    found = rank_correlation_within(x, y, strata, "8 heads")
    assert (found.value, found.interval) == within_strata(x, y, strata)[:2] and found.value == pytest.approx(-1)


def test_a_sweeps_numbers_stand_in_a_row_for_each_model():
    numbers = [("number", "layer_0_multigram_1", "2.5"), ("number", "prefix_matching_1", "0.25"), ("claim", "x", "yes")]
    table = pd.DataFrame(numbers, columns=["kind", "quantity", "measured"]).assign(num_rules=16)
    found = sweep_by_model(pd.concat([table, table.iloc[1:2].assign(num_rules=64)]), "num_rules")
    assert found["layer_0_multigram"].tolist()[0] == 2.5 and np.isnan(found["layer_0_multigram"].tolist()[1])
    assert found["prefix_matching"].tolist() == [0.25, 0.25] and found["model"].tolist() == ["1", "1"]
