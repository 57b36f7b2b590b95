"""The sweeps of the chapter on known values: monomials, reduced-rank regression, a quadratic loss."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from devinterp_core import dln, potentials
from devinterp_core.companion.estimates import row_of
from devinterp_core.sampler import sample
from devinterp_core.sampler.curvature import largest_curvature
from devinterp_core.sampler.target import make_target


def population_monomials(
    powers: Sequence[tuple[int, int]], n_betas: Sequence[float], *, num_chains: int, num_draws: int, seed: int
) -> pd.DataFrame:
    r"""MALA on the population loss $K = p(w)^2 / 2$ of monomials at the origin, at several inverse temperatures.

    One sample with $x^2 = 1$ has the loss of infinitely many at unit noise; $\gamma = 1$.

    Args:
        powers: $(k_1, k_2)$ of each monomial.
        n_betas: $n\beta$.
        num_chains, num_draws: of each estimate, four steps from one draw to the next, as many steps for burn-in as
            there are draws.
        seed: of the chains.

    Returns:
        `powers` (as words), `truth`, `multiplicity`, `n_beta`, `exact` (by quadrature) and the columns of `row_of`.
    """
    rows = []
    for each in powers:
        truth, multiplicity = potentials.monomial_learning_coefficient(each)
        polynomial = potentials.monomial(each)
        model = potentials.PolynomialRegression(polynomial, (0.0, 0.0))
        label = {"powers": str(tuple(each)), "truth": float(truth), "multiplicity": multiplicity}
        for n_beta in n_betas:
            draws = sample(
                model, torch.ones(1, dtype=torch.float64), _half_square, step_size=min(0.05, 5 / n_beta),
                n_beta=n_beta, num_chains=num_chains, num_draws=num_draws, num_burnin=num_draws,
                num_steps_between_draws=4, method="mala", seed=seed, progress=False,
            )  # fmt: skip
            exact = potentials.exact_tempered_mean(polynomial, n_beta)
            rows.append(row_of(draws, **label, n_beta=n_beta, exact=exact))
    return pd.DataFrame(rows)


def sampled_monomials(
    powers: Sequence[tuple[int, int]], *, num_samples: int, noise: float, num_seeds: int, num_steps: int, seed: int
) -> pd.DataFrame:
    r"""SGLD on data sets of monomials at the origin, by the paper's settings: $\epsilon = 5 \cdot 10^{-4}$, full batch.

    Args:
        powers: $(k_1, k_2)$ of each monomial.
        num_samples: $n$.
        noise: $\sigma$ of the targets.
        num_seeds: data sets of each monomial, the same for all.
        num_steps: of each of four chains, the first tenth discarded.
        seed: of the data sets; the chains of each have its number.

    Returns:
        `powers` (as words), `data_set` and the columns of `row_of`.
    """
    rows = []
    for each in powers:
        model = potentials.PolynomialRegression(potentials.monomial(each), (0.0, 0.0))
        for index in range(num_seeds):
            draws = sample(
                model, potentials.polynomial_data(num_samples, noise, 1000 * seed + index),
                potentials.gaussian_loss(noise), step_size=5e-4, num_draws=num_steps - num_steps // 10,
                num_burnin=num_steps // 10, seed=index, progress=False,
            )  # fmt: skip
            rows.append(row_of(draws, powers=str(tuple(each)), data_set=index))
    return pd.DataFrame(rows)


def reduced_rank(
    cases: Mapping[str, tuple[int, int, int, int]], n_betas: Sequence[float], gradient_n_beta: float, *,
    num_draws: int, num_steps: int, seed: int,
) -> pd.DataFrame:  # fmt: skip
    r"""Exact Gibbs draws, and the thermostat on gradients, from the most singular reduced-rank regressions.

    Args:
        cases: name to inputs, hidden units, outputs and true rank.
        n_betas: $n\beta$ of the exact draws.
        gradient_n_beta: one more, at which the gradient chains run too.
        num_draws: sweeps of each of 16 Gibbs chains after a quarter as many for burn-in.
        num_steps: of each of 16 gradient chains, the first quarter discarded.
        seed: of the gradient chains; those of the exact draws count up from it by case.

    Returns:
        `case`, `truth`, `multiplicity`, `sampler` (`gibbs` or `sgnht`), `n_beta` and the columns of `row_of`.
    """
    rows = []
    for index, (case, sizes) in enumerate(cases.items()):
        truth, multiplicity = dln.reduced_rank_learning_coefficient(*sizes)
        model = dln.most_singular_network(*sizes)
        label = {"case": case, "truth": float(truth), "multiplicity": multiplicity}
        for n_beta in (gradient_n_beta, *n_betas):
            draws = dln.gibbs_sample(
                model, n_beta=n_beta, num_chains=16, num_draws=num_draws, num_burnin=num_draws // 4, seed=seed + index,
                progress=False,
            )  # fmt: skip
            rows.append(row_of(draws, **label, sampler="gibbs", n_beta=n_beta))
        data = dln.population_data(model)
        target = make_target(model, data, dln.squared_error, n_beta=gradient_n_beta)
        # w* has no curvature at all; the step is set by the curvature at a draw from the localiser, an upper bound.
        generator = torch.Generator().manual_seed(seed)
        away = torch.randn(target.num_coordinates, generator=generator, dtype=torch.float64)
        draws = sample(
            model, data, dln.squared_error, step_size=0.5 / largest_curvature(target, target.centre + away),
            n_beta=gradient_n_beta, num_chains=16, method="sgnht", num_draws=3 * num_steps // 16,
            num_burnin=num_steps // 4, num_steps_between_draws=4, seed=seed, progress=False,
        )  # fmt: skip
        rows.append(row_of(draws, **label, sampler="sgnht", n_beta=gradient_n_beta))
    return pd.DataFrame(rows)


def quadratic_sweep(
    curvatures: Tensor, n_beta: float, localizations: Sequence[float], relative_steps: Sequence[float], *,
    num_draws: int, seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    r"""SGLD on a quadratic loss over localisers and step sizes, with the closed form.

    Args:
        curvatures: $h_i$.
        n_beta: $n\beta$.
        localizations: $\gamma$.
        relative_steps: $\epsilon\,(n\beta h_{\max} + \gamma)$, below 4.
        num_draws: of each of 50 chains.
        seed: of the chains.

    Returns:
        `localization`, `relative_step`, `exact` and the columns of `row_of`; and the closed form on a fine grid of
        steps, `localization`, `relative_step`, `exact`.
    """
    rows, closed_form, bowl = [], [], potentials.Quadratic(curvatures)
    for localization in localizations:
        stiffest = n_beta * float(curvatures.max()) + localization
        for relative in relative_steps:
            draws = sample(
                bowl, torch.zeros(1, dtype=curvatures.dtype), _output, step_size=relative / stiffest,
                localization=localization, n_beta=n_beta, num_chains=50, num_draws=num_draws,
                num_burnin=int(4 / relative) * 50, num_steps_between_draws=max(1, int(1 / relative)), seed=seed,
                progress=False,
            )  # fmt: skip
            exact = potentials.quadratic_llc(curvatures, n_beta, localization, relative / stiffest)
            rows.append(row_of(draws, localization=localization, relative_step=relative, exact=exact))
        for relative in np.geomspace(min(relative_steps) / 1.5, min(3.9, 1.2 * max(relative_steps)), 200):
            exact = potentials.quadratic_llc(curvatures, n_beta, localization, relative / stiffest)
            closed_form.append((localization, relative, exact))
    return pd.DataFrame(rows), pd.DataFrame(closed_form, columns=["localization", "relative_step", "exact"])


def _half_square(model: nn.Module, x: Tensor) -> Tensor:
    return model(x) ** 2 / 2


def _output(model: nn.Module, x: Tensor) -> Tensor:
    return model(x)
