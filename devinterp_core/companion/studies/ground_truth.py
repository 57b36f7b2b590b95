"""The sweeps of the chapter on known values: monomials, reduced-rank regression, a quadratic loss."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from devinterp_core import dln, potentials
from devinterp_core.companion.estimates import row_of
from devinterp_core.sampler import sample, sample_many
from devinterp_core.sampler.curvature import largest_curvature
from devinterp_core.sampler.target import make_target

QUADRATURE_POINTS = 120  # of a half axis: five digits of these means, 600 have more and take 30 times as long


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
        seed: of data sets and chains.

    Returns:
        `powers` (as words), `data_set`, `exact` (the posterior mean on that data set, by quadrature) and the columns of
        `row_of`.
    """
    data = [potentials.polynomial_data(num_samples, noise, 1000 * seed + index) for index in range(num_seeds)]
    exact = exact_on_data_sets(powers, num_samples=num_samples, noise=noise, num_seeds=num_seeds, seed=seed)
    rows = []
    for each in powers:
        model = potentials.PolynomialRegression(potentials.monomial(each), (0.0, 0.0))
        draws = sample_many(
            [model] * num_seeds, data, potentials.gaussian_loss(noise), step_size=5e-4, seed=seed,
            num_draws=num_steps - num_steps // 10, num_burnin=num_steps // 10, progress=False,
        )  # fmt: skip
        for index in range(num_seeds):
            rows.append(row_of(draws.isel(model=index), powers=str(tuple(each)), data_set=index))
    return exact.merge(pd.DataFrame(rows), on=["powers", "data_set"])


def exact_on_data_sets(
    powers: Sequence[tuple[int, int]], *, num_samples: int, noise: float, num_seeds: int, seed: int
) -> pd.DataFrame:
    r"""What an exact sampler finds for monomials at the origin on the data sets of `sampled_monomials`, $\gamma = 1$.

    Args:
        powers, num_samples, noise, num_seeds, seed: as of `sampled_monomials`.

    Returns:
        `powers` (as words), `data_set`, `exact`.
    """
    n_beta, rows = num_samples / math.log(num_samples), []
    for index in range(num_seeds):
        x, y = potentials.polynomial_data(num_samples, noise, 1000 * seed + index)
        moments = float(x.square().mean()), float((x * y).mean())
        for each in powers:
            exact = potentials.exact_tempered_mean(
                potentials.monomial(each), n_beta, noise=noise, moments=moments, num_points=QUADRATURE_POINTS
            )
            rows.append((str(tuple(each)), index, exact))
    return pd.DataFrame(rows, columns=["powers", "data_set", "exact"])


def exact_pairs(pairs: pd.DataFrame, n_betas: Sequence[float], noise: float) -> pd.DataFrame:
    r"""Exact tempered means of monomials under priors that vanish at the origin, population loss, $\gamma = 1$.

    Args:
        pairs: `k1`, `k2`, `h1`, `h2`: powers of the monomial and of the prior.
        n_betas: $n\beta$.
        noise: $\sigma$.

    Returns:
        `powers` and `prior` (as words), `truth`, `multiplicity`, and a column for each $n\beta$, named by it.
    """
    rows = []
    for k1, k2, h1, h2 in pairs[["k1", "k2", "h1", "h2"]].itertuples(index=False):
        truth, multiplicity = potentials.monomial_learning_coefficient((k1, k2), (h1, h2))
        row = {"powers": f"({k1}, {k2})", "prior": f"({h1}, {h2})", "truth": float(truth), "multiplicity": multiplicity}
        for n_beta in n_betas:
            row[n_beta] = potentials.exact_tempered_mean(
                potentials.monomial((k1, k2)), n_beta, noise=noise, prior_powers=(h1, h2), num_points=QUADRATURE_POINTS
            )
        rows.append(row)
    return pd.DataFrame(rows)


def two_points(num_repeats: int, *, num_samples: int, noise: float, num_steps: int, seed: int) -> pd.DataFrame:
    r"""SGLD from two singular points of `potentials.two_component` on the same data sets, by the paper's settings.

    Eight chains of $\epsilon = 10^{-4}$ on the full batch from the point, without burn-in.

    Args:
        num_repeats: data sets.
        num_samples: $n$.
        noise: $\sigma$ of the targets.
        num_steps: of each chain.
        seed: of the data sets; the chains of each have its number.

    Returns:
        `repeat`, `point` (`origin` or `line`), `truth`, `exact` (the mean of the localised posterior of the population
        loss, by quadrature) and the columns of `row_of`.
    """
    n_beta = num_samples / math.log(num_samples)
    points = {"origin": ((0.0, 0.0), 0.25), "line": ((1.0, 0.3), 0.5)}
    exact = {
        place: potentials.exact_tempered_mean(potentials.two_component, n_beta, noise=noise, centre=start)
        for place, (start, _) in points.items()
    }
    rows = []
    for repeat in range(num_repeats):
        data = potentials.polynomial_data(num_samples, noise, 5000 + 1000 * seed + repeat)
        for place, (start, truth) in points.items():
            model = potentials.PolynomialRegression(potentials.two_component, start)
            draws = sample(
                model, data, potentials.gaussian_loss(noise), step_size=1e-4, num_draws=num_steps, seed=repeat,
                num_chains=8, progress=False,
            )  # fmt: skip
            rows.append(row_of(draws, repeat=repeat, point=place, truth=truth, exact=exact[place]))
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
