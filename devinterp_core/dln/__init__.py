r"""Deep linear networks: the one deep model whose learning coefficient is known exactly.

`formula` has the closed forms, `network` the model, its loss and its data, `generator` random true networks by size.
"""

from devinterp_core.dln.formula import learning_coefficient, reduced_rank_learning_coefficient
from devinterp_core.dln.generator import CLASSES, NetworkClass, TrueNetwork, random_network
from devinterp_core.dln.network import (
    INPUT_BOUND,
    INPUT_VARIANCE,
    DeepLinearNetwork,
    population_data,
    squared_error,
    uniform_data,
)

__all__ = [
    "CLASSES",
    "INPUT_BOUND",
    "INPUT_VARIANCE",
    "DeepLinearNetwork",
    "NetworkClass",
    "TrueNetwork",
    "learning_coefficient",
    "population_data",
    "random_network",
    "reduced_rank_learning_coefficient",
    "squared_error",
    "uniform_data",
]
