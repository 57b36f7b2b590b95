"""Posteriors of the toy model of superposition by sequential Monte Carlo: phases, evidence, and where phases cross."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from scipy.optimize import brentq, isotonic_regression
from torch import Tensor

from devinterp_core import smc, tms
from devinterp_core.companion.criteria import Measured
from devinterp_core.tms.empirical import EmpiricalLoss
from devinterp_core.tms.evidence import laplace_log_evidence, leading_free_energy

HULLS = {"four": 4, "five": 5, "six": 6}  # numbers of vertices by the names of their columns


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


def crossings(shares: pd.DataFrame, before: int | str, after: int | str) -> np.ndarray:
    """The n at which the phase `after` becomes as probable as the phase `before`, in each run or data set.

    The log-odds, made monotone by isotonic regression, are interpolated between the sizes; the end of the range if
    they cross outside of it.

    Args:
        shares: columns `before` and `after` with their probabilities, indexed by run or data set and by `n`.
    """
    odds = (shares[after].clip(1e-9) / shares[before].clip(1e-9)).unstack("n")
    rising = [isotonic_regression(row).x for row in np.log(odds.to_numpy())]  # noise must not send it back
    return np.array([np.interp(0, row, odds.columns) for row in rising])


def crossing_table(
    crossing: Mapping[tuple[int, int], np.ndarray], found: Mapping[tuple[int, int], Measured], smallest: float
) -> pd.DataFrame:
    """Crossings in words: by number of features and k, from k to k + 1, with intervals, in both conventions of n.

    Args:
        crossing: n of each run.
        found: their mean with its interval.
        smallest: the least n of the runs, at which those count whose odds begin on the far side.
    """
    rows = [
        (c, f"{k} to {k + 1}", at.value, *at.interval, at.value / 2, int((crossing[c, k] == smallest).sum()))
        for (c, k), at in found.items()
    ]
    names = ["features", "transition", "$n$, unit variance", "low", "high", "$n$ for $e^{-nL}$"]
    return pd.DataFrame(rows, columns=[*names, "runs at the smallest $n$"]).round(0)


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
        One row a size: `n`, `log_evidence`, the probabilities `four`, `five` and `six` of hulls with so many vertices,
        and that of a 5-gon without the weakest feature, the one with the least $\sum x_i^2$: `without_weakest`.
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
        row |= {name: weight[k[block] == count].sum() for name, count in HULLS.items()}
        rows.append(row | {"without_weakest": weight[(k[block] == 5) & ~vertex[block, :, weakest]].sum()})
    return pd.DataFrame(rows)


def data_posteriors(
    data_sets: Sequence[Float[Tensor, "sample 6"]],
    sizes: Sequence[int],
    num_particles: int,
    *,
    run: int,
    seed: int,
    **settings,
) -> pd.DataFrame:
    """`data_posterior` of several data sets: its columns, and the number of the `data_set`.

    Args:
        data_sets: as of `data_posterior`.
        sizes, num_particles, settings: as of `data_posterior`.
        run: 0 to 9, for independent runs on the same data sets.
        seed: the generator on data set $i$ has the seed `1000 * seed + 10 * i + run`.

    Raises:
        ValueError: another `run`, which would share its seed with the next data set, or no data set.
    """
    if not 0 <= run <= 9 or not data_sets:
        raise ValueError(f"runs are numbered 0 to 9 and need a data set or more, got run {run} on {len(data_sets)}")
    tables = []
    for place, data in enumerate(data_sets):
        generator = torch.Generator().manual_seed(1000 * seed + 10 * place + run)
        tables.append(data_posterior(data, sizes, num_particles, generator, **settings).assign(data_set=place))
    return pd.concat(tables, ignore_index=True)


def formula_curves(sizes: Sequence[float]) -> pd.DataFrame:
    r"""Free energy of the 6-gon minus that of the 5-gon by formulas, six features.

    Args:
        sizes: $n$, under noise of variance 1.

    Returns:
        `n` and a column for each formula: the leading terms in these units, the same read in the theory's own $n$, and
        Laplace's method with all constants.
    """
    lead, laplace = leading_free_energy, laplace_log_evidence
    return pd.DataFrame(
        {
            "n": sizes,
            "leading formula": [lead(6, 6, n / 2) - lead(5, 6, n / 2) for n in sizes],
            "leading formula, n as in the paper": [lead(6, 6, n) - lead(5, 6, n) for n in sizes],
            "Laplace, all constants": [laplace(5, 6, n / 2) - laplace(6, 6, n / 2) for n in sizes],
        }
    )


def formula_crossings() -> tuple[float, float]:
    """The $n$ at which the 5-gon and the 6-gon cross: by the leading formula in the theory's own $n$, and by Laplace's
    method with all constants in $n$ under noise of variance 1."""
    leading = brentq(lambda n: leading_free_energy(5, 6, n) - leading_free_energy(6, 6, n), 10, 10_000)
    laplace = brentq(lambda n: laplace_log_evidence(5, 6, n) - laplace_log_evidence(6, 6, n), 10, 10_000)
    return leading, 2 * laplace


def evidence_beside_laplace(draws: xr.Dataset) -> pd.DataFrame:
    """Log evidence of runs of six features over that of 5-gon and 6-gon together by Laplace's method.

    Args:
        draws: `log_evidence` (run, n).

    Returns:
        `run`, `n`, `log_evidence`, `laplace`, `excess`.
    """
    table = draws.log_evidence.to_dataframe().reset_index()
    laplace = {n: np.logaddexp(*(laplace_log_evidence(k, 6, n / 2) for k in (5, 6))) for n in table.n.unique()}
    table = table.assign(laplace=table.n.map(laplace))
    return table.assign(excess=table.log_evidence - table.laplace)
