"""The toy model of superposition against exact integration, tables of the paper, autograd and scipy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from devinterp_core import tms

FLOATS = st.floats(-2.0, 2.0, allow_nan=False, width=64)


def exact_loss(W: np.ndarray, b: np.ndarray) -> float:
    """Integrate the piecewise quadratic squared error exactly: Gauss-Legendre with two nodes on each linear piece."""
    c = len(b)
    nodes, weights = np.polynomial.legendre.leggauss(2)
    total = 0.0
    for i in range(c):  # input
        for j in range(c):  # output
            slope, intercept, target = float(W[:, i] @ W[:, j]), float(b[j]), float(i == j)
            cuts = [0.0, 1.0]
            if slope != 0 and 0 < -intercept / slope < 1:
                cuts.insert(1, -intercept / slope)
            for low, high in zip(cuts[:-1], cuts[1:], strict=True):
                mu = low + (high - low) * (nodes + 1) / 2
                # the sign is constant on a piece: decide it at the middle, where rounding cannot flip it
                on = slope * (low + high) / 2 + intercept > 0
                value = slope * mu + intercept if on else 0.0
                total += (high - low) / 2 * float(weights @ (value - target * mu) ** 2)
    return total / c


@pytest.mark.parametrize("num_features", [1, 2, 4, 6, 8])
def test_population_loss_is_exact_integration(num_features):
    generator = torch.Generator().manual_seed(num_features)
    W = torch.randn(100, 2, num_features, generator=generator, dtype=torch.float64)
    b = 0.7 * torch.randn(100, num_features, generator=generator, dtype=torch.float64)
    closed = tms.population_loss(W, b).numpy()
    exact = np.array([exact_loss(w, v) for w, v in zip(W.numpy(), b.numpy(), strict=True)])
    np.testing.assert_allclose(closed, exact, rtol=1e-12, atol=0)


@settings(max_examples=200, deadline=None)
@given(st.lists(FLOATS, min_size=8, max_size=8), st.lists(FLOATS, min_size=4, max_size=4))
def test_population_loss_at_any_point(weights, biases):
    W, b = np.array(weights).reshape(2, 4), np.array(biases)
    closed = tms.population_loss(torch.tensor(W), torch.tensor(b)).item()
    assert closed == pytest.approx(exact_loss(W, b), rel=1e-12, abs=1e-13)


def test_population_loss_is_the_mean_of_sample_losses():
    W, b = tms.noisy_kgons(1, 6, noise=0.3, bias_scale=0.5, seed=3, dtype=torch.float64)
    losses = tms.sample_loss(tms.ToyModel(W[0], b[0]), tms.one_hot_data(400_000, 6, dtype=torch.float64))
    error = losses.std() / math.sqrt(len(losses))
    assert abs(losses.mean() - tms.population_loss(W, b)[0]) < 4 * error


def test_gradient_of_the_population_loss():
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(5, 2, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    b = torch.randn(5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tms.population_loss, (W, b))
    zero = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    tms.population_loss(zero, torch.zeros(6, dtype=torch.float64)).backward()
    assert torch.isfinite(zero.grad).all()


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 2 * math.pi), st.permutations(range(6)), st.integers(0, 10_000))
def test_population_loss_is_invariant_under_rotation_and_relabelling(angle, order, seed):
    W, b = tms.noisy_kgons(1, 6, noise=0.5, bias_scale=0.5, seed=seed, dtype=torch.float64)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    same = tms.population_loss(turn @ W[..., order], b[..., order])
    torch.testing.assert_close(same, tms.population_loss(W, b), rtol=1e-9, atol=1e-12)


# Chen et al. (2023), appendix A: length, bias, h_k.
KGONS = {
    4: (1.0, 0.0, 0.0),
    5: (1.1704596, -0.2822973, 0.2373844),
    6: (1.3205263, -0.6181351, 0.8674628),
    7: (1.4483938, -0.9669063, 1.7486951),
    8: (1.5504497, -1.2911926, 2.7731024),
}


@pytest.mark.parametrize("k", KGONS)
def test_kgon_table(k):
    length, bias, potential = KGONS[k]
    assert tms.kgon_length_and_bias(k) == pytest.approx((length, bias), abs=1e-5)
    assert 3 * k * tms.population_loss(*tms.kgon(k, k)).item() == pytest.approx(potential, abs=1e-5)


def test_twelve_gon_and_the_missing_kgons():
    assert tms.kgon_length_and_bias(12) == pytest.approx((1.03322, -0.46654), abs=1e-5)
    for k in (1, 9, 10, 11, 13):
        with pytest.raises(ValueError, match="k"):
            tms.kgon_length_and_bias(k)


@pytest.mark.parametrize("num_features", [4, 5, 6, 7, 8, 12])
def test_every_level_is_critical_with_the_loss_of_the_formula(num_features):
    for row in tms.critical_levels(num_features).itertuples():
        W, b = tms.kgon(row.k, num_features, row.num_positive, row.num_negative)
        W.requires_grad_(), b.requires_grad_()
        loss = tms.population_loss(W, b)
        loss.backward()
        assert torch.cat((W.grad.flatten(), b.grad)).norm() < 1e-10
        h = 3 * row.k * tms.population_loss(*tms.kgon(row.k, row.k)).item()
        sigma = row.num_positive
        formula = (h + num_features - row.k + row.num_negative - 3 * sigma / (4 * num_features)) / (3 * num_features)
        assert row.loss == pytest.approx(formula, abs=1e-12) == loss.item()
        assert tuple(int(n) for n in tms.classify(W.detach(), b.detach())) == (row.k, sigma, row.num_negative)


def test_levels_of_the_paper():
    levels = tms.critical_levels(6).set_index(["k", "num_positive", "num_negative"])
    # Chen et al. (2023), figures 1 and 3 and table A: losses and half squared norms at c = 6.
    for point, loss, norm in [
        ((4, 0, 3), 0.277778, 0.5),
        ((4, 2, 1), 0.152778, 1.507),
        ((4, 0, 0), 0.111111, 2.0),
        ((4, 1, 0), 0.104167, 2.00347),
        ((5, 0, 0), 0.06874, 3.62417),
        ((5, 1, 0), 0.06180, 3.62764),
        ((6, 0, 0), 0.04819, 6.37764),
    ]:
        assert levels.loc[point, "loss"] == pytest.approx(loss, abs=1e-5)
        assert levels.loc[point, "half_squared_norm"] == pytest.approx(norm, abs=1e-3)
    assert levels.loss.is_monotonic_decreasing


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 100_000), st.integers(3, 9))
def test_hull_is_scipys(seed, num_features):
    W = torch.randn(2, num_features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    vertices = tms.hull_vertices(W).nonzero().flatten().tolist()
    assert vertices == sorted(ConvexHull(W.T.numpy()).vertices.tolist())


def test_hull_of_degenerate_points():
    square = torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.0, 1.0, 1.0, 0.5, 0.0, 1.0]])
    assert tms.hull_vertices(square).tolist() == [True] * 4 + [False] * 3  # interior, on an edge, repeated
    assert tms.hull_vertices(torch.zeros(3, 2, 6)).sum() == 0
    with pytest.raises(ValueError, match="2 rows"):
        tms.hull_vertices(torch.zeros(3, 6))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_canonical_form_keeps_the_loss(seed):
    W, b = tms.noisy_kgons(1, 6, noise=0.3, bias_scale=0.5, seed=seed, dtype=torch.float64)
    turned, bias = tms.canonical(W[0], b[0])
    assert turned[1, 0].abs() < 1e-12
    assert turned[0, 0] > 0
    torch.testing.assert_close(tms.population_loss(turned, bias), tms.population_loss(W[0], b[0]))


def test_nearest_level():
    index, distance = tms.nearest_level(np.array([[0.09, 0.31]]), np.array([0.3, 0.1]))
    assert index.tolist() == [[1, 0]]
    np.testing.assert_allclose(distance, [[0.01, 0.01]])


def test_rests_of_a_run():
    level = np.array([2, 2, 2, 1, 2, 2, 0, 0, 0, 0])[:, None]
    on = np.array([1, 1, 1, 1, 1, 1, 0, 1, 1, 1], dtype=bool)[:, None]
    rests = tms.find_rests(level, on, shortest=2)
    assert rests.to_dict("records") == [
        {"run": 0, "level": 2, "first": 0, "last": 5, "middle": 2},
        {"run": 0, "level": 0, "first": 7, "last": 9, "middle": 8},
    ]
    assert tms.find_rests(level, ~on, shortest=2).empty
    with pytest.raises(ValueError, match="checkpoint, run"):
        tms.find_rests(level, on[:-1])


def test_hand_written_gradient_is_autograd():
    data = tms.one_hot_data(20, 6, num_sets=7, seed=1, dtype=torch.float64)
    W, b = tms.noisy_kgons(7, 6, noise=0.5, bias_scale=0.5, dtype=torch.float64)
    hand = tms.loss_gradient(W, b, data)
    W.requires_grad_(), b.requires_grad_()
    output = torch.relu(data @ W.mT @ W + b.unsqueeze(1))
    (data - output).square().sum(-1).mean(1).sum().backward()
    torch.testing.assert_close(hand, (W.grad, b.grad), rtol=1e-12, atol=1e-14)


def test_training_is_plain_sgd_and_padding_is_inert():
    data = tms.one_hot_data(40, 5, num_sets=3, seed=1, dtype=torch.float64)
    W, b = tms.noisy_kgons(3, 5, bias_scale=0.3, dtype=torch.float64)
    settings = {"batch_size": 8, "learning_rate": 0.01, "checkpoint_steps": [0, 3, 12], "seed": 4, "progress": False}
    run = tms.train(W, b, data, num_steps=12, **settings)
    assert run.steps.tolist() == [0, 3, 12]
    assert run.W.shape == (3, 3, 2, 5)
    torch.testing.assert_close(run.W[0], W)
    generator, w, v = torch.Generator().manual_seed(4), W.clone(), b.clone()
    for step in range(12):
        if step % 5 == 0:
            shuffled = data[:, torch.randperm(40, generator=generator)]
        grads = tms.loss_gradient(w, v, shuffled[:, step % 5 * 8 : step % 5 * 8 + 8])
        w, v = w - 0.01 * grads[0], v - 0.01 * grads[1]
    torch.testing.assert_close(run.W[-1], w)
    torch.testing.assert_close(run.b[-1], v)
    padded = tms.train(*tms.pad_features(W, b, data, 7), num_steps=12, **settings)
    torch.testing.assert_close(padded.W[-1][..., :5], w)
    assert (padded.W[-1][..., 5:] == 0).all()
    assert (padded.b[-1][:, 5:] == -1).all()


def test_bad_arguments_are_refused():
    W, b = tms.noisy_kgons(2, 6)
    data = tms.one_hot_data(5, 6, num_sets=2)
    with pytest.raises((ValueError, TypeError)):  # TypeError where annotations are checked, as in these tests
        tms.population_loss(W, b[:, :5])
    with pytest.raises(ValueError, match="num_positive"):
        tms.kgon(5, 6, 2)
    with pytest.raises(ValueError, match="num_negative"):
        tms.kgon(5, 6, 0, 1)
    with pytest.raises(ValueError, match="vestigial_bias"):
        tms.kgon(5, 6, vestigial_bias=0.1)
    with pytest.raises(ValueError, match="batch_size"):
        tms.train(W, b, data, num_steps=1, batch_size=6, learning_rate=0.1, checkpoint_steps=[0])
    with pytest.raises(ValueError, match="diverged"):
        tms.train(W, b, data, num_steps=50, batch_size=5, learning_rate=1e4, checkpoint_steps=[50], progress=False)
