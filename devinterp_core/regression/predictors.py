r"""Exact predictors for in-context linear regression: what a transformer trained on it is compared with.

Each takes a whole sequence and predicts every target from the examples *before* it; targets are the $y_k$ of the
sequence. All work in double precision and answer in the precision of the inputs.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

WEIGHTS_AT_ONCE = 2**18  # posterior weights that dmmse_prediction holds at a time: 2 MiB, which stays in the cache


def zero_prediction(targets: Float[Tensor, "*batch example"]) -> Float[Tensor, "*batch example"]:
    r"""The best prediction that ignores the context, 0; under the Gaussian prior its loss is $D + \sigma^2$."""
    return torch.zeros_like(targets)


def ridge_prediction(
    inputs: Float[Tensor, "*batch example dim"], targets: Float[Tensor, "*batch example"], noise_variance: float
) -> Float[Tensor, "*batch example"]:
    r"""Bayes-optimal prediction under the Gaussian task prior $t \sim \mathcal N(0, I_D)$.

    $$\hat t_k = (X_{<k}^\top X_{<k} + \sigma^2 I_D)^{-1} X_{<k}^\top y_{<k} , \qquad \hat y_k = \hat t_k \cdot x_k ,$$

    and the first prediction is 0. All $k$ come from one Cholesky factorisation $X X^\top + \sigma^2 I_K = L L^\top$:
    its leading blocks factorise the leading blocks, so $\hat y_k = x_k^\top X_{<k}^\top (X_{<k} X_{<k}^\top + \sigma^2
    I)^{-1} y_{<k} = \sum_{j<k} L_{kj} z_j$ with $L z = y$.

    Args:
        inputs: $x$, one row an example, in order of presentation.
        targets: $y$.
        noise_variance: $\sigma^2 > 0$ of the targets, in squared target units.

    Raises:
        ValueError: if shapes do not match, a number is not finite, or `noise_variance` is not positive or so small
            against the squared inputs that double precision would not leave six digits.

    Reference: Raventós et al. (2023), section 2.
    """
    _check_sequences(inputs, targets)
    _check_noise(noise_variance)
    x, y = inputs.double(), targets.double().unsqueeze(-1)
    gram = x @ x.mT
    diagonal = gram.diagonal(dim1=-2, dim2=-1)
    if torch.finfo(gram.dtype).eps * float(diagonal.sum(-1).max()) > 1e-6 * noise_variance:
        raise ValueError(
            f"noise_variance {noise_variance} is too small for inputs of squared norm {float(diagonal.max()):.3g}: "
            "rescale the data, or use least_squares_prediction, the limit of no noise"
        )
    diagonal += noise_variance
    factor = torch.linalg.cholesky(gram)
    whitened = torch.linalg.solve_triangular(factor, y, upper=False)
    return (factor.tril(-1) @ whitened).squeeze(-1).to(inputs.dtype)


def least_squares_prediction(
    inputs: Float[Tensor, "*batch example dim"], targets: Float[Tensor, "*batch example"]
) -> Float[Tensor, "*batch example"]:
    r"""Prediction of the least-squares fit to the previous examples; of several fits, the one of smallest norm.

    $\hat y_k = x_k \cdot X_{<k}^{+} y_{<k}$ with the pseudo-inverse $X^+$: the limit of `ridge_prediction` as
    $\sigma^2 \to 0$. The first prediction is 0.

    Args:
        inputs: $x$, one row an example, in order of presentation.
        targets: $y$.

    Raises:
        ValueError: if shapes do not match or a number is not finite.
    """
    _check_sequences(inputs, targets)
    x, y = inputs.double(), targets.double()
    predictions = torch.zeros_like(y)
    for k in range(1, x.shape[-2]):
        fit = torch.linalg.pinv(x[..., :k, :]) @ y[..., :k, None]  # [*batch, dim, 1]
        predictions[..., k] = (x[..., k, :] * fit.squeeze(-1)).sum(-1)
    return predictions.to(inputs.dtype)


def dmmse_prediction(
    inputs: Float[Tensor, "*batch example dim"],
    targets: Float[Tensor, "*batch example"],
    noise_variance: float,
    tasks: Float[Tensor, "tasks dim"],
) -> Float[Tensor, "*batch example"]:
    r"""Bayes-optimal prediction under the uniform prior on a finite set: the discrete minimum mean squared error.

    $$\hat y_k = x_k \cdot \sum_m w_m t_m , \qquad
        w_m \propto \exp\Bigl\{-\frac{1}{2\sigma^2} \sum_{j<k} (y_j - t_m \cdot x_j)^2\Bigr\} .$$

    Sequences are taken in groups that keep at most `WEIGHTS_AT_ONCE` of the $w_m$ (or one sequence's) in memory.

    Args:
        inputs: $x$, one row an example, in order of presentation.
        targets: $y$.
        noise_variance: $\sigma^2 > 0$ of the targets, in squared target units.
        tasks: $t_m$, one a row, from `RegressionTasks.task_set`.

    Raises:
        ValueError: if shapes do not match, a number is not finite, there is no task, or `noise_variance` is not
            positive.

    Reference: Raventós et al. (2023), section 2.
    """
    _check_sequences(inputs, targets)
    _check_noise(noise_variance)
    if tasks.ndim != 2 or len(tasks) == 0 or tasks.shape[1] != inputs.shape[-1]:
        raise ValueError(f"tasks must have shape [tasks, {inputs.shape[-1]}], got {tuple(tasks.shape)}")
    if not torch.isfinite(tasks).all():
        raise ValueError("tasks must be finite numbers")
    t = tasks.to(inputs.device, torch.float64)
    size = max(1, WEIGHTS_AT_ONCE // len(t))
    x, y = inputs.double().reshape(-1, *inputs.shape[-2:]), targets.double().reshape(-1, inputs.shape[-2])
    predictions = torch.empty_like(y)
    for group in torch.arange(len(y), device=y.device).split(size):
        log_weights = x.new_zeros(len(group), len(t))
        for k in range(x.shape[1]):
            x_k, y_k = x[group, k], y[group, k, None]
            mean_task = log_weights.softmax(-1) @ t  # [sequence, dim]
            predictions[group, k] = (x_k * mean_task).sum(-1)
            log_weights -= (y_k - x_k @ t.mT).square() / (2 * noise_variance)
    return predictions.reshape(targets.shape).to(inputs.dtype)


def nearest_weakened_dmmse(
    inputs: Float[Tensor, "sequence example dim"],
    targets: Float[Tensor, "sequence example"],
    noise_variance: float,
    tasks: Float[Tensor, "tasks dim"],
    temperatures: Sequence[float] = (1, 2, 4, 8, 16, 32),
) -> float:
    r"""How near to ridge regression a model comes that knows the finite set only, and trusts it too little.

    $$\min_T \min_s \frac1K \sum_k \mathbb E \bigl(s_k\, \hat y_k^{(T)} - \hat y_k^{\text{ridge}}\bigr)^2$$

    with $\hat y^{(T)}$ the dMMSE prediction of a posterior tempered by $T$ (noise variance $T \sigma^2$) and a factor
    of its own for each position. In squared target units.

    Raises:
        ValueError: as `dmmse_prediction`; no temperatures.
    """
    if not temperatures:
        raise ValueError("temperatures is empty: one at least")
    aim, nearest = ridge_prediction(inputs, targets, noise_variance).double(), math.inf
    for temperature in temperatures:
        values = dmmse_prediction(inputs, targets, temperature * noise_variance, tasks).double()
        factor = (values * aim).mean(0) / values.square().mean(0).clamp_min(torch.finfo(values.dtype).tiny)
        nearest = min(nearest, float((factor * values - aim).square().mean()))
    return nearest


def _check_sequences(inputs: Tensor, targets: Tensor) -> None:
    if inputs.ndim < 2 or inputs.shape[:-1] != targets.shape or 0 in inputs.shape:
        raise ValueError(
            "inputs must have shape [..., example, dim] and targets [..., example], neither empty; "
            f"got {tuple(inputs.shape)} and {tuple(targets.shape)}"
        )
    if not (inputs.is_floating_point() and targets.is_floating_point()):
        raise ValueError(f"inputs and targets must be real floating-point numbers, got {inputs.dtype}, {targets.dtype}")
    if not (torch.isfinite(inputs).all() and torch.isfinite(targets).all()):
        raise ValueError("inputs and targets must be finite numbers")


def _check_noise(noise_variance: float) -> None:
    if not 0 < noise_variance < float("inf"):
        raise ValueError(
            f"noise_variance must be positive and finite for a Bayes predictor, got {noise_variance}; "
            "without noise use least_squares_prediction"
        )
