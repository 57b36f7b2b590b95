"""Learning coefficients: of a whole model, and refined by weights and by data.

    estimate          from draws to an estimate with its standard error and diagnostics
    automatic         one call that chooses its settings and says whether its answer can be trusted
    pilot             its time step, from the curvature that short chains meet
    judge             its verdict, in sentences
    trusted           its answer: an estimate with that verdict
    refined           chains of many components, each moving its own coordinates, all advancing together
    heads             the short way for attention heads of `devinterp_core.transformer`: what is frozen is computed once
    head_networks     the networks of the short way: below a head, and from it on
    merged_attention  attention with one projection, causal blocks and its gradient by hand
    cross_entropy     next-token loss from the stream without the table of all logits
    huggingface       masks of the attention heads of Hugging Face models
    traces            what competes with it: traces of the Hessian and of the Fisher information
"""

from .automatic import estimate_llc
from .estimate import LearningCoefficient, coefficient_table, local_learning_coefficient
from .refined import local_learning_coefficients, refined_llc
from .traces import fisher_traces, hessian_traces
from .trusted import TrustedEstimate

__all__ = [
    "LearningCoefficient",
    "TrustedEstimate",
    "coefficient_table",
    "estimate_llc",
    "fisher_traces",
    "hessian_traces",
    "local_learning_coefficient",
    "local_learning_coefficients",
    "refined_llc",
]
