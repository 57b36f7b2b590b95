"""Figures of the chapter on Bayesian phase transitions beside the jumps of SGD."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from devinterp_core.companion import figures, marks
from devinterp_core.companion.figures import COLORS

SAMPLES = "samples $n$ (unit variance)"
HULLS = dict(zip([3, 4, 5, 6, 7, 8], ["grey", "orange", "blue", "green", "purple", "black"], strict=True))
MARKERS = dict(zip(HULLS, figures.MARKERS, strict=False))


def phase_diagram(probabilities: pd.DataFrame, predicted: pd.DataFrame) -> Figure:
    """Probability of each hull size against the sample size, a panel for each number of features.

    Args:
        probabilities: `features`, `k`, `n`, `mean`, `min` and `max` over runs.
        predicted: `features`, `n`, at which the formula has a transition.
    """
    counts = sorted(set(probabilities["features"]))
    size = figures.size("double", 0.42)
    fig, axes = plt.subplots(1, len(counts), figsize=size, sharey=True, squeeze=False)
    for ax, c in zip(axes[0], counts, strict=True):
        for k, line in probabilities[probabilities["features"] == c].groupby("k"):
            _range(ax, line, color=COLORS[HULLS[k]], marker=MARKERS[k], ls="-", label=f"$k = {k}$")
        ax.set(title=f"$c = {c}$", xlabel=SAMPLES, ylim=(-0.02, 1.02))
        top = ax.secondary_xaxis("top", functions=(lambda n: n / 2, lambda n: 2 * n))
        top.set_xlabel("samples $n$ for $e^{-nL}$")
        for n in predicted["n"][predicted["features"] == c]:
            ax.axvline(n, color=COLORS["grey"], ls=":")
        ax.legend(loc="center right")
    axes[0, 0].set_ylabel("posterior probability")
    return fig


def free_energy(differences: pd.DataFrame, formulas: pd.DataFrame, evidence: pd.DataFrame) -> Figure:
    """Free energy of the 6-gon over the 5-gon, sampled and by formulas; the evidence of SMC over that of Laplace.

    Args:
        differences: `n`, `mean`, `min` and `max` over runs, of SMC.
        formulas: `n` and a column for each of three formulas.
        evidence: `n`, `excess` of each run.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=figures.size("double", 0.45))
    looks = zip(("vermillion", "grey", "blue"), ("--", ":", "-"), strict=True)
    for name, (color, dash) in zip(formulas.columns.drop("n"), looks, strict=True):
        left.plot(formulas["n"], formulas[name], color=COLORS[color], ls=dash, label=name)
    _range(left, differences, color="black", marker="o", ls="none", label="SMC")
    left.set(xlabel=SAMPLES, ylabel="$F_n$ of 6-gon minus 5-gon (nats)")
    left.legend()
    excess = evidence.groupby("n")["excess"].agg(["mean", "min", "max"]).reset_index()
    _range(right, excess, color="black", marker="o", ls="none")
    right.set(xlabel=SAMPLES, ylabel="log evidence, SMC minus Laplace (nats)", xscale="log")
    for ax in (left, right):
        ax.axhline(0, color="black", lw=0.6, ls="-")
    return fig


def actual_data(sets: pd.DataFrame, population: pd.DataFrame) -> Figure:
    """Probability of the 6-gon given each data set, over that of the population loss.

    Args:
        sets: `data_set`, `n`, `six`.
        population: `n`, `mean`.
    """
    fig, ax = plt.subplots(figsize=figures.size("single", 0.75))
    lines = sets.pivot(index="n", columns="data_set", values="six")
    look = {"color": COLORS["blue"], "ls": "-", "lw": 0.7, "alpha": 0.6}
    ax.plot(lines.index, lines.to_numpy(), label=["one data set each", *[""] * (lines.shape[1] - 1)], **look)
    inside = population[population["n"].between(lines.index.min() - 100, lines.index.max())]
    ax.plot(inside["n"], inside["mean"], color="black", ls="-", lw=2.2, label="population loss")
    marks.level(ax, 0.5)
    ax.set(xlabel=SAMPLES, ylabel="posterior probability of $k = 6$", ylim=(-0.02, 1.02))
    ax.legend(loc="lower right", fontsize=7)
    return fig


def paper_sampler(chains: pd.DataFrame, particles: pd.DataFrame) -> Figure:
    """Shares of the 6-gon in chains by their start beside those of SMC, a panel for each sample size.

    Args:
        chains: `data_set`, `n`, `start`, `six` of each chain.
        particles: `data_set`, `n`, `six` of a run of SMC on the same data set.
    """
    sizes = sorted(set(chains["n"]))
    fig, axes = plt.subplots(1, len(sizes), figsize=figures.size("double", 0.36), sharey=True, squeeze=False)
    starts = dict(zip(("random", "5-gon", "6-gon"), (("grey", "o"), ("blue", "s"), ("green", "^")), strict=True))
    for ax, n in zip(axes[0], sizes, strict=True):
        cloud = particles[particles["n"] == n]
        ax.hlines(cloud["six"], cloud["data_set"] - 0.4, cloud["data_set"] + 0.4, color=COLORS["orange"], label="SMC")
        for place, (start, (color, marker)) in enumerate(starts.items()):
            part = chains[(chains["n"] == n) & (chains["start"] == start)]
            beside = part["data_set"] + 0.22 * (place - 1)
            label = "NUTS from random points" if start == "random" else f"NUTS from the {start}"
            ax.plot(beside, part["six"], marker, color=COLORS[color], ls="none", label=label)
        ax.set(title=f"$n = {n}$", xlabel="data set", ylim=(-0.02, 1.02), xticks=sorted(set(chains["data_set"])))
    axes[0, 0].set_ylabel("probability of $k = 6$")
    axes[0, 0].legend(loc="upper right", fontsize=7)
    return fig


def sgd_and_posterior(
    losses: pd.DataFrame, levels: pd.DataFrame, shares: pd.DataFrame, probabilities: pd.DataFrame
) -> Figure:
    """Losses of runs of SGD over the levels, their hull sizes along training, those of the posterior along n.

    Args:
        losses: `step`, `run`, `loss`.
        levels: `label`, `loss`, `num_positive`, `num_negative`.
        shares: `step`, `k`, `share`, `low`, `high`, of the runs.
        probabilities: `k`, `n`, `mean`, `min` and `max`, of the posterior.
    """
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=figures.size("double", 0.4))
    wide = losses.pivot(index="step", columns="run", values="loss")
    left.plot(wide.index, wide, color=COLORS["blue"], ls="-", lw=0.6, alpha=0.6)
    for row in levels.itertuples():
        left.axhline(row.loss, color=COLORS["grey"], ls=":" if row.num_negative else "--", lw=0.6)
        if row.num_positive == 0:
            left.annotate(row.label, (1.01, row.loss), xycoords=("axes fraction", "data"), va="center", fontsize=7)
    left.set(xscale="log", xlabel="SGD step", ylabel="population loss $L$", ylim=(0, 0.32))
    for k, line in shares.groupby("k"):
        look = {"color": COLORS[HULLS[k]], "marker": MARKERS[k], "ls": "-"}
        middle.plot(line["step"], line["share"], label=f"$k = {k}$", markevery=12, **look)
        if line["share"].any():
            middle.fill_between(line["step"], line["low"], line["high"], color=look["color"], alpha=0.2, lw=0)
        _range(right, probabilities[probabilities["k"] == k], **look)
    middle.set(xscale="log", xlabel="SGD step", ylabel="share of SGD runs", ylim=(-0.02, 1.02))
    middle.legend()
    right.set(xlabel=SAMPLES, ylabel="posterior probability", ylim=(-0.02, 1.02))
    return fig


def _range(ax: Axes, line: pd.DataFrame, *, label: str = "", **look) -> None:
    """The mean over runs against n, with the range over runs."""
    ends = np.stack([line["mean"] - line["min"], line["max"] - line["mean"]])
    ax.errorbar(line["n"], line["mean"], ends, label=label or None, **look)
