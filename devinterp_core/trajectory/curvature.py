r"""The geometry of a planar trajectory: osculating circles, evolute, vertices, cusps and forms.

With $r' = (r_{i+1} - r_{i-1}) / 2$ and $r'' = r_{i+1} - 2 r_i + r_{i-1}$,

$$\kappa = \frac{r' \times r''}{\lVert r'\rVert^3}, \qquad c = r_i + \frac{n}{\kappa},$$

where $n$ is the unit normal to the left of the motion. The centres $c$ trace the evolute. Where the curvature is
extreme, at a *vertex*, the evolute stands still and turns back; where the radius vanishes, the trajectory has a *cusp*.
A *form* is a time at which every projection of a trajectory shows one or the other.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from devinterp_core.trajectory.values import real_array

HALF = math.log(2)


@dataclass(frozen=True)
class OsculatingCircles:
    r"""The circle that touches a curve to second order at each of its points; made by `osculating_circles`.

    Where the curve is straight, `curvature` is 0, `radius` infinite and `centre` NaN. Where it turns back on itself
    exactly ($r' = 0$, $r'' \neq 0$) the circle is a point: `curvature` infinite, `radius` 0, `centre` the point
    itself. Where a point repeats its neighbour, and at both ends, there is no circle: all NaN. `defined` marks the
    finite ones.

    Attributes:
        centre: the evolute.
        radius: $1 / |\kappa|$, in units of the curve.
        curvature: $\kappa$, positive where the curve turns left.
    """

    centre: Float[np.ndarray, "point 2"]
    radius: Float[np.ndarray, " point"]
    curvature: Float[np.ndarray, " point"]

    @property
    def defined(self) -> Bool[np.ndarray, " point"]:
        """Points that have a circle with a finite radius."""
        return np.isfinite(self.centre).all(axis=1)


@dataclass(frozen=True)
class Mark:
    """One vertex or cusp: a run of neighbouring points, reported once.

    Attributes:
        kind: which of the two.
        index: the point of the run where the evolute is slowest (vertex) or the radius smallest (cusp).
        first: first point of the run.
        last: last point of the run, itself included.
        prominence: e-folds by which that speed or radius has to rise, on the lower side, before it falls deeper.
    """

    kind: Literal["vertex", "cusp"]
    index: int
    first: int
    last: int
    prominence: float


@dataclass(frozen=True)
class Form:
    """A time at which every projection shows a vertex or a cusp.

    Attributes:
        index: the checkpoint from which the farthest of the marks is nearest.
        marks: for each pair of components the mark nearest to `index`.
    """

    index: int
    marks: dict[tuple[int, int], Mark]


def osculating_circles(curve: Num[np.ndarray, "point 2"]) -> OsculatingCircles:
    """Osculating circle at every point of a planar curve by central differences (formula above).

    Degenerate points (straight, reversing, repeated) are told from others by the rounding of the coordinates and set
    to the values that `OsculatingCircles` lists; nothing is raised or warned of.

    Args:
        curve: points in order; neighbours are taken as one unit of time apart. For a closed curve repeat two points.

    Raises:
        ValueError: for fewer than 3 points or values that are not finite.

    Reference: Hoogland et al. (2024), appendix on the geometry of essential dynamics.
    """
    if len(curve) < 3:
        raise ValueError(f"curve has {len(curve)} points, expected 3 at least")
    curve = real_array(curve, "curve")
    if not np.isfinite(curve).all():
        raise ValueError("curve holds NaN or infinite values")
    rounding_unit, curve = 8 * np.finfo(curve.dtype).eps, curve.astype(np.float64)
    before, point, after = curve[:-2], curve[1:-1], curve[2:]
    velocity = (after - before) / 2
    acceleration = (after - point) - (point - before)
    cross = velocity[:, 0] * acceleration[:, 1] - velocity[:, 1] * acceleration[:, 0]
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    size = np.abs(np.concatenate([before, point, after], axis=1)).max(axis=1)
    rounding = rounding_unit * size
    repeated = (np.abs(after - point).max(axis=1) <= rounding) | (np.abs(point - before).max(axis=1) <= rounding)
    reversing = ~repeated & (speed <= rounding)
    straight = ~repeated & ~reversing & (np.abs(cross) <= rounding * speed)
    regular = ~(repeated | reversing | straight)

    curvature = np.full(len(curve), np.nan)
    radius, centre = curvature.copy(), np.full(curve.shape, np.nan)
    kappa = np.full(len(point), np.nan)
    kappa[regular] = cross[regular] / speed[regular] ** 3
    kappa[straight], kappa[reversing] = 0.0, np.inf
    curvature[1:-1] = kappa
    with np.errstate(divide="ignore"):
        radius[1:-1] = 1 / np.abs(kappa)
    normal = np.stack([-velocity[:, 1], velocity[:, 0]], axis=1)[regular] / speed[regular, None]
    inner = centre[1:-1]
    inner[regular] = point[regular] + normal / kappa[regular, None]
    inner[reversing] = point[reversing]
    return OsculatingCircles(centre, radius, curvature)


def vertices(circles: OsculatingCircles, *, count: int = 35, gap: int = 2, min_prominence: float = HALF) -> list[Mark]:
    r"""Vertices: where the evolute stands still, $\lVert c_{i+1} - c_{i-1}\rVert / 2$ being smallest.

    The `count` slowest points are taken, as in the paper's code, and those at most `gap` apart are one vertex.

    Args:
        circles: of one projection.
        count: points taken before they are joined.
        gap: of the indices, up to which two points belong to one vertex.
        min_prominence: e-folds of the evolute's speed; a vertex whose speed does not rise by so much on both sides
            (the slow end of a trajectory, a wiggle) is left out. The default, $\log 2$, asks for a factor of 2.

    Raises:
        ValueError: if `count` or `gap` is less than 1 or `min_prominence` is negative.

    Reference: Hoogland et al. (2024), published code: the 35 smallest steps of the centre.
    """
    speed = np.full(len(circles.radius), np.nan)
    step = (circles.centre[2:] - circles.centre[:-2]) / 2
    speed[1:-1] = np.hypot(step[:, 0], step[:, 1])
    return _marks("vertex", speed, count, gap, min_prominence)


def cusps(circles: OsculatingCircles, *, count: int = 20, gap: int = 2, min_prominence: float = HALF) -> list[Mark]:
    """Cusps and other sharp points: where the radius of the osculating circle is smallest.

    The arguments and errors are those of `vertices`; prominence is in e-folds of the radius, so that a true cusp,
    whose radius tends to 0 as the points get denser, is told from a mere bend by its prominence.

    Reference: Hoogland et al. (2024), published code: the 20 smallest radii.
    """
    return _marks("cusp", circles.radius, count, gap, min_prominence)


def forms(
    projections: Float[np.ndarray, "checkpoint component"],
    *,
    tolerance: int = 5,
    num_vertices: int = 35,
    num_cusps: int = 20,
    min_prominence: float = HALF,
) -> list[Form]:
    """Times at which the projections on all pairs of components show a vertex or a cusp.

    Args:
        projections: coordinates on two or more principal components, smoothed (`smooth`) beforehand.
        tolerance: checkpoints within which a mark of each pair must lie.
        num_vertices: `count` of `vertices`.
        num_cusps: `count` of `cusps`.
        min_prominence: of both.

    Raises:
        ValueError: for fewer than two components, a negative tolerance, or what the functions above refuse.

    Reference: Hoogland et al. (2024), definition of forms.
    """
    if projections.shape[1] < 2:
        raise ValueError(f"projections have {projections.shape[1]} component, expected 2 at least")
    if tolerance < 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance}")
    times, marks, distance = np.arange(len(projections)), {}, []
    for pair in combinations(range(projections.shape[1]), 2):
        circles = osculating_circles(projections[:, list(pair)])
        marks[pair] = vertices(circles, count=num_vertices, min_prominence=min_prominence)
        marks[pair] += cusps(circles, count=num_cusps, min_prominence=min_prominence)
        if not marks[pair]:
            return []
        distance.append(np.abs(times[:, None] - [mark.index for mark in marks[pair]]).min(axis=1))
    farthest, total = np.max(distance, axis=0), np.sum(distance, axis=0)
    found = []
    for run in _runs(np.flatnonzero(farthest <= tolerance), gap=1):
        index = int(min(run, key=lambda time: (farthest[time], total[time])))
        nearest = {pair: min(group, key=lambda mark: abs(mark.index - index)) for pair, group in marks.items()}
        found.append(Form(index, nearest))
    return found


def _marks(
    kind: Literal["vertex", "cusp"], size: Float[np.ndarray, " point"], count: int, gap: int, min_prominence: float
) -> list[Mark]:
    """Join the `count` smallest sizes into runs and keep those whose smallest point is prominent; NaNs are skipped."""
    if count < 1 or gap < 1 or not min_prominence >= 0:
        raise ValueError(
            f"count and gap must be 1 at least and min_prominence not negative, got {count}, {gap} and {min_prominence}"
        )
    known = np.flatnonzero(~np.isnan(size))
    finite = known[np.isfinite(size[known])]
    if not finite.size:
        return []
    floor = max(np.finfo(np.float64).eps * size[finite].max(), np.finfo(np.float64).tiny)
    depth = -np.log(np.maximum(size[known], floor))
    found = []
    for run in _runs(np.sort(finite[np.argsort(size[finite], kind="stable")[:count]]), gap):
        index = run[size[run].argmin()]
        prominence = _prominence(depth, int(np.searchsorted(known, index)))
        if prominence > 0 and prominence >= min_prominence:
            found.append(Mark(kind, int(index), int(run[0]), int(run[-1]), prominence))
    return found


def _runs(indices: Int[np.ndarray, " index"], gap: int) -> list[Int[np.ndarray, " _"]]:
    """Split rising indices where two neighbours are more than `gap` apart."""
    return np.split(indices, np.flatnonzero(np.diff(indices) > gap) + 1) if indices.size else []


def _prominence(height: Float[np.ndarray, " point"], peak: int) -> float:
    """Height of a peak over the higher of the two lowest points that part it from higher ground or from an end."""
    higher = np.flatnonzero(height > height[peak])
    left, right = higher[higher < peak], higher[higher > peak]
    first, last = (left[-1] + 1 if left.size else 0), (right[0] if right.size else len(height))
    return float(height[peak] - max(height[first : peak + 1].min(), height[peak:last].min()))
