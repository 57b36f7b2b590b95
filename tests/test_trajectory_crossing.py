"""Steps at which a curve reaches a level, on curves whose crossings are known."""

import math

import numpy as np
import pytest

from devinterp_core.trajectory.crossing import crossing_step, halfway_step

STEPS = np.array([0, 1, 3, 7, 15, 31])  # log(1 + t) in steps of log 2


@pytest.mark.parametrize("sign", [1, -1])
def test_a_line_in_log_time_is_crossed_where_it_says(sign):
    values = sign * np.log2(1 + STEPS)
    assert crossing_step(STEPS, values, sign * 2.5) == pytest.approx(2**2.5 - 1)
    assert crossing_step(STEPS, values, 0) == 0
    assert halfway_step(STEPS, values) == pytest.approx(2**2.5 - 1)


def test_the_first_of_several_crossings_counts():
    assert crossing_step([0, 1, 3, 7], [0, 2, 0, 5], 1) == pytest.approx(math.sqrt(2) - 1)


def test_a_level_that_is_never_reached():
    assert math.isnan(crossing_step(STEPS, np.log2(1 + STEPS), 6))


def test_bad_input():
    with pytest.raises(ValueError, match="increasing"):
        crossing_step([0, 2, 2], [0, 1, 2], 1)
    with pytest.raises(ValueError, match="as many values"):
        crossing_step([0, 2], [0, 1, 2], 1)
