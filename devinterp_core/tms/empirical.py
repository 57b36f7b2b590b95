r"""The exact loss of a data set at thousands of parameters at once, at a cost that hardly depends on its size.

For the input $\mu e_j$ the pre-activation of output $i$ is $a_{ij}\mu + b_i$ with $a_{ij} = W_i \cdot W_j$, so the sum
over the samples of feature $j$ of any quadratic in the output needs only $\sum 1$, $\sum\mu$ and $\sum\mu^2$ over the
samples beyond the threshold $-b_i / a_{ij}$: three cumulative sums over sorted sizes, read off at one position.
"""

import torch
from jaxtyping import Float
from torch import Tensor


class EmpiricalLoss:
    r"""$L_n(W, b) = \frac1n \sum_x \lVert x - \mathrm{ReLU}(W^\top W x + b) \rVert^2$ of a data set of one-hot inputs.

    With $T_0, T_1, T_2$ the sums of $1, \mu, \mu^2$ over the samples of feature $j$ that turn output $i$ on,

    $$n L_n = \sum_x \lVert x \rVert^2 + \sum_{ij} \left( T_2 a_{ij}^2 + 2 T_1 a_{ij} b_i + T_0 b_i^2 \right)
      - 2 \sum_i \left( T_2 a_{ii} + T_1 b_i \right).$$

    An output is 0 at its threshold, so $L_n$ has a continuous gradient and the thresholds may be held fixed in it.

    Args:
        data: inputs $x = \mu e_i$, at most one non-zero entry a row, none negative.

    Raises:
        ValueError: if there are no samples, a row is not of that form, or the data are not float32 or float64.

    Reference: the model and data of Chen et al. (2023), section 3; the sums are elementary.
    """

    def __init__(self, data: Float[Tensor, "samples features"]):
        if data.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"data must be float32 or float64, for sums over all samples, got {data.dtype}")
        if len(data) == 0 or ((data != 0).sum(1) > 1).any() or not (data.isfinite() & (data >= 0)).all():
            raise ValueError("data must have samples, each with at most one non-zero entry, finite and not negative")
        self.num_samples, features = data.shape
        # A sample belongs to its one feature (an all-zero one to the first); elsewhere it is sorted last and counts 0.
        first = torch.arange(features, device=data.device) == 0
        present = (data != 0) | ((data == 0).all(1, keepdim=True) & first)
        most = int(present.sum(0).max())
        sizes = torch.where(present, data.double(), torch.inf).sort(0).values[:most].T.contiguous()
        counted = sizes.isfinite().double()
        powers = torch.stack((counted, sizes.nan_to_num(posinf=0), sizes.nan_to_num(posinf=0) ** 2), 2)
        sums = torch.nn.functional.pad(powers.cumsum(1), (0, 0, 1, 0))  # [feature, number of samples below, power]
        self.sizes = sizes.to(data.dtype)
        # of 1, mu and mu^2, each [feature, number of samples below]
        self.sums = tuple(part.contiguous() for part in sums.to(data.dtype).unbind(2))
        self.square = sums[:, -1, 2].sum().item()
        self.ceiling = 2 * data.max().item() + 1  # a finite number above every sample

    def __call__(
        self, W: Float[Tensor, "batch hidden features"], b: Float[Tensor, "batch features"]
    ) -> Float[Tensor, "batch"]:
        """The loss at each parameter of the batch, differentiable once."""
        overlap = (W.mT @ W).transpose(0, 1).contiguous()  # symmetric: [input j, batch, output i]
        return (self.square + _Excess.apply(overlap, b, self)) / self.num_samples

    def samples_on(self, overlap: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """$T_0, T_1, T_2$ of each input and output, `[input, batch, output]`."""
        tiny = torch.finfo(overlap.dtype).tiny
        threshold = (-b / torch.where(overlap == 0, tiny, overlap)).clamp(-1, self.ceiling)
        below = torch.searchsorted(self.sizes, threshold.view(len(overlap), -1))
        rising = overlap >= 0
        under = (sums.gather(1, below).view(overlap.shape) for sums in self.sums)
        totals = (sums[:, -1, None, None] for sums in self.sums)
        return tuple(torch.where(rising, total - part, part) for total, part in zip(totals, under, strict=True))


class _Excess(torch.autograd.Function):
    r"""$n L_n$ without $\sum \lVert x \rVert^2$; in its gradient, written by hand, the thresholds are held fixed."""

    @staticmethod
    def forward(ctx, overlap: Tensor, b: Tensor, data: EmpiricalLoss) -> Tensor:
        t0, t1, t2 = data.samples_on(overlap, b)
        by_overlap, by_bias = t2 * overlap + t1 * b, t1 * overlap + t0 * b  # half the derivatives of the squares
        own, own_bias = (t.diagonal(dim1=0, dim2=2) for t in (by_overlap, t1))  # [batch, feature]
        value = (by_overlap * overlap + by_bias * b).sum((0, 2)) - 2 * own.sum(1)
        by_overlap.diagonal(dim1=0, dim2=2).sub_(t2.diagonal(dim1=0, dim2=2))
        ctx.save_for_backward(by_overlap, by_bias.sum(0) - own_bias)
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        by_overlap, by_bias = ctx.saved_tensors
        return 2 * slope[:, None] * by_overlap, 2 * slope[:, None] * by_bias, None
