r"""Which extrema and plateaus of a smoothed curve are real, given what is uncertain about it.

Extrema go in pairs: as long as the change between two of them is smaller than a few of its posterior standard
deviations, the least significant pair is taken out. What is left between two extrema rises or falls as a whole, and is
split at a plateau if nearly all curves that fit the data are flat there compared with both sides.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from devinterp_core.trajectory.gaussian_process import SmoothCurve

BoundaryKind = Literal["maximum", "minimum", "plateau"]
CONFIDENCE = 0.95  # share of the draws that must be flat at a plateau


@dataclass(frozen=True)
class Turn:
    """An extremum or plateau of the posterior mean.

    Attributes:
        kind: which of the three.
        index: on the grid of the curve.
        first: start of the stretch of the grid in which a draw is searched for the same point; the neighbouring
            extremum, or the peak of the slope before a plateau.
        last: end of that stretch, itself included.
    """

    kind: BoundaryKind
    index: int
    first: int
    last: int


def significance_of_change(curve: SmoothCurve, first: int, last: int) -> float:
    """Change of the mean between two points of the grid, in posterior standard deviations of that change."""
    covariance = curve.covariance
    variance = covariance[first, first] + covariance[last, last] - 2 * covariance[first, last]
    return abs(curve.mean[last] - curve.mean[first]) / np.sqrt(max(variance, np.finfo(np.float64).tiny))


def significant_extrema(curve: SmoothCurve, significance: float) -> list[int]:
    """Both ends of the grid and the extrema between, such that every change is significant; empty if none is."""
    rising = np.sign(np.diff(curve.mean))
    points = [0, *(np.flatnonzero(rising[1:] * rising[:-1] < 0) + 1).tolist(), len(curve.mean) - 1]
    while True:
        changes = [significance_of_change(curve, first, last) for first, last in zip(points, points[1:])]
        least = int(np.argmin(changes))
        if changes[least] >= significance:
            return points
        if len(points) == 2:
            return []
        # a change at an end is merged with its one neighbour, one inside with both: extrema go in pairs
        del points[max(1, least) : min(least + 2, len(points) - 1)]


def plateaus(
    curve: SmoothCurve,
    slopes: Float[np.ndarray, "sample grid"],
    left: int,
    right: int,
    fraction: float,
    significance: float,
) -> list[Turn]:
    """Plateaus inside a stage without extrema: the clearest splits it, then those of either part."""
    sign = np.sign(curve.mean[right] - curve.mean[left])
    slope, best = sign * curve.slope, None
    for index in range(left + 1, right):
        if not slope[index - 1] > slope[index] <= slope[index + 1]:
            continue
        first = left + int(slope[left:index].argmax())
        last = index + int(slope[index : right + 1].argmax())
        ratio = slope[index] / min(slope[first], slope[last])
        if ratio >= fraction or (best is not None and ratio >= best[0]):
            continue
        flat = sign * slopes[:, index] < fraction * np.minimum(sign * slopes[:, first], sign * slopes[:, last])
        sides = min(significance_of_change(curve, left, index), significance_of_change(curve, index, right))
        if flat.mean() >= CONFIDENCE and sides >= significance:
            best = ratio, Turn("plateau", index, first, last)
    if best is None:
        return []
    split = best[1].index
    parts = ((left, split), (split, right))
    inner = [plateaus(curve, slopes, *part, fraction, significance) for part in parts]
    # a plateau further inside bounds the stretch in which this one is sought
    first = max([best[1].first, *(point.last for point in inner[0])])
    last = min([best[1].last, *(point.first for point in inner[1])])
    return [*inner[0], Turn("plateau", split, first, last), *inner[1]]
