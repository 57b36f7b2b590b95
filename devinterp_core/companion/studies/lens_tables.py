"""Intervals of what a lens says, by resampling the sequences on which it was measured."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import spearmanr
from torch import Tensor

from devinterp_core.companion.criteria import Measured
from devinterp_core.companion.intervals import bootstrap_ratio, over_seeds
from devinterp_core.lens import LensModel, LogitLens, gradient_alignment, layer_deletion


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


def development_tables(table: pd.DataFrame, *, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Both lenses along a training.

    Args:
        table: `lens` (`logit` or `tuned`), `step`, `layer` (the last being the model), `sequence`, `bits`, `bytes`.
        seed: of the bootstrap.

    Returns:
        `per_byte` for each `lens`, `layer` and `step`; `share_of_gain` of the tuned lens at every layer but the last;
        and what the tuned lens has less than the logit lens at these layers at the last step, by `per_byte`.
    """
    along = {key: per_byte(own, "step", seed=seed) for key, own in table.groupby(["lens", "layer"])}
    along = pd.concat(along, names=["lens", "layer"]).reset_index(level=[0, 1]).reset_index(drop=True)
    last, tuned = int(along["layer"].max()), along[along["lens"] == "tuned"]
    shares = pd.concat([share_of_gain(tuned, layer, last) for layer in range(last)], ignore_index=True)
    final = table[(table["step"] == table["step"].max()) & (table["layer"] < last)]
    final = final.pivot(index=["layer", "sequence", "bytes"], columns="lens", values="bits").reset_index()
    return along, shares, per_byte(final.assign(gap=final["logit"] - final["tuned"]), "layer", "gap", seed=seed)


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
) -> tuple[pd.DataFrame, dict[str, Measured]]:
    """How much further a lens is from its model outside the texts of its training than inside.

    Args:
        table: `domain` (`inside` or `outside`), `kind` of text, `layer`, `sequence`, `kl` in nats a token.
        num_resamples: of the sequences of each kind and domain, apart.
        seed: of them.

    Returns:
        One row a kind, domain and layer: mean `kl` with its 95 % percentile interval, `low` and `high`; and for each
        kind the ratio outside over inside, median over layers, with its interval.

    Raises:
        ValueError: a kind without one of the domains, or with fewer than two sequences of one.
    """
    rng, rows, found = np.random.default_rng(seed), [], {}
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
        ratios = np.median(means["outside"] / means["inside"], axis=0)
        low, high = np.quantile(ratios[1:], (0.025, 0.975))
        over = "median over layers; 95 %, bootstrap over sequences"
        found[kind] = Measured(float(ratios[0]), (float(low), float(high)), over)
    return pd.concat(rows, ignore_index=True), found


def block_tables(
    lenses: Mapping[str, LogitLens], model: LensModel, tokens: Int[Tensor, "sequence position"], *, skip: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each block does: along the gradient of every lens's loss, and to the loss of the model that lacks it.

    Args:
        lenses: by name, of the model.
        model: the model.
        tokens: two sequences or more.
        skip: positions at the beginning of each sequence that are left out.

    Returns:
        `lens`, `layer`, `sequence`, `cosine` of `gradient_alignment`; and of `layer_deletion` one row a `layer`: the
        mean `rise` over the sequences with its 95 % interval (Student), `low` and `high`.

    Raises:
        ValueError: as `gradient_alignment` and `layer_deletion`.
    """
    cosines = {name: gradient_alignment(lens, tokens, skip=skip).numpy() for name, lens in lenses.items()}
    tidy = [
        pd.DataFrame(table).rename_axis("layer").rename_axis("sequence", axis=1).stack().rename("cosine").reset_index()
        for table in cosines.values()
    ]
    rises = layer_deletion(model, tokens, skip=skip).numpy()
    low, high = np.array([over_seeds(rise) for rise in rises]).T
    deleted = pd.DataFrame({"layer": range(len(rises)), "rise": rises.mean(1), "low": low, "high": high})
    named = [table.assign(lens=name) for name, table in zip(cosines, tidy, strict=True)]
    return pd.concat(named, ignore_index=True), deleted
