r"""One update rule a class. All share the conventions of `devinterp_core.sampler`:

$U(w) = n\beta L_n(w) + \tfrac{\gamma}{2}\lVert w - w^*\rVert^2$ is the potential, $\epsilon$ the step size, $\xi$
standard normal. Every class has `state` (what a resumed run needs), `settle` (where the chains are, given an evaluation
at `w`), `move` (writes the next point to evaluate into `w`, all chains in place) and `variance_factor`, the known ratio
of its stationary variance to the exact one on a Gaussian.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .noise import NormalSource
from .target import Target

# Elementwise work goes in blocks that stay in a core's second-level cache.
BLOCK = 32_768


def blocks(w: Tensor, gradients: list[Tensor]) -> Iterator[tuple[slice, slice, Tensor]]:
    """Cut `[chain, coordinate]` into cache-sized pieces aligned with the gradient's column blocks.

    Yields:
        chains, coordinates, and the gradient there (writable). `gradients` is emptied on the way, its memory released.
    """
    num_chains, start = len(w), 0
    while gradients:
        gradient = gradients.pop(0)
        size = gradient.shape[1]
        if num_chains * size <= 2 * BLOCK:
            yield slice(None), slice(start, start + size), gradient
        else:
            for c in range(num_chains):
                for a in range(0, size, BLOCK):
                    b = min(a + BLOCK, size)
                    yield slice(c, c + 1), slice(start + a, start + b), gradient[c : c + 1, a:b]
        start += size


def joined(gradients: list[Tensor]) -> Tensor:
    """The gradient as one writable `[chain, coordinate]` tensor; empties the list."""
    gradient = gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=1)
    gradients.clear()
    return gradient


class Method:
    """What the update rules share: the target's constants and the gradient of the potential."""

    full_batch = False  # whether the method is only right with the loss on all data
    copies = 2  # tensors of the size of the chains' parameters, for the memory budget

    def __init__(self, target: Target, w: Tensor, noise: NormalSource, step_size: float, num_burnin: int):
        self.target, self.noise, self.step_size, self.num_burnin = target, noise, step_size, num_burnin
        self.centre = target.centre[None]
        self.mask = None if target.mask is None else target.mask.to(w.dtype)[None]
        self.state: dict[str, Any] = {}

    def settle(self, w: Tensor, losses: Tensor, gradients: list[Tensor], step: int) -> tuple[Tensor, Tensor]:
        """The chains' positions after `step` steps and their per-sample losses."""
        return w, losses

    def move(self, w: Tensor, gradients: list[Tensor], step: int) -> None:
        """Advance `w` in place by one step; consumes `gradients`."""
        raise LookupError("a method defines its own move")

    def masked_(self, tensor: Tensor, coordinates: slice) -> Tensor:
        return tensor if self.mask is None else tensor.mul_(self.mask[:, coordinates])

    def potential_gradient_(self, gradient: Tensor, w: Tensor, coordinates: slice = slice(None)) -> Tensor:
        r"""$\nabla U = n\beta\,\nabla L + \gamma\,(w - w^*)$, on the mask; overwrites `gradient`."""
        gradient.mul_(self.target.n_beta)
        if self.target.localization:
            gradient.add_(w - self.centre[:, coordinates], alpha=self.target.localization)
        return self.masked_(gradient, coordinates)

    def normal_like(self, tensor: Tensor, scale: float = 1.0, coordinates: slice = slice(None)) -> Tensor:
        return self.masked_(self.noise.normal(tensor.shape, tensor.dtype, scale), coordinates)

    def distance_and_virial(self, w: Tensor, gradients: list[Tensor]) -> Tensor:
        r"""$\lVert w - w^*\rVert^2$ and $(w - w^*) \cdot \nabla U(w)$, `[2, chain]`; leaves `gradients` as they are."""
        if len(gradients) == 1:
            offset = w - self.centre
            squared, product = torch.linalg.vecdot(offset, offset), torch.linalg.vecdot(offset, gradients[0])
        else:  # large: one row at a time, by the dot product of the BLAS
            squared, product = torch.empty(2, len(w), dtype=w.dtype, device=w.device)
            for c in range(len(w)):
                offset = w[c] - self.centre[0]
                squared[c] = torch.dot(offset, offset)
                pieces = zip(offset.split([g.shape[1] for g in gradients]), gradients, strict=True)
                product[c] = sum(torch.dot(piece, g[c]) for piece, g in pieces)
        return torch.stack([squared, self.target.n_beta * product + self.target.localization * squared])

    @staticmethod
    def variance_factor(step_size: float, curvature: float) -> float:
        """Stationary variance on a Gaussian of this curvature, over the exact one."""
        return 1.0


class SGLD(Method):
    r"""Stochastic gradient Langevin dynamics (Welling & Teh 2011).

    $$w \leftarrow w - \tfrac{\epsilon}{2}\bigl(n\beta\,\nabla L_B(w) + \gamma (w - w^*)\bigr) + \sqrt{\epsilon}\,\xi$$

    On a Gaussian of curvature $h$ the stationary variance is $h^{-1} / (1 - \epsilon h / 4)$; unstable for
    $\epsilon h \ge 4$.
    """

    def move(self, w: Tensor, gradients: list[Tensor], step: int) -> None:
        half = self.step_size / 2
        pull = half * self.target.localization
        for chains, k, gradient in blocks(w, gradients):
            piece = w[chains, k]
            # The increment is summed before it is added to w: a drift below w's last digit is not lost in rounding.
            increment = self.noise.normal(piece.shape, piece.dtype, self.step_size**0.5)
            increment.add_(gradient, alpha=-half * self.target.n_beta)
            if pull:
                increment.add_(self.centre[:, k], alpha=pull).sub_(piece, alpha=pull)
            piece.add_(self.masked_(increment, k))

    @staticmethod
    def variance_factor(step_size: float, curvature: float) -> float:
        return 1 / (1 - step_size * curvature / 4)


class RMSpropSGLD(Method):
    r"""SGLD preconditioned by RMSprop (Li et al. 2016), the preconditioner frozen after burn-in.

    $$w \leftarrow w - \tfrac{\epsilon}{2} G\,\nabla U(w) + \sqrt{\epsilon G}\,\xi, \qquad G = 1 / (\sqrt{V} + \delta)$$

    $V$, the running mean of squared gradients of $U$ over chains and burn-in steps, is shared by the chains; it is
    scaled so that $\max G = 1$: the least curved coordinate takes the step $\epsilon$, the others smaller ones. A
    preconditioner that kept adapting would need the drift term $\nabla \cdot G$, which the field's implementations
    drop, and with it the target; frozen, $G$ is a constant and the target is exact up to discretisation.
    """

    copies = 3
    decay = 0.99
    damping = 1e-3  # delta, relative to the largest sqrt(V)

    def __init__(self, target: Target, w: Tensor, noise: NormalSource, step_size: float, num_burnin: int):
        super().__init__(target, w, noise, step_size, num_burnin)
        if num_burnin < 1:
            raise ValueError(
                "rmsprop_sgld adapts its preconditioner during burn-in: give num_burnin >= 1 (100 or more)"
            )
        self.state = {"V": torch.zeros_like(target.centre), "weight": 0.0}

    def preconditioner(self) -> Tensor:
        """$G$, one number a coordinate, at most 1."""
        root = (self.state["V"] / max(self.state["weight"], 1e-30)).sqrt()
        root = root + self.damping * root.max().clamp_min(1e-30)
        return root.min() / root

    def move(self, w: Tensor, gradients: list[Tensor], step: int) -> None:
        gradient = self.potential_gradient_(joined(gradients), w)
        if step < self.num_burnin:
            finite = torch.isfinite(gradient).all(dim=1)
            squared = gradient[finite].square().mean(0) if finite.any() else torch.zeros_like(self.state["V"])
            self.state["V"].mul_(self.decay).add_(squared, alpha=1 - self.decay)
            self.state["weight"] = self.decay * self.state["weight"] + 1 - self.decay
            self._frozen = None
        if getattr(self, "_frozen", None) is None:
            self._frozen = self.preconditioner()
        g = self._frozen
        increment = self.normal_like(w).mul_((self.step_size * g).sqrt())
        w.add_(increment.sub_(gradient.mul_(g * (self.step_size / 2))))

    @staticmethod
    def variance_factor(step_size: float, curvature: float) -> float:
        return 1 / (1 - step_size * curvature / 4)


class SGNHT(Method):
    r"""Stochastic gradient Nosé-Hoover thermostat (Ding et al. 2014), split as B-A-D-O-D-A-B (Leimkuhler & Shang 2016).

    Momentum $p$ of unit mass, one thermostat $z$ a chain, time step $h = \sqrt{\epsilon}$:
    $p \leftarrow p - h \nabla U_B(w)$; $w \leftarrow w + \tfrac{h}{2} p$;
    $z \leftarrow z + \tfrac{h}{2\mu}(\lVert p\rVert^2 / d - 1)$;
    $p \leftarrow e^{-zh} p + \sqrt{A (1 - e^{-2zh}) / z}\; \xi$; again $z$; again $w$. The thermostat absorbs the
    minibatch noise of the gradient, which SGLD turns into excess temperature. In the limit of strong friction this
    is SGLD of the same $\epsilon$; the configurations of a Gaussian are exact at any stable step. $A = 0.1 / h$ and
    $\mu = 200 h^2$ put friction and thermostat at a tenth of the fastest stable frequency.
    """

    copies = 3

    def __init__(self, target: Target, w: Tensor, noise: NormalSource, step_size: float, num_burnin: int):
        super().__init__(target, w, noise, step_size, num_burnin)
        self.h = step_size**0.5
        self.friction = 0.1 / self.h
        self.mu = 200 * self.h**2
        start = torch.full((len(w), 1), self.friction, dtype=w.dtype, device=w.device)
        self.state = {"p": self.normal_like(w), "z": start}

    def _thermostat(self) -> None:
        kinetic = self.state["p"].square().sum(dim=1, keepdim=True) / self.target.dimension
        self.state["z"].add_(kinetic - 1, alpha=self.h / (2 * self.mu))

    def move(self, w: Tensor, gradients: list[Tensor], step: int) -> None:
        p, z, h = self.state["p"], self.state["z"], self.h
        for chains, k, gradient in blocks(w, gradients):
            p[chains, k].sub_(self.potential_gradient_(gradient, w[chains, k], k), alpha=h)
        w.add_(p, alpha=h / 2)
        self._thermostat()
        decay = torch.exp(-z * h)
        x = 2 * z * h  # (1 - e^-x) / x is smooth through z = 0
        ratio = torch.where(x.abs() < 1e-4, 1 - x / 2, -torch.expm1(-x) / torch.where(x == 0, 1.0, x))
        amplitude = (2 * self.friction * h * ratio).sqrt()
        p.mul_(decay).add_(self.normal_like(p).mul_(amplitude))
        self._thermostat()
        w.add_(p, alpha=h / 2)


class MALA(Method):
    r"""Metropolis-adjusted Langevin algorithm (Roberts & Tweedie 1996), full batch.

    Proposal $w' = w - \tfrac{\epsilon}{2} \nabla U(w) + \sqrt{\epsilon}\,\xi$, accepted with probability
    $\min\{1, e^{U(w) - U(w')}\, q(w \mid w') / q(w' \mid w)\}$: no discretisation error at any step size.
    """

    full_batch = True
    copies = 7

    def __init__(self, target: Target, w: Tensor, noise: NormalSource, step_size: float, num_burnin: int):
        super().__init__(target, w, noise, step_size, num_burnin)
        self.state = {"accepted": torch.zeros(len(w), dtype=torch.float64, device=w.device), "proposals": 0}

    def settle(self, w: Tensor, losses: Tensor, gradients: list[Tensor], step: int) -> tuple[Tensor, Tensor]:
        """Judge the proposal `w`; the chains themselves are `state["w"]`."""
        state, eps = self.state, self.step_size
        gradient = self.potential_gradient_(joined(gradients), w)
        distance = (w - self.centre).double().square().sum(1)
        potential = self.target.n_beta * losses.double().mean(1) + self.target.localization / 2 * distance
        if "w" not in state:  # the first evaluation is of the starting point itself
            state.update(w=w.clone(), gradient=gradient, potential=potential, losses=losses.clone())
            return state["w"], state["losses"]
        forward = (w - state["w"] + eps / 2 * state["gradient"]).double().square().sum(1)
        backward = (state["w"] - w + eps / 2 * gradient).double().square().sum(1)
        log_ratio = state["potential"] - potential + (forward - backward) / (2 * eps)
        accept = (self.noise.uniform(len(w), dtype=torch.float64).log() < log_ratio) & torch.isfinite(potential)
        for name, new in (("w", w), ("gradient", gradient), ("potential", potential), ("losses", losses)):
            state[name] = torch.where(accept.view(-1, *([1] * (new.ndim - 1))), new, state[name])
        if step > self.num_burnin:
            state["accepted"] += accept
            state["proposals"] += 1
        return state["w"], state["losses"]

    def move(self, w: Tensor, gradients: list[Tensor], step: int) -> None:
        state, eps = self.state, self.step_size
        w.copy_(state["w"] - eps / 2 * state["gradient"] + self.normal_like(w, eps**0.5))

    def distance_and_virial(self, w: Tensor, gradients: list[Tensor]) -> Tensor:
        offset = w - self.centre
        return torch.stack([offset.square().sum(1), torch.linalg.vecdot(offset, self.state["gradient"])])


METHODS: dict[str, type[Method]] = {"sgld": SGLD, "rmsprop_sgld": RMSpropSGLD, "sgnht": SGNHT, "mala": MALA}
