"""The sampler against exact answers, its invariants, its errors, and kill-and-resume."""

import math
import multiprocessing
import os
import signal
import time

import jaxtyping
import numpy as np
import pytest
import torch
import xarray
from torch import nn

from devinterp_core.llc import local_learning_coefficient
from devinterp_core.sampler import DivergenceError, sample, sample_many
from devinterp_core.sampler.methods import METHODS

TYPE_ERRORS = (TypeError, ValueError, jaxtyping.TypeCheckError)  # in tests the annotations are checked first
CURVATURES = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)


class Point(nn.Module):
    """A bare parameter vector."""

    def __init__(self, start: torch.Tensor):
        super().__init__()
        self.w = nn.Parameter(start.clone())


def anisotropic(model, batch):
    return 0.5 * (CURVATURES * model.w**2).sum() + 0 * batch


def linear_problem(n=400, d=3, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=dtype)
    return nn.Linear(d, 1, bias=False, dtype=dtype), (x, x @ torch.ones(d, dtype=dtype))


def squared_error(model, batch):
    x, y = batch
    return (model(x)[:, 0] - y) ** 2


# ------------------------------------------------------------------------------------------------ the shared test


@pytest.mark.parametrize(
    ("method", "step_size"), [("sgld", 1.6e-2), ("rmsprop_sgld", 0.01), ("sgnht", 1.6e-2), ("mala", 1.5e-2)]
)
def test_every_method_has_the_variances_of_an_anisotropic_gaussian(method, step_size):
    """2000 chains: the standard error of each variance is 1.2 % or less, a quarter of the 5 % allowed. SGLD at a step
    of 1.6 / h_max is 1.67 times too wide in the stiff direction and must show exactly that factor."""
    draws = sample(
        Point(torch.zeros(3, dtype=torch.float64)), torch.zeros(1, dtype=torch.float64), anisotropic,
        step_size=step_size, n_beta=1.0, localization=0.0, num_chains=2000, num_draws=100, num_burnin=1500,
        num_steps_between_draws=10, method=method, seed=0, keep_parameters=True, progress=False,
    )  # fmt: skip
    variances = draws.parameters.values.reshape(-1, 3).var(axis=0)
    for variance, curvature in zip(variances, CURVATURES.tolist(), strict=True):
        # RMSprop-SGLD's step in each direction is at most step_size / curvature^(1/2): at 0.01 a factor below 1.03.
        factor = 1.0 if method == "rmsprop_sgld" else METHODS[method].variance_factor(step_size, curvature)
        assert variance * curvature == pytest.approx(factor, rel=0.05)
    if method == "mala":
        assert 0.5 < float(draws.acceptance.mean()) < 1
    if METHODS[method].variance_factor(step_size, 100.0) == 1.0:
        assert local_learning_coefficient(draws).virial_ratio == pytest.approx(1.0, abs=0.03)


def test_localization_adds_its_curvature():
    draws = sample(
        Point(torch.zeros(3, dtype=torch.float64)), torch.zeros(1, dtype=torch.float64), anisotropic,
        step_size=0.02, n_beta=0.5, localization=3.0, num_chains=400, num_draws=100, num_burnin=300,
        num_steps_between_draws=5, method="sgnht", keep_parameters=True, progress=False,
    )  # fmt: skip
    expected = 1 / (0.5 * CURVATURES + 3.0).numpy()
    np.testing.assert_allclose(draws.parameters.values.reshape(-1, 3).var(axis=0), expected, rtol=0.05)


def test_llc_of_a_regular_model_is_half_its_dimension():
    x = torch.randn(3000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    data = (x, model(x)[:, 0].detach())
    draws = sample(model, data, squared_error, step_size=2e-4, localization=0.0, num_chains=20, num_draws=600,
                   num_burnin=200, method="mala", progress=False)  # fmt: skip
    estimate = local_learning_coefficient(draws)
    assert estimate.standard_error < 0.05
    assert abs(estimate.mean - 2.0) < 3 * estimate.standard_error  # no finite-n bias: the loss is quadratic
    assert estimate.r_hat < 1.02 and estimate.num_diverged == 0


def test_standard_error_knows_the_autocorrelation():
    """The spread of independent estimates, of four chains each, agrees with the standard error that each reports."""
    model, data = linear_problem()
    with torch.no_grad():
        model.weight.fill_(1.0)
    draws = sample(model, data, squared_error, step_size=3e-4, num_chains=120, num_draws=300, num_burnin=100,
                   progress=False)  # fmt: skip
    estimates = [local_learning_coefficient(draws.isel(chain=slice(i, i + 4))) for i in range(0, 120, 4)]
    spread = np.std([e.mean for e in estimates], ddof=1)
    reported = np.sqrt(np.mean([e.standard_error**2 for e in estimates]))
    assert 0.65 < spread / reported < 1.5  # 30 estimates fix the spread to 13 %
    assert np.mean([e.ess for e in estimates]) < 0.5 * 4 * 300  # the draws are correlated


def test_minibatch_baseline_is_paired():
    """With the chain held at w* (tiny steps) paired differences vanish although minibatch losses differ widely."""
    model, (x, y) = linear_problem()
    noisy = y + 10 * torch.randn(len(y), generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    kwargs = dict(step_size=1e-18, num_draws=20, batch_size=8, progress=False)
    few = sample(
        model, (x, noisy), squared_error, num_chains=2, **kwargs
    )  # fewer samples visited than n: lazy baseline
    many = sample(model, (x, noisy), squared_error, num_chains=8, **kwargs)  # baseline of every sample, once
    for draws in (few, many):
        assert np.abs(draws.loss_difference.values).max() < 1e-5
        assert float(draws.loss_difference.std()) > 0


# ------------------------------------------------------------------------------------------------ invariants


def test_the_model_and_the_global_random_state_are_untouched():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1))
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    first = sample(model, x, lambda m, b: m(b)[:, 0] ** 2, step_size=1e-4, num_draws=5, progress=False)
    again = sample(model, x, lambda m, b: m(b)[:, 0] ** 2, step_size=1e-4, num_draws=5, progress=False)
    assert model.training and all(m.training for m in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert first.identical(again)  # eval mode: no dropout noise


def test_mask_freezes_coordinates_exactly():
    model = nn.Linear(3, 2)
    mask = {"weight": torch.tensor([[True, False, True], [False, False, False]])}
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    for method in METHODS:
        draws = sample(model, x, lambda m, b: m(b).square().sum(1), step_size=1e-3, num_draws=20, num_burnin=5,
                       mask=mask, method=method, keep_parameters=True, progress=False)  # fmt: skip
        moved = (draws.parameters.values != model.weight.detach().reshape(-1).numpy()).any(axis=(0, 1))
        assert moved.tolist() == [True, False, True, False, False, False]
        assert int(draws.dimension) == 2


def test_chains_in_groups_and_loop_fallback_sample_the_same_target():
    model, data = linear_problem()
    with torch.no_grad():
        model.weight.fill_(1.0)

    def branching(m, batch):  # data-dependent control flow: cannot be vectorised
        losses = squared_error(m, batch)
        return losses if losses.mean() > -1 else -losses

    kwargs = dict(step_size=1e-3, num_chains=6, num_draws=100, method="sgnht", progress=False)
    together = sample(model, data, squared_error, **kwargs)
    with pytest.warns(UserWarning, match="cannot be vectorised"):
        looped = sample(model, data, branching, **kwargs)
    np.testing.assert_allclose(looped.loss_difference, together.loss_difference, rtol=1e-6)
    grouped = sample(model, data, squared_error, memory_budget=2 * 3 * 3 * 8, **kwargs)
    assert grouped.attrs["group_size"] == 2 and grouped.sizes["chain"] == 6
    np.testing.assert_allclose(grouped.loss_difference[:2], sample(
        model, data, squared_error, **(kwargs | {"num_chains": 2})).loss_difference, rtol=1e-9)  # fmt: skip
    assert len(np.unique(grouped.loss_difference.values[:, 0])) == 6


def test_observed_losses_are_those_of_the_draws():
    model, (x, y) = linear_problem()
    other = (x[:7] * 2, y[:7])
    draws = sample(model, (x, y), squared_error, step_size=1e-3, num_draws=6, observe={"probe": other},
                   keep_parameters=True, progress=False)  # fmt: skip
    assert draws.probe.dims == ("chain", "draw", "probe_sample")
    w = torch.tensor(draws.parameters.values[1, 3])
    np.testing.assert_allclose(draws.probe.values[1, 3], (other[0] @ w - other[1]) ** 2, rtol=1e-9)


def test_traced_and_plain_evaluation_agree(monkeypatch):
    from devinterp_core.vectorized import evaluator as evaluate

    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    _, data = linear_problem()
    kwargs = dict(step_size=1e-3, num_draws=600, batch_size=16, progress=False)
    traced = sample(model, data, squared_error, **kwargs)
    monkeypatch.setattr(evaluate, "TRACE_LIMIT", 0)
    plain = sample(model, data, squared_error, **kwargs)
    np.testing.assert_allclose(traced.loss_difference[:, :50], plain.loss_difference[:, :50], rtol=1e-6, atol=1e-12)


# ------------------------------------------------------------------------------------------------ divergence and errors


def test_diverged_chains_are_excluded_and_reported():
    model, data = linear_problem()
    with torch.no_grad():
        model.weight.fill_(1.0)
    draws = sample(model, data, squared_error, step_size=1e-3, num_draws=50, progress=False)
    draws.loss_difference[1, 7:] = np.nan
    draws.diverged[1] = True
    estimate = local_learning_coefficient(draws)
    assert estimate.num_diverged == 1 and math.isnan(estimate.per_chain[1]) and math.isfinite(estimate.mean)
    draws.diverged[:] = True
    with pytest.raises(ValueError, match="all 4 chains diverged"):
        local_learning_coefficient(draws)


def test_all_chains_diverged_names_step_and_step_size():
    model, data = linear_problem()
    with pytest.raises(DivergenceError, match=r"at step \d+ of 500 with step_size 10; try step_size <= "):
        sample(model, data, squared_error, step_size=10.0, num_draws=500, progress=False)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": torch.tensor([[1.0, math.nan, 0]])}, ValueError, "NaN or infinite"),
        ({"data": torch.tensor([[1.0, math.inf, 0]] * 3)}, ValueError, "NaN or infinite"),
        ({"data": torch.ones(1, 3)}, ValueError, "n = 1"),
        ({"data": torch.ones(0, 3)}, ValueError, "empty"),
        ({"data": (torch.ones(3, 3), torch.ones(4))}, ValueError, "first dimension"),
        ({"data": [1, 2]}, TYPE_ERRORS, "data"),
        ({"loss": lambda m, b: m(b).mean()}, ValueError, "per-sample losses of shape"),
        ({"loss": lambda m, b: m(b)}, ValueError, "per-sample losses of shape"),
        ({"loss": lambda m, b: m(b)[:, 0] * math.nan}, ValueError, "NaN or infinite"),
        ({"mask": {}}, ValueError, "mask is empty"),
        ({"mask": {"weight": torch.zeros(1, 3, dtype=torch.bool)}}, ValueError, "mask is empty"),
        ({"mask": {"wieght": torch.ones(1, 3, dtype=torch.bool)}}, ValueError, "wieght"),
        ({"mask": {"weight": torch.ones(3, 1, dtype=torch.bool)}}, ValueError, "shape"),
        ({"mask": {"weight": torch.ones(1, 3)}}, TypeError, "boolean"),
        ({"method": "sgdl"}, ValueError, "unknown method"),
        ({"method": "rmsprop_sgld"}, ValueError, "num_burnin"),
        ({"method": "mala", "batch_size": 2}, ValueError, "batch_size=None"),
        ({"batch_size": 99}, ValueError, "exceeds"),
        ({"step_size": -1.0}, ValueError, "step_size"),
        ({"num_chains": 0}, ValueError, "num_chains"),
        ({"num_draws": 2.5}, TYPE_ERRORS, "num_draws"),
        ({"localization": -1.0}, ValueError, "localization"),
        ({"n_beta": 0.0}, ValueError, "n_beta"),
        ({"observe": {"distance": torch.ones(2, 3)}}, ValueError, "may not use"),
        ({"observe": {"o": torch.full((2, 3), math.nan)}}, ValueError, "observe"),
    ],
)
def test_bad_input_is_refused_at_once(change, error, message):
    arguments = {
        "model": nn.Linear(3, 1), "data": torch.ones(5, 3), "loss": lambda m, b: m(b)[:, 0] ** 2, "step_size": 1e-3,
        "progress": False,
    } | change  # fmt: skip
    started = time.perf_counter()
    with pytest.raises(error, match=message):
        sample(**arguments)
    assert time.perf_counter() - started < 5


# ------------------------------------------------------------------------------------------------ kill and resume


def run_to_file(method: str, folder: str, name: str) -> None:
    """One run with checkpoints, in a process of its own so that it can be killed."""
    torch.manual_seed(3)
    model, data = linear_problem()
    draws = sample(
        model, data, squared_error, step_size=1e-3, num_chains=5, num_draws=200, num_burnin=100,
        num_steps_between_draws=5, batch_size=None if method == "mala" else 16, method=method, memory_budget=400,
        checkpoint=f"{folder}/{name}.pt", checkpoint_every=50, progress=False,
    )  # fmt: skip
    draws.to_netcdf(f"{folder}/{name}.nc", engine="h5netcdf")


@pytest.mark.parametrize("method", METHODS)
def test_killed_and_resumed_is_bit_identical(method, tmp_path):
    """Killed three times, each time as soon as a new checkpoint appears (steps and groups later in turn)."""
    fork = multiprocessing.get_context("fork")

    def start(name):
        process = fork.Process(target=run_to_file, args=(method, str(tmp_path), name))
        process.start()
        return process

    whole = start("whole")
    whole.join(120)
    assert whole.exitcode == 0
    checkpoint, kills = tmp_path / "killed.pt", 0
    while not (tmp_path / "killed.nc").exists():
        seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = start("killed")
        while kills < 3 and process.is_alive():
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns != seen:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.join(120)
        assert process.exitcode in (0, -signal.SIGKILL)
    assert kills >= 1
    whole, killed = (xarray.load_dataset(tmp_path / f"{n}.nc", engine="h5netcdf") for n in ("whole", "killed"))
    assert whole.identical(killed)


def test_checkpoint_of_another_run_is_refused_and_kept(tmp_path):
    model, data = linear_problem()
    path = tmp_path / "run.pt"
    sample(model, data, squared_error, step_size=1e-3, num_draws=5, checkpoint=path, progress=False)
    content = path.read_bytes()
    with pytest.raises(ValueError, match="another model"):
        sample(model, data, squared_error, step_size=2e-3, num_draws=5, checkpoint=path, progress=False)
    assert path.read_bytes() == content
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="not a readable"):
        sample(model, data, squared_error, step_size=1e-3, num_draws=5, checkpoint=path, progress=False)


# ------------------------------------------------------------------------------------------------ several models


@pytest.mark.parametrize(("method", "step_size"), [("sgnht", 4e-3), ("rmsprop_sgld", 4e-3), ("mala", 1.2e-2)])
def test_chains_of_several_models_stay_at_their_own_centres(method, step_size):
    """Away from the minimum the localised posterior is still a Gaussian, of mean m and covariance S = 1 / (nb h + g):
    nb (E L - L(w*)) = nb / 2 (h S + h m^2 - h w*^2), another number for each centre."""
    starts = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.5, 0.1], [-2.0, 0.0, 0.3]], dtype=torch.float64)
    n_beta, gamma = 2.0, 5.0
    draws = sample_many(
        [Point(start) for start in starts], torch.zeros(1, dtype=torch.float64), anisotropic, step_size=step_size,
        n_beta=n_beta, localization=gamma, num_chains=300, num_draws=100, num_burnin=600, num_steps_between_draws=5,
        method=method, keep_parameters=True, progress=False,
    )  # fmt: skip
    precision = n_beta * CURVATURES + gamma
    mean = gamma * starts / precision
    spread = n_beta / 2 * (CURVATURES * (1 / precision + mean**2 - starts**2)).sum(1)
    assert dict(draws.sizes)["model"] == 3 and draws.loss_difference.dims == ("model", "chain", "draw")
    for index in range(3):
        own = draws.isel(model=index)
        np.testing.assert_allclose(own.parameters.values.reshape(-1, 3).mean(0), mean[index], atol=0.02)
        estimate = local_learning_coefficient(own)
        assert estimate.mean == pytest.approx(float(spread[index]), abs=0.03 * (1 + abs(float(spread[index]))))
        assert float(own.distance.isel(draw=0).min()) >= 0


@pytest.mark.parametrize("batch_size", [None, 100])
def test_each_model_may_have_its_own_data(batch_size):
    """At the minimum of each model's own quadratic, L = c |w - a|^2, the LLC is nb c / (2 nb c + g) a dimension; with
    the data of another model it would be far away."""
    truths = torch.tensor([[1.0, 1.0, 1.0], [-3.0, 2.0, 0.5]], dtype=torch.float64)
    scales = [1.0, 3.0]
    x = torch.eye(3, dtype=torch.float64).repeat(200, 1)
    models, data = [], []
    for truth, scale in zip(truths, scales, strict=True):
        model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
        model.weight.data.copy_(truth[None])
        models.append(model)
        data.append((scale * x, scale * x @ truth))
    n_beta, gamma = 30.0, 10.0
    draws = sample_many(
        models, data, squared_error, step_size=2e-3, n_beta=n_beta, localization=gamma, num_chains=300, num_draws=100,
        num_burnin=400, num_steps_between_draws=5, batch_size=batch_size, method="sgld", progress=False,
    )  # fmt: skip
    for index, scale in enumerate(scales):
        c = scale**2 / 3
        discretised = 1 / (1 - 2e-3 * (2 * n_beta * c + gamma) / 4)
        # minibatches of 100 see each direction 33 +- 5 times: noise of the gradient, proportional to (w - a)^2
        expected = 3 * n_beta * c / (2 * n_beta * c + gamma) * discretised
        estimate = local_learning_coefficient(draws.isel(model=index))
        assert estimate.mean == pytest.approx(expected, rel=0.02 if batch_size is None else 0.05)


def test_several_models_are_checked():
    x, y = linear_problem()[1]
    model, other = linear_problem()[0], nn.Linear(3, 1, bias=False, dtype=torch.float64)
    settings = {"step_size": 1e-4, "num_draws": 5, "progress": False}
    with pytest.raises(ValueError, match="no models"):
        sample_many([], (x, y), squared_error, **settings)
    with pytest.raises(ValueError, match="another architecture"):
        sample_many([model, nn.Linear(3, 1, dtype=torch.float64)], (x, y), squared_error, **settings)
    with pytest.raises(ValueError, match="data sets were given"):
        sample_many([model, other], [(x, y)], squared_error, **settings)
    with pytest.raises(ValueError, match="another shape"):
        sample_many([model, other], [(x, y), (x[:9], y[:9])], squared_error, **settings)
    two = [nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 1, bias=False)).double() for _ in range(2)]
    mask = {"0.weight": torch.ones(2, 3, dtype=torch.bool)}
    with pytest.raises(ValueError, match="which the mask freezes"):
        sample_many(two, (x, y), squared_error, mask=mask, **settings)


def test_many_models_of_one_are_that_one():
    model, data = linear_problem()
    settings = {"step_size": 1e-4, "num_draws": 20, "batch_size": 50, "progress": False, "seed": 3}
    one, many = sample(model, data, squared_error, **settings), sample_many([model], data, squared_error, **settings)
    xarray.testing.assert_identical(one, many.isel(model=0, drop=True))
