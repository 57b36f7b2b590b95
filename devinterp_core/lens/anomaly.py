"""Anomaly detection on prediction trajectories, and the Mahalanobis baseline on hidden states."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor

Detector = Literal["isolation_forest", "local_outlier_factor", "mahalanobis"]


@dataclass(frozen=True)
class Detection:
    """Area under the receiver operating characteristic: median and 95 % interval over splits and bootstraps."""

    auroc: float
    low: float
    high: float


def detect(
    normal: Float[np.ndarray, "example feature"],
    anomalous: Float[np.ndarray, "anomaly _"],
    detector: Detector,
    *,
    num_splits: int = 10,
    num_bootstraps: int = 1000,
    seed: int = 0,
) -> Detection:
    r"""Train a detector on 75 % of the normal examples and tell the others from the anomalous ones.

    Args:
        normal: features of normal examples, for trajectories the log-likelihoods of the answers at every layer.
        anomalous: features of anomalous examples, never trained on.
        detector: scikit-learn's isolation forest or local outlier factor, with their defaults; or `mahalanobis`, the
            simplified relative Mahalanobis distance, for hidden states.
        num_splits: random splits of the normal examples.
        num_bootstraps: of the test examples of each split, normal and anomalous ones apart.
        seed: of splits, forests and bootstraps.

    Raises:
        ValueError: fewer than 8 normal examples, no anomalous ones, features that differ in number or are not finite,
            an unknown detector.

    Reference: Belrose et al. (2023), section 5.1 and table 1.
    """
    if len(normal) < 8 or not len(anomalous) or normal.shape[1] != anomalous.shape[1]:
        shapes = f"{normal.shape} and {anomalous.shape}"
        raise ValueError(f"need 8 normal examples, one anomalous, and the same features of both; got {shapes}")
    if not (np.isfinite(normal).all() and np.isfinite(anomalous).all()):
        raise ValueError("features must be finite")
    if detector not in _SCORES:
        raise ValueError(f"detector must be one of {list(_SCORES)}, got {detector!r}")
    areas = []
    for split in range(num_splits):
        train, test = train_test_split(normal, random_state=seed + split)  # 75 % and 25 %
        scores = _SCORES[detector](train, np.concatenate([test, anomalous]), seed + split)
        rng = np.random.default_rng([seed, split])
        areas.append(bootstrap_auroc(scores[: len(test)], scores[len(test) :], num_bootstraps, rng))
    low, median, high = np.quantile(np.concatenate(areas), (0.025, 0.5, 0.975)).clip(0, 1)  # rounding may pass 1
    return Detection(float(median), float(low), float(high))


def mahalanobis_scores(
    train: Float[np.ndarray, "example feature"], test: Float[np.ndarray, "other feature"], regularization: float = 1e-3
) -> Float[np.ndarray, " other"]:
    r"""Simplified relative Mahalanobis distance $d^2_{\Sigma} - d^2_{\mathrm{diag}\,\Sigma}$, $\Sigma$ with
    `regularization` added to its diagonal; large for anomalies.

    Reference: Belrose et al. (2023), after Ren et al. (2023) and Lee et al. (2018).
    """
    covariance = np.cov(train, rowvar=False).reshape(train.shape[1], -1) + regularization * np.eye(train.shape[1])
    centred = test - train.mean(0)
    full = (centred * np.linalg.solve(covariance, centred.T).T).sum(1)
    return full - (centred**2 / np.diag(covariance)).sum(1)


def layer_sweep(
    normal: Float[np.ndarray, "example layer feature"],
    anomalous: Float[np.ndarray, "anomaly layer feature"],
    **settings: int,
) -> list[Detection]:
    """The baseline at every layer: which layer it is read at is a free choice, so all of them are to be shown."""
    layers = range(normal.shape[1])
    return [detect(normal[:, layer], anomalous[:, layer], "mahalanobis", **settings) for layer in layers]


def bootstrap_auroc(
    normal: Float[np.ndarray, " example"],
    anomalous: Float[np.ndarray, " anomaly"],
    num_bootstraps: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " bootstrap"]:
    r"""Bootstrapped probabilities that an anomaly scores higher than a normal example, ties counting half.

    Both groups are resampled; a resample is a vector of counts, so that all areas are one matrix product with the
    table of comparisons.
    """
    wins = (anomalous[:, None] > normal) + 0.5 * (anomalous[:, None] == normal)
    counts = [rng.multinomial(n, np.full(n, 1 / n), num_bootstraps) / n for n in (len(anomalous), len(normal))]
    return ((counts[0] @ wins) * counts[1]).sum(1)


def _isolation_forest(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def _local_outlier_factor(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    return -LocalOutlierFactor(novelty=True, n_neighbors=min(20, len(train) - 1)).fit(train).score_samples(test)


_SCORES = {
    "isolation_forest": _isolation_forest,
    "local_outlier_factor": _local_outlier_factor,
    "mahalanobis": lambda train, test, seed: mahalanobis_scores(train, test),
}
