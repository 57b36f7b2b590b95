r"""How near models of in-context regression come to the two optimal predictors, ridge and dMMSE, along training.

Every checkpoint is evaluated on three kinds of sequences: `ood`, tasks from the Gaussian prior, the same sequences for
all models; `in`, tasks from the model's own set; `probe`, the root task alone, on which a joint PCA is made. Distances
are mean squared differences of predictions. Since ridge is the posterior mean under the Gaussian prior, the loss of any
function out of distribution is that of ridge plus, in expectation, its distance to ridge: so it is estimated, which
spares the noise of the targets.

Reference: Carroll et al. (2025), arXiv:2501.17745.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from devinterp_core.regression import (
    RegressionTasks,
    Sequences,
    dmmse_prediction,
    draw_stacked,
    nearest_weakened_dmmse,
    per_token_loss,
    read_predictions,
    ridge_prediction,
    to_tokens,
)
from devinterp_core.train import Checkpoints
from devinterp_core.trajectory.pca import JointPCA
from devinterp_core.vectorized import stacked_outputs

SEQUENCES_AT_ONCE = 128


@dataclass(frozen=True)
class TwoPredictors:
    """Evaluation sequences of several models and what the predictors say on them; made by `two_predictors`.

    Attributes:
        worlds: the tasks of each model.
        sequences: by kind, `ood` (shared by all models), `in` and `probe` (a model dimension in front).
        ridge: its predictions by kind, of the shape of the targets.
        dmmse: predictions of each model's dMMSE by kind, [model, sequence, example]; of ridge where tasks are infinite.
    """

    worlds: tuple[RegressionTasks, ...]
    sequences: dict[str, Sequences]
    ridge: dict[str, Tensor]
    dmmse: dict[str, Tensor]

    def losses(self) -> pd.DataFrame:
        """Mean losses of the predictors, a row a model: `ridge_ood_loss`, `dmmse_ood_loss`, `ridge_in_loss`,
        `dmmse_in_loss`."""
        ood, own = self.sequences["ood"].targets, self.sequences["in"].targets
        losses = {
            "ridge_ood_loss": per_token_loss(self.ridge["ood"], ood).mean().expand(len(self.worlds)),
            "dmmse_ood_loss": per_token_loss(self.dmmse["ood"], ood).mean((1, 2)),
            "ridge_in_loss": per_token_loss(self.ridge["in"], own).mean((1, 2)),
            "dmmse_in_loss": per_token_loss(self.dmmse["in"], own).mean((1, 2)),
        }
        return pd.DataFrame({name: values.numpy() for name, values in losses.items()})


def two_predictors(
    worlds: Sequence[RegressionTasks], *, num_sequences: int, num_probe: int, seed: int
) -> TwoPredictors:
    """Draw the evaluation sequences of several models and predict them by ridge and by each model's dMMSE.

    Args:
        worlds: the tasks of each model, alike but for their number and seed.
        num_sequences: of the kinds `ood` and `in`, of each model; even, since the loss is taken on two halves.
        num_probe: of the kind `probe`.
        seed: even, of the sequences; with it go `seed + 2` and `seed + 4`. Training streams draw from odd seeds.

    Raises:
        ValueError: an odd number of sequences or an odd seed; as `draw_stacked`.
    """
    if num_sequences % 2 or num_sequences < 2 or seed % 2:
        raise ValueError(f"num_sequences and seed must be even, got {num_sequences} and {seed}")
    worlds = tuple(worlds)
    gaussian = RegressionTasks(worlds[0].dim, worlds[0].num_examples, worlds[0].noise_variance)
    probes = [world.draw(num_probe, seed=seed + 4, task=world.root_task) for world in worlds]
    sequences = {
        "ood": gaussian.draw(num_sequences, seed=seed),
        "in": draw_stacked(worlds, num_sequences, torch.Generator().manual_seed(seed + 2), True),
        "probe": Sequences(*(torch.stack(parts) for parts in zip(*probes, strict=True))),
    }
    ridge = {kind: ridge_prediction(*drawn, gaussian.noise_variance) for kind, drawn in sequences.items()}
    own = {kind: zip(*drawn, strict=True) for kind, drawn in sequences.items() if kind != "ood"}
    own["ood"] = ((*sequences["ood"],) for _ in worlds)
    dmmse = {
        kind: torch.stack([_dmmse(world, *each) for world, each in zip(worlds, parts, strict=True)])
        for kind, parts in own.items()
    }
    return TwoPredictors(worlds, sequences, ridge, dmmse)


def distances_along_training(
    checkpoints: Checkpoints, on: TwoPredictors
) -> tuple[pd.DataFrame, Float[np.ndarray, "checkpoint model feature"]]:
    """Losses of all models at all checkpoints and their distances to both predictors.

    Args:
        checkpoints: of one model for each of `on.worlds`, in their order.
        on: the sequences and predictions.

    Returns:
        A table with `model` (its index) and `step`: `ood_loss_0` and `ood_loss_1`, the loss out of distribution on two
        halves of the sequences as that of ridge plus the distance to it, and `ood_loss`, their mean; `ood_loss_plain`,
        the plain mean of squared errors; `in_loss`, `root_loss` (on the probe); `ood_to_ridge`, `ood_to_dmmse`,
        `in_to_ridge`, `in_to_dmmse`. And the predictions on the probe, flattened.

    Raises:
        ValueError: another number of models than of worlds.
    """
    if checkpoints.num_models != len(on.worlds):
        raise ValueError(f"{checkpoints.num_models} models are not one for each of {len(on.worlds)} worlds")
    targets = {kind: drawn.targets for kind, drawn in on.sequences.items()}
    tokens = {kind: to_tokens(drawn) for kind, drawn in on.sequences.items()}
    tokens["ood"] = tokens["ood"].expand(len(on.worlds), -1, -1, -1)
    blocks = torch.cat([tokens[kind] for kind in ("ood", "in", "probe")], dim=1).split(SEQUENCES_AT_ONCE, dim=1)
    ridge_loss = per_token_loss(on.ridge["ood"], targets["ood"]).mean()
    frames, probes = [], []
    for step in checkpoints.steps:
        weights = checkpoints.load(step)
        outputs = [stacked_outputs(checkpoints.template, weights, block, shared=False) for block in blocks]
        parts = read_predictions(torch.cat(outputs, dim=1)).split([tokens[k].shape[1] for k in tokens], dim=1)
        found = dict(zip(("ood", "in", "probe"), parts, strict=True))
        halves = per_token_loss(found["ood"], on.ridge["ood"]).mean(-1).unflatten(1, (-1, 2)).mean(1) + ridge_loss
        row = {"ood_loss_0": halves[:, 0], "ood_loss_1": halves[:, 1]}
        for name, kind in (("ood_loss_plain", "ood"), ("in_loss", "in"), ("root_loss", "probe")):
            row[name] = per_token_loss(found[kind], targets[kind]).mean((1, 2))
        for kind in ("ood", "in"):
            row[f"{kind}_to_ridge"] = per_token_loss(found[kind], on.ridge[kind]).mean((1, 2))
            row[f"{kind}_to_dmmse"] = per_token_loss(found[kind], on.dmmse[kind]).mean((1, 2))
        values = {name: values.numpy() for name, values in row.items()}
        frames.append(pd.DataFrame({"model": range(len(on.worlds)), "step": step} | values))
        probes.append(found["probe"].flatten(1).numpy())
    curves = pd.concat(frames, ignore_index=True)
    return curves.assign(ood_loss=(curves.ood_loss_0 + curves.ood_loss_1) / 2), np.stack(probes)


def nearest_weakened(worlds: Sequence[RegressionTasks], *, num_sequences: int, seed: int) -> list[float]:
    """Of each world, how near to ridge out of distribution a weakened dMMSE comes; NaN where tasks are infinite.

    Args:
        worlds: the tasks of each model.
        num_sequences: with tasks of the Gaussian prior, the same for all.
        seed: of them.

    Raises:
        ValueError: as `nearest_weakened_dmmse`.
    """
    found = []
    for world in worlds:
        drawn = RegressionTasks(world.dim, world.num_examples, world.noise_variance).draw(num_sequences, seed=seed)
        endless = world.num_tasks is None
        found.append(math.nan if endless else nearest_weakened_dmmse(*drawn, world.noise_variance, world.task_set()))
    return found


def joint_plane(
    predictions: Float[np.ndarray, "checkpoint model feature"], models: pd.DataFrame, on: TwoPredictors
) -> pd.DataFrame:
    """The first two joint principal components of several models' predictions on the probe, and of the predictors'.

    Args:
        predictions: of `distances_along_training`.
        models: those to take, which share a root task: their curves, with `model`, `step`, `num_tasks` (0 for
            infinitely many), `root_loss`, `ood_loss` and `critical_step`.
        on: the predictors.

    Returns:
        `kind` (`model`, `ridge` or `dmmse`; ridge has 0 tasks), `num_tasks`, `step`, `critical` (whether it is the
        critical step), `root_loss`, `ood_loss`, `pc1`, `pc2`, and `explained_1`, `explained_2`, the components' shares
        of the variance. The predictors are projected on the components afterwards.

    Raises:
        ValueError: no models; as `JointPCA.fit`.
    """
    chosen = [int(index) for index in dict.fromkeys(models["model"])]
    if not chosen:
        raise ValueError("no models were given")
    paths = predictions[:, chosen].astype(np.float64)
    pca = JointPCA.fit(paths.swapaxes(0, 1), 2)
    losses, targets, rows = on.losses(), on.sequences["probe"].targets, []
    for place, index in enumerate(chosen):
        own = models[models["model"] == index].sort_values("step").reset_index(drop=True)
        scores = pd.DataFrame(pca.transform(paths[:, place]), columns=["pc1", "pc2"])
        kept = own[["num_tasks", "step", "root_loss", "ood_loss"]]
        kept = kept.assign(kind="model", critical=own["step"] == own["critical_step"])
        rows.append(pd.concat([kept, scores], axis=1))
    fixed = [("ridge", 0, chosen[0], on.ridge["probe"])]
    counts = models.groupby("model")["num_tasks"].first()
    fixed += [("dmmse", int(counts[index]), index, on.dmmse["probe"]) for index in chosen if counts[index]]
    for kind, count, index, values in fixed:
        pc1, pc2 = pca.transform(values[index].flatten().double().numpy())
        row = {"num_tasks": count, "root_loss": per_token_loss(values[index], targets[index]).mean().item()}
        row |= {"ood_loss": losses[f"{kind}_ood_loss"][index], "kind": kind, "critical": False, "pc1": pc1, "pc2": pc2}
        rows.append(pd.DataFrame([row]))
    first, second = pca.explained_variance_ratio
    return pd.concat(rows, ignore_index=True).assign(explained_1=first, explained_2=second)


def _dmmse(world: RegressionTasks, inputs: Tensor, targets: Tensor) -> Tensor:
    if world.num_tasks is None:
        return ridge_prediction(inputs, targets, world.noise_variance)
    return dmmse_prediction(inputs, targets, world.noise_variance, world.task_set())
