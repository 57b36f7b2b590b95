"""Masks of Hugging Face heads against the forward pass: a masked slice set to zero is a head that is gone."""

import pytest
import torch
import transformers
from torch import nn

from devinterp_core.llc import local_learning_coefficients, refined_llc
from devinterp_core.llc.huggingface import head_mask, head_masks
from devinterp_core.sampler import sample

SIZES = {"vocab_size": 17, "attn_implementation": "eager"}
WIDE = SIZES | {"hidden_size": 24, "intermediate_size": 16, "num_hidden_layers": 2, "max_position_embeddings": 16}

# family -> configuration; heads, heads of a group; name of a layer's output projection
FAMILIES = {
    "gpt2": (lambda: transformers.GPT2Config(n_embd=24, n_layer=2, n_head=4, n_positions=16, **SIZES),
             4, 1, "h.{}.attn.c_proj"),
    "gpt_neox": (lambda: transformers.GPTNeoXConfig(num_attention_heads=4, **WIDE), 4, 1, "layers.{}.attention.dense"),
    "llama": (lambda: transformers.LlamaConfig(num_attention_heads=4, num_key_value_heads=2, attention_bias=True,
                                               **WIDE), 4, 2, "layers.{}.self_attn.o_proj"),
    # heads of 10 numbers although 24 / 4 = 6
    "qwen3": (lambda: transformers.Qwen3Config(num_attention_heads=4, num_key_value_heads=2, head_dim=10, **WIDE),
              4, 2, "layers.{}.self_attn.o_proj"),
}  # fmt: skip
TOKENS = torch.randint(17, (3, 9), generator=torch.Generator().manual_seed(0))


def build(family: str) -> nn.Module:
    """A random model of the family, in float64, with biases and normalisations that are not zero or one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(FAMILIES[family][0]()).eval().double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def logits_and_z(model, family, layer, silenced=()):
    """Logits, and the input of a layer's output projection by head, with some heads silenced there."""
    _, num_heads, _, path = FAMILIES[family]
    seen = []

    def hook(module, arguments):
        z = arguments[0].clone().unflatten(-1, (num_heads, -1))
        z[..., list(silenced), :] = 0
        seen.append(z)
        return (z.flatten(-2),)

    handle = model.base_model.get_submodule(path.format(layer)).register_forward_pre_hook(hook)
    with torch.no_grad():
        logits = model(TOKENS).logits
    handle.remove()
    return logits, seen[0]


@torch.no_grad()
def changed(family, mask, how):
    """A fresh model with `how` applied to the masked coordinates."""
    model = build(family)
    for name, chosen in mask.items():
        parameter = model.get_parameter(name)
        parameter[chosen] = how(parameter[chosen])
    return model


def noise(values):
    return values + torch.randn(values.shape, generator=torch.Generator().manual_seed(1), dtype=values.dtype)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_zeroing_the_masked_slice_is_silencing_the_head(family, layer):
    model, (_, num_heads, group, _) = build(family), FAMILIES[family]
    plain, _ = logits_and_z(model, family, layer)
    for head in range(num_heads):
        silent, _ = logits_and_z(model, family, layer, [head])
        zeroed = changed(family, head_mask(model, layer, head, shared="exclude"), torch.zeros_like)
        torch.testing.assert_close(logits_and_z(zeroed, family, layer)[0], silent, rtol=0, atol=1e-10)
        assert (silent - plain).abs().max() > 1e-3
        # With the shared value head at zero the whole group is silent.
        members = [h for h in range(num_heads) if h // group == head // group]
        silent, _ = logits_and_z(model, family, layer, members)
        zeroed = changed(family, head_mask(model, layer, head), torch.zeros_like)
        torch.testing.assert_close(logits_and_z(zeroed, family, layer)[0], silent, rtol=0, atol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_heads_slices_move_that_head_and_no_other(family):
    """`z` is the head's attention times its values, before the output projection, which `z` does not feel."""
    model, (_, num_heads, group, _) = build(family), FAMILIES[family]
    _, z = logits_and_z(model, family, 1)
    for head in range(num_heads):
        for shared in ("include", "exclude"):
            moved = changed(family, head_mask(model, 1, head, shared=shared), noise)
            _, other = logits_and_z(moved, family, 1)
            felt = [(z[..., h, :] - other[..., h, :]).abs().max() > 1e-6 for h in range(num_heads)]
            alone = shared == "exclude" or group == 1
            assert felt == [h == head if alone else h // group == head // group for h in range(num_heads)]


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_of_all_heads_cover_the_attention(family):
    """Without the output bias and the normalisations that heads share; no coordinate twice, but in groups."""
    model, (_, num_heads, group, _) = build(family), FAMILIES[family]
    masks = head_masks(model)
    assert list(masks) == [f"{layer}:{head}" for layer in range(2) for head in range(num_heads)]
    counts = {}
    for mask in masks.values():
        for name, chosen in mask.items():
            counts[name] = counts.get(name, 0) + chosen.int()
    linear = [
        f"{name}."
        for name, module in model.named_modules()
        if "att" in name and getattr(module, "weight", torch.zeros(0)).ndim == 2
    ]
    outputs = ("c_proj.bias", "dense.bias", "o_proj.bias")
    expected = {name for name, _ in model.named_parameters() if name.startswith(tuple(linear))}
    assert set(counts) == {name for name in expected if not name.endswith(outputs)}
    for name, count in counts.items():
        assert (count == (group if "k_proj" in name or "v_proj" in name else 1)).all()


@pytest.mark.parametrize("family", ["gpt2", "qwen3"])
def test_refined_llc_of_a_hugging_face_head(family):
    """Runs on the general path, and moves the head as `sample` does with the same mask: equal in distribution."""
    model = build(family).float()

    def loss(model, tokens):
        logits = model(tokens).logits[:, :-1]
        return nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(1)

    masks = {head: mask for head, mask in head_masks(model).items() if head in ("0:1", "0:2")}
    settings = {"step_size": 1e-3, "n_beta": 30.0, "localization": 200.0, "num_chains": 2, "num_draws": 8,
                "progress": False}  # fmt: skip
    draws = refined_llc(model, TOKENS, loss, masks, **settings)
    assert draws.sizes["component"] == 2 and not draws.diverged.any()
    distance = float(draws.distance.mean())
    assert distance == pytest.approx(float(sample(model, TOKENS, loss, mask=masks["0:1"], **settings).distance.mean()),
                                     rel=0.1)  # fmt: skip
    assert local_learning_coefficients(draws)["0:1"].num_diverged == 0


def test_bad_models_layers_and_heads_are_named():
    with pytest.raises(ValueError, match="no attention found in Sequential: looked for .*q_proj, k_proj.*c_attn"):
        head_mask(nn.Sequential(nn.Linear(2, 2)), 0, 0)
    model = build("gpt2")
    with pytest.raises(ValueError, match="no layer 2: GPT2LMHeadModel has 2"):
        head_mask(model, 2, 0)
    with pytest.raises(ValueError, match="no head 4 in layer 1: it has 4"):
        head_mask(model, 1, 4)
    model = build("qwen3")
    model.model.layers[0].self_attn.q_proj = nn.Linear(24, 80, bias=False)  # twice as wide: a gated query
    with pytest.raises(ValueError, match=r"self_attn: q_proj of 80 .* do not fit o_proj, which reads 40"):
        head_mask(model, 0, 0)
    model = build("gpt_neox")
    model.gpt_neox.layers[0].attention.query_key_value = nn.Linear(24, 36)  # one key and value for all
    with pytest.raises(ValueError, match=r"query_key_value is a Linear \(36, 24\); expected .* 3 x 24"):
        head_mask(model, 0, 0)
