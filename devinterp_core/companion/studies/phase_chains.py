"""Chains of the paper's own sampler (NUTS) on the toy model of superposition, started in different phases."""

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from devinterp_core import tms
from devinterp_core.extras import needs
from devinterp_core.llc.arviz_import import import_arviz

STARTS = ("random", "5-gon", "6-gon")
NUM_WARMUP, NUM_DRAWS = 500, 1000  # of the authors' script


def chains_from_phases(
    data: Float[Tensor, "sample 6"],
    num_chains: int,
    *,
    num_warmup: int = NUM_WARMUP,
    num_draws: int = NUM_DRAWS,
    noise: float = 0.01,
    seed: int = 0,
) -> pd.DataFrame:
    r"""NUTS on the posterior of a data set, from random points, from 5-gons and from 6-gons.

    The model is the paper's: standard normal weights and biases, and $x \sim N(\mathrm{ReLU}(W^\top W x + b), 1)$. Step
    size and diagonal mass are adapted over the warm-up, the target acceptance is 0.8, trees have at most ten doublings:
    the library's defaults.

    Args:
        data: one-hot inputs.
        num_chains: from each start.
        num_warmup, num_draws: steps of a chain before and after its first recorded one.
        noise: standard deviation of the normal noise added to a k-gon; random points are uniform in $[-2, 2]$.
        seed: of starts and chains.

    Returns:
        One row a chain: `start`, `chain`; `four`, `five`, `six`, the shares of its draws whose hull has so many
        vertices; `switches`, how often the number of vertices changes from one draw to the next; `gradients` a draw;
        `divergences`. And of all chains of all starts together, the same in each row: `r_hat` and `ess`, split R-hat
        and bulk effective sample size of the indicator of six vertices (NaN where it never changes).

    Raises:
        ModuleNotFoundError: without `numpyro`, which is no requirement of the book.
        ValueError: settings below one, or fewer than four draws.

    Reference: Chen et al. (2023), section 4; Hoffman and Gelman (2014) for the sampler.
    """
    if min(num_chains, num_warmup) < 1 or num_draws < 4:
        raise ValueError(f"need chains, warm-up and at least four draws, got {num_chains}, {num_warmup}, {num_draws}")
    rows, is_six = [], []
    for place, start in enumerate(STARTS):
        initial = _starts(start, num_chains, noise, seed)
        W, gradients, divergences = _nuts(data.numpy(), initial, num_chains, num_warmup, num_draws, 10 * seed + place)
        k = tms.hull_vertices(torch.tensor(W, dtype=torch.float64)).sum(-1).numpy()  # [chain, draw]
        is_six.append(k == 6)
        for chain, hulls in enumerate(k):
            row = {"start": start, "chain": chain}
            row |= {name: (hulls == count).mean() for name, count in (("four", 4), ("five", 5), ("six", 6))}
            row |= {"switches": int((np.diff(hulls) != 0).sum()), "gradients": gradients[chain].mean()}
            rows.append(row | {"divergences": int(divergences[chain].sum())})
    together = np.concatenate(is_six).astype(float)
    varies, diagnostics = bool(np.ptp(together)), import_arviz()
    return pd.DataFrame(rows).assign(
        r_hat=float(diagnostics.rhat(together)) if varies else np.nan,
        ess=float(diagnostics.ess(together)) if varies else np.nan,
    )


def chains_on_data_sets(
    data_sets: Sequence[Float[Tensor, "sample 6"]], sizes: Sequence[int], num_chains: int, *, seed: int
) -> pd.DataFrame:
    """`chains_from_phases` given the first n samples of each data set, for each n: its columns, `data_set` and `n`."""
    tables = []
    for place, data in enumerate(data_sets):
        for n in sizes:
            found = chains_from_phases(data[:n], num_chains, seed=1000 * seed + place)
            tables.append(found.assign(data_set=place, n=n))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def by_size(chains: pd.DataFrame, particles: pd.DataFrame) -> pd.DataFrame:
    """What depends on the start of a chain, and what on the sampler, on each data set.

    Args:
        chains: of `chains_on_data_sets`.
        particles: `data_set`, `n`, `six`, one row a run of SMC.

    Returns:
        By `n` and `data_set`, of shares of hulls with six vertices: `six` of all chains, `difference` between chains
        from 6-gons and chains from 5-gons, `over_smc` between all chains and SMC; `chains`, and `still`, how many of
        them never change their number of vertices; `switches` (mean a chain), `r_hat`, `ess`.
    """
    groups = chains.groupby(["n", "data_set"])
    by_start = chains.pivot_table(index=["n", "data_set"], columns="start", values="six")
    table = groups.agg(six=("six", "mean"), chains=("six", "size"), switches=("switches", "mean"),
                       r_hat=("r_hat", "first"), ess=("ess", "first"))  # fmt: skip
    table["r_hat"] = table["r_hat"].where(~(table["r_hat"] > 1e6), np.inf)  # chains that each stay in another phase
    table["difference"] = by_start["6-gon"] - by_start["5-gon"]
    table["still"] = groups["switches"].agg(lambda each: int((each == 0).sum()))
    table["over_smc"] = table["six"] - particles.groupby(["n", "data_set"])["six"].mean()
    return table


def _starts(start: str, num_chains: int, noise: float, seed: int) -> dict[str, np.ndarray]:
    """Weights and biases of six features: uniform in [-2, 2], or critical k-gons with normal noise on all of them."""
    random = np.random.default_rng([seed, STARTS.index(start)])
    if start == "random":
        return {name: random.uniform(-2, 2, (num_chains, *shape)) for name, shape in (("W", (2, 6)), ("b", (6,)))}
    point = dict(zip("Wb", (each.numpy() for each in tms.kgon(int(start[0]), 6)), strict=True))
    return {name: each + noise * random.standard_normal((num_chains, *each.shape)) for name, each in point.items()}


@functools.cache
def _sampler(num_chains: int, num_warmup: int, num_draws: int):
    """The paper's model under NUTS, compiled once for each number of samples."""
    with needs("nuts"):
        import jax
        import numpyro
        from numpyro import distributions as dist
        from numpyro.infer import MCMC, NUTS

    def model(feature, size, x):
        W = numpyro.sample("W", dist.Normal(0.0, 1.0).expand([2, x.shape[1]]).to_event(2))
        b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([x.shape[1]]).to_event(1))
        output = jax.nn.relu((W.T @ W)[feature] * size[:, None] + b)  # of the one-hot input: a row of the overlaps
        numpyro.sample("x", dist.Normal(output, 1.0).to_event(1), obs=x)

    return MCMC(
        NUTS(model), num_warmup=num_warmup, num_samples=num_draws, num_chains=num_chains, chain_method="sequential",
        progress_bar=False, jit_model_args=True,
    )  # fmt: skip


def _nuts(
    x: np.ndarray, initial: dict[str, np.ndarray], num_chains: int, num_warmup: int, num_draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (chain, draw, 2, feature), gradients of each draw and whether it diverged, in single precision."""
    chains = _sampler(num_chains, num_warmup, num_draws)
    from jax import random

    x = x.astype(np.float32)
    first = {name: each.astype(np.float32) for name, each in initial.items()}
    first = {name: each[0] for name, each in first.items()} if num_chains == 1 else first
    fields = ("num_steps", "diverging")
    chains.run(random.PRNGKey(seed), x.argmax(1), x.max(1), x, init_params=first, extra_fields=fields)
    extra = chains.get_extra_fields(group_by_chain=True)
    W = chains.get_samples(group_by_chain=True)["W"]
    return np.asarray(W), np.asarray(extra["num_steps"]), np.asarray(extra["diverging"])
