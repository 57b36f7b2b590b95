"""Estimates of one deep linear network by gradient chains, the published protocol and exact draws."""

import math
from collections.abc import Mapping
from typing import Any

from devinterp_core import dln
from devinterp_core.calibration import pilot_step_size
from devinterp_core.companion.estimates import row_of
from devinterp_core.sampler import DivergenceError, sample


def estimates(
    network: Mapping[str, Any],
    *,
    num_steps: int,
    batch_size: int | None,
    method: str,
    exact_draws: int,
    exact_n_beta_factor: float,
    protocol_batch_size: int | None,
    num_steps_between_draws: int,
    num_chains: int,
    localization: float,
    pilots: Mapping[str, float],
    seed: int,
) -> list[dict[str, Any]]:
    r"""The estimates of a network, each at its class's $n\beta = n / \log n$ and $\gamma$ = `localization`.

    - `gradient`: chains on data that reproduce the population loss, step size by `calibration.pilot_step_size`, the
      first half of the steps discarded; left out where every chain diverges;
    - `protocol`: the published SGLD on minibatches, with its own step size and number of steps, the last tenth kept;
    - `exact` and `limit`: Gibbs draws, half of the chains over-dispersed, after as many for burn-in, at $n\beta$ and at
      a multiple of it.

    Args:
        network: a row of `dln.network_table`.
        num_steps, batch_size, method: of the gradient chains; no batch size for the exact population loss.
        exact_draws: of each Gibbs chain; none are made for 0.
        exact_n_beta_factor: the multiple of `limit`.
        protocol_batch_size: of the published protocol; None leaves it out.
        num_steps_between_draws, num_chains, localization, seed: of all chains.
        pilots: further arguments of `calibration.pilot_step_size`.

    Returns:
        A row for each: `sampler`, `class`, `network`, `truth` and the columns of `row_of`.
    """
    size, half, rows = dln.CLASSES[network["class"]], num_steps // 2, []
    label = {name: network[name] for name in ("class", "network", "truth")}
    model = dln.random_network(network["architecture"], seed=network["seed"])
    setting = {"n_beta": size.num_samples / math.log(size.num_samples), "localization": localization, "seed": seed}

    data, chain = dln.population_data(model), setting | {"method": method, "batch_size": batch_size}
    step_size = pilot_step_size(model, data, dln.squared_error, num_steps=half // 2, **pilots, **chain)
    try:
        draws = sample(
            model, data, dln.squared_error, step_size=step_size, num_chains=num_chains, num_burnin=half,
            num_draws=max(4, half // num_steps_between_draws), num_steps_between_draws=num_steps_between_draws,
            progress=False, **chain,
        )  # fmt: skip
        rows.append(row_of(draws, sampler="gradient", **label))
    except DivergenceError:
        pass

    if protocol_batch_size is not None:
        draws = sample(
            model, dln.uniform_data(model, size.num_samples, seed=seed), dln.squared_error, step_size=size.step_size,
            num_chains=1, batch_size=protocol_batch_size, num_burnin=int(0.9 * size.num_steps),
            num_draws=size.num_steps // 10, progress=False, **setting,
        )  # fmt: skip
        rows.append(row_of(draws, sampler="protocol", **label))

    for sampler, times in {"exact": 1.0, "limit": exact_n_beta_factor}.items() if exact_draws else ():
        draws = dln.gibbs_sample(
            model, num_chains=num_chains, num_draws=exact_draws, num_burnin=exact_draws, start="both", progress=False,
            **setting | {"n_beta": times * setting["n_beta"]},
        )  # fmt: skip
        rows.append(row_of(draws, sampler=sampler, **label))
    return rows
