"""Causal bases, transfer, alignment and anomaly detection on constructed cases with known answers."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from torch import nn

from devinterp_core.lens import (
    LensModel,
    LogitLens,
    TunedLens,
    aitchison_similarity,
    causal_basis,
    causal_fidelity,
    covariance_similarity,
    detect,
    gradient_alignment,
    hidden_covariances,
    layer_sweep,
    lens_influence,
    mahalanobis_scores,
    mean_ablate,
    model_influence,
    random_basis,
    stimulus_response_alignment,
    transfer_cross_entropy,
    transfer_penalty,
)
from devinterp_core.lens.anomaly import bootstrap_auroc
from devinterp_core.transformer import Transformer, TransformerConfig

WIDTH, VOCABULARY = 6, 9


class Residual(nn.Module):
    """h -> h + h Mᵀ with no norm after the last block: the lens is the softmax of a linear map."""

    class Block(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            self.matrix = nn.Parameter(torch.zeros(width, width))

        def forward(self, x):
            return x + x @ self.matrix.T

    def __init__(self, num_layers: int = 2, width: int = WIDTH, seed: int = 0):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList([self.Block(width) for _ in range(num_layers)])
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in (self.embed.weight, self.head.weight):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def transformer(dtype: torch.dtype = torch.float64) -> LensModel:
    config = TransformerConfig(num_layers=2, num_heads=2, d_model=8, num_positions=9, num_tokens=13, d_mlp=9)
    model, generator = Transformer(config), torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape, generator=generator))
    return LensModel(model.to(dtype))


def some_tokens(batch: int = 4, length: int = 6, size: int = 13, seed: int = 0) -> torch.Tensor:
    return torch.randint(size, (batch, length), generator=torch.Generator().manual_seed(seed))


# --- causal basis -----------------------------------------------------------------------------------------------------


def known_directions(tuned: bool) -> tuple[LogitLens, torch.Tensor, torch.Tensor]:
    """A lens that reads three orthogonal directions, strongly, weakly and hardly, and states along all of them."""
    turn = random_basis(WIDTH, WIDTH, seed=2).double()
    strengths = torch.tensor([3.0, 1.0, 0.3, 0.0, 0.0, 0.0], dtype=torch.float64)
    outputs = random_basis(VOCABULARY, WIDTH, seed=3).double()  # orthogonal in the space of logits, too
    model = Residual().double()
    readout = (outputs.T * strengths) @ turn
    stretch = torch.diag(torch.tensor([0.2, 1, 10.0, 1, 1, 1], dtype=torch.float64))
    with torch.no_grad():
        model.head.weight.copy_(readout)
    seen = LensModel(model)
    lens = TunedLens(seen) if tuned else LogitLens(seen)
    if tuned:  # the translator makes the third direction the strongest and the first the second
        with torch.no_grad():
            lens.weight[0] = turn.T @ stretch @ turn - torch.eye(WIDTH, dtype=torch.float64)
    hidden = torch.randn(400, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hidden -= hidden.mean(0)
    hidden = hidden @ torch.linalg.inv(torch.linalg.cholesky(hidden.T @ hidden / 400)).T + 0.3
    return lens, 0.3 * hidden, turn


@pytest.mark.parametrize(("tuned", "order"), [(False, [0, 1, 2]), (True, [2, 1, 0])])
def test_the_basis_finds_the_directions_that_a_lens_reads(tuned, order):
    lens, hidden, truth = known_directions(tuned)
    basis = causal_basis(lens, hidden, 0, 3)
    assert torch.allclose(basis.directions @ basis.directions.T, torch.eye(3, dtype=torch.float64), atol=1e-9)
    overlap = (basis.directions @ truth[order].T).abs().diagonal()
    assert float(overlap.min()) > 0.98
    assert basis.influence.diff().max() <= 0
    assert torch.allclose(basis.influence, lens_influence(lens, hidden, 0, basis.directions), rtol=1e-9)


def test_the_first_direction_is_a_maximum_on_the_sphere_and_beats_random_ones():
    seen = transformer()
    hidden = seen.hidden_states(some_tokens(12))[1].flatten(0, 1)
    lens = TunedLens(seen)
    with torch.no_grad():
        lens.weight.copy_(0.3 * torch.randn(lens.weight.shape, generator=torch.Generator().manual_seed(8)))
    basis = causal_basis(lens, hidden, 1, 8)
    assert lens.weight.grad is None and all(p.grad is None for p in seen.model.parameters())
    first = basis.directions[0]
    for step in random_basis(8, 8, seed=1).double():
        nearby = nn.functional.normalize(first + 0.05 * step, dim=0)
        assert lens_influence(lens, hidden, 1, nearby[None]) <= basis.influence[0] + 1e-6
    random = lens_influence(lens, hidden, 1, random_basis(8, 8, seed=0).double())
    assert basis.influence[0] > 1.2 * random.max()
    assert basis.influence[-1] < random.min()  # what is left of the complement hardly matters
    with pytest.raises(ValueError, match="need 1 to 8 directions"):
        causal_basis(lens, hidden, 1, 9)


def test_mean_ablation_removes_one_direction_and_keeps_the_others():
    hidden = torch.randn(20, WIDTH, generator=torch.Generator().manual_seed(0))
    v, w = random_basis(WIDTH, 2, seed=0)
    ablated = mean_ablate(hidden, hidden.mean(0), v)
    assert torch.allclose(ablated @ v, (hidden.mean(0) @ v).expand(20), atol=1e-6)
    assert torch.allclose(ablated @ w, hidden @ w, atol=1e-6)


def test_random_directions_are_orthonormal_and_uniform():
    drawn = torch.stack([random_basis(4, 3, seed) for seed in range(400)])
    assert torch.allclose(drawn @ drawn.mT, torch.eye(3).expand(400, 3, 3), atol=1e-5)
    assert drawn.mean(0).abs().max() < 0.11  # standard error 1/40, 4 of them
    assert (drawn.square().mean(0) - 0.25).abs().max() < 0.06


def test_influence_on_the_model_is_that_on_the_lens_where_the_lens_is_the_rest_of_the_model():
    model = Residual().double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for block in model.blocks:
            block.matrix.copy_(0.5 * torch.randn(WIDTH, WIDTH, generator=generator))
    seen, lens = LensModel(model), TunedLens(LensModel(model))
    identity = torch.eye(WIDTH, dtype=torch.float64)
    with torch.no_grad():
        for layer in range(2):
            rest = identity
            for block in model.blocks[layer:]:
                rest = (identity + block.matrix) @ rest
            lens.weight[layer] = rest - identity
    tokens = some_tokens(size=VOCABULARY)
    tokens[:, -1] = torch.arange(4)  # no two alike: each has another state to take
    hidden = seen.hidden_states(tokens)[1].flatten(0, 1)
    directions = random_basis(WIDTH, WIDTH, seed=0).double()
    on_lens = lens_influence(lens, hidden, 1, directions)
    on_model = model_influence(seen, tokens, 1, directions, hidden.mean(0))
    assert torch.allclose(on_lens, on_model, atol=1e-10) and float(on_lens.min()) > 1e-3
    assert causal_fidelity(on_lens, on_model) == pytest.approx(1.0)
    assert causal_fidelity(on_lens, -on_model) == pytest.approx(-1.0)
    with pytest.raises(ValueError, match="three directions"):
        causal_fidelity(on_lens[:2], on_model[:2])
    # and the lens answers every intervention as the model does
    for layer in (0, 1):
        aligned = stimulus_response_alignment(lens, tokens, layer, directions[:2], torch.ones(VOCABULARY).double())
        assert torch.allclose(aligned, torch.ones(4, dtype=torch.float64), atol=1e-9)
    logit = stimulus_response_alignment(LogitLens(seen), tokens, 0, directions[:2], torch.ones(VOCABULARY).double())
    assert float(logit.max()) < 0.99


# --- alignment --------------------------------------------------------------------------------------------------------


def test_aitchison_similarity_by_hand():
    x, y = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
    uniform = torch.ones(3)
    assert float(aitchison_similarity(x, y, uniform)) == pytest.approx(-0.5)  # centred unit vectors at 120 degrees
    # w = (1/2, 1/2, 0): clr(x) = (1/2, -1/2, .), clr(y) its opposite
    assert float(aitchison_similarity(x, y, torch.tensor([2.0, 2.0, 0]))) == pytest.approx(-1.0)
    assert float(aitchison_similarity(x + 7, 3 * x - 2, torch.tensor([1.0, 2.0, 3.0]))) == pytest.approx(1.0)
    assert float(aitchison_similarity(x, torch.zeros(3), uniform)) == 0
    with pytest.raises(ValueError, match="weights"):
        aitchison_similarity(x, y, -uniform)


def test_resampling_needs_another_sequence():
    seen = transformer()
    with pytest.raises(ValueError, match="two sequences"):
        stimulus_response_alignment(LogitLens(seen), some_tokens(1), 0, torch.eye(8).double(), torch.ones(13).double())


def test_resampling_the_whole_space_exchanges_the_last_states():
    seen, tokens = transformer(), some_tokens(2)
    weights = torch.ones(13, dtype=torch.float64)
    found = stimulus_response_alignment(LogitLens(seen), tokens, 1, torch.eye(8).double(), weights)
    states = seen.hidden_states(tokens)
    swapped = seen.hidden_states(tokens, {1: lambda h: torch.cat([h[:, :-1], h.flip(0)[:, -1:]], dim=1)})
    change = [seen.readout.logits(swapped[at][:, -1]) - seen.readout.logits(states[at][:, -1]) for at in (1, 2)]
    expected = torch.cosine_similarity(*(z - z.mean(-1, keepdim=True) for z in change), dim=-1)
    assert torch.allclose(found, expected.detach(), atol=1e-9)


# --- transfer ---------------------------------------------------------------------------------------------------------


def test_transfer_is_the_cross_entropy_of_each_pair():
    seen = transformer()
    lens = TunedLens(seen)
    with torch.no_grad():
        lens.weight.copy_(0.3 * torch.randn(lens.weight.shape, generator=torch.Generator().manual_seed(8)))
    batches = [some_tokens(seed=1), some_tokens(2, seed=2)]
    found = transfer_cross_entropy(lens, batches)
    for trained in range(2):
        for tested in range(2):
            values = []
            for tokens in batches:
                logits = lens(seen.hidden_states(tokens)[tested][:, :-1], trained)
                values.append(nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none"))
            expected = torch.cat([value.flatten() for value in values]).mean().detach()
            assert found[trained, tested] == pytest.approx(float(expected), abs=1e-8)
    penalty = transfer_penalty(found)
    assert np.allclose(np.diag(penalty), 0)
    assert penalty[0, 1] == pytest.approx(found[0, 1] - found[1, 1]) and abs(penalty[0, 1]) > 0.01
    with pytest.raises(ValueError, match="no tokens"):
        transfer_cross_entropy(lens, [])


def test_covariances_in_one_pass_are_those_of_all_tokens():
    seen = transformer()
    batches = [some_tokens(3, seed=1), some_tokens(1, seed=2), some_tokens(5, seed=3)]
    found = hidden_covariances(seen, iter(batches))
    states = [torch.cat([seen.hidden_states(tokens)[layer].flatten(0, 1) for tokens in batches]) for layer in range(3)]
    for covariance, state in zip(found, states):
        assert np.allclose(covariance, np.cov(state.numpy(), rowvar=False), atol=1e-10)


def test_covariance_similarity_with_and_without_the_largest_components():
    turn = random_basis(5, 5, seed=0).double().numpy()

    def covariance(*variances: float) -> np.ndarray:
        return turn.T @ np.diag(variances) @ turn

    pair = np.stack([covariance(100, 50, 3, 4, 0), covariance(50, 200, 4, 3, 0)])
    whole = (100 * 50 + 50 * 200 + 24) / np.sqrt((100**2 + 50**2 + 25) * (50**2 + 200**2 + 25))
    assert covariance_similarity(pair, 0)[0, 1] == pytest.approx(whole)
    assert covariance_similarity(pair)[0, 1] == pytest.approx(24 / 25)
    assert np.allclose(np.diag(covariance_similarity(pair)), 1)
    with pytest.raises(ValueError, match="num_removed"):
        covariance_similarity(pair, 5)


# --- iterative inference ----------------------------------------------------------------------------------------------


def test_blocks_that_descend_the_loss_have_cosine_minus_one():
    """With h one-hot by position, a linear block can move every token exactly along the gradient."""
    tokens = torch.arange(VOCABULARY)[None]  # each token followed by the next one
    model = Residual(num_layers=1, width=VOCABULARY).double()
    with torch.no_grad():
        model.embed.weight.copy_(torch.eye(VOCABULARY))
    readout = model.head.weight
    probabilities = readout.T.softmax(-1)  # rows: the prediction at h = e_token
    target = torch.eye(VOCABULARY, dtype=torch.float64).roll(1, dims=1)
    gradient = (probabilities - target) @ readout  # row: at e_token
    for sign in (-1, 1):
        with torch.no_grad():
            model.blocks[0].matrix.copy_(sign * 0.1 * gradient.T)
        found = gradient_alignment(LogitLens(LensModel(model)), tokens)
        assert found.shape == (1, 1) and float(found) == pytest.approx(sign, abs=1e-9)


def test_alignment_is_that_of_autograd_through_the_readout():
    seen, tokens = transformer(), some_tokens()
    found = gradient_alignment(LogitLens(seen), tokens)
    states = seen.hidden_states(tokens)
    for layer in range(2):
        hidden = states[layer].clone().requires_grad_()
        logits = seen.readout.logits(hidden)[:, :-1]
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="sum")
        (gradient,) = torch.autograd.grad(loss, hidden)
        expected = torch.cosine_similarity(
            gradient[:, :-1].flatten(1), (states[layer + 1] - states[layer])[:, :-1].flatten(1), dim=1
        )
        assert torch.allclose(found[layer], expected, atol=1e-10)
    with pytest.raises(ValueError, match="two tokens"):
        gradient_alignment(LogitLens(seen), some_tokens(2, 1))


# --- anomaly detection ------------------------------------------------------------------------------------------------


def test_bootstrapped_auroc_of_gaussians_with_a_known_one():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=800), rng.normal(1.0, size=600)
    areas = bootstrap_auroc(normal, anomalous, 2000, rng)
    truth = norm.cdf(1 / np.sqrt(2))  # 0.760
    labels = np.r_[np.zeros(800), np.ones(600)]
    sample = roc_auc_score(labels, np.r_[normal, anomalous])
    assert areas.mean() == pytest.approx(sample, abs=0.002)
    # Variance of the Mann-Whitney statistic by Hanley and McNeil, here by its exact components.
    wins = anomalous[:, None] > normal
    spread = np.sqrt(wins.mean(1).var() / 600 + wins.mean(0).var() / 800)
    assert areas.std() == pytest.approx(spread, rel=0.08)
    assert abs(sample - truth) < 3 * spread
    ties = bootstrap_auroc(np.zeros(5), np.zeros(5), 10, rng)
    assert np.allclose(ties, 0.5)


def test_mahalanobis_scores_are_the_difference_of_two_distances():
    rng = np.random.default_rng(1)
    train, test = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3)), rng.normal(size=(5, 3))
    covariance = np.cov(train, rowvar=False) + 1e-3 * np.eye(3)
    expected = []
    for x in test - train.mean(0):
        expected.append(x @ np.linalg.inv(covariance) @ x - (x**2 / np.diag(covariance)).sum())
    assert np.allclose(mahalanobis_scores(train, test), expected)


def test_the_baseline_sees_a_broken_correlation_at_the_layer_where_it_is():
    """Only the correlation differs, at layer 1: x'A x with A known, so that the AUROC is known by simulation."""
    rng = np.random.default_rng(2)
    factor = np.linalg.cholesky(np.array([[1, 0.9], [0.9, 1]]))
    normal = rng.normal(size=(400, 2, 2))
    normal[:, 1] = normal[:, 1] @ factor.T
    anomalous = rng.normal(size=(300, 2, 2))
    sweep = layer_sweep(normal, anomalous, num_bootstraps=200)
    exact = np.linalg.inv(factor @ factor.T) - np.eye(2)
    many = rng.normal(size=(2, 4000, 2))
    many[0] = many[0] @ factor.T
    scores = np.einsum("gni,ij,gnj->gn", many, exact, many)
    truth = roc_auc_score(np.repeat([0, 1], 4000), scores.ravel())
    assert sweep[0].low < 0.5 < sweep[0].high
    assert sweep[1].low < truth < sweep[1].high and truth > 0.8
    assert sweep[1].high - sweep[1].low < 0.15


@pytest.mark.parametrize("detector", ["isolation_forest", "local_outlier_factor"])
def test_detectors_see_a_shift_and_nothing_where_there_is_none(detector):
    rng = np.random.default_rng(3)
    normal = rng.normal(size=(160, 4))
    settings = {"num_splits": 2, "num_bootstraps": 100}
    far = detect(normal, rng.normal(6.0, size=(50, 4)), detector, **settings)
    same = detect(normal, rng.normal(size=(150, 4)), detector, **settings)
    assert far.auroc > 0.99 and far.low <= far.auroc <= far.high
    assert same.low < 0.5 < same.high
    settings["num_splits"] = 1
    assert detect(normal, normal[:9] + 1, detector, **settings) == detect(normal, normal[:9] + 1, detector, **settings)


def test_bad_features_are_refused():
    normal = np.zeros((10, 2))
    with pytest.raises(ValueError, match="same features"):
        detect(normal, np.zeros((3, 3)), "mahalanobis")
    with pytest.raises(ValueError, match="finite"):
        detect(normal, np.full((3, 2), np.nan), "mahalanobis")
