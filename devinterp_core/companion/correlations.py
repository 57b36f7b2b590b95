"""Slopes and rank correlations with their intervals, over all points and within strata."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from devinterp_core.companion.criteria import Measured


def rank_correlation(x: ArrayLike, y: ArrayLike, over: str, *, seed: int = 0) -> Measured:
    """Spearman's rank correlation with the interval of `of_rank_correlation`, a bootstrap over the points."""
    value, interval = of_rank_correlation(x, y, seed=seed)
    return Measured(value, interval, f"95 %, bootstrap over {len(np.asarray(x))} {over}")


def rank_correlation_within(x: ArrayLike, y: ArrayLike, strata: ArrayLike, over: str, *, seed: int = 0) -> Measured:
    """Spearman's rank correlation within strata, with the interval and the permutations of `within_strata`."""
    value, interval, chance = within_strata(x, y, strata, seed=seed)
    return Measured(value, interval, f"Spearman within strata, {over}; share of permutations as high: {chance:.4f}")


def of_slope(x: ArrayLike, y: ArrayLike) -> tuple[float, float, tuple[float, float]]:
    r"""Least-squares line of y on x: slope, intercept, and the 95 % interval of the slope.

    Student's t with $n - 2$ degrees of freedom. An x that does not vary has no slope: NaN.

    Raises:
        ValueError: fewer than three points.
    """
    a, b = _pairs(x, y)
    if not np.ptp(a):
        return np.nan, float(b.mean()), (np.nan, np.nan)
    fit = stats.linregress(a, b)
    half = float(stats.t.ppf(0.975, len(a) - 2) * fit.stderr)
    return float(fit.slope), float(fit.intercept), (float(fit.slope) - half, float(fit.slope) + half)


def of_rank_correlation(
    x: ArrayLike, y: ArrayLike, num_resamples: int = 2000, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Spearman's rank correlation and its 95 % interval, percentiles of a bootstrap over the points.

    Numbers that do not vary say nothing: 0, with the interval from -1 to 1.

    Raises:
        ValueError: fewer than three points.
    """
    a, b = _pairs(x, y)
    if not np.ptp(a) or not np.ptp(b):
        return 0.0, (-1.0, 1.0)
    drawn = np.random.default_rng(seed).integers(len(a), size=(num_resamples, len(a)))
    drawn = drawn[(np.ptp(a[drawn], axis=1) > 0) & (np.ptp(b[drawn], axis=1) > 0)]  # a single point has no correlation
    ranks = (stats.rankdata(each[drawn], axis=1) for each in (a, b))
    ranks_a, ranks_b = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    norms = np.linalg.norm(ranks_a, axis=1) * np.linalg.norm(ranks_b, axis=1)
    low, high = np.quantile(np.linalg.vecdot(ranks_a, ranks_b) / norms, [0.025, 0.975])
    return float(stats.spearmanr(a, b).statistic), (float(low), float(high))


def within_strata(
    x: ArrayLike, y: ArrayLike, strata: ArrayLike, num_permutations: int = 2000, seed: int = 0
) -> tuple[float, tuple[float, float], float]:
    r"""Rank correlation within strata: what is left of it where the strata differ, too.

    Ranks are taken within each stratum and centred there. The interval is Fisher's,
    $\tanh(\operatorname{artanh} r \pm 1.96\, \sqrt{1.06 / \sum_s (n_s - 3)})$ (Fieller et al., 1957), over strata
    of four points or more: a rough one for so few.

    Args:
        x, y: numbers of each point.
        strata: which stratum each belongs to.
        num_permutations: of y, each within its stratum.
        seed: of the permutations.

    Returns:
        The correlation; its 95 % interval, -1 to 1 where no stratum is large enough or nothing varies; the share of
        permutations, the identity among them, whose correlation is at least as high.

    Raises:
        ValueError: fewer than three points, other numbers of strata than of points.
    """
    a, b = _pairs(x, y)
    labels = np.asarray(strata)
    if labels.shape != a.shape:
        raise ValueError(f"{len(a)} points were given with strata of shape {labels.shape}")
    groups = [np.flatnonzero(labels == name) for name in np.unique(labels)]
    ranks = np.zeros((2, len(a)))
    for own in groups:
        for line, values in zip(ranks, (a, b), strict=True):
            line[own] = stats.rankdata(values[own]) - (len(own) + 1) / 2
    norm = np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1])
    if not norm:
        return 0.0, (-1.0, 1.0), 1.0
    value = float(ranks[0] @ ranks[1] / norm)
    random, drawn = np.random.default_rng(seed), np.empty((num_permutations, len(a)))
    for own in groups:
        drawn[:, own] = random.permuted(np.tile(ranks[1][own], (num_permutations, 1)), axis=1)
    chance = float(((drawn @ ranks[0] / norm >= value - 1e-9).sum() + 1) / (num_permutations + 1))
    freedom = sum(max(0, len(own) - 3) for own in groups)
    if not freedom:
        return value, (-1.0, 1.0), chance
    centre, half = np.arctanh(np.clip(value, -0.999, 0.999)), 1.96 * np.sqrt(1.06 / freedom)
    return value, (float(np.tanh(centre - half)), float(np.tanh(centre + half))), chance


def _pairs(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 3:
        raise ValueError(f"need at least three pairs of numbers, got shapes {a.shape} and {b.shape}")
    return a, b
