"""Causal fidelity at several layers: what a lens depends on against what the model depends on."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int
from scipy.stats import rankdata
from torch import Tensor

from .causal import causal_basis, lens_influences, model_influences, random_basis
from .lenses import LogitLens


def fidelity_table(
    lens: LogitLens,
    basis_tokens: Int[Tensor, "basis_batch basis_position"],
    tokens: Int[Tensor, "sequence position"],
    layers: Sequence[int],
    num_directions: int,
    *,
    num_states: int = 128,
    max_iterations: int = 20,
    skip: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Influence of directions on lens and model, for the causal basis of each layer and for a random one.

    A basis is found on the states of some sequences; its influences are measured on the states of others, since on its
    own a direction has been chosen to seem important.

    Args:
        lens: logit or tuned.
        basis_tokens: sequences from whose hidden states the bases are found.
        tokens: others, at all of whose positions lens and model are ablated, with their mean.
        layers: which.
        num_directions: of each basis.
        num_states: hidden states, evenly taken from all positions of `basis_tokens` but the skipped ones.
        max_iterations: of L-BFGS for a direction.
        skip: positions at the beginning of each sequence that are neither ablated nor counted.
        seed: of the random basis.

    Returns:
        One row for each `layer`, `basis` (`causal`, `random`), `direction` and `sequence`: `lens` and `model`
        influence, the mean over its positions in nats a token; and `chosen_on`, the influence of a causal direction on
        the lens at the states on which it was found, NaN for random ones.

    Raises:
        ValueError: sequences that both sets hold; as `causal_basis` and `model_influences`.
    """
    if {tuple(row) for row in basis_tokens.tolist()} & {tuple(row) for row in tokens.tolist()}:
        raise ValueError(
            "basis_tokens and tokens share sequences: measure influences on others than a basis is found on"
        )
    found_on, measured_on = lens.model.hidden_states(basis_tokens), lens.model.hidden_states(tokens)
    tables = []
    for layer in layers:
        hidden = found_on[layer][:, skip:].flatten(0, 1)
        chosen = hidden[:: max(1, len(hidden) // num_states)][:num_states]
        basis = causal_basis(lens, chosen, layer, num_directions, max_iterations=max_iterations)
        control = random_basis(lens.model.d_model, num_directions, seed + layer).to(hidden)
        states = measured_on[layer][:, skip:].flatten(0, 1)
        for name, directions in (("causal", basis.directions), ("random", control)):
            on_lens = lens_influences(lens, states, layer, directions, states.mean(0))
            on_model = model_influences(lens.model, tokens, layer, directions, states.mean(0), skip=skip)
            values = {"lens": on_lens.view_as(on_model).mean(2), "model": on_model.mean(2)}
            index = pd.MultiIndex.from_product([range(num_directions), range(len(tokens))])
            table = index.to_frame(index=False, name=["direction", "sequence"])
            table = table.assign(**{key: value.flatten().cpu().numpy() for key, value in values.items()})
            chosen_on = basis.influence.cpu().numpy()[table["direction"]] if name == "causal" else np.nan
            tables.append(table.assign(layer=layer, basis=name, chosen_on=chosen_on))
    columns = ["layer", "basis", "direction", "sequence", "lens", "model", "chosen_on"]
    return pd.concat(tables, ignore_index=True)[columns]


def fidelity_summary(
    table: pd.DataFrame, *, num_resamples: int = 1000, seed: int = 0
) -> tuple[pd.DataFrame, dict[str, tuple[float, float, float]]]:
    """How far lens and model depend on the same directions, layer by layer, with intervals over the sequences measured.

    The bases are taken as they are: the intervals do not say how much others, found on other states, would differ.

    Args:
        table: of `fidelity_table`.
        num_resamples: of the sequences, the same for all layers.
        seed: of the resamples.

    Returns:
        One row a `layer`: `causal` and `random`, Spearman's correlation of the influences on lens and model over the
        directions of that basis; `ratio`, median influence on the model of the causal over that of the random
        directions; `chosen`, median over the causal directions of the influence on the lens at the states on which the
        basis was found, over that at the states measured. Each with the ends of its 95 % percentile interval,
        `..._low` and `..._high`. And of each of the four the median over layers: value, low, high.

    Raises:
        ValueError: fewer than two sequences.
    """
    count = table["sequence"].nunique()
    if count < 2:
        raise ValueError(f"an interval over sequences needs two of them, got {count}")
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), num_resamples)
    weights = np.vstack([np.ones(count), drawn]) / count  # the first: all sequences once
    layers, values = [], []
    for layer, own in table.groupby("layer"):
        layers.append(layer)
        values.append(_of_layer(own, weights))
    found = {name: np.stack([each[name] for each in values]) for name in values[0]}  # [layer, resample]
    columns = {"layer": layers}
    for name, each in found.items():
        low, high = np.quantile(each[:, 1:], (0.025, 0.975), axis=1)
        columns |= {name: each[:, 0], f"{name}_low": low, f"{name}_high": high}
    medians = {name: np.median(each, axis=0) for name, each in found.items()}
    return pd.DataFrame(columns), {
        name: (float(each[0]), *map(float, np.quantile(each[1:], (0.025, 0.975)))) for name, each in medians.items()
    }


def _of_layer(own: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The four numbers of a layer for each weighting of its sequences."""
    means = {}  # [resample, direction] of lens and model
    for basis, part in own.groupby("basis"):
        wide = part.pivot(index="sequence", columns="direction", values=["lens", "model"])
        means[basis] = tuple(weights @ wide[name].to_numpy() for name in ("lens", "model"))
    medians = {basis: np.median(on_model, axis=1) for basis, (_, on_model) in means.items()}
    chosen_on = own[own["basis"] == "causal"].groupby("direction")["chosen_on"].first().to_numpy()
    return {basis: _spearman(*means[basis]) for basis in ("causal", "random")} | {
        "ratio": medians["causal"] / medians["random"],
        "chosen": np.median(chosen_on / means["causal"][0], axis=1),
    }


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rank correlation of each row."""
    a, b = (rankdata(each, axis=1) - (each.shape[1] + 1) / 2 for each in (x, y))
    return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
