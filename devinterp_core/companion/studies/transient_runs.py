"""Several runs of the chapter on transient ridge regression in the same tables: models, their curves, means by M."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from devinterp_core import regression
from devinterp_core.companion import intervals
from devinterp_core.trajectory import transient_table, two_predictors


def compare_runs(
    runs: Mapping[str, pd.DataFrame], shapes: Mapping[str, tuple[int, int]], *, noise_variance: float,
    num_sequences: int, small_tasks: int, large_tasks: int, seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Where the models of every run are along training.

    Args:
        runs: by name of the run its curves, `two_predictors.distances_along_training` with the predictors' losses.
        shapes: dimension and examples of a sequence of each run.
        noise_variance: of the targets.
        num_sequences: on which the nearest weakened dMMSE is sought.
        small_tasks, large_tasks: M up to which a number of tasks is called small, and from which large.
        seed: of those sequences.

    Returns:
        Of all runs, with `source` and the `kind` of M (`small`, `intermediate`, `large`): `transient_table` with
        `last_step`; the curves with `critical_step`; and by M the mean `value` of `relative_rise` with `low` and `high`
        of its interval over seeds.
    """
    rises, curves = [], []
    for source, table in runs.items():
        own = table[["num_tasks", "seed"]].drop_duplicates()
        worlds = [
            regression.RegressionTasks(*shapes[source], noise_variance, count or None, task_seed=task_seed)
            for count, task_seed in own.itertuples(index=False)
        ]
        weakened = two_predictors.nearest_weakened(worlds, num_sequences=num_sequences, seed=seed)
        own = own.assign(shrunken_to_ridge=weakened)
        every = table.drop(columns="shrunken_to_ridge", errors="ignore").merge(own)
        found = transient_table(every)
        rises.append(found.assign(source=source, last_step=every.step.max()))
        curves.append(every.merge(found[["num_tasks", "seed", "critical_step"]]).assign(source=source))
    models, every = pd.concat(rises, ignore_index=True), pd.concat(curves, ignore_index=True)
    edges, kinds = [0, small_tasks, large_tasks - 1, np.inf], ["small", "intermediate", "large"]
    for table in (models, every):
        table["kind"] = pd.cut(table.num_tasks.replace(0, np.inf), edges, labels=kinds).astype(str)
    rows = []
    for (source, count), own in models.groupby(["source", "num_tasks"], sort=False):
        low, high = intervals.over_seeds(own.relative_rise)
        rows.append((source, count, own.relative_rise.mean(), low, high))
    return models, every, pd.DataFrame(rows, columns=["source", "num_tasks", "value", "low", "high"])
