r"""Minibatch SGD on the toy model: many runs in one batched tensor program, with the gradient written by hand.

A run is 18 numbers, so time goes to launching operations: all runs advance together, runs are the last (contiguous)
dimension, and every operation writes into a buffer made once. Runs with fewer features join by `pad_features`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from devinterp_core.tms.critical import kgon_length_and_bias
from devinterp_core.tms.potential import one_hot_data


class Trajectory(NamedTuple):
    """Checkpoints of many runs: step numbers, weights, biases."""

    steps: Int[Tensor, "checkpoints"]
    W: Float[Tensor, "checkpoints runs hidden features"]
    b: Float[Tensor, "checkpoints runs features"]


class _Gradient:
    """The gradient in buffers; layout W [hidden, feature, 1, run], b [feature, 1, run], x [feature, sample, run]."""

    def __init__(self, hidden: int, features: int, samples: int, runs: int, like: Tensor):
        def empty(*shape: int) -> Tensor:
            return torch.empty(*shape, runs, dtype=like.dtype, device=like.device)

        self.product = empty(hidden, features, samples)
        self.term = empty(hidden, features, samples)
        self.hidden, self.backward = empty(hidden, samples), empty(hidden, samples)
        self.pre, self.error = empty(features, samples), empty(features, samples)
        self.W, self.b = empty(hidden, features, 1), empty(features, 1)
        self.scale = 2 / samples

    def __call__(self, W: Tensor, b: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        # forward: h = W x, z = W^T h + b
        torch.mul(W, x, out=self.product)
        torch.sum(self.product, 1, out=self.hidden)
        torch.mul(W, self.hidden.unsqueeze(1), out=self.product)
        torch.sum(self.product, 0, out=self.pre)
        self.pre.add_(b)
        # g = dL/dz / 2 = (ReLU(z) - x) [z > 0]
        torch.clamp(self.pre, min=0, out=self.error)
        self.error.sub_(x)
        self.error.mul_(self.pre.gt_(0))
        # dL/dW = sum over samples of h g^T + (W g) x^T, dL/db = sum of g, each times 2 / samples
        torch.mul(W, self.error, out=self.product)
        torch.sum(self.product, 1, out=self.backward)
        torch.mul(self.backward.unsqueeze(1), x, out=self.product)
        torch.mul(self.hidden.unsqueeze(1), self.error, out=self.term)
        self.product.add_(self.term)
        torch.sum(self.product, 2, keepdim=True, out=self.W)
        torch.sum(self.error, 1, keepdim=True, out=self.b)
        return self.W.mul_(self.scale), self.b.mul_(self.scale)


def _runs_last(W: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return W.permute(1, 2, 0).unsqueeze(2).contiguous(), b.T.unsqueeze(1).contiguous()


def loss_gradient(
    W: Float[Tensor, "runs hidden features"],
    b: Float[Tensor, "runs features"],
    x: Float[Tensor, "runs batch features"],
) -> tuple[Float[Tensor, "runs hidden features"], Float[Tensor, "runs features"]]:
    r"""Gradient of each run's mean loss, $\tfrac1B \sum \lVert x - \mathrm{ReLU}(W^\top W x + b) \rVert^2$.

    With $h = W x$, $g = (\mathrm{ReLU}(z) - x) \odot [z > 0]$:
    $\partial_W = \tfrac2B \sum (h g^\top + W g x^\top)$, $\partial_b = \tfrac2B \sum g$.
    This is the gradient that `train` follows.
    """
    gradient = _Gradient(W.shape[1], W.shape[2], x.shape[1], W.shape[0], W)
    grad_W, grad_b = gradient(*_runs_last(W, b), x.permute(2, 1, 0).contiguous())
    return grad_W.squeeze(2).permute(2, 0, 1).contiguous(), grad_b.squeeze(1).T.contiguous()


def train(
    W: Float[Tensor, "runs hidden features"],
    b: Float[Tensor, "runs features"],
    data: Float[Tensor, "runs samples features"],
    *,
    num_steps: int,
    batch_size: int,
    learning_rate: float,
    checkpoint_steps: list[int],
    seed: int = 0,
    progress: bool = True,
) -> Trajectory:
    r"""Minibatch SGD without momentum on each run's own data set, reshuffled every epoch.

    All runs use the same shuffle of their own data; as the data sets are independent, so are the runs.

    Args:
        W: initial weights.
        b: initial biases.
        data: one data set a run; the last incomplete batch of an epoch is dropped.
        num_steps: SGD steps.
        batch_size: samples a step.
        learning_rate: of the loss summed over outputs (not their mean).
        checkpoint_steps: steps after which parameters are kept, 0 being the start.
        seed: of the shuffles.
        progress: show a progress bar.

    Returns:
        The checkpoints in the order of the steps.

    Raises:
        ValueError: if the batch is larger than the data, a checkpoint lies outside the run, a number is not finite or
            of half precision, or a run diverges.

    Reference: protocol of Chen et al. (2023), section 5.
    """
    runs, samples, features = data.shape
    if not 1 <= batch_size <= samples:
        raise ValueError(f"batch_size must be in 1..{samples} (the samples of a data set), got {batch_size}")
    for name, tensor in (("W", W), ("b", b), ("data", data)):
        if tensor.dtype not in (torch.float32, torch.float64) or not tensor.isfinite().all():
            raise ValueError(f"{name} must hold finite numbers in float32 or float64, got {tensor.dtype}")
    wanted = sorted(set(checkpoint_steps))
    if not wanted or wanted[0] < 0 or wanted[-1] > num_steps:
        raise ValueError(f"checkpoint_steps must be steps in 0..{num_steps}, got {checkpoint_steps}")
    generator = torch.Generator(device=data.device).manual_seed(seed)
    gradient = _Gradient(W.shape[1], features, batch_size, runs, W)
    W, b = _runs_last(W.detach(), b.detach())
    data = data.permute(2, 1, 0).contiguous()  # [features, samples, runs]
    per_epoch = samples // batch_size
    kept_W, kept_b, pending = [], [], set(wanted)
    for step in tqdm(range(num_steps + 1), disable=not progress, desc="SGD", unit="step", mininterval=1.0):
        if step in pending:
            kept_W.append(W.squeeze(2).permute(2, 0, 1).clone())
            kept_b.append(b.squeeze(1).T.clone())
            if not math.isfinite(W.sum().item()):
                raise ValueError(f"SGD diverged before step {step}: lower learning_rate (now {learning_rate})")
        if step % per_epoch == 0:
            order = torch.randperm(samples, generator=generator, device=data.device)
            shuffled = data.index_select(1, order)
        start = step % per_epoch * batch_size
        grad_W, grad_b = gradient(W, b, shuffled[:, start : start + batch_size])
        W.sub_(grad_W, alpha=learning_rate)
        b.sub_(grad_b, alpha=learning_rate)
    return Trajectory(torch.tensor(wanted), torch.stack(kept_W), torch.stack(kept_b))


def noisy_kgons(
    num_runs: int,
    num_features: int,
    *,
    k: int = 4,
    length: float = 1.0,
    noise: float = 0.01,
    bias_scale: float = 0.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> tuple[Float[Tensor, "runs hidden features"], Float[Tensor, "runs features"]]:
    r"""Initial parameters of many runs: a regular k-gon on the first k columns, turned at random, plus noise.

    Args:
        num_runs: how many.
        num_features: $c \ge k$.
        k: vertices.
        length: of the k columns; the other columns start at zero.
        noise: standard deviation of the normal noise added to all weights.
        bias_scale: standard deviation of the biases, normal around 0.
        seed: of the generator made here.
        dtype: of the result.

    Raises:
        ValueError: if `num_features < k`.

    Reference: Chen et al. (2023), section 5.
    """
    if num_features < k:
        raise ValueError(f"a {k}-gon needs at least {k} features, got {num_features}")
    generator = torch.Generator().manual_seed(seed)
    turn = 2 * math.pi * torch.rand(num_runs, 1, generator=generator, dtype=dtype)
    angle = turn + 2 * math.pi / k * torch.arange(k, dtype=dtype)
    W = noise * torch.randn(num_runs, 2, num_features, generator=generator, dtype=dtype)
    W[:, :, :k] += length * torch.stack((angle.cos(), angle.sin()), dim=1)
    return W, bias_scale * torch.randn(num_runs, num_features, generator=generator, dtype=dtype)


def disturbed_kgons(
    num_runs: int,
    num_features: int,
    *,
    k: int = 5,
    spare_length: float = 0.0,
    spare_bias: float = 0.0,
    spare_bias_scale: float = 0.0,
    noise: float = 0.01,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> tuple[Float[Tensor, "runs hidden features"], Float[Tensor, "runs features"]]:
    r"""Initial parameters at the critical k-gon, turned at random, with a choice for the columns outside of it.

    Args:
        num_runs: how many.
        num_features: $c > k$.
        k: vertices, with the length and the bias of `kgon_length_and_bias`.
        spare_length: of each other column, in a random direction.
        spare_bias, spare_bias_scale: mean and standard deviation of the other biases.
        noise: standard deviation of the normal noise added to all weights.
        seed: of the generator made here.
        dtype: of the result.

    Raises:
        ValueError: if `num_features <= k`, or there is no such k-gon.
    """
    if num_features <= k:
        raise ValueError(f"no column is left outside a {k}-gon of {num_features} features: take more features")
    generator = torch.Generator().manual_seed(seed)
    length, bias = kgon_length_and_bias(k)
    turn, spare = torch.rand(2, num_runs, num_features, generator=generator, dtype=dtype) * 2 * math.pi
    angle = torch.cat([turn[:, :1] + 2 * math.pi / k * torch.arange(k, dtype=dtype), spare[:, k:]], dim=1)
    lengths = torch.tensor([length] * k + [spare_length] * (num_features - k), dtype=dtype)
    W = lengths * torch.stack((angle.cos(), angle.sin()), dim=1)
    W = W + noise * torch.randn(W.shape, generator=generator, dtype=dtype)
    b = torch.full((num_runs, num_features), bias, dtype=dtype)
    spread = torch.randn(num_runs, num_features - k, generator=generator, dtype=dtype)
    b[:, k:] = spare_bias + spare_bias_scale * spread
    return W, b


def pad_features(
    W: Float[Tensor, "runs hidden features"],
    b: Float[Tensor, "runs features"],
    data: Float[Tensor, "runs samples features"],
    num_features: int,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Append features that never occur (zero columns, bias -1, zero inputs): their gradient is exactly 0.

    Runs with different numbers of features can so be stacked into one `train`; drop the padding before using losses.

    Raises:
        ValueError: if there are already more than `num_features` features.
    """
    extra = num_features - b.shape[-1]
    if extra < 0:
        raise ValueError(f"cannot pad {b.shape[-1]} features to {num_features}")
    pad = torch.nn.functional.pad
    return pad(W, (0, extra)), pad(b, (0, extra), value=-1.0), pad(data, (0, extra))


def starts_of_kinds(
    kinds: Sequence[tuple[int, float, int]], num_samples: int, *, length: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, dict[tuple[int, float], slice]]:
    """Noisy 4-gons with data of their own for several kinds of run, padded to one number of features, for one `train`.

    Args:
        kinds: numbers of features, standard deviation of the initial biases, and number of runs of each kind.
        num_samples: of each run's data set.
        length: of the four columns.
        seed: kind number i has its start from 1000 seed + i and its data from 1000 seed + 500 + i.

    Returns:
        $W$, $b$ and data of all runs, and the runs of each kind, by features and standard deviation.
    """
    starts, runs_of, position = [], {}, 0
    for index, (features, scale, runs) in enumerate(kinds):
        W, b = noisy_kgons(runs, features, length=length, bias_scale=scale, seed=1000 * seed + index)
        data = one_hot_data(num_samples, features, num_sets=runs, seed=1000 * seed + 500 + index)
        starts.append(pad_features(W, b, data, max(count for count, _, _ in kinds)))
        runs_of[features, scale] = slice(position, position + runs)
        position += runs
    W, b, data = (torch.cat(parts) for parts in zip(*starts, strict=True))
    return W, b, data, runs_of
