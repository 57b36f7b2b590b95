"""Optimisers of many models at once: every tensor has a leading model dimension, and no model sees another."""

import torch
from jaxtyping import Float
from torch import Tensor

from .settings import TrainingSettings

# Quintic Newton-Schulz iteration of Muon (Jordan et al., 2024): steep at 0, so that five iterations are enough.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalize(matrices: Float[Tensor, "*batch rows columns"]) -> Float[Tensor, "*batch rows columns"]:
    r"""Roughly $U V^\top$ of each matrix $U S V^\top$; singular values end between about 0.7 and 1.2.

    Five steps of $X \leftarrow a X + (b\, A + c\, A^2) X$, $A = X X^\top$, from $X = G / \lVert G \rVert$.

    Reference: Jordan et al. (2024), Muon.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Optimizer:
    r"""AdamW or Muon on `[model, coordinate]` parameters, advanced in place.

    AdamW (Loshchilov & Hutter 2019) is PyTorch's fused kernel, one tensor for all models. Muon (Jordan et al. 2024)
    orthogonalises the momentum of each matrix inside the network, $W \leftarrow W - \eta \sqrt{\max(1, r/c)}\, O$, each
    head's own matrix for attention weights; embeddings, unembedding, biases and LayerNorms get AdamW.

    Args:
        w: parameters of all models.
        segments: name, first and last coordinate, and shape of each parameter that is trained.
        settings: of the run.
    """

    def __init__(self, w: Tensor, segments: list[tuple[str, int, int, torch.Size]], settings: TrainingSettings):
        self.w, self.settings = w, settings
        self.matrices = [s for s in segments if settings.optimizer == "muon" and is_matrix(s[0], s[3])]
        inside = {name for name, *_ in self.matrices}
        rest = [(a, b) for name, a, b, _ in segments if name not in inside]
        # AdamW alone, on all of w, takes one tensor; otherwise its coordinates are a copy, written back after a step.
        coordinates = [torch.arange(0), *(torch.arange(a, b) for a, b in rest)]  # none at all where all are matrices
        whole = sum(b - a for a, b in rest) == w.shape[1]
        self.rest = None if whole else torch.cat(coordinates).to(w.device)
        self.adam_w = w if self.rest is None else w[:, self.rest].contiguous()
        self.adam = torch.optim.AdamW(
            [self.adam_w], lr=settings.learning_rate, betas=settings.betas, eps=settings.eps,
            weight_decay=settings.weight_decay, fused=True,
        )  # fmt: skip
        self.momentum = {name: torch.zeros_like(w[:, a:b]) for name, a, b, _ in self.matrices}

    def step(self, gradient: Float[Tensor, "model coordinate"], step: int) -> None:
        """One step from `step` to `step + 1`; overwrites `gradient`."""
        limit, scale = self.settings.max_gradient_norm, self.settings.scale(step)
        if limit is not None:
            gradient.mul_((limit / gradient.norm(dim=1, keepdim=True).clamp_min(1e-30)).clamp_max(1.0))
        for group in self.adam.param_groups:
            group["lr"] = self.settings.learning_rate * scale
        self.adam_w.grad = gradient if self.rest is None else gradient[:, self.rest]
        self.adam.step()
        self.adam_w.grad = None
        if self.rest is not None:
            self.w[:, self.rest] = self.adam_w
            self._muon(gradient, scale * (self.settings.matrix_learning_rate or self.settings.learning_rate))

    def _muon(self, gradient: Tensor, rate: float) -> None:
        for name, a, b, shape in self.matrices:
            own, momentum = gradient[:, a:b], self.momentum[name]
            momentum.lerp_(own, 1 - self.settings.momentum)
            update = own.lerp(momentum, self.settings.momentum)  # Nesterov
            update = orthogonalize(update.view(len(update), *shape)).reshape(len(update), -1)
            size = max(1.0, shape[-2] / shape[-1]) ** 0.5
            self.w[:, a:b].mul_(1 - rate * self.settings.weight_decay).add_(update, alpha=-rate * size)

    def state(self) -> dict[str, Tensor]:
        """Everything but the parameters that the next step depends on."""
        adam = self.adam.state.get(self.adam_w, {})
        return {f"adam.{k}": v for k, v in adam.items()} | {f"muon.{k}": v for k, v in self.momentum.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue where `state` was taken; `w` has been restored before."""
        if self.rest is not None:
            self.adam_w.copy_(self.w[:, self.rest])
        adam = {k.removeprefix("adam."): v for k, v in state.items() if k.startswith("adam.")}
        device = self.w.device
        if adam:
            self.adam.state[self.adam_w] = {k: v.clone().to(device) for k, v in adam.items()}
        for name in self.momentum:
            self.momentum[name].copy_(state[f"muon.{name}"])


def is_matrix(name: str, shape: torch.Size) -> bool:
    """Whether Muon takes this parameter: a weight with two dimensions or more, not an embedding or the unembedding.

    A bias may have two dimensions as well, one row a head: `b_Q`.
    """
    is_bias = name.rsplit(".", 1)[-1].startswith(("b_", "bias"))
    return len(shape) >= 2 and not is_bias and not any(part in name for part in ("embed", "W_E", "W_U", "W_pos"))
