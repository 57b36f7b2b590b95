r"""Deep linear networks $x \mapsto W_L \cdots W_1 x$, their loss, and the data they are asked to reproduce."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

INPUT_BOUND = 10.0  # inputs are uniform on [-10, 10]^d (Furman and Lau 2024)
INPUT_VARIANCE = INPUT_BOUND**2 / 3  # E[x x^T] = INPUT_VARIANCE * I


class DeepLinearNetwork(nn.Module):
    r"""$x \mapsto W_L \cdots W_1 x$ without biases; `layers[l]` is $W_{l+1}$, of shape (outputs, inputs)."""

    def __init__(self, weights: Sequence[Float[Tensor, "_ _"]]):
        super().__init__()
        for below, above in zip(weights, weights[1:]):
            if above.shape[1] != below.shape[0]:
                raise ValueError(f"layer shapes do not chain: {[tuple(weight.shape) for weight in weights]}")
        self.layers = nn.ParameterList(nn.Parameter(weight.detach()) for weight in weights)

    def forward(self, inputs: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        for weight in self.layers:
            inputs = inputs @ weight.mT
        return inputs

    @property
    def widths(self) -> tuple[int, ...]:
        """$(H_0, \\ldots, H_L)$ from input to output."""
        return (self.layers[0].shape[1], *(weight.shape[0] for weight in self.layers))

    @torch.no_grad()
    def product(self) -> Float[Tensor, "outputs inputs"]:
        r"""The map itself, $W_L \cdots W_1$."""
        product = self.layers[0]
        for weight in self.layers[1:]:
            product = weight @ product
        return product.clone()


def most_singular_network(inputs: int, hidden: int, outputs: int, rank: int) -> DeepLinearNetwork:
    r"""The two-layer network of rank $r$ whose layers are zero but for an identity of size $r$, in float64.

    It is the most singular true parameter of its map, so that its local learning coefficient is the global one,
    `reduced_rank_learning_coefficient`.

    Raises:
        ValueError: a rank that the sizes do not allow.

    Example:
        >>> network = most_singular_network(inputs=3, hidden=2, outputs=3, rank=1)
        >>> [tuple(weight.shape) for weight in network.parameters()]
        [(2, 3), (3, 2)]
    """
    if not 0 <= rank <= min(inputs, hidden, outputs):
        raise ValueError(f"rank {rank} is impossible for sizes {(inputs, hidden, outputs)}")
    identity = torch.diag((torch.arange(max(inputs, hidden, outputs)) < rank).double())
    return DeepLinearNetwork([identity[:hidden, :inputs], identity[:outputs, :hidden]])


def squared_error(
    model: nn.Module, batch: tuple[Float[Tensor, "batch inputs"], Float[Tensor, "batch outputs"]]
) -> Float[Tensor, " batch"]:
    """Per-sample loss of the paper: squared error, averaged over the outputs and not halved."""
    inputs, targets = batch
    return (model(inputs) - targets).square().mean(-1)


def uniform_data(
    model: DeepLinearNetwork, num_samples: int, *, seed: int
) -> tuple[Float[Tensor, "samples inputs"], Float[Tensor, "samples outputs"]]:
    """The paper's data set: inputs uniform on $[-10, 10]^d$, targets the network's own outputs, without noise.

    Example:
        >>> x, y = uniform_data(most_singular_network(3, 2, 3, rank=1), num_samples=10, seed=0)
        >>> x.shape, y.shape
        (torch.Size([10, 3]), torch.Size([10, 3]))
    """
    weight = model.layers[0]
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(num_samples, weight.shape[1], generator=generator, dtype=weight.dtype)
    inputs = ((2 * inputs - 1) * INPUT_BOUND).to(weight.device)
    with torch.no_grad():
        return inputs, model(inputs)


def population_data(
    model: DeepLinearNetwork,
) -> tuple[Float[Tensor, "inputs inputs"], Float[Tensor, "inputs outputs"]]:
    r"""A data set of only $d$ samples on which the mean loss *is* the population loss of `uniform_data`.

    The loss sees the inputs through their second moment alone, and $\frac1d \sum_i x_i x_i^\top = \frac{100}{3} I$
    for $x_i = \sqrt{100 d / 3}\, e_i$, so $K(w) = \frac{100}{3 H_L} \lVert W_L \cdots W_1 - W^* \rVert_F^2$ exactly.
    A chain on these data has no minibatch noise; the paper's $n$ then enters only through $n\beta$.
    """
    weight = model.layers[0]
    size = weight.shape[1]
    inputs = math.sqrt(INPUT_VARIANCE * size) * torch.eye(size, dtype=weight.dtype, device=weight.device)
    with torch.no_grad():
        return inputs, model(inputs)
