"""Deep linear networks against the closed forms of Aoyagi and Watanabe, and the generator against its description."""

import random
from fractions import Fraction

import pandas as pd
import pytest
import torch

from devinterp_core.dln import (
    CLASSES,
    INPUT_VARIANCE,
    Architecture,
    CoScaled,
    DeepLinearNetwork,
    compare_with_truth,
    gibbs_sample,
    layer_scales,
    learning_coefficient,
    most_singular_network,
    multiplicity_shares,
    network_table,
    population_data,
    random_architecture,
    random_network,
    random_relu_network,
    reduced_rank_learning_coefficient,
    redundant_relu_network,
    rescaled,
    squared_error,
    summarise_by_class,
    three_layer_local_coefficient,
    uniform_data,
)
from devinterp_core.dln.generator import TRUNCATED_NORMAL_STD
from devinterp_core.dln.gibbs import _draw_layer
from devinterp_core.sampler import sample


def test_two_layers_equal_aoyagi_watanabe_for_all_sizes_to_12():
    cases = 0
    for inputs in range(1, 13):
        for hidden in range(1, 13):
            for outputs in range(1, 13):
                for rank in range(min(inputs, hidden, outputs) + 1):
                    sizes = (inputs, hidden, outputs)
                    expected = reduced_rank_learning_coefficient(*sizes, rank)
                    assert learning_coefficient(sizes, rank) == expected, (sizes, rank)
                    cases += 1
    assert cases == 7812


@pytest.mark.parametrize(
    ("width", "values"),
    [
        (2, {1: 2, 2: "3/2", 3: "3/2", 4: "3/2", 5: "3/2", 10: "3/2"}),
        (3, {1: "9/2", 2: "7/2", 3: 3, 4: 3, 5: 3, 10: 3}),
        (5, {1: "25/2", 2: "19/2", 3: "17/2", 4: 8, 5: "15/2", 10: "15/2"}),
        (10, {1: 50, 2: "75/2", 3: "67/2", 4: "63/2", 5: 30, 10: "55/2"}),
        (100, {1: 5000, 2: 3750, 3: "6667/2", 4: 3125, 5: 3000, 10: 2750}),
    ],
)
def test_constant_width_zero_map(width, values):
    for num_layers, value in values.items():
        assert learning_coefficient([width] * (num_layers + 1), 0)[0] == Fraction(value), num_layers


@pytest.mark.parametrize(
    ("widths", "rank", "coefficient", "multiplicity"),
    [
        ((455, 395, 125, 350, 277, 261, 297), 28, "41093/2", 3),  # printed by the paper's own code
        ((3, 3, 3), 0, "7/2", 2),
        ((2, 2, 2), 1, 2, 2),
        ((2, 2, 2, 2), 0, "3/2", 3),
        ((3, 3, 3, 3), 1, 4, 3),
        ((4, 3, 4), 1, 6, 1),
        ((7, 4), 4, 14, 1),  # one layer: a regular model, half the number of parameters
    ],
)
def test_single_values(widths, rank, coefficient, multiplicity):
    assert learning_coefficient(widths, rank) == (Fraction(coefficient), multiplicity)


def test_bounds_and_symmetry_on_3000_random_networks():
    rng = random.Random(0)
    for _ in range(3000):
        widths = [rng.randint(1, 60) for _ in range(rng.randint(2, 12))]
        rank = rng.randint(0, min(widths))
        coefficient, multiplicity = learning_coefficient(widths, rank)
        parameters = sum(below * above for below, above in zip(widths, widths[1:]))
        assert rank * (widths[0] + widths[-1] - rank) <= 2 * coefficient <= min(parameters, widths[0] * widths[-1])
        assert multiplicity >= 1
        assert learning_coefficient(widths[::-1], rank) == (coefficient, multiplicity)
        hidden = widths[1:-1]
        rng.shuffle(hidden)
        assert learning_coefficient([widths[0], *hidden, widths[-1]], rank) == (coefficient, multiplicity)


@pytest.mark.parametrize(("widths", "rank"), [((3,), 0), ((3, 0, 2), 0), ((3, 4, 2), 3), ((3, 4), -1)])
def test_impossible_networks_are_refused(widths, rank):
    with pytest.raises(ValueError, match="widths|rank"):
        learning_coefficient(widths, rank)
    if len(widths) == 3 and min(widths) > 0:
        with pytest.raises(ValueError, match="impossible"):
            reduced_rank_learning_coefficient(*widths, rank)


def test_layers_that_do_not_chain_are_refused():
    with pytest.raises(ValueError, match="chain"):
        DeepLinearNetwork([torch.zeros(3, 2), torch.zeros(4, 4)])


def network(name="1K", seed=0, **options):
    return random_network(random_architecture(CLASSES[name], seed=seed, **options), seed=seed, dtype=torch.float64)


@pytest.mark.parametrize("name", CLASSES)
def test_random_architectures_follow_their_class(name):
    size = CLASSES[name]
    reduced = layers = 0
    for seed in range(100):
        drawn = random_architecture(size, seed=seed)
        assert size.min_layers <= len(drawn.layer_ranks) < size.max_layers
        assert all(size.min_width <= width < size.max_width for width in drawn.widths)
        assert all(1 <= rank <= full for rank, full in zip(drawn.layer_ranks, map(min, drawn.widths, drawn.widths[1:])))
        assert drawn.truth == learning_coefficient(drawn.widths, drawn.rank)
        reduced += sum(rank < full for rank, full in zip(drawn.layer_ranks, map(min, drawn.widths, drawn.widths[1:])))
        layers += len(drawn.layer_ranks)
    # Half of the layers draw a reduction; in the narrowest class about one in fifteen of those draws is zero.
    assert 0.45 - 4 * (0.25 / layers) ** 0.5 < reduced / layers < 0.5 + 4 * (0.25 / layers) ** 0.5
    assert drawn == random_architecture(size, seed=99) != random_architecture(size, seed=98)


def test_random_networks_have_their_widths_and_ranks():
    for seed in range(20):
        architecture = random_architecture(CLASSES["1K"], seed=seed)
        model = random_network(architecture, seed=seed, dtype=torch.float64)
        assert model.widths == architecture.widths
        for weight, rank in zip(model.layers, architecture.layer_ranks):
            assert torch.linalg.matrix_rank(weight) == rank
        assert torch.linalg.matrix_rank(model.product(), rtol=1e-12) == architecture.rank
        assert architecture.num_parameters == sum(weight.numel() for weight in model.layers)


def test_weights_are_truncated_normals_of_the_fan_in():
    for weight in network("100K", seed=1, reduce_probability=0.0).layers:
        scaled = weight.detach() * weight.shape[1] ** 0.5
        assert scaled.abs().max() <= 2 + 1e-5
        assert abs(scaled.std() - TRUNCATED_NORMAL_STD) < 4 * TRUNCATED_NORMAL_STD / (2 * weight.numel()) ** 0.5


def test_the_same_seed_gives_the_same_network_and_leaves_the_global_state_alone():
    state = torch.random.get_rng_state()
    first, second = network(seed=7), network(seed=7)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.layers, second.layers))


def test_population_data_reproduce_the_expected_loss_exactly():
    model, generator = network(seed=3), torch.Generator().manual_seed(0)
    noise = [torch.randn(weight.shape, generator=generator, dtype=weight.dtype) for weight in model.layers]
    moved = DeepLinearNetwork([weight + 0.02 * step for weight, step in zip(model.layers, noise)])
    difference = (moved.product() - model.product()).square().sum()
    expected = INPUT_VARIANCE * difference / model.widths[-1]
    inputs, targets = population_data(model)
    assert inputs.shape == (model.widths[0],) * 2
    exact = squared_error(moved, (inputs, targets)).mean()
    assert torch.isclose(exact, expected, rtol=1e-12)
    sampled = squared_error(moved, uniform_data(model, 20_000, seed=1))
    assert abs(sampled.mean() - expected) < 4 * sampled.std() / len(sampled) ** 0.5
    assert squared_error(model, uniform_data(model, 100, seed=1)).abs().max() == 0


def test_uniform_inputs_fill_the_box():
    model = DeepLinearNetwork([torch.eye(3)])
    inputs, targets = uniform_data(model, 20_000, seed=0)
    assert torch.equal(inputs, targets)
    assert 9.9 < inputs.max() <= 10 and -10 <= inputs.min() < -9.9
    assert torch.allclose(inputs.T @ inputs / len(inputs), INPUT_VARIANCE * torch.eye(3), atol=1.0)


def test_gibbs_draws_a_layer_from_its_exact_conditional():
    generator = torch.Generator().manual_seed(0)
    left, right, centre, truth = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((1, 3, 4), (1, 2, 5), (4, 2), (3, 5))
    )
    coupling, localization = 3.0, 0.7
    draw = lambda noise: _draw_layer(centre, truth, left, right, coupling, localization, noise)  # noqa: E731
    # Row-major vec(A W B) = (A kron B^T) vec(W).
    design = torch.kron(left[0].contiguous(), right[0].mT.contiguous())
    precision = coupling * design.T @ design + localization * torch.eye(8, dtype=torch.float64)
    linear = coupling * design.T @ truth.reshape(-1) + localization * centre.reshape(-1)
    mean = draw(torch.zeros(1, 4, 2, dtype=torch.float64))[0].reshape(-1)
    assert torch.allclose(mean, torch.linalg.solve(precision, linear), atol=1e-10)
    unit = torch.eye(8, dtype=torch.float64).reshape(8, 1, 4, 2)
    spread = torch.stack([draw(noise)[0].reshape(-1) - mean for noise in unit])
    assert torch.allclose(spread.T @ spread, torch.linalg.inv(precision), atol=1e-10)


def test_gibbs_on_one_layer_is_a_gaussian():
    model = DeepLinearNetwork([torch.zeros(3, 4)])
    draws = gibbs_sample(
        model, n_beta=0.05, localization=2.0, num_chains=50, num_draws=60, num_burnin=0, progress=False
    )
    stiffness = 2 * 0.05 * INPUT_VARIANCE / 3
    expected = 12 / 2 * stiffness / (stiffness + 2)
    values = 0.05 * draws.loss_difference.values
    assert abs(values.mean() - expected) < 4 * values.std() / values.size**0.5
    assert abs(draws.virial.values.mean() - 12) < 4 * draws.virial.values.std() / values.size**0.5


@pytest.mark.parametrize(
    ("widths", "ranks"),
    [((4, 3, 4), (3, 1)), ((9, 14, 6), (5, 6)), ((5, 5, 5, 5), (5, 5, 5)), ((18, 20, 5, 16), (7, 3, 5))],
)
def test_exact_draws_at_large_n_beta_give_aoyagis_coefficient(widths, ranks):
    architecture = Architecture(widths, ranks)
    truth, multiplicity = architecture.truth
    model = random_network(architecture, seed=0, dtype=torch.float64)
    draws = gibbs_sample(model, n_beta=1e9, num_chains=8, num_draws=80, num_burnin=60, progress=False)
    values = 1e9 * draws.loss_difference.values.mean(1)
    standard_error = (float(truth) / (8 * 80)) ** 0.5  # n_beta K is close to a Gamma(lambda) variable
    expected = float(truth) - (multiplicity - 1) / 20.7  # log(1e9)
    assert abs(values.mean() - expected) < 5 * standard_error


def test_the_localiser_chooses_between_the_local_and_the_global_coefficient():
    architecture = Architecture((10, 6, 16, 16), (6, 2, 12))
    model = random_network(architecture, seed=0, dtype=torch.float64)
    # rank 2; then rank 12 - 2 = 10 directions force 10 (6 - 2) entries to zero; a 4-4-4 zero map is left
    local = 2 * (10 + 16 - 2) / 2 + 10 * 4 / 2 + float(reduced_rank_learning_coefficient(4, 4, 4, 0)[0])
    assert (float(architecture.truth[0]), local) == (40, 50)
    for localization, value in ((1.0, 40), (1e3, 50)):
        draws = gibbs_sample(
            model, n_beta=1e10, localization=localization, num_chains=4, num_draws=60, num_burnin=100, progress=False
        )
        assert abs(1e10 * draws.loss_difference.values.mean() - value) < 1.5


def test_gibbs_refuses_bad_settings():
    model = DeepLinearNetwork([torch.zeros(3, 4)])
    for bad in ({"n_beta": 0.0}, {"n_beta": 1.0, "localization": 0.0}, {"n_beta": 1.0, "num_draws": 0}):
        with pytest.raises(ValueError, match="positive"):
            gibbs_sample(model, progress=False, **bad)


@pytest.mark.parametrize("scale", [1e-4, 0.5, 1e3])
def test_rescaling_leaves_the_function_unchanged(scale):
    model = redundant_relu_network(10, 20, 10, seed=0).double()
    inputs = 10 * torch.rand(50, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    twin = rescaled(model, scale)
    assert not torch.equal(twin[0].weight, model[0].weight)
    torch.testing.assert_close(twin(inputs), model(inputs))
    coordinates = CoScaled(twin, layer_scales(scale))
    torch.testing.assert_close(coordinates(inputs), model(inputs))
    for z, weight in zip(coordinates.parameters(), model.parameters()):
        torch.testing.assert_close(z, weight)
    assert torch.equal(model[0].weight[8], model[0].weight[0])
    assert torch.equal(model[2].weight[:, 8], model[2].weight[:, 0])


def test_co_scaled_chains_walk_the_same_path_at_every_scale():
    model = redundant_relu_network(4, 9, 3, seed=0).double()
    inputs = 10 * torch.rand(200, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    paths = []
    for scale in (1.0, 1e3):
        twin = rescaled(model, scale)
        data = (inputs, twin(inputs).detach())
        chain = CoScaled(twin, layer_scales(scale))
        draws = sample(chain, data, squared_error, step_size=1e-5, num_draws=30, batch_size=20, progress=False)
        paths.append(torch.tensor(draws.loss_difference.values))
    torch.testing.assert_close(paths[0], paths[1], rtol=1e-5, atol=0)


def test_bad_scales_are_refused():
    model = redundant_relu_network(4, 9, 3, seed=0)
    with pytest.raises(ValueError, match="positive"):
        rescaled(model, 0.0)
    with pytest.raises(ValueError, match="do not match"):
        CoScaled(model, {"0.weight": 1.0})
    with pytest.raises(ValueError, match="copied_units"):
        redundant_relu_network(4, 5, 3, seed=0)


@pytest.mark.parametrize(
    ("widths", "ranks", "value"),
    [((10, 6, 16, 16), (6, 2, 12), 50), ((8, 5, 9, 9), (5, 1, 6), 22), ((7, 4, 10, 8), (4, 2, 5), 19)],
)
def test_local_coefficients_of_three_layers(widths, ranks, value):
    assert three_layer_local_coefficient(widths, ranks) == value
    assert value > learning_coefficient(widths, min(ranks))[0]


def test_a_local_coefficient_is_what_a_narrow_localiser_finds():
    widths, ranks = (8, 5, 9, 9), (5, 1, 6)
    model = random_network(Architecture(widths, ranks), seed=0)
    draws = gibbs_sample(model, n_beta=1e10, localization=1e4, num_chains=4, num_draws=150, num_burnin=50,
                         progress=False)  # fmt: skip
    found = draws.attrs["n_beta"] * float(draws.loss_difference.mean())
    assert found == pytest.approx(22, rel=0.03)


def test_local_coefficients_refuse_what_the_derivation_does_not_cover():
    for widths, ranks in (((5, 6, 9, 9), (5, 1, 6)), ((8, 5, 9, 9), (4, 1, 6)), ((8, 5, 9, 9), (5, 4, 3))):
        with pytest.raises(ValueError, match="onto"):
            three_layer_local_coefficient(widths, ranks)


def test_the_most_singular_network_has_the_rank_asked_for():
    model = most_singular_network(3, 2, 4, 1)
    assert model.widths == (3, 2, 4) and int(torch.linalg.matrix_rank(model.product())) == 1
    with pytest.raises(ValueError, match="rank"):
        most_singular_network(3, 2, 4, 3)


def test_random_relu_networks_have_no_bias_at_the_outputs():
    generator = torch.Generator().manual_seed(0)
    first, second = (random_relu_network([10, 20, 20, 10], generator) for _ in range(2))
    assert [tuple(layer.weight.shape) for layer in first[::2]] == [(20, 10), (20, 20), (10, 20)]
    assert not first[-1].bias.any() and first[0].bias.std() > 0.5
    assert first[0].weight.abs().max() <= 2 * 10**-0.5 and not torch.equal(first[0].weight, second[0].weight)
    with pytest.raises(ValueError, match="widths"):
        random_relu_network([10], generator)


def test_the_table_of_networks_has_their_seeds_and_truths():
    table = network_table(["1K", "10K"], [2, 1], seed=3)
    assert table["class"].tolist() == ["1K", "1K", "10K"] and table["seed"].tolist() == [3000, 3001, 3000]
    assert table["architecture"][1] == random_architecture(CLASSES["1K"], seed=3001)
    assert table["truth"][2] == float(table["architecture"][2].truth[0])
    shares = multiplicity_shares(2, seed=3, classes=["1K"])
    assert shares["count"].sum() == 2 and shares["share"].sum() == 1


def test_estimates_are_compared_with_the_truth_and_with_the_posterior():
    rows = [
        ("exact", 0, 10.0, 9.5, 9.3, 9.7),
        ("gradient", 0, 10.0, 9.9, 9.7, 10.1),
        ("gradient", 1, 4.0, 4.0, 3.0, 5.0),
    ]
    columns = ["sampler", "network", "truth", "estimate", "low", "high"]
    table = pd.DataFrame(rows, columns=columns).assign(**{"class": "1K", "r_hat": [1.0, 1.0, 1.2], "virial": 1.0})
    found = compare_with_truth(table)
    assert found["covers"].tolist() == [False, True, True]
    assert found["error"].tolist() == pytest.approx([-0.05, -0.01, 0.0])
    # 0.4 apart with half widths of 0.2 each: further than 0.28
    assert found["covers_posterior"].tolist()[:2] == [1.0, 0.0] and found["covers_posterior"].isna()[2]
    gradient = summarise_by_class(found, 1.05).loc[("1K", "gradient")]
    assert gradient["error"] == pytest.approx(0.5) and gradient["covered"] == 100 and gradient["covered_posterior"] == 0
    assert (gradient["agreed"], gradient["split"]) == (1, 1) and gradient["error_agreed"] == pytest.approx(1.0)
