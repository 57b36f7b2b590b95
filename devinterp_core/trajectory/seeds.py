r"""Stages over several seeds of one training: of the mean curve, of every seed, and the tables that are made of them.

Tables have a row for each kept step and each seed, with columns `step` and `seed`. Losses and learning coefficients
need not be measured at the same steps.
"""

from numbers import Integral, Real

import numpy as np
import pandas as pd

from devinterp_core.trajectory.stages import Stages, find_stages


def stages_of_mean(llc: pd.DataFrame) -> Stages:
    r"""Stages of the mean over seeds, the standard error being $s / \sqrt n$ over the seeds that have an estimate.

    Steps at which only one of several seeds has an estimate are left out. With a single seed its own curve is taken,
    and all scatter is estimated.

    Args:
        llc: columns `step`, `seed` and `llc`; estimates may be missing.

    Raises:
        ValueError: as `find_stages`, of the curve that is left.
    """
    wide = llc.pivot(index="step", columns="seed", values="llc").sort_index()
    wide = wide[wide.count(axis=1) > min(1, wide.shape[1] - 1)]
    error = wide.std(axis=1, ddof=1) / np.sqrt(wide.count(axis=1))
    error = error.to_numpy() if wide.shape[1] > 1 else None
    return find_stages(wide.index.to_numpy(), wide.mean(axis=1).to_numpy(), error)


def curve_table(found: Stages) -> pd.DataFrame:
    """The smoothed curve of the learning coefficient: `step`, `mean` and `standard_deviation`."""
    curve = found.curve
    return pd.DataFrame(
        {"step": np.exp(curve.log_steps), "mean": curve.mean, "standard_deviation": curve.standard_deviation}
    )


def stages_of_seeds(llc: pd.DataFrame) -> dict[int, Stages]:
    """Stages of each seed's own curve; `llc` has the columns `step`, `seed`, `llc` and `standard_error`."""
    parts = llc.sort_values("step").groupby("seed")
    return {
        int(seed): find_stages(part.step.to_numpy(), part.llc.to_numpy(), part.standard_error.to_numpy())
        for seed, part in parts
    }


def loss_at(curves: pd.DataFrame, step: Real, seed: Integral | None = None) -> float:
    """Loss at the kept step nearest to `step`, of one seed or averaged over seeds; NaN if one of them is.

    Args:
        curves: columns `step`, `seed` and `loss`.
        step: in training steps; of two as near, the first in the table counts.
        seed: None averages over seeds.

    Raises:
        ValueError: if there is no such seed, or the step is NaN.
    """
    if np.isnan(step):
        raise ValueError("step is NaN: no kept step is nearest to it")
    part = curves if seed is None else curves[curves.seed == seed]
    if part.empty:
        raise ValueError(f"no losses of seed {seed}; there are those of {sorted(curves.seed.unique().tolist())}")
    nearest = min(part.step.unique(), key=lambda kept: abs(kept - step))
    return float(part[part.step == nearest].loss.mean(skipna=False))


def stage_table(found: Stages, curves: pd.DataFrame) -> pd.DataFrame:
    """The stages in order, with the changes of loss and of learning coefficient in each.

    Args:
        found: of the learning coefficient.
        curves: columns `step`, `seed` and `loss`; the loss is averaged over seeds and read at the kept step nearest to
            either end of a stage. The first stage is counted from step 0.

    Returns:
        Columns `stage` (from 1), `type`, `start`, `end` (steps), `loss_change`, `llc_change`, `llc_low` and `llc_high`,
        the last two being the interval of the change.
    """
    rows = []
    for number, stage in enumerate(found.stages, start=1):
        start = 0 if number == 1 else stage.start
        change = loss_at(curves, stage.end) - loss_at(curves, start)
        rows.append((number, stage.type, start, stage.end, change, stage.change, *stage.interval))
    columns = ["stage", "type", "start", "end", "loss_change", "llc_change", "llc_low", "llc_high"]
    return pd.DataFrame(rows, columns=columns)


def milestones(curves: pd.DataFrame, llc: pd.DataFrame) -> pd.DataFrame:
    """Two moments of each seed, and what the learning coefficient and the loss do before, between and after them.

    The *top* is the step of the highest learning coefficient; the *prior* is the step, after 0 and before the top, at
    which predictions are smallest: the model has learned that tasks average to zero and nothing else.

    Args:
        curves: columns `step`, `seed`, `loss` and `prediction_power`, the mean square of the predictions; from step 0.
        llc: columns `step`, `seed` and `llc`; estimates may be missing.

    Returns:
        A row for each seed of `llc`, indexed by `seed`:

        - `prior` and `top`, in steps; `prior_power` and `prior_loss`, mean squared prediction and loss at the prior;
        - `llc_to_prior` and `llc_to_top`: gains from the seed's first estimate to the one nearest to the prior in log
          time, and from there to the top;
        - `loss_to_prior` and `loss_to_top`: falls of the loss from step 0 to the prior, and from there to the top;
        - `llc_after` and `loss_after`: changes from the top to the lowest learning coefficient at or after it.

    Raises:
        ValueError: if predictions were not measured between step 0 and the top of a seed.

    Reference: Hoogland et al. (2024): LR1 ends at the prior, LR2 at the top, LR3 and LR4 lie after it.
    """
    power = curves.pivot(index="step", columns="seed", values="prediction_power").sort_index()
    rows = []
    for seed, part in llc.sort_values("step").groupby("seed"):
        own = part.set_index("step").llc.dropna()
        top = own.idxmax()
        before = power.loc[(power.index > power.index[0]) & (power.index < top), seed]
        if before.empty:
            raise ValueError(f"seed {seed}: no predictions were measured between step 0 and its top, step {top}")
        prior = before.idxmin()
        near = min(own.index, key=lambda step, prior=prior: abs(np.log(step / prior)))
        after = own.loc[top:]
        losses = [loss_at(curves, step, seed) for step in (0, prior, top, after.idxmin())]
        row = {"seed": seed, "prior": int(prior), "top": int(top)}
        row |= {"prior_power": float(before.min()), "prior_loss": losses[1]}
        row |= {"llc_to_prior": own[near] - own.iloc[0], "llc_to_top": own[top] - own[near]}
        row |= {"loss_to_prior": losses[0] - losses[1], "loss_to_top": losses[1] - losses[2]}
        row |= {"llc_after": after.min() - own[top], "loss_after": losses[3] - losses[2]}
        rows.append(row)
    return pd.DataFrame(rows).set_index("seed")
