"""Clusters of curves along training, and how well they agree with types that were found otherwise."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from devinterp_core.trajectory.values import real_array

Scale = Literal["none", "standardize", "min-max"]


def cluster_curves(
    curves: Float[np.ndarray, "curve step"], num_clusters: int, scale: Scale = "none", seed: int = 0
) -> Int[np.ndarray, " curve"]:
    """Cluster of each curve by K-means in Euclidean distance, the best of 20 starts.

    Args:
        curves: one a row, at common steps; log-spaced steps weigh equal factors of time equally.
        num_clusters: how many.
        scale: of each curve before clustering: as it is, to mean 0 and standard deviation 1, or to the range 0 to 1. A
            constant curve becomes 0.
        seed: of the starts.

    Returns:
        Labels from 0, in the order of the clusters' mean last values.

    Raises:
        ValueError: fewer curves than clusters, values that are not finite, an unknown scale.

    Reference: Wang et al. (2025), who cluster with these three scales.
    """
    curves = real_array(curves, "curves").astype(np.float64)
    if not 1 <= num_clusters <= len(curves) or not np.isfinite(curves).all():
        raise ValueError(f"need 1 to {len(curves)} clusters of finite curves, got num_clusters={num_clusters}")
    if scale not in ("none", "standardize", "min-max"):
        raise ValueError(f"scale must be none, standardize or min-max, got {scale!r}")
    scaled = curves
    if scale != "none":
        offset = curves.mean(axis=1) if scale == "standardize" else curves.min(axis=1)
        spread = curves.std(axis=1) if scale == "standardize" else np.ptp(curves, axis=1)
        scaled = (curves - offset[:, None]) / np.where(spread > 0, spread, 1.0)[:, None]
    found = KMeans(num_clusters, n_init=20, random_state=seed).fit(scaled).labels_
    order = np.argsort([curves[found == label, -1].mean() for label in range(num_clusters)])
    return np.argsort(order)[found]


def adjusted_rand(
    labels: Sequence, types: Sequence, num_resamples: int = 2000, seed: int = 0
) -> tuple[float, tuple[float, float], float]:
    """Adjusted Rand index of two partitions, its interval, and how often chance does as well.

    1 where they are the same, 0 on average where they have nothing to do with each other.

    Args:
        labels: one of each object.
        types: one of each object.
        num_resamples: of the bootstrap over objects, and permutations of `types`.
        seed: of both.

    Returns:
        The index; the 95 % interval, percentiles of the bootstrap; the share of permutations, the identity among them,
        whose index is at least as high.

    Raises:
        ValueError: fewer than two objects, other numbers of labels than of types, or one that is NaN.

    Reference: Hubert and Arabie (1985).
    """
    for each in map(np.asarray, (labels, types)):
        if each.dtype.kind in "fc" and not np.isfinite(each).all():
            raise ValueError("labels and types must name something: one of them is NaN or infinite")
    a, b = (np.unique(np.asarray(each), return_inverse=True)[1] for each in (labels, types))
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"need two or more objects with a label and a type each, got {len(a)} and {len(b)}")
    random = np.random.default_rng(seed)
    index = adjusted_rand_score(b, a)
    drawn = random.integers(len(a), size=(num_resamples, len(a)))
    low, high = np.quantile([adjusted_rand_score(b[rows], a[rows]) for rows in drawn], [0.025, 0.975])
    chance = sum(adjusted_rand_score(random.permutation(b), a) >= index - 1e-12 for _ in range(num_resamples))
    return float(index), (float(low), float(high)), (chance + 1) / (num_resamples + 1)
