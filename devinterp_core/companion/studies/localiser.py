"""Which coefficient a localiser finds: chosen by a rule on some random networks, judged on others."""

import random
from collections.abc import Sequence

import pandas as pd

from devinterp_core import dln
from devinterp_core.companion.studies.deep_linear import localiser_sweep


def random_three_layers(seed: int) -> dln.Architecture:
    """A random architecture of three layers whose first layer is onto and whose two coefficients can be told apart.

    Widths of 8 to 16, but for the first hidden one of 4 to 8; the rank of the last layer from 3 to below its full one,
    that of the second below both that and the first hidden width. Drawn anew until `dln.three_layer_local_coefficient`
    exceeds the coefficient of the whole fibre by a tenth.

    Args:
        seed: of the draw.
    """
    draw = random.Random(seed)
    while True:
        inputs, first, second, outputs = (draw.randint(*ends) for ends in ((8, 16), (4, 8), (8, 16), (8, 16)))
        last = draw.randint(3, min(second, outputs) - 1)
        rank = draw.randint(1, min(first, last) - 1)
        found = dln.Architecture((inputs, first, second, outputs), (first, rank, last))
        if local_and_global(found)[0] >= 1.1 * local_and_global(found)[1]:
            return found


def local_and_global(architecture: dln.Architecture) -> tuple[float, float]:
    """The local coefficient at a random true parameter of three layers, and that of the whole fibre."""
    local = dln.three_layer_local_coefficient(architecture.widths, architecture.layer_ranks)
    return float(local), float(architecture.truth[0])


def random_sweeps(
    seeds: Sequence[int], localizations: Sequence[float], *, n_beta: float, num_draws: int
) -> pd.DataFrame:
    r"""Exact posterior means of random three-layer networks at each localiser.

    Args:
        seeds: one a network, of its architecture, its weights and its chains.
        localizations: $\gamma$.
        n_beta: $n\beta$.
        num_draws: as of `localiser_sweep`.

    Returns:
        Columns of `localiser_sweep`; `seed`, `local`, `whole` (the two coefficients); `local_error` and `whole_error`,
        absolute errors relative to them.
    """
    tables = []
    for seed in seeds:
        architecture = random_three_layers(seed)
        local, whole = local_and_global(architecture)
        model = dln.random_network(architecture, seed=seed)
        swept = localiser_sweep(model, [n_beta], localizations, num_draws=num_draws, seed=seed)
        tables.append(swept.assign(seed=seed, local=local, whole=whole))
    table = pd.concat(tables, ignore_index=True)
    for name in ("local", "whole"):
        table[f"{name}_error"] = (table["estimate"] / table[name] - 1).abs()
    return table


def chosen(sweeps: pd.DataFrame, error: str) -> float:
    """The localiser at which the median over networks of the column `error` is smallest; of equals the smallest."""
    return float(sweeps.groupby("localization")[error].median().idxmin())
