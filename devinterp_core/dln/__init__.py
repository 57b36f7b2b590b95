r"""Deep linear networks: the one deep model whose learning coefficient is known exactly.

`formula` has the closed forms, `network` the model, its loss and its data, `generator` random true networks by size,
`gibbs` exact draws from their posteriors, `rescaling` the symmetry of ReLU networks and a sampler that respects it.
"""

from devinterp_core.dln.formula import learning_coefficient, reduced_rank_learning_coefficient
from devinterp_core.dln.generator import CLASSES, Architecture, NetworkClass, random_architecture, random_network
from devinterp_core.dln.gibbs import gibbs_sample
from devinterp_core.dln.network import (
    INPUT_BOUND,
    INPUT_VARIANCE,
    DeepLinearNetwork,
    population_data,
    squared_error,
    uniform_data,
)
from devinterp_core.dln.rescaling import CoScaled, layer_scales, redundant_relu_network, rescaled

__all__ = [
    "CLASSES",
    "INPUT_BOUND",
    "INPUT_VARIANCE",
    "Architecture",
    "CoScaled",
    "DeepLinearNetwork",
    "NetworkClass",
    "gibbs_sample",
    "layer_scales",
    "learning_coefficient",
    "population_data",
    "random_architecture",
    "random_network",
    "reduced_rank_learning_coefficient",
    "redundant_relu_network",
    "rescaled",
    "squared_error",
    "uniform_data",
]
