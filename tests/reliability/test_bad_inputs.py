"""Bad inputs by the hundred: a clear error before any step, or the very result of the value that is meant."""

import random

import numpy as np
import pytest
import reliability_inputs as inputs
import reliability_problems as problems
from reliability_children import Outcome, scaled

pytestmark = pytest.mark.area("bad inputs")
SECONDS = 8.0  # a call that has begun to work instead of refusing is ended after this time


def chosen() -> list[int]:
    """All cases in the long form; of each function's arguments a seeded part in the short one."""
    numbers = list(range(len(inputs.CASES)))
    return sorted(random.Random(0).sample(numbers, min(len(numbers), scaled(260, len(numbers)))))


def name(number: int) -> str:
    case = inputs.CASES[number]
    return f"{case.function}-{case.argument}-{case.label}"


def attempt(number: int, meant: bool, endless: bool) -> dict:
    case = inputs.CASES[number]
    value = case.means[0] if meant else case.value
    if isinstance(value, inputs.Made):
        value = value()
    elif isinstance(value, dict | list):
        value = unpacked(value)
    return inputs.invoke(case.function, {case.argument: value}, endless)


def unpacked(value):
    """With what is made in the child made."""
    if isinstance(value, dict):
        return {k: unpacked(v) for k, v in value.items()}
    if isinstance(value, list):
        return [unpacked(v) for v in value]
    return value() if isinstance(value, inputs.Made) else value


def nowhere_finite(value) -> bool:
    """NaN for NaN is an answer."""
    return isinstance(value, dict) and not any(
        np.isfinite(each).any() for each in value.values() if hasattr(each, "dtype")
    )


@pytest.mark.parametrize("number", chosen(), ids=name)
def test_a_wrong_value(number, child):
    case = inputs.CASES[number]
    outcome: Outcome = child.call(attempt, number, False, not case.means, timeout=SECONDS if not case.means else 60.0)
    if outcome.refused or nowhere_finite(outcome.value):
        return
    assert case.means and not outcome.error and outcome.died is None and not outcome.timed_out, str(outcome)
    right = child.call(attempt, number, True, False)
    assert not right.error, f"the right value is refused: {right}"
    assert problems.same(outcome.value, right.value), "other numbers than those of the value that is meant"


def test_there_are_hundreds():
    assert len(inputs.CASES) > 1500
