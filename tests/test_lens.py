"""Lenses against the models they read, against autograd, and on a model whose layers are affine images of the last."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from devinterp_core.lens import (
    ORIGINAL_SGD,
    LensModel,
    LensTraining,
    LogitLens,
    TunedLens,
    bits_per_byte,
    evaluate_lens,
    marginal_bias,
    prediction_depth,
    prediction_trajectory,
    train_lens,
    training,
)
from devinterp_core.lens.training import lens_gradient
from devinterp_core.transformer import Transformer, TransformerConfig

VOCABULARY, WIDTH, LAYERS = 31, 16, 3
COMMON = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2,
          "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}  # fmt: skip
GATED = COMMON | {"intermediate_size": 24, "num_key_value_heads": 1}
HUGGING_FACE = {
    "GPT-2": lambda: transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=LAYERS, n_head=2, bos_token_id=0, eos_token_id=0
    ),
    "GPT-NeoX": lambda: transformers.GPTNeoXConfig(**COMMON, intermediate_size=24),
    "OPT with projections": lambda: transformers.OPTConfig(**COMMON, ffn_dim=24, word_embed_proj_dim=8),
    "Llama": lambda: transformers.LlamaConfig(**GATED),
    "Qwen3": lambda: transformers.Qwen3Config(**GATED, head_dim=12),
    "Gemma": lambda: transformers.GemmaConfig(**GATED, head_dim=12),
    "Gemma 2, softcapped": lambda: transformers.Gemma2Config(**GATED, head_dim=12, final_logit_softcapping=2.0),
    "Granite, scaled": lambda: transformers.GraniteConfig(**GATED, logits_scaling=3.0),
}
OWN = {
    "attention only": {},
    "shortformer with MLP": {"positions": "shortformer", "d_mlp": 9},
    "doubled residual": {"doubled_residual": True, "unembedding_bias": False},
}


def own_model(dtype: torch.dtype = torch.float32, **settings) -> Transformer:
    config = TransformerConfig(num_layers=LAYERS, num_heads=2, d_model=WIDTH, num_positions=9, num_tokens=VOCABULARY,
                               **settings)  # fmt: skip
    return generic(Transformer(config)).to(dtype)


def generic(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter away from its initial value, so that no bias or norm is trivial."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def hugging_face(name: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():  # the library draws initial values from the global generator
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(HUGGING_FACE[name]())
    return generic(model).to(dtype)


def some_tokens(batch: int = 3, length: int = 6, seed: int = 0, size: int = VOCABULARY) -> torch.Tensor:
    return torch.randint(size, (batch, length), generator=torch.Generator().manual_seed(seed))


def random_lens(model: LensModel, size: float = 0.1) -> TunedLens:
    lens, generator = TunedLens(model), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in lens.parameters():
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
    return lens


class LinearResidualNetwork(nn.Module):
    """Blocks that are affine, so that the last hidden state is an affine function of each."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Linear(8, 8)

        def forward(self, x):
            return x + self.map(x)

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 8)
        self.blocks = nn.Sequential(*[self.Block() for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 12)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
            self.norm.weight += 1

    def forward(self, tokens):
        return self.head(self.norm(self.blocks(self.embed(tokens))))


# --- any model: its parts, its hidden states, its last layer ----------------------------------------------------------


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_hugging_face_models_are_read_exactly(name):
    model, tokens = hugging_face(name), some_tokens()
    seen = LensModel(model)
    with torch.no_grad():
        logits = model(tokens).logits
        states = seen.hidden_states(tokens)
        published = model(tokens, output_hidden_states=True).hidden_states  # after hooks were there: no trace is left
        assert torch.allclose(LogitLens(seen)(states[-1], LAYERS), logits, rtol=1e-5, atol=1e-5)
    assert (seen.num_layers, seen.d_model, len(states)) == (LAYERS, WIDTH, LAYERS + 1)
    for ours, theirs in zip(states[:-1], published):
        assert torch.equal(ours, theirs)
    assert not torch.allclose(states[-1], states[-2], atol=1e-3)


@pytest.mark.parametrize("name", OWN)
def test_our_transformer_is_read_exactly(name):
    model, tokens = own_model(**OWN[name]), some_tokens()
    seen = LensModel(model)
    _, cache = model.run_with_cache(tokens, [f"blocks.{layer}.hook_resid_pre" for layer in range(LAYERS)])
    states = seen.hidden_states(tokens)
    for layer in range(LAYERS):
        assert torch.equal(states[layer], cache[f"blocks.{layer}.hook_resid_pre"])
    assert torch.allclose(seen.readout.logits(states[-1]), model(tokens), atol=1e-5)
    assert seen.parts.bias == ("unembed.b_U" if model.config.unembedding_bias else None)


def test_details_that_models_put_after_the_unembedding_are_found():
    assert LensModel(hugging_face("Gemma 2, softcapped")).readout.softcap == 2.0
    assert LensModel(hugging_face("Granite, scaled")).readout.scale == pytest.approx(1 / 3, rel=1e-5)
    assert LensModel(hugging_face("OPT with projections")).readout.weight.shape == (VOCABULARY, 8)


def test_a_replaced_hidden_state_is_what_the_model_goes_on_from():
    seen, tokens = LensModel(hugging_face("Llama")), some_tokens()
    states = seen.hidden_states(tokens)
    unchanged = seen.hidden_states(tokens, {1: lambda h: h.clone()})
    assert all(torch.equal(a, b) for a, b in zip(states, unchanged))
    other = seen.hidden_states(some_tokens(seed=1))
    moved = seen.hidden_states(tokens, {1: lambda h: other[1]})
    assert torch.equal(moved[0], states[0])
    assert all(torch.equal(a, b) for a, b in zip(moved[1:], other[1:]))


class NoBlocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.only, self.head = nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 9)

    def forward(self, tokens):
        return self.head(self.only(self.embed(tokens)))


class OddUnembedding(LinearResidualNetwork):
    def forward(self, tokens):
        return super().forward(tokens) ** 3


def test_models_without_the_parts_are_refused_with_what_was_looked_for():
    with pytest.raises(ValueError, match="residual blocks: looked for a ModuleList or Sequential"):
        LensModel(NoBlocks())
    with pytest.raises(ValueError, match="cannot find the unembedding: looked for a parameter of shape"):
        LensModel(OddUnembedding())
    with pytest.raises(ValueError, match="float32"):
        LensModel(LinearResidualNetwork().half())
    with pytest.raises(ValueError, match=r"call model.eval\(\)"):
        LensModel(hugging_face("GPT-2").train())


def test_bad_tokens_and_layers_are_refused():
    seen = LensModel(own_model())
    with pytest.raises(ValueError, match="tokens lie in 0..31, the model knows 0..30"):
        seen.hidden_states(torch.tensor([[0, 31]]))
    with pytest.raises(ValueError, match="expected int64 tokens"):
        seen.check_tokens(torch.zeros(3))
    with pytest.raises(ValueError, match="no layer 4"):
        LogitLens(seen)(torch.zeros(2, WIDTH), 4)
    with pytest.raises(ValueError, match=r"no layers \[7\]"):
        seen.hidden_states(some_tokens(), {7: lambda h: h})
    with pytest.raises(ValueError, match="outside its blocks"):
        LensModel(own_model(doubled_residual=True)).hidden_states(some_tokens(), {1: lambda h: h})


# --- identities of the lenses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GPT-2", "Qwen3"])
def test_an_untrained_tuned_lens_is_the_logit_lens(name):
    seen = LensModel(hugging_face(name))
    states = seen.hidden_states(some_tokens())
    for layer, state in enumerate(states):
        assert torch.equal(TunedLens(seen)(state, layer), LogitLens(seen)(state, layer))


def test_an_affine_change_of_basis_of_the_hidden_states_changes_nothing():
    seen = LensModel(own_model(torch.float64))
    lens, generator = random_lens(seen), torch.Generator().manual_seed(1)
    basis = torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64)
    shift = torch.randn(WIDTH, generator=generator, dtype=torch.float64)
    hidden = seen.hidden_states(some_tokens())[1]
    changed = TunedLens(seen)
    identity = torch.eye(WIDTH, dtype=torch.float64)
    with torch.no_grad():  # h' = h B + c: (I + W')ᵀ = B⁻¹ (I + W)ᵀ
        composed = torch.linalg.solve(basis, (identity + lens.weight[1]).T)
        changed.weight[1] = composed.T - identity
        changed.bias[1] = lens.bias[1] - shift @ composed
        logits = lens(hidden, 1)
        assert torch.allclose(changed(hidden @ basis + shift, 1), logits, atol=1e-9)
        assert not torch.allclose(lens(hidden @ basis + shift, 1), logits, atol=0.1)


def test_a_lens_survives_saving_and_is_refused_by_another_model(tmp_path):
    seen = LensModel(hugging_face("Llama"))
    lens, path = random_lens(seen), tmp_path / "lens.safetensors"
    lens.save(path)
    again = TunedLens.load(path, seen)
    assert torch.equal(again.weight, lens.weight) and torch.equal(again.bias, lens.bias)
    lens.save(path, torch.float16)
    assert path.stat().st_size < 2.2 * lens.weight.numel() + 1500
    half = TunedLens.load(path, seen)
    assert half.weight.dtype == torch.float32 and torch.allclose(half.weight, lens.weight, rtol=1e-3, atol=1e-6)

    other = hugging_face("Llama")
    with torch.no_grad():
        other.lm_head.weight[3, 2] += 1e-3
    with pytest.raises(ValueError, match="trained for another model: the hash of its unembedding"):
        TunedLens.load(path, LensModel(other))
    assert torch.equal(TunedLens.load(path, LensModel(other), allow_other_model=True).weight, half.weight)
    other = hugging_face("Llama")
    with torch.no_grad():
        other.model.layers[0].mlp.up_proj.weight[3, 2] += 1e-3
    with pytest.raises(ValueError, match="its unembedding is that of this model, its other parameters are not"):
        TunedLens.load(path, LensModel(other))
    content = path.read_bytes()
    for bit in np.random.default_rng(0).integers(0, 8 * len(content), size=100):
        path.write_bytes(flipped(content, bit))
        with pytest.raises(ValueError, match=r"cannot read a tuned lens .* truncated or damaged"):
            TunedLens.load(path, seen)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"translators \(3, 16, 16\), this model needs \(2, 8, 8\)"):
        TunedLens.load(path, LensModel(LinearResidualNetwork()))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot read a tuned lens"):
        TunedLens.load(path, seen)
    with torch.no_grad():
        lens.weight[0, 0, 0] = 1e6
    with pytest.raises(ValueError, match="not finite in torch.float16"):
        lens.save(tmp_path / "new.safetensors", torch.float16)
    assert not list(tmp_path.glob("*new*"))


# --- training ---------------------------------------------------------------------------------------------------------


def reference_losses(seen: LensModel, lens: TunedLens, states: list[torch.Tensor]) -> torch.Tensor:
    """The divergences as one would write them down."""
    target = seen.readout.logits(states[-1]).log_softmax(-1)
    losses = []
    for layer in range(lens.num_layers):
        log_q = lens(states[layer], layer).log_softmax(-1)
        losses.append((target.exp() * (target - log_q)).sum(-1).mean())
    return torch.stack(losses)


@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize("name", ["own", "GPT-2", "OPT with projections", "Gemma 2, softcapped", "Granite, scaled"])
def test_analytic_gradient_is_that_of_autograd(name, chunk):
    model = own_model(torch.float64) if name == "own" else hugging_face(name, torch.float64)
    seen = LensModel(model)
    lens = random_lens(seen)
    states = [state.flatten(0, 1) for state in seen.hidden_states(some_tokens())]
    losses, weight, bias = lens_gradient(lens, lens.weight, lens.bias, torch.stack(states), chunk)
    expected = reference_losses(seen, lens, states)
    gradients = torch.autograd.grad(expected.sum(), (lens.weight, lens.bias))
    assert torch.allclose(losses, expected, rtol=0, atol=1e-10)
    assert torch.allclose(weight, gradients[0], rtol=0, atol=1e-10)
    assert torch.allclose(bias, gradients[1], rtol=0, atol=1e-10)
    assert float(gradients[0].abs().max()) > 1e-2
    assert all(parameter.grad is None for parameter in (*model.parameters(), *lens.parameters()))


def test_divergence_from_a_token_is_its_cross_entropy():
    for name in ("GPT-2", "Gemma 2, softcapped"):
        seen = LensModel(hugging_face(name, torch.float64))
        hidden, goal = seen.hidden_states(some_tokens())[1].flatten(0, 1), some_tokens(seed=3).flatten()
        found = seen.readout.divergence(hidden, seen.readout.teacher_of_tokens(goal))
        expected = nn.functional.cross_entropy(seen.readout.logits(hidden), goal, reduction="none")
        assert torch.allclose(found, expected, atol=1e-10)


def test_far_away_predictions_do_not_overflow():
    seen = LensModel(own_model())
    states = [state.flatten(0, 1) for state in seen.hidden_states(some_tokens())]
    seen.readout.weight.mul_(300)
    teacher = seen.readout.teacher(states[-1])
    found = seen.readout.divergence(states[0], teacher)
    log_p, log_q = (seen.readout.logits(state).log_softmax(-1) for state in (states[-1], states[0]))
    expected = (log_p.exp() * (log_p - log_q)).sum(-1)
    assert float(expected.detach().median()) > 300
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        (LensTraining(num_steps=150, learning_rate=0.1, weight_decay=0.0), 0.01),
        (dataclasses.replace(ORIGINAL_SGD, num_steps=150, learning_rate=2.0, weight_decay=0.0), 0.03),
    ],
    ids=["muon", "sgd"],
)
def test_a_model_with_affine_blocks_is_read_at_every_layer(settings, limit):
    seen = LensModel(LinearResidualNetwork())
    lens = TunedLens(seen)
    losses = train_lens(lens, lambda step: torch.arange(12)[None], settings, progress=False)
    assert float(losses[0].min()) > 0.5
    assert float(losses[-1].max()) < limit
    states = [state.flatten(0, 1) for state in seen.hidden_states(torch.arange(12)[None])]
    assert float(reference_losses(seen, lens, states).detach().max()) < limit


def test_sgd_is_the_original_recipe():
    seen = LensModel(own_model(torch.float64))
    settings = dataclasses.replace(ORIGINAL_SGD, num_steps=3, max_gradient_norm=0.05)
    lens = random_lens(seen)
    reference = random_lens(seen)
    sgd = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
    decay = torch.optim.lr_scheduler.LambdaLR(sgd, lambda step: 1 - step / 3)
    for step in range(3):
        states = seen.hidden_states(some_tokens(seed=step))
        sgd.zero_grad()
        reference_losses(seen, reference, states).sum().backward()
        norm = nn.utils.clip_grad_norm_(reference.parameters(), 0.05)
        assert norm > 0.05
        sgd.step()
        decay.step()
    train_lens(lens, lambda step: some_tokens(seed=step), settings, progress=False)
    assert torch.allclose(lens.weight, reference.weight, atol=1e-7)  # clip_grad_norm_ adds 1e-6 to the norm
    assert torch.allclose(lens.bias, reference.bias, atol=1e-7)


def test_muon_is_pytorchs_on_each_translator_and_adamw_on_the_biases(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self)  # PyTorch's Newton-Schulz in full precision
    seen = LensModel(own_model())
    lens, reference = random_lens(seen), random_lens(seen)
    matrices = [nn.Parameter(matrix.clone()) for matrix in reference.weight.detach()]
    bias = nn.Parameter(reference.bias.detach().clone())
    muon = torch.optim.Muon(matrices, lr=0.01, weight_decay=0.01, momentum=0.9, ns_steps=5)
    adam = torch.optim.AdamW([bias], lr=0.01, weight_decay=0.01)
    for step in range(3):
        states = torch.stack([s.flatten(0, 1) for s in seen.hidden_states(some_tokens(seed=step))])
        _, gradient, bias.grad = lens_gradient(lens, torch.stack(list(matrices)).detach(), bias.detach(), states)
        for matrix, own in zip(matrices, gradient):
            matrix.grad = own.clone()
        for group in (*muon.param_groups, *adam.param_groups):
            group["lr"] = 0.01 * (1 - step / 3)
        muon.step()
        adam.step()
    train_lens(lens, lambda step: some_tokens(seed=step), LensTraining(num_steps=3), progress=False)
    assert torch.allclose(lens.weight, torch.stack(list(matrices)), atol=1e-5)
    assert torch.allclose(lens.bias, bias, atol=1e-5)


@pytest.mark.parametrize("settings", [LensTraining(num_steps=6), dataclasses.replace(ORIGINAL_SGD, num_steps=6)],
                         ids=["muon", "sgd"])  # fmt: skip
def test_a_killed_training_continues_bit_for_bit(settings, tmp_path, monkeypatch):
    seen = LensModel(own_model())
    whole = TunedLens(seen)
    losses = train_lens(whole, lambda step: some_tokens(seed=step), settings, progress=False)

    class KilledError(Exception):
        pass

    def killing(after: int):
        counted = itertools.count(-1)  # the first call is the check of the first batch

        def batches(step):
            if next(counted) == after:
                raise KilledError
            return some_tokens(seed=step)

        return batches

    state = tmp_path / "state.safetensors"
    for steps in (2, 4):  # batches asked for after the first: the second run compares two of them
        with pytest.raises(KilledError):
            train_lens(TunedLens(seen), killing(steps), settings, state_file=state, save_seconds=0, progress=False)
    drawn = []

    def rest(step):
        drawn.append(step)
        return some_tokens(seed=step)

    resumed = TunedLens(seen)
    run = []
    monkeypatch.setattr(training, "lens_gradient", lambda *args, **kw: run.append(1) or lens_gradient(*args, **kw))
    found = train_lens(resumed, rest, settings, state_file=state, save_seconds=0, progress=False)
    assert drawn == [0, 1, 2, 3, 4, 5] and len(run) == 1  # batches that are compared, and the one step that was left
    assert torch.equal(found, losses)
    assert torch.equal(resumed.weight, whole.weight) and torch.equal(resumed.bias, whole.bias)
    finished = TunedLens(seen)
    train_lens(finished, rest, settings, state_file=state, progress=False)
    assert len(run) == 1 and torch.equal(finished.weight, whole.weight)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".state.safetensors.lock", "state.safetensors"]


def test_a_state_of_another_training_is_refused(tmp_path):
    seen, state = LensModel(own_model()), tmp_path / "state.safetensors"
    tokens = lambda step: some_tokens(seed=step)
    train_lens(TunedLens(seen), tokens, LensTraining(num_steps=2), state_file=state, progress=False)
    with pytest.raises(ValueError, match="state of another training"):
        train_lens(TunedLens(seen), tokens, LensTraining(num_steps=3), state_file=state, progress=False)
    with pytest.raises(ValueError, match="state of another training"):
        train_lens(random_lens(seen), tokens, LensTraining(num_steps=2), state_file=state, progress=False)
    other = own_model()
    with torch.no_grad():
        other.blocks[0].attn.W_Q.mul_(1.1)  # the readout is the same
    with pytest.raises(ValueError, match="state of another training .*model"):
        train_lens(TunedLens(LensModel(other)), tokens, LensTraining(num_steps=2), state_file=state, progress=False)
    others = lambda step: some_tokens(seed=3 * step)  # the first batch is the same
    with pytest.raises(ValueError, match="state of another training .*batch of step 1"):
        train_lens(TunedLens(seen), others, LensTraining(num_steps=2), state_file=state, progress=False)
    content = state.read_bytes()
    bits = np.random.default_rng(0).integers(0, 8 * len(content), size=100)
    for damaged in (b"no tensors", *(flipped(content, bit) for bit in bits)):
        state.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"state\.safetensors is truncated .*delete it"):
            train_lens(TunedLens(seen), tokens, LensTraining(num_steps=2), state_file=state, progress=False)
        assert state.read_bytes() == damaged
    (tmp_path / "file").write_text("")
    nowhere = tmp_path / "file" / "state.safetensors"
    with pytest.raises(OSError):
        train_lens(TunedLens(seen), tokens, LensTraining(num_steps=2), state_file=nowhere, progress=False)


def flipped(content, bit):
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << (bit % 8)
    return bytes(damaged)


def test_a_compiled_model_is_taken_as_it_is_and_a_compiled_part_refused():
    model = own_model()
    assert LensModel(torch.compile(model, backend="eager")).model is model
    model.blocks[0] = torch.compile(model.blocks[0], backend="eager")
    with pytest.raises(ValueError, match=r"blocks\.0 .* is compiled: give LensModel the model as it was"):
        LensModel(model)
    model = own_model()
    model.compile(backend="eager")
    with pytest.raises(ValueError, match="the model .* is compiled"):
        LensModel(model)


class Headless(nn.Module):
    """As a Hugging Face base model: an object with the last hidden state."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4)

    def forward(self, tokens):
        return {"last_hidden_state": self.embedding(tokens)}


def test_a_model_without_a_head_is_refused():
    with pytest.raises(ValueError, match="Headless gives no logits .*AutoModelForCausalLM"):
        LensModel(Headless().eval())


@pytest.mark.parametrize("bad", [{"num_steps": 0}, {"learning_rate": 0.0}, {"momentum": 1.0},
                                 {"weight_decay": -1.0}, {"max_gradient_norm": 0.0}])  # fmt: skip
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        LensTraining(**bad)


def test_a_training_that_leaves_the_finite_numbers_says_so():
    seen = LensModel(own_model())
    lens = TunedLens(seen)
    with torch.no_grad():
        lens.bias[1] = torch.inf
    with pytest.raises(ValueError, match=r"layers \[1\] is not finite at step 0: lower learning_rate"):
        train_lens(lens, lambda step: some_tokens(), LensTraining(num_steps=2), progress=False)


# --- predictions ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("devinterp_core.lens.readout.Readout.chunk_size", lambda self: 4)


def test_trajectories_are_the_statistics_of_the_logits(small_chunks):
    seen, tokens = LensModel(own_model(torch.float64)), some_tokens()
    lens = random_lens(seen)
    found = prediction_trajectory(lens, tokens)
    assert dict(found.sizes) == {"layer": LAYERS + 1, "sequence": 3, "position": 6}
    states = seen.hidden_states(tokens)
    final = seen.logits(tokens).detach().log_softmax(-1)
    for layer in range(LAYERS + 1):
        log_q = lens(states[layer], layer).detach().log_softmax(-1)
        distribution = torch.distributions.Categorical(logits=log_q)
        here = found.isel(layer=layer)
        assert np.allclose(here.entropy, distribution.entropy(), atol=1e-5)
        kl = torch.distributions.kl_divergence(torch.distributions.Categorical(logits=final), distribution)
        assert np.allclose(here.kl, kl, atol=1e-5)
        assert np.allclose(here.max_probability, log_q.exp().amax(-1), atol=1e-6)
        assert (here.prediction.values == log_q.argmax(-1).numpy()).all()
        for sequence, position in itertools.product(range(3), range(5)):
            goal = tokens[sequence, position + 1]
            order = log_q[sequence, position].argsort(descending=True).tolist()
            assert here["rank"][sequence, position] == order.index(goal)
            own = -log_q[sequence, position, goal]
            assert float(here.cross_entropy[sequence, position]) == pytest.approx(float(own), abs=1e-5)
        assert np.isnan(here.cross_entropy[:, -1]).all() and np.isnan(here["rank"][:, -1]).all()
    assert not found.kl.isel(layer=-1).any()
    given = prediction_trajectory(lens, tokens, tokens.roll(-1, 1))
    assert np.array_equal(given["rank"][..., :-1], found["rank"][..., :-1]) and not np.isnan(given["rank"]).any()


def test_means_over_a_corpus_are_those_of_the_trajectories(small_chunks):
    seen = LensModel(own_model())
    lens = random_lens(seen)
    batches = [some_tokens(2, 6, seed=0), some_tokens(3, 6, seed=1)]
    found = evaluate_lens(lens, batches)
    each = [prediction_trajectory(lens, tokens) for tokens in batches]
    for name in ("cross_entropy", "kl"):
        expected = np.concatenate([one[name].mean("position", skipna=True).values for one in each], axis=1)
        assert np.allclose(found[name], expected, atol=1e-5)
    logits = torch.cat([seen.logits(tokens).flatten(0, 1) for tokens in batches])
    assert np.allclose(found.marginal[-1], logits.softmax(-1).mean(0).detach(), atol=1e-6)
    states = torch.cat([seen.hidden_states(tokens)[1].flatten(0, 1) for tokens in batches])
    assert np.allclose(found.marginal[1], lens(states, 1).softmax(-1).mean(0).detach(), atol=1e-6)
    with pytest.raises(ValueError, match="no batches"):
        evaluate_lens(lens, [])
    with pytest.raises(ValueError, match="two tokens or more"):
        evaluate_lens(lens, [some_tokens(2, 1)])


def test_prediction_depth_on_cases_written_by_hand():
    rows = np.array([[3, 3, 3, 3], [1, 3, 3, 3], [3, 1, 3, 3], [1, 2, 5, 3], [3, 3, 1, 3]])
    assert prediction_depth(rows.T).tolist() == [0, 1, 2, 3, 3]


def test_bits_per_byte_of_uniform_bytes():
    assert bits_per_byte(math.log(256), 10, 10) == pytest.approx(8)
    assert bits_per_byte(math.log(256), 10, 40) == pytest.approx(2)
    with pytest.raises(ValueError, match="positive"):
        bits_per_byte(1.0, 10, 0)


def test_bias_of_marginals_with_a_known_divergence():
    marginal = np.array([[0.25, 0.75, 0.0], [0.5, 0.25, 0.25], [0.5, 0.5, 0.0]])
    expected = [0.5 * math.log2(2) + 0.5 * math.log2(2 / 3), 0.5 * math.log2(2), 0.0]
    assert np.allclose(marginal_bias(marginal), expected)
    with pytest.raises(ValueError, match="distribution"):
        marginal_bias(2 * marginal)
