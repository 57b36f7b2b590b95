"""Intervals as the claims of the notebooks state them: of means over seeds, medians, shares, ratios."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from devinterp_core.companion.criteria import Criterion, Measured, all_hold

WORDS = {True: "so", None: "undecided", False: "not so"}


def over_seeds(values: ArrayLike) -> tuple[float, float]:
    r"""95 % interval of the mean by Student's t from three values on; the range of fewer.

    $\bar x \pm t_{0.975,\, n - 1}\, s / \sqrt n$ with the sample standard deviation $s$. Two values would have
    $t_{0.975,\, 1} = 12.7$: their interval says nothing that the values themselves do not say better.

    Args:
        values: one number a seed, a sequence, array or Series.

    Returns:
        Low and high end, in the units of the values.

    Raises:
        ValueError: if there is no value, or one is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"an interval over seeds needs one finite number a seed, got {numbers.tolist()}")
    if len(numbers) < 3:
        return float(numbers.min()), float(numbers.max())
    mean = numbers.mean()
    half = stats.t.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers))
    return float(mean - half), float(mean + half)


def mean(values: ArrayLike, over: str = "seeds") -> Measured:
    """The mean with the interval of `over_seeds`.

    Args:
        values: one number a unit.
        over: what varies from one to the next, such as `seeds`, `networks`, `runs`.
    """
    numbers = np.asarray(values, dtype=np.float64)
    count, interval = len(numbers), over_seeds(numbers)
    made = f"95 %, Student, {count} {over}" if count > 2 else _range(count, over)
    return Measured(float(numbers.mean()), interval, made)


def prediction(values: ArrayLike, over: str) -> Measured:
    r"""The mean, with the 95 % interval for one further value: Student's, $\bar x \pm t s \sqrt{1 + 1 / m}$.

    Raises:
        ValueError: fewer than two values, or one that is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < 2 or not np.isfinite(numbers).all():
        raise ValueError(f"a prediction needs two finite numbers or more, got {numbers.tolist()}")
    half = stats.t.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) * np.sqrt(1 + 1 / len(numbers))
    value = float(numbers.mean())
    ends = (float(value - half), float(value + half))
    return Measured(value, ends, f"95 % for one more, Student, {len(numbers)} {over}")


def listed(values: ArrayLike, digits: int = 0, unit: str = "", over: str = "seeds", missing: str = "") -> Measured:
    """Every value in words, with their range: of so few that a mean would hide more than it says.

    Args:
        values: one number a unit, one at least.
        digits: after the point.
        unit: words after the last number.
        over: as of `mean`.
        missing: the word for NaN, such as `never` of a level that is not reached; such values have no part in the
            range. Without it they are refused.

    Raises:
        ValueError: no values; one that is infinite, or NaN without a word for it.
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[~np.isnan(numbers)] if missing else numbers
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(known).all():
        raise ValueError(f"a list of measurements needs finite numbers, got {numbers.tolist()}")
    words = ", ".join(missing if np.isnan(number) else f"{number:,.{digits}f}" for number in numbers)
    span = (float(known.min()), float(known.max())) if len(known) else "none"
    return Measured(f"{words} {unit}".strip(), span, _range(len(known), over))


def together(found: Sequence[Measured]) -> Measured:
    """Several measurements as the words of one: their values, and their intervals in the same order.

    Raises:
        ValueError: none.
    """
    if not found:
        raise ValueError("no measurements to put together")
    ends = "; ".join(f"{low:.2f} to {high:.2f}" for low, high in (each.interval for each in found))
    return Measured(", ".join(f"{each.value:.2f}" for each in found), ends, found[0].over)


def share(count: int, total: int, over: str) -> Measured:
    """`count` of `total` as a share, with Wilson's 95 % interval, which exists for 0 and for all of them too.

    Raises:
        ValueError: no trials, or a count outside of them.
    """
    if not 0 <= count <= total or not total:
        raise ValueError(f"a share needs 0 <= count <= total and total > 0, got {count} of {total}")
    low, high = stats.binomtest(int(count), int(total)).proportion_ci(method="wilson")
    return Measured(count / total, (float(low), float(high)), f"95 %, Wilson, {count} of {total} {over}")


def median(values: ArrayLike, over: str = "seeds") -> Measured:
    r"""The median with the narrowest symmetric pair of order statistics that covers it with 95 % or more.

    Of $m$ independent values, $x_{(j)}$ to $x_{(m + 1 - j)}$ covers the median of their distribution, whatever it is,
    with probability $1 - 2 P(\mathrm{Bin}(m, \tfrac12) < j)$; of five or fewer the range is taken, which covers less.

    Raises:
        ValueError: fewer than two values, or one that is not finite.
    """
    numbers = np.sort(np.asarray(values, dtype=np.float64))
    if numbers.ndim != 1 or len(numbers) < 2 or not np.isfinite(numbers).all():
        raise ValueError(f"the interval of a median needs two finite numbers or more, got {numbers.tolist()}")
    j = max(1, int(stats.binom.ppf(0.025, len(numbers), 0.5)))
    coverage = max(0.0, 1 - 2 * float(stats.binom.cdf(j - 1, len(numbers), 0.5)))
    made = f"{coverage:.0%}, order statistics, {len(numbers)} {over}"
    return Measured(float(np.median(numbers)), (float(numbers[j - 1]), float(numbers[-j])), made)


def difference_of_groups(first: ArrayLike, second: ArrayLike) -> Measured:
    """Mean of one group minus mean of another, with the smallest and the largest difference of two members.

    Raises:
        ValueError: an empty group, or a number that is not finite.
    """
    a, b = (np.asarray(each, dtype=np.float64) for each in (first, second))
    if not len(a) or not len(b) or not np.isfinite([*a, *b]).all():
        raise ValueError(f"a difference needs finite numbers in both groups, got {a.tolist()} and {b.tolist()}")
    ends = float(a.min() - b.max()), float(a.max() - b.min())
    return Measured(float(a.mean() - b.mean()), ends, "interval: smallest and largest difference of two members")


def verdict_of_mean(values: ArrayLike, asks: Criterion, over: str = "seeds") -> tuple[Measured, bool | None]:
    """The mean with its interval, and the verdict on it; fewer than three values are undecided.

    Raises:
        ValueError: as `over_seeds`.
    """
    found = mean(values, over)
    return found, asks(found) if len(np.asarray(values)) > 2 else None


def verdict_of_groups(
    table: pd.DataFrame, group: str, asked: Mapping[str, Criterion], over: str = "seeds"
) -> tuple[Measured, bool | None]:
    """Criteria asked of every group of rows, of the intervals of its means: what was found, and the verdict over all.

    Args:
        table: one row a model.
        group: column that tells the groups apart, 0 standing for infinity.
        asked: a criterion for each column that decides.
        over: what varies from one row of a group to the next.

    Returns:
        Of a single group the mean of the first column with its interval, of several in which of them the criteria are
        fulfilled; and whether they are in all. A group of fewer than three rows is undecided.

    Raises:
        ValueError: for no rows, or no criteria; as `over_seeds`.
    """
    if table.empty or not asked:
        raise ValueError("no rows, or nothing asked: nothing to decide")
    groups = dict(sorted(table.groupby(group), key=lambda item: item[0] or np.inf))
    verdicts = {
        count: all_hold(*(verdict_of_mean(own[column], asks, over)[1] for column, asks in asked.items()))
        for count, own in groups.items()
    }
    holds = all_hold(*verdicts.values())
    if len(groups) == 1:
        return mean(table[next(iter(asked))], over), holds
    names = {verdict: ", ".join(str(n or "infinity") for n, v in verdicts.items() if v is verdict) for verdict in WORDS}
    found = "; ".join(f"{WORDS[verdict]} at {counts}" for verdict, counts in names.items() if counts)
    return Measured(found, f"each by its interval over {over}"), holds


def bootstrap_ratio(
    numerators: ArrayLike, denominators: ArrayLike, *, num_resamples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    r"""95 % percentile interval of $\sum_i x_i / \sum_i y_i$ when the units $i$ (sequences, say) are drawn anew.

    Args:
        numerators: $x$, units along the last axis; every other axis has its own interval, from the same resamples.
        denominators: $y > 0$, one number a unit; ones for a mean.
        num_resamples: of the bootstrap.
        seed: of the resamples.

    Returns:
        Low and high ends, of the shape of `numerators` without its last axis.

    Raises:
        ValueError: units that differ in number or are fewer than two, numbers that are not finite, denominators that
            are not positive.
    """
    x, y = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if y.ndim != 1 or x.ndim < 1 or x.shape[-1] != len(y) or len(y) < 2:
        raise ValueError(f"need two units or more, the same of both; got shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (y > 0).all()):
        raise ValueError("numerators must be finite, denominators finite and positive")
    counts = np.random.default_rng(seed).multinomial(len(y), np.full(len(y), 1 / len(y)), num_resamples).T
    low, high = np.quantile((x @ counts) / (y @ counts), (0.025, 0.975), axis=-1)
    return np.asarray(low), np.asarray(high)


def _range(count: int, over: str) -> str:
    return f"range of {count} {over}" if count > 1 else "a single value, no interval"
