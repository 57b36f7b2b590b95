"""Causal fidelity at several layers: what a lens depends on against what the model depends on."""

from collections.abc import Sequence

import pandas as pd
from jaxtyping import Int
from torch import Tensor

from .causal import causal_basis, lens_influence, model_influence, random_basis
from .lenses import LogitLens


def fidelity_table(
    lens: LogitLens,
    tokens: Int[Tensor, "batch position"],
    layers: Sequence[int],
    num_directions: int,
    *,
    num_states: int = 128,
    max_iterations: int = 20,
    skip: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Influence of directions on lens and model, for the causal basis of each layer and for a random one.

    Args:
        lens: logit or tuned.
        tokens: sequences whose hidden states are ablated; the model's influence is the mean over their positions.
        layers: which.
        num_directions: of each basis.
        num_states: hidden states, evenly taken from all positions but the skipped ones, from which the basis is found.
        max_iterations: of L-BFGS for a direction.
        skip: positions at the beginning of each sequence that are neither ablated nor counted.
        seed: of the random basis.

    Returns:
        One row for each `layer`, `basis` (`causal`, `random`) and `direction`: `lens` and `model` influence, in nats a
        token.

    Raises:
        ValueError: as `causal_basis` and `model_influence`.
    """
    states = lens.model.hidden_states(tokens)
    rows = []
    for layer in layers:
        hidden = states[layer][:, skip:].flatten(0, 1)
        chosen = hidden[:: max(1, len(hidden) // num_states)][:num_states]
        found = causal_basis(lens, chosen, layer, num_directions, max_iterations=max_iterations)
        control = random_basis(lens.model.d_model, num_directions, seed + layer).to(hidden)
        influences = {"causal": found.influence, "random": lens_influence(lens, chosen, layer, control)}
        for name, directions in (("causal", found.directions), ("random", control)):
            on_model = model_influence(lens.model, tokens, layer, directions, chosen.mean(0), skip=skip)
            for number, (ours, theirs) in enumerate(zip(influences[name].tolist(), on_model.tolist())):
                rows.append({"layer": layer, "basis": name, "direction": number, "lens": ours, "model": theirs})
    return pd.DataFrame(rows)
