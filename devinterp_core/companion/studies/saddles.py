"""A deep linear network that falls from saddle to saddle, and its learning coefficient on the way by three samplers."""

import math
from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from devinterp_core import dln
from devinterp_core.companion.estimates import row_of
from devinterp_core.sampler import sample_many

OUTPUTS, HIDDEN, NUM_SAMPLES = 5, 10, 10_000
WIDTHS = (OUTPUTS, HIDDEN, HIDDEN, HIDDEN, HIDDEN, OUTPUTS)


def train(
    checkpoint_steps: Sequence[int], *, learning_rate: float = 1e-4, batch_size: int = 128, seed: int = 0
) -> tuple[Float[Tensor, "10000 5"], list[dln.DeepLinearNetwork], pd.DataFrame]:
    r"""SGD on the teacher $10\,\mathrm{diag}(1, \ldots, 5)$ from small weights, by the published protocol.

    Four hidden layers of 10 units, weights of variance $10^{-1.5}$, 10 000 standard normal inputs.

    Args:
        checkpoint_steps: steps at which the network is kept.
        learning_rate, batch_size: of SGD.
        seed: of inputs, weights and batches.

    Returns:
        The inputs; the networks in the order of the steps; `step`, `loss` (mean over samples and outputs) and `rank`,
        the number of singular values of the map above 1, a tenth of the smallest of the teacher.

    Raises:
        ValueError: no checkpoint, one before the start, or a loss that is not finite.

    Reference: Lau et al. (2025), saddle-to-saddle experiment of the published code.
    """
    wanted = sorted(set(checkpoint_steps))
    if not wanted or wanted[0] < 0:
        raise ValueError(f"give steps of 0 or more at which networks are kept, got {list(checkpoint_steps)}")
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(NUM_SAMPLES, OUTPUTS, generator=generator)
    targets = inputs * 10 * torch.arange(1.0, OUTPUTS + 1)
    shapes = list(zip(WIDTHS[1:], WIDTHS, strict=False))
    weights = [HIDDEN**-0.75 * torch.randn(shape, generator=generator) for shape in shapes]
    networks, rows = [], []
    for step in range(wanted[-1] + 1):
        if step in wanted:
            networks.append(dln.DeepLinearNetwork([weight.clone() for weight in weights]))
            loss = dln.squared_error(networks[-1], (inputs, targets)).mean().item()
            if not math.isfinite(loss):
                raise ValueError(f"SGD diverged before step {step}: lower learning_rate (now {learning_rate})")
            rank = int((torch.linalg.svdvals(networks[-1].product()) > 1).sum())
            rows.append({"step": step, "loss": loss, "rank": rank})
        batch = torch.randint(NUM_SAMPLES, (batch_size,), generator=generator)
        _descend(weights, inputs[batch], targets[batch], learning_rate)
    return inputs, networks, pd.DataFrame(rows)


def _descend(weights: list[Tensor], inputs: Tensor, targets: Tensor, learning_rate: float) -> None:
    """One step of SGD on the squared error, averaged over samples and outputs, in place."""
    activations = [inputs]
    for weight in weights:
        activations.append(activations[-1] @ weight.mT)
    signal = 2 / targets.numel() * (activations.pop() - targets)
    for weight, activation in zip(reversed(weights), reversed(activations), strict=True):
        gradient = signal.mT @ activation
        signal = signal @ weight
        weight.sub_(gradient, alpha=learning_rate)


def coefficients(
    networks: Sequence[dln.DeepLinearNetwork],
    steps: Sequence[int],
    inputs: Float[Tensor, "sample 5"],
    chain_lengths: Sequence[int],
    *,
    exact_draws: int,
    seed: int,
) -> pd.DataFrame:
    r"""Estimates at each checkpoint, whose own outputs are the targets, at $n\beta = n / \log n$ and $\gamma = 1$.

    Args:
        networks, steps: checkpoints and their steps.
        inputs: of the data.
        chain_lengths: steps of one SGLD chain from the checkpoint, without burn-in, step size $10^{-6}$, batches of
            128: 100 in the published protocol.
        exact_draws: of four Gibbs chains from the same posterior, two of them over-dispersed, after as many for
            burn-in.
        seed: of all chains.

    Returns:
        `sampler` (a chain length in words, or `exact draws`), `step`, and columns of `row_of`.
    """
    n_beta = len(inputs) / math.log(len(inputs))
    data = [(inputs, network(inputs).detach()) for network in networks]
    rows = []
    for length in chain_lengths:
        draws = sample_many(
            networks, data, dln.squared_error, step_size=1e-6, localization=1.0, n_beta=n_beta, num_chains=1,
            batch_size=128, num_draws=length, seed=seed, progress=False,
        )  # fmt: skip
        for index, step in enumerate(steps):
            rows.append(row_of(draws.isel(model=index), sampler=f"SGLD, {length} steps", step=step))
    for network, step in zip(networks, steps, strict=True):
        # the draws' loss is that of inputs of variance INPUT_VARIANCE, ours have variance 1
        draws = dln.gibbs_sample(
            network, n_beta=n_beta / dln.INPUT_VARIANCE, num_chains=4, num_draws=exact_draws, num_burnin=exact_draws,
            start="both", seed=seed, progress=False,
        )  # fmt: skip
        rows.append(row_of(draws, sampler="exact draws", step=step))
    return pd.DataFrame(rows)
