r"""Deep linear networks: the one deep model whose learning coefficient is known exactly.

`formula` has the closed forms, `network` the model, its loss and its data, `generator` random true networks by size,
`gibbs` exact draws from their posteriors; `relu` random ReLU networks for comparison, `rescaling` their symmetry and a
sampler that respects it; `comparison` tables of estimates against the truth.
"""

from devinterp_core.dln.comparison import compare_with_truth, multiplicity_shares, network_table, summarise_by_class
from devinterp_core.dln.formula import (
    learning_coefficient,
    reduced_rank_learning_coefficient,
    three_layer_local_coefficient,
)
from devinterp_core.dln.generator import CLASSES, Architecture, NetworkClass, random_architecture, random_network
from devinterp_core.dln.gibbs import gibbs_sample
from devinterp_core.dln.network import (
    INPUT_BOUND,
    INPUT_VARIANCE,
    DeepLinearNetwork,
    most_singular_network,
    population_data,
    squared_error,
    uniform_data,
)
from devinterp_core.dln.relu import random_relu_network
from devinterp_core.dln.rescaling import CoScaled, layer_scales, redundant_relu_network, rescaled

__all__ = [
    "CLASSES",
    "INPUT_BOUND",
    "INPUT_VARIANCE",
    "Architecture",
    "CoScaled",
    "DeepLinearNetwork",
    "NetworkClass",
    "compare_with_truth",
    "gibbs_sample",
    "layer_scales",
    "learning_coefficient",
    "most_singular_network",
    "multiplicity_shares",
    "network_table",
    "population_data",
    "random_architecture",
    "random_network",
    "random_relu_network",
    "reduced_rank_learning_coefficient",
    "redundant_relu_network",
    "rescaled",
    "squared_error",
    "summarise_by_class",
    "three_layer_local_coefficient",
    "uniform_data",
]
