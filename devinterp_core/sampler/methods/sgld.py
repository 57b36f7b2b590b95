"""Stochastic gradient Langevin dynamics."""

from torch import Tensor

from .base import Method, blocks


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
                increment.add_(self.centre[chains, k], alpha=pull).sub_(piece, alpha=pull)
            piece.add_(self.masked_(increment, k))

    @staticmethod
    def variance_factor(step_size: float, curvature: float) -> float:
        return 1 / (1 - step_size * curvature / 4)
