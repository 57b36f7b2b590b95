"""When a quantity that is followed through training reaches a level."""

from collections.abc import Sequence

import numpy as np

from devinterp_core.trajectory.values import real_array

Values = Sequence[float] | np.ndarray


def crossing_step(steps: Values, values: Values, level: float) -> float:
    r"""First step at which `values`, followed from their start, reach `level`, interpolated in $\log(1 + t)$.

    Args:
        steps: training steps, increasing.
        values: the quantity at them.
        level: above the first value or below it.

    Returns:
        The step; the first one if `values` begin at the level, NaN if they never reach it.

    Raises:
        ValueError: fewer than 2 steps, steps that do not increase, another number of values, or NaN among the values
            that are followed.
    """
    steps, values = (real_array(v, n).astype(float) for v, n in ((steps, "steps"), (values, "values")))
    if len(steps) < 2 or steps.shape != values.shape or not (np.diff(steps) > 0).all() or not steps[0] >= 0:
        raise ValueError(f"need 2 or more increasing steps and as many values, got {len(steps)} and {len(values)}")
    above = values >= level if values[0] <= level else values <= level
    followed = values[: int(above.argmax()) + 1] if above.any() else values
    if np.isnan(level) or np.isnan(followed).any():
        raise ValueError("the level, or a value on the way to it, is NaN: leave out the steps that were not measured")
    if not above.any():
        return float("nan")
    after = int(above.argmax())
    if after == 0:
        return float(steps[0])
    share = (level - values[after - 1]) / (values[after] - values[after - 1])
    logs = np.log1p(steps[after - 1 : after + 1])
    return float(np.expm1(logs[0] + share * (logs[1] - logs[0])))


def halfway_step(steps: Values, values: Values) -> float:
    """First step at which `values` have gone half the way from their first to their last: when something was learned.

    Raises:
        ValueError: as `crossing_step`.
    """
    return crossing_step(steps, values, (values[0] + values[-1]) / 2)
