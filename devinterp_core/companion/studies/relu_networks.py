"""Random ReLU networks at several numbers of samples: SGLD on minibatches, MALA on all samples where they are few."""

import math
from collections.abc import Sequence

import pandas as pd
import torch

from devinterp_core import dln
from devinterp_core.companion.estimates import row_of
from devinterp_core.companion.studies.recording_rule import by_recording_rule
from devinterp_core.sampler import sample_many

WIDTHS = [10, 20, 20, 10]
STEP_SIZE = 1e-5  # the paper's, of both samplers
BATCH_SIZE = 32  # samples of a minibatch, at most


def num_parameters() -> int:
    """Of one network."""
    return sum(p.numel() for p in dln.random_relu_network(WIDTHS, torch.Generator()).parameters())


def relu_estimates(
    num_networks: int, num_samples: Sequence[int], *, mala_largest: int, mala_inputs: int, num_steps: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""One chain a network by each method, without burn-in, at $n\beta = n / \log n$, inputs uniform on $[-10, 10]$.

    Args:
        num_networks: drawn as in the published code (`dln.random_relu_network`), the same at every $n$.
        num_samples: every $n$.
        mala_largest: largest $n$ at which MALA, whose cost grows with $n$, has the data of SGLD.
        mala_inputs: inputs on which MALA runs at the largest $n$, at the $n\beta$ of that $n$.
        num_steps: of each chain, every tenth of them recorded.
        seed: of networks, inputs and chains.

    Returns:
        `num_samples`, `method` (`sgld`, recorded before the update, or `mala`), `network` and the columns of `row_of`;
        and SGLD by the rules of `by_recording_rule`, with `num_samples`.
    """
    generator = torch.Generator().manual_seed(seed)
    networks = [dln.random_relu_network(WIDTHS, generator) for _ in range(num_networks)]
    rows, rules = [], []
    for n in num_samples:
        x = 20 * torch.rand(n, 10, generator=generator) - 10
        with torch.no_grad():
            data = [(x, network(x)) for network in networks]
        runs = {"sgld": (data, min(n, BATCH_SIZE))} | ({"mala": (data, None)} if n <= mala_largest else {})
        if n == max(num_samples) > mala_largest:
            runs["mala"] = [(few[:mala_inputs], y[:mala_inputs]) for few, y in data], None
        for method, (own, batch_size) in runs.items():
            draws = sample_many(
                networks, own, dln.squared_error, step_size=STEP_SIZE, n_beta=n / math.log(n), num_chains=1,
                num_draws=num_steps // 10, num_steps_between_draws=10, batch_size=batch_size, method=method, seed=seed,
                keep_parameters=method == "sgld", progress=False,
            )  # fmt: skip
            for index in range(num_networks):
                rows.append(row_of(draws.isel(model=index), num_samples=n, method=method, network=index))
            if method == "sgld":
                table = by_recording_rule(networks, own, dln.squared_error, draws, batch_size=batch_size, seed=seed)
                rules.append(table.assign(num_samples=n))
    return pd.DataFrame(rows), pd.concat(rules, ignore_index=True)
