"""Roles of heads and joint ablations against hand-made losses and a model whose heads are known."""

import inspect

import pytest
import torch

from devinterp_core.heads import ablated_losses, ablation_shares, head_roles, joint_ablation
from devinterp_core.language import RuleKind, SyntheticLanguage, divergence_from_baseline, next_token_losses
from devinterp_core.transformer import Transformer, attention_only


def test_shares_are_of_the_mean_rise_for_a_token_and_falls_count_for_nothing():
    kinds = torch.tensor([[RuleKind.BIGRAM, RuleKind.TRIGRAM, RuleKind.BINDING, RuleKind.CLOSE, RuleKind.JUMP]] * 2)
    before = torch.ones(2, 5)
    after = before + torch.tensor([[0.5, 0.5, 3.0, -9.0, 50.0], [1.0, 0.0, 1.0, 1.0, 50.0]])
    shares = ablation_shares(before, after, kinds)
    assert shares == pytest.approx({"bigram": 3 / 12, "multigram": 1 / 12, "in context": 8 / 12, "bracket": 0.0})
    assert set(ablation_shares(before, before, kinds).values()) == {0.0}
    with pytest.raises(ValueError, match="one number is needed for every token"):
        inspect.unwrap(ablation_shares)(before, after[:, :4], kinds)


@pytest.fixture(scope="module")
def case():
    world = SyntheticLanguage(num_words=20, num_names=4, num_successors=5, num_trigram_rules=60, num_skip_rules=30)
    model = Transformer(attention_only(world.vocabulary.size, 16, 2, 28), seed=3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "attn" in name:
                parameter.mul_(4)  # heads that matter
        dict(model.named_parameters())["blocks.1.attn.W_O"][0] = 0  # this one writes nothing
    drawn = world.draw(20, 28, seed=5)
    return model, drawn.tokens, world.kinds(drawn.rules)


def test_roles_are_the_largest_share_of_ablating_the_head(case):
    model, tokens, kinds = case
    roles = head_roles(model, tokens, kinds)
    assert list(roles) == ["0:0", "0:1", "1:0", "1:1"]
    with torch.no_grad():
        losses = next_token_losses(model(tokens), tokens)
    for head, found in roles.items():
        rise = ablated_losses(model, tokens, head, "mean by position") - losses
        assert found.effect == pytest.approx(float(rise.mean()), abs=1e-6)
        if found.role != "none":
            assert found.shares[found.role] == max(found.shares.values()) and sum(
                found.shares.values()
            ) == pytest.approx(1)
    assert roles["1:0"].role == "none" and roles["1:0"].effect == 0  # writes nothing


def test_joint_ablation_is_the_double_difference_and_zero_for_a_head_that_writes_nothing(case):
    model, tokens, kinds = case
    found = joint_ablation(model, tokens, kinds, "zero")
    with torch.no_grad():
        clean = next_token_losses(model(tokens), tokens)
    both, a, b = (ablated_losses(model, tokens, heads, "zero") for heads in (["0:1", "1:1"], "0:1", "1:1"))
    chosen = kinds[:, 1:] == RuleKind.TRIGRAM
    expected = float((both - a - b + clean)[chosen].mean())
    assert float(found["trigram"][1, 1]) == pytest.approx(expected, abs=1e-5) and abs(expected) > 1e-3
    for matrix in found.values():
        assert matrix[:, 0].abs().max() < 1e-6
    one = Transformer(attention_only(model.config.num_tokens, 16, 2, 28, num_layers=1))
    with pytest.raises(ValueError, match="joint ablation is for two layers"):
        joint_ablation(one, tokens, kinds)


def test_divergence_from_a_baseline_is_zero_for_itself_and_the_definition_for_others(case):
    model, tokens, _ = case
    other = Transformer(model.config, seed=9)
    with torch.no_grad():
        own, theirs = model(tokens).log_softmax(-1), other(tokens).log_softmax(-1)
        assert divergence_from_baseline(model, (tokens, own)).abs().max() < 1e-5
        found = divergence_from_baseline(model, (tokens, theirs))
    direct = torch.nn.functional.kl_div(own[:, :-1], theirs[:, :-1], reduction="none", log_target=True).sum(-1).mean(1)
    torch.testing.assert_close(found, direct)
    assert (found > 0.01).all()
