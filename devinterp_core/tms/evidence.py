r"""Free energies of the k-gon phases: the leading asymptotic formula, and Laplace's method with all its constants.

The posterior is $p_n(w) \propto e^{-nL(w)} \varphi(w)$, with $L$ the population loss and $\varphi$ the standard normal
prior. A phase near the critical point $w^*$ has the free energy

$$F_n = -\log \int_{\text{phase}} e^{-nL} \varphi \, dw
      = n L(w^*) + \lambda \log n + \tfrac12 \lVert w^* \rVert^2 + O(1).$$

The paper predicts transitions from the terms written out. The $O(1)$ term (volumes, curvatures, copies of the phase)
differs from phase to phase by several nats, as much as the others, so `laplace_log_evidence` keeps it.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from devinterp_core.tms.critical import kgon
from devinterp_core.tms.potential import population_loss


def _hessian(W: Float[Tensor, "hidden features"], b: Float[Tensor, "features"]) -> Float[Tensor, "w w"]:
    hidden, features = W.shape

    def loss(w: Tensor) -> Tensor:
        return population_loss(w[: hidden * features].view(hidden, features), w[hidden * features :])

    return torch.autograd.functional.hessian(loss, torch.cat((W.flatten(), b)))


def hessian_spectrum(k: int, num_features: int, num_positive: int = 0) -> Float[Tensor, "w"]:
    r"""Eigenvalues of the Hessian of $L$ at a k-gon, from the lowest to the highest.

    Raises:
        ValueError: if `k` is 4 (the loss has no second derivative there) or the k-gon does not exist.
    """
    if k <= 4:
        raise ValueError(f"at {k}-gons the loss is not twice differentiable: there is no Hessian")
    return torch.linalg.eigvalsh(_hessian(*kgon(k, num_features, num_positive)))


@lru_cache
def critical_learning_coefficient(k: int, num_features: int, num_positive: int = 0) -> float:
    r"""$\lambda$ of a minimally singular k-gon: half the rank of the Hessian of $L$ there, eigenvalues above $10^{-8}$.

    Raises:
        ValueError: if `k` is 4 (the loss has no second derivative there) or the k-gon does not exist.

    Reference: Chen et al. (2023), section 3 and appendix A; $(3k - 1)/2$ for the k-gons without positive biases.

    Example:
        >>> critical_learning_coefficient(5, num_features=6)
        7.0
    """
    if k <= 4:
        raise ValueError(f"at {k}-gons the loss is not twice differentiable: half the rank of a Hessian says nothing")
    return int((hessian_spectrum(k, num_features, num_positive).abs() > 1e-8).sum()) / 2


def leading_free_energy(k: int, num_features: int, n: float, num_positive: int = 0) -> float:
    r"""$nL(w^*) + \lambda \log n + \tfrac12 \lVert w^* \rVert^2$ of a k-gon, in nats; dead biases at 0.

    Args:
        k: vertices, more than 4.
        num_features: $c$.
        n: number of samples, in units where the likelihood is $e^{-nL}$; half of it for noise of variance 1.
        num_positive: $\sigma$.

    Raises:
        ValueError: as `critical_learning_coefficient`.

    Reference: Chen et al. (2023), section 4.

    Example:
        >>> round(leading_free_energy(5, num_features=6, n=1000), 2)
        120.72
    """
    W, b = kgon(k, num_features, num_positive)
    penalty = (W.square().sum() + b[: k + num_positive].square().sum()).item() / 2
    coefficient = critical_learning_coefficient(k, num_features, num_positive)
    return n * population_loss(W, b).item() + coefficient * math.log(n) + penalty


def laplace_log_evidence(k: int, num_features: int, n: float, *, num_draws: int = 100_000, seed: int = 0) -> float:
    r"""$\log \int e^{-nL}\varphi$ over all copies of a k-gon with any number of positive biases, to relative $O(1/n)$.

    The $c!/((c-k)!\,k)$ copies are circles of length $2\pi\lVert W^* \rVert$ (rotations of the plane). Across a circle,
    with $h$ the $3k - 1$ eigenvalues of the Hessian of the polygon that are not 0, and $g$ the components of $w^*$
    along their eigenvectors, the integral is Gaussian:

    $$2\pi \lVert W^* \rVert \, (2\pi)^{-1/2} \prod_i (n h_i + 1)^{-1/2}
      \exp\Bigl\{-nL^* - \tfrac12\lVert w^*\rVert^2 + \tfrac12 \sum_i \frac{g_i^2}{n h_i + 1}\Bigr\}.$$

    The columns and biases outside the polygon lie in no quadratic well: they are integrated over the prior by Monte
    Carlo, with the polygon held at its critical point.

    Args:
        k: vertices, more than 4.
        num_features: $c$.
        n: number of samples, in units where the likelihood is $e^{-nL}$; half of it for noise of variance 1.
        num_draws: Monte Carlo draws from the prior.
        seed: of those draws.

    Raises:
        ValueError: as `critical_learning_coefficient`, or if `n` is not positive.
    """
    if k <= 4 or n <= 0:
        raise ValueError(f"needs k > 4 (the loss is not twice differentiable at 4-gons) and n > 0, got {k=}, {n=}")
    W, b = kgon(k, k)
    w = torch.cat((W.flatten(), b))
    # With the other outputs dead, the loss is k/c times that of the model with k features, plus a constant.
    curvature, directions = torch.linalg.eigh(_hessian(W, b) * k / num_features)
    across = curvature.abs() > 1e-8
    precision = n * curvature[across] + 1
    shift = (directions.T @ w)[across].square() / precision
    copies = math.perm(num_features, k) // k
    base = population_loss(*kgon(k, num_features)).item()
    polygon = math.log(copies * 2 * math.pi * W.norm().item()) - math.log(2 * math.pi) / 2
    polygon += (shift.sum() - precision.log().sum() - w.square().sum()).item() / 2
    excess = _excess(k, num_features, num_draws, seed) if num_features > k else torch.zeros(1)
    return -n * base + polygon + torch.logsumexp(-n * excess, 0).item() - math.log(len(excess))


@lru_cache
def _excess(k: int, num_features: int, num_draws: int, seed: int) -> Float[Tensor, "draws"]:
    """How much the columns outside the polygon, drawn from the prior, raise the loss above the critical level."""
    W, b = kgon(k, k)
    generator = torch.Generator().manual_seed(seed)
    outside = torch.randn(num_draws, 3, num_features - k, generator=generator, dtype=W.dtype)
    all_W = torch.cat((W.expand(num_draws, -1, -1), outside[:, :2]), 2)
    all_b = torch.cat((b.expand(num_draws, -1), outside[:, 2]), 1)
    return population_loss(all_W, all_b) - population_loss(*kgon(k, num_features))
