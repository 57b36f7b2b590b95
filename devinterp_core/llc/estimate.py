r"""Learning coefficients from draws.

$$\hat\lambda(w^*) = n\beta \bigl(\mathbb{E}_w[L_n(w)] - L_n(w^*)\bigr)$$

The draws hold *paired* differences: each minibatch's loss minus the loss of the same samples at $w^*$, so the noise of
the baseline cancels.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray
from scipy import stats

from devinterp_core.llc.arviz_import import import_arviz

arviz = import_arviz()

# Draws that differ by less than this share of their size differ by rounding alone.
ROUNDING = 1e-12
# What is still to come over the drift between the thirds of the kept draws, of an exponential on their time scale.
REMAINING = 1.5


class Interval(tuple):
    """The two ends of an interval, and what made it as wide as it is.

    Unpacks as `low, high`.

    Attributes:
        low, high: the ends.
        parts: half-width that each source of error would give alone: `draws` (effective sample size), `chains` (spread
            between the chains' means), `drift` (trend along the chains). The larger of the first two and the third are
            added in quadrature.
        dominated_by: the name of the widest part, or `"nothing known"` where the draws hold no information.
    """

    low: float
    high: float
    parts: dict[str, float]
    dominated_by: str

    def __new__(cls, mean: float, parts: dict[str, float]) -> "Interval":
        half = math.hypot(max(parts["draws"], parts["chains"]), parts["drift"])
        own = super().__new__(cls, (mean - half, mean + half))
        own.low, own.high, own.parts = mean - half, mean + half, parts
        own.dominated_by = max(parts, key=parts.__getitem__) if math.isfinite(half) else "nothing known"
        return own

    def __getnewargs__(self) -> tuple[float, dict[str, float]]:
        return (self.low + self.high) / 2, self.parts


@dataclass(frozen=True)
class LearningCoefficient:
    r"""An estimate $\hat\lambda$ with what is needed to judge it.

    Attributes:
        mean: $\hat\lambda$, over the chains that did not diverge.
        standard_error: of `mean`, from the effective sample size (autocorrelation within chains and spread between).
            It cannot know of a drift that all chains share: report `interval`, which does.
        per_chain: $\hat\lambda$ of each chain; NaN for a diverged one.
        r_hat: rank-normalised split R-hat of the per-draw estimates; above 1.01 the chains disagree.
        ess: effective number of independent draws behind `mean`; 0 if the draws are constant, which tell nothing.
        num_diverged: chains excluded.
        virial_ratio: mean of $(w - w^*) \cdot \nabla U$ over the number of dimensions, 1 for the exact posterior. It
            tests *exploration*, of flat directions above all, which hardly enter $\hat\lambda$: below 1 the chains have
            not spread as far as the posterior yet, above 1 the step is too large or the minibatch noise too hot. Exact
            draws scatter around 1 by about the square root of the posterior's condition number: judge it by its
            standard error.
        virial_standard_error: of `virial_ratio`.
        drift: mean of the last third of the kept draws minus mean of the first third, averaged over chains.
    """

    mean: float
    standard_error: float
    per_chain: np.ndarray
    r_hat: float
    ess: float
    num_diverged: int
    virial_ratio: float
    virial_standard_error: float = math.nan
    drift: float = 0.0

    @property
    def between_chain_error(self) -> float:
        """Standard error of `mean` from the spread of the chains' means alone; NaN for a single chain."""
        kept = self.per_chain[np.isfinite(self.per_chain)]
        return float(kept.std(ddof=1) / math.sqrt(len(kept))) if len(kept) > 1 else math.nan

    def interval(self, level: float = 0.95) -> Interval:
        r"""Central interval for the posterior mean at this $n\beta$, with the part that dominates it.

        Effective sample sizes alone give intervals that are too narrow by two for gradient chains. The half-width is

        $$\sqrt{\max(t_{E - 1}\, s_E,\; t_{C - 1}\, s_C)^2 + (1.5\, d)^2}$$

        at 95 %, with the standard error $s_E$ from $E$ effective draws, $s_C$ from the spread of the means of the $C$
        chains, Student's $t$ (at least one degree of freedom) and the drift $d$. A mean that relaxes exponentially on
        the time scale of the kept draws has 1.5 times the drift between its thirds still before it. Use four chains or
        more: with two, $t_1 = 12.7$; a single chain has no $s_C$, and its interval knows only what it has seen.

        Args:
            level: nominal coverage, in (0, 1).

        Returns:
            `(low, high)`, with `parts` and `dominated_by`.

        Raises:
            ValueError: if `level` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        quantile, num_chains = (1 + level) / 2, int(np.isfinite(self.per_chain).sum())
        between = stats.t.ppf(quantile, df=num_chains - 1) * self.between_chain_error if num_chains > 1 else 0.0
        parts = {
            "draws": float(stats.t.ppf(quantile, df=max(1.0, self.ess - 1)) * self.standard_error),
            "chains": float(between),
            "drift": REMAINING * abs(self.drift) * float(stats.norm.ppf(quantile) / stats.norm.ppf(0.975)),
        }
        return Interval(self.mean, parts)


def local_learning_coefficient(draws: xarray.Dataset, discard: float = 0.0) -> LearningCoefficient:
    r"""Estimate $\hat\lambda = n\beta\, \mathbb{E}[L_B(w) - L_B(w^*)]$ from the draws of `sample`.

    Args:
        draws: Dataset with `loss_difference` (chain, draw), `diverged` (chain) and `n_beta` in its attributes; of
            several models or components, one. Four chains or more, or the interval is wide.
        discard: further fraction of each chain's first draws to leave out, in [0, 1).

    Returns:
        The estimate. A chain with a kept draw that is not finite counts as diverged. Constant draws (nothing moved, or
        the loss does not depend on what moved) are no evidence: `ess` 0 and an infinite `standard_error`.

    Raises:
        ValueError: if all chains diverged, fewer than 4 draws a chain remain, `discard` is not in [0, 1), or the draws
            are of several models or components.

    Reference: Lau et al. (2025), definition of the estimator; Vehtari et al. (2021), R-hat and effective sample size.

    Example:
        >>> from devinterp_core import potentials
        >>> from devinterp_core.sampler import sample
        >>> model, data = potentials.linear_regression(4, num_samples=1000, seed=0)
        >>> loss = potentials.linear_regression_loss
        >>> draws = sample(model, data, loss, step_size=0.003, num_chains=8, num_draws=500, num_burnin=100,
        ...                method="mala", progress=False)
        >>> estimate = local_learning_coefficient(draws)
        >>> low, high = estimate.interval()
        >>> low < 2 < high  # d / 2
        True
    """
    if not isinstance(draws, xarray.Dataset) or not {"loss_difference", "diverged", "virial"} <= set(draws):
        raise TypeError(f"draws must be a Dataset as sample returns it, got {type(draws).__name__}")
    if not 0 <= discard < 1:
        raise ValueError(f"discard must lie in [0, 1), got {discard}")
    several = [str(dim) for dim in draws.diverged.dims if dim != "chain"]
    if several:
        raise ValueError(f"the draws are of several {several[0]}s: select one, draws.isel({several[0]}=0)")
    kept = draws.isel(draw=slice(int(discard * draws.sizes["draw"]), None))
    n_beta = float(draws.attrs["n_beta"])
    values = n_beta * kept.loss_difference.values
    diverged = draws.diverged.values | ~np.isfinite(values).all(axis=1)
    if diverged.all():
        raise ValueError(f"all {diverged.size} chains diverged: no estimate; sample again with a smaller step_size")
    if values.shape[1] < 4:
        raise ValueError(f"{values.shape[1]} draws a chain are too few to judge an estimate: 4 at least")
    per_chain = np.where(diverged, np.nan, values.mean(axis=1))
    good = values[~diverged]
    ess, r_hat = _diagnostics(good)
    virial = kept.virial.values[~diverged] / float(draws.dimension)
    third = max(1, good.shape[1] // 3)
    return LearningCoefficient(
        mean=float(good.mean()),
        standard_error=_standard_error(good, ess),
        per_chain=per_chain,
        r_hat=r_hat,
        ess=ess,
        num_diverged=int(diverged.sum()),
        virial_ratio=float(virial.mean()),
        virial_standard_error=_standard_error(virial, _diagnostics(virial)[0]),
        drift=float(good[:, -third:].mean() - good[:, :third].mean()),
    )


def _standard_error(values: np.ndarray, ess: float) -> float:
    """Of the mean of `values[chain, draw]`; infinite where no draw is effective."""
    return float(values.std(ddof=1) / math.sqrt(ess)) if ess > 0 else math.inf


def _diagnostics(values: np.ndarray) -> tuple[float, float]:
    """Effective sample size of the mean and R-hat of `values[chain, draw]`; of constants, 0 and NaN."""
    if not np.ptp(values) > ROUNDING * np.abs(values).max():
        return 0.0, math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ warns of short chains; the numbers say it themselves
        dataset = arviz.convert_to_dataset({"x": values})
        ess = float(arviz.ess(dataset, method="mean").x)
        r_hat = float(arviz.rhat(dataset).x) if len(values) > 1 else float("nan")
    return (ess if math.isfinite(ess) else 1.0), r_hat


def coefficient_table(draws: xarray.Dataset, labels: pd.DataFrame) -> pd.DataFrame:
    """The estimates of several models, or of several components, as a table.

    Args:
        draws: of `sample_many`, with the dim `model`, or of `refined_llc`, with the dim `component`.
        labels: a row for each of them, in order, that says what it is.

    Returns:
        `labels` with the columns `llc`, `standard_error`, `r_hat`, `ess`, `num_diverged`, `virial_ratio`,
        `virial_standard_error`, `drift`, `low` and `high` (the 95 % interval). Those all of whose chains diverged have
        no row.

    Raises:
        ValueError: if there are other numbers of labels than of models or components; as `local_learning_coefficient`.
    """
    dim = "component" if "component" in draws.dims else "model"
    if len(labels) != draws.sizes[dim]:
        raise ValueError(f"{len(labels)} labels were given for {draws.sizes[dim]} {dim}s")
    rows = []
    for index, label in enumerate(labels.to_dict("records")):
        own = draws.isel({dim: index})
        if bool((~own.diverged & np.isfinite(own.loss_difference).all("draw")).any()):
            found = local_learning_coefficient(own)
            row = {"llc": found.mean, "standard_error": found.standard_error, "r_hat": found.r_hat, "ess": found.ess}
            row |= {"num_diverged": found.num_diverged, "virial_ratio": found.virial_ratio}
            row |= {"virial_standard_error": found.virial_standard_error, "drift": found.drift}
            rows.append(label | row | dict(zip(("low", "high"), found.interval(), strict=True)))
    return pd.DataFrame(rows)
