"""Estimates of several models as a table, from draws made by hand."""

import numpy as np
import pandas as pd
import pytest
import xarray

from devinterp_core.llc import coefficient_table, local_learning_coefficient


@pytest.fixture
def draws():
    """Three models, two chains, 50 draws: losses around 1 and 3; every chain of the second has diverged."""
    rng = np.random.default_rng(0)
    values = np.array([1.0, np.nan, 3.0])[:, None, None] + 0.1 * rng.standard_normal((3, 2, 50))
    diverged = np.isnan(values).any(2)
    diverged[2, 1] = True
    return xarray.Dataset(
        {
            "loss_difference": (("model", "chain", "draw"), values),
            "virial": (("model", "chain", "draw"), np.full_like(values, 8.0)),
            "diverged": (("model", "chain"), diverged),
        },
        attrs={"n_beta": 10.0, "dimension": 4},
    )


def test_a_row_for_every_model_with_an_estimate(draws):
    labels = pd.DataFrame({"step": [5, 6, 7], "seed": [0, 0, 1]})
    table = coefficient_table(draws, labels)
    assert table[["step", "seed"]].to_numpy().tolist() == [[5, 0], [7, 1]]
    assert table.llc.to_numpy() == pytest.approx([10, 30], abs=0.5)
    assert table.num_diverged.tolist() == [0, 1]
    assert table.virial_ratio.tolist() == [2, 2]
    alone = local_learning_coefficient(draws.isel(model=0))
    assert (table.llc[0], table.standard_error[0], table.ess[0]) == (alone.mean, alone.standard_error, alone.ess)


def test_labels_must_fit(draws):
    with pytest.raises(ValueError, match="2 labels were given for 3 models"):
        coefficient_table(draws, pd.DataFrame({"step": [5, 6]}))


def test_components_have_rows_like_models(draws):
    renamed = draws.rename(model="component")
    labels = pd.DataFrame({"head": ["0:0", "0:1", "1:0"]})
    table = coefficient_table(renamed, labels)
    assert table["head"].tolist() == ["0:0", "1:0"]
    expected = coefficient_table(draws, labels)
    pd.testing.assert_frame_equal(table, expected)
    with pytest.raises(ValueError, match="2 labels were given for 3 components"):
        coefficient_table(renamed, labels[:2])
