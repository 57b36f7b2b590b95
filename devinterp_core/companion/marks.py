"""What the figures of several chapters draw alike. A mark has few options; where more is needed, matplotlib is there.

A change of this module draws the figures of every chapter again: what only one chapter draws stands in its own module.
"""

from collections.abc import Iterable
from numbers import Real

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from devinterp_core.companion.figures import COLORS

STAGE_COLORS = {"A": COLORS["sky"], "B": COLORS["orange"]}  # type A: the coefficient rises; B: it falls


def seeds(
    ax: Axes, table: pd.DataFrame, value: str, *, color: str = COLORS["blue"], mean_color: str = "", label: str = ""
) -> None:
    """Curves of several seeds against the step: single ones thin, their mean thick. Step 0 is left out for log axes.

    Args:
        table: with the columns `step`, `seed` and `value`.
        value: the column drawn.
        color, mean_color: of the single curves and of the mean; the mean has the color of the others if none is given.
        label: of the mean, for the legend.
    """
    wide = table[table.step > 0].pivot(index="step", columns="seed", values=value)
    ax.plot(wide.index, wide, color=color, ls="-", lw=0.5, alpha=0.6)
    ax.plot(wide.index, wide.mean(axis=1), color=mean_color or color, ls="-", lw=1.6, label=label or None)


def band(
    ax: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, *, color: str = COLORS["grey"], label: str = ""
) -> None:
    """A shaded interval along x."""
    ax.fill_between(x, low, high, color=color, alpha=0.3, lw=0, label=label or None)


def bars(
    ax: Axes, x: ArrayLike, table: pd.DataFrame, value: str = "value", *, color: str = COLORS["blue"],
    marker: str = "o", label: str = "",
) -> None:  # fmt: skip
    """Points with the interval between the columns `low` and `high`; an end that is missing is left out.

    Args:
        x: where each row of `table` stands.
        table: with the columns `value`, `low` and `high`.
    """
    middle = table[value].to_numpy(float)
    ends = np.stack([middle - table["low"].to_numpy(float), table["high"].to_numpy(float) - middle])
    ends = np.maximum(np.nan_to_num(ends), 0)
    ax.errorbar(x, middle, ends, fmt=marker, color=color, mfc="white", ls="none", label=label or None)


def identity(ax: Axes, low: Real, high: Real) -> None:
    """The line on which two quantities are equal."""
    ax.plot([low, high], [low, high], color=COLORS["black"], ls="-", lw=0.8, zorder=1)


def level(ax: Axes, value: Real, *, color: str = COLORS["grey"], label: str = "") -> None:
    """A dashed horizontal line: a known value, or chance."""
    ax.axhline(value, color=color, ls="--", lw=1, zorder=1, label=label or None)


def stages(axes: Iterable[Axes], table: pd.DataFrame) -> None:
    """Shade the stages of a learning coefficient along training, by type.

    Args:
        table: with the columns `type` (A or B), `start` and `end`, in steps.
    """
    for ax in axes:
        for stage in table.itertuples():
            ax.axvspan(max(stage.start, 1), stage.end, color=STAGE_COLORS[stage.type], alpha=0.22, lw=0)


def along_training(axes: Iterable[Axes], last: Real, first: Real = 10) -> None:
    """A logarithmic axis of training steps from `first` to `last`."""
    for ax in axes:
        ax.set(xscale="log", xlabel="training step", xlim=(first, last))
