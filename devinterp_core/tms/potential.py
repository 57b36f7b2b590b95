r"""The toy model of superposition and its exact population loss.

The model is $f(x; W, b) = \mathrm{ReLU}(W^\top W x + b)$ with $W \in \mathbb{R}^{r \times c}$. Its inputs are
$x = \mu e_i$ with $i$ uniform on the $c$ features and $\mu \sim U[0, 1]$: exactly one feature is on.
The loss is $L(W, b) = \mathbb{E} \lVert x - f(x) \rVert^2$, summed (not averaged) over the $c$ outputs.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ToyModel(nn.Module):
    r"""$f(x) = \mathrm{ReLU}(W^\top W x + b)$.

    Args:
        W: weights, one column per feature.
        b: biases.

    Raises:
        ValueError: if the number of columns of `W` is not the length of `b`.

    Reference: Elhage et al. (2022); Chen et al. (2023), section 3.
    """

    def __init__(self, W: Float[Tensor, "hidden features"], b: Float[Tensor, "features"]):
        super().__init__()
        if W.shape[-1] != b.shape[-1]:
            raise ValueError(f"W has {W.shape[-1]} columns but b has length {b.shape[-1]}: they must be equal")
        self.W = nn.Parameter(W.detach().clone())
        self.b = nn.Parameter(b.detach().clone())

    def forward(self, x: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        return torch.relu(x @ self.W.mT @ self.W + self.b)


def sample_loss(model: nn.Module, batch: Float[Tensor, "batch features"]) -> Float[Tensor, "batch"]:
    r"""Per-sample loss $\lVert x - f(x) \rVert^2$, in squared input units; its mean over the data is $L_n$."""
    return (batch - model(batch)).square().sum(-1)


def population_objective(model: nn.Module, batch: Tensor) -> Float[Tensor, "batch"]:
    r"""The exact population loss of a `ToyModel`, repeated for each row of a batch that is otherwise ignored.

    With it, a sampler written for data samples draws from the $n \to \infty$ posterior
    $\exp\{-n\beta L(w) - \tfrac{\gamma}{2} \lVert w - w^* \rVert^2\}$: the choice of $n\beta$ is then free.
    """
    return population_loss(model.W, model.b).expand(batch.shape[0])


def one_hot_data(
    num_samples: int,
    num_features: int,
    *,
    num_sets: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "*sets samples features"]:
    r"""Draw inputs $x = \mu e_i$, $i \sim \mathrm{Unif}\{1..c\}$, $\mu \sim U[0, 1]$.

    Args:
        num_samples: rows of a data set.
        num_features: $c$.
        num_sets: if given, that many independent data sets, stacked in front.
        seed: of the generator made here.
        dtype: of the result.

    Raises:
        ValueError: if a count is below 1.

    Reference: Chen et al. (2023), section 3 (the limit of high sparsity).
    """
    if num_samples < 1 or num_features < 1 or (num_sets is not None and num_sets < 1):
        raise ValueError(f"counts must be at least 1, got {num_samples=}, {num_features=}, {num_sets=}")
    generator = torch.Generator().manual_seed(seed)
    shape = (num_samples,) if num_sets is None else (num_sets, num_samples)
    feature = torch.randint(num_features, (*shape, 1), generator=generator)
    size = torch.rand((*shape, 1), generator=generator, dtype=dtype)
    return torch.zeros(*shape, num_features, dtype=dtype).scatter_(-1, feature, size)


def population_loss(
    W: Float[Tensor, "*batch hidden features"], b: Float[Tensor, "*batch features"]
) -> Float[Tensor, "*batch"]:
    r"""Exact population loss $L(W, b) = H(W, b) / (3c)$, differentiable, batched over leading dimensions.

    With $a_{ij} = W_i \cdot W_j$, $\ell_i^2 = \lVert W_i \rVert^2$ and $H = \sum_i H_i$, where output $i$ contributes
    $3 \int_0^1$ of its squared error for each input $j$:

    - $b_i \le 0$: $(a_{ij} + b_i)^3 / a_{ij}$ for each $j \ne i$ with $a_{ij} > -b_i$, and for $j = i$:
      $b_i^3 / \ell_i^4 + b_i^3 / \ell_i^2 + N_i$ if $\ell_i^2 > -b_i$, else 1;
    - $b_i > 0$: $N_i$ for $j = i$, and for each $j \ne i$: $-b_i^3 / a_{ij}$ if $a_{ij} < -b_i$,
      else $a_{ij}^2 + 3 a_{ij} b_i + 3 b_i^2$;

    where $N_i = (1 - \ell_i^2)^2 - 3 (1 - \ell_i^2) b_i + 3 b_i^2$.

    Args:
        W: weights $W$; the columns $W_i$ are the features.
        b: biases $b$.

    Returns:
        The loss in squared input units, NaN where a parameter is. It is once, not twice, continuously differentiable.

    Raises:
        ValueError: if the shapes of `W` and `b` do not match, or they are complex.

    Reference: Chen et al. (2023), Lemma 3.1.

    Example:
        >>> from devinterp_core.tms import kgon
        >>> round(float(population_loss(*kgon(6, num_features=6))), 5)
        0.04819
    """
    if W.shape[:-2] != b.shape[:-1] or W.shape[-1] != b.shape[-1]:
        needed = (*W.shape[:-2], W.shape[-1])
        raise ValueError(f"W of shape {tuple(W.shape)} needs b of shape {needed}, got {tuple(b.shape)}")
    if W.is_complex() or b.is_complex():
        raise ValueError(f"W and b must be real, got {W.dtype} and {b.dtype}")
    num_features = b.shape[-1]
    overlap = W.mT @ W  # [*batch, output i, input j]
    bias = b.unsqueeze(-1)
    reach = overlap + bias  # the pre-activation of output i at input e_j
    positive = bias > 0
    # Comparisons are put so that a NaN meets the arithmetic, not one of the constants.
    # Each division is made safe where its branch is not taken, so that no NaN enters the gradient,
    # and divides numbers of which the upper is the smaller, so that nothing overflows.
    falling = positive & (reach < 0)
    rising = ~(positive | (reach <= 0))
    divisor = torch.where(falling | rising, overlap, 1.0)
    between = torch.where(
        positive,
        torch.where(falling, -(bias**2) * (bias / divisor), overlap**2 + 3 * overlap * bias + 3 * bias**2),
        torch.where(rising, reach**2 * (reach / divisor), 0.0),
    )
    identity = torch.eye(num_features, dtype=torch.bool, device=W.device)
    length = overlap.diagonal(dim1=-2, dim2=-1)  # squared lengths of the columns
    bent = (1 - length) ** 2 - 3 * (1 - length) * b + 3 * b**2
    alive = ~((b > 0) | (length <= -b))
    kink = b / torch.where(alive, length, 1.0)  # minus the input size at which the output turns on
    own = torch.where(b > 0, bent, torch.where(alive, b * kink**2 + b**2 * kink + bent, 1.0))
    return (between.masked_fill(identity, 0.0).sum((-2, -1)) + own.sum(-1)) / (3 * num_features)


def gradient_norm(W: Float[Tensor, "hidden features"], b: Float[Tensor, "features"]) -> float:
    r"""$\lVert \nabla L \rVert$ of the population loss over all weights and biases of one parameter, by autograd.

    Example:
        >>> from devinterp_core.tms import kgon
        >>> gradient_norm(*kgon(6, num_features=6)) < 1e-12
        True
    """
    W, b = W.detach().requires_grad_(), b.detach().requires_grad_()
    gradients = torch.autograd.grad(population_loss(W, b), (W, b))
    return torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
