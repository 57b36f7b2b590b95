"""How far layers are alike: translators applied to the states of other layers, and covariances compared."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .lenses import TunedLens
from .model import LensModel


def transfer_cross_entropy(
    lens: TunedLens, batches: Iterable[Tensor], layers: Sequence[int] | None = None, *, skip: int = 0
) -> Float[np.ndarray, "trained tested"]:
    r"""Cross-entropy of the next token when the translator of one layer reads the states of another.

    The cost is that of an evaluation of the lens for each of the layers: a few thousand tokens are enough.

    Args:
        lens: trained.
        batches: token batches.
        layers: which are compared; None means all.
        skip: positions at the beginning of each sequence that are left out.

    Returns:
        Nats per token; row, the layer whose translator it is; column, the layer whose states it reads.

    Raises:
        ValueError: no batches, sequences of one token, tokens or layers out of range.
    """
    total, count = 0.0, 0
    for tokens in batches:
        predicted = tokens.shape[1] - skip - 1
        total = total + transfer_losses(lens, tokens, layers, skip=skip).sum(0) * predicted
        count += len(tokens) * predicted
    if not count:
        raise ValueError("no tokens to predict: give batches of sequences of two tokens or more")
    return total / count


@torch.no_grad()
def transfer_losses(
    lens: TunedLens, tokens: Int[Tensor, "sequence position"], layers: Sequence[int] | None = None, *, skip: int = 0
) -> Float[np.ndarray, "sequence trained tested"]:
    """The same for each sequence, from which an interval can be made: its mean over sequences is their cross-entropy.

    Raises:
        ValueError: sequences without a token to predict, tokens or layers out of range.
    """
    model, readout = lens.model, lens.model.readout
    layers = list(range(lens.num_layers)) if layers is None else list(layers)
    if not layers or not set(layers) <= set(range(lens.num_layers)):
        raise ValueError(f"the lens has translators for layers 0 to {lens.num_layers - 1}, got {layers}")
    if skip < 0 or tokens.ndim != 2 or tokens.shape[1] < 2 + skip:
        raise ValueError(f"no tokens to predict: give sequences of two tokens or more after the {skip} skipped")
    states = [state[:, skip:-1].flatten(0, 1) for state in model.hidden_states(tokens)]
    goal = tokens[:, skip + 1 :].flatten().to(model.device)
    losses = torch.zeros(len(goal), len(layers), len(layers), dtype=torch.float64)
    for place in torch.arange(len(goal), device=model.device).split(readout.chunk_size()):
        teacher = readout.teacher_of_tokens(goal[place])
        for row, trained in enumerate(layers):
            for column, tested in enumerate(layers):
                translated = lens.transform(states[tested][place], trained)
                losses[place.cpu(), row, column] = readout.divergence(translated, teacher).double().cpu()
    return losses.view(len(tokens), -1, len(layers), len(layers)).mean(1).numpy()


def transfer_penalty(
    cross_entropy: Float[np.ndarray, "trained tested"],
) -> Float[np.ndarray, "trained tested"]:
    """What a foreign translator costs: the cross-entropy minus that of the tested layer's own.

    Reference: Belrose et al. (2023), figure 7.
    """
    return cross_entropy - np.diag(cross_entropy)


def hidden_covariances(
    model: LensModel, batches: Iterable[Tensor], *, skip: int = 0
) -> Float[np.ndarray, "state d_model d_model"]:
    """Covariance of each hidden state over all tokens, the last one's too, in one pass over the corpus.

    The first `skip` positions of each sequence are left out.

    Raises:
        ValueError: fewer than two tokens, or tokens out of range.
    """
    moments, mean, count = 0.0, 0.0, 0
    for tokens in batches:
        states = torch.stack([state[:, skip:].flatten(0, 1) for state in model.hidden_states(tokens)]).double()
        size, own = states.shape[1], states.mean(1, keepdim=True)
        centred, shift = states - own, own - mean
        # Chan's update: means and moments of two samples joined without cancellation.
        moments = moments + centred.mT @ centred + (shift.mT @ shift) * (count * size / (count + size))
        mean, count = mean + shift * (size / (count + size)), count + size
    if count < 2:
        raise ValueError("covariances need two tokens or more")
    return (moments / (count - 1)).cpu().numpy()


def covariance_similarity(
    covariances: Float[np.ndarray, "state d_model d_model"], num_removed: int = 2
) -> Float[np.ndarray, "state state"]:
    r"""Frobenius cosine $\langle A, B \rangle / (\lVert A \rVert \lVert B \rVert)$ of covariances between layers.

    Args:
        covariances: from `hidden_covariances`.
        num_removed: largest principal components left out of each: outlier dimensions would hide all else.

    Raises:
        ValueError: if no component is left.

    Reference: Belrose et al. (2023), figure 6.
    """
    if not 0 <= num_removed < covariances.shape[-1]:
        raise ValueError(f"num_removed must lie in 0..{covariances.shape[-1] - 1}, got {num_removed}")
    values, vectors = np.linalg.eigh(covariances)  # ascending
    kept = slice(0, covariances.shape[-1] - num_removed)
    rest = (vectors[..., kept] * values[:, None, kept]) @ vectors[..., kept].transpose(0, 2, 1)
    flat = rest.reshape(len(rest), -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return flat @ flat.T
