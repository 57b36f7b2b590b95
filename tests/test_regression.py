"""In-context linear regression: draws against their distributions, predictors against closed forms and brute force."""

import dataclasses
import inspect
import json
import math

import numpy as np
import pytest
import torch

from devinterp_core.regression import (
    NUM_STORED_TASKS,
    RegressionTasks,
    Sequences,
    dmmse_prediction,
    draw_stacked,
    least_squares_prediction,
    nearest_weakened_dmmse,
    per_token_loss,
    predictors,
    read_predictions,
    ridge_prediction,
    to_tokens,
    zero_prediction,
)

NOISE = 0.125  # sigma^2 of both papers
SMALL = RegressionTasks(4, 8, NOISE)  # Hoogland et al. (2024)
LARGE = RegressionTasks(8, 16, NOISE)  # Carroll et al. (2025)


def finite(num_tasks, world=SMALL, **changes):
    return dataclasses.replace(world, num_tasks=num_tasks, **changes)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def estimate(values):
    """Mean over the first dimension and its Monte Carlo standard error."""
    values = values.double()
    return values.mean(0), values.std(0) / len(values) ** 0.5


def as_a_user(function):
    """Without the type checker of the tests, which would refuse some of these shapes first."""
    return inspect.unwrap(function)


def recovered_task(sequences):
    """The hidden task of each noiseless sequence."""
    return torch.linalg.lstsq(sequences.inputs.double(), sequences.targets.double().unsqueeze(-1)).solution.squeeze(-1)


def recovered_index(sequences, tasks):
    """The row of `tasks` that each noiseless sequence comes from; every hidden task has to be one of them."""
    distance, index = torch.cdist(
        recovered_task(sequences), tasks.double().expand(*sequences.targets.shape[:-2], -1, -1)
    ).min(-1)
    assert distance.max() < 1e-3
    return index


# --- tasks ---


def test_task_sets_are_nested_and_belong_to_their_seed():
    whole = finite(NUM_STORED_TASKS).task_set()
    assert whole.shape == (2**15, 4)
    for num_tasks in (1, 2, 182, 2**14):
        assert torch.equal(finite(num_tasks).task_set(), whole[:num_tasks])
    assert torch.equal(SMALL.root_task, whole[0]) and torch.equal(finite(7).root_task, whole[0])
    assert len(torch.unique(whole, dim=0)) == 2**15
    assert not torch.isclose(finite(9, task_seed=1).task_set(), whole[:9]).any()
    finite(3).task_set().zero_()  # a copy
    assert torch.equal(finite(3).task_set(), whole[:3])


def test_tasks_are_standard_normal():
    tasks = finite(NUM_STORED_TASKS, LARGE).task_set()
    assert (tasks.mean(0).abs() < 4 / 2**7.5).all()
    covariance = tasks.T @ tasks / 2**15
    assert ((covariance - torch.eye(8)).abs() < 4 * math.sqrt(2) / 2**7.5).all()
    assert abs(tasks.pow(4).mean() - 3) < 4 * math.sqrt(96 / tasks.numel())


def test_a_seed_used_twice_does_not_correlate_tasks_with_data():
    for seed in (0, 1):
        tasks = finite(1000, task_seed=seed).task_set().flatten()
        numbers = torch.cat([part.flatten() for part in SMALL.draw(1000, seed=seed)])
        assert torch.isin(tasks, numbers).float().mean() < 0.05  # float32 numbers coincide by chance


def test_settings_are_a_plain_cache_key():
    world = finite(8, noise_variance=0)
    assert json.loads(json.dumps(dataclasses.asdict(world))) == {
        "dim": 4,
        "num_examples": 8,
        "noise_variance": 0.0,
        "num_tasks": 8,
        "task_seed": 0,
    }
    assert RegressionTasks(**json.loads(json.dumps(dataclasses.asdict(world)))) == world
    assert json.dumps(dataclasses.asdict(world)) == json.dumps(dataclasses.asdict(finite(8, noise_variance=0.0)))
    assert len({world, finite(8, noise_variance=0.0), finite(9, noise_variance=0.0), SMALL}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 0}, "dim"),
        ({"num_examples": 0}, "num_examples"),
        ({"noise_variance": -0.1}, "noise_variance"),
        ({"noise_variance": math.nan}, "noise_variance"),
        ({"noise_variance": math.inf}, "noise_variance"),
        ({"num_tasks": 0}, "num_tasks.*None for the Gaussian"),
        ({"num_tasks": NUM_STORED_TASKS + 1}, "num_tasks.*32768"),
        ({"task_seed": -1}, "task_seed"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_counts_must_be_integers():
    settings = dataclasses.asdict(finite(3))
    for name in ("dim", "num_examples", "num_tasks", "task_seed"):
        with pytest.raises(TypeError, match=f"{name} must be an integer, got 2.5"):
            as_a_user(RegressionTasks.__init__)(object.__new__(RegressionTasks), **settings | {name: 2.5})


# --- draws ---


@pytest.mark.parametrize(("input_scale", "task_scale"), [(1.0, 1.0), (3.0, 1.0), (1.0, 5.0)])
def test_moments_of_a_draw(input_scale, task_scale):
    inputs, targets = SMALL.draw(20_000, seed=1, input_scale=input_scale, task_scale=task_scale)
    assert inputs.shape == (20_000, 8, 4) and targets.shape == (20_000, 8) and inputs.dtype == torch.float32
    for value, expected in (
        (inputs, 0),
        (targets, 0),
        (inputs.square(), input_scale**2),
        (targets.square(), 4 * (input_scale * task_scale) ** 2 + NOISE),
        (targets[:, 0] * targets[:, 1], 0),  # given x, E y_1 y_2 = x_1 . x_2, whose mean is 0
        ((targets[:, 0] * targets[:, 1]) * (inputs[:, 0] * inputs[:, 1]).sum(-1), 4 * input_scale**4 * task_scale**2),
    ):
        mean, error = estimate(value)
        assert ((mean - expected).abs() < 4.5 * error).all()  # up to 32 comparisons at once


def test_a_given_task_leaves_only_the_noise():
    task = SMALL.root_task
    inputs, targets = SMALL.draw(10_000, seed=2, task=task)
    noise = targets - inputs @ task
    assert abs(noise.mean()) < 4 * (NOISE / noise.numel()) ** 0.5
    assert abs(noise.var() - NOISE) < 4 * NOISE * (2 / noise.numel()) ** 0.5
    exact = finite(1, noise_variance=0).draw(100, seed=2, input_scale=3.0)
    torch.testing.assert_close(exact.targets, exact.inputs @ task)
    # q_1 is the draw of the set of one task, and other tasks meet the same inputs and noise
    for part, alone in zip((inputs, targets), finite(1).draw(10_000, seed=2)):
        assert torch.equal(part, alone)
    other = finite(64).draw(10_000, seed=2)
    assert torch.equal(other.inputs, inputs)
    assert not torch.equal(other.targets, targets)


def test_finite_priors_are_uniform_over_their_own_set():
    for num_tasks in (2, 5, 8):
        world = finite(num_tasks, noise_variance=0)
        counts = recovered_index(world.draw(8000, seed=3), world.task_set()).bincount(minlength=num_tasks)
        mean = 8000 / num_tasks
        assert ((counts - mean).abs() < 4 * (mean * (1 - 1 / num_tasks)) ** 0.5).all()
    last = finite(NUM_STORED_TASKS, noise_variance=0)
    index = recovered_index(last.draw(200, seed=3), last.task_set())
    assert abs(index.double().mean() / 2**15 - 0.5) < 4 / (12 * 200) ** 0.5
    # the Gaussian prior makes its own tasks
    task = recovered_task(finite(None, noise_variance=0).draw(20_000, seed=3))
    assert ((task.T @ task / 20_000 - torch.eye(4)).abs() < 4 * (2 / 20_000) ** 0.5).all()
    assert torch.cdist(task[:500], last.task_set().double()).min() > 1e-6


def test_seeds_and_generators_are_the_only_source_of_randomness():
    state = torch.random.get_rng_state()
    first, again = SMALL.draw(50, seed=7), SMALL.draw(50, seed=generator(7))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    advancing = generator(7)
    batches = [SMALL.draw(50, seed=advancing) for _ in range(2)]
    assert torch.equal(batches[0].inputs, first.inputs) and not torch.isclose(batches[1].inputs, first.inputs).any()
    assert not torch.isclose(SMALL.draw(50, seed=8).inputs, first.inputs).any()
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_shared_stack_gives_each_model_what_it_would_draw_alone():
    worlds = [finite(1), finite(6), SMALL, finite(2**15), finite(6, task_seed=4)]
    stack = draw_stacked(worlds, 64, generator(5), shared=True)
    assert stack.inputs.shape == (5, 64, 8, 4) and stack.targets.shape == (5, 64, 8)
    for index, world in enumerate(worlds):
        alone = world.draw(64, seed=5)
        assert torch.equal(stack.inputs[index], alone.inputs) and torch.equal(stack.targets[index], alone.targets)
    assert not torch.equal(stack.targets[1], stack.targets[4])
    gaussian = draw_stacked([SMALL, SMALL], 64, generator(5), shared=True)
    assert torch.equal(gaussian.targets[0], gaussian.targets[1])


def test_shared_tasks_come_from_one_uniform_number():
    worlds = [finite(num_tasks, noise_variance=0) for num_tasks in (4, 8, 64)]
    stack = draw_stacked(worlds, 300, generator(), shared=True)
    few, twice, many = (
        recovered_index(Sequences(*(part[model] for part in stack)), world.task_set())
        for model, world in enumerate(worlds)
    )
    assert torch.equal(few, twice // 2) and torch.equal(few, many // 16)
    assert few.unique().tolist() == [0, 1, 2, 3]


def test_an_independent_stack_has_the_statistics_of_single_draws():
    worlds = [finite(3), finite(64), SMALL, finite(3, task_seed=1), SMALL]
    stack = draw_stacked(worlds, 10_000, generator(6), shared=False)
    for index, world in enumerate(worlds):
        mean, error = estimate(stack.targets[index].square())
        expected = NOISE + (4 if world.num_tasks is None else float(world.task_set().square().sum(1).mean()))
        assert ((mean - expected).abs() < 4 * error).all()
    flat = torch.cat([stack.inputs.flatten(2), stack.targets], -1).double()  # [model, sequence, number]
    for a in range(5):
        for b in range(a):
            mean, error = estimate(flat[a] * flat[b])
            assert ((mean / error).abs() < 5).all()  # 400 comparisons: 1 in 4000 that one passes 5
    noiseless = [dataclasses.replace(world, noise_variance=0) for world in worlds]
    stack = draw_stacked(noiseless, 500, generator(6), shared=False)
    for index in (0, 1, 3):
        sequences = Sequences(stack.inputs[index], stack.targets[index])
        assert len(recovered_index(sequences, worlds[index].task_set()).unique()) == worlds[index].num_tasks


def test_draws_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="num_sequences"):
        SMALL.draw(0, seed=0)
    with pytest.raises(ValueError, match="num_sequences"):
        draw_stacked([SMALL], 0, generator(), shared=True)
    with pytest.raises(ValueError, match=r"shape \(4,\), got \(3,\)"):
        SMALL.draw(5, seed=0, task=torch.zeros(3))
    with pytest.raises(ValueError, match="no finite task set"):
        SMALL.task_set()
    for others in ([], [SMALL, LARGE], [SMALL, finite(3, num_examples=9)], [SMALL, finite(3, noise_variance=0.25)]):
        with pytest.raises(ValueError, match="at least one entry of tasks, all alike"):
            draw_stacked(others, 5, generator(), shared=False)


# --- predictors ---


def ridge_by_hand(inputs, targets, noise_variance):
    """The formula as written, one sequence and one prefix at a time."""
    predictions = torch.zeros_like(targets)
    for x, y, row in zip(inputs, targets, predictions):
        for k in range(1, len(y)):
            matrix = x[:k].T @ x[:k] + noise_variance * torch.eye(x.shape[1], dtype=x.dtype)
            row[k] = torch.linalg.solve(matrix, x[:k].T @ y[:k]) @ x[k]
    return predictions


def dmmse_by_hand(inputs, targets, noise_variance, tasks):
    """Bayes' rule with likelihoods multiplied one by one, one sequence at a time."""
    predictions = torch.zeros_like(targets)
    for x, y, row in zip(inputs, targets, predictions):
        posterior = torch.ones(len(tasks), dtype=x.dtype) / len(tasks)
        for k in range(len(y)):
            row[k] = sum(weight * (task @ x[k]) for weight, task in zip(posterior, tasks))
            likelihood = torch.stack([torch.exp(-((y[k] - task @ x[k]) ** 2) / (2 * noise_variance)) for task in tasks])
            posterior = posterior * likelihood / (posterior * likelihood).sum()
    return predictions


def double(sequences):
    return Sequences(*(part.double() for part in sequences))


@pytest.mark.parametrize(
    ("world", "scale"), [(SMALL, 1.0), (LARGE, 1.0), (LARGE, 10.0), (RegressionTasks(5, 3, 2.0), 1.0)]
)
def test_ridge_equals_its_formula(world, scale):
    sequences = double(world.draw(20, seed=0, input_scale=scale))
    predictions = ridge_prediction(*sequences, world.noise_variance)
    torch.testing.assert_close(predictions, ridge_by_hand(*sequences, world.noise_variance), rtol=1e-9, atol=1e-9)
    assert (predictions[:, 0] == 0).all()


def test_dmmse_equals_bayes_rule(monkeypatch):
    world = finite(7)
    sequences, tasks = double(world.draw(12, seed=0)), world.task_set().double()
    expected = dmmse_by_hand(*sequences, NOISE, tasks)
    torch.testing.assert_close(dmmse_prediction(*sequences, NOISE, tasks), expected, rtol=1e-10, atol=1e-10)
    for at_once in (1, 40):  # groups of 1, and of 5, 5 and 2
        monkeypatch.setattr(predictors, "WEIGHTS_AT_ONCE", at_once)
        torch.testing.assert_close(dmmse_prediction(*sequences, NOISE, tasks), expected, rtol=1e-10, atol=1e-10)


def test_dmmse_of_one_task_is_that_task():
    inputs, targets = double(LARGE.draw(50, seed=0))
    task = LARGE.root_task.double()
    predictions = dmmse_prediction(inputs, targets, NOISE, task.unsqueeze(0))
    torch.testing.assert_close(predictions, inputs @ task, rtol=1e-12, atol=1e-12)


def test_dmmse_survives_likelihoods_that_underflow():
    world = finite(3)
    inputs, targets = double(world.draw(20, seed=0, input_scale=100.0, task_scale=100.0))
    tasks = world.task_set().double()
    predictions = dmmse_prediction(inputs, targets, 1e-3, tasks)
    # errors of order 1e4 against a noise of 0.03: all weight is on the task nearest in likelihood
    errors = (targets.unsqueeze(-1) - inputs @ tasks.T).square().cumsum(1)  # [sequence, example, task]
    best = tasks[errors[:, :-1].argmin(-1)]
    torch.testing.assert_close(predictions[:, 1:], (inputs[:, 1:] * best).sum(-1), rtol=1e-9, atol=1e-9)


def test_least_squares_is_exact_after_as_many_noiseless_examples_as_dimensions():
    inputs, targets = double(finite(None, LARGE, noise_variance=0).draw(50, seed=0))
    targets = (inputs * recovered_task(Sequences(inputs, targets)).unsqueeze(1)).sum(-1)  # in double precision
    predictions = least_squares_prediction(inputs, targets)
    torch.testing.assert_close(predictions[:, 8:], targets[:, 8:], rtol=1e-6, atol=1e-6)
    assert (per_token_loss(predictions, targets)[:, 7].mean() > 0.1) and (predictions[:, 0] == 0).all()


def test_least_squares_has_the_smallest_norm_and_is_the_limit_of_ridge():
    sequences = double(SMALL.draw(30, seed=1))
    predictions = least_squares_prediction(*sequences)
    for (x, y), row in zip(zip(*sequences), predictions):
        for k in range(1, 8):
            fit = torch.linalg.lstsq(x[:k], y[:k, None], driver="gelsd").solution.squeeze(-1)  # of smallest norm
            torch.testing.assert_close(row[k], fit @ x[k], rtol=1e-8, atol=1e-8)
    gaps = [(ridge_prediction(*sequences, noise) - predictions)[:, 1:].abs() for noise in (1e-5, 1e-6)]
    assert 9.9 < (gaps[0] / gaps[1]).median() < 10.1  # of first order in sigma^2
    assert gaps[1].median() < 1e-5 and gaps[1].max() < 0.02  # the largest where x_1..x_k are almost dependent
    # an example shown twice: the fit goes through the mean of its two targets
    x = torch.tensor([[3.0, 4.0], [3.0, 4.0], [1.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 1.0, 1.5 * 3 / 25], dtype=torch.float64)
    torch.testing.assert_close(least_squares_prediction(x, y), expected)


def all_predictions(inputs, targets):
    return {
        "zero": zero_prediction(targets),
        "ridge": ridge_prediction(inputs, targets, NOISE),
        "dmmse": dmmse_prediction(inputs, targets, NOISE, finite(16).task_set()),
        "least squares": least_squares_prediction(inputs, targets),
    }


def test_a_prediction_does_not_see_its_own_target_or_later_examples():
    inputs, targets = SMALL.draw(40, seed=0)
    other_inputs, other_targets = SMALL.draw(40, seed=1)
    before = all_predictions(inputs, targets)
    for k in range(8):
        changed_inputs = torch.cat([inputs[:, : k + 1], other_inputs[:, k + 1 :]], 1)
        changed_targets = torch.cat([targets[:, :k], other_targets[:, k:]], 1)
        for name, predictions in all_predictions(changed_inputs, changed_targets).items():
            torch.testing.assert_close(predictions[:, : k + 1], before[name][:, : k + 1], msg=name)
            if name != "zero" and k < 7:
                assert not torch.isclose(predictions[:, k + 1], before[name][:, k + 1]).all(), name


def test_leading_dimensions_and_precision_pass_through():
    inputs, targets = draw_stacked([SMALL, finite(3)], 5, generator(), shared=False)
    stacked = all_predictions(inputs, targets)
    for model in range(2):
        for name, predictions in all_predictions(inputs[model], targets[model]).items():
            torch.testing.assert_close(stacked[name][model], predictions)
            assert predictions.dtype == torch.float32
    one = all_predictions(inputs[1, 2].double(), targets[1, 2].double())
    for name, predictions in one.items():
        torch.testing.assert_close(stacked[name][1, 2].double(), predictions, rtol=1e-4, atol=1e-4)
        assert predictions.dtype == torch.float64 and predictions.shape == (8,)


# --- losses ---


def test_zero_predictor_loses_dimension_plus_noise():
    for world, expected in ((SMALL, 4.125), (LARGE, 8.125)):
        targets = world.draw(20_000, seed=0).targets
        mean, error = estimate(per_token_loss(zero_prediction(targets), targets).mean(1))
        assert error < 0.01 * expected and abs(mean - expected) < 4 * error


@pytest.mark.parametrize(("world", "value"), [(SMALL, 1.660), (LARGE, 2.695)])
def test_ridge_loss_is_noise_plus_posterior_variance(world, value):
    r"""Squared errors against $\sigma^2 (1 + E\,\mathrm{tr}(X^\top X + \sigma^2 I)^{-1})$ on other inputs."""
    inputs, targets = world.draw(20_000, seed=0)
    loss = per_token_loss(ridge_prediction(inputs, targets, NOISE), targets)
    x = world.draw(4000, seed=1).inputs.double()
    matrices = torch.einsum("nki,nkj->nkij", x, x).cumsum(1)[:, :-1] + NOISE * torch.eye(world.dim)
    spread = NOISE * torch.linalg.inv(matrices).diagonal(dim1=-2, dim2=-1).sum(-1)
    exact = NOISE + torch.cat([torch.full((4000, 1), world.dim), spread], 1)
    # before the first two examples in closed form; E 1 / (sigma^2 + chi^2_D) by quadrature
    u = torch.linspace(0, 60, 60_001, dtype=torch.float64)
    density = torch.exp((world.dim / 2 - 1) * torch.log(u / 2) - u / 2) / (2 * math.gamma(world.dim / 2))
    second = world.dim - 1 + NOISE + NOISE * torch.trapezoid(density / (u + NOISE), u)
    mean, error = estimate(exact)
    assert mean[0] == world.dim + NOISE and abs(mean[1] - second) < 4 * error[1]
    for sampled, expected in ((loss, exact), (loss.mean(1), exact.mean(1))):
        (mean, error), (truth, truth_error) = estimate(sampled), estimate(expected)
        assert ((mean - truth).abs() < 4 * (error**2 + truth_error**2).sqrt()).all()
    assert truth_error < 0.003 and abs(truth - value) < 4 * truth_error + 0.001  # value of 20,000 sequences, +- 0.001


def test_ridge_loss_per_token_of_the_reference_table():
    inputs, targets = SMALL.draw(40_000, seed=0)
    mean, error = estimate(per_token_loss(ridge_prediction(inputs, targets, NOISE), targets))
    table = torch.tensor([4.06, 3.21, 2.33, 1.50, 0.88, 0.57, 0.41, 0.32], dtype=torch.float64)
    # the table is of 40,000 other sequences, rounded to 0.01
    assert ((mean - table).abs() < 4 * math.sqrt(2) * error + 0.005).all()
    assert (error < 0.013 * mean).all()


def dmmse_losses(world, num_sequences, seed):
    """Mean dMMSE loss for one list of tasks, in distribution and on Gaussian tasks."""
    losses = []
    for source in (world, dataclasses.replace(world, num_tasks=None)):
        inputs, targets = source.draw(num_sequences, seed=seed)
        losses.append(per_token_loss(dmmse_prediction(inputs, targets, NOISE, world.task_set()), targets).mean())
    return torch.stack(losses)


# M: in-distribution and out-of-distribution loss, in the reference from a few lists of tasks each
TABLE_SMALL = {
    2: (0.37, 5.5), 4: (0.72, 4.8), 8: (0.86, 4.3), 16: (0.94, 3.5), 32: (1.10, 3.1), 64: (1.25, 2.6), 128: (1.34, 2.3),
    256: (1.43, 2.1), 512: (1.50, 1.9), 1024: (1.56, 1.8),
}  # fmt: skip
TABLE_LARGE = {
    2: (0.40, 12.7), 4: (0.62, 11.2), 8: (0.82, 10.2), 16: (0.93, 9.2), 32: (1.03, 8.0), 64: (1.21, 7.3),
    128: (1.37, 6.8), 256: (1.49, 6.1), 512: (1.61, 5.6), 1024: (1.74, 5.2), 4096: (1.92, 4.4),
}  # fmt: skip


@pytest.mark.parametrize(("world", "table"), [(SMALL, TABLE_SMALL), (LARGE, TABLE_LARGE)], ids=["small", "large"])
def test_dmmse_losses_of_the_reference_table(world, table):
    losses = {num_tasks: [] for num_tasks in table}
    for seed in range(100):
        for num_tasks in table:
            num_lists, num_sequences = (100, 50) if num_tasks <= 16 else (16, 100) if num_tasks <= 1024 else (8, 50)
            if seed < num_lists:
                losses[num_tasks].append(dmmse_losses(finite(num_tasks, world, task_seed=seed), num_sequences, seed))
    for num_tasks, row in table.items():
        mean, error = estimate(torch.stack(losses[num_tasks]))
        reference = torch.tensor(row, dtype=torch.float64)
        # the reference took few lists of tasks, which differ the more the fewer tasks they have
        width = 0.2 if num_tasks <= 16 else 0.1 if num_tasks <= 128 else 0.05
        assert ((mean - reference).abs() < 4 * error + width * reference).all(), (num_tasks, mean, error)
        assert (error < 0.05 * mean).all(), (num_tasks, mean, error)


@pytest.mark.parametrize("num_tasks", [1, 2, 16])
def test_dmmse_losses_that_have_a_closed_form(num_tasks):
    """Before any example the estimate is the mean of the set; with one task it stays there."""
    world = finite(num_tasks, task_seed=3)
    tasks = world.task_set().double()
    centre = float(tasks.mean(0).square().sum())
    spread = float(tasks.square().sum(1).mean()) - centre
    for source, expected in ((world, spread + NOISE), (SMALL, 4 + centre + NOISE)):
        inputs, targets = source.draw(20_000, seed=0)
        loss = per_token_loss(dmmse_prediction(inputs, targets, NOISE, world.task_set()), targets)
        mean, error = estimate(loss if num_tasks == 1 else loss[:, :1])
        assert ((mean - expected).abs() < 4 * error).all() and (error < 0.02 * mean).all()


def test_dmmse_tends_to_ridge_as_the_set_grows():
    inputs, targets = SMALL.draw(150, seed=0)
    ridge = ridge_prediction(inputs, targets, NOISE)
    distances = [
        float(per_token_loss(dmmse_prediction(inputs, targets, NOISE, finite(2**power).task_set()), ridge).mean())
        for power in (5, 10, 15)
    ]
    assert distances[0] > 4 * distances[1] > 16 * distances[2]
    assert distances[2] < 0.02


# --- tokens ---


def test_tokens_alternate_inputs_and_targets():
    sequences = Sequences(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([5.0, 6.0]))
    expected = [[0, 1, 2], [5, 0, 0], [0, 3, 4], [6, 0, 0]]
    assert to_tokens(sequences).tolist() == expected
    stack = draw_stacked([LARGE, finite(3, LARGE)], 5, generator(), shared=True)
    tokens = to_tokens(stack)
    assert tokens.shape == (2, 5, 32, 9)
    assert torch.equal(tokens[1, 4], to_tokens(Sequences(stack.inputs[1, 4], stack.targets[1, 4])))
    assert torch.equal(tokens[..., 0::2, 1:], stack.inputs) and (tokens[..., 0::2, 0] == 0).all()
    assert torch.equal(tokens[..., 1::2, 0], stack.targets) and (tokens[..., 1::2, 1:] == 0).all()


def test_predictions_are_read_where_the_target_is_not_yet_known():
    stack = draw_stacked([SMALL, finite(3)], 5, generator(), shared=False)
    assert (read_predictions(to_tokens(stack)) == 0).all()
    running = to_tokens(stack).cumsum(-2)  # a causal model that adds up what it has seen
    expected = stack.targets.cumsum(-1) - stack.targets
    torch.testing.assert_close(read_predictions(running), expected)
    assert read_predictions(running).shape == (2, 5, 8)


def test_later_examples_leave_earlier_tokens_alone():
    inputs, targets = SMALL.draw(5, seed=0)
    before = to_tokens(Sequences(inputs, targets))
    for k in range(8):
        changed = Sequences(inputs.clone(), targets.clone())
        changed.targets[:, k:] += 1
        changed.inputs[:, k + 1 :] += 1
        after = to_tokens(changed)
        assert torch.equal(after[:, : 2 * k + 1], before[:, : 2 * k + 1])
        assert not torch.isclose(after[:, 2 * k + 1 :], before[:, 2 * k + 1 :]).all(-1).any()


def test_loss_is_the_squared_error_of_each_prediction():
    targets = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    assert per_token_loss(torch.zeros(2, 2), targets).tolist() == [[1, 4], [0, 1]]
    assert per_token_loss(torch.ones(3, 2, 2), targets)[2].tolist() == [[0, 1], [1, 4]]


# --- bad input ---


SHAPES = [
    ((5, 8, 4), (5, 7)),
    ((5, 8, 4), (8,)),
    ((5, 8, 4), (5, 8, 4)),
    ((4,), ()),
    ((5, 0, 4), (5, 0)),
    ((5, 8, 0), (5, 8)),
]


@pytest.mark.parametrize(("inputs", "targets"), SHAPES)
def test_shapes_that_do_not_match_are_refused(inputs, targets):
    inputs, targets = torch.zeros(inputs), torch.zeros(targets)
    with pytest.raises(ValueError, match=r"\[\.\.\., example, dim\]"):
        as_a_user(ridge_prediction)(inputs, targets, NOISE)
    with pytest.raises(ValueError, match=r"\[\.\.\., example, dim\]"):
        as_a_user(least_squares_prediction)(inputs, targets)
    with pytest.raises(ValueError, match=r"\[\.\.\., example, dim\]"):
        as_a_user(dmmse_prediction)(inputs, targets, NOISE, torch.zeros(3, 4))
    if 0 not in inputs.shape:
        with pytest.raises(ValueError, match=r"\[\.\.\., example, dim\]"):
            as_a_user(to_tokens)(Sequences(inputs, targets))


def test_numbers_that_no_predictor_can_use_are_refused():
    inputs, targets = SMALL.draw(5, seed=0)
    tasks = finite(3).task_set()
    for noise in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="noise_variance must be positive.*least_squares"):
            ridge_prediction(inputs, targets, noise)
        with pytest.raises(ValueError, match="noise_variance must be positive"):
            dmmse_prediction(inputs, targets, noise, tasks)
    for noise, scale in ((1e-10, 1.0), (NOISE, 1e5)):
        with pytest.raises(ValueError, match="too small for inputs"):
            ridge_prediction(inputs * scale, targets, noise)
    for broken in (math.nan, math.inf):
        for part in range(2):
            parts = [inputs.clone(), targets.clone()]
            parts[part][2, 3] = broken
            with pytest.raises(ValueError, match="finite"):
                ridge_prediction(*parts, NOISE)
            with pytest.raises(ValueError, match="finite"):
                least_squares_prediction(*parts)
            with pytest.raises(ValueError, match="finite"):
                dmmse_prediction(*parts, NOISE, tasks)
        with pytest.raises(ValueError, match="tasks must be finite"):
            dmmse_prediction(inputs, targets, NOISE, tasks * broken)
    for wrong in (torch.zeros(3, 5), torch.zeros(0, 4), torch.zeros(4)):
        with pytest.raises(ValueError, match=r"tasks must have shape \[tasks, 4\]"):
            as_a_user(dmmse_prediction)(inputs, targets, NOISE, wrong)


def test_outputs_and_losses_of_the_wrong_shape_are_refused():
    for shape in ((5, 15, 5), (16,), (5, 16, 0)):
        with pytest.raises(ValueError, match="two positions an example"):
            as_a_user(read_predictions)(torch.zeros(shape))
    for predictions, targets in (
        ((5, 7), (5, 8)),
        ((4, 8), (5, 8)),
        ((8,), (5, 8)),
        ((5, 1), (5, 8)),
        ((5, 8), (5, 1)),
    ):
        with pytest.raises(ValueError, match="must end with the shape"):
            as_a_user(per_token_loss)(torch.zeros(predictions), torch.zeros(targets))


def test_the_nearest_weakened_dmmse_is_the_best_of_a_grid():
    generator = torch.Generator().manual_seed(3)
    tasks = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    inputs = torch.randn(400, 4, 2, generator=generator, dtype=torch.float64)
    targets = (inputs * torch.randn(400, 1, 2, generator=generator, dtype=torch.float64)).sum(-1)
    ridge = ridge_prediction(inputs, targets, 0.25)
    best = math.inf
    for temperature in (1, 4):
        values = dmmse_prediction(inputs, targets, temperature * 0.25, tasks)
        each = [
            min(float((s * values[:, k] - ridge[:, k]).square().mean()) for s in np.linspace(-1, 2, 3001))
            for k in range(4)
        ]
        best = min(best, sum(each) / 4)
    found = nearest_weakened_dmmse(inputs, targets, 0.25, tasks, temperatures=(1, 4))
    assert found == pytest.approx(best, rel=1e-5)
    assert found < float((dmmse_prediction(inputs, targets, 0.25, tasks) - ridge).square().mean())
    with pytest.raises(ValueError, match="temperatures"):
        nearest_weakened_dmmse(inputs, targets, 0.25, tasks, temperatures=())
