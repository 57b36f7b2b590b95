r"""Small singular models with known learning coefficients: polynomial regression and quadratic potentials.

$y = p(w)\,x + \varepsilon$ with $x \sim N(0, 1)$, $\varepsilon \sim N(0, \sigma^2)$ and truth $p = 0$ has
$K(w) = p(w)^2 / (2 \sigma^2)$, so a polynomial $p$ gives any singularity one likes.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor, nn

Polynomial = Callable[[Tensor], Tensor]


def monomial(powers: Sequence[int]) -> Polynomial:
    r"""$p(w) = \prod_j w_j^{k_j}$ as a function of `w[..., j]`.

    Raises:
        ValueError: if a power is negative or all are zero.
    """
    if min(powers) < 0 or max(powers) == 0:
        raise ValueError(f"powers must be non-negative and not all zero, got {list(powers)}")
    return lambda w: math.prod(w[..., j] ** k for j, k in enumerate(powers) if k)


def two_component(w: Tensor) -> Tensor:
    r"""$p(w) = (w_1 - 1)(w_1^2 + w_2^2)^2$: $\lambda = 1/4$ at the origin, $1/2$ on the line $w_1 = 1$.

    Reference: Lau et al. (2023), the potential of the figure on ordering singular points.
    """
    return (w[..., 0] - 1) * (w[..., 0] ** 2 + w[..., 1] ** 2) ** 2


def monomial_learning_coefficient(
    powers: Sequence[int], prior_powers: Sequence[int] | None = None
) -> tuple[Fraction, int]:
    r"""$\lambda = \min_j (h_j + 1) / (2 k_j)$ over $k_j > 0$ at the origin, and its multiplicity, how many attain it.

    Args:
        powers: $k_j$ of the monomial.
        prior_powers: $h_j$ of a prior that vanishes like $\prod_j |w_j|^{h_j}$; None for one that is positive there.

    Raises:
        ValueError: as `monomial`; other numbers of powers of the prior, negative ones.

    Reference: Watanabe (2009), normal crossings.

    Example:
        >>> monomial_learning_coefficient((1, 2))
        (Fraction(1, 4), 1)
    """
    monomial(powers)
    own = [0] * len(powers) if prior_powers is None else list(prior_powers)
    if len(own) != len(powers) or min(own) < 0:
        raise ValueError(f"powers of the prior must be one a coordinate and not negative, got {own} for {list(powers)}")
    ratios = [Fraction(h + 1, 2 * k) for k, h in zip(powers, own) if k]
    return min(ratios), ratios.count(min(ratios))


class PolynomialRegression(nn.Module):
    r"""$x \mapsto p(w)\,x$.

    Args:
        polynomial: $p$.
        start: $w^*$, one number a coordinate.
    """

    def __init__(self, polynomial: Polynomial, start: Sequence[float]):
        super().__init__()
        self.polynomial = polynomial
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, x: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        return self.polynomial(self.w) * x


def gaussian_loss(noise: float) -> Callable[[nn.Module, tuple[Tensor, Tensor]], Tensor]:
    r"""Per-sample negative log-likelihood $(y - f(x))^2 / (2 \sigma^2)$, without its constant.

    Raises:
        ValueError: if `noise`, $\sigma$, is not positive; in the loss, outputs of another shape than the targets.
    """
    if not noise > 0:
        raise ValueError(f"the noise's standard deviation must be positive, got {noise}")

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        output = model(x)
        if output.shape != y.shape:  # broadcasting would compare every output with every target
            raise ValueError(f"outputs of shape {tuple(output.shape)} for targets of shape {tuple(y.shape)}")
        return (y - output) ** 2 / (2 * noise**2)

    return loss


def polynomial_data(num_samples: int, noise: float, seed: int) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    r"""$x \sim N(0, 1)$ and $y = \varepsilon \sim N(0, \sigma^2)$: samples of the truth $p(w^*) = 0$."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, num_samples, dtype=torch.float64, generator=generator)
    return x, noise * y


def exact_tempered_mean(
    polynomial: Polynomial,
    n_beta: float,
    *,
    noise: float = 1.0,
    localization: float = 1.0,
    centre: tuple[float, float] = (0.0, 0.0),
    prior_powers: tuple[int, int] = (0, 0),
    moments: tuple[float, float] = (1.0, 0.0),
    num_points: int = 600,
) -> float:
    r"""$n\beta\, \mathbb{E}[L(w) - L(w^*)]$ under the localised tempered posterior, by quadrature in two dimensions.

    $L = (m_{xx}\, p(w)^2 - 2 m_{xy}\, p(w)) / (2\sigma^2)$ up to a constant, at a zero $w^*$ of $p$: with the moments
    $(1, 0)$ the population loss $K$, with the means $m_{xx}$ of $x^2$ and $m_{xy}$ of $xy$ over a data set its own
    loss. Each half axis from the centre is integrated in the logarithm of the distance, from $10^{-9}$ to 9 standard
    deviations of the localiser, which resolves singularities of any order at the centre's axes.

    Args:
        polynomial: $p$.
        n_beta: $n\beta$.
        noise: $\sigma$.
        localization: $\gamma$.
        centre: $w^*$, a zero of $p$.
        prior_powers: $h$ of a further factor $|w_1|^{h_1} |w_2|^{h_2}$ of the prior.
        moments: $m_{xx}$ and $m_{xy}$.
        num_points: of each half axis.

    Returns:
        What an exact sampler's LLC estimate would average to at this temperature and on these data.

    Raises:
        ValueError: if n_beta, localization or noise is not positive and finite.
    """
    if not all(0 < each < math.inf for each in (n_beta, localization, noise)):
        given = f"{n_beta}, {localization} and {noise}"
        raise ValueError(f"n_beta and localization must be positive and finite, and the noise; got {given}")
    top = 9 / math.sqrt(localization)
    t = torch.linspace(math.log(1e-9), math.log(top), num_points, dtype=torch.float64)
    distance = t.exp()  # dw = e^t dt; the weights of the trapezoid rule are equal but for the negligible ends
    log_mass, mean = torch.tensor(-torch.inf, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    for sign_1, sign_2 in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        w1, w2 = centre[0] + sign_1 * distance[:, None], centre[1] + sign_2 * distance[None, :]
        value = polynomial(torch.stack(torch.broadcast_tensors(w1, w2), dim=-1))
        tempered = n_beta / (2 * noise**2) * (moments[0] * value**2 - 2 * moments[1] * value)
        log_density = (t - localization / 2 * distance**2)[:, None] + (t - localization / 2 * distance**2) - tempered
        for axis, power in zip((w1, w2), prior_powers):
            log_density = log_density + power * axis.abs().log() if power else log_density
        quadrant_mass = log_density.logsumexp(dim=(0, 1))
        quadrant_mean = ((log_density - quadrant_mass).exp_() * tempered).sum()
        total = torch.logaddexp(log_mass, quadrant_mass)
        mean = mean * (log_mass - total).exp() + quadrant_mean * (quadrant_mass - total).exp()
        log_mass = total
    return float(mean)


def quadratic_llc(
    curvatures: Float[Tensor, " d"], n_beta: float, localization: float = 0.0, step_size: float = 0.0
) -> float:
    r"""What SGLD's estimate averages to on $L = \tfrac12 \sum_i h_i w_i^2$, full batch, in closed form.

    $$\hat\lambda = \tfrac12 \sum_i \frac{n\beta h_i}{u_i\,(1 - \epsilon u_i / 4)}, \qquad u_i = n\beta h_i + \gamma$$

    $\gamma = \epsilon = 0$ gives $d/2$. `step_size=0` is the exact posterior.

    Raises:
        ValueError: if a direction is unstable, $\epsilon u_i \ge 4$, or has no posterior, $u_i \le 0$; numbers that are
            not finite; a negative step size.
    """
    curvatures = curvatures if curvatures.dtype in (torch.float32, torch.float64) else curvatures.double()
    stiffness = n_beta * curvatures + localization
    if not (bool((stiffness > 0).all() & stiffness.isfinite().all()) and 0 <= step_size < math.inf):
        raise ValueError(
            "n_beta * curvature + localization must be positive and finite in every direction (there is no posterior "
            f"otherwise), step_size not negative; the smallest is {float(stiffness.min()):.3g}, step_size {step_size}"
        )
    if bool((step_size * stiffness >= 4).any()):
        raise ValueError(f"SGLD is unstable at step_size {step_size}: the limit is {4 / float(stiffness.max()):.3g}")
    return float((n_beta * curvatures / (stiffness * (1 - step_size * stiffness / 4))).sum() / 2)


class Quadratic(nn.Module):
    r"""$L(w) = \tfrac12 \sum_i h_i w_i^2$ at its minimum, for any input: the loss whose estimate is `quadratic_llc`.

    Args:
        curvatures: $h_i$, one a coordinate; their dtype is that of the parameters.
    """

    def __init__(self, curvatures: Float[Tensor, " d"]):
        super().__init__()
        self.register_buffer("curvatures", curvatures.detach().clone())
        self.w = nn.Parameter(torch.zeros_like(curvatures))

    def forward(self, x: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The loss, the same for every sample."""
        return 0.5 * (self.curvatures * self.w**2).sum() + 0 * x


def linear_regression(
    num_inputs: int, num_samples: int, seed: int
) -> tuple[nn.Linear, tuple[Float[Tensor, "n d"], Float[Tensor, "n 1"]]]:
    r"""A regular model of $d$ = `num_inputs` parameters, $\lambda = d/2$, at the minimum of its empirical loss.

    $y = \sum_i x_i + \varepsilon$ with $x \sim N(0, I)$, $\varepsilon \sim N(0, 1)$, in float64.

    Returns:
        The linear map without bias whose weights are the least-squares solution, and its data $(x, y)$.

    Raises:
        ValueError: fewer samples than inputs, which leave the minimum undetermined.

    Example:
        >>> model, (x, y) = linear_regression(3, num_samples=100, seed=0)
        >>> x.shape, y.shape
        (torch.Size([100, 3]), torch.Size([100, 1]))
    """
    if not 0 < num_inputs <= num_samples:
        raise ValueError(f"need 0 < num_inputs <= num_samples, got {num_inputs} and {num_samples}")
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_samples, num_inputs, generator=generator, dtype=torch.float64)
    y = x.sum(1, keepdim=True) + torch.randn(num_samples, 1, generator=generator, dtype=torch.float64)
    model = nn.Linear(num_inputs, 1, bias=False, dtype=torch.float64)
    model.weight.data = torch.linalg.lstsq(x, y).solution.T
    return model, (x, y)


def linear_regression_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Float[Tensor, " batch"]:
    r"""Per-sample negative log-likelihood $(y - f(x))^2 / 2$ of unit noise, summed over the outputs.

    Example:
        >>> model, data = linear_regression(3, num_samples=100, seed=0)
        >>> linear_regression_loss(model, data).shape
        torch.Size([100])
    """
    return (model(batch[0]) - batch[1]).square().sum(1) / 2
