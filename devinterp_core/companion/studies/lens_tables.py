"""Intervals of what a lens says, by resampling the sequences on which it was measured."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import spearmanr

from devinterp_core.companion.criteria import Measured
from devinterp_core.companion.intervals import bootstrap_ratio


def per_byte(table: pd.DataFrame, along: str, value: str = "bits", *, seed: int = 0) -> pd.DataFrame:
    """Bits per byte of some text with a 95 % bootstrap interval over its sequences.

    Args:
        table: `along`, `sequence`, `value` and `bytes` of each sequence; every sequence once at each value of `along`.
        along: such as `layer` or `step`.
        value: the column of bits, or of a difference of two lenses' bits.
        seed: of the bootstrap.

    Returns:
        One row a value of `along`: `bits_per_byte`, `low`, `high`.

    Raises:
        ValueError: as `bootstrap_ratio`.
    """
    wide = table.pivot(index=along, columns="sequence", values=value)
    sizes = table.groupby("sequence")["bytes"].first().to_numpy()
    low, high = bootstrap_ratio(wide, sizes, seed=seed)
    means = wide.sum(axis=1).to_numpy() / sizes.sum()
    return pd.DataFrame({along: wide.index, "bits_per_byte": means, "low": low, "high": high})


def transfer_table(
    penalties: Float[np.ndarray, "sequence trained tested"],
    similarity: Float[np.ndarray, "trained tested"],
    layers: Sequence[int],
    *,
    num_resamples: int = 500,
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[str, Measured]]:
    """Transfer penalties beside the similarity of the layers, and the rank correlation of the two.

    Args:
        penalties: of each sequence, nats a token.
        similarity: of the layers' covariances.
        layers: what rows and columns stand for.
        num_resamples: of the sequences.
        seed: of them.

    Returns:
        One row a pair of layers, `trained` and `tested`: `penalty`, its 95 % bootstrap interval `low`, `high`, and
        `similarity`; and Spearman's correlation over `all` pairs and over pairs of `other` layers.

    Raises:
        ValueError: fewer than two sequences.
    """
    if len(penalties) < 2:
        raise ValueError(f"an interval over sequences needs two of them, got {len(penalties)}")
    rng = np.random.default_rng(seed)
    drawn = [penalties[rng.integers(len(penalties), size=len(penalties))].mean(0) for _ in range(num_resamples)]
    penalty, count = penalties.mean(0), len(layers)
    low, high = np.quantile(np.stack(drawn), (0.025, 0.975), axis=0)
    pairs = {"trained": np.repeat(layers, count), "tested": np.tile(layers, count)}
    values = {"penalty": penalty, "low": low, "high": high, "similarity": similarity}
    found = {}
    for name, cells in (("all", np.ones((count, count), bool)), ("other", ~np.eye(count, dtype=bool))):
        of_draws = [spearmanr(similarity[cells], draw[cells]).statistic for draw in drawn]
        ends = tuple(float(end) for end in np.quantile(of_draws, (0.025, 0.975)))
        value = float(spearmanr(similarity[cells], penalty[cells]).statistic)
        over = f"95 %, bootstrap over {len(penalties)} sequences; Spearman over {count} x {count} layers"
        found[name] = Measured(value, ends, over)
    return pd.DataFrame(pairs | {name: table.ravel() for name, table in values.items()}), found


def share_of_gain(curves: pd.DataFrame, layer: int, last: int, *, least: float = 0.05) -> pd.DataFrame:
    """How much of the model's gain over its start a layer's lens has, along a training.

    Args:
        curves: `layer`, `step`, `bits_per_byte`, of one lens.
        layer: which.
        last: the layer that is the model.
        least: share of the start that the model must have gained for a step to count.

    Returns:
        `layer`, `step`, `share`; no rows where the model never gains enough.
    """
    own, model = (curves[curves["layer"] == each].set_index("step")["bits_per_byte"] for each in (layer, last))
    start = model.iloc[0]
    share = ((start - own) / (start - model))[model < (1 - least) * start]
    return share.rename("share").reset_index().assign(layer=layer)


def bits_by_source(by_sequence: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Bits per byte of each lens and layer on each source of text, and on `all` of it, by `per_byte`.

    Args:
        by_sequence: `lens`, `source`, `layer`, `sequence`, `bits`, `bytes`.
        seed: of the bootstrap.

    Returns:
        `source`, `lens`, `layer`, `bits_per_byte`, `low`, `high`.
    """
    parts = pd.concat([by_sequence.assign(source="all"), by_sequence]).groupby(["source", "lens"], sort=False)
    tables = {key: per_byte(own, "layer", seed=seed) for key, own in parts}
    return pd.concat(tables, names=["source", "lens"]).reset_index(level=[0, 1]).reset_index(drop=True)


def divergence_by_domain(
    table: pd.DataFrame, *, num_resamples: int = 2000, seed: int = 0
) -> tuple[pd.DataFrame, Measured]:
    """How much further a lens is from its model outside the texts of its training than inside.

    Args:
        table: `domain` (`inside` or `outside`), `kind` of text, `layer`, `sequence`, `kl` in nats a token.
        num_resamples: of the sequences of each kind and domain, apart.
        seed: of them.

    Returns:
        One row a kind, domain and layer: mean `kl` with its 95 % percentile interval, `low` and `high`; and the ratio
        outside over inside, mean over kinds, median over layers, with its interval.

    Raises:
        ValueError: a kind without one of the domains, or with fewer than two sequences of one.
    """
    rng, rows, ratios = np.random.default_rng(seed), [], []
    for kind, own in table.groupby("kind", sort=False):
        means = {}
        for domain in ("inside", "outside"):
            wide = own[own["domain"] == domain].pivot(index="layer", columns="sequence", values="kl")
            count = wide.shape[1]
            if count < 2:
                raise ValueError(f"{kind!r} needs two sequences inside and outside, got {count} {domain}")
            drawn = rng.multinomial(count, np.full(count, 1 / count), num_resamples)
            weights = np.vstack([np.ones(count), drawn]) / count  # the first: all sequences once
            means[domain] = wide.to_numpy() @ weights.T  # [layer, resample]
            low, high = np.quantile(means[domain][:, 1:], (0.025, 0.975), axis=1)
            row = {"kind": kind, "domain": domain, "layer": wide.index, "kl": means[domain][:, 0]}
            rows.append(pd.DataFrame(row | {"low": low, "high": high}))
        ratios.append(means["outside"] / means["inside"])
    medians = np.median(np.mean(ratios, axis=0), axis=0)
    low, high = np.quantile(medians[1:], (0.025, 0.975))
    over = "median over layers of the mean over kinds of text; 95 %, bootstrap over sequences"
    return pd.concat(rows, ignore_index=True), Measured(float(medians[0]), (float(low), float(high)), over)
