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


@dataclass(frozen=True)
class LearningCoefficient:
    r"""An estimate $\hat\lambda$ with what is needed to judge it.

    Attributes:
        mean: $\hat\lambda$, over the chains that did not diverge.
        standard_error: of `mean`, from the effective sample size (autocorrelation within chains and spread between).
        per_chain: $\hat\lambda$ of each chain; NaN for a diverged one.
        r_hat: rank-normalised split R-hat of the per-draw estimates; above 1.01 the chains disagree.
        ess: effective number of independent draws behind `mean`.
        num_diverged: chains excluded.
        virial_ratio: mean of $(w - w^*) \cdot \nabla U$ over the number of dimensions. It is 1 for the exact posterior;
            above 1 the step is too large or the minibatch noise too hot, below 1 the chains have not spread yet.
    """

    mean: float
    standard_error: float
    per_chain: np.ndarray
    r_hat: float
    ess: float
    num_diverged: int
    virial_ratio: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Central interval for the mean, Student's t with `ess - 1` (at least 1) degrees of freedom."""
        half = stats.t.ppf((1 + level) / 2, df=max(1.0, self.ess - 1)) * self.standard_error
        return self.mean - half, self.mean + half


def local_learning_coefficient(draws: xarray.Dataset, discard: float = 0.0) -> LearningCoefficient:
    r"""Estimate $\hat\lambda = n\beta\, \mathbb{E}[L_B(w) - L_B(w^*)]$ from the draws of `sample`.

    Args:
        draws: Dataset with `loss_difference` (chain, draw), `diverged` (chain) and `n_beta` in its attributes; of
            several models or components, one.
        discard: further fraction of each chain's first draws to leave out, in [0, 1).

    Raises:
        ValueError: if all chains diverged, fewer than 4 draws a chain remain, `discard` is not in [0, 1), or the draws
            are of several models or components.

    Reference: Lau et al. (2025), definition of the estimator; Vehtari et al. (2021), R-hat and effective sample size.
    """
    if not 0 <= discard < 1:
        raise ValueError(f"discard must lie in [0, 1), got {discard}")
    several = [str(dim) for dim in draws.diverged.dims if dim != "chain"]
    if several:
        raise ValueError(f"the draws are of several {several[0]}s: select one, draws.isel({several[0]}=0)")
    diverged = draws.diverged.values
    if diverged.all():
        raise ValueError(f"all {diverged.size} chains diverged: no estimate; sample again with a smaller step_size")
    kept = draws.isel(draw=slice(int(discard * draws.sizes["draw"]), None))
    n_beta = float(draws.attrs["n_beta"])
    values = n_beta * kept.loss_difference.values
    if values.shape[1] < 4:
        raise ValueError(f"{values.shape[1]} draws a chain are too few to judge an estimate: 4 at least")
    per_chain = np.where(diverged, np.nan, values.mean(axis=1))
    good = values[~diverged]
    ess, r_hat = _diagnostics(good)
    virial = kept.virial.values[~diverged]
    dimension = float(draws["dimension"]) if "dimension" in draws else draws.attrs["dimension"]
    return LearningCoefficient(
        mean=float(good.mean()),
        standard_error=float(good.std(ddof=1) / math.sqrt(ess)),
        per_chain=per_chain,
        r_hat=r_hat,
        ess=ess,
        num_diverged=int(diverged.sum()),
        virial_ratio=float(virial.mean() / dimension),
    )


def _diagnostics(values: np.ndarray) -> tuple[float, float]:
    """Effective sample size of the mean and R-hat of `values[chain, draw]`; constants count every draw."""
    if np.ptp(values) == 0:
        return float(values.size), 1.0
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
        `labels` with the columns `llc`, `standard_error`, `r_hat`, `ess`, `num_diverged` and `virial_ratio`. Those all
        of whose chains diverged have no row.

    Raises:
        ValueError: if there are other numbers of labels than of models or components; as `local_learning_coefficient`.
    """
    dim = "component" if "component" in draws.dims else "model"
    if len(labels) != draws.sizes[dim]:
        raise ValueError(f"{len(labels)} labels were given for {draws.sizes[dim]} {dim}s")
    rows = []
    for index, label in enumerate(labels.to_dict("records")):
        own = draws.isel({dim: index})
        if not bool(own.diverged.all()):
            found = local_learning_coefficient(own)
            row = {"llc": found.mean, "standard_error": found.standard_error, "r_hat": found.r_hat, "ess": found.ess}
            rows.append(label | row | {"num_diverged": found.num_diverged, "virial_ratio": found.virial_ratio})
    return pd.DataFrame(rows)
