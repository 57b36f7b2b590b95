"""Figures of the chapter on superposition jumps between k-gons."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from devinterp_core.companion import figures, marks
from devinterp_core.companion.figures import COLORS, CYCLE
from devinterp_core.tms.critical import level_label

LOWEST_BIAS = -1.4  # what a frame of biases shows
COEFFICIENT = r"LLC estimate $\hat\lambda$"


def gallery(parameters: pd.DataFrame) -> Figure:
    """Columns and biases of k-gons, as theory gives them and as SGD finds them.

    Args:
        parameters: `level`, `loss`, `source` (`theory` or `SGD`, which may be missing), `feature`, `x`, `y`, `bias`.
    """
    levels = list(dict.fromkeys(parameters["level"]))
    fig, axes = plt.subplots(
        3, len(levels), figsize=figures.size("double", 0.5), height_ratios=[1, 1, 0.8], squeeze=False
    )
    fig.get_layout_engine().set(h_pad=0.01, hspace=0)
    for level, column in zip(levels, axes.T, strict=True):
        own = parameters[parameters["level"] == level]
        for ax, source in zip(column, ("theory", "SGD"), strict=False):
            part = own[own["source"] == source]
            if len(part):
                zero = np.zeros(len(part))
                scale = {"scale": 1, "scale_units": "xy", "angles": "xy", "width": 0.025}
                ax.quiver(zero, zero, part["x"], part["y"], color=COLORS["blue"], **scale)
                ax.plot(part["x"], part["y"], "o", ms=2.5, color=COLORS["blue"])
            else:
                ax.text(0, 0, "not\nvisited", ha="center", va="center", color=COLORS["grey"])
            ax.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal", xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            heights = part["bias"].clip(lower=LOWEST_BIAS)
            if source == "theory":
                colors = [COLORS["vermillion" if value > 0 else "sky"] for value in heights]
                column[2].bar(part["feature"], heights, color=colors)
            else:
                column[2].plot(part["feature"], heights, "ko", ms=2.5)
        column[0].set_title(f"{level}\n{own['loss'].iloc[0]:.4f}", loc="center")
        column[2].set(ylim=(LOWEST_BIAS, 0.35), xticks=[], yticks=[-1, 0])
        column[2].axhline(0, color="black", ls="-", lw=0.6)
        column[2].spines["bottom"].set_visible(False)
        column[2].tick_params(labelleft=column[2] is axes[2, 0])
    for ax, name in zip(axes[:, 0], ("theory", "SGD", "bias"), strict=True):
        ax.set_ylabel(name)
    return fig


def energy_levels(curves: pd.DataFrame, levels: pd.DataFrame) -> Figure:
    """Losses of many runs over the ladder of the k-gons, the model with most features below the others.

    Args:
        curves: `c`, `scale` (of the initial biases), `step`, `run`, `loss`.
        levels: `c`, `label`, `loss`.
    """
    *smaller, most = sorted(set(levels["c"]))
    mosaic = [smaller or ["legend"], [most] * max(1, len(smaller))]
    fig, axes = plt.subplot_mosaic(mosaic, figsize=figures.size("double", 0.95), height_ratios=[1, 1.7])
    styles = dict(zip(sorted(set(curves["scale"])), zip(CYCLE, ("-", "--", "-."), strict=False), strict=False))
    for (c, scale), part in curves.groupby(["c", "scale"]):
        wide = part.pivot(index="step", columns="run", values="loss")
        color, dash = styles[scale]
        axes[c].plot(wide.index, wide, lw=0.6, alpha=0.6, color=color, ls=dash)
    for c, ladder in levels.groupby("c"):
        ax, top = axes[c], ladder["loss"].max() * 1.08
        for level in ladder.itertuples():
            ax.axhline(level.loss, color=COLORS["grey"], ls="-", lw=0.5, alpha=0.7, zorder=0)
            ax.text(1.01, level.loss, level.label, transform=ax.get_yaxis_transform(), va="center", fontsize=6.5)
        ends = curves["step"].min(), curves["step"].max()
        bottom = ladder["loss"].min() - 0.05 * top
        ax.set(xscale="log", xlim=ends, ylim=(bottom, top), title=f"c = {c}", ylabel="population loss")
    axes[most].set_xlabel("SGD step")
    looks = {scale: {"color": color, "ls": dash} for scale, (color, dash) in styles.items()}
    handles = [Line2D([], [], **look, label=f"initial biases N(0, {scale:g}²)") for scale, look in looks.items()]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return fig


def time_on_level(shares: pd.DataFrame) -> Figure:
    """Bars of the share of checkpoints on each level, by kind of start.

    Args:
        shares: `scale` (of the initial biases), `level`, `share`, `runs_seen`.
    """
    fig, ax = plt.subplots(figsize=figures.size("double", 0.42))
    groups = list(shares.groupby("scale"))
    width = 0.8 / len(groups)
    for index, (scale, part) in enumerate(groups):
        place = np.arange(len(part)) + width * (index + 0.5) - 0.4
        look = {"color": CYCLE[index], "hatch": ["", "///"][index % 2], "edgecolor": "white"}
        drawn = ax.bar(place, part["share"], width, label=f"initial biases N(0, {scale:g}²)", **look)
        ax.bar_label(drawn, labels=[str(n) if n else "" for n in part["runs_seen"]], fontsize=6, padding=1)
    ax.set(xticks=np.arange(len(part)), xticklabels=part["level"])
    ax.set(ylabel="share of checkpoints", xlabel="level, from high to low loss")
    ax.legend()
    return fig


def opposing_staircases(curves: pd.DataFrame, estimates: pd.DataFrame, rests: pd.DataFrame) -> Figure:
    """Loss of single runs above, their learning coefficients below, with the rests on levels.

    Args:
        curves: `run`, `step`, `loss`, for every run drawn.
        estimates: `run`, `step`, `on_level`, `llc`, `standard_error`.
        rests: `run`, `level` (its label), `level_loss`, from high to low loss in each run; `start`, `end` and `llc` of
            the estimates in it, NaN where there is none.
    """
    names = list(dict.fromkeys(curves["run"]))
    size = figures.size("double", 0.55)
    fig, axes = plt.subplots(2, len(names), figsize=size, sharex=True, sharey="row", squeeze=False)
    color = COLORS["vermillion"]
    for name, (top, bottom) in zip(names, axes.T, strict=True):
        own, part, line = (table[table["run"] == name] for table in (rests, estimates, curves))
        bottom.hlines(own["llc"], own["start"], own["end"], color="black", lw=1.5)
        height = np.inf
        for level in own.drop_duplicates("level").itertuples():
            top.axhline(level.level_loss, color=COLORS["grey"], ls="-", lw=0.5, zorder=0)
            height = min(height - 0.02, level.level_loss)  # labels are kept apart
            top.text(1.01, height, level.level, transform=top.get_yaxis_transform(), va="center", fontsize=7)
        top.plot(line["step"], line["loss"], color=COLORS["blue"], ls="-")
        bottom.errorbar(part["step"], part["llc"], part["standard_error"], fmt="none", color=color, lw=0.7)
        for state, face in ((True, color), (False, "white")):
            dots = part[part["on_level"] == state]
            bottom.plot(dots["step"], dots["llc"], "o", ms=3, mec=color, mfc=face)
        top.set(title=f"run {name}", xscale="log", xlim=(0.8 * part["step"].min(), 1.2 * curves["step"].max()))
        bottom.set_xlabel("SGD step")
        bottom.axhline(0, color=COLORS["grey"], ls="-", lw=0.5, zorder=0)
    axes[0, 0].set(ylabel="population loss", ylim=(0, 0.3))
    axes[1, 0].set_ylabel(COEFFICIENT)
    return fig


def jumps(jumps: pd.DataFrame, levels: pd.DataFrame) -> Figure:
    """An arrow from before to after each jump in the plane of loss and learning coefficient.

    Args:
        jumps: `loss`, `llc`, `next_loss`, `next_llc`, and `change` of the coefficient in its standard errors.
        levels: `label`, `loss`.
    """
    fig, ax = plt.subplots(figsize=figures.size("double", 0.5))
    looks = {"rises": (CYCLE[0], "-"), "falls": (CYCLE[1], "--"), "neither": (CYCLE[2], ":")}
    for jump in jumps.itertuples():
        color, dash = looks["rises" if jump.change > 2 else "falls" if jump.change < -2 else "neither"]
        arrow = {"arrowstyle": "->", "color": color, "linestyle": dash, "lw": 1}
        ax.annotate("", (jump.next_loss, jump.next_llc), (jump.loss, jump.llc), arrowprops=arrow)
    for prefix in ("", "next_"):
        ax.plot(jumps[f"{prefix}loss"], jumps[f"{prefix}llc"], "o", ms=2.5, color="black")
    seen = levels[levels["loss"].isin([*jumps["loss"], *jumps["next_loss"]])]
    ax.set_xticks(seen["loss"], seen["label"], rotation=90)
    ax.invert_xaxis()
    ax.set(xlabel="level, at its loss", ylabel=COEFFICIENT)
    return fig


def llc_limit(limit: pd.DataFrame, finite: pd.DataFrame) -> Figure:
    """Estimates at k-gons against the inverse temperature, beside the exponent and the values at finite n.

    Args:
        limit: `k`, `sigma`, `n_beta`, `llc`, `low`, `high`, `truth`, `converged`.
        finite: one row a k-gon: `k`, `sigma`, `n_beta`, `llc`, `low`, `high`, `published`, which may be missing.
    """
    size = figures.size("double", 0.38)
    fig, axes = plt.subplots(1, len(finite), figsize=size, sharey=True, squeeze=False)
    for ax, row in zip(axes[0], finite.itertuples(), strict=True):
        part = limit[(limit["k"] == row.k) & (limit["sigma"] == row.sigma)]
        ax.axhline(part["truth"].iloc[0], color="black", ls="-", lw=1, label="half the rank of the Hessian")
        _estimates(ax, part["n_beta"], part, "MALA, population loss")
        bars = [[row.llc - row.low], [row.high - row.llc]]
        ax.errorbar(row.n_beta, row.llc, bars, fmt="s", color=COLORS["vermillion"], label="SGLD, finite n")
        if row.published == row.published:
            ax.plot(row.n_beta * 0.7, row.published, "*", ms=9, color=COLORS["orange"], label="paper, finite n")
        ax.set(xscale="log", ylim=(5.5, 12.5), xlabel=r"$n\beta$", title=level_label(row.k, row.sigma))
    axes[0, 0].set_ylabel(COEFFICIENT)
    axes[0, -1].legend(loc="upper right", fontsize=6.5)
    return fig


def four_gon(asymmetry: pd.DataFrame, exponents: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """How differently the loss rises on two sides of a k-gon, and the coefficients of 4-gons and higher k-gons.

    Args:
        asymmetry: `k`, `step_length`, `asymmetry`.
        exponents: `k`, `sigma`, `llc`, `low`, `high`, `truth`, `converged`.
        published: one row, `low` and `high`, the paper's values for 4-gons.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=figures.size("double", 0.42), width_ratios=[1, 1.6])
    for (k, part), marker in zip(asymmetry.groupby("k"), figures.MARKERS, strict=False):
        left.plot(part["step_length"], part["asymmetry"], marker=marker, label=f"{k}-gon")
    left.set(xscale="log", yscale="log", xlabel="step t", ylabel="asymmetry of the excess loss")
    left.legend()
    place = np.arange(len(exponents))
    ends = [-0.4, (exponents["k"] == 4).sum() - 0.6]
    marks.band(right, ends, published["low"].item(), published["high"].item(), label="paper, 4-gons")
    right.hlines(exponents["truth"], place - 0.3, place + 0.3, color="black", label="half the directions not flat")
    _estimates(right, place, exponents, "MALA")
    names = [level_label(k, sigma) for k, sigma in zip(exponents["k"], exponents["sigma"], strict=True)]
    right.set(xticks=place, xticklabels=names, ylim=(3.5, 9.2), ylabel=COEFFICIENT)
    right.legend(loc="lower right", fontsize=7)
    return fig


def _estimates(ax: Axes, x: ArrayLike, table: pd.DataFrame, label: str) -> None:
    """Intervals with a dot that is filled where the chains agree."""
    ends = [table["llc"] - table["low"], table["high"] - table["llc"]]
    ax.errorbar(x, table["llc"], ends, fmt="none", color=COLORS["blue"])
    for state, face in ((True, COLORS["blue"]), (False, "white")):
        chosen = (table["converged"] == state).to_numpy()
        name = label if state else f"{label}, chains apart"
        ax.plot(np.asarray(x)[chosen], table["llc"][chosen], "o", color=COLORS["blue"], mfc=face, label=name)
