"""Learning coefficients and trainings whose right value is known, in situations where a wrong one looks as good.

Every case ends in the right number or in a clear refusal.
"""

import math
import re
import resource
from pathlib import Path

import numpy as np
import pytest
import reliability_problems as problems
import torch
from reliability_children import run_alone
from torch import nn
from torch.utils.checkpoint import checkpoint

pytestmark = pytest.mark.area("right numbers")
LLC = {"step_size": 2e-3, "num_chains": 4, "num_draws": 150, "num_burnin": 50, "seed": 0, "progress": False}


def estimate(draws) -> tuple[float, float]:
    from devinterp_core.llc import local_learning_coefficient

    found = local_learning_coefficient(draws)
    return found.mean, found.standard_error


# ------------------------------------------------------------------------------------------------ 1: gradients


class Recomputing(nn.Module):
    """Two layers, the first of which may be recomputed in the backward pass."""

    def __init__(self, how: str, nested: bool = False):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(3, 6), nn.Tanh()), nn.Linear(6, 1)
        self.how, self.nested = how, nested

    def forward(self, x):
        if self.how == "plain":
            return self.head(self.body(x))
        reentrant = self.how == "reentrant"
        if self.nested:
            return checkpoint(
                lambda y: self.head(checkpoint(self.body, y, use_reentrant=reentrant)), x, use_reentrant=reentrant
            )
        return self.head(checkpoint(self.body, x, use_reentrant=reentrant))


def recomputed(how: str, nested: bool, function: str, dtype) -> dict:
    model = problems.drawn(Recomputing(how, nested).to(dtype), 3)
    data = tuple(t.to(dtype) for t in problems.regression_data(200))
    settings = LLC | {"num_draws": 60, "num_burnin": 0}
    if function == "sample":
        return problems.plain(problems.sample(model, data, problems.squared_error, **settings))
    if function == "sample_many":
        return problems.plain(problems.sample_many([model], data, problems.squared_error, **settings))
    return problems.plain(
        problems.refined_llc(model, data, problems.squared_error, problems.component_masks(model), **settings)
    )


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("how", ["not reentrant", "reentrant"])
@pytest.mark.parametrize("function", ["sample", "sample_many", "refined_llc"])
def test_recomputed_activations_change_no_draw(function, how, nested, child):
    found = child.call(recomputed, how, nested, function, torch.float64)
    if found.refused and how == "reentrant":
        return  # that way has no gradient through torch.autograd.grad: to say so is enough
    assert not found.error, str(found)
    right = child.call(recomputed, "plain", nested, function, torch.float64).value
    np.testing.assert_allclose(found.value["loss_difference"], right["loss_difference"], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.value["virial"], right["virial"], rtol=1e-8, atol=1e-12)


def recomputed_training(how: str, folder: str) -> dict:
    models = [problems.drawn(Recomputing(how).double(), seed) for seed in (0, 1)]
    found = problems.train(
        models,
        problems.Waves(),
        problems.squared_error,
        problems.TrainingSettings(20, 0.05),
        checkpoint_steps=[20],
        folder=Path(folder) / how,
        progress=False,
    )
    return problems.plain({"losses": found.losses()})


def test_recomputed_activations_change_no_training(child, tmp_path):
    plain = child.call(recomputed_training, "plain", str(tmp_path)).value
    found = child.call(recomputed_training, "not reentrant", str(tmp_path))
    assert not found.error, str(found)
    np.testing.assert_allclose(found.value["losses"], plain["losses"], rtol=1e-8)


class Wrong(torch.autograd.Function):
    """A backward pass that is not the derivative of the forward pass."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x * 1.0

    @staticmethod
    def backward(ctx, upstream):
        return ctx.factor * upstream, None


def straight_through(x):
    return x + (x.round() - x).detach()


def detached_half(x):
    return 0.5 * x + (0.5 * x).detach()


FALSE_GRADIENTS = {
    "a factor": lambda x: Wrong.apply(x, 1.7),
    "a sign": lambda x: Wrong.apply(x, -1.0),
    "nothing": lambda x: Wrong.apply(x, 0.0),
    "a detached half": detached_half,
    "rounding, straight through": straight_through,
    "a detached head": lambda x: x.detach(),
}


class Falsified(nn.Module):
    def __init__(self, kind: str):
        super().__init__()
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 1)
        self.kind = kind

    def forward(self, x):
        return self.head(FALSE_GRADIENTS[self.kind](self.body(x)))


def falsified(kind: str) -> tuple:
    model = problems.drawn(Falsified(kind).double(), 2)
    return estimate(problems.sample(model, problems.regression_data(200), problems.squared_error, **LLC))


@pytest.mark.parametrize("kind", FALSE_GRADIENTS)
def test_a_gradient_that_is_not_one_is_refused(kind, child):
    found = child.call(falsified, kind)
    assert found.refused and "gradient" in found.message, str(found)


# ------------------------------------------------------------------------------------------------ 2: per sample


def contrastive(model, batch):
    x, _ = batch
    out = torch.nn.functional.normalize(model(x) + x, dim=1)
    return torch.nn.functional.cross_entropy(out @ out.T, torch.arange(len(x)), reduction="none")


def centred(model, batch):
    found = problems.squared_error(model, batch)
    return found - found.mean()


def ranked(model, batch):
    found = problems.squared_error(model, batch)
    return found * (1 + found.argsort().argsort())


def against_the_neighbour(model, batch):
    out = model(batch[0])[:, 0]
    return (out - out.roll(1)) ** 2


def first_of_the_batch(model, batch):
    found = problems.squared_error(model, batch)
    return found + found[0]


def normalised(model, batch):
    out = model(batch[0])[:, 0]
    return ((out - out.mean()) / (out.std() + 1e-3) - batch[1]) ** 2


def length_of_the_batch(model, batch):
    return problems.squared_error(model, batch) * len(batch[1])


BATCH_LOSSES = [
    contrastive,
    centred,
    ranked,
    against_the_neighbour,
    first_of_the_batch,
    normalised,
    length_of_the_batch,
]


def depending(number: int, function: str, batch_size: int | None) -> tuple:
    model = problems.network(3)
    loss = BATCH_LOSSES[number]
    settings = LLC | {"batch_size": batch_size, "step_size": 1e-5}
    if function == "sample":
        return estimate(problems.sample(model, problems.regression_data(64), loss, **settings))
    masks = problems.component_masks(model)
    return estimate(
        problems.refined_llc(model, problems.regression_data(64), loss, masks, **settings).isel(component=0)
    )


@pytest.mark.parametrize("function", ["sample", "refined_llc"])
@pytest.mark.parametrize("number", range(len(BATCH_LOSSES)), ids=lambda n: BATCH_LOSSES[n].__name__)
def test_a_loss_that_depends_on_its_batch_is_refused(number, function, child):
    found = child.call(depending, number, function, 16)
    assert found.refused and "batch" in found.message, str(found)


# ------------------------------------------------------------------------------------------------ 4: attributes, state


class Tempered(nn.Module):
    """What differs between two of them is no parameter."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.layer = nn.Linear(3, 1).double()
        self.scale = scale
        self.settings = {"scale": scale}
        self.function = torch.tanh
        self.register_buffer("shift", torch.zeros((), dtype=torch.float64), persistent=False)
        self.inner = nn.ModuleList([nn.Identity()])

    def forward(self, x):
        return self.scale * self.settings["scale"] * self.function(self.layer(x)) + self.shift


DIFFERENCES = {
    "attribute": lambda m: setattr(m, "scale", 3.0),
    "entry of a dict": lambda m: m.settings.update(scale=3.0),
    "function": lambda m: setattr(m, "function", torch.sin),
    "lambda": lambda m: setattr(m, "function", lambda x: 2 * x),
    "buffer that is not saved": lambda m: m.shift.fill_(2.0),
    "forward": lambda m: setattr(m, "forward", lambda x: 2 * m.layer(x)),
    "hook": lambda m: m.layer.register_forward_hook(lambda module, args, out: 2 * out),
}


def two_models(difference: str) -> list[nn.Module]:
    models = [problems.drawn(Tempered(), 0), problems.drawn(Tempered(), 1)]
    DIFFERENCES[difference](models[1])
    return models


def many_against_each(difference: str) -> float:
    """Largest error of the recorded losses of both models at their own draws."""
    data = problems.regression_data(50)
    many = problems.sample_many(
        two_models(difference),
        data,
        problems.squared_error,
        step_size=1e-3,
        num_chains=2,
        num_draws=5,
        keep_parameters=True,
        progress=False,
    )
    worst = 0.0
    for index, model in enumerate(two_models(difference)):
        own = many.isel(model=index)
        start = float(problems.squared_error(model, data).mean())
        for w, found in zip(own.parameters.values.reshape(10, -1), own.loss_difference.values.flatten(), strict=True):
            nn.utils.vector_to_parameters(torch.tensor(w), model.parameters())
            worst = max(worst, abs(float(problems.squared_error(model, data).mean()) - start - found))
    return worst


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_models_that_differ_in_what_is_no_parameter(difference, child):
    found = child.call(many_against_each, difference)
    assert found.refused or (not found.error and found.value < 1e-9), str(found)


def trained_differently(difference: str, folder: str) -> bool:
    found = problems.train(
        two_models(difference),
        problems.Waves(),
        problems.squared_error,
        problems.TrainingSettings(3, 0.05),
        checkpoint_steps=[3],
        folder=Path(folder),
        progress=False,
    )
    for index, model in enumerate(two_models(difference)):
        x, y = (t[index] for t in problems.Waves()(0))
        if not math.isclose(
            float(found.losses()[0, index]), float(problems.squared_error(model, (x, y)).mean()), rel_tol=1e-9
        ):
            return False
    return True


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_trainings_of_models_that_differ_in_what_is_no_parameter(difference, child, tmp_path):
    found = child.call(trained_differently, difference, str(tmp_path))
    assert found.refused or found.value is True, str(found)


def normalising(kind: str, folder: str) -> tuple:
    """Loss in training and at its checkpoint of a network whose state is neither parameter nor constant."""
    layer = {
        "batch": nn.BatchNorm1d(6),
        "instance": nn.InstanceNorm1d(6, track_running_stats=True),
        "spectral": nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)),
    }[kind]
    if kind == "instance":
        layer = nn.Sequential(
            nn.Unflatten(1, (6, 1)), nn.Upsample(scale_factor=2), layer, nn.Flatten(), nn.Linear(12, 6)
        )
    model = nn.Sequential(nn.Linear(3, 6), layer, nn.Tanh(), nn.Linear(6, 1)).double().train()
    model = problems.drawn(model, 1) if kind != "spectral" else model
    with torch.no_grad():
        model[0].bias.add_(5.0)  # far from the statistics of a fresh layer
    found = problems.train(
        [model],
        problems.Waves((0,)),
        problems.squared_error,
        problems.TrainingSettings(300, 0.02),
        checkpoint_steps=[300],
        folder=Path(folder),
        progress=False,
    )
    final = found.model(300).eval()
    with torch.no_grad():
        x, y = (
            torch.cat(parts)
            for parts in zip(*([t[0] for t in problems.Waves((0,))(s)] for s in range(290, 300)), strict=True)
        )
        return float(found.losses()[-30:].mean()), float(problems.squared_error(final, (x, y)).mean())


@pytest.mark.parametrize("kind", ["batch", "instance", "spectral"])
def test_the_state_of_norms_is_carried_or_refused(kind, child, tmp_path):
    found = child.call(normalising, kind, str(tmp_path))
    if found.refused:
        return
    assert not found.error, str(found)
    trained, kept = found.value
    assert kept < 3 * trained + 0.1, f"{trained} in training, {kept} at the checkpoint"


# ------------------------------------------------------------------------------------------------ 5: content


ELSEWHERE = problems.network(5)


def of_another_model(model, batch):
    return problems.squared_error(ELSEWHERE, batch)


def of_the_data(model, batch):
    return batch[1] ** 2


def without_gradient(model, batch):
    with torch.no_grad():
        return problems.squared_error(model, batch)


def through_numpy(model, batch):
    return torch.as_tensor(problems.squared_error(model, batch).detach().numpy())


def times_zero(model, batch):
    return 0.0 * problems.squared_error(model, batch) + batch[1] ** 2


IGNORING = [of_another_model, of_the_data, without_gradient, through_numpy, times_zero]


def ignoring(number: int, function: str, folder: str) -> object:
    model, data, loss = problems.network(), problems.regression_data(), IGNORING[number]
    settings = LLC | {"num_draws": 20, "num_burnin": 0}
    if function == "sample":
        return estimate(problems.sample(model, data, loss, **settings))
    if function == "sample_many":
        return estimate(problems.sample_many([model], data, loss, **settings).isel(model=0))
    if function == "refined_llc":
        draws = problems.refined_llc(model, data, loss, problems.component_masks(model), **settings)
        return estimate(draws.isel(component=0))
    if function == "calibrate":
        from devinterp_core.calibration import calibrate

        return calibrate(model, data, loss)
    settings = problems.TrainingSettings(3, 0.1)
    problems.train(
        [model], problems.Waves((0,)), loss, settings, checkpoint_steps=[3], folder=Path(folder), progress=False
    )
    return "trained"


@pytest.mark.parametrize("function", ["sample", "sample_many", "refined_llc", "calibrate", "train"])
@pytest.mark.parametrize("number", range(len(IGNORING)), ids=lambda n: IGNORING[n].__name__)
def test_a_loss_that_ignores_the_model_is_refused(number, function, child, tmp_path):
    found = child.call(ignoring, number, function, str(tmp_path))
    if IGNORING[number] is times_zero:  # a gradient that is zero may be right, as at a critical point
        assert found.refused or function in ("calibrate", "train") or found.value == (0.0, math.inf), str(found)
    else:
        assert found.refused, str(found)


def constant_draws() -> tuple:
    draws = problems.draws_of_sample()
    draws["loss_difference"] = draws.loss_difference * 0 + 0.25
    from devinterp_core.llc import local_learning_coefficient

    return local_learning_coefficient(draws).ess


def test_constant_draws_are_not_effective_draws(child):
    found = child.call(constant_draws)
    assert found.refused or found.value <= 4 or math.isnan(found.value), str(found)


# ------------------------------------------------------------------------------------------------ 7, 8: whole models


class Keeping(nn.Module):
    """It keeps activations: what hangs on a graph cannot be copied."""

    def __init__(self, where: str):
        super().__init__()
        self.layer, self.head, self.where = nn.Linear(3, 4), nn.Linear(4, 1), where
        self.kept = {} if where == "dict" else [] if where == "list" else None

    def forward(self, x):
        hidden = self.layer(x).tanh()
        if self.where == "dict":
            self.kept["hidden"] = hidden
        elif self.where == "list":
            self.kept[:] = [hidden]
        elif self.where == "parameter's attribute":
            self.layer.weight.seen = hidden
        else:
            self.kept = hidden
        return self.head(hidden)


def keeping(where: str, function: str, folder: str) -> bool:
    model = problems.drawn(Keeping(where).double(), 1)
    data = problems.regression_data()
    right = problems.drawn(Keeping("nowhere").double(), 1)
    settings = LLC | {"num_draws": 20, "num_burnin": 0}
    calls = {
        "sample": lambda m: problems.plain(problems.sample(m, data, problems.squared_error, **settings)),
        "refined_llc": lambda m: problems.plain(
            problems.refined_llc(m, data, problems.squared_error, problems.component_masks(m), **settings)
        ),
        "train": lambda m: {
            "losses": problems.train(
                [m],
                problems.Waves((0,)),
                problems.squared_error,
                problems.TrainingSettings(5, 0.1),
                checkpoint_steps=[5],
                folder=Path(folder) / str(m is right),
                progress=False,
            )
            .losses()
            .numpy()
        },
        "calibrate": lambda m: {"h": calibration(m, data)},
    }
    expected = calls[function](right)
    model(data[0])  # with a graph
    return problems.same(calls[function](model), expected)


def calibration(model: nn.Module, data) -> float:
    from devinterp_core.calibration import calibrate

    return calibrate(model, data, problems.squared_error, num_steps=5).largest_curvature


@pytest.mark.parametrize("function", ["sample", "refined_llc", "train", "calibrate"])
@pytest.mark.parametrize("where", ["attribute", "list", "dict", "parameter's attribute"])
def test_a_model_that_keeps_its_activations(where, function, child, tmp_path):
    found = child.call(keeping, where, function, str(tmp_path))
    assert found.value is True, str(found)


def calibrated_hugging_face(name: str) -> float:
    import reliability_modules as modules

    from devinterp_core.calibration import calibrate

    model, batch, loss = modules.hugging_face_case(name)
    return calibrate(model, batch, loss, num_steps=5, num_chains=2).step_size


@pytest.mark.parametrize("name", ["GPT-2", "Llama", "Mistral", "GPT-NeoX", "BERT"])
def test_second_derivatives_through_attention(name, child):
    found = child.call(calibrated_hugging_face, name)
    assert not found.error and 0 < found.value < math.inf, str(found)


def diverging_hugging_face(name: str) -> None:
    import reliability_modules as modules

    model, batch, loss = modules.hugging_face_case(name)
    problems.sample(model, batch, loss, step_size=1e12, num_draws=60, progress=False)


@pytest.mark.parametrize("name", ["GPT-2", "Llama"])
def test_the_report_of_a_divergence_does_not_fail_itself(name, child):
    found = child.call(diverging_hugging_face, name)
    assert found.error == "DivergenceError", str(found)


# ------------------------------------------------------------------------------------------------ 9: memory


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 4, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * 20 * 20, 10),
        )

    def forward(self, x):
        return self.layers(x)


def classification(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")


def full_batch_of_images(budget: int) -> tuple:
    model = problems.drawn(Convolutional(), 0, 0.1)
    generator = torch.Generator().manual_seed(0)
    data = torch.rand(1000, 1, 20, 20, generator=generator), torch.randint(10, (1000,), generator=generator)
    few = tuple(t[:8] for t in data)  # what a first call costs whatever its size
    problems.sample(model, few, classification, step_size=1e-8, num_chains=2, num_draws=2, progress=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    draws = problems.sample(
        model, data, classification, step_size=1e-8, num_chains=2, num_draws=2, memory_budget=budget, progress=False
    )
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    return used, draws.loss_difference.values


def test_a_full_batch_of_images_stays_in_the_budget():
    budget = 100 * 2**20
    within, without = (run_alone(full_batch_of_images, size, timeout=240) for size in (budget, 4 * 2**30))
    assert not within.error and not without.error, f"{within} {without}"
    assert within.value[0] < 1.5 * budget, f"{within.value[0] / 2**20:.0f} MiB at a budget of {budget / 2**20:.0f}"
    np.testing.assert_allclose(within.value[1], without.value[1], rtol=1e-4, atol=1e-7)


# ------------------------------------------------------------------------------------------------ 10: bad samples


def with_bad_sample(index: int, kind: str, function: str, batch_size: int | None) -> None:
    x, y = problems.regression_data(60)
    labels = (y > 0).long()
    if kind == "no label":
        labels[index] = -100
    elif kind == "log of zero":
        y = y.abs() + 0.1
        y[index] = 0.0
    else:
        x[index] = 1e200
    model = problems.drawn(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double())

    def loss(model, batch):
        x, y, labels = batch
        out = model(x)
        if kind == "log of zero":
            return out.square().sum(1) - y.log()
        if kind == "no label":
            chosen = nn.functional.cross_entropy(out, labels, reduction="none")
            return chosen / (labels >= 0).double()
        return out.square().sum(1) ** 2

    arguments = {"step_size": 1e-4, "num_draws": 20, "batch_size": batch_size, "progress": False}
    if function == "refined_llc":
        problems.refined_llc(model, (x, y, labels), loss, problems.component_masks(model), **arguments)
    else:
        problems.sample(model, (x, y, labels), loss, **arguments)


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("index", [17, 37, 59])
@pytest.mark.parametrize("kind", ["no label", "log of zero", "too large"])
@pytest.mark.parametrize("function", ["sample", "refined_llc"])
def test_bad_samples_are_named(function, kind, index, batch_size, child):
    found = child.call(with_bad_sample, index, kind, function, batch_size)
    assert found.error == "ValueError" and found.clear and re.search(rf"\b{index}\b", found.message), str(found)


def divergence_advice(step_size: float) -> None:
    x, y = problems.regression_data(60)
    loss = lambda model, batch: problems.squared_error(model, batch).exp().exp()
    problems.sample(problems.network(), (x, y), loss, step_size=step_size, num_draws=50, progress=False)


@pytest.mark.parametrize("step_size", [1e-3, 1e-2, 1.0, 1e2])
def test_advice_never_proposes_a_larger_step(step_size, child):
    found = child.call(divergence_advice, step_size)
    if not found.error:
        return
    assert found.error in ("DivergenceError", "ValueError"), str(found)
    proposed = re.findall(r"step_size <=? ([-+.e0-9]*[0-9])", found.message)
    assert all(float(value) < step_size for value in proposed), found.message


# ------------------------------------------------------------------------------------------------ 12: stochastic losses


class Dropping(nn.Module):
    """The loss does not depend on where the dropout is; the right coefficient of a chain that stands still is 0."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.first, self.layer, self.second = nn.Linear(3, 8), layer, nn.Linear(8, 1)

    def forward(self, x):
        return self.second(self.layer(self.first(x)))


def dropping(kind: str, function: str, batch_size: int | None) -> tuple:
    layer = {
        "Dropout": nn.Dropout(0.5),
        "AlphaDropout": nn.AlphaDropout(0.3),
        "RReLU": nn.RReLU(0.1, 0.9),
        "Dropout1d": nn.Dropout1d(0.5),
    }[kind]
    model = problems.drawn(Dropping(layer).double(), 0).train()
    data = problems.regression_data(64)
    settings = {
        "step_size": 1e-16,
        "num_chains": 4,
        "num_draws": 50,
        "batch_size": batch_size,
        "train_mode": True,
        "progress": False,
    }
    if function == "sample":
        return estimate(problems.sample(model, data, problems.squared_error, **settings))
    return estimate(problems.sample_many([model], data, problems.squared_error, **settings).isel(model=0))


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("function", ["sample", "sample_many"])
@pytest.mark.parametrize("kind", ["Dropout", "AlphaDropout", "RReLU", "Dropout1d"])
def test_dropout_meets_both_sides_of_a_pair(kind, function, batch_size, child):
    """A chain held at w* differs from w* by nothing, whatever the mask."""
    found = child.call(dropping, kind, function, batch_size)
    assert found.refused or (not found.error and abs(found.value[0]) < 1e-3), str(found)


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2000, dtype=torch.float64))


def increments(how: str) -> np.ndarray:
    """Steps of a chain on a loss a w . noise, in units of the sampler's own noise: a is such that both are as large."""
    step_size = 1e-2

    def loss(model, batch):
        w = model.w
        noise = {
            "randn": lambda: torch.randn(w.shape, dtype=w.dtype),
            "randn_like": lambda: torch.randn_like(w),
            "normal_": lambda: torch.empty_like(w).normal_(),
        }[how]()
        return 2 / step_size**0.5 * (w * noise).sum() + 0 * batch

    draws = problems.sample(
        Line(),
        torch.zeros(3, dtype=torch.float64),
        loss,
        step_size=step_size,
        n_beta=1.0,
        localization=0.0,
        num_chains=1,
        num_draws=6,
        keep_parameters=True,
        progress=False,
    )
    return np.diff(draws.parameters.values[0], axis=0, prepend=0.0) / step_size**0.5


@pytest.mark.parametrize("how", ["randn", "randn_like", "normal_"])
def test_the_noise_of_a_loss_is_not_that_of_the_sampler(how, child):
    """Independent: variance 1 + 1 of every step (standard error .063), no correlation of two steps (.022). The same
    numbers: 0 or 4, or a correlation of a half with the next step."""
    found = child.call(increments, how)
    if found.refused:
        return
    assert not found.error, str(found)
    np.testing.assert_allclose(found.value.var(axis=1), 2.0, atol=0.3)
    correlation = np.corrcoef(found.value)
    assert np.abs(correlation - np.eye(6)).max() < 0.12


# ------------------------------------------------------------------------------------------------ 13: training


def frozen_training(folder: str) -> bool:
    model = problems.network(0)
    model[0].requires_grad_(False)
    before = model[0].weight.detach().clone()
    found = problems.train(
        [model],
        problems.Waves((0,)),
        problems.squared_error,
        problems.TrainingSettings(5, 0.1, weight_decay=0.1),
        checkpoint_steps=[5],
        folder=Path(folder),
        progress=False,
    )
    return torch.equal(found.load(5)["0.weight"][0], before)


def test_frozen_layers_stay(child, tmp_path):
    found = child.call(frozen_training, str(tmp_path))
    assert found.refused or found.value is True, str(found)


def dropout_training(folder: str) -> tuple:
    results, states = [], []
    for number in range(2):
        torch.manual_seed(number)
        model = problems.drawn(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)).double()).train()
        before = torch.get_rng_state()
        found = problems.train(
            [model],
            problems.Waves((0,)),
            problems.squared_error,
            problems.TrainingSettings(20, 0.1),
            checkpoint_steps=[20],
            folder=Path(folder) / str(number),
            progress=False,
        )
        results.append(found.losses())
        states.append(torch.equal(before, torch.get_rng_state()))
    return torch.equal(*results), all(states)


def test_dropout_in_training_is_one_result_and_nobody_elses_state(child, tmp_path):
    found = child.call(dropout_training, str(tmp_path))
    assert found.refused or found.value == (True, True), str(found)


# ------------------------------------------------------------------------------------------------ 15: arithmetic


def quadratic(dtype: torch.dtype, method: str) -> tuple:
    """A regular problem of 3 dimensions: its coefficient is 3/2 without localisation."""
    model = nn.Linear(3, 1, bias=False).double()
    nn.init.ones_(model.weight)
    x, _ = problems.regression_data(500)
    y = model(x)[:, 0].detach()
    model = model.to(dtype)
    return estimate(
        problems.sample(
            model,
            (x.to(dtype), y.to(dtype)),
            problems.squared_error,
            step_size=5e-4,
            localization=0.0,
            num_chains=8,
            num_draws=800,
            num_burnin=300,
            method=method,
            progress=False,
        )
    )


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex128], ids=str
)
def test_precision_is_right_or_refused(dtype, child):
    found = child.call(quadratic, dtype, "sgnht")
    if found.refused:
        assert dtype not in (torch.float32, torch.float64) and len(found.message) > 40, str(found)
        return
    assert not found.error, str(found)
    mean, standard_error = found.value
    assert standard_error < 0.1 and abs(mean - 1.5) < 0.2, str(found)


def padded(batch_size: int | None) -> tuple:
    """Ten dimensions, or eight where the padding's row is held: its gradient is zero by fiat, not that of the loss."""
    model = nn.Embedding(5, 2, padding_idx=0).double()
    nn.init.zeros_(model.weight)
    words = torch.arange(60).remainder(5)
    loss = lambda m, b: m(b).square().sum(1)
    return estimate(
        problems.sample(
            model,
            words,
            loss,
            step_size=5e-3,
            localization=0.0,
            num_chains=4,
            num_draws=500,
            num_burnin=200,
            batch_size=batch_size,
            progress=False,
        )
    )


@pytest.mark.parametrize("batch_size", [None, 30])
def test_the_row_of_the_padding(batch_size, child):
    found = child.call(padded, batch_size)
    assert found.refused or (not found.error and min(abs(found.value[0] - 5), abs(found.value[0] - 4)) < 0.4), str(
        found
    )


def masked_padding() -> object:
    """Where no sample reads the padding's row there is nothing wrong."""
    model = problems.drawn(nn.Embedding(5, 2, padding_idx=0).double(), 0)
    words = 1 + torch.arange(60).remainder(4)
    loss = lambda m, b: m(b).square().sum(1)
    return estimate(problems.sample(model, words, loss, step_size=1e-4, num_draws=20, progress=False))


def test_padding_that_is_not_read_is_sampled(child):
    found = child.call(masked_padding)
    assert not found.error, str(found)


def with_temperatures() -> object:
    from devinterp_core.smc import assimilate

    generator = torch.Generator().manual_seed(0)
    return assimilate(
        lambda w: -0.5 * w.square().sum(-1),
        [lambda w: -w.square().sum(-1)] * 2,
        torch.randn(200, 1, generator=generator, dtype=torch.float64),
        generator=generator,
        temperatures=[0.5, 1.0],
    )


def test_temperatures_of_assimilation(child):
    found = child.call(with_temperatures)
    assert found.refused or (found.value is not None and "temperature" in found.value.dims), str(found)


def test_numbers_that_are_taken(child):
    """NumPy's integers are integers."""
    for value in (np.int64(4), np.int32(4), np.uint8(4)):
        found = child.call(with_draws, value)
        assert not found.error and found.value == 4, str(found)


def with_draws(value) -> int:
    return problems.sample(
        problems.network(),
        problems.regression_data(),
        problems.squared_error,
        step_size=1e-4,
        num_draws=value,
        progress=False,
    ).sizes["draw"]
