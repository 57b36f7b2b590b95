r"""Exact draws from the localised tempered posterior of a deep linear network, by Gibbs sampling one layer at a time.

The population loss is quadratic in each layer when the others are fixed, so the conditional of a layer is a Gaussian
with Kronecker structure, and can be drawn exactly, without a step size, however stiff the posterior is. No neural
network of interest has this property; here it separates an estimator's two errors: what the *posterior* at finite
$n\beta$ and $\gamma$ does to $\lambda$, and what the *gradient chain* that should sample it adds.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from devinterp_core.dln.network import INPUT_VARIANCE, DeepLinearNetwork
from devinterp_core.draws import make_draws

Layer = Float[Tensor, "chain _ _"]  # one layer of every chain, rows above

# How many of the chains begin at w*; the others begin over-dispersed.
STARTS = {"both": lambda num_chains: (num_chains + 1) // 2, "centre": lambda num_chains: num_chains,
          "localiser": lambda num_chains: 0}  # fmt: skip


def gibbs_sample(
    model: DeepLinearNetwork,
    *,
    n_beta: float,
    localization: float = 1.0,
    num_chains: int = 2,
    num_draws: int = 200,
    num_burnin: int = 50,
    start: str = "centre",
    seed: int = 0,
    progress: bool = True,
) -> xarray.Dataset:
    r"""Draw from $p(w) \propto \exp\{-n\beta K(w) - \tfrac{\gamma}{2} \lVert w - w^*\rVert^2\}$.

    $K(w) = c\,\lVert W_L \cdots W_1 - W^*\rVert_F^2$ with $c = 100 / (3 H_L)$ is the population loss (see
    `population_data`). One draw is one sweep over the layers in float64.

    Args:
        model: the true network $w^*$.
        n_beta: $n\beta$.
        localization: $\gamma > 0$.
        num_chains: independent chains, advanced together.
        num_draws: recorded sweeps of each chain.
        num_burnin: sweeps before the first recorded one.
        start: where chains begin. `"centre"`: all at $w^*$, where the loss is lowest; a region that they never leave
            looks converged. `"both"`: the first half (rounded up) at $w^*$, the others over-dispersed, at draws of the
            localiser $N(w^*, \gamma^{-1})$, where the loss is high; what is not converged between the two sides then
            shows as R-hat. `"localiser"`: all over-dispersed.
        seed: of every random number.
        progress: show a progress bar on stderr.

    Returns:
        Dataset with dims `chain`, `draw` in the form of `devinterp_core.sampler.sample`: `loss_difference` is $K$,
        `distance` is $\lVert w - w^*\rVert$, `virial` is $(w - w^*) \cdot \nabla U$, `diverged` is all false.

    Raises:
        ValueError: if `n_beta` or `localization` is not positive, no draw is asked for, or `start` is unknown.
    """
    if start not in STARTS:
        raise ValueError(f"start must be one of {list(STARTS)}, got {start!r}")
    finite = 0 < n_beta < float("inf") and 0 < localization < float("inf")
    if not (finite and num_draws >= 1 and num_chains >= 1 and num_burnin >= 0):
        raise ValueError("n_beta, localization, num_chains and num_draws must all be positive, num_burnin not negative")
    centre = [weight.detach().double() for weight in model.layers]
    truth = model.product().double()
    coupling = 2 * n_beta * INPUT_VARIANCE / model.widths[-1]
    generator = torch.Generator(device=truth.device).manual_seed(seed)
    layers = [weight.expand(num_chains, *weight.shape).clone() for weight in centre]
    # Dispersion has its own generator: the chains at w* are the same whatever the others do.
    dispersion = torch.Generator(device=truth.device).manual_seed(seed + 1_000_003)
    for weight in layers if STARTS[start](num_chains) < num_chains else []:
        away = weight[STARTS[start](num_chains) :]
        noise = torch.randn(away.shape, generator=dispersion, dtype=truth.dtype, device=truth.device)
        away.add_(noise, alpha=localization**-0.5)
    records: dict[str, list[Tensor]] = {"loss_difference": [], "distance": [], "virial": []}
    for sweep in tqdm(range(num_burnin + num_draws), disable=not progress, unit="sweep", desc="gibbs"):
        above = _products_above(layers)
        below = None
        for index, weight in enumerate(centre):
            noise = torch.randn(layers[index].shape, generator=generator, dtype=truth.dtype, device=truth.device)
            layers[index] = _draw_layer(weight, truth, above[index], below, coupling, localization, noise)
            below = layers[index] if below is None else layers[index] @ below
        if sweep >= num_burnin:
            for name, value in _observables(layers, centre, truth, coupling, localization).items():
                records[name].append(value)
    arrays = {name: torch.stack(values, 1).cpu().numpy() for name, values in records.items()}
    arrays["loss_difference"] = arrays["loss_difference"] / n_beta
    arrays["diverged_at"] = np.full(num_chains, -1)
    attrs = {
        "method": "gibbs", "n_beta": n_beta, "localization": localization, "num_chains": num_chains,
        "num_draws": num_draws, "num_burnin": num_burnin, "start": start, "seed": seed,
    }  # fmt: skip
    return make_draws(arrays, sum(weight.numel() for weight in centre), attrs)


def _products_above(layers: Sequence[Layer]) -> list[Layer | None]:
    """$W_L \\cdots W_{l+1}$ for every layer $l$; `None` stands for the identity above the last."""
    products: list[Layer | None] = [None] * len(layers)
    for index in range(len(layers) - 1, 0, -1):
        product = products[index]
        products[index - 1] = layers[index] if product is None else product @ layers[index]
    return products


def _draw_layer(
    centre: Float[Tensor, "above below"],
    truth: Float[Tensor, "outputs inputs"],
    left: Float[Tensor, "chain outputs above"] | None,
    right: Float[Tensor, "chain below inputs"] | None,
    coupling: float,
    localization: float,
    noise: Layer,
) -> Layer:
    r"""One layer from its conditional, given the products $A$ = `left` and $B$ = `right` of the others.

    $$p(W) \propto \exp\{-\tfrac{\kappa}{2} \lVert A W B - P\rVert^2 - \tfrac{\gamma}{2} \lVert W - W_0\rVert^2\}$$

    With $A = U a V^\top$ and $B = X b Y^\top$, the coordinates $Z = V^\top W X$ are independent: precision
    $\kappa a_i^2 b_j^2 + \gamma$, linear term $\kappa a_i b_j (U^\top P Y)_{ij} + \gamma (V^\top W_0 X)_{ij}$.
    Directions outside the row and column spaces see the localiser alone. `noise` is standard normal.
    """
    target = truth
    left_basis, left_values = None, torch.ones(1, dtype=truth.dtype, device=truth.device)
    right_basis, right_values = None, left_values
    if left is not None:
        outer, left_values, left_basis = torch.linalg.svd(left, full_matrices=False)
        target = outer.mT @ target
    if right is not None:
        right_basis, right_values, outer = torch.linalg.svd(right, full_matrices=False)
        target = target @ outer.mT
    noise = noise / localization**0.5  # the draw of the localiser alone, corrected below where the loss has a say
    scale = left_values[..., :, None] * right_values[..., None, :]
    precision = coupling * scale.square() + localization

    def project(matrix: Tensor) -> Tensor:
        matrix = matrix if left_basis is None else left_basis @ matrix
        return matrix if right_basis is None else matrix @ right_basis

    shrunk = project(noise) * ((localization / precision).sqrt() - 1)
    pull = coupling * scale * (target - scale * project(centre)) / precision
    correction = shrunk + pull
    correction = correction if left_basis is None else left_basis.mT @ correction
    correction = correction if right_basis is None else correction @ right_basis.mT
    return centre + noise + correction


def _observables(
    layers: Sequence[Layer],
    centre: Sequence[Float[Tensor, "_ _"]],
    truth: Float[Tensor, "_ _"],
    coupling: float,
    localization: float,
) -> dict[str, Float[Tensor, " chain"]]:
    """$n\\beta K$, the distance from the centre and the virial of every chain."""
    products = [layers[0]]
    for weight in layers[1:]:
        products.append(weight @ products[-1])
    residual = products[-1] - truth
    signal, virial, squared = coupling * residual, 0.0, 0.0
    for index in range(len(layers) - 1, -1, -1):
        offset = layers[index] - centre[index]
        gradient = signal @ products[index - 1].mT if index else signal
        virial = virial + (offset * gradient).sum((-1, -2))
        squared = squared + offset.square().sum((-1, -2))
        signal = layers[index].mT @ signal
    energy = coupling / 2 * residual.square().sum((-1, -2))
    return {"loss_difference": energy, "distance": squared.sqrt(), "virial": virial + localization * squared}
