"""Lenses: what a language model's layers predict.

structure     blocks, final norm and unembedding of any decoder, found by structure
model         hidden states of a model, and the model with some of them replaced
readout       from hidden state to tokens; divergence from a teacher with its gradient
lenses        logit lens and tuned lens, saved and loaded
recipe        how a lens is trained: settings and optimiser, Muon or the original SGD
training      all translators at once; resumable
regression    all translators in closed form, by least squares
smollm2       a pretrained model of 30 layers that installs as a package
tables        losses and predictions of some sequences as tables
predictions   trajectories of entropy, divergence, rank; means over a corpus; prediction depth
bias          marginal distributions of tokens: lens against model
transfer      translators on other layers; covariances of layers compared
causal        causal basis of a lens, random control, influence on the model
fidelity      causal bases of several layers in a table
alignment     stimulus and response under interventions
iterative     gradient of the loss against what a block does
development   lenses fitted anew along a training
injection     two-choice prompts with an injected instruction, and what the layers think of the answer
detection     injected prompts told from normal ones, in tables
anomaly       detectors on trajectories, Mahalanobis baseline by layer
"""

from devinterp_core.lens.alignment import aitchison_similarity, stimulus_response_alignment
from devinterp_core.lens.anomaly import Detection, detect, layer_sweep, mahalanobis_scores
from devinterp_core.lens.bias import marginal_bias
from devinterp_core.lens.causal import (
    CausalBasis,
    causal_basis,
    causal_fidelity,
    lens_influence,
    lens_influences,
    mean_ablate,
    model_influence,
    model_influences,
    random_basis,
)
from devinterp_core.lens.detection import DETECTORS, InjectionTables, injection_tables
from devinterp_core.lens.development import lens_over_training
from devinterp_core.lens.fidelity import fidelity_summary, fidelity_table
from devinterp_core.lens.injection import Prompt, answer_features, sentiment_prompts
from devinterp_core.lens.iterative import gradient_alignment, layer_deletion
from devinterp_core.lens.lenses import LogitLens, TunedLens
from devinterp_core.lens.model import LensModel
from devinterp_core.lens.predictions import bits_per_byte, evaluate_lens, prediction_depth, prediction_trajectory
from devinterp_core.lens.recipe import ORIGINAL_SGD, LensTraining
from devinterp_core.lens.regression import fit_least_squares
from devinterp_core.lens.smollm2 import load_smollm2
from devinterp_core.lens.tables import loss_table, token_table, with_bits
from devinterp_core.lens.training import train_lens
from devinterp_core.lens.transfer import (
    covariance_similarity,
    hidden_covariances,
    transfer_cross_entropy,
    transfer_losses,
    transfer_penalty,
)

__all__ = [
    "DETECTORS",
    "ORIGINAL_SGD",
    "CausalBasis",
    "Detection",
    "InjectionTables",
    "LensModel",
    "LensTraining",
    "LogitLens",
    "Prompt",
    "TunedLens",
    "aitchison_similarity",
    "answer_features",
    "bits_per_byte",
    "causal_basis",
    "causal_fidelity",
    "covariance_similarity",
    "detect",
    "evaluate_lens",
    "fidelity_summary",
    "fidelity_table",
    "fit_least_squares",
    "gradient_alignment",
    "hidden_covariances",
    "injection_tables",
    "layer_deletion",
    "layer_sweep",
    "lens_influence",
    "lens_influences",
    "lens_over_training",
    "load_smollm2",
    "loss_table",
    "mahalanobis_scores",
    "marginal_bias",
    "mean_ablate",
    "model_influence",
    "model_influences",
    "prediction_depth",
    "prediction_trajectory",
    "random_basis",
    "sentiment_prompts",
    "stimulus_response_alignment",
    "token_table",
    "train_lens",
    "transfer_cross_entropy",
    "transfer_losses",
    "transfer_penalty",
    "with_bits",
]
