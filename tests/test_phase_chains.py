"""The paper's sampler on the toy model of superposition: what needs no numpyro, and what does where it is there."""

import importlib.util

import pandas as pd
import pytest
import torch

from devinterp_core import tms
from devinterp_core.companion.studies import phase_chains


def test_chains_start_at_noisy_kgons():
    start = phase_chains._starts("6-gon", 3, 0.01, seed=1)
    W, b = (torch.as_tensor(start[name]) for name in ("W", "b"))
    assert tms.classify(W, b).k.tolist() == [6, 6, 6]
    assert tms.population_loss(W, b).sub(tms.population_loss(*tms.kgon(6, 6))).abs().max() < 0.005
    assert phase_chains._starts("random", 3, 0.01, seed=1)["b"].shape == (3, 6)


def test_settings_that_give_no_chain_are_refused():
    with pytest.raises(ValueError, match="four draws"):
        phase_chains.chains_from_phases(tms.one_hot_data(20, 6, seed=0), 1, num_draws=2)


@pytest.mark.skipif(importlib.util.find_spec("numpyro") is None, reason="numpyro, an extra, is not installed")
def test_chains_of_a_few_draws():
    table = phase_chains.chains_from_phases(tms.one_hot_data(40, 6, seed=0), 2, num_warmup=20, num_draws=20)
    assert table.start.tolist() == [name for name in phase_chains.STARTS for _ in range(2)]
    assert (table[["four", "five", "six"]].sum(axis=1) <= 1 + 1e-9).all()
    assert table.gradients.min() >= 1
    assert table.switches.between(0, 19).all()


@pytest.mark.skipif(importlib.util.find_spec("numpyro") is not None, reason="numpyro is installed")
def test_without_the_library_the_error_says_how_to_get_it():
    with pytest.raises(ImportError, match="nuts"):
        phase_chains.chains_from_phases(tms.one_hot_data(20, 6, seed=0), 1, num_warmup=4, num_draws=4)


def test_what_depends_on_the_start_and_what_on_the_sampler():
    chains = pd.DataFrame({"data_set": 0, "n": 400, "start": phase_chains.STARTS, "six": [0.3, 0.1, 0.5],
                           "switches": [0, 3, 6], "r_hat": 1.1, "ess": 9.0})  # fmt: skip
    particles = pd.DataFrame({"data_set": [0, 0, 1], "n": [400, 400, 400], "six": [0.1, 0.3, 0.9]})
    row = phase_chains.by_size(chains, particles).loc[(400, 0)]
    assert row[["difference", "over_smc", "still", "chains", "switches"]].tolist() == pytest.approx([0.4, 0.1, 1, 3, 3])
