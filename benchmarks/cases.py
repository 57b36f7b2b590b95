"""The problems that every sampler is timed on: models, data and losses in plain PyTorch.

Imported by the interpreter of each library, so it may use nothing but torch: the same seeds give the same weights and
data everywhere, and `fingerprint` proves it.
"""

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class ToyModel(nn.Module):
    r"""Toy model of superposition, $f(x) = \mathrm{ReLU}(W^\top W x + b)$, at a regular polygon."""

    def __init__(self, num_features: int, num_hidden: int):
        super().__init__()
        angles = torch.arange(num_features) * (2 * math.pi / num_features)
        self.W = nn.Parameter(torch.stack([angles.cos(), angles.sin()])[:num_hidden] * 1.2)
        self.b = nn.Parameter(torch.full((num_features,), -0.3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.W.T @ self.W + self.b)


class DeepLinear(nn.Module):
    """Deep linear network without biases."""

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairs)
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Decoder(nn.Module):
    """A small causal transformer that returns logits `[batch, position, token]`."""

    def __init__(self, vocabulary: int, width: int, heads: int, layers: int, context: int):
        super().__init__()
        self.heads = heads
        self.embed = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.randn(context, width) * 0.02)
        self.attention = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(layers))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(layers))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(layers))
        self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers + 1))
        self.unembed = nn.Linear(width, vocabulary, bias=False)
        self.register_buffer("hidden", torch.ones(context, context, dtype=torch.bool).triu(1), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, length = tokens.shape
        x = self.embed(tokens) + self.position[:length]
        for i in range(len(self.attention)):
            q, k, v = self.attention[i](self.norm[2 * i](x)).view(batch, length, 3, self.heads, -1).unbind(2)
            q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # [batch, head, position, width of a head]
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            pattern = scores.masked_fill(self.hidden[:length, :length], -1e9).softmax(-1)
            x = x + self.out[i]((pattern @ v).transpose(1, 2).reshape(batch, length, -1))
            x = x + self.down[i](torch.relu(self.up[i](self.norm[2 * i + 1](x))))
        return self.unembed(self.norm[-1](x))


def reconstruction_loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Squared error of each sample's reconstruction, `[batch]`."""
    return (model(batch[0]) - batch[0]).square().sum(-1)


def regression_loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Mean squared error of each sample over its outputs, `[batch]`."""
    return (model(batch[0]) - batch[1]).square().mean(-1)


def token_losses(model: nn.Module, tokens: Tensor) -> Tensor:
    """Cross entropy of every next token, `[batch, position - 1]`."""
    log_probabilities = model(tokens).log_softmax(-1)[:, :-1]
    return -log_probabilities.gather(-1, tokens[:, 1:, None])[..., 0]


def language_loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Mean over positions of `token_losses`, `[batch]`."""
    return token_losses(model, batch[0]).mean(-1)


@dataclass(frozen=True)
class Case:
    """One row of the benchmark.

    Attributes:
        label: what the reader sees.
        kind: `toy`, `linear` or `language`.
        widths: layer widths (`linear`).
        num_chains, num_steps: chains, and steps of each in one timed call; every step is recorded as a draw.
        batch_size: samples a step and chain.
        step_size: small enough to stay near the centre, the same for every library.
        floor: ratio of time per chain-step that the project promised.
        against: which library the ratio is taken against.
    """

    label: str
    kind: str
    num_chains: int
    num_steps: int
    step_size: float
    floor: float | None
    widths: tuple[int, ...] = ()
    batch_size: int = 256
    num_samples: int = 4096
    against: str = "devinterp-1.3.2"

    @property
    def n_beta(self) -> float:
        return self.num_samples / math.log(self.num_samples)


SHORT = 3  # chain-steps of the call whose time is taken off: what is left is steps alone
CASES = {
    "tms": Case("TMS, 2 hidden, 6 features", "toy", 10, 300, 1e-4, 15.0),
    "dln-900": Case("DLN 20-16-16-20", "linear", 10, 300, 1e-4, 15.0, (20, 16, 16, 20)),
    "dln-12k": Case("DLN 64-64-64-64", "linear", 10, 80, 1e-4, 5.0, (64, 64, 64, 64)),
    "dln-97k": Case("DLN 180-180-180-180", "linear", 4, 60, 1e-5, 2.5, (180, 180, 180, 180)),
    "dln-1m": Case("DLN 580-580-580-580", "linear", 4, 16, 1e-5, 2.0, (580, 580, 580, 580)),
    "decoder": Case(
        "Decoder, 2 layers", "language", 4, 20, 1e-6, None, batch_size=32, num_samples=512, against="devinterp-2.0.1"
    ),
}


def build(case: Case) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Model and data of a case, from fixed seeds."""
    torch.manual_seed(0)
    n = case.num_samples
    if case.kind == "toy":
        x = torch.zeros(n, 6).scatter_(1, torch.randint(6, (n, 1)), torch.rand(n, 1))
        model = ToyModel(6, 2)
        _descend(model, (x,))
        return model, (x,)
    if case.kind == "linear":
        model = DeepLinear(case.widths)
        x = torch.randn(n, case.widths[0])
        with torch.no_grad():
            return model, (x, model(x) + torch.randn(n, case.widths[-1]))
    return Decoder(vocabulary=64, width=64, heads=4, layers=2, context=33), (torch.randint(64, (n, 33)),)


def _descend(model: nn.Module, data: tuple[Tensor, ...]) -> None:
    """Full-batch descent to the minimum near the polygon, so that the chains start where a user would start them."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        optimiser.zero_grad()
        reconstruction_loss(model, data).mean().backward()
        optimiser.step()
    model.zero_grad()


def loss_of(case: Case):
    """The per-sample loss of a case."""
    return {"toy": reconstruction_loss, "linear": regression_loss, "language": language_loss}[case.kind]


def fingerprint(model: nn.Module, data: tuple[Tensor, ...]) -> str:
    """Hash of weights and data, to show that two interpreters hold the same problem."""
    digest = hashlib.sha256()
    for tensor in (*model.state_dict().values(), *data):
        digest.update(tensor.detach().numpy().tobytes())
    return digest.hexdigest()[:16]
