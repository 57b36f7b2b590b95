r"""Stages of training, read off the curve of the learning coefficient over log time.

A boundary is where $d\lambda / d\log t$ vanishes or nearly does: an extremum of the smoothed curve, or a plateau
between two rises (or two falls). The curve's uncertainty decides which are real: a stage is kept only if the change
over it exceeds its posterior standard deviation several times, a plateau only if nearly all curves that fit the data
are flat there compared with both sides. A stage in which the coefficient rises is of type A, one in which it falls of
type B.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Num

from devinterp_core.trajectory.boundaries import BoundaryKind, Turn, plateaus, significant_extrema
from devinterp_core.trajectory.gaussian_process import SmoothCurve, smooth_curve
from devinterp_core.trajectory.values import real_array

Interval = tuple[float, float]


@dataclass(frozen=True)
class Boundary:
    """The step at which one stage ends and the next begins.

    Attributes:
        step: in training steps.
        interval: central interval of the step over draws of the curve.
        kind: what the curve does there.
        support: fraction of the draws that have such a point between the neighbouring boundaries.
    """

    step: float
    interval: Interval
    kind: BoundaryKind
    support: float


@dataclass(frozen=True)
class Stage:
    """A stretch of training over which the learning coefficient rises or falls.

    Attributes:
        start: first step; of the first stage, the first observation after step 0.
        end: last step.
        change: of the learning coefficient from `start` to `end`.
        interval: central interval of the change over draws of the curve.
    """

    start: float
    end: float
    change: float
    interval: Interval

    @property
    def type(self) -> Literal["A", "B"]:
        """A where the learning coefficient rises, B where it falls."""
        return "A" if self.change > 0 else "B"

    @property
    def direction(self) -> Literal["up", "down"]:
        """The same in words."""
        return "up" if self.change > 0 else "down"


@dataclass(frozen=True)
class Stages:
    """All stages of a curve, the boundaries between them, and the smoothed curve they were read from."""

    stages: list[Stage]
    boundaries: list[Boundary]
    curve: SmoothCurve

    @property
    def types(self) -> str:
        """One letter a stage, such as "AABBA"."""
        return "".join(stage.type for stage in self.stages)


def find_stages(
    steps: Num[np.ndarray, " step"],
    llc: Num[np.ndarray, " step"],
    standard_error: Num[np.ndarray, " step"] | None = None,
    *,
    significance: float = 4.0,
    plateau_fraction: float = 0.5,
    level: float = 0.9,
    smoothness: float = 2.5,
    num_samples: int = 400,
    num_restarts: int = 10,
    seed: int = 0,
) -> Stages:
    r"""Split training into stages by the extrema and plateaus of the learning coefficient in log time.

    1. The curve is smoothed (`smooth_curve`). Step 0 has no logarithm and is left out.
    2. Between extrema of the posterior mean, the change is compared with its posterior standard deviation. As long as
       one is smaller than `significance` deviations, the least significant is merged with its neighbours.
    3. A stage is split at the point of least $|d\lambda / d\log t|$ between two peaks of it, if the slope there is less
       than `plateau_fraction` of the smaller peak, in the mean and in 95 % of the draws, and if the change on either
       side is significant.
    4. Each boundary is found again in every draw, an extremum between the neighbouring extrema and a plateau between
       its two peaks; the quantiles of these make its interval.

    A curve without significant change has no stage. Kernel parameters are held at their optimum, so intervals leave
    out what is uncertain about them; with few points (fewer than some four a unit of log time) and no
    `standard_error`, noise and signal cannot be told apart.

    Args:
        steps: training steps of the checkpoints, increasing; a few hundred at most (time is cubic in their number).
        llc: estimates of the learning coefficient.
        standard_error: of each estimate. Scatter beyond it, or without it all scatter, is estimated.
        significance: posterior standard deviations by which the change over a stage must differ from 0. The largest of
            several wiggles has to be excluded: at 3, one noisy curve in 60 still had a stage too many.
        plateau_fraction: of the slope at a plateau to that of the gentler side.
        level: of the intervals.
        smoothness: of the curve, 2.5 or `math.inf`; see `smooth_curve`.
        num_samples: draws of the curve.
        num_restarts: of the search for the kernel's parameters.
        seed: of every random number.

    Raises:
        ValueError: if steps are negative, unsorted or repeated, lengths differ, values are not finite, a standard error
            is negative, fewer than 5 positive steps are left, or a setting is out of range.

    Reference: Hoogland et al. (2024), appendix on stage boundaries.
    """
    if not (significance > 0 and 0 < plateau_fraction < 1 and 0 < level < 1):
        raise ValueError(
            "significance must be positive, plateau_fraction and level must lie between 0 and 1; "
            f"got {significance}, {plateau_fraction} and {level}"
        )
    if not (num_samples >= 20 and num_restarts >= 0):
        raise ValueError(
            f"num_samples must be 20 at least and num_restarts not negative, got {num_samples} and {num_restarts}"
        )
    steps, llc = real_array(steps, "steps"), real_array(llc, "llc")
    standard_error = None if standard_error is None else real_array(standard_error, "standard_error")
    error = np.zeros(len(llc)) if standard_error is None else standard_error
    steps = steps.astype(np.float64)
    kept = _check(steps, llc, error)
    curve = smooth_curve(
        np.log(steps[kept]), llc[kept].astype(np.float64), error[kept].astype(np.float64),
        smoothness=smoothness, num_restarts=num_restarts, num_samples=num_samples, seed=seed,
    )  # fmt: skip
    extrema = significant_extrema(curve, significance)
    slopes = curve.sample_slopes
    found = [
        Turn("maximum" if curve.mean[here] > curve.mean[before] else "minimum", here, before, after)
        for before, here, after in zip(extrema, extrema[1:], extrema[2:])
    ]
    for left, right in zip(extrema, extrema[1:]):
        found += plateaus(curve, slopes, left, right, plateau_fraction, significance)
    found.sort(key=lambda point: point.index)
    boundaries = [_boundary(curve, slopes, point, level) for point in found]
    ends = [extrema[0], *(point.index for point in found), extrema[-1]] if extrema else []
    stages = [_stage(curve, first, last, level) for first, last in zip(ends, ends[1:])]
    return Stages(stages, boundaries, curve)


def _check(
    steps: Num[np.ndarray, " step"], llc: Float[np.ndarray, " step"], error: Float[np.ndarray, " step"]
) -> Bool[np.ndarray, " step"]:
    """Refuse what cannot be a curve; which points are left without step 0."""
    if not len(steps) == len(llc) == len(error):
        raise ValueError(f"{len(steps)} steps, {len(llc)} values and {len(error)} standard errors do not match")
    finite = np.isfinite(steps) & np.isfinite(llc) & np.isfinite(error)
    if not finite.all():
        raise ValueError(f"steps, llc and standard_error must be finite; point {(~finite).argmax()} is not")
    if (error < 0).any():
        raise ValueError(f"standard_error must not be negative; that of point {(error < 0).argmax()} is")
    wrong = np.diff(steps) <= 0
    if wrong.any():
        place = wrong.argmax()
        raise ValueError(f"steps must increase; step {steps[place]} is followed by {steps[place + 1]}")
    if (steps < 0).any():
        raise ValueError(f"steps must not be negative, got {steps[0]}")
    kept = steps > 0
    if kept.sum() < 5:
        raise ValueError(f"{kept.sum()} positive steps are too few for stages: 5 at least")
    return kept


def _boundary(curve: SmoothCurve, slopes: Float[np.ndarray, "sample grid"], point: Turn, level: float) -> Boundary:
    """The boundary with its interval, from where each draw has the same extremum or plateau."""
    window = slice(point.first, point.last + 1)
    if point.kind == "plateau":
        sign = np.sign(curve.mean[point.first] - curve.mean[point.last])
        mean, draws = sign * curve.slope, sign * slopes
    else:
        sign = 1 if point.kind == "maximum" else -1
        mean, draws = sign * curve.mean, sign * curve.samples
    where, inside = _peak(draws[:, window])
    spacing = curve.log_steps[1] - curve.log_steps[0]
    low, high = np.quantile(where, [(1 - level) / 2, (1 + level) / 2])
    offset = _peak(mean[None, point.index - 1 : point.index + 2])[0].item() - 1
    step, low, high = np.exp(
        curve.log_steps[0] + spacing * np.array([point.index + offset, point.first + low, point.first + high])
    )
    return Boundary(float(step), (float(low), float(high)), point.kind, float(inside.mean()))


def _peak(curves: Float[np.ndarray, "curve grid"]) -> tuple[Float[np.ndarray, " curve"], Bool[np.ndarray, " curve"]]:
    """Where each curve is highest, by a parabola through three points, and whether that is away from the ends."""
    where = curves.argmax(axis=1)
    inside = (where > 0) & (where < curves.shape[1] - 1)
    rows, middle = np.arange(len(curves)), where.clip(1, curves.shape[1] - 2)
    before, here, after = (curves[rows, middle + shift] for shift in (-1, 0, 1))
    bend = np.where(inside, np.minimum(before - 2 * here + after, -np.finfo(np.float64).tiny), -1.0)
    return where + np.where(inside, (before - after) / 2 / bend, 0.0).clip(-0.5, 0.5), inside


def _stage(curve: SmoothCurve, first: int, last: int, level: float) -> Stage:
    start, end = np.exp(curve.log_steps[[first, last]])
    changes = curve.samples[:, last] - curve.samples[:, first]
    low, high = np.quantile(changes, [(1 - level) / 2, (1 + level) / 2])
    change = curve.mean[last] - curve.mean[first]
    return Stage(float(start), float(end), float(change), (float(low), float(high)))
