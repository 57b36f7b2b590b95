"""Toy model of superposition with one non-zero feature: model, potential, critical points, phases, training.

    potential   the model ReLU(W^T W x + b), its data, and the population loss in closed form
    critical    k-gon critical points and the levels of the loss
    phases      which k-gon a parameter resembles: convex hull, signs of the biases, nearest level
    training    minibatch SGD of many runs in one batched tensor program

Reference: Chen, Lau, Mendel, Wei & Murfet (2023), arXiv:2310.06301; Elhage et al. (2022), Toy Models of Superposition.
"""

from devinterp_core.tms.critical import critical_levels, kgon, kgon_length_and_bias, level_label
from devinterp_core.tms.phases import Phase, canonical, classify, find_rests, hull_vertices, nearest_level
from devinterp_core.tms.potential import ToyModel, one_hot_data, population_loss, population_objective, sample_loss
from devinterp_core.tms.training import Trajectory, loss_gradient, noisy_kgons, pad_features, train

__all__ = [
    "Phase",
    "ToyModel",
    "Trajectory",
    "canonical",
    "classify",
    "critical_levels",
    "find_rests",
    "hull_vertices",
    "kgon",
    "kgon_length_and_bias",
    "level_label",
    "loss_gradient",
    "nearest_level",
    "noisy_kgons",
    "one_hot_data",
    "pad_features",
    "population_loss",
    "population_objective",
    "sample_loss",
    "train",
]
