"""Causal basis extraction: the directions that a lens depends on most, and whether the model depends on them too."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.stats import spearmanr
from torch import Tensor

from .lenses import LogitLens
from .model import LensModel


@dataclass(frozen=True)
class CausalBasis:
    r"""Orthonormal directions and what each is worth.

    Attributes:
        directions: $v_k$, one a row, by falling influence.
        influence: $\sigma(v_k)$ on the lens, in nats per token.
    """

    directions: Float[Tensor, "direction d_model"]
    influence: Float[Tensor, " direction"]


def mean_ablate(
    hidden: Float[Tensor, "*batch d_model"], mean: Float[Tensor, " d_model"], direction: Float[Tensor, " d_model"]
) -> Float[Tensor, "*batch d_model"]:
    r"""$r(h, v) = h + v v^\top (\bar h - h)$: what $h$ says along the unit vector $v$ replaced by its mean."""
    return hidden + ((mean - hidden) @ direction)[..., None] * direction


def lens_influence(
    lens: LogitLens,
    hidden: Float[Tensor, "n d_model"],
    layer: int,
    directions: Float[Tensor, "direction d_model"],
) -> Float[Tensor, " direction"]:
    r"""$\sigma(v) = \mathbb{E}_h\,\mathrm{KL}(f(h) \,\|\, f(r(h, v)))$ on the lens, in nats, for each direction."""
    return lens_influences(lens, hidden, layer, directions, hidden.mean(0)).mean(1)


@torch.no_grad()
def lens_influences(
    lens: LogitLens,
    hidden: Float[Tensor, "n d_model"],
    layer: int,
    directions: Float[Tensor, "direction d_model"],
    mean: Float[Tensor, " d_model"],
) -> Float[Tensor, "direction n"]:
    r"""The same of every state, $\mathrm{KL}(f(h) \,\|\, f(r(h, v)))$, with the mean that replaces given."""
    loss = _Influence(lens, hidden, layer)
    return torch.stack([loss.each(mean_ablate(hidden, mean, v)) for v in directions])


def causal_basis(
    lens: LogitLens,
    hidden: Float[Tensor, "n d_model"],
    layer: int,
    num_directions: int,
    *,
    max_iterations: int = 100,
) -> CausalBasis:
    r"""$v_k = \arg\max \sigma(v)$ over unit vectors orthogonal to $v_1, \dots, v_{k-1}$.

    L-BFGS with strong-Wolfe line search on the unit sphere of the orthogonal complement, from the right singular
    vectors of the linear map $W_U (I + W_l)$ that the lens is but for its norm; sorted by $\sigma$ at the end.

    Args:
        lens: logit or tuned.
        hidden: states of the layer, of tokens that are not alike: $\sigma$ is their mean.
        layer: which.
        num_directions: $k$.
        max_iterations: of L-BFGS for a direction.

    Raises:
        ValueError: more directions than dimensions, fewer than two states, or no such layer.

    Reference: Belrose et al. (2023), section 4.1.
    """
    width = hidden.shape[-1]
    if not 1 <= num_directions <= width or len(hidden) < 2:
        raise ValueError(f"need 1 to {width} directions and two states or more, got {num_directions} and {len(hidden)}")
    hidden = hidden.detach()
    loss, mean = _Influence(lens, hidden, layer), hidden.mean(0)
    starts, found, values = _singular_directions(lens, layer), hidden.new_zeros(0, width), []
    for k in range(num_directions):
        start = starts[k] - found.T @ (found @ starts[k])
        if start.norm() < 1e-3:  # the other directions span it: take the coordinate that they reach least
            start = torch.eye(width, dtype=hidden.dtype, device=hidden.device)[found.square().sum(0).argmin()]
        raw = (start - found.T @ (found @ start)).clone().requires_grad_()
        with torch.no_grad():
            raw /= raw.norm()
        search = torch.optim.LBFGS([raw], max_iter=max_iterations, line_search_fn="strong_wolfe",
                                   tolerance_change=1e-9)  # fmt: skip

        def closure(raw=raw, found=found) -> Tensor:
            with torch.enable_grad():
                value = -loss(mean_ablate(hidden, mean, _unit(raw, found)))
            (raw.grad,) = torch.autograd.grad(value, raw)  # of nothing else: lens and model keep theirs
            return value

        search.step(closure)
        direction = _unit(raw.detach(), found)
        values.append(loss(mean_ablate(hidden, mean, direction)).detach())
        found = torch.cat([found, direction[None]])
    influence = torch.stack(values)
    order = influence.argsort(descending=True, stable=True)
    return CausalBasis(found[order], influence[order])


def random_basis(width: int, num_directions: int, seed: int) -> Float[Tensor, "direction d_model"]:
    """Uniformly random orthonormal directions: the control.

    Raises:
        ValueError: more directions than dimensions.
    """
    if not 1 <= num_directions <= width:
        raise ValueError(f"need 1 to {width} directions, got {num_directions}")
    drawn = torch.randn(width, num_directions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(drawn)
    return (q * r.diagonal().sign()).T.float().contiguous()


def model_influence(
    model: LensModel,
    tokens: Int[Tensor, "batch position"],
    layer: int,
    directions: Float[Tensor, "direction d_model"],
    mean: Float[Tensor, " d_model"],
    *,
    skip: int = 0,
) -> Float[Tensor, " direction"]:
    r"""Mean $\mathrm{KL}(\text{clean} \,\|\, \text{ablated})$ of the model's own predictions, in nats per token.

    Args:
        model: the model.
        tokens: sequences.
        layer: whose state is ablated, at every position but the skipped ones.
        directions: unit vectors, ablated one at a time.
        mean: of the hidden states of that layer.
        skip: positions at the beginning of each sequence that are left as they are and do not count.

    Raises:
        ValueError: as `model_influences`.
    """
    return model_influences(model, tokens, layer, directions, mean, skip=skip).mean((1, 2))


@torch.no_grad()
def model_influences(
    model: LensModel,
    tokens: Int[Tensor, "batch position"],
    layer: int,
    directions: Float[Tensor, "direction d_model"],
    mean: Float[Tensor, " d_model"],
    *,
    skip: int = 0,
) -> Float[Tensor, "direction batch kept"]:
    """The same at every position but the skipped ones.

    Raises:
        ValueError: sequences with no position left, bad tokens or layer, or a model whose states cannot be replaced.
    """
    if not 0 <= skip < tokens.shape[-1]:
        raise ValueError(f"sequences of {tokens.shape[-1]} tokens have none left after skipping {skip}")
    readout, chunk = model.readout, model.readout.chunk_size()
    clean = model.hidden_states(tokens)[-1][:, skip:].flatten(0, 1)
    teachers = [readout.teacher(part) for part in clean.split(chunk)]
    total = []
    for direction in directions:
        treat = lambda h, v=direction: torch.cat([h[:, :skip], mean_ablate(h[:, skip:], mean, v)], dim=1)
        ablated = model.hidden_states(tokens, {layer: treat})[-1][:, skip:]
        parts = zip(ablated.flatten(0, 1).split(chunk), teachers)
        total.append(torch.cat([readout.divergence(part, teacher) for part, teacher in parts]))
    return torch.stack(total).view(len(directions), len(tokens), -1)


def causal_fidelity(lens: Float[Tensor, " direction"], model: Float[Tensor, " direction"]) -> float:
    """Spearman correlation of the directions' influence on the lens with that on the model.

    Raises:
        ValueError: fewer than three directions.

    Reference: Belrose et al. (2023), section 4.2.
    """
    if len(lens) < 3:
        raise ValueError(f"a rank correlation needs three directions or more, got {len(lens)}")
    return float(spearmanr(lens.cpu().numpy(), model.cpu().numpy()).statistic)


class _Influence:
    """Mean divergence of the lens at other states from the lens at the given ones; differentiable."""

    def __init__(self, lens: LogitLens, hidden: Tensor, layer: int):
        self.lens, self.layer, self.chunk = lens, layer, lens.model.readout.chunk_size()
        with torch.no_grad():
            self.teachers = [lens.model.readout.teacher(part) for part in self._translated(hidden)]

    def __call__(self, hidden: Tensor) -> Tensor:
        return self.each(hidden).mean()

    def each(self, hidden: Tensor) -> Tensor:
        """Divergence at every state."""
        parts = zip(self._translated(hidden), self.teachers, strict=True)
        return torch.cat([self.lens.model.readout.divergence(part, teacher) for part, teacher in parts])

    def _translated(self, hidden: Tensor) -> tuple[Tensor, ...]:
        return self.lens.transform(hidden, self.layer).split(self.chunk)


def _unit(raw: Tensor, found: Tensor) -> Tensor:
    """On the unit sphere, orthogonal to what was found."""
    raw = raw - found.T @ (found @ raw)
    raw = raw - found.T @ (found @ raw)  # twice is enough for orthogonality to rounding
    return raw / raw.norm()


@torch.no_grad()
def _singular_directions(lens: LogitLens, layer: int) -> Tensor:
    """Right singular vectors of the lens without its norm, largest first."""
    width, like = lens.model.d_model, lens.model.readout.weight
    identity = torch.eye(width, dtype=like.dtype, device=like.device)
    zero = torch.zeros(width, dtype=like.dtype, device=like.device)
    linear = lens.transform(identity, layer) - lens.transform(zero, layer)  # rows are images of the coordinates
    if like.shape[1] != width:  # a projection stands before the unembedding: start from the translator alone
        return torch.linalg.svd(linear)[0].T
    values, vectors = torch.linalg.eigh(linear @ (like.T @ like) @ linear.T)
    return vectors.flip(1).T
