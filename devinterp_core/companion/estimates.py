"""Estimates as rows of the tables that figures draw and claims read."""

from typing import Any

import xarray

from devinterp_core.llc import local_learning_coefficient


def row_of(draws: xarray.Dataset, discard: float = 0.0, **labels: Any) -> dict[str, Any]:
    """What a table keeps of one estimate.

    Args:
        draws, discard: as for `local_learning_coefficient`.
        labels: what the estimate is of; they come first.

    Returns:
        The labels, `estimate`, `standard_error`, `low` and `high` (95 % interval), `r_hat`, `ess`, `virial`,
        `num_diverged`.

    Raises:
        ValueError: as `local_learning_coefficient`.
    """
    found = local_learning_coefficient(draws, discard)
    low, high = found.interval()
    return labels | {
        "estimate": found.mean, "standard_error": found.standard_error, "low": low, "high": high, "r_hat": found.r_hat,
        "ess": found.ess, "virial": found.virial_ratio, "num_diverged": found.num_diverged,
    }  # fmt: skip
