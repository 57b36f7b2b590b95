r"""What runs of SGD visit on the ladder of k-gon levels: which level and when, rests on it, jumps to the next.

Each checkpoint is named twice, by means that know nothing of each other: by its exact population loss (the nearest
level), and by its geometry (vertices of the convex hull, signs of biases, dead outputs).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from devinterp_core.tms.phases import classify, nearest_level
from devinterp_core.tms.potential import population_loss


class Visits(NamedTuple):
    """Where many runs are, each array `[checkpoint, run]`.

    Attributes:
        loss: population loss.
        level: index of the nearest level of the ladder.
        on_level: whether the loss is close enough to it.
        agrees: whether the geometry names the same k-gon as the level.
    """

    loss: np.ndarray
    level: np.ndarray
    on_level: np.ndarray
    agrees: np.ndarray


def visits(
    W: Float[Tensor, "checkpoints runs hidden features"],
    b: Float[Tensor, "checkpoints runs features"],
    levels: pd.DataFrame,
    tolerance: float,
) -> Visits:
    """Name every checkpoint of every run.

    Args:
        W, b: parameters; the loss is taken in double precision.
        levels: of `critical_levels`, for the same number of features.
        tolerance: a checkpoint is on a level if its population loss is closer than this.
    """
    W, b = W.double(), b.double()
    loss = population_loss(W, b).numpy()
    level, distance = nearest_level(loss, levels["loss"].to_numpy())
    geometry = np.stack([count.numpy() for count in classify(W, b)], axis=-1)
    names = levels[["k", "num_positive", "num_negative"]].to_numpy()[level]
    return Visits(loss, level, distance < tolerance, (geometry == names).all(-1))


def shares_of_levels(seen: Visits, levels: pd.DataFrame) -> pd.DataFrame:
    """Share of all checkpoints on each level, and how many runs were ever there.

    Returns:
        One row a level, in the order of `levels`, and a last one `off` for all other checkpoints: `level` (its label),
        `share`, `runs_seen` (0 in the last row).
    """
    rows = []
    for index, label in enumerate(levels["label"]):
        here = seen.on_level & (seen.level == index)
        rows.append((label, here.mean(), int(here.any(0).sum())))
    rows.append(("off", 1 - seen.on_level.mean(), 0))
    return pd.DataFrame(rows, columns=["level", "share", "runs_seen"])


def share_by_chance(levels: pd.DataFrame, tolerance: float) -> float:
    """Part of the range of losses from the lowest to the highest level that is closer than `tolerance` to a level."""
    losses = levels["loss"].to_numpy()
    grid = np.linspace(losses.min(), losses.max(), 100_001)
    return float((nearest_level(grid, losses)[1] < tolerance).mean())


def find_rests(level: np.ndarray, on_level: np.ndarray, shortest: int = 3) -> pd.DataFrame:
    r"""Rests of many runs: maximal stretches of checkpoints on one level, in order of time within each run.

    Stretches on the same level with nothing but checkpoints off every level between them are one rest.

    Args:
        level: index of the nearest level, `[checkpoint, run]`.
        on_level: whether the checkpoint is on it, `[checkpoint, run]`.
        shortest: stretches of fewer checkpoints on the level are passages, not rests, and are left out.

    Returns:
        One row a rest: `run`, `level`, `first` and `last` (checkpoints), `middle` (the median checkpoint on the level).

    Raises:
        ValueError: if the shapes differ.
    """
    if level.shape != on_level.shape or level.ndim != 2:
        raise ValueError(f"level {level.shape} and on_level {on_level.shape} must both be [checkpoint, run]")
    rows = []
    for run in range(level.shape[1]):
        checkpoints = np.flatnonzero(on_level[:, run])
        changes = np.flatnonzero(np.diff(level[checkpoints, run])) + 1
        stretches = [s for s in np.split(checkpoints, changes) if len(s) >= max(1, shortest)]
        for stretch in stretches:
            index = int(level[stretch[0], run])
            if rows and rows[-1][:2] == (run, index):  # only a passage lay between
                stretch = np.concatenate((rows.pop()[2], stretch))
            rows.append((run, index, stretch))
    rows = [(run, index, int(s[0]), int(s[-1]), int(s[(len(s) - 1) // 2])) for run, index, s in rows]
    return pd.DataFrame(rows, columns=["run", "level", "first", "last", "middle"])


def find_jumps(rests: pd.DataFrame) -> pd.DataFrame:
    """Jumps: a rest of a run whose next rest lies on a lower level.

    Args:
        rests: of `find_rests`, with levels counted from the highest loss to the lowest.

    Returns:
        One row a jump: the columns of the rest before it, `next_level` and `next_middle` of the rest after it.
    """
    following = rests.groupby("run").shift(-1)
    falls = (following["level"].notna() & (following["level"] > rests["level"])).to_numpy()
    after = following.loc[falls, ["level", "middle"]].astype(int)
    return rests[falls].assign(next_level=after["level"], next_middle=after["middle"])
