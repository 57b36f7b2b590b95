"""The sweeps of the chapter on deep linear networks: over localisers, and over rescalings of a ReLU network."""

import math
from collections.abc import Sequence

import pandas as pd
import torch

from devinterp_core import dln
from devinterp_core.companion.criteria import Measured
from devinterp_core.companion.estimates import row_of
from devinterp_core.sampler import DivergenceError, sample, sample_many
from devinterp_core.sampler.curvature import largest_curvature
from devinterp_core.sampler.target import make_target

USABLE = {"1K": 99, "10K": 100, "100K": 100, "1M": 99, "10M": 93, "100M": 54}  # runs of the published result files
SAMPLERS = ("co-scaled", "plain", "calibrated")


def localiser_sweep(
    model: dln.DeepLinearNetwork, n_betas: Sequence[float], localizations: Sequence[float], *, num_draws: int, seed: int
) -> pd.DataFrame:
    r"""Exact posterior means of a network over localisers $\gamma$ and inverse temperatures.

    Args:
        model: the true network.
        n_betas, localizations: $n\beta$ and $\gamma$.
        num_draws: of each of four Gibbs chains from $w^*$, after as many for burn-in.
        seed: of the chains.

    Returns:
        `n_beta`, `localization` and the columns of `row_of`.
    """
    rows = []
    for n_beta in n_betas:
        for localization in localizations:
            draws = dln.gibbs_sample(
                model, n_beta=n_beta, localization=localization, num_chains=4, num_draws=num_draws,
                num_burnin=num_draws, seed=seed, progress=False,
            )  # fmt: skip
            rows.append(row_of(draws, n_beta=n_beta, localization=localization))
    return pd.DataFrame(rows)


def rescaling_levels(
    sizes: Sequence[tuple[int, int, int]], num_networks: int, *, num_steps: int, seed: int
) -> pd.DataFrame:
    r"""The level of the invariant estimate, by the published protocol at scale 1: one chain, no burn-in, no localiser.

    Step size $10^{-5}$, minibatches of 500 of 10 000 samples, every tenth step recorded.

    Args:
        sizes: inputs, hidden units and outputs of each kind of network.
        num_networks: random networks of each kind, one chain each.
        num_steps: of a chain.
        seed: of networks, inputs and chains.

    Returns:
        `inputs`, `hidden`, `outputs`, `network`, `estimate`.
    """
    rows = []
    for inputs, hidden, outputs in sizes:
        seeds = [1000 * seed + index for index in range(num_networks)]
        networks = [dln.redundant_relu_network(inputs, hidden, outputs, seed=own) for own in seeds]
        data = [uniform_inputs(inputs, own) for own in seeds]
        draws = sample_many(
            networks, [(x, network(x).detach()) for x, network in zip(data, networks, strict=True)], dln.squared_error,
            step_size=1e-5, localization=0.0, num_chains=1, batch_size=500, num_draws=num_steps // 10,
            num_steps_between_draws=10, seed=seed, progress=False,
        )  # fmt: skip
        for index in range(num_networks):
            estimate = row_of(draws.isel(model=index))["estimate"]
            rows.append((inputs, hidden, outputs, index, estimate))
    return pd.DataFrame(rows, columns=["inputs", "hidden", "outputs", "network", "estimate"])


def uniform_inputs(inputs: int, seed: int) -> torch.Tensor:
    """10 000 inputs, uniform on the box of the published experiments."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.rand(10_000, inputs, generator=generator) - 1) * dln.INPUT_BOUND


def rescaling_sweep(
    network: torch.nn.Sequential, factors: Sequence[float], *, num_steps: int, seed: int
) -> pd.DataFrame:
    r"""Estimates of a ReLU network whose hidden layer is scaled by each factor, by three samplers.

    `co-scaled`: SGLD in coordinates that are scaled alike (`dln.CoScaled`); `plain`: SGLD with the same step size at
    every scale; `calibrated`: SGLD with a step size in proportion to the inverse curvature at that scale. All have the
    paper's step size $10^{-5}$ at scale 1, minibatches of 500 of 10 000 samples, no localiser, and the same random
    numbers at every scale.

    Args:
        network: of `dln.redundant_relu_network`.
        factors: scales $s$ of the hidden layer.
        num_steps: of each of four chains, the first half discarded.
        seed: of inputs and chains.

    Returns:
        `sampler`, `scale` and the columns of `row_of`, which are NaN where every chain diverged.
    """
    inputs = uniform_inputs(network[0].in_features, seed)
    half, rows, curvature = num_steps // 2, [], {}
    for factor in [1.0, *[factor for factor in factors if factor != 1]]:
        scaled = dln.rescaled(network, factor)
        data = (inputs, scaled(inputs).detach())
        curvature[factor] = largest_curvature(make_target(scaled, data, dln.squared_error, localization=0.0))
        for sampler in SAMPLERS:
            model = dln.CoScaled(scaled, dln.layer_scales(factor)) if sampler == "co-scaled" else scaled
            shrink = curvature[1.0] / curvature[factor] if sampler == "calibrated" else 1.0
            label = {"sampler": sampler, "scale": factor}
            try:
                draws = sample(
                    model, data, dln.squared_error, step_size=1e-5 * shrink, localization=0.0, num_chains=4,
                    batch_size=500, num_burnin=half, num_draws=half, seed=seed, progress=False,
                )  # fmt: skip
                rows.append(row_of(draws, **label))
            except DivergenceError:
                rows.append(label | {"estimate": math.nan, "low": math.nan, "high": math.nan})
    kept = pd.DataFrame(rows)
    return kept[kept["scale"].isin(factors)].sort_values(["sampler", "scale"])


def multiplicities(num_architectures: int, *, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, Measured]:
    """Multiplicities of random architectures, with the classes weighted by the published numbers of usable runs.

    Args:
        num_architectures: of each class.
        seed: as of `dln.multiplicity_shares`.

    Returns:
        `dln.multiplicity_shares`; `multiplicity` and weighted `share`; the weighted share of multiplicity 1 with its
        normal 95 % interval.
    """
    shares = dln.multiplicity_shares(num_architectures, seed=seed)
    weights = pd.Series(USABLE) / sum(USABLE.values())
    table = shares.pivot(index="class", columns="multiplicity", values="share").fillna(0)
    weighted = table.mul(weights, axis=0).sum()
    half = 1.96 * math.sqrt((weights**2 * table[1] * (1 - table[1])).sum() / num_architectures)
    one = float(weighted[1])
    return shares, weighted.rename("share").reset_index(), Measured(one, (one - half, one + half), "95 %, normal")
