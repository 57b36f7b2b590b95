r"""Which of two predictors a model is near along training: the table that decides whether a solution is transient.

In-context regression with $M$ tasks has two predictors that are optimal, each for its own prior: ridge regression,
which generalises, and dMMSE, which memorises the $M$ tasks. The *critical step* of a model is the checkpoint of its
lowest loss out of distribution.
"""

import numpy as np
import pandas as pd

from devinterp_core.trajectory.rise import rise_after_minimum

FOLDS = ["ood_loss_0", "ood_loss_1"]
DISTANCES = ["ood_to_ridge", "ood_to_dmmse", "in_to_ridge", "in_to_dmmse"]
FIXED = ["ridge_ood_loss", "dmmse_ood_loss", "shrunken_to_ridge"]  # the same at every step of a model


def transient_table(curves: pd.DataFrame) -> pd.DataFrame:
    r"""Per model, how near it came to ridge, how far its loss out of distribution rose again, and where it ended.

    Args:
        curves: a row for each model (`num_tasks`, 0 for infinitely many, and `seed`) and checkpoint (`step`), with
            `ood_loss_0` and `ood_loss_1`, the loss out of distribution on two halves of the sequences;
            `ood_to_ridge`, `ood_to_dmmse`, `in_to_ridge`, `in_to_dmmse`, mean squared distances to the predictors
            out of and in distribution; `in_loss`; `ridge_ood_loss` and `dmmse_ood_loss`, the predictors' losses; and
            `shrunken_to_ridge`, the mean squared distance of $s\,$dMMSE to ridge at the best $s$.

    Returns:
        A row for each model, sorted by `num_tasks` and `seed`:

        - `critical_step`; `minimum`, `final` and `rise` of the cross-fitted loss (`rise_after_minimum`);
          `relative_rise`, `rise` over `minimum`; `uncorrected`, the rise without cross-fitting, over `minimum`;
        - `share_of_gap`: `rise` over the gap in loss between dMMSE and ridge; NaN where both are one ($M = \infty$);
        - `approach`: the share of the initial distance to ridge that is gone at the critical step;
        - `against_shrunken`: the distance to ridge there over `shrunken_to_ridge`; NaN at $M = \infty$;
        - `moves_to_dmmse`: from the critical step to the end the distance to dMMSE falls and that to ridge grows;
        - `critical_share`, `final_share`: the distance to ridge in distribution at the critical step and at the end,
          over that of the first checkpoint; `critical_in_to_ridge`, `critical_in_to_dmmse`: at the critical step;
        - `critical_ratio`: in distribution, the distance to ridge over that to dMMSE at the critical step;
          `final_ratio`: that to dMMSE over that to ridge at the end; `moves_in`: as `moves_to_dmmse`, in distribution;
        - `final_in_loss`, `final_in_to_ridge`, `final_in_to_dmmse`, `final_ood_to_dmmse`: at the last checkpoint.

    Raises:
        ValueError: if a column is missing, there is no row, or a loss out of distribution is not finite.

    Reference: Carroll et al. (2025), transient ridge.
    """
    needed = ["num_tasks", "seed", "step", "in_loss", *FOLDS, *DISTANCES, *FIXED]
    missing = [name for name in needed if name not in curves]
    if missing or curves.empty:
        raise ValueError(f"curves need rows, and columns {needed}; missing: {missing}, rows: {len(curves)}")
    rows = []
    for (count, seed), part in curves.sort_values("step").groupby(["num_tasks", "seed"]):
        found = rise_after_minimum(part[FOLDS].to_numpy())
        start, critical, end = part.iloc[0], part.iloc[found.critical], part.iloc[-1]
        gap = end.dmmse_ood_loss - end.ridge_ood_loss
        row = {"num_tasks": count, "seed": seed, "critical_step": int(critical.step)}
        row |= {"minimum": found.minimum, "final": found.final, "rise": found.rise}
        row |= {"relative_rise": found.rise / found.minimum, "uncorrected": found.uncorrected / found.minimum}
        row |= {"share_of_gap": found.rise / gap if count else np.nan}
        row |= {"approach": 1 - critical.ood_to_ridge / start.ood_to_ridge}
        row |= {"against_shrunken": critical.ood_to_ridge / critical.shrunken_to_ridge if count else np.nan}
        row |= {"moves_to_dmmse": end.ood_to_dmmse < critical.ood_to_dmmse and end.ood_to_ridge > critical.ood_to_ridge}
        row |= {"critical_share": critical.in_to_ridge / start.in_to_ridge}
        row |= {"final_share": end.in_to_ridge / start.in_to_ridge}
        row |= {f"critical_{name}": critical[name] for name in ("in_to_ridge", "in_to_dmmse")}
        row |= {f"final_{name}": end[name] for name in ("in_loss", "in_to_ridge", "in_to_dmmse", "ood_to_dmmse")}
        row |= {"critical_ratio": critical.in_to_ridge / critical.in_to_dmmse}
        row |= {"final_ratio": end.in_to_dmmse / end.in_to_ridge}
        row |= {"moves_in": end.in_to_dmmse < critical.in_to_dmmse and end.in_to_ridge > critical.in_to_ridge}
        rows.append(row)
    return pd.DataFrame(rows)
