"""The sampler is right or refuses: losses that are no function of the parameters and of each sample by itself."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from devinterp_core.calibration import calibrate
from devinterp_core.llc import refined_llc
from devinterp_core.sampler import DivergenceError, Observable, sample, sample_many
from devinterp_core.sampler.curvature import hessian_product
from devinterp_core.sampler.target import make_target
from devinterp_core.vectorized import Evaluator

SETTINGS = {"step_size": 1e-4, "num_draws": 20, "num_chains": 3, "progress": False}


class Network(nn.Module):
    """4-8-1 tanh; with `recompute`, the first layer is computed again in the backward pass."""

    def __init__(self, recompute: bool = False, keep: bool = False, scale: float = 1.0):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 1)
        self.recompute, self.keep, self.scale = recompute, keep, scale

    def forward(self, x):
        def hidden(z):
            return torch.tanh(self.first(z))

        h = checkpoint(hidden, x, use_reentrant=False) if self.recompute else hidden(x)
        if self.keep:
            self.kept = {"activations": [h]}
        return self.scale * self.last(h)


def problem(n=60):
    g = torch.Generator().manual_seed(1)
    return torch.randn(n, 4, generator=g), torch.randn(n, 1, generator=g)


def squared_error(model, batch):
    return (model(batch[0]) - batch[1]).square().sum(1)


# ------------------------------------------------------------------------------------------------ gradients


def test_recomputed_activations_give_the_draws_of_the_plain_network():
    """What the backward pass computes anew reads the chain's parameters: without that, chains drift elsewhere."""
    settings = SETTINGS | {"step_size": 5e-3, "keep_parameters": True}
    plain = sample(Network(), problem(), squared_error, **settings)
    with pytest.warns(UserWarning, match="evaluated one by one"):
        again = sample(Network(recompute=True), problem(), squared_error, **settings)
    np.testing.assert_allclose(again.parameters, plain.parameters, atol=1e-5)
    assert float(np.ptp(plain.parameters.values)) > 0.5


@pytest.mark.filterwarnings("ignore:this loss cannot be vectorised")
def test_recomputed_activations_of_components():
    masks = {"first": {"first.weight": torch.ones(8, 4, dtype=torch.bool)}}
    settings = SETTINGS | {"step_size": 5e-3, "keep_parameters": True, "batch_size": 20}
    plain = refined_llc(Network(), problem(), squared_error, masks, **settings)
    again = refined_llc(Network(recompute=True), problem(), squared_error, masks, **settings)
    np.testing.assert_allclose(again.parameters, plain.parameters, atol=1e-5)
    np.testing.assert_allclose(again.loss_difference, plain.loss_difference, atol=1e-5)


class WrongBackward(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.square()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, upstream):
        return upstream


@pytest.mark.parametrize(
    "loss",
    [
        lambda m, b: (m.last(torch.tanh(m.first(b[0])).detach()) - b[1]).square().sum(1),
        lambda m, b: WrongBackward.apply(m(b[0]) - b[1]).sum(1),
        lambda m, b: (m(b[0]).round().detach() + m(b[0]) - m(b[0]).detach() - b[1]).square().sum(1),
        lambda m, b: squared_error(m, b) + sum(p.detach().square().sum() for p in m.parameters()),
    ],
    ids=["a detached layer", "a wrong backward pass", "a straight-through rounding", "a detached penalty"],
)
def test_a_gradient_that_is_not_that_of_the_loss_is_refused(loss):
    with pytest.raises(ValueError, match="gradient is not that of the loss"):
        sample(Network(), problem(), loss, **SETTINGS)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.Hardtanh, nn.LeakyReLU, nn.Softplus])
def test_right_gradients_are_not_refused(activation):
    model = nn.Sequential(nn.Linear(4, 30), activation(), nn.Linear(30, 30), activation(), nn.Linear(30, 1))
    for scale in (1e-3, 1.0, 1e3):  # of the targets, and with them of the loss
        x, y = problem()
        sample(model, (x, scale * y), squared_error, **(SETTINGS | {"step_size": 1e-9, "num_draws": 4}))


def test_padding_rows_have_the_gradient_of_the_loss():
    """At the minimum of sum_i (w_i - t)^2 / 3 every row has variance 1 / (2 n_beta / 3 + gamma), the padded one too."""
    model = nn.Embedding(3, 1, padding_idx=0).double()
    nn.init.constant_(model.weight, 1.0)
    draws = sample(
        model, torch.arange(3), lambda m, b: (m(b)[:, 0] - 1).square(), step_size=0.02, n_beta=30.0, num_chains=300,
        num_draws=40, num_burnin=100, num_steps_between_draws=5, keep_parameters=True, method="sgnht", progress=False,
    )  # fmt: skip
    np.testing.assert_allclose(draws.parameters.values.reshape(-1, 3).var(0), 1 / 21, rtol=0.08)
    assert model.padding_idx == 0


# ------------------------------------------------------------------------------------------------ losses


def contrastive(m, b):
    z = nn.functional.normalize(m.first(b[0]), dim=1)
    return nn.functional.cross_entropy(5 * z @ z.T, torch.arange(len(z)), reduction="none")


def centred(m, b):
    losses = squared_error(m, b)
    return losses - losses.mean()


def cumulative(m, b):
    return squared_error(m, b).cumsum(0) / 10


@pytest.mark.parametrize("loss", [contrastive, centred, cumulative])
def test_a_loss_that_depends_on_its_minibatch_is_refused(loss):
    with pytest.raises(ValueError, match="depends on the other samples of its batch"):
        sample(Network(), problem(), loss, batch_size=16, **SETTINGS)


def test_a_loss_of_the_whole_data_is_taken_whole():
    """On all data at once such a loss is a function of the parameters; no budget splits it."""
    settings = SETTINGS | {"step_size": 1e-3, "num_draws": 3, "keep_parameters": True}
    draws = sample(Network(), problem(), contrastive, memory_budget=10_000, **settings)
    model = Network()
    with torch.no_grad():
        before = contrastive(model, problem()).mean()
        flat = torch.as_tensor(draws.parameters.values[0, 1])
        for name, part in zip(("first.weight", "first.bias"), flat.split([32, 8, 8, 1]), strict=False):
            model.get_parameter(name).copy_(part.view_as(model.get_parameter(name)))
        assert float(contrastive(model, problem()).mean() - before) == pytest.approx(
            float(draws.loss_difference[0, 1]), abs=1e-5
        )


OUTSIDE = Network()


@pytest.mark.parametrize(
    "loss",
    [
        lambda m, b: squared_error(OUTSIDE, b),
        lambda m, b: squared_error(OUTSIDE, b).detach(),
        lambda m, b: b[1][:, 0].square(),
        lambda m, b: squared_error(m, b).detach(),
    ],
    ids=["another model", "its detached loss", "the data alone", "a detached loss"],
)
def test_a_loss_that_ignores_the_model_is_refused(loss):
    with pytest.raises(ValueError, match="no gradient reaches"):
        sample(Network(), problem(), loss, **SETTINGS)


def test_a_loss_with_a_state_is_refused():
    calls = []

    def counting(m, b):
        calls.append(1)
        return squared_error(m, b) + 0.1 * len(calls)

    with pytest.raises(ValueError, match="keeps a state"):
        sample(Network(), problem(), counting, **SETTINGS)
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="NumPy"):
        sample(Network(), problem(), lambda m, b: squared_error(m, b) * generator.random(), **SETTINGS)


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 1)), problem()),
        (nn.Sequential(nn.Embedding(6, 3, max_norm=0.5), nn.Linear(3, 1)), (torch.arange(60) % 6, problem()[1])),
    ],
    ids=["running statistics", "max_norm"],
)
def test_forward_passes_that_write_are_refused(model, data):
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match="the forward pass writes into"):
        sample(model, data, squared_error, train_mode=True, **SETTINGS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("index", [0, 5, 57])
@pytest.mark.parametrize("batch_size", [None, 8])
def test_bad_samples_are_named(index, batch_size):
    x, y = problem()
    labels = (y[:, 0] > 0).long()
    labels[index] = -100

    def ignoring(m, b):
        logits = torch.cat([m(b[0]), -m(b[0])], dim=1)
        return nn.functional.cross_entropy(logits, b[1], reduction="none") / (b[1] >= 0)

    with pytest.raises(ValueError, match=rf"NaN or infinite for 1 samples of data, indices {index}"):
        sample(Network(), (x, labels), ignoring, batch_size=batch_size, **SETTINGS)
    many = (x.repeat(100, 1), labels.repeat(100))  # more samples than the run visits
    with pytest.raises(ValueError, match="NaN or infinite for .* samples of data"):
        sample(Network(), many, ignoring, batch_size=2, **(SETTINGS | {"num_draws": 300, "num_chains": 1}))


# ------------------------------------------------------------------------------------------------ random losses


@pytest.mark.parametrize("batch_size", [None, 16])
def test_dropout_is_paired(batch_size):
    """Held at w*, both sides of a pair see one mask: what is left is rounding, while the losses differ by far more."""
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1)).train()
    draws = sample(model, problem(), squared_error, train_mode=True, batch_size=batch_size,
                   **(SETTINGS | {"step_size": 1e-18}))  # fmt: skip
    assert np.abs(draws.loss_difference).max() < 1e-6
    full = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model[2].named_parameters(prefix="2")}
    model.eval()
    refined_llc(model, problem(), squared_error, {"last": full}, **SETTINGS)


def test_a_random_loss_does_not_see_the_chains_noise():
    """L = (w - r)^2 with the loss's own r: were r the noise of the step, every step would be w <- w + c r and the loss
    difference w^2 - 2 w r would average -2 c instead of E w^2 = 1 / (2 + gamma) at n beta = 1."""
    point = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(point.weight)
    draws = sample(
        point, torch.zeros(4, 1, dtype=torch.float64),
        lambda m, b: (m.weight - torch.randn(1, 1, dtype=torch.float64)).square()[0] + 0 * b[:, 0],
        step_size=0.02, n_beta=1.0, localization=2.0, num_chains=400, num_draws=60, num_burnin=200,
        num_steps_between_draws=20, method="sgnht", progress=False,
    )  # fmt: skip
    assert float(draws.loss_difference.mean()) == pytest.approx(0.25, abs=0.03)
    with pytest.raises(ValueError, match="draws random numbers"):
        sample(point, torch.zeros(4, 1, dtype=torch.float64),
               lambda m, b: (m.weight - torch.randn(1, 1)).square()[0] + 0 * b[:, 0], n_beta=1.0, method="mala",
               **SETTINGS)  # fmt: skip


# ------------------------------------------------------------------------------------------------ models


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64])
def test_parameters_that_hold_no_step_are_refused(dtype):
    with pytest.raises(ValueError, match="float32 or float64"):
        sample(nn.Linear(4, 1, dtype=dtype), problem(), squared_error, **SETTINGS)


def test_models_that_differ_in_an_attribute_are_refused():
    models = [Network(scale=1.0), Network(scale=3.0)]
    with pytest.raises(ValueError, match=r"models\[1\] is of another architecture.*scale: 1.0 and 3.0"):
        sample_many(models, problem(), squared_error, **SETTINGS)
    deep = [nn.Sequential(nn.Linear(4, 1), nn.LeakyReLU(slope)) for slope in (0.1, 0.1, 0.3)]
    sample_many(deep[:2], problem(), squared_error, **SETTINGS)
    with pytest.raises(ValueError, match=r"models\[2\].*negative_slope"):
        sample_many(deep, problem(), squared_error, **SETTINGS)


class Alias(Network):
    """Uses its first weight under a second name, which no exchange of parameters reaches."""

    def __init__(self):
        super().__init__()
        self.weights = [self.first.weight]

    def forward(self, x):
        return self.last(torch.tanh(x @ self.weights[0].T))


def test_a_weight_under_a_second_name_is_refused():
    with pytest.raises(ValueError, match="does not follow its parameters"):
        sample(Alias(), problem(), squared_error, **SETTINGS)


def test_a_model_that_keeps_its_activations_is_copied():
    model = Network(keep=True)
    squared_error(model, problem()).mean().backward()
    draws = sample(model, problem(), squared_error, **SETTINGS)
    np.testing.assert_allclose(draws.loss_difference, sample(Network(), problem(), squared_error, **SETTINGS)
                               .loss_difference, rtol=1e-5, atol=1e-8)  # fmt: skip
    assert model.kept["activations"][0].requires_grad  # the caller's is as it was


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.last = kind(1, 3, batch_first=True), nn.Linear(3, 1)

    def forward(self, x):
        return self.last(self.cell(x[..., None])[0][:, -1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_what_cannot_be_vectorised_is_sampled_one_by_one(kind, recwarn):
    model = Recurrent(kind)
    draws = sample(model, problem(), squared_error, keep_parameters=True, **(SETTINGS | {"num_draws": 3}))
    assert sum("cannot be vectorised" in str(w.message) for w in recwarn) <= 1
    flat = torch.as_tensor(draws.parameters.values[2, 2])
    target = make_target(model, problem(), squared_error)
    evaluator = Evaluator(target.model, squared_error, trace=False)
    (losses,) = evaluator.alone(flat, problem())
    (before,) = evaluator.alone(target.centre, problem())
    assert float((losses - before).mean()) == pytest.approx(float(draws.loss_difference[2, 2]), abs=1e-6)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.project, self.last = nn.Linear(2, 12), nn.Linear(4, 1)

    def forward(self, x):
        q, k, v = self.project(x.view(-1, 2, 2)).view(len(x), 2, 3, 4).unbind(2)
        q, k, v = (t[:, None] for t in (q, k, v))
        return self.last(nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0, -1])


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_fused_attention_has_curvature_and_divergence_is_reported():
    model = Attention()
    target = make_target(model, problem(), squared_error)
    direction = torch.randn(target.centre.shape, generator=torch.Generator().manual_seed(0))
    exact = hessian_product(target, target.centre, direction)
    evaluator, h = Evaluator(target.model, squared_error, trace=False), 1e-3
    ahead, behind = (evaluator.alone(target.centre + s * h * direction, problem(), True)[1] for s in (1, -1))
    expected = target.n_beta * (ahead - behind) / (2 * h) + target.localization * direction
    torch.testing.assert_close(exact, expected, rtol=2e-2, atol=2e-2)
    assert calibrate(model, problem(), squared_error, num_steps=10).step_size > 0
    with pytest.raises(DivergenceError, match="try step_size <= "):
        sample(model, problem(), squared_error, **(SETTINGS | {"step_size": 1e8}))


@pytest.mark.parametrize("step_size", [3.0, 1e3])
def test_advice_is_a_smaller_step(step_size):
    """A quartic has no curvature at its minimum: one over it is far larger than the step that diverged."""
    point = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(point.weight)
    with pytest.raises(DivergenceError) as found:
        sample(point, torch.ones(5, 1), lambda m, b: m(b)[:, 0] ** 4, n_beta=100.0, localization=0.01,
               **(SETTINGS | {"step_size": step_size, "num_draws": 500}))  # fmt: skip
    assert float(str(found.value).split("<= ")[1].split(",")[0].split(" ")[0]) < step_size


# ------------------------------------------------------------------------------------------------ memory, records


@pytest.mark.parametrize("batch_size", [None, 48])
def test_pieces_of_the_samples_give_the_same_numbers(batch_size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 26 * 26, 3))
    images = torch.randn(60, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    data = (images, torch.arange(60) % 3)

    def loss(m, b):
        return nn.functional.cross_entropy(m(b[0]), b[1], reduction="none")

    settings = SETTINGS | {"step_size": 1e-6, "num_draws": 5, "batch_size": batch_size}
    from devinterp_core.sampler import run as sampler_run

    whole = sample(model, data, loss, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler_run, "LEAST_MEMORY", 2**20)
        pieces = sample(model, data, loss, memory_budget=3 * 2**20, **settings)
    np.testing.assert_allclose(pieces.loss_difference, whole.loss_difference, rtol=1e-3, atol=1e-6)


def test_observed_functions_and_moments():
    model, data = Network(), problem()
    observe = {
        "probe": data,
        "norm": lambda m, b: torch.stack([p.square().sum() for p in m.parameters()]),
        "outputs": Observable((data[0][:5], data[1][:5]), lambda m, b: m(b[0])[:, 0]),
        "moments": Observable(data, keep="moments"),
    }
    draws = sample(model, data, squared_error, observe=observe, keep_parameters=True, **SETTINGS)
    probe = draws.probe.values
    assert draws.probe.dims == ("chain", "draw", "probe_sample") and draws.norm.shape == (3, 20, 4)
    np.testing.assert_allclose(draws.norm.sum("norm_sample"), (draws.parameters.values**2).sum(-1), rtol=1e-5)
    losses = (draws.outputs.values - data[1][:5, 0].numpy()) ** 2
    np.testing.assert_allclose(losses, probe[..., :5], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(draws.moments_mean, probe.mean(1), rtol=1e-5)
    for chain in range(3):
        np.testing.assert_allclose(draws.moments_covariance[chain], np.cov(probe[chain].T), rtol=1e-4, atol=1e-9)
    assert "moments" not in draws


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        ({"o": (problem()[0][:, :2], problem()[1])}, "cannot be evaluated"),
        ({"o": problem()[0]}, "cannot be evaluated"),
        ({"o": lambda m, b: torch.full((2,), math.nan)}, "not a finite tensor"),
        ({"o": Observable(problem(), keep="moments")}, "more than memory_budget"),
        ({"dimension": problem()}, "may not use"),
    ],
)
def test_bad_observables_are_refused_at_once(observe, message):
    with pytest.raises(ValueError, match=message):
        sample(Network(), problem(), squared_error, observe=observe, memory_budget=50_000, **SETTINGS)


def test_integers_of_numpy_are_integers():
    """In a process of its own: here annotations are checked first, which a user does not do."""
    script = (
        "import numpy as np, torch; from devinterp_core.sampler import sample\n"
        "run = lambda t, i: sample(torch.nn.Linear(2, 1), torch.ones(4, 2), lambda m, b: m(b)[:, 0] ** 2, "
        "step_size=t(1e-4), num_draws=i(8), num_chains=i(2), seed=i(1), progress=False)\n"
        "torch.manual_seed(0); a = run(float, int); torch.manual_seed(0); b = run(np.float64, np.int32)\n"
        "assert a.identical(b), (a, b)\n"
        "try: sample(torch.nn.Linear(2, 1), torch.ones(4, 2), None, step_size=1, seed=None)\n"
        "except ValueError as error: assert 'seed must be an integer' in str(error)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
