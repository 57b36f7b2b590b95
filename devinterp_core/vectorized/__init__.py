"""One architecture at many parameter vectors in one program: the ground on which sampler and training stand.

    evaluator   per-sample losses and gradients, vectorised, traced to a flat graph, with fall-backs
    graph       exact simplifications of that graph
    apply       outputs of several models
    memory      freed memory stays with the process
"""

from devinterp_core.vectorized.apply import stacked_outputs
from devinterp_core.vectorized.evaluator import Evaluator, PerSampleLoss, traced
from devinterp_core.vectorized.memory import keep_freed_memory

__all__ = ["Evaluator", "PerSampleLoss", "keep_freed_memory", "stacked_outputs", "traced"]
