"""Figures of the chapter on the tuned lens. A lens is `logit`, `tuned` or `least squares`."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from devinterp_core.companion import figures, marks
from devinterp_core.companion.figures import COLORS, CYCLE
from devinterp_core.companion.token_table import draw_token_table

INK = {"logit": COLORS["vermillion"], "tuned": COLORS["blue"], "least squares": COLORS["grey"]}
DASHES = {"logit": "--", "tuned": "-", "least squares": ":"}
BASES = {"causal": ("o", COLORS["blue"]), "random": ("x", COLORS["grey"])}


def bits(layers: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Bits per byte by layer, a panel for each source of text; beside the published models by relative depth.

    Args:
        layers: `source`, `all` for the right panel, `lens`, `layer` (the last being the model), `bits_per_byte`,
            `low`, `high`.
        paper: `model`, `lens`, `layer`, `num_layers`, `bits_per_byte`.
    """
    sources = [source for source in dict.fromkeys(layers["source"]) if source != "all"]
    fig, axes = plt.subplots(1, len(sources) + 1, figsize=figures.size("double", 0.42), sharey=True)
    depth = layers["layer"].max()
    for ax, source in zip(axes, sources, strict=False):
        own = layers[layers["source"] == source]
        _lenses(ax, own, "layer")
        model = own[(own["layer"] == depth) & (own["lens"] == "tuned")]
        ax.axhline(model["bits_per_byte"].item(), color=COLORS["black"], ls="-", lw=0.7)
        ax.set(title=source, xlabel="layer", yscale="log")
    models = sorted(paper["model"].unique())
    for (name, kind), own in paper.groupby(["model", "lens"]):
        style = {"color": CYCLE[2 + models.index(name)], "ls": DASHES[kind], "lw": 1}
        style |= {"label": name if kind == "tuned" else None}
        axes[-1].plot(own["layer"] / own["num_layers"], own["bits_per_byte"], **style)
    for name in ("logit", "tuned"):
        own = layers[(layers["source"] == "all") & (layers["lens"] == name)]
        style = {"color": COLORS["black"], "ls": DASHES[name], "label": "SmolLM2" if name == "tuned" else None}
        axes[-1].plot(own["layer"] / depth, own["bits_per_byte"], lw=1.6, **style)
    axes[-1].set(title="beside the paper's models", xlabel="layer / number of layers")
    axes[0].set_ylabel("bits per byte")
    axes[0].legend(fontsize=7)
    axes[-1].legend(fontsize=6)
    axes[0].set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    return fig


def domain(layers: pd.DataFrame) -> Figure:
    """Divergence of the tuned lens from the model by layer, inside and outside of the texts of its training.

    Args:
        layers: `kind` of text, `domain` (`inside` or `outside`), `layer`, `kl` in nats with `low` and `high`.
    """
    kinds = list(dict.fromkeys(layers["kind"]))
    fig, axes = plt.subplots(1, len(kinds), figsize=figures.size("double", 0.38), sharey=True, squeeze=False)
    for ax, kind in zip(axes[0], kinds, strict=True):
        for name, color, dashes in (("inside", INK["tuned"], "-"), ("outside", COLORS["orange"], "--")):
            own = layers[(layers["kind"] == kind) & (layers["domain"] == name)]
            marks.band(ax, own["layer"], own["low"], own["high"], color=color)
            ax.plot(own["layer"], own["kl"], color=color, ls=dashes, label=name)
        ax.set(title=kind, xlabel="layer", ylim=(0, None))
    axes[0, 0].set_ylabel("divergence from the model (nats)")
    axes[0, 0].legend(fontsize=7)
    return fig


def tokens(cells: pd.DataFrame) -> Figure:
    """The most probable next token by layer and position, a table for each lens.

    Args:
        cells: `lens`, `layer`, `position`, `input`, `word`, `kl` from the model in nats.
    """
    names = list(dict.fromkeys(cells["lens"]))
    fig, axes = plt.subplots(len(names), 1, figsize=figures.size("double", 0.95), sharex=True, squeeze=False)
    for ax, name in zip(axes[:, 0], names, strict=True):
        own = cells[cells["lens"] == name]
        words = own.pivot(index="layer", columns="position", values="word")
        values = own.pivot(index="layer", columns="position", values="kl").to_numpy().clip(0)
        inputs = own[own["layer"] == own["layer"].min()].sort_values("position")["input"].tolist()
        mesh = draw_token_table(ax, words.to_numpy().tolist(), values, inputs, words.index.tolist(), largest=10.0)
        ax.set(title=f"{name} lens", ylabel="layer")
    fig.colorbar(mesh, ax=axes[:, 0], label="divergence from the model (nats)", shrink=0.5)
    return fig


def bias(here: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Bias of both lenses by layer.

    Args:
        here: `layer`, and for each lens its bias in bits, `logit` and `tuned`.
        paper: the same.
    """
    fig, axes = plt.subplots(1, 2, figsize=figures.size("double", 0.36), sharey=True)
    for ax, table in zip(axes, (here, paper), strict=True):
        for name in ("logit", "tuned"):
            ax.plot(table["layer"], table[name], color=INK[name], ls=DASHES[name], label=f"{name} lens")
        ax.set(xlabel="layer")
    axes[0].set(title="SmolLM2-135M", ylabel="bias (bits)", yscale="log")
    axes[1].set(title="paper: GPT-Neo-2.7B")
    axes[0].legend()
    return fig


def transfer(pairs: pd.DataFrame) -> Figure:
    """Penalty and similarity of pairs of layers, and one against the other.

    Args:
        pairs: `trained`, `tested`, `penalty` in nats a token with `low` and `high`, `similarity`.
    """
    fig, axes = plt.subplots(1, 3, figsize=figures.size("double", 0.36))
    for ax, value, title, top in zip(axes, ("penalty", "similarity"), ("penalty (nats)", "similarity"), (8, 1)):
        table = pairs.pivot(index="trained", columns="tested", values=value)
        mesh = ax.imshow(table, cmap="Blues", vmin=0, vmax=top, origin="lower")
        ax.set(title=title, xlabel="tested on layer")
        ax.set_xticks(range(len(table)), table.columns, fontsize=6)
        ax.set_yticks(range(len(table)), table.index, fontsize=6)
        fig.colorbar(mesh, ax=ax, shrink=0.7)
    axes[0].set_ylabel("trained on layer")
    other = pairs[pairs["trained"] != pairs["tested"]]
    axes[2].vlines(other["similarity"], other["low"], other["high"], color=COLORS["sky"], lw=0.8)
    axes[2].plot(other["similarity"], other["penalty"], "o", color=COLORS["blue"], ms=2.5, ls="none")
    axes[2].set(xlabel="similarity of covariances", ylabel="penalty (nats)", yscale="symlog")
    return fig


def causal(influences: pd.DataFrame, correlations: pd.DataFrame) -> Figure:
    """Influence of directions on lens and model at one layer; rank correlation of the two by layer.

    Args:
        influences: `layer`, `basis`, `lens`, `model`, and `chosen_on`, the influence on the lens at the states on which
            a causal direction was found, in bits.
        correlations: `layer`, `causal` and `random`, each with `..._low` and `..._high`, and `shown`, true at the layer
            of the left panel.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=figures.size("double", 0.42))
    (layer,) = correlations.loc[correlations["shown"], "layer"]
    shown = influences[influences["layer"] == layer]
    chosen = shown[shown["basis"] == "causal"]
    left.hlines(chosen["model"], chosen["lens"], chosen["chosen_on"], color=COLORS["sky"], lw=0.7)
    left.plot(chosen["chosen_on"], chosen["model"], "o", ls="", color=COLORS["blue"], mfc="white", ms=4,
              label="on the states that chose them")  # fmt: skip
    for place, (name, (mark, color)) in enumerate(BASES.items()):
        own = shown[shown["basis"] == name]
        left.plot(own["lens"], own["model"], mark, ls="", color=color, label=f"{name} directions")
        at = correlations["layer"] + 0.5 * place  # beside each other
        right.vlines(at, correlations[f"{name}_low"], correlations[f"{name}_high"], color=color, lw=1)
        right.plot(at, correlations[name], mark, ls="", color=color, label=f"{name} directions")
    ends = shown[["lens", "model"]].to_numpy()
    marks.identity(left, ends[ends > 0].min(), ends.max())
    left.set(xscale="log", yscale="log", xlabel="influence on the lens (bits)", ylabel="influence on the model (bits)")
    left.set_title(f"layer {layer}")
    right.axhline(0, color="black", ls="-", lw=0.5)
    right.set(xlabel="layer", ylabel="Spearman correlation", ylim=(-1.05, 1.05))
    left.legend(fontsize=7)
    right.legend(fontsize=7)
    return fig


def blocks(cosines: pd.DataFrame, deleted: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Cosine of block and gradient by layer, a panel for each lens; rise of the loss without the block.

    Args:
        cosines: `lens`, `layer`, `sequence`, `cosine`.
        deleted: `layer`, `rise` in nats, `low`, `high`.
        paper: `layer`, `num_layers`, `median_cosine`, drawn beside the logit lens's.
    """
    fig, (*axes, last) = plt.subplots(1, 3, figsize=figures.size("double", 0.36))
    axes[1].sharey(axes[0])
    for ax, (name, own) in zip(axes, cosines.groupby("lens"), strict=True):
        median = own.groupby("layer")["cosine"].median()
        ax.plot(own["layer"], own["cosine"], "o", ls="", color=INK[name], ms=2, alpha=0.5)
        ax.plot(median.index, median, color=INK[name], ls="-", label="SmolLM2-135M")
        ax.axhline(0, color="black", ls="-", lw=0.6)
        ax.set(xlabel="layer", title=f"gradient of the {name} lens")
    at = paper["layer"] / paper["num_layers"] * (cosines["layer"].max() + 1)
    style = {"color": COLORS["orange"], "ms": 3, "label": "paper: Pythia-12B"}
    axes[0].plot(at, paper["median_cosine"], "s", ls="", **style)
    axes[0].set_ylabel("cosine")
    axes[0].legend(fontsize=7)
    last.vlines(deleted["layer"], deleted["low"], deleted["high"], color=COLORS["black"], lw=0.8)
    last.plot(deleted["layer"], deleted["rise"], "o", color=COLORS["black"], ls="", ms=3)
    last.set_yscale("symlog", linthresh=0.1)
    last.axhline(0, color="black", ls="-", lw=0.6)
    last.set(xlabel="layer", title="without the block", ylabel="rise of the loss (nats)")
    return fig


def injection(odds: pd.DataFrame, areas: pd.DataFrame, baseline: pd.DataFrame) -> Figure:
    """Log-odds of the right answer by layer; areas under the curve of detectors, and of the baseline by layer.

    Args:
        odds: `prompts` (`normal` or `injected`), `layer`, `low`, `median`, `high`.
        areas: `feature`, `detector`, `value`, `low`, `high`, and `paper`.
        baseline: `layer`, `auroc`, `low`, `high`.
    """
    fig, axes = plt.subplots(1, 3, figsize=figures.size("double", 0.38))
    for name, color, dashes in (("normal", INK["tuned"], "-"), ("injected", INK["logit"], "--")):
        own = odds[odds["prompts"] == name]
        marks.band(axes[0], own["layer"], own["low"], own["high"], color=color)
        axes[0].plot(own["layer"], own["median"], color=color, ls=dashes, label=name)
    axes[0].axhline(0, color="black", ls="-", lw=0.5)
    axes[0].set(xlabel="layer", ylabel="log-odds of the right answer")
    axes[0].legend(fontsize=7)
    places = np.arange(len(areas))
    marks.bars(axes[1], places, areas)
    axes[1].plot(places + 0.2, areas["paper"], "s", ls="", color=COLORS["grey"])
    names = [f"{row.feature}\n" + row.detector.replace(" ", "\n", 1) for row in areas.itertuples()]
    axes[1].set_xticks(places, names, fontsize=6)
    axes[1].set(ylim=(0, 1.05), ylabel="area under the curve")
    marks.band(axes[2], baseline["layer"], baseline["low"], baseline["high"])
    axes[2].plot(baseline["layer"], baseline["auroc"], color="black", ls="-")
    axes[2].set(ylim=(0, 1.05), xlabel="layer of the baseline")
    for ax in axes[1:]:
        ax.axhline(0.5, color="black", ls=":", lw=0.7)
    return fig


def development(layers: pd.DataFrame, shares: pd.DataFrame) -> Figure:
    """Bits per byte of each layer along a training; share of the model's gain that each layer's tuned lens has.

    Args:
        layers: `lens`, `layer` (the last being the model), `step`, `bits_per_byte`, `low`, `high`.
        shares: `layer`, `step`, `share`.
    """
    last = layers["layer"].max()
    names = {layer: f"after block {layer}" if layer else "embedding" for layer in range(last)}
    fig, axes = plt.subplots(1, last + 1, figsize=figures.size("double", 0.4))
    first = layers.loc[layers["step"] > 0, "step"].min() / 2  # where step 0 stands on a logarithmic axis
    drawn = layers.assign(step=layers["step"].clip(lower=first))
    model = drawn[(drawn["layer"] == last) & (drawn["lens"] == "tuned")]
    for layer, ax in enumerate(axes[:-1]):
        _lenses(ax, drawn[drawn["layer"] == layer], "step")
        ax.plot(model["step"], model["bits_per_byte"], color="black", ls="-", lw=0.8, label="model")
        own = shares[shares["layer"] == layer]
        style = {"color": CYCLE[layer], "ls": ("-", "--", ":")[layer % 3], "label": names[layer]}
        axes[-1].plot(own["step"], own["share"], "o", **style)
        ax.set(title=names[layer])
    for ax in axes:
        ax.set(xscale="log", xlabel="training step")
    axes[-1].set(title="share of the model's gain", ylim=(0, 1.05))
    axes[0].set_ylabel("bits per byte")
    axes[0].legend(fontsize=7)
    axes[-1].legend(fontsize=7)
    return fig


def _lenses(ax: Axes, table: pd.DataFrame, along: str) -> None:
    """One line a lens with its band."""
    for name, own in table.groupby("lens", sort=False):
        marks.band(ax, own[along], own["low"], own["high"], color=INK[name])
        ax.plot(own[along], own["bits_per_byte"], color=INK[name], ls=DASHES[name], label=name)
