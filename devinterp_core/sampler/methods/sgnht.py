"""The stochastic gradient Nosé-Hoover thermostat."""

import torch
from torch import Tensor

from ..noise import NormalSource
from ..target import Target
from .base import Method, blocks


class SGNHT(Method):
    r"""Stochastic gradient Nosé-Hoover thermostat (Ding et al. 2014), split as B-A-D-O-D-A-B (Leimkuhler & Shang 2016).

    Momentum $p$ of unit mass, one thermostat $z$ a chain, time step $h = \sqrt{\epsilon}$:
    $p \leftarrow p - h \nabla U_B(w)$; $w \leftarrow w + \tfrac{h}{2} p$;
    $z \leftarrow z + \tfrac{h}{2\mu}(\lVert p\rVert^2 / d - 1)$;
    $p \leftarrow e^{-zh} p + \sqrt{A (1 - e^{-2zh}) / z}\; \xi$; again $z$; again $w$. The thermostat absorbs the
    minibatch noise of the gradient, which SGLD turns into excess temperature. In the limit of strong friction this
    is SGLD of the same $\epsilon$; the configurations of a Gaussian are exact at any stable step. $\mu = 200 h^2$ puts
    the thermostat at a tenth of the fastest stable frequency; $A = 0.015 / h$ is weak enough for the flat ones: on
    deep linear networks it brings the virial ratio further towards 1 in the same number of steps than $0.1 / h$ does,
    while $2 \sqrt{\gamma}$, critical for the flattest direction, leaves the thermostat too slow for the stiff ones.
    """

    copies = 3
    damping = 0.015  # A h, the share of momentum forgotten in a step

    def __init__(self, target: Target, w: Tensor, noise: NormalSource, step_size: float, num_burnin: int):
        super().__init__(target, w, noise, step_size, num_burnin)
        self.h = step_size**0.5
        self.friction = self.damping / self.h
        self.mu = 200 * self.h**2
        start = torch.full((len(w), 1), self.friction, dtype=w.dtype, device=w.device)
        self.state = {"p": self.normal_like(w), "z": start}

    def _thermostat(self) -> None:
        kinetic = self.state["p"].square().sum(dim=1, keepdim=True) / self.target.dimension
        self.state["z"].add_(kinetic - 1, alpha=self.h / (2 * self.mu))

    def move(self, w: Tensor, gradients: list[Tensor], step: int) -> None:
        p, z, h = self.state["p"], self.state["z"], self.h
        for chains, k, gradient in blocks(w, gradients):
            p[chains, k].sub_(self.potential_gradient_(gradient, w[chains, k], chains, k), alpha=h)
        w.add_(p, alpha=h / 2)
        self._thermostat()
        decay = torch.exp(-z * h)
        x = 2 * z * h  # (1 - e^-x) / x is smooth through z = 0
        ratio = torch.where(x.abs() < 1e-4, 1 - x / 2, -torch.expm1(-x) / torch.where(x == 0, 1.0, x))
        amplitude = (2 * self.friction * h * ratio).sqrt()
        p.mul_(decay).add_(self.normal_like(p).mul_(amplitude))
        self._thermostat()
        w.add_(p, alpha=h / 2)
