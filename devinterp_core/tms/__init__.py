"""Toy model of superposition with one non-zero feature: model, potential, critical points, phases, training.

    potential   the model ReLU(W^T W x + b), its data, and the population loss in closed form
    critical    k-gon critical points and the levels of the loss
    phases      which k-gon a parameter resembles: convex hull, signs of the biases, nearest level
    training    minibatch SGD of many runs in one batched tensor program
    ladder      which levels runs of SGD visit, their rests and jumps
    four_gon    the exact 4-gon, where the loss is not twice differentiable

Reference: Chen, Lau, Mendel, Wei & Murfet (2023), arXiv:2310.06301; Elhage et al. (2022), Toy Models of Superposition.
"""

from devinterp_core.tms.critical import critical_levels, kgon, kgon_length_and_bias, level_label
from devinterp_core.tms.four_gon import asymmetry, four_gon_coefficient
from devinterp_core.tms.ladder import Visits, find_jumps, find_rests, share_by_chance, shares_of_levels, visits
from devinterp_core.tms.phases import Phase, canonical, classify, hull_vertices, nearest_level
from devinterp_core.tms.potential import (
    ToyModel,
    gradient_norm,
    one_hot_data,
    population_loss,
    population_objective,
    sample_loss,
)
from devinterp_core.tms.training import (
    Trajectory,
    disturbed_kgons,
    loss_gradient,
    noisy_kgons,
    pad_features,
    starts_of_kinds,
    train,
)

__all__ = [
    "Phase",
    "ToyModel",
    "Trajectory",
    "Visits",
    "asymmetry",
    "canonical",
    "classify",
    "critical_levels",
    "disturbed_kgons",
    "find_jumps",
    "find_rests",
    "four_gon_coefficient",
    "gradient_norm",
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
    "share_by_chance",
    "shares_of_levels",
    "starts_of_kinds",
    "train",
    "visits",
]
