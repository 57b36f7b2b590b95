"""One architecture at many parameter vectors in one program: the ground on which sampler and training stand.

    batches     what a loss is given
    evaluator   per-sample losses and gradients: vectorised, model by model, or in pieces
    gradients   whether a gradient is the gradient of its loss
    bytes       how long an evaluation is
    tracing     a function as a flat graph of operations
    graph       exact simplifications of that graph
    apply       outputs of several models
    private     a copy of the caller's model
    memory      freed memory stays with the process
    randomness  the global random state
"""

from devinterp_core.vectorized.apply import stacked_outputs
from devinterp_core.vectorized.batches import Batch, in_form_of, map_batch, split_batch, tensors_of
from devinterp_core.vectorized.evaluator import Evaluator, Loss, PerSampleLoss
from devinterp_core.vectorized.memory import keep_freed_memory
from devinterp_core.vectorized.private import own_copy, private_copy
from devinterp_core.vectorized.randomness import global_state, kept_random_state, seed_global, set_global_state
from devinterp_core.vectorized.tracing import traced

__all__ = [
    "Batch",
    "Evaluator",
    "Loss",
    "PerSampleLoss",
    "global_state",
    "in_form_of",
    "keep_freed_memory",
    "kept_random_state",
    "map_batch",
    "own_copy",
    "private_copy",
    "seed_global",
    "set_global_state",
    "split_batch",
    "stacked_outputs",
    "tensors_of",
    "traced",
]
