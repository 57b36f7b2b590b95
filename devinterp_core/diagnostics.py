"""One picture from which a person can judge a run of the sampler."""

import numpy as np
import xarray
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from .llc import local_learning_coefficient


def trace_plot(draws: xarray.Dataset) -> Figure:
    r"""Loss traces by chain, distance from the centre, running estimates, and the numbers R-hat, ESS and virial ratio.

    A good run: the traces of all chains overlap and have no trend after the burn-in, the distance has levelled off,
    the running estimates meet, R-hat is below 1.01, and no chain diverged. The virial ratio tests exploration, not the
    estimate: 1 within its standard error means that the flat directions too have been explored.

    Args:
        draws: from `devinterp_core.sampler.sample`.

    Returns:
        A figure of three panels that share the chains' colours; steps on the horizontal axes.

    Raises:
        ValueError: if all chains diverged or there are fewer than 4 draws a chain.
    """
    estimate = local_learning_coefficient(draws)
    every, burnin = draws.attrs["num_steps_between_draws"], draws.attrs["num_burnin"]
    n_beta = draws.attrs["n_beta"]
    steps = burnin + every * np.arange(1, draws.sizes["draw"] + 1)
    burnin_steps = every * np.arange(1, draws.sizes["burnin"] + 1)
    figure, (loss, distance, running) = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, draws.sizes["chain"]))
    counts = np.arange(1, draws.sizes["draw"] + 1)
    for chain, colour in enumerate(colours):
        run = draws.isel(chain=chain)
        style = {"color": colour, "lw": 0.8, "alpha": 0.8, "ls": ":" if bool(run.diverged) else "-"}
        values = n_beta * run.loss_difference.values
        loss.plot(burnin_steps, n_beta * run.burnin_loss_difference.values, **style)
        loss.plot(steps, values, **style)
        distance.plot(steps, run.distance.values, **style)
        running.plot(steps, np.cumsum(values) / counts, **style)
    if burnin:
        loss.axvspan(0, burnin, color="0.9", zorder=0, label="burn-in")
        loss.legend(loc="lower right", frameon=False)
    interval = estimate.interval()
    if np.isfinite(interval).all():
        running.axhspan(*interval, color="0.85", zorder=0)
    running.axhline(estimate.mean, color="black", lw=1)
    loss.set(xlabel="step", ylabel=r"$n\beta\,(L_B(w) - L_B(w^*))$", title="loss by chain")
    distance.set(xlabel="step", ylabel=r"$\Vert w - w^*\Vert$", title="distance from the centre")
    running.set(xlabel="step", ylabel=r"running $\hat\lambda$", title="running estimate by chain, 95 % interval")
    figure.suptitle(
        rf"$\hat\lambda$ = {estimate.mean:.4g} ± {(interval.high - interval.low) / 2:.2g} (95 %, mostly "
        f"{interval.dominated_by})   R-hat {estimate.r_hat:.3f}   ESS {estimate.ess:.0f}   virial ratio "
        f"{estimate.virial_ratio:.3f} ± {estimate.virial_standard_error:.2g}   "
        f"diverged {estimate.num_diverged} of {draws.sizes['chain']}",
        fontsize="medium",
    )
    return figure
