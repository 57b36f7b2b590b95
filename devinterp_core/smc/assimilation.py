r"""Sequential Monte Carlo along a growing data set: one temperature path for each block of new samples."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from devinterp_core.smc.tempering import LogDensity, temper
from devinterp_core.smc.weights import systematic_resample


def assimilate(
    log_prior: LogDensity,
    log_likelihoods: Sequence[LogDensity],
    initial_particles: Float[Tensor, "particle coordinate"],
    *,
    generator: torch.Generator,
    **settings: Any,
) -> xr.Dataset:
    r"""Posterior after each block of a growing data set: each is tempered in from the posterior before it.

    Args:
        log_prior: as in `temper`.
        log_likelihoods: one for each block of data, independent given the particle.
        initial_particles: independent draws from the prior.
        generator: source of all randomness.
        settings: further arguments of `temper` but `temperatures`, the same for every block.

    Returns:
        `particles`, `weight` and `log_evidence` (of all data so far) as in `temper`, with the dimension `block`.

    Raises:
        ValueError: if there is no block, `temperatures` other than 1 are asked for, or as `temper`.

    Reference: Chopin (2002), *A sequential particle filter method for static models*.
    """
    if not log_likelihoods:
        raise ValueError("log_likelihoods is empty: give one log-likelihood for each block of data")
    if list(settings.pop("temperatures", [1.0])) != [1.0]:
        raise ValueError("assimilate takes in each block whole, at temperature 1: to stop on the way use temper, to "
                         "weigh a block otherwise scale its log-likelihood")  # fmt: skip
    density, w, posteriors = log_prior, initial_particles, []
    for block in log_likelihoods:
        draws = temper(density, block, w, generator=generator, **settings).isel(temperature=0, drop=True)
        draws = draws[["particles", "weight", "log_evidence"]]
        if posteriors:
            draws["log_evidence"] = draws.log_evidence + posteriors[-1].log_evidence
        posteriors.append(draws)
        survivors = systematic_resample(torch.as_tensor(draws.weight.values, device=w.device), generator)
        w = torch.as_tensor(draws.particles.values, device=w.device)[survivors]
        density = partial(_sum, density, block)
    return xr.concat(posteriors, "block").assign_coords(block=range(len(posteriors)))


def _sum(first: LogDensity, second: LogDensity, w: Tensor) -> Tensor:
    return first(w) + second(w)
