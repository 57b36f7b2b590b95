"""Figures of the chapter on deep linear networks."""

import math

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from devinterp_core.companion import figures, marks
from devinterp_core.companion.figures import COLORS, CYCLE, MARKERS

CHAINS = {  # sampler to words
    "recorded": "published protocol, recorded",
    "protocol": "published protocol",
    "gradient": "gradient chains",
    "exact": "exact draws",
    "limit": "exact draws, large $n\\beta$",
}
RESCALED = {
    "co-scaled": "co-scaled coordinates",
    "plain": "plain SGLD, unscaled step size",
    "calibrated": "plain SGLD, step size by curvature",
}
EDGE = 0.3  # of the axis of relative errors


def estimated_true(estimates: pd.DataFrame, networks: pd.DataFrame) -> Figure:
    """Estimated against true coefficient, a panel for the gradient chains and one for the exact draws.

    Args:
        estimates: `sampler`, `class`, `truth`, `estimate`, `low`, `high`; the samplers `gradient` and `limit` are
            shown.
        networks: `class`, `truth`, `parameters`.
    """
    samplers = [name for name in ("gradient", "limit") if (estimates["sampler"] == name).any()]
    fig, axes = plt.subplots(
        1, len(samplers), figsize=figures.size("double", 0.5), sharex=True, sharey=True, squeeze=False
    )
    for ax, sampler in zip(axes[0], samplers, strict=True):
        marks.identity(ax, 0.7 * networks["truth"].min(), 1.4 * networks["truth"].max())
        crosses = {"marker": "x", "ls": "none", "color": COLORS["grey"]}
        ax.plot(networks["truth"], networks["parameters"] / 2, label="half the parameters", **crosses)
        for place, name in enumerate(dict.fromkeys(networks["class"])):
            part = estimates[(estimates["sampler"] == sampler) & (estimates["class"] == name)]
            style = {"color": CYCLE[place], "marker": MARKERS[place], "label": f"class {name}"}
            if len(part):
                marks.bars(ax, part["truth"], part, "estimate", **style)
        ax.set(xscale="log", yscale="log", xlabel=r"true $\lambda$", title=CHAINS[sampler])
    axes[0, 0].set_ylabel(r"estimated $\hat\lambda$")
    axes[0, 0].legend()
    return fig


def relative_error(estimates: pd.DataFrame) -> Figure:
    """Relative errors, a panel for each class and a column for each sampler; short bars are medians.

    Args:
        estimates: `sampler`, `class`, `error`.
    """
    classes = list(dict.fromkeys(estimates["class"]))
    fig, axes = plt.subplots(1, len(classes), figsize=figures.size("double", 0.42), sharey=True, squeeze=False)
    for ax, name in zip(axes[0], classes, strict=True):
        part = estimates[estimates["class"] == name]
        present = [sampler for sampler in CHAINS if (part["sampler"] == sampler).any()]
        for column, sampler in enumerate(present):
            errors, style = part.loc[part["sampler"] == sampler, "error"].to_numpy(), list(CHAINS).index(sampler)
            place = column + (np.linspace(-0.25, 0.25, len(errors)) if len(errors) > 1 else np.zeros(1))
            inside, look = np.abs(errors) <= EDGE, {"color": CYCLE[style], "ls": "none"}
            ax.plot(place[inside], errors[inside], MARKERS[style], mfc="white", **look)
            for beyond, marker in ((errors > EDGE, "^"), (errors < -EDGE, "v")):
                ax.plot(place[beyond], np.clip(errors[beyond], -EDGE, EDGE), marker, **look)
            ax.hlines(np.median(errors), column - 0.35, column + 0.35, color=COLORS["black"])
        ax.axhline(0, color=COLORS["black"], lw=0.8, ls="-")
        ax.set_xticks(range(len(present)), [CHAINS[sampler] for sampler in present], rotation=35, ha="right")
        ax.set(title=f"class {name}", ylim=(-1.1 * EDGE, 1.1 * EDGE))
    axes[0, 0].set_ylabel(r"relative error $\hat\lambda / \lambda - 1$")
    return fig


def intervals(estimates: pd.DataFrame) -> Figure:
    """Intervals around the relative error, a panel for each sampler, networks in the order of their coefficient.

    Args:
        estimates: of one class, `sampler`, `class`, `truth`, `low`, `high`, `error`, `covers`.
    """
    samplers = [name for name in ("gradient", "exact", "limit") if (estimates["sampler"] == name).any()]
    fig, axes = plt.subplots(
        1, len(samplers), figsize=figures.size("double", 0.45), sharex=True, sharey=True, squeeze=False
    )
    frame = EDGE / 2
    for ax, sampler in zip(axes[0], samplers, strict=True):
        part = estimates[estimates["sampler"] == sampler].sort_values("truth")
        color = CYCLE[list(CHAINS).index(sampler)]
        for place, row in enumerate(part.itertuples()):
            ax.plot([row.low / row.truth - 1, row.high / row.truth - 1], [place, place], color=color, ls="-")
            marker = "o" if abs(row.error) < frame else "<>"[int(row.error > 0)]
            filling = {"mfc": color if row.covers else "white", "clip_on": False}
            ax.plot(np.clip(row.error, -frame, frame), place, marker, color=color, **filling)
        ax.axvline(0, color=COLORS["black"], lw=0.8, ls="-")
        ax.set(title=CHAINS[sampler], xlabel="relative error", xlim=(-frame, frame))
    axes[0, 0].set_ylabel(f"networks of class {estimates['class'].iloc[0]}, by true $\\lambda$")
    return fig


def localization(means: pd.DataFrame, levels: pd.DataFrame) -> Figure:
    """Posterior mean against the localiser, a curve for each temperature.

    Args:
        means: `n_beta`, `localization`, `estimate`, `low`, `high`.
        levels: `value` and `words` of horizontal lines.
    """
    fig, ax = plt.subplots(figsize=figures.size("single", 0.75))
    for place, (n_beta, part) in enumerate(means.groupby("n_beta")):
        style = {"color": CYCLE[place], "marker": MARKERS[place]}
        label = rf"$n\beta = 10^{{{math.log10(n_beta):.0f}}}$"
        marks.bars(ax, part["localization"], part, "estimate", label=label, **style)
        ax.plot(part["localization"], part["estimate"], color=CYCLE[place], ls="-", lw=1)
    for level in levels.itertuples():
        ax.axhline(level.value, color=COLORS["black"], lw=0.8, ls="-")
        place = {"xycoords": ("axes fraction", "data"), "xytext": (0, 3), "textcoords": "offset points"}
        ax.annotate(level.words, (0.03, level.value), fontsize=8, **place)
    ax.set(xscale="log", xlabel=r"localisation $\gamma$", ylabel=r"$n\beta\,\mathbb{E}[K]$")
    ax.legend(loc="lower left")
    return fig


def rescaling(estimates: pd.DataFrame) -> Figure:
    """Estimates against the scale of a hidden layer, a curve a sampler; at the top edge where every chain diverged.

    Args:
        estimates: `sampler`, `scale`, `estimate`, `low`, `high`.
    """
    fig, ax = plt.subplots(figsize=figures.size("single", 0.75))
    top = 1.25 * estimates["high"].max()
    for place, (sampler, words) in enumerate(RESCALED.items()):
        part = estimates[estimates["sampler"] == sampler]
        style = {"color": CYCLE[place], "marker": MARKERS[place]}
        marks.bars(ax, part["scale"], part, "estimate", label=words, **style)
        ax.plot(part["scale"], part["estimate"], color=CYCLE[place], ls="-", lw=1)
        dead = part[part["estimate"].isna()]
        ax.plot(dead["scale"], np.full(len(dead), top), ls="none", mfc="white", **style)
    ax.set(xscale="log", xlabel="scale $s$ of the hidden layer", ylabel=r"$\hat\lambda$", ylim=(0, 1.05 * top))
    ax.legend(loc="center left", bbox_to_anchor=(0, 0.25))
    return fig


def saddles(descent: pd.DataFrame, estimates: pd.DataFrame, levels: pd.DataFrame) -> Figure:
    """Loss along SGD, and estimates of the coefficient at the same steps, a curve a sampler.

    Args:
        descent: `step`, `loss`.
        estimates: `sampler`, `step`, `estimate`, `low`, `high`; bars for the sampler `exact draws` alone.
        levels: `value` and `words` of horizontal lines.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=figures.size("double", 0.4))
    left.plot(descent["step"], descent["loss"], color=COLORS["black"], ls="-")
    left.set(yscale="log", xlabel="SGD step", ylabel="loss")
    for place, (sampler, part) in enumerate(estimates.groupby("sampler", sort=False)):
        look = {"color": CYCLE[place], "marker": MARKERS[place], "label": sampler}
        if sampler == "exact draws":
            marks.bars(right, part["step"], part, "estimate", **look)
        else:
            right.plot(part["step"], part["estimate"], ls="-", lw=0.8, ms=3, **look)
    for level in levels.itertuples():
        right.axhline(level.value, color=COLORS["black"], lw=0.8, ls="-", label=level.words)
    right.set(xlabel="SGD step", ylabel=r"$\hat\lambda$")
    right.legend()
    return fig


def multiplicity(here: pd.DataFrame, weighted: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Shares of architectures by multiplicity: of each class as dots, their weighted mean as bars, published crosses.

    Args:
        here: `class`, `multiplicity`, `share`.
        weighted, published: `multiplicity`, `share`.
    """
    fig, ax = plt.subplots(figsize=figures.size("single"))
    ax.bar(weighted["multiplicity"], weighted["share"], color=COLORS["sky"], label="here, weighted by usable runs")
    names = list(dict.fromkeys(here["class"]))
    for place, name in enumerate(names):
        part, label = here[here["class"] == name], "here, each class" if place == 0 else None
        beside = part["multiplicity"] + 0.1 * (place - (len(names) - 1) / 2)
        ax.plot(beside, part["share"], ".", color=COLORS["blue"], label=label)
    ax.plot(published["multiplicity"], published["share"], "x", color=COLORS["vermillion"], ms=7, label="published")
    ax.set(xlim=(0.3, 12.7), xlabel="multiplicity $m$", ylabel="share of architectures")
    ax.legend()
    return fig
