"""The picture of essential dynamics: a trajectory in pairs of principal components, with its circles and evolute."""

import numpy as np
import pandas as pd
from matplotlib import pyplot
from matplotlib.figure import Figure

from devinterp_core.companion.figures import COLORS, size
from devinterp_core.trajectory import osculating_circles

COMPONENTS = ("pc_1", "pc_2", "pc_3")
PAIRS = [(0, 1), (0, 2), (1, 2)]
NUM_CIRCLES = 14


def essential_dynamics(path: pd.DataFrame) -> Figure:
    r"""Three panels, one for each pair of the first three components.

    The trajectory is coloured by the logarithm of the step, a dot marks its start; thin circles are osculating circles
    of evenly spaced checkpoints, grey is the evolute (the circles' centres) inside the frame, crosses are forms.

    Args:
        path: a row a checkpoint, in order: `step`, the smoothed scores `pc_1`, `pc_2`, `pc_3`, and `form`, whether the
            point is one.
    """
    steps, scores = path["step"].to_numpy(), path[[*COMPONENTS]].to_numpy()
    fig, axes = pyplot.subplots(1, 3, figsize=size("double", 0.38))
    for ax, (i, j) in zip(axes, PAIRS, strict=True):
        plane = scores[:, [i, j]]
        circles = osculating_circles(plane)
        low, high = plane.min(0), plane.max(0)
        margin = 0.15 * (high - low) + 1e-9
        for index in range(4, len(steps) - 4, max(1, len(steps) // NUM_CIRCLES)):
            if np.isfinite(circles.radius[index]):
                centre, radius = circles.centre[index], circles.radius[index]
                ax.add_patch(pyplot.Circle(centre, radius, fill=False, lw=0.4, color=COLORS["sky"]))
        inside = ((circles.centre > low - margin) & (circles.centre < high + margin)).all(1)
        ax.plot(*np.where(inside[:, None], circles.centre, np.nan).T, ".-", color=COLORS["grey"], ms=2, lw=0.6)
        ax.scatter(*plane.T, c=np.log(np.maximum(steps, 1)), s=5, zorder=3)
        ax.plot(*plane[0], "o", color=COLORS["black"], ms=4, zorder=4)
        for point in plane[path["form"].to_numpy(bool)]:
            ax.plot(*point, "x", color=COLORS["vermillion"], ms=7, mew=1.8, zorder=5)
        ax.set(xlabel=f"PC {i + 1}", ylabel=f"PC {j + 1}")
        ax.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
    return fig
