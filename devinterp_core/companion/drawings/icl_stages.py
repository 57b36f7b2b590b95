"""Figures of the chapter on stages of in-context linear regression."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from devinterp_core.companion import figures, marks
from devinterp_core.companion.figures import COLORS, CYCLE

PAPER = "paper"
PANELS = {"ridge_gap": "squared distance to ridge", "llc": "LLC"}


def stages(curves: pd.DataFrame, smooth: pd.DataFrame, stages: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Loss above ridge and learning coefficient of each run with their stages; the paper's values at the right.

    Args:
        curves: `run`, `quantity` (`ridge_gap` or `llc`), `step`, `seed`, `value`.
        smooth: `run`, `step`, `mean` and `standard_deviation` of the smoothed learning coefficient.
        stages: `run`, `type`, `start`, `end`; those of the paper under `paper`.
        paper: `step`, and for each quantity its range over seeds, `..._low` and `..._high`.
    """
    runs = list(dict.fromkeys(curves["run"]))
    fig, axes = plt.subplots(
        2, len(runs) + 1, figsize=figures.size("double", 0.68), sharex="col", sharey="row", squeeze=False
    )
    for run, column in zip(runs, axes.T, strict=False):
        own, curve = curves[curves["run"] == run], smooth[smooth["run"] == run]
        for ax, quantity in zip(column, PANELS, strict=True):
            marks.seeds(ax, own[own["quantity"] == quantity], "value", mean_color=COLORS["black"])
        spread = 2 * curve["standard_deviation"]
        marks.band(column[1], curve["step"], curve["mean"] - spread, curve["mean"] + spread)
        last = own["step"].max()
        marks.along_training(column, last)
        column[0].set(yscale="log", title=f"{run}: {last:,} steps", xlabel="")
        marks.stages(column, stages[stages["run"] == run])
    published = stages[stages["run"] == PAPER]
    for ax, quantity in zip(axes[:, -1], PANELS, strict=True):
        ax.vlines(paper["step"], paper[f"{quantity}_low"], paper[f"{quantity}_high"], color=COLORS["black"], lw=4)
    marks.along_training(axes[:, -1], published["end"].max(), first=500)
    axes[0, -1].set(title="paper", xlabel="")
    marks.stages(axes[:, -1], published)
    for ax, label in zip(axes[:, 0], PANELS.values(), strict=True):
        ax.set_ylabel(label)
    return fig


def behaviour(curves: pd.DataFrame, stages: pd.DataFrame, ridge: pd.DataFrame) -> Figure:
    """Power of the predictions, in-context learning score, and loss on stretched inputs.

    Args:
        curves: `step`, `seed`, `prediction_power`, `icl_score`, and `relative_g` for every stretch `g`.
        stages: `type`, `start`, `end`.
        ridge: one row, `icl_score` of ridge regression.
    """
    fig, axes = plt.subplots(1, 3, figsize=figures.size("double", 0.36))
    marks.seeds(axes[0], curves, "prediction_power", mean_color=COLORS["black"])
    axes[0].set(yscale="log", ylabel="mean squared prediction")
    marks.seeds(axes[1], curves, "icl_score", mean_color=COLORS["black"])
    marks.level(axes[1], ridge["icl_score"].item())
    axes[1].set(ylabel="in-context learning score")
    stretches = [name for name in curves if name.startswith("relative_")]
    for name, color in zip(stretches, CYCLE, strict=False):
        marks.seeds(axes[2], curves, name, color=color, label=f"g = {name.removeprefix('relative_')}")
    axes[2].set(ylabel="loss over that of zero")
    axes[2].legend()
    marks.along_training(axes, curves["step"].max())
    marks.stages(axes, stages)
    return fig


def structure(structure: pd.DataFrame, attention: pd.DataFrame, stages: pd.DataFrame) -> Figure:
    """Scales of LayerNorm, singular values of the embedding, entropy and variability of the heads of seed 0.

    Args:
        structure: `step`, `seed`, `unembedding`, `first_attention`, `embedding_ratio`.
        attention: `step`, `seed`, `layer`, `head`, `entropy`, `variability`.
        stages: `type`, `start`, `end`.
    """
    fig, axes = plt.subplots(1, 4, figsize=figures.size("double", 0.3))
    marks.seeds(axes[0], structure, "unembedding")
    marks.seeds(axes[0], structure, "first_attention", color=COLORS["vermillion"])
    axes[0].set(ylabel="norm of scales", ylim=(0, None))
    marks.seeds(axes[1], structure, "embedding_ratio")
    axes[1].set(ylabel="embedding, singular values", ylim=(0, None))
    for ax, value in zip(axes[2:], ("entropy", "variability"), strict=True):
        for (layer, _), head in attention[attention["seed"] == 0].groupby(["layer", "head"]):
            ax.plot(head["step"], head[value], color=CYCLE[layer], ls=["-", "--"][layer % 2], lw=1)
        ax.set(ylabel=f"attention {value}" + (" (nats)" if value == "entropy" else ""))
    marks.along_training(axes, attention["step"].max())
    marks.stages(axes, stages)
    return fig
