r"""One update rule a module. All share the conventions of `devinterp_core.sampler`:

$U(w) = n\beta L_n(w) + \tfrac{\gamma}{2}\lVert w - w^*\rVert^2$ is the potential, $\epsilon$ the step size, $\xi$
standard normal. Every class has `state` (what a resumed run needs), `settle` (where the chains are, given an evaluation
at `w`), `move` (writes the next point to evaluate into `w`, all chains in place) and `variance_factor`, the known ratio
of its stationary variance to the exact one on a Gaussian.
"""

from .base import Method
from .mala import MALA
from .rmsprop_sgld import RMSpropSGLD
from .sgld import SGLD
from .sgnht import SGNHT

METHODS: dict[str, type[Method]] = {"sgld": SGLD, "rmsprop_sgld": RMSpropSGLD, "sgnht": SGNHT, "mala": MALA}

__all__ = ["MALA", "METHODS", "SGLD", "SGNHT", "Method", "RMSpropSGLD"]
