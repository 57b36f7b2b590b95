"""Tables of the heads of several models: what competes with the refined learning coefficient, what a sweep kept."""

from collections.abc import Mapping, Sequence

import pandas as pd
from torch import Tensor, nn

from devinterp_core.llc import fisher_traces, hessian_traces
from devinterp_core.vectorized import Batch, Loss


def trace_table(
    models: Sequence[nn.Module],
    data: Batch,
    loss: Loss,
    masks: Mapping[str, Mapping[str, Tensor]],
    *,
    num_probes: int,
    seed: int = 0,
) -> pd.DataFrame:
    """Traces of Hessian and Fisher information of every head, and the norm of its parameters.

    Args:
        models: of one architecture.
        data: samples over which the loss is averaged.
        loss: `(model, batch) -> Tensor[batch]`.
        masks: head to mask, as `refined_llc` takes them.
        num_probes: random sign vectors of the Hessian's trace, two or more.
        seed: of the signs.

    Returns:
        One row a model and head: `seed`, the place of the model in the sequence, `head`, `hessian` and its standard
        error over the probes `hessian_error`, `fisher`, `norm`.

    Raises:
        ValueError: fewer than two probes, which would have no error; as `hessian_traces`.
    """
    if num_probes < 2:
        raise ValueError(f"a standard error over probes needs two of them, got num_probes={num_probes}")
    rows = []
    for index, model in enumerate(models):
        hessian = hessian_traces(model, data, loss, masks, num_probes=num_probes, seed=seed)
        fisher = fisher_traces(model, data, loss, masks)
        for head, mask in masks.items():
            squares = [p.detach()[mask[name]].square().sum() for name, p in model.named_parameters() if name in mask]
            row = {"seed": index, "head": head, "hessian": float(hessian[head].mean())}
            row |= {"hessian_error": float(hessian[head].std() / num_probes**0.5)}
            rows.append(row | {"fisher": float(fisher[head].mean()), "norm": float(sum(squares)) ** 0.5})
    return pd.DataFrame(rows)


def sweep_by_model(table: pd.DataFrame, parameter: str) -> pd.DataFrame:
    """The numbers of a sweep whose names end in the number of a model, such as `layer_0_multigram_1`.

    Args:
        table: as `companion sweep` writes it: `kind`, `quantity`, `measured`, and the column `parameter`.
        parameter: that was swept.

    Returns:
        One row a run and model: `parameter`, `model`, and a column for each name without its number; NaN where a run
        has no such number.
    """
    rows = table[table["kind"] == "number"].reset_index(drop=True)
    names = rows["quantity"].str.extract(r"^(?P<what>(?:layer_\d|memorised_share|prefix_matching)\w*)_(?P<model>\d+)$")
    rows = rows.join(names).dropna(subset="what").assign(value=lambda own: own["measured"].astype(float))
    return rows.pivot(index=[parameter, "model"], columns="what", values="value").reset_index()
