r"""Tables that compare estimates on random deep linear networks with their exact coefficients."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from devinterp_core.dln.generator import CLASSES, random_architecture


def network_table(classes: Sequence[str], counts: Sequence[int], *, seed: int) -> pd.DataFrame:
    r"""Random architectures by size class, with what is known of them.

    Args:
        classes: names in `CLASSES`.
        counts: networks of each class.
        seed: network $i$ of every class has the seed `1000 * seed + i`, for its weights too.

    Returns:
        One row a network: `class`, `network` (its number in the class), `seed`, `architecture`, `truth` ($\lambda$),
        `multiplicity`, `parameters`.

    Raises:
        ValueError: other numbers of counts than of classes.
        KeyError: an unknown class.

    Example:
        >>> table = network_table(["1K"], [2], seed=0)
        >>> len(table)
        2
    """
    rows = []
    for name, count in zip(classes, counts, strict=True):
        for index in range(count):
            own = random_architecture(CLASSES[name], seed=1000 * seed + index)
            truth, multiplicity = own.truth
            rows.append({"class": name, "network": index, "seed": 1000 * seed + index, "architecture": own,
                         "truth": float(truth), "multiplicity": multiplicity,
                         "parameters": own.num_parameters})  # fmt: skip
    return pd.DataFrame(rows)


def compare_with_truth(estimates: pd.DataFrame, exact: str = "exact") -> pd.DataFrame:
    r"""Estimates beside the truth and beside the posterior mean that exact draws find on the same network.

    Args:
        estimates: `sampler`, `class`, `network`, `truth`, `estimate`, `low`, `high`; at most one row of the sampler
            `exact` a network.
        exact: the sampler whose estimate is the posterior mean at the $n\beta$ of the gradient chains.

    Returns:
        The rows with `error` ($\hat\lambda / \lambda - 1$), `absolute_error`, `covers` (whether the interval holds
        the truth) and `covers_posterior` (1 or 0: whether the estimate is no further from the posterior mean than the
        half widths of both intervals in quadrature; NaN where there are no exact draws).
    """
    table = estimates.copy()
    table["error"] = table["estimate"] / table["truth"] - 1
    table["absolute_error"] = table["error"].abs()
    table["covers"] = (table["low"] <= table["truth"]) & (table["truth"] <= table["high"])
    posterior = table[table["sampler"] == exact].set_index(["class", "network"])[["estimate", "high"]]
    own = table[["class", "network"]].join(posterior, on=["class", "network"])
    half = np.hypot(table["high"] - table["estimate"], own["high"] - own["estimate"])
    apart = (table["estimate"] - own["estimate"]).abs()
    table["covers_posterior"] = (apart <= half).astype(float).where(apart.notna())
    return table


def summarise_by_class(results: pd.DataFrame, agreement: float) -> pd.DataFrame:
    """How each sampler does in each class.

    Args:
        results: of `compare_with_truth`, with `r_hat` and `virial`.
        agreement: R-hat below which chains are said to agree.

    Returns:
        By `class` and `sampler`: number of `networks`; in percent the median absolute relative error `error`, the
        `worst`, the shares `covered` and `covered_posterior`; medians `r_hat` and `virial`; networks whose chains
        `agreed`, the median error of these, `error_agreed`; those whose R-hat is higher, `split`.
    """
    rows = {}
    for key, part in results.groupby(["class", "sampler"], sort=False):
        agreed = part[part["r_hat"] < agreement]
        rows[key] = {
            "networks": len(part),
            "error": 100 * part["absolute_error"].median(),
            "worst": 100 * part["absolute_error"].max(),
            "covered": 100 * part["covers"].mean(),
            "covered_posterior": 100 * part["covers_posterior"].mean(),
            "r_hat": part["r_hat"].median(),
            "virial": part["virial"].median(),
            "agreed": len(agreed),
            "error_agreed": 100 * agreed["absolute_error"].median(),
            "split": int((part["r_hat"] > agreement).sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["class", "sampler"])


def multiplicity_shares(num_architectures: int, *, seed: int, classes: Iterable[str] = tuple(CLASSES)) -> pd.DataFrame:
    """How often random architectures of each class have each multiplicity.

    Args:
        num_architectures: of each class.
        seed: as in `network_table`.
        classes: names in `CLASSES`.

    Returns:
        `class`, `multiplicity`, `count`, `share` of the class.
    """
    names = list(classes)
    table = network_table(names, [num_architectures] * len(names), seed=seed)
    counts = table.value_counts(["class", "multiplicity"]).rename("count").reset_index()
    return counts.assign(share=counts["count"] / num_architectures)
