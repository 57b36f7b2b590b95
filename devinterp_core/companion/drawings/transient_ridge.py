"""Figures of the chapter on transient ridge regression. Colours go by the number of tasks, the same in all figures."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from devinterp_core.companion import figures, marks
from devinterp_core.companion.figures import COLORS, CYCLE
from devinterp_core.trajectory import smooth

PREDICTORS = {
    "ridge": ("ridge", {"color": COLORS["blue"], "ls": "-"}),
    "dmmse": ("dMMSE", {"color": COLORS["vermillion"], "ls": "--"}),
}
INPUTS = {"ood": "out of distribution", "in": "in distribution"}
PAPER = (16, 128)  # the transient range of M in the text of the paper


def at_dimension(curves: pd.DataFrame, rises: pd.DataFrame, means: pd.DataFrame) -> Figure:
    """One run: loss out of distribution, its rise, and the distances to both predictors.

    Args:
        curves: `num_tasks`, `seed`, `step`, `kind` (of the number of tasks), `critical_step`, `ood_loss`,
            `ridge_ood_loss`, and `ood_to_ridge`, `ood_to_dmmse`, `in_to_ridge`, `in_to_dmmse`.
        rises: `num_tasks`, `relative_rise` of each model.
        means: `num_tasks`, `value`, `low`, `high` of the rise, `bound` above which it is called one.
    """
    fig, ((left, right), below) = plt.subplots(2, 2, figsize=figures.size("double", 0.75))
    _losses(left, curves)
    marks.level(left, curves["ridge_ood_loss"].mean(), color=COLORS["black"])
    left.set_ylabel("loss out of distribution")
    for ax, inputs in zip(below, INPUTS, strict=True):
        for count, own in curves[(curves["kind"] == "intermediate") & (curves["step"] > 0)].groupby("num_tasks"):
            for predictor, (_, look) in PREDICTORS.items():
                mean = own.groupby("step")[f"{inputs}_to_{predictor}"].mean()
                ax.plot(mean.index, mean, color=_color(count), ls=look["ls"], lw=1.2)
            critical = own.groupby("seed")["critical_step"].first().mean()
            ax.axvline(critical, color=_color(count), lw=0.6, ls="-", zorder=0)
        ax.set_ylabel(f"distance {INPUTS[inputs]}")
    last = curves["step"].max()
    marks.along_training((left, *below), last * 1.1, first=last / 300)
    for ax in (left, *below):
        ax.set_ylim(bottom=0)
    counts = _ordered(means["num_tasks"])
    right.plot(_places(rises, counts), rises["relative_rise"], "o", ms=3, mfc="white", color="dimgrey")
    marks.bars(right, _places(means, counts) + 0.15, means, marker="s")
    _rise_axis(right, counts, means["bound"].iloc[0])
    handles = _handles(counts)
    handles += [Line2D([], [], color="black", ls=look["ls"], label=f"to {name}") for name, look in PREDICTORS.values()]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return fig


def losses(curves: pd.DataFrame) -> Figure:
    """Loss out of distribution of every model, a panel for each run.

    Args:
        curves: `source`, `num_tasks`, `seed`, `step`, `kind`, `critical_step`, `ood_loss`, `ridge_ood_loss`,
            `dmmse_ood_loss`.
    """
    sources = list(dict.fromkeys(curves["source"]))
    fig, axes = plt.subplots(1, len(sources), figsize=figures.size("double", 0.5), sharey=True, squeeze=False)
    for ax, source in zip(axes[0], sources, strict=True):
        own = curves[curves["source"] == source]
        ridge, last = own["ridge_ood_loss"].iloc[0], own["step"].max()
        seen = own[(own["kind"] != "small") & (own["step"] >= own["critical_step"])]  # what falls, and rises again
        top = 1.1 * max(seen["ood_loss"].max(), own["ood_loss"][own["step"] == 0].max())
        _losses(ax, own)
        for count, height in own[own["num_tasks"] > 0].groupby("num_tasks")["dmmse_ood_loss"].mean().items():
            if height < top:
                ax.plot(1.01, height, "<", ms=5, color=_color(count), transform=ax.get_yaxis_transform(), clip_on=False)
        marks.level(ax, ridge, color=COLORS["black"])
        ax.annotate("ridge", (0.02, ridge), xycoords=ax.get_yaxis_transform(), va="bottom", fontsize=8)
        marks.along_training([ax], last * 1.1, first=max(1, last / 1000))
        ax.set(title=source, ylim=(ridge - 0.15, top))
    axes[0, 0].set_ylabel("loss out of distribution")
    counts = _ordered(curves["num_tasks"])
    fig.legend(handles=_handles(counts), loc="outside upper center", ncols=min(6, len(counts)))
    return fig


def distances(curves: pd.DataFrame) -> Figure:
    """Distances to both predictors, a column for each number of tasks; the first run strong, the others pale.

    Args:
        curves: `source`, `num_tasks`, `seed`, `step`, `critical_step`, and the four distances.
    """
    sources, counts = list(dict.fromkeys(curves["source"])), _ordered(curves["num_tasks"])
    fig, axes = plt.subplots(
        2, len(counts), figsize=figures.size("double", 0.55), sharex=True, sharey="row", squeeze=False
    )
    for column, count in zip(axes.T, counts, strict=True):
        there = curves[(curves["num_tasks"] == count) & (curves["step"] > 0)]
        strong = next(source for source in sources if source in set(there["source"]))
        for source, own in there.groupby("source"):
            alpha = 1.0 if source == strong else 0.35
            for ax, inputs in zip(column, INPUTS, strict=True):
                for predictor in PREDICTORS if count else ("ridge",):
                    mean = own.groupby("step")[f"{inputs}_to_{predictor}"].mean()
                    ax.plot(mean.index, mean, lw=1.2, alpha=alpha, **PREDICTORS[predictor][1])
                for step in own.groupby("seed")["critical_step"].first():
                    ax.axvline(step, color="black", lw=0.6, ls="-", alpha=0.6 * alpha, zorder=0)
        column[0].set_title(_name(count))
    last = curves[curves["source"] == sources[0]]["step"].max()
    axes[0, 0].set(xscale="log", xlim=(max(1, last / 1000), None))
    for ax, inputs in zip(axes[:, 0], INPUTS.values(), strict=True):
        ax.set_ylabel(f"distance,\n{inputs}")
        ax.set_ylim(bottom=0)
    fig.supxlabel("training step", fontsize=9)
    handles = [Line2D([], [], **look, label=f"to {name}") for name, look in PREDICTORS.values()]
    fig.legend(handles=handles, loc="outside upper center", ncols=2)
    return fig



def plane(plane: pd.DataFrame) -> Figure:
    """Trajectories in two joint principal components of the predictions, a panel for each run.

    Args:
        plane: as `trajectory.two_predictors.joint_plane`, with `source`.
    """
    sources = list(dict.fromkeys(plane["source"]))
    fig, axes = plt.subplots(1, len(sources), figsize=figures.size("double", 0.5), squeeze=False)
    for ax, source in zip(axes[0], sources, strict=True):
        table = plane[plane["source"] == source]
        for count, own in table[table["kind"] == "model"].groupby("num_tasks"):
            color, scores = _color(count), own[["pc1", "pc2"]].to_numpy()
            ax.plot(*scores.T, "-", lw=0.5, alpha=0.3, color=color)
            ax.plot(*smooth(scores, 0, 3).T, "-", lw=1.4, color=color)
            ax.plot(*scores[own["critical"].astype(bool)].T, "o", ms=5, mfc="white", mec=color, zorder=3)
            ax.plot(*scores[-1], "s", ms=5, color=color, zorder=3)
        for row in table[table["kind"] == "dmmse"].itertuples():
            ax.plot(row.pc1, row.pc2, "*", ms=10, color=_color(row.num_tasks), mec="black", mew=0.4, zorder=4)
        cross = table[table["kind"] == "ridge"]
        ax.plot(cross["pc1"], cross["pc2"], "X", ms=8, color="black", zorder=4)
        first, second = (100 * table[f"explained_{component}"].iloc[0] for component in (1, 2))
        ax.set(xlabel=f"PC 1 ({first:.0f} % of variance)", ylabel=f"PC 2 ({second:.0f} %)", title=source)
    kinds = [("o", "white", "critical step"), ("s", "grey", "end"), ("*", "grey", "dMMSE"), ("X", "black", "ridge")]
    handles = _handles(_ordered(plane["num_tasks"][plane["kind"] == "model"]))
    handles += [Line2D([], [], ls="", marker=mark, mfc=face, mec="black", label=text) for mark, face, text in kinds]
    fig.legend(handles=handles, loc="outside upper center", ncols=6)
    return fig


def coefficients(llc: pd.DataFrame) -> Figure:
    """Losses and learning coefficients of trained models against the number of tasks, of several runs.

    Args:
        llc: `source`, `where` (`final` or `critical`), `num_tasks`, `in_loss`, `ood_loss`, `llc`, `standard_error`, and
            the predictors' losses, `ridge_in_loss` and so on; their lines are those of the last run.
    """
    fig, axes = plt.subplots(1, 3, figsize=figures.size("double", 0.4))
    sources, counts = list(dict.fromkeys(llc["source"])), _ordered(llc["num_tasks"])
    final = llc[llc["where"] == "final"]
    lines = final[final["source"] == sources[-1]].drop(columns=["source", "where"]).groupby("num_tasks").mean()
    lines = lines.reindex([count for count in counts if count in lines.index])
    for ax, inputs in zip(axes, ("in", "ood"), strict=False):
        for predictor, (_, look) in PREDICTORS.items():
            ax.plot([counts.index(count) for count in lines.index], lines[f"{predictor}_{inputs}_loss"], **look)
    for offset, (source, marker, color) in enumerate(zip(sources, "os^", ("black", "dimgrey", "grey"), strict=False)):
        own = final[final["source"] == source]
        x = _places(own, counts) + 0.2 * offset - 0.1
        for ax, inputs in zip(axes, ("in", "ood"), strict=False):
            ax.plot(x, own[f"{inputs}_loss"], marker, ms=4, mfc="white", color=color)
        axes[2].errorbar(x, own["llc"], own["standard_error"], fmt=marker, ms=4, mfc="white", color=color, label=source)
        midway = llc[(llc["where"] == "critical") & (llc["source"] == source)]
        if len(midway):
            x = _places(midway, counts) + 0.2 * offset + 0.05
            about = {"color": CYCLE[3 + offset], "label": f"{source}, critical step"}
            axes[2].errorbar(x, midway["llc"], midway["standard_error"], fmt="x", ms=4, **about)
    titles = ("loss in distribution", "loss out of distribution", r"LLC estimate $\hat\lambda$")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title)
        _tasks_axis(ax, counts)
    for ax in axes[:2]:
        ax.set_ylim(bottom=0)
    shown = dict(zip(*reversed(axes[2].get_legend_handles_labels()), strict=True))
    shown |= {name: Line2D([], [], **look) for name, look in PREDICTORS.values()}
    fig.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=len(shown))
    return fig


def _losses(ax: Axes, curves: pd.DataFrame) -> None:
    for (count, _), own in curves[curves["step"] > 0].groupby(["num_tasks", "seed"]):
        ax.plot(own["step"], own["ood_loss"], "-", lw=0.8, color=_color(count))
        critical = own[own["step"] == own["critical_step"]]
        ax.plot(critical["step"], critical["ood_loss"], "o", ms=4, mfc="white", mec=_color(count), mew=1.2, zorder=3)


def _rise_axis(ax: Axes, counts: list[int], bound: float) -> None:
    _tasks_axis(ax, counts)
    ax.axhline(bound, color=COLORS["black"], ls=":", lw=0.8)
    ax.axhline(0, color="black", ls="-", lw=0.6)
    ax.set_ylabel("relative rise of the loss")


def _tasks_axis(ax: Axes, counts: list[int]) -> None:
    ax.set(xticks=range(len(counts)), xticklabels=[str(count or "∞") for count in counts])
    ax.set(xlabel="number of tasks M", xlim=(-0.5, len(counts) - 0.5))


def _places(table: pd.DataFrame, counts: list[int]) -> np.ndarray:
    return np.array([counts.index(count) for count in table["num_tasks"]], dtype=np.float64)


def _ordered(counts: pd.Series) -> list[int]:
    return sorted(map(int, set(counts)), key=lambda count: count or np.inf)


def _color(count: int) -> tuple[float, ...]:
    """From 4 tasks on by the logarithm, slower from 64 on; the last colour for infinitely many, which count as 0."""
    place = np.interp(np.log2(count), [2, 6, 12], [0, 0.64, 0.88]) if count else 0.88
    return plt.get_cmap("plasma")(float(place))


def _name(count: int) -> str:
    return f"M = {count or '∞'}"


def _handles(counts: list[int]) -> list[Line2D]:
    return [Line2D([], [], color=_color(count), label=_name(count)) for count in counts]
