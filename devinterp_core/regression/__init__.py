r"""In-context linear regression: the toy world whose optimal predictors are known exactly.

    tasks        finite, nested task sets and the Gaussian prior; sequences of examples, singly or for many models
    predictors   zero, ridge, discrete Bayes (dMMSE) and least squares, for every prefix of a sequence
    tokens       sequences as tokens, predictions from outputs, the squared error
    stream       training batches of many models, and the loss of a sequence

Reference: Raventós et al. (2023), arXiv:2306.15063; Hoogland et al. (2024), arXiv:2402.02364; Carroll et al. (2025),
arXiv:2501.17745.
"""

from devinterp_core.regression.predictors import (
    dmmse_prediction,
    least_squares_prediction,
    nearest_weakened_dmmse,
    ridge_prediction,
    zero_prediction,
)
from devinterp_core.regression.stream import RegressionStream, sequence_loss
from devinterp_core.regression.tasks import NUM_STORED_TASKS, RegressionTasks, Sequences, draw_stacked
from devinterp_core.regression.tokens import per_token_loss, read_predictions, to_tokens

__all__ = [
    "NUM_STORED_TASKS",
    "RegressionStream",
    "RegressionTasks",
    "Sequences",
    "dmmse_prediction",
    "draw_stacked",
    "least_squares_prediction",
    "nearest_weakened_dmmse",
    "per_token_loss",
    "read_predictions",
    "ridge_prediction",
    "sequence_loss",
    "to_tokens",
    "zero_prediction",
]
