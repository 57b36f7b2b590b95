"""What transformers of in-context regression do and how they are built, at every checkpoint of their training."""

from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from devinterp_core import regression
from devinterp_core.train import Checkpoints
from devinterp_core.transformer import attention_entropy, attention_variability, collapsed_share
from devinterp_core.vectorized import stacked_outputs

ATTENTION_SEQUENCES = 128  # on which entropy and variability are averaged


def behaviour(
    checkpoints: Checkpoints,
    steps: Iterable[int],
    world: regression.RegressionTasks,
    *,
    num_sequences: int,
    input_scales: Sequence[float] = (),
    seed: int = 0,
) -> tuple[pd.DataFrame, float]:
    r"""Loss, distance to ridge regression, power of the predictions and in-context learning score of every model.

    Args:
        checkpoints: of models that read `regression.to_tokens`.
        steps: the kept steps at which they are measured.
        world: the tasks they were trained on.
        num_sequences: of the world, seed 10,000 + `seed`, and of each stretch, seed 20,000 + `seed`.
        input_scales: factors $g$ of out-of-distribution inputs.
        seed: of the sequences.

    Returns:
        A row for each step and `seed` of the run: `loss` (mean squared error over examples), `ridge_gap` (mean square
        of the distance to ridge regression), `prediction_power` (mean square of the predictions), `icl_score` (loss at
        the last example minus loss at the first), and for each $g$ `ood_g`, the loss on stretched inputs, and
        `relative_g`, that over the expected loss of predicting zero, $D g^2 + \sigma^2$. And the score of ridge
        regression on the same sequences.

    Source: Hoogland et al. (2024), behavioural indicators of the linear regression setting, and their released code.
    """
    test = world.draw(num_sequences, seed=10_000 + seed)
    ridge = regression.ridge_prediction(*test, world.noise_variance)
    stretched = {g: world.draw(num_sequences, seed=20_000 + seed, input_scale=g) for g in input_scales}
    rows = []
    for step in steps:
        parameters = checkpoints.load(step)
        predictions = _predictions(checkpoints, parameters, test)
        loss = regression.per_token_loss(predictions, test.targets).mean(1)  # [seed, example]
        row = {
            "loss": loss.mean(1),
            "ridge_gap": regression.per_token_loss(predictions, ridge).mean((1, 2)),
            "prediction_power": predictions.square().mean((1, 2)),
            "icl_score": loss[:, -1] - loss[:, 0],
        }
        for g, sequences in stretched.items():
            outputs = _predictions(checkpoints, parameters, sequences)
            row[f"ood_{g:g}"] = regression.per_token_loss(outputs, sequences.targets).mean((1, 2))
            row[f"relative_{g:g}"] = row[f"ood_{g:g}"] / (world.dim * g**2 + world.noise_variance)
        rows.append(_by_seed(row, step))
    of_ridge = regression.per_token_loss(ridge, test.targets).mean(0)
    return pd.concat(rows, ignore_index=True), float(of_ridge[-1] - of_ridge[0])


def structure(checkpoints: Checkpoints, steps: Iterable[int]) -> pd.DataFrame:
    """LayerNorm scales and the embedding of every model.

    Returns:
        A row for each step and `seed`: `unembedding` and `first_attention`, norms of the scales before the unembedding
        and before the attention of the first block; `collapsed`, the share of all scales below 0.1; `embedding_ratio`,
        smallest over largest singular value of the embedding.

    Source: Hoogland et al. (2024), structural indicators of the linear regression setting.
    """
    rows = []
    for step in steps:
        parameters = checkpoints.load(step)
        scales = {name: values for name, values in parameters.items() if name.endswith(".w")}
        singular = torch.linalg.svdvals(parameters["embed.W_E"])
        row = {
            "unembedding": scales["ln_final.w"].norm(dim=1),
            "first_attention": scales["blocks.0.ln1.w"].norm(dim=1),
            "collapsed": collapsed_share(torch.cat(list(scales.values()), dim=1)),
            "embedding_ratio": singular[:, -1] / singular[:, 0],
        }
        rows.append(_by_seed(row, step))
    return pd.concat(rows, ignore_index=True)


def attention(
    checkpoints: Checkpoints, steps: Iterable[int], tokens: Float[Tensor, "sequence position channel"], num_layers: int
) -> pd.DataFrame:
    """Entropy (nats) and variability of every head's attention: `step`, `seed`, `layer`, `head`, and the two.

    Args:
        checkpoints: of models with the hooks of `devinterp_core.transformer`.
        steps: the kept steps at which they are measured.
        tokens: sequences; the first 128 are used.
        num_layers: of the models.
    """
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(num_layers)]
    rows = []
    for step in steps:
        for seed in range(checkpoints.num_models):
            with torch.no_grad():
                cache = checkpoints.model(step, seed).run_with_cache(tokens[:ATTENTION_SEQUENCES], names)[1]
            for layer, name in enumerate(names):
                measures = zip(attention_entropy(cache[name]), attention_variability(cache[name]), strict=True)
                rows += [(step, seed, layer, head, *map(float, pair)) for head, pair in enumerate(measures)]
    return pd.DataFrame(rows, columns=["step", "seed", "layer", "head", "entropy", "variability"])


def _predictions(
    checkpoints: Checkpoints, parameters: dict[str, Tensor], sequences
) -> Float[Tensor, "seed sequence example"]:
    tokens = regression.to_tokens(sequences)
    return regression.read_predictions(stacked_outputs(checkpoints.template, parameters, tokens))


def _by_seed(row: dict[str, Tensor], step: int) -> pd.DataFrame:
    table = pd.DataFrame({name: values.numpy() for name, values in row.items()})
    return table.assign(step=step, seed=range(len(table)))
