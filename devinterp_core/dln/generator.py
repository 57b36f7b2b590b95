"""Random true networks in the size classes of Furman and Lau (2024)."""

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from devinterp_core.dln.formula import learning_coefficient
from devinterp_core.dln.network import DeepLinearNetwork

# Standard deviation of a standard normal truncated to [-2, 2]: the Haiku default initialisation the paper starts from.
TRUNCATED_NORMAL_STD = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))


@dataclass(frozen=True)
class NetworkClass:
    """A size class of random networks with the paper's settings; all upper ends are exclusive, as in its generator."""

    name: str
    min_width: int
    max_width: int
    min_layers: int
    max_layers: int
    num_samples: int  # n, which sets n_beta = n / log n
    step_size: float  # of the paper's SGLD
    num_steps: int  # of the paper's SGLD; the last tenth is averaged


# Furman and Lau (2024): names as in the paper, numbers as in the directory names of its result files.
CLASSES = {
    entry.name: entry
    for entry in (
        NetworkClass("1K", 5, 50, 2, 5, 10**5, 5e-7, 10_000),
        NetworkClass("10K", 5, 100, 2, 10, 10**5, 5e-7, 10_000),
        NetworkClass("100K", 50, 500, 2, 10, 10**6, 1e-7, 50_000),
        NetworkClass("1M", 100, 1000, 2, 20, 10**6, 2e-8, 50_000),
        NetworkClass("10M", 500, 2000, 2, 20, 10**6, 2e-8, 50_000),
        NetworkClass("100M", 500, 3000, 2, 40, 10**6, 2e-8, 50_000),
    )
}


@dataclass(frozen=True)
class Architecture:
    """Widths and layer ranks of a true network, from which the exact answer follows before any weight is drawn."""

    widths: tuple[int, ...]
    layer_ranks: tuple[int, ...]

    @property
    def rank(self) -> int:
        r"""Rank of the product: random matrices of ranks $r_l$ multiply to rank $\min_l r_l$ with probability 1."""
        return min(self.layer_ranks)

    @property
    def num_parameters(self) -> int:
        return sum(below * above for below, above in zip(self.widths, self.widths[1:]))

    @property
    def truth(self) -> tuple[Fraction, int]:
        """Learning coefficient and multiplicity."""
        return learning_coefficient(self.widths, self.rank)


def random_architecture(size: NetworkClass, *, seed: int, reduce_probability: float = 0.5) -> Architecture:
    """Random depth, widths and layer ranks of a size class.

    Depth and widths are uniform over the class. Each layer, with `reduce_probability`, loses a number of ranks that is
    uniform from 0 to its full rank minus 1.

    Reference: Furman and Lau (2024), method `rand_rank` of their published generator.

    Example:
        >>> random_architecture(CLASSES["1K"], seed=0).widths
        (14, 43, 20, 48, 29)
    """
    generator = torch.Generator().manual_seed(seed)

    def integer(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    num_layers = integer(size.min_layers, size.max_layers)
    widths = tuple(integer(size.min_width, size.max_width) for _ in range(num_layers + 1))
    ranks = []
    for full_rank in map(min, widths, widths[1:]):
        reduced = float(torch.rand((), generator=generator)) < reduce_probability
        ranks.append(full_rank - integer(0, full_rank) if reduced else full_rank)
    return Architecture(widths, tuple(ranks))


def random_network(architecture: Architecture, *, seed: int, dtype: torch.dtype = torch.float32) -> DeepLinearNetwork:
    r"""A true network of given widths and layer ranks.

    Weights are truncated normal with standard deviation $0.88 / \sqrt{\text{fan-in}}$; the smallest singular values of
    a layer of reduced rank are then set to zero.

    Args:
        architecture: widths and ranks, from `random_architecture` or by hand.
        seed: of the network's own generator; the global random state is not touched.
        dtype: of the weights; ranks are reduced in this precision.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = []
    for fan_in, fan_out, rank in zip(architecture.widths, architecture.widths[1:], architecture.layer_ranks):
        weight = torch.empty(fan_out, fan_in, dtype=dtype)
        std = fan_in**-0.5
        nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        if rank < min(weight.shape):
            left, values, right = torch.linalg.svd(weight, full_matrices=False)
            weight = (left[:, :rank] * values[:rank]) @ right[:rank]
        weights.append(weight)
    return DeepLinearNetwork(weights)
