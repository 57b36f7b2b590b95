"""Two trainings on in-context regression, the one of the page and a recorded one, beside the paper's."""

from collections.abc import Mapping

import pandas as pd

from devinterp_core import trajectory
from devinterp_core.trajectory import Stages

QUANTITIES = ("ridge_gap", "llc")


def chain_table(coefficients: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How well the chains of each run have spread and agree.

    Args:
        coefficients: of each run a table of `llc.coefficient_table`.

    Returns:
        One row a `run`: `estimates`, how many there are; `missing`, of how many pairs of step and seed all chains left
        the finite numbers; `diverged`, how many chains of the others did; `virial`, `virial_low` and `virial_high`,
        median and range of the virial ratio, 1 in equilibrium; `r_hat`, the largest, NaN where every estimate has one
        chain; `ess`, the smallest effective sample size.
    """
    return pd.DataFrame([
        {
            "run": run, "estimates": len(own), "missing": own.step.nunique() * own.seed.nunique() - len(own),
            "diverged": own.num_diverged.sum(), "virial": own.virial_ratio.median(),
            "virial_low": own.virial_ratio.min(), "virial_high": own.virial_ratio.max(),
            "r_hat": own.r_hat.max(), "ess": own.ess.min(),
        }
        for run, own in coefficients.items()
    ])  # fmt: skip


def stages_of_runs(
    found: Mapping[str, Stages], behaviours: Mapping[str, pd.DataFrame], published: pd.DataFrame
) -> pd.DataFrame:
    """The stages of all runs, and below them those of the paper as the run `paper`.

    Args:
        found: stages of the mean coefficient of each run, of `trajectory.stages_of_mean`.
        behaviours: `step`, `seed` and `loss` of the same runs.
        published: `type`, `end`, `loss_change`, `llc_change` of the paper's stages in order.

    Returns:
        `run` and the columns of `trajectory.stage_table`.
    """
    tables = {run: trajectory.stage_table(own, behaviours[run]) for run, own in found.items()}
    tables["paper"] = published.assign(stage=range(1, len(published) + 1), start=[0, *published.end[:-1]])
    return pd.concat([table.assign(run=run) for run, table in tables.items()], ignore_index=True)


def curves_of_runs(behaviours: Mapping[str, pd.DataFrame], coefficients: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Loss above ridge and learning coefficient: one row a `run`, `quantity`, `step` and `seed`, with its `value`."""
    return pd.concat(
        [
            table[["step", "seed", name]].rename(columns={name: "value"}).assign(run=run, quantity=name)
            for run in behaviours
            for name, table in zip(QUANTITIES, (behaviours[run], coefficients[run]), strict=True)
        ],
        ignore_index=True,
    )
