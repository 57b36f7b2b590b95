"""One architecture at many parameter vectors in one program: the ground on which sampler and training stand.

    evaluator   per-sample losses and gradients, vectorised, traced to a flat graph, with fall-backs
    graph       exact simplifications of that graph
"""

from devinterp_core.vectorized.evaluator import Evaluator, PerSampleLoss

__all__ = ["Evaluator", "PerSampleLoss"]
