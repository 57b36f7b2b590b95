"""Standard normal numbers for the chains, with a state that can be saved and restored bit for bit."""

import torch
from torch import Tensor


class NormalSource:
    """A stream of exact standard normals and uniform indices on one device.

    Every random number of a run comes from here: an explicit seed, never the global state. Numbers are those of
    PyTorch's own generator (Mersenne Twister and the Box-Muller transform on the CPU, Philox on CUDA).
    """

    def __init__(self, seed: int, device: torch.device):
        self.generator = torch.Generator(device=device)
        self.generator.manual_seed(seed)

    def normal(self, shape: tuple[int, ...], dtype: torch.dtype, scale: float = 1.0) -> Tensor:
        """Independent N(0, scale^2) numbers, contiguous.

        PyTorch's float64 path is six times slower; float64 noise is therefore drawn in float32 (24-bit uniforms, tails
        to 5.77 standard deviations, a variance deficit of 5e-7) and widened.
        """
        out = torch.empty(shape, dtype=torch.float32, device=self.generator.device)
        return out.normal_(0.0, scale, generator=self.generator).to(dtype)

    def uniform(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """Independent U[0, 1) numbers."""
        return torch.rand(*shape, dtype=dtype, device=self.generator.device, generator=self.generator)

    def integers(self, high: int, shape: tuple[int, ...]) -> Tensor:
        """Independent uniform integers in [0, high), int64."""
        return torch.randint(high, shape, device=self.generator.device, generator=self.generator)

    def state(self) -> Tensor:
        """The generator's state, to be given to `restore`."""
        return self.generator.get_state()

    def restore(self, state: Tensor) -> None:
        """Continue the stream exactly where `state` was taken."""
        self.generator.set_state(state)
