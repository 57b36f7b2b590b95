"""Refined learning coefficients against closed forms, against `sample`, and the short way against the general one."""

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

from devinterp_core.language.loss import next_token_loss, next_token_losses
from devinterp_core.llc import (
    cross_entropy,
    heads,
    local_learning_coefficient,
    local_learning_coefficients,
    merged_attention,
    refined_llc,
)
from devinterp_core.potentials import quadratic_llc
from devinterp_core.sampler import DivergenceError, components, sample
from devinterp_core.sampler.components import make_components
from devinterp_core.sampler.settings import Settings
from devinterp_core.transformer import Transformer, TransformerConfig
from devinterp_core.transformer.masks import all_heads, head_mask, layernorm_mask
from devinterp_core.vectorized import evaluator

TYPE_ERRORS = (TypeError, ValueError, jaxtyping.TypeCheckError)  # in tests the annotations are checked first
VARIANTS = {
    "shortformer": {"positions": "shortformer", "attention_bias": True},
    "learned, MLP, doubled": {"d_mlp": 12, "activation": "gelu", "doubled_residual": True},
    "rotary, wide heads": {"positions": "rotary", "d_head": 6, "unembedding_bias": False, "d_mlp": 4},
}


class Quadratic(nn.Module):
    r"""$L = \tfrac12 w^\top H w$ for $w$ = (a, b) flattened, at its minimum."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.b = nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))
        root = torch.randn(7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        root = root * torch.tensor([[1.0], [0.3], [1.0], [1.0], [0.6], [1.0], [1.0]])
        self.register_buffer("H", root @ root.T / 7)


def quadratic_loss(model, batch):
    w = torch.cat([model.a, model.b.flatten()])
    return 0.5 * w @ model.H @ w + 0 * batch


def boolean(*values):
    return torch.tensor(values, dtype=torch.bool)


def decoder(**variant) -> tuple[Transformer, torch.Tensor]:
    config = {"num_layers": 2, "num_heads": 2, "d_model": 8, "num_positions": 6, "num_tokens": 11} | variant
    tokens = torch.randint(11, (20, 6), generator=torch.Generator().manual_seed(0))
    return Transformer(TransformerConfig(**config), seed=1), tokens


def mean_loss(model, tokens):
    """The same as `next_token_loss`, but not known to the short way; the last position is not given to the model."""
    logits = model(tokens[:, :-1])
    return nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(1)


# ------------------------------------------------------------------------------------------------ truth


def test_components_of_a_quadratic_have_the_llc_of_their_block():
    r"""$\tfrac12 \mathrm{tr}\, n\beta H_V (n\beta H_V + \gamma)^{-1}$, with SGLD's known excess; the blocks are
    coupled, so that a chain that moved other coordinates too would have another value."""
    model, n_beta, localization, step_size = Quadratic(), 20.0, 3.0, 0.005
    masks = {
        "a": {"a": boolean(True, True, True)},
        "across": {"a": boolean(True, False, False), "b": boolean([False, True], [True, True])},
        "ends": {"a": boolean(True, False, True)},
        "tail": {"a": boolean(False, True, True)},
    }
    rows = {"a": [0, 1, 2], "across": [0, 4, 5, 6], "ends": [0, 2], "tail": [1, 2]}
    draws = refined_llc(
        model, torch.zeros(1, dtype=torch.float64), quadratic_loss, masks, n_beta=n_beta, localization=localization,
        step_size=step_size, num_chains=150, num_draws=100, num_burnin=200, num_steps_between_draws=5, progress=False,
    )  # fmt: skip
    estimates = local_learning_coefficients(draws)
    truths = {}
    for name, estimate in estimates.items():
        curvatures = torch.linalg.eigvalsh(model.H[rows[name]][:, rows[name]])
        truths[name] = quadratic_llc(curvatures, n_beta, localization, step_size)
        assert estimate.standard_error < 0.025
        assert abs(estimate.mean - truths[name]) < 3.5 * estimate.standard_error
        assert estimate.virial_ratio == pytest.approx(1.0, abs=0.1)
    assert draws.dimension.values.tolist() == [3, 4, 2, 2]
    apart = [abs(x - y) for x in truths.values() for y in truths.values() if x != y]
    assert min(apart) > 0.1  # the tolerances tell the components apart


@pytest.mark.parametrize(("method", "batch_size"), [("sgld", 4), ("sgnht", None), ("mala", None), ("rmsprop_sgld", 5)])
def test_a_full_mask_is_the_llc(method, batch_size):
    model, tokens = decoder(positions="shortformer")
    full = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters()}
    settings = {"step_size": 1e-5, "n_beta": 30.0, "localization": 200.0, "num_chains": 2, "num_draws": 6,
                "num_burnin": 2, "batch_size": batch_size, "method": method, "seed": 5, "progress": False}  # fmt: skip
    whole = sample(model, tokens, next_token_loss, observe={"other": tokens[:3]}, **settings)
    masks = {"full": full, "0:1": head_mask(model, "0:1")}
    refined = refined_llc(model, tokens, next_token_loss, masks, observe={"other": tokens[:3]}, **settings)
    assert np.abs(whole.loss_difference).max() > 1e-4
    for name in ("loss_difference", "burnin_loss_difference", "distance", "virial", "other"):
        np.testing.assert_allclose(refined.sel(component="full")[name], whole[name], rtol=1e-3, atol=2e-6)
    left, right = local_learning_coefficient(refined.sel(component="full")), local_learning_coefficient(whole)
    assert left.mean == pytest.approx(right.mean, rel=1e-3, abs=1e-4)
    assert left.virial_ratio == pytest.approx(right.virial_ratio, rel=1e-3)


def test_refining_by_data_is_sampling_on_other_data():
    model, tokens = decoder()
    other = tokens.flip(1)
    settings = {"step_size": 1e-4, "n_beta": 30.0, "num_chains": 1, "num_draws": 5, "batch_size": 4, "progress": False}
    full = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters()}
    refined = refined_llc(model, other, next_token_loss, {"all": full}, **settings)
    whole = sample(model, other, next_token_loss, **settings)
    np.testing.assert_allclose(refined.loss_difference[0], whole.loss_difference, rtol=1e-4, atol=1e-6)
    assert not np.allclose(whole.loss_difference, sample(model, tokens, next_token_loss, **settings).loss_difference)


# ------------------------------------------------------------------------------------------------ the short way


@pytest.mark.parametrize(
    ("variant", "loss"), [(name, next_token_loss) for name in VARIANTS] + [("shortformer", mean_loss)]
)
def test_the_short_way_gives_the_general_ways_draws(variant, loss, monkeypatch):
    model, tokens = decoder(**VARIANTS[variant])
    monkeypatch.setitem(heads.PIECE_TOKENS, "cpu", 18)  # pieces of 3 and 2 sequences
    monkeypatch.setitem(cross_entropy.BLOCK_LOGITS, "cpu", 44)
    masks = {head: head_mask(model, head) for head in ("1:0", "0:1", "0:0")}
    settings = {"step_size": 1e-3, "n_beta": 30.0, "localization": 200.0, "num_chains": 2, "num_draws": 4,
                "num_steps_between_draws": 5, "batch_size": 5, "progress": False, "observe": {"same": tokens[:2]},
                "keep_parameters": True}  # fmt: skip
    stacks, rest = head_stacks(model, tokens, loss, masks)
    assert len(stacks) == 1 and not rest
    short = refined_llc(model, tokens, loss, masks, **settings)
    general = refined_llc(model, tokens, loss, masks, shortcut=False, **settings)
    assert np.abs(general.loss_difference).max() > 1e-3
    assert short.component.values.tolist() == list(masks)
    for name in ("loss_difference", "distance", "parameters", "same"):
        np.testing.assert_allclose(short[name], general[name], rtol=1e-4, atol=5e-6)


def head_stacks(model, tokens, loss, masks):
    components = make_components(model, tokens, loss, masks, 30.0, 1.0)
    return heads.head_stacks(components, Settings(step_size=1e-3), False)


def test_the_short_way_steps_aside():
    """Other masks, and losses that take more of the model than its outputs once, go the general way."""
    model, tokens = decoder()
    mixed = {"0:0": head_mask(model, "0:0"), "norms": layernorm_mask(model)}
    half = head_mask(model, "1:1")
    half["blocks.1.attn.W_Q"] = half["blocks.1.attn.W_Q"].clone()
    half["blocks.1.attn.W_Q"][1, 0] = False
    stacks, rest = head_stacks(model, tokens, next_token_loss, mixed | {"half": half})
    assert [c.name for c in stacks[0].components] == ["0:0"] and [c.name for c in rest] == ["norms", "half"]

    def twice(model, tokens):
        return next_token_loss(model, tokens) + next_token_loss(model, tokens.flip(1))

    def decayed(model, tokens):
        return mean_loss(model, tokens) + model.blocks[0].attn.W_Q.square().sum()

    masks = {"0:0": head_mask(model, "0:0")}
    for loss in (twice, decayed):
        stacks, rest = head_stacks(model, tokens, loss, masks)
        assert not stacks and len(rest) == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_merged_attention_is_attention_and_so_are_its_gradients(variant, monkeypatch):
    monkeypatch.setitem(merged_attention.BLOCK_SCORES, "cpu", 60)  # rows in three groups, the last one shorter
    config = TransformerConfig(**({"num_layers": 1, "num_heads": 2, "d_model": 8, "num_positions": 7, "num_tokens": 5}
                                  | VARIANTS[variant]))  # fmt: skip
    plain = Transformer(config, seed=2).double().blocks[0].attn
    g = torch.Generator().manual_seed(0)
    for parameter in plain.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=g, dtype=torch.float64))
    x, positions, upstream = (torch.randn(*s, 7, 8, generator=g, dtype=torch.float64) for s in ((4,), (), (4,)))
    x.requires_grad_()
    found = []
    for attention in (plain, merged_attention.MergedAttention(plain)):
        seen = {}
        out = attention(x, positions if config.positions == "shortformer" else None,
                        lambda name, value, seen=seen: seen.setdefault(name, value))  # fmt: skip
        gradients = torch.autograd.grad(out, [x, *plain.parameters()], upstream)
        found.append([out, seen["blocks.0.attn.hook_z"], *gradients])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_large_components_go_one_by_one_to_the_same_draws(monkeypatch):
    model, tokens = decoder()
    masks = {head: head_mask(model, head) for head in all_heads(model)} | {"norms": layernorm_mask(model)}
    settings = {"step_size": 1e-3, "n_beta": 30.0, "num_chains": 2, "num_draws": 5, "progress": False,
                "shortcut": False, "keep_parameters": False}  # fmt: skip
    for batch_size in (4, None):
        together = refined_llc(model, tokens, next_token_loss, masks, batch_size=batch_size, **settings)
        with monkeypatch.context() as patch:
            patch.setattr(evaluator, "ALONE_BYTES", 0)
            patch.setattr(components, "STACK_BYTES", 0)
            patch.setattr(evaluator.Evaluator, "_together", None)  # not needed
            alone = refined_llc(model, tokens, next_token_loss, masks, batch_size=batch_size, **settings)
        assert np.abs(alone.loss_difference).max() > 1e-4
        for name in ("loss_difference", "distance", "virial"):
            np.testing.assert_allclose(alone[name], together[name], rtol=1e-3, atol=1e-6)


def test_cross_entropy_of_the_stream_and_its_gradient(monkeypatch):
    monkeypatch.setitem(cross_entropy.BLOCK_LOGITS, "cpu", 33)  # three rows a block, the last one shorter
    g = torch.Generator().manual_seed(0)
    stream, weights, bias = (torch.randn(*s, generator=g, dtype=torch.float64) for s in ((3, 5, 4), (4, 11), (11,)))
    stream = (30 * stream).requires_grad_()  # logits of several hundred
    tokens, upstream = torch.randint(11, (3, 5), generator=g), torch.randn(3, 4, generator=g, dtype=torch.float64)
    ours = cross_entropy.next_token_losses_of_stream(stream, weights, bias, tokens)
    theirs = next_token_losses(stream @ weights + bias, tokens)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(losses, stream, upstream)[0] for losses in (ours, theirs)]
    torch.testing.assert_close(*gradients)


# ------------------------------------------------------------------------------------------------ invariants


@pytest.mark.parametrize("shortcut", [True, False])
def test_a_components_draws_do_not_depend_on_the_others(shortcut):
    model, tokens = decoder()
    settings = {"step_size": 1e-3, "n_beta": 30.0, "localization": 50.0, "num_chains": 2, "num_draws": 5,
                "batch_size": 4, "progress": False, "shortcut": shortcut, "keep_parameters": True}  # fmt: skip
    together = refined_llc(model, tokens, next_token_loss, {h: head_mask(model, h) for h in all_heads(model)},
                           **settings)  # fmt: skip
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for head in ("0:1", "1:0"):
        alone = refined_llc(model, tokens, next_token_loss, {head: head_mask(model, head)}, **settings)
        np.testing.assert_allclose(alone.loss_difference[0], together.loss_difference.sel(component=head), atol=1e-6)
        own = torch.cat([model.state_dict()[n][m] for n, m in head_mask(model, head).items()]).numpy()
        offset = np.linalg.norm(together.parameters.sel(component=head) - own, axis=-1)
        np.testing.assert_allclose(offset, together.distance.sel(component=head), rtol=1e-4)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(ValueError, match="several components: select one"):
        local_learning_coefficient(together)


def test_a_loss_that_cannot_be_vectorised_is_sampled_component_by_component():
    def branching(model, batch):
        losses = quadratic_loss(model, batch)
        return losses if float(losses.detach().sum()) < 1e9 else 2 * losses  # a number, out of a batch of chains

    masks = {"first": {"a": boolean(True, False, False)}, "last": {"a": boolean(False, False, True)}}
    settings = {"n_beta": 20.0, "step_size": 1e-3, "num_chains": 2, "num_draws": 4, "progress": False}
    zeros = torch.zeros(1, dtype=torch.float64)
    with pytest.warns(UserWarning, match="cannot be vectorised"):
        slow = refined_llc(Quadratic(), zeros, branching, masks, **settings)
    fast = refined_llc(Quadratic(), zeros, quadratic_loss, masks, **settings)
    np.testing.assert_allclose(slow.loss_difference, fast.loss_difference)


def test_a_diverged_component_leaves_the_others_alone():
    model = Quadratic()
    with torch.no_grad():
        model.H[6, 6] = 1e6
    stiff, soft = boolean([False, False], [False, True]), boolean([True, False], [False, False])
    masks = {"stiff": {"b": stiff}, "soft": {"b": soft}}
    settings = {"n_beta": 20.0, "step_size": 0.01, "num_chains": 2, "num_draws": 150, "progress": False}
    zeros = torch.zeros(1, dtype=torch.float64)
    draws = refined_llc(model, zeros, quadratic_loss, masks, **settings)
    assert draws.diverged.values.tolist() == [[True, True], [False, False]]
    assert np.isfinite(draws.loss_difference.sel(component="soft")).all()
    with pytest.raises(ValueError, match="component 'stiff': all 2 chains diverged"):
        local_learning_coefficients(draws)
    with pytest.raises(DivergenceError, match="all chains of all 1 components"):
        refined_llc(model, zeros, quadratic_loss, {"stiff": masks["stiff"]}, **settings)


# ------------------------------------------------------------------------------------------------ bad input


def test_bad_masks_are_named_before_any_step():
    model, tokens = decoder()
    good = head_mask(model, "0:0")
    empty = {name: torch.zeros_like(mask) for name, mask in good.items()}
    for masks, message in [
        ({}, "no masks"),
        ({"good": good, "hollow": empty}, "component 'hollow': the mask is empty"),
        ({"good": good, "lost": {"blocks.7.W": boolean(True)}}, "component 'lost': mask names no parameter"),
        ({"flat": {"ln_final.w": boolean(True)}}, r"component 'flat': .* has shape \(1,\), the parameter \(8,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            refined_llc(model, tokens, next_token_loss, masks, step_size=1e-3, progress=False)
    with pytest.raises(TYPE_ERRORS):
        refined_llc(model, tokens, next_token_loss, {"x": {"ln_final.w": torch.ones(8)}}, step_size=1e-3)
    for settings, message in [
        ({"batch_size": 21}, "batch_size 21 exceeds the 20 samples"),
        ({"memory_budget": 10}, "exceed memory_budget 10: raise it"),
        ({"observe": {"component": tokens}}, "may not use the names"),
    ]:
        with pytest.raises(ValueError, match=message):
            refined_llc(model, tokens, next_token_loss, {"0:0": good}, step_size=1e-3, progress=False, **settings)
    with pytest.raises(TypeError, match="mask"):  # components are given by masks
        refined_llc(model, tokens, next_token_loss, {"0:0": good}, step_size=1e-3, mask=good, progress=False)
    with pytest.raises(ValueError, match="components of one size, got"):
        refined_llc(model, tokens, next_token_loss, {"0:0": good, "norms": layernorm_mask(model)}, step_size=1e-3,
                    keep_parameters=True, progress=False)  # fmt: skip
