"""What every layer predicts: trajectories of single tokens, and means over a corpus."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import xarray
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from .lenses import LogitLens


def layer_log_probabilities(
    lens: LogitLens, tokens: Int[Tensor, "batch position"]
) -> Iterator[tuple[slice, int, Float[Tensor, "n token"], Float[Tensor, "n token"]]]:
    r"""Log-probabilities of every layer, chunk by chunk, so that only two of them are in memory.

    Yields:
        Place of the chunk among the flattened tokens, layer (the last, $L$, is the model), log-probabilities of that
        layer, and of the model.
    """
    states = [state.flatten(0, 1) for state in lens.model.hidden_states(tokens)]
    chunk = lens.model.readout.chunk_size()
    for start in range(0, len(states[0]), chunk):
        place = slice(start, min(start + chunk, len(states[0])))
        final = lens(states[-1][place], lens.num_layers).log_softmax(-1)
        for layer, state in enumerate(states[:-1]):
            yield place, layer, lens(state[place], layer).log_softmax(-1), final
        yield place, lens.num_layers, final, final


@torch.no_grad()
def prediction_trajectory(
    lens: LogitLens, tokens: Int[Tensor, "batch position"], targets: Int[Tensor, "batch position"] | None = None
) -> xarray.Dataset:
    r"""What each layer predicts at each token of some sequences.

    Args:
        lens: logit or tuned.
        tokens: sequences.
        targets: tokens to be predicted; by default each position's next token, and none at the last position.

    Returns:
        Dataset with dims `layer` (0 to $L$, the last being the model), `sequence`, `position`:
        `entropy` of the prediction, `kl` $\mathrm{KL}(\text{model} \| \text{layer})$ and `cross_entropy` of the target
        (all in nats), `max_probability`, `prediction` (the most probable token) and `rank` of the target, 0 being the
        most probable. Where there is no target, `cross_entropy` and `rank` are NaN.

    Raises:
        ValueError: tokens or targets of another shape or out of range.

    Reference: Belrose et al. (2023), section 3.
    """
    lens.model.check_tokens(tokens)
    if targets is None:
        known = torch.ones_like(tokens, dtype=torch.bool)
        known[:, -1] = False
        targets = tokens.roll(-1, dims=1)
    else:
        known = torch.ones_like(tokens, dtype=torch.bool)
        lens.model.check_tokens(targets)
        if targets.shape != tokens.shape:
            raise ValueError(f"targets {tuple(targets.shape)} must have the shape of the tokens {tuple(tokens.shape)}")
    goal = targets.flatten().to(lens.model.device)[:, None]
    shape = (lens.num_layers + 1, tokens.numel())
    names = ("entropy", "kl", "cross_entropy", "max_probability", "rank")
    found = {name: torch.full(shape, torch.nan) for name in names}
    prediction = torch.zeros(shape, dtype=torch.int64)
    for place, layer, log_q, log_p in layer_log_probabilities(lens, tokens):
        own = log_q.gather(1, goal[place])
        top, prediction[layer, place] = log_q.max(1)
        found["entropy"][layer, place] = entropy(log_q)
        found["kl"][layer, place] = divergence(log_p, log_q)
        found["cross_entropy"][layer, place] = -own[:, 0]
        found["max_probability"][layer, place] = top.exp()
        found["rank"][layer, place] = (log_q > own).sum(1).to(torch.float32)
    for name in ("cross_entropy", "rank"):
        found[name][:, ~known.flatten().cpu()] = torch.nan
    dims = ("layer", "sequence", "position")
    arrays = {**found, "prediction": prediction}
    return xarray.Dataset({name: (dims, array.view(-1, *tokens.shape).numpy()) for name, array in arrays.items()})


@torch.no_grad()
def evaluate_lens(
    lens: LogitLens, batches: Iterable[Tensor], *, skip: int = 0, progress: bool = False
) -> xarray.Dataset:
    r"""Means over a corpus: cross-entropy and divergence by layer and sequence, and marginal distributions by layer.

    Args:
        lens: logit or tuned.
        batches: token batches, read once, one at a time.
        skip: positions at the beginning of each sequence that are left out.
        progress: show a progress bar.

    Returns:
        Dataset: `cross_entropy` of the next token and `kl` $\mathrm{KL}(\text{model} \| \text{layer})$, both in nats
        per token, dims `layer`, `sequence`; `marginal`, the mean distribution over tokens, dims `layer`, `token`.

    Raises:
        ValueError: no batches, sequences of one token, tokens out of range.
    """
    readout = lens.model.readout
    marginal = torch.zeros(lens.num_layers + 1, lens.model.num_tokens, dtype=torch.float64, device=lens.model.device)
    means, count = [], 0
    for tokens in tqdm(batches, desc="evaluation", unit="batch", disable=not progress):
        lens.model.check_tokens(tokens)
        if skip < 0 or tokens.shape[1] < 2 + skip:
            raise ValueError(f"sequences need two tokens or more after the {skip} skipped: the last has no next one")
        read = tokens[:, skip:]
        values = torch.zeros(2, lens.num_layers + 1, read.numel(), device=lens.model.device)
        goal = read.roll(-1, dims=1).flatten().to(lens.model.device)
        states = [state[:, skip:].flatten(0, 1) for state in lens.model.hidden_states(tokens)]
        for start in range(0, read.numel(), readout.chunk_size()):
            place = slice(start, min(start + readout.chunk_size(), read.numel()))
            teacher = readout.teacher(states[-1][place])
            for layer, state in enumerate(states):
                kl, loss, total = readout.compare(lens.transform(state[place], layer), teacher, goal[place])
                values[0, layer, place], values[1, layer, place] = loss.float(), kl.clamp_min(0).float()
                marginal[layer] += total
        values = values.view(2, -1, *read.shape)
        means.append((values[0, :, :, :-1].mean(2).cpu().numpy(), values[1].mean(2).cpu().numpy()))
        count += read.numel()
    if not means:
        raise ValueError("no batches to evaluate the lens on")
    cross_entropy, kl = (np.concatenate(parts, axis=1) for parts in zip(*means))
    return xarray.Dataset({
        "cross_entropy": (("layer", "sequence"), cross_entropy),
        "kl": (("layer", "sequence"), kl),
        "marginal": (("layer", "token"), (marginal / count).cpu().numpy()),
    })  # fmt: skip


def prediction_depth(prediction: Int[np.ndarray, "layer *rest"]) -> Int[np.ndarray, "*rest"]:
    """Earliest layer from which on the most probable token is the last layer's; 0 if it always is.

    Reference: Belrose et al. (2023), section 5.2, after Baldock et al. (2021).
    """
    settled = np.logical_and.accumulate((prediction == prediction[-1])[::-1])  # from the last layer backwards
    return len(prediction) - settled.sum(0)


def bits_per_byte(cross_entropy, num_tokens: float, num_bytes: float):
    r"""Cross-entropy in bits per byte of text, $\mathrm{CE} \cdot \frac{\text{tokens}}{\text{bytes} \ln 2}$.

    Args:
        cross_entropy: nats per token, a number or an array.
        num_tokens: of a text.
        num_bytes: of the same text in UTF-8.

    Raises:
        ValueError: counts that are not positive.
    """
    if num_tokens <= 0 or num_bytes <= 0:
        raise ValueError(f"counts of tokens and bytes must be positive, got {num_tokens} and {num_bytes}")
    return cross_entropy * (num_tokens / (num_bytes * math.log(2)))


def entropy(log_p: Float[Tensor, "n token"]) -> Float[Tensor, " n"]:
    """Entropy in nats; tokens of probability 0 count nothing."""
    return torch.special.entr(log_p.exp()).sum(-1)


def divergence(log_p: Float[Tensor, "n token"], log_q: Float[Tensor, "n token"]) -> Float[Tensor, " n"]:
    r"""$\mathrm{KL}(p \,\|\, q)$ in nats."""
    return torch.linalg.vecdot(log_p.exp(), log_p - log_q)
