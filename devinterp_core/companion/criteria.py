"""A measured number that knows its interval, and criteria that decide a claim about it and say what they ask.

A criterion is asked of a number or of an interval (low, high). Of an interval it answers True where all of it fulfils
the criterion, False where none of it does, and None, undecided, where some of it does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

__all__ = [
    "Criterion", "Measured", "above", "all_hold", "at_least", "at_most", "below", "covering", "ends_of", "within",
]  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What was measured here, with its interval and what the interval is over.

    Attributes:
        value: a number, or a few words such as `12 of 14 runs`.
        interval: (low, high), or a word such as `exact` where there is none.
        over: how the interval is made, such as `95 %, Student, 5 seeds`; empty where nothing is to be said.
    """

    value: float | str
    interval: tuple[float, float] | str
    over: str = ""


@dataclass(frozen=True)
class Criterion:
    """What is asked, in words, and the rule that decides it from the low and the high end."""

    words: str
    decide: Callable[[float, float], bool | None]

    def __call__(self, found: Any) -> bool | None:
        """The verdict on a number, or on an interval (low, high).

        Raises:
            ValueError: something that can fulfil no criterion, NaN among it.
        """
        return self.decide(*ends_of(found))

    def __str__(self) -> str:
        return self.words


def at_least(bound: float) -> Criterion:
    """At or over `bound`."""
    return Criterion(f"at least {_show(bound)} asked", lambda low, high: _all_or_none(low >= bound, high >= bound))


def at_most(bound: float) -> Criterion:
    """At or below `bound`."""
    return Criterion(f"at most {_show(bound)} asked", lambda low, high: _all_or_none(high <= bound, low <= bound))


def above(bound: float) -> Criterion:
    """Over `bound`."""
    return Criterion(f"above {_show(bound)} asked", lambda low, high: _all_or_none(low > bound, high > bound))


def below(bound: float) -> Criterion:
    """Below `bound`."""
    return Criterion(f"below {_show(bound)} asked", lambda low, high: _all_or_none(high < bound, low < bound))


def within(tolerance: float, of: float, *, relative: bool = False) -> Criterion:
    """No further than `tolerance` from `of`, or than `tolerance * |of|`."""
    reach = tolerance * abs(of) if relative else tolerance
    size = f"{_show(100 * tolerance)} %" if relative else _show(tolerance)
    bottom, top = of - reach, of + reach
    return Criterion(
        f"within {size} of {_show(of)} asked",
        lambda low, high: _all_or_none(bottom <= low and high <= top, low <= top and high >= bottom),
    )


def covering(truth: float) -> Criterion:
    """An interval that holds `truth`: of a measurement against what is known exactly."""
    return Criterion(f"an interval that holds {_show(truth)} asked", lambda low, high: low <= truth <= high)


def all_hold(*verdicts: Any) -> bool | None:
    """The verdict of several together: False if one fails, undecided if none does and one is undecided."""
    verdicts = [verdict.item() if hasattr(verdict, "item") else verdict for verdict in verdicts]
    if any(verdict is False for verdict in verdicts):
        return False
    return None if any(verdict is None for verdict in verdicts) else True


def ends_of(found: Any) -> tuple[float, float]:
    """Low and high end of a number, of an interval (low, high) of any library, or of what was measured.

    Raises:
        ValueError: words, NaN, an interval the wrong way round.
    """
    if isinstance(found, Measured):
        found = found.value if isinstance(found.interval, str) else found.interval
    single = isinstance(found, Real) or getattr(found, "ndim", 1) == 0
    try:
        low, high = (float(end) for end in ((found, found) if single else found))
    except (TypeError, ValueError):
        low, high = float("nan"), float("nan")
    if not low <= high:
        raise ValueError(f"{found!r} can fulfil no criterion: a number or (low, high) was expected")
    return low, high


def _all_or_none(everything: bool, something: bool) -> bool | None:
    return True if everything else (None if something else False)


def _show(number: float) -> str:
    return f"{number:.4g}"
