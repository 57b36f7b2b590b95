"""Figures of the chapter on the specialization of attention heads. A head is written `layer:head`."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from devinterp_core.companion import correlations, figures, marks
from devinterp_core.companion.figures import COLORS

ROLES = {
    "bigram": COLORS["sky"],
    "multigram": COLORS["blue"],
    "in context": COLORS["vermillion"],
    "bracket": COLORS["green"],
    "none": COLORS["grey"],
}
TYPES = {
    "prefix_matching": COLORS["vermillion"],
    "previous_token": COLORS["purple"],
    "current_token": COLORS["green"],
    "other": COLORS["blue"],
}
LAYERS = {"0": "o", "1": "^"}  # its marker
INTERACTIONS = ("trigram", "skip", "binding", "close")


def curves(curves: pd.DataFrame, shares: pd.DataFrame) -> Figure:
    """Curves of the heads along training by layer; shares of the roles in the rise of the loss under ablation.

    Args:
        curves: `seed`, `step`, `head`, `role`, `llc`, `standard_error`.
        shares: `seed`, `head` and `share ...` of every role.
    """
    fig, axes = plt.subplots(1, 3, figsize=figures.size("double", 0.42), width_ratios=[1, 1, 1.1])
    for (index, head), part in curves.groupby(["seed", "head"]):
        style = {"color": ROLES[part["role"].iloc[0]], "ls": ("-", "--", ":")[index % 3], "lw": 1, "ms": 3}
        axes[int(head[0])].errorbar(part["step"], part["llc"], part["standard_error"], **style)
    for layer, ax in enumerate(axes[:2]):
        ax.set(xscale="log", xlabel="training step", title=f"layer {layer}", ylim=(0, None))
    axes[0].set_ylabel("wrLLC of the head")
    places, right, offset = np.arange(len(shares)), axes[2], np.zeros(len(shares))
    for name in [name for name in ROLES if f"share {name}" in shares]:
        right.barh(places, shares[f"share {name}"], left=offset, color=ROLES[name], label=name)
        offset += shares[f"share {name}"].to_numpy()
    right.set_yticks(places, [f"{row.seed}, {row.head}" for row in shares.itertuples()], fontsize=6)
    right.set(xlabel="share of the rise for a token", xlim=(0, 1))
    right.invert_yaxis()
    right.legend(fontsize=6, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=0.6, handlelength=1)
    return fig


def competitors(heads: pd.DataFrame) -> Figure:
    """The final coefficient of each head against other measures; lines of least squares within each layer.

    Args:
        heads: `head`, `role`, `llc`, `standard_error`, `multigrams`, `by_trace` and its `by_trace_error`, `fisher`,
            `ablation`.
    """
    labels = {
        "multigrams": "dependent multigrams",
        "by_trace": r"$n\beta\,\mathrm{tr}\,H / 2\gamma$",
        "fisher": "Fisher trace",
        "ablation": "loss by ablation (nats)",
    }
    fig, axes = plt.subplots(1, len(labels), figsize=figures.size("double", 0.34), sharey=True)
    for ax, (column, label) in zip(axes, labels.items(), strict=True):
        _points(ax, heads, column, "llc", x_error="by_trace_error" if column == "by_trace" else None)
        ax.set(xlabel=label)
    for (_, part), dashes in zip(heads.groupby(heads["head"].str[0]), ("-", "--"), strict=False):
        if part["multigrams"].nunique() > 1 and len(part) > 2:
            slope, intercept, _ = correlations.of_slope(part["multigrams"], part["llc"])
            ends = np.array([part["multigrams"].min(), part["multigrams"].max()])
            axes[0].plot(ends, intercept + slope * ends, color=COLORS["black"], ls=dashes, lw=1)
    marks.identity(axes[1], 0, heads["llc"].max())
    axes[0].set(ylabel="final wrLLC", ylim=(0, None))
    return fig


def grid(cells: pd.DataFrame) -> Figure:
    """The coefficient of each head at several settings of the chains, one panel a model.

    Args:
        cells: `seed`, `head`, `role`, `n_beta`, `localization`, `llc`, `standard_error`; settings in their order.
    """
    settings = list(dict.fromkeys(zip(cells["n_beta"], cells["localization"], strict=True)))
    place = {setting: number for number, setting in enumerate(settings)}
    seeds = sorted(cells["seed"].unique())
    fig, axes = plt.subplots(1, len(seeds), figsize=figures.size("double", 0.4), sharey=True, squeeze=False)
    for ax, seed in zip(axes[0], seeds, strict=True):
        for head, part in cells[cells["seed"] == seed].groupby("head"):
            at = [place[setting] for setting in zip(part["n_beta"], part["localization"], strict=True)]
            style = {"color": ROLES[part["role"].iloc[0]], "ls": ":" if head.startswith("0") else "-"}
            ax.errorbar(at, part["llc"], part["standard_error"], lw=1, ms=3, **style)
        ax.set(yscale="log", title=f"seed {seed}", xlabel=r"$n\beta$, $\gamma$")
        ax.set_xticks(range(len(settings)), [f"{beta:.0f}, {gamma:.0f}" for beta, gamma in settings], fontsize=7)
    axes[0, 0].set_ylabel("final wrLLC of the head")
    return fig


def pairs(joint: pd.DataFrame) -> Figure:
    """What a head of each layer lose together beyond one by one, on the tokens of some kinds of rules.

    Args:
        joint: `kind`, `lower`, `upper`, `interaction` of one model.
    """
    fig, axes = plt.subplots(1, len(INTERACTIONS), figsize=figures.size("double", 0.28))
    for ax, kind in zip(axes, INTERACTIONS, strict=True):
        part = joint[joint["kind"] == kind]
        if not len(part):
            ax.set_axis_off()
            continue
        table = part.pivot(index="lower", columns="upper", values="interaction")
        reach = max(float(np.abs(table.to_numpy()).max()), 0.01)
        ax.imshow(table, cmap="RdBu_r", vmin=-reach, vmax=reach)
        ax.set_title(f"{kind} (to {reach:.1f})")
        ax.set_xticks(range(len(table.columns)), table.columns, fontsize=6)
        ax.set_yticks(range(len(table)), table.index, fontsize=6)
    return fig


def sweep(models: pd.DataFrame) -> Figure:
    """Mean coefficient by role and layer, memorised share and prefix matching, against the number of rules.

    Args:
        models: one row a model: `num_trigram_rules`, `memorised_share`, `prefix_matching`, and `layer_0_multigram` and
            the like, missing where the model has no such head.
    """
    rules, by_rules = models["num_trigram_rules"], models.groupby("num_trigram_rules")
    fig, axes = plt.subplots(1, 3, figsize=figures.size("double", 0.38))
    for layer, ax in enumerate(axes[:2]):
        for role, color in ROLES.items():
            column = f"layer_{layer}_{role.replace(' ', '_')}"
            if column in models:
                mean = by_rules[column].mean().dropna()
                ax.plot(rules, models[column], "o", color=color, ls="none")
                ax.plot(mean.index, mean, color=color, ls="-", lw=1, label=role)
        ax.set(title=f"layer {layer}", ylim=(0, None))
    for column, color in (("memorised_share", COLORS["blue"]), ("prefix_matching", COLORS["vermillion"])):
        axes[2].plot(rules, models[column], "o", color=color, ls="none", label=column.replace("_", " "))
    axes[0].set_ylabel("mean wrLLC of the role's heads")
    axes[2].set(ylim=(0, 1), title="behaviour")
    for ax in axes:
        ax.set(xscale="log", xlabel="trigram rules")
    for ax in axes[1:]:
        ax.legend(fontsize=6)
    return fig


def text_curves(curves: pd.DataFrame) -> Figure:
    """Curves of the heads of the text model, a column for each data set, a row for each layer.

    Args:
        curves: `data_set`, `layer`, `head`, `type`, `step`, `llc`, `standard_error`.
    """
    sets = list(dict.fromkeys(curves["data_set"]))
    shape = {"figsize": figures.size("double", 0.62), "sharex": True, "sharey": True, "squeeze": False}
    fig, axes = plt.subplots(2, len(sets), **shape)
    for (layer, name, _), part in curves.groupby(["layer", "data_set", "head"]):
        style = {"color": TYPES[part["type"].iloc[0]], "ls": "-", "marker": ".", "lw": 1}
        axes[int(layer), sets.index(name)].errorbar(part["step"], part["llc"], part["standard_error"], **style)
    for layer, row in enumerate(axes):
        row[0].set_ylabel("wrLLC")
        for ax, name in zip(row, sets, strict=True):
            ax.set(xscale="log", title=f"layer {layer}, {name}")
    for ax in axes[1]:
        ax.set_xlabel("training step")
    axes[0, 0].set_ylim(0, None)
    _legend(axes[1, 0], curves["type"])
    return fig


def _points(ax: Axes, heads: pd.DataFrame, x: str, y: str, x_error: str | None = None) -> None:
    """A point a head, coloured by role, its marker the layer."""
    for _, row in heads.iterrows():
        across = row[x_error] if x_error else None
        style = {"marker": LAYERS[row["head"][0]], "ls": "none", "color": ROLES[row["role"]]}
        ax.errorbar(row[x], row[y], row["standard_error"], xerr=across, **style)


def _legend(ax: Axes, types: pd.Series) -> None:
    for kind in [kind for kind in TYPES if kind in set(types)]:
        ax.plot([], [], "o", color=TYPES[kind], ls="none", label=kind.replace("_", " "))
    ax.legend(fontsize=6)
