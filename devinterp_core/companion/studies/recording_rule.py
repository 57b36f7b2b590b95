r"""When the loss of an SGLD chain is recorded: before an update, or after it on the minibatch that made it.

The minibatch $B_t$ of a step is independent of $w_t$, so $L_{B_t}(w_t)$ has the mean $L_n(w_t)$. After the step,
$L_{B_t}(w_{t+1})$ has not: $w_{t+1}$ has just gone down the gradient of that same minibatch. To leading order it is
lower by $\tfrac{\epsilon}{2} n\beta$ times the variance of the minibatch gradient, a part of the heat that they add.
"""

from collections.abc import Sequence

import pandas as pd
import torch
import xarray
from torch import Tensor, nn

from devinterp_core.vectorized import Batch, Evaluator, Loss, map_batch

RULES = ("before", "after, fresh", "after, same")


def by_recording_rule(
    models: Sequence[nn.Module],
    data: Sequence[Batch],
    loss: Loss,
    draws: xarray.Dataset,
    *,
    batch_size: int,
    seed: int,
    rows_at_once: int = 4096,
) -> pd.DataFrame:
    r"""Estimates from the same draws of SGLD by three rules of recording the loss.

    From every recorded $w_t$ one more step of SGLD is taken, on a new minibatch $B$ and with new noise: by the Markov
    property $(w_t, B, w_{t+1})$ is distributed as in a chain that goes on. Recorded are the losses of $B$ at $w_t$
    (`before`), of $B$ at $w_{t+1}$ (`after, same`) and of another minibatch at $w_{t+1}$ (`after, fresh`), each minus
    the loss of the same samples at $w^*$.

    Args:
        models: whose parameters, all of them sampled, are $w^*$.
        data: of each model.
        loss: per-sample losses, as for `devinterp_core.sampler.sample`.
        draws: of `sample_many` with `method="sgld"` and `keep_parameters`; its step size, temperature and localiser
            are those of the further step.
        batch_size: samples of a minibatch, drawn with replacement.
        seed: of minibatches and noise.
        rows_at_once: draws that are evaluated together.

    Returns:
        One row a model and rule: `model`, `rule`, `estimate`, the mean over the finite draws of all chains times
        $n\beta$.

    Raises:
        ValueError: draws without parameters, of another method or of other numbers of models or coordinates.
    """
    if "parameters" not in draws or draws.attrs["method"] != "sgld":
        raise ValueError("the draws hold no parameters of SGLD: sample with method='sgld' and keep_parameters=True")
    if not len(models) == len(data) == draws.sizes["model"]:
        raise ValueError(f"{len(models)} models, {len(data)} data sets, draws of {draws.sizes['model']} models")
    step_size, n_beta, pull = (float(draws.attrs[name]) for name in ("step_size", "n_beta", "localization"))
    evaluator, generator = Evaluator(models[0], loss, trace=False), torch.Generator().manual_seed(seed)
    rows = []
    for index, (model, own) in enumerate(zip(models, data, strict=True)):
        centre = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        positions = torch.as_tensor(draws["parameters"].isel(model=index).values).flatten(0, 1).to(centre)
        if positions.shape[1] != len(centre):
            raise ValueError(f"draws of {positions.shape[1]} coordinates for models of {len(centre)}")
        found: dict[str, list[Tensor]] = {rule: [] for rule in RULES}
        for w in positions[positions.isfinite().all(1)].split(rows_at_once):
            first, second = (_minibatches(own, len(w), batch_size, generator) for _ in range(2))
            before, blocks = evaluator.losses_and_gradient(w, first, False)
            noise = step_size**0.5 * torch.randn(w.shape, generator=generator, dtype=w.dtype)
            moved = w - step_size / 2 * (n_beta * torch.cat(blocks, 1) + pull * (w - centre)) + noise
            still = centre.expand_as(w)
            at_first, at_second = (evaluator.losses(still, batch, False) for batch in (first, second))
            found["before"].append((before - at_first).mean(1))
            found["after, same"].append((evaluator.losses(moved, first, False) - at_first).mean(1))
            found["after, fresh"].append((evaluator.losses(moved, second, False) - at_second).mean(1))
        for rule, pieces in found.items():
            rows.append((index, rule, n_beta * float(torch.cat(pieces).double().mean())))
    return pd.DataFrame(rows, columns=["model", "rule", "estimate"])


def _minibatches(data: Batch, count: int, size: int, generator: torch.Generator) -> Batch:
    """`count` minibatches of `size` samples, `[count, size, ...]`."""
    first = data if isinstance(data, Tensor) else data[0]
    indices = torch.randint(len(first), (count * size,), generator=generator)
    return map_batch(lambda t: t[indices].view(count, size, *t.shape[1:]), data)
