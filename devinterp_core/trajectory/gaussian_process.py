r"""A curve over training, smoothed by Gaussian-process regression in log time, with draws from its posterior.

$$y_i = f(\log t_i) + \epsilon_i, \qquad f \sim \mathcal{GP}\bigl(0,\ a\, k_\nu(|x - x'| / \ell)\bigr), \qquad
\epsilon_i \sim N(0,\ s_i^2 + \sigma^2),$$

with $y$ standardised, $s_i$ the given standard errors and $\sigma^2$ whatever scatter they do not explain. $k_\nu$ is
the Matérn kernel. The paper has $\nu = \infty$, $k(r) = e^{-r^2 / 2}$, whose curves are analytic: a curve that is slow
at one time and fast at another it can only fit by ringing, with posterior bands that leave out the truth. $\nu = 5/2$,
the default, asks for two derivatives only. Amplitude, length and noise are those of highest marginal likelihood; draws
are taken at these values.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import linalg
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

JITTER = 1e-10  # of the variance of y, added to the noise for a stable factorisation


@dataclass(frozen=True)
class SmoothCurve:
    r"""Posterior of a curve on a grid that is even in log time; made by `smooth_curve`.

    Attributes:
        log_steps: the grid, $\log t$ from the first to the last observation.
        mean: posterior mean of $f$, in units of the observations.
        slope: derivative of `mean` with respect to $\log t$.
        samples: draws of $f$ from the joint posterior.
        covariance: of $f$ on the grid.
        length_scale: $\ell$, in units of $\log t$.
        noise: $\sigma$, scatter beyond the standard errors, in units of the observations.
    """

    log_steps: Float[np.ndarray, " grid"]
    mean: Float[np.ndarray, " grid"]
    slope: Float[np.ndarray, " grid"]
    samples: Float[np.ndarray, "sample grid"]
    covariance: Float[np.ndarray, "grid grid"]
    length_scale: float
    noise: float

    @property
    def standard_deviation(self) -> Float[np.ndarray, " grid"]:
        """Posterior standard deviation of $f$ at each point of the grid."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0))

    @property
    def sample_slopes(self) -> Float[np.ndarray, "sample grid"]:
        r"""Derivative of each draw with respect to $\log t$."""
        return np.gradient(self.samples, self.log_steps, axis=1)


def smooth_curve(
    log_steps: Float[np.ndarray, " step"],
    values: Float[np.ndarray, " step"],
    standard_error: Float[np.ndarray, " step"],
    *,
    smoothness: float = 2.5,
    num_restarts: int = 10,
    num_samples: int = 400,
    num_grid: int = 500,
    seed: int = 0,
) -> SmoothCurve:
    r"""Gaussian-process regression of `values` on log time (model above), and draws of the curve.

    As in the paper's code, the amplitude is sought in $10^{-3}$ to $10^3$ from 1 and the length in 0.5 to $10^3$ from
    3; $\sigma^2$ in $10^{-6}$ to 10. An optimum at a bound is not an error. Time is cubic in the number of steps.

    Args:
        log_steps: $\log t$, increasing.
        values: the curve.
        standard_error: $s_i$; zeros leave all scatter to $\sigma$.
        smoothness: $\nu$, either 2.5 or infinite (the paper's).
        num_restarts: of the optimiser, from random places, after the first.
        num_samples: draws.
        num_grid: points of the grid.
        seed: of the restarts and the draws.

    Raises:
        ValueError: if `smoothness` is neither.

    Reference: Hoogland et al. (2024), appendix on stage boundaries; Rasmussen and Williams (2006), algorithm 2.1.
    """
    if smoothness not in (2.5, math.inf):
        raise ValueError(f"smoothness must be 2.5 or infinite, got {smoothness}")
    offset, scale = values.mean(), values.std()
    if scale <= 1e-12 * abs(offset):  # a constant, but for rounding
        scale = max(abs(offset), 1.0)
    target = (values - offset) / scale
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * Matern(3.0, (0.5, 1e3), nu=smoothness) + WhiteKernel(0.1, (1e-6, 10.0))
    known = (standard_error / scale) ** 2 + JITTER
    process = GaussianProcessRegressor(kernel, alpha=known, n_restarts_optimizer=num_restarts, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an optimum at a bound is meant to be possible
        process.fit(log_steps[:, None], target)
    signal, white = process.kernel_.k1, process.kernel_.k2.noise_level

    grid = np.linspace(log_steps[0], log_steps[-1], num_grid)
    between = signal(grid[:, None], log_steps[:, None])
    factor = linalg.cho_factor(signal(log_steps[:, None]) + np.diag(known + white), lower=True)
    weights = linalg.cho_solve(factor, target)
    explained = linalg.solve_triangular(factor[0], between.T, lower=True)
    covariance = signal(grid[:, None]) - explained.T @ explained
    eigenvalues, vectors = linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0))
    noise = np.random.default_rng(seed).standard_normal((num_samples, num_grid))
    mean = between @ weights
    return SmoothCurve(
        log_steps=grid,
        mean=offset + scale * mean,
        slope=np.gradient(scale * mean, grid),
        samples=offset + scale * (mean + noise @ root.T),
        covariance=scale**2 * covariance,
        length_scale=float(signal.k2.length_scale),
        noise=float(scale * np.sqrt(white)),
    )
