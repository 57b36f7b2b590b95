"""Posteriors of the toy model of superposition by sequential Monte Carlo: phases, evidence, and where phases cross."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from scipy.optimize import isotonic_regression
from torch import Tensor

from devinterp_core import smc, tms
from devinterp_core.tms.empirical import EmpiricalLoss


def parameters_of(w: Float[Tensor, "*batch coordinate"]) -> tuple[Tensor, Tensor]:
    """$W$ and $b$ of particles: two rows of weights, then the biases."""
    features = w.shape[-1] // 3
    return w[..., : 2 * features].unflatten(-1, (2, features)), w[..., 2 * features :]


def _log_prior(w: Tensor) -> Tensor:
    return -w.square().sum(1) / 2


def population_posterior(
    num_features: int, sizes: Sequence[int], num_particles: int, generator: torch.Generator, **settings
) -> xr.Dataset:
    r"""One run through the posteriors $e^{-nL/2}\varphi$ of all $n$, with the phase of every particle.

    Args:
        num_features: $c$.
        sizes: $n$, under noise of variance 1, increasing.
        num_particles: of the run.
        generator: source of all randomness.
        settings: further arguments of `smc.temper`.

    Returns:
        As `smc.temper`, with the dimension `n`, and the phase of each particle: `k` and `sigma` (n, particle).
    """
    draws = smc.temper(
        _log_prior,
        lambda w: -tms.population_loss(*parameters_of(w)) / 2,
        torch.randn(num_particles, 3 * num_features, generator=generator, dtype=torch.float64),
        generator=generator,
        temperatures=sizes,
        progress=True,
        **settings,
    ).rename(temperature="n")
    phase = tms.classify(*parameters_of(torch.as_tensor(draws.particles.values)))
    counts = {"k": phase.k.numpy(), "sigma": phase.num_positive.numpy()}
    return draws.assign({name: (draws.weight.dims, count) for name, count in counts.items()})


def diagnostics(draws: xr.Dataset, size: int) -> dict[str, float]:
    """What tells whether a run of `smc.temper` lost a mode: moves, what they left, and the evidence at `n = size`."""
    return {
        "stages": draws.sizes["stage"],
        "gradients of the cloud": draws.attrs["num_evaluations"],
        "mean acceptance": draws.acceptance.mean().item(),
        "least share moved": draws.moved.min().item(),
        "mean correlation left": draws.correlation.mean().item(),
        "log evidence": draws.log_evidence.sel(n=size).item(),
    }


def phase_shares(draws: xr.Dataset, num_features: int) -> pd.DataFrame:
    r"""Posterior probability of every phase $k^{\sigma+}$ in each run.

    Args:
        draws: `weight`, `k`, `sigma` (run, n, particle).
        num_features: $c$.

    Returns:
        One row for each run, n, k and sigma: `run`, `n`, `k`, `sigma`, `share`.
    """
    tables = []
    for k in range(3, num_features + 1):
        for sigma in range(num_features - k + 1):
            share = (draws.weight * ((draws.k == k) & (draws.sigma == sigma))).sum("particle").rename("share")
            tables.append(share.to_dataframe().reset_index().assign(k=k, sigma=sigma))
    return pd.concat(tables, ignore_index=True)


def crossings(shares: pd.DataFrame, before: int, after: int) -> np.ndarray:
    """The n at which hulls of `after` vertices become as probable as those of `before`, in each run or data set.

    The log-odds, made monotone by isotonic regression, are interpolated between the sizes; the end of the range if
    they cross outside of it.

    Args:
        shares: columns `before` and `after` with their probabilities, indexed by run or data set and by `n`.
    """
    odds = (shares[after].clip(1e-9) / shares[before].clip(1e-9)).unstack("n")
    rising = [isotonic_regression(row).x for row in np.log(odds.to_numpy())]  # noise must not send it back
    return np.array([np.interp(0, row, odds.columns) for row in rising])


def data_posterior(
    data: Float[Tensor, "sample 6"], sizes: Sequence[int], num_particles: int, generator: torch.Generator, **settings
) -> pd.DataFrame:
    r"""Phases of the posterior given the first n samples of a data set, unit-variance noise, for growing n.

    Args:
        data: one-hot inputs, as many as the largest n.
        sizes: $n$, increasing.
        num_particles: of the run.
        generator: source of all randomness.
        settings: further arguments of `smc.assimilate`.

    Returns:
        One row a size: `n`, `log_evidence`, the probabilities of hulls with `4`, `5` and `6` vertices, and that of a
        5-gon `5 without the weakest` feature, the one with the least $\sum x_i^2$.
    """
    blocks = [(stop - start, EmpiricalLoss(data[start:stop])) for start, stop in pairwise([0, *sizes])]
    draws = smc.assimilate(
        _log_prior,
        [lambda w, m=m, loss=loss: -m / 2 * loss(*parameters_of(w)) for m, loss in blocks],
        torch.randn(num_particles, 3 * data.shape[1], generator=generator, dtype=torch.float64),
        generator=generator,
        **settings,
    )
    vertex = tms.hull_vertices(parameters_of(torch.as_tensor(draws.particles.values))[0]).numpy()
    rows, k = [], vertex.sum(-1)  # vertex: [block, particle, feature]
    for block, n in enumerate(sizes):
        weight, weakest = draws.weight.values[block], int(data[:n].square().sum(0).argmin())
        row = {"n": n, "log_evidence": draws.log_evidence.values[block]}
        row |= {count: weight[k[block] == count].sum() for count in (4, 5, 6)}
        rows.append(row | {"5 without the weakest": weight[(k[block] == 5) & ~vertex[block, :, weakest]].sum()})
    return pd.DataFrame(rows)
