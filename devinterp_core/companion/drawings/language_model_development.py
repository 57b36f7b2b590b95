"""Figures of the chapter on the stages of a language model."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from devinterp_core.companion import figures, marks
from devinterp_core.companion.figures import COLORS, CYCLE

QUANTITIES = {"loss": "loss (nats a token)", "llc": "LLC"}
SKILLS = {
    "bigram score": ["bigram_score"],
    "n-gram loss": ["ngram_3", "ngram_4"],
    "in-context score": ["in_context_score"],
    "positional gap": ["positional_gap"],
}
SCORES = [("0", "previous_token"), ("1", "previous_token"), ("1", "prefix_matching")]
KINDS = ("bigram", "trigram", "skip", "binding", "repeat", "close")


def stages(curves: pd.DataFrame, smooth: pd.DataFrame, stages: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Loss and learning coefficient of each world with its stages; the paper's values at the right.

    Args:
        curves: `world`, `quantity` (`loss` or `llc`), `step`, `seed`, `value`.
        smooth: `world`, `step`, `mean` and `standard_deviation` of the smoothed learning coefficient.
        stages: `world`, `type`, `start`, `end`; those of the paper under `paper`.
        paper: `step`, `loss`, `llc`.
    """
    worlds = list(dict.fromkeys(curves["world"]))
    fig, axes = plt.subplots(
        2, len(worlds) + 1, figsize=figures.size("double", 0.62), sharex="col", squeeze=False
    )
    for world, column in zip(worlds, axes.T, strict=False):
        own, curve = curves[curves["world"] == world], smooth[smooth["world"] == world]
        for ax, quantity in zip(column, QUANTITIES, strict=True):
            marks.seeds(ax, own[own["quantity"] == quantity], "value", mean_color=COLORS["black"])
        spread = 2 * curve["standard_deviation"]
        marks.band(column[1], curve["step"], curve["mean"] - spread, curve["mean"] + spread)
        last = own["step"].max()
        marks.along_training(column, last, first=max(1, last / 1000))
        column[0].set(title=world, xlabel="")
        marks.stages(column, stages[stages["world"] == world])
    late = paper[paper["step"] > 0]
    for ax, quantity in zip(axes[:, -1], QUANTITIES, strict=True):
        ax.plot(late["step"], late[quantity], "o-", color=COLORS["black"], ms=3, lw=0.8)
    marks.stages(axes[:, -1], stages[stages["world"] == "paper"])
    marks.along_training(axes[:, -1], late["step"].max(), first=300)
    axes[0, -1].set(title="paper", xlabel="")
    for ax, label in zip(axes[:, 0], QUANTITIES.values(), strict=True):
        ax.set_ylabel(label)
    return fig


def behaviour(curves: pd.DataFrame, entropy: pd.DataFrame) -> Figure:
    """What models can do, a row of panels for each world: means over seeds with the range as a band.

    Args:
        curves: `world`, `step`, `seed`, `bigram_score`, `ngram_3`, `ngram_4`, `in_context_score`, `positional_gap`.
        entropy: `world`, `bigram_entropy` of its corpus.
    """
    worlds = entropy["world"].tolist()
    fig, axes = plt.subplots(len(worlds), 4, figsize=figures.size("double", 0.5), squeeze=False)
    for line, row in zip(axes, entropy.itertuples(), strict=True):
        own = curves[(curves["world"] == row.world) & (curves["step"] > 0)]
        for ax, values in zip(line, SKILLS.values(), strict=True):
            for value, color in zip(values, CYCLE, strict=False):
                _mean_and_range(ax, own, value, color)
            ax.set(xscale="log")
        marks.level(line[0], row.bigram_entropy)
        line[0].set_ylabel(f"{row.world} (nats)")
    for ax, title in zip(axes[0], SKILLS, strict=True):
        ax.set_title(title)
    for ax in axes[-1]:
        ax.set_xlabel("training step")
    return fig


def rules(rules: pd.DataFrame) -> Figure:
    """Loss of the tokens that each kind of rule made, and how many multigram rules are memorised.

    Args:
        rules: `step`, `seed`, `loss_<kind>`, `memorised`, `seen`.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=figures.size("double", 0.42))
    for kind, color in zip(KINDS, CYCLE, strict=False):
        _mean_and_range(left, rules[rules["step"] > 0], f"loss_{kind}", color, label=kind)
    left.set(ylabel="loss (nats)")
    left.legend(fontsize=7)
    for _, own in rules[rules["step"] > 0].groupby("seed"):
        right.plot(own["step"], own["memorised"], color=COLORS["blue"], ls="-")
    marks.level(right, rules["seen"].max())
    right.set(ylabel="memorised multigrams")
    for ax in (left, right):
        ax.set(xscale="log", xlabel="training step")
        ax.set_ylim(bottom=0)
    return fig


def heads(heads: pd.DataFrame) -> Figure:
    """Attention scores of every head, a row of panels for each world; a colour and dash for each number of a head.

    Args:
        heads: `world`, `step`, `head` (`layer:head`), `previous_token`, `prefix_matching`; of one model each.
    """
    worlds = list(dict.fromkeys(heads["world"]))
    fig, axes = plt.subplots(len(worlds), 3, figsize=figures.size("double", 0.55), squeeze=False)
    numbers = sorted(set(heads["head"].str[2:].astype(int)))
    looks = {number: {"color": CYCLE[number % 7], "ls": "-" if number < 7 else "--"} for number in numbers}
    for line, world in zip(axes, worlds, strict=True):
        own = heads[(heads["world"] == world) & (heads["step"] > 0)]
        for ax, (layer, score) in zip(line, SCORES, strict=True):
            for name, each in own[own["head"].str.startswith(layer)].groupby("head"):
                ax.plot(each["step"], each[score], lw=1.1, **looks[int(name[2:])])
            ax.set(xscale="log")
            ax.set_ylim(bottom=0)
        line[0].set_ylabel(world)
    for ax, (layer, score) in zip(axes[0], SCORES, strict=True):
        ax.set_title(f"{score.replace('_', ' ')}, layer {layer}")
    for ax in axes[-1]:
        ax.set_xlabel("training step")
    handles = [Line2D([], [], lw=1.4, label=f"head {number}", **look) for number, look in looks.items()]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles), columnspacing=1)
    return fig


def blocks(blocks: pd.DataFrame, text: pd.DataFrame) -> Figure:
    """Prefix matching of the best head against the length of a random block, and along training on real text.

    Args:
        blocks: `step`, `block_length`, `prefix_matching`.
        text: `step`, `sequences` (their name), `prefix_matching`.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=figures.size("double", 0.38), sharey=True)
    for (step, own), color in zip(reversed(list(blocks.groupby("step"))), CYCLE, strict=False):
        left.plot(own["block_length"], own["prefix_matching"], "o-", color=color, label=f"step {step:,}")
    left.set(xlabel="tokens of the random block", ylabel="prefix matching, best head of layer 1", xlim=(0, None))
    for (name, own), color in zip(text[text["step"] > 0].groupby("sequences", sort=False), CYCLE, strict=False):
        right.plot(own["step"], own["prefix_matching"], ".-", color=color, label=name)
    right.set(xscale="log", xlabel="training step")
    right.set_ylim(bottom=0)
    for ax in (left, right):
        ax.legend()
    return fig


def _mean_and_range(ax: Axes, table: pd.DataFrame, value: str, color: str, label: str = "") -> None:
    grouped = table.groupby("step")[value]
    mean = grouped.mean()
    marks.band(ax, mean.index, grouped.min(), grouped.max(), color=color)
    ax.plot(mean.index, mean, color=color, ls="-", lw=1.2, label=label or None)
