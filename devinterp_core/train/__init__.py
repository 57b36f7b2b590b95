"""Training of many small models side by side, with checkpoints in a content-addressed cache.

    settings      optimiser, schedules of the learning rate, steps of checkpoints
    optimizers    AdamW and Muon on many models at once
    checkpoints   safetensors, one file a step
    throughput    rate of matrix products
    key           what a run depends on, as one hash
    run           the loop: keyed, locked, resumable
"""

from devinterp_core.train.checkpoints import Checkpoints
from devinterp_core.train.optimizers import orthogonalize
from devinterp_core.train.run import Stream, train
from devinterp_core.train.settings import TrainingSettings, log_and_linear_steps
from devinterp_core.train.throughput import matmul_rate

__all__ = [
    "Checkpoints",
    "Stream",
    "TrainingSettings",
    "log_and_linear_steps",
    "matmul_rate",
    "orthogonalize",
    "train",
]
