"""The interval of a mean over seeds, as the claims of the notebooks state it."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


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
