"""What SGD visits on the ladder of k-gons, and the exact 4-gon."""

import numpy as np
import pandas as pd
import pytest
import torch

from devinterp_core import tms
from devinterp_core.tms.evidence import hessian_spectrum


@pytest.fixture
def levels():
    return tms.critical_levels(6)


def test_a_critical_point_is_on_its_level_and_a_disturbed_one_is_not(levels):
    row = list(levels.itertuples())[-3]
    W, b = tms.kgon(row.k, 6, row.num_positive, row.num_negative)
    W, b = torch.stack([W, 1.3 * W])[:, None], torch.stack([b, b])[:, None]  # two checkpoints of one run
    seen = tms.visits(W, b, levels, 1e-4)
    assert seen.level[0, 0] == len(levels) - 3
    assert seen.on_level[:, 0].tolist() == [True, False]
    assert bool(seen.agrees[0, 0])
    shares = tms.shares_of_levels(seen, levels).set_index("level")
    assert shares.loc[row.label, ["share", "runs_seen"]].tolist() == [0.5, 1]
    assert shares.loc["off", "share"] == 0.5
    assert shares["share"].sum() == 1


def test_chance_is_the_part_that_the_bands_cover():
    levels = pd.DataFrame({"loss": [1.0, 0.5, 0.0]})
    assert tms.share_by_chance(levels, 0.05) == pytest.approx(0.2, abs=1e-4)  # a whole band inside, half at each end


def test_jumps_are_falls_between_rests_of_one_run():
    rests = pd.DataFrame({
        "run": [0, 0, 0, 1, 1], "level": [3, 2, 5, 4, 6], "first": [0, 5, 9, 0, 6], "last": [4, 8, 12, 5, 9],
        "middle": [2, 6, 10, 3, 7],
    })  # fmt: skip
    jumps = tms.find_jumps(rests)
    found = jumps[["run", "level", "middle", "next_level", "next_middle"]].to_numpy().tolist()
    assert found == [[0, 2, 6, 5, 10], [1, 4, 3, 6, 7]]


def test_no_jumps_of_no_rests():
    rests = tms.find_rests(np.zeros((3, 2), dtype=int), np.zeros((3, 2), dtype=bool))
    assert tms.find_jumps(rests).empty


def test_the_four_gon_is_not_twice_differentiable_and_the_five_gon_is():
    four, five = (tms.asymmetry(k, 6, [1e-2, 1e-4]).asymmetry.to_numpy() for k in (4, 5))
    assert four[1] > 0.2
    assert four[1] == pytest.approx(four[0], rel=0.1)
    assert five[1] == pytest.approx(five[0] / 100, rel=0.1)


def test_exponents_of_the_four_gons():
    assert [tms.four_gon_coefficient(6, sigma) for sigma in range(3)] == [7.5, 8.0, 8.5]
    with pytest.raises(ValueError, match="no 4-gon"):
        tms.four_gon_coefficient(6, 3)


def test_all_levels_have_no_gradient(levels):
    points = [tms.kgon(row.k, 6, row.num_positive, row.num_negative) for row in levels.itertuples()]
    assert max(tms.gradient_norm(*point) for point in points) < 1e-9
    W, b = points[0]
    assert tms.gradient_norm(1.1 * W, b) > 0.01


def test_starts_of_kinds_are_padded_and_known_by_their_kind():
    W, b, data, runs_of = tms.starts_of_kinds([(4, 0.0, 2), (6, 1.0, 3)], 10, length=0.9, seed=1)
    assert W.shape == (5, 2, 6)
    assert data.shape == (5, 10, 6)
    assert runs_of == {(4, 0.0): slice(0, 2), (6, 1.0): slice(2, 5)}
    assert (b[:2, 4:] == -1).all()
    assert not data[:2, :, 4:].any()
    assert torch.equal(W[2:], tms.noisy_kgons(3, 6, length=0.9, bias_scale=1.0, seed=1001)[0])


def test_disturbed_kgons_are_kgons_with_the_spare_column_that_was_asked_for():
    W, b = tms.disturbed_kgons(3, 6, spare_length=0.3, spare_bias=1 / 12, noise=0.0, seed=2, dtype=torch.float64)
    length, bias = tms.kgon_length_and_bias(5)
    torch.testing.assert_close(W.norm(dim=1), torch.tensor([[length] * 5 + [0.3]] * 3, dtype=torch.float64))
    torch.testing.assert_close(b, torch.tensor([[bias] * 5 + [1 / 12]] * 3, dtype=torch.float64))
    W, b = tms.disturbed_kgons(3, 6, spare_bias=-1.0, noise=0.0, dtype=torch.float64)
    assert tms.visits(W[None], b[None], tms.critical_levels(6), 1e-9).agrees.all()
    assert not torch.allclose(W[0], W[1])  # each turned on its own
    with pytest.raises(ValueError, match="no column is left"):
        tms.disturbed_kgons(1, 5)


def test_fives_are_minima():
    for sigma, flat in ((0, 4), (1, 1)):
        spectrum = hessian_spectrum(5, 6, sigma)
        assert int((spectrum.abs() < 1e-8).sum()) == flat
        assert spectrum.min() > -1e-8
    with pytest.raises(ValueError, match="no Hessian"):
        hessian_spectrum(4, 6)
