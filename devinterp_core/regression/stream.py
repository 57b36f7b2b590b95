"""Training data of in-context regression: fresh sequences at every step, for several models side by side."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from devinterp_core.regression.tasks import RegressionTasks, draw_stacked
from devinterp_core.regression.tokens import per_token_loss, read_predictions, to_tokens


@dataclass(frozen=True)
class RegressionStream:
    """Batches of a training run; `train` calls it with the step.

    Attributes:
        tasks: the task distribution of each model.
        batch_size: sequences of each model a step.
        seed: of the sequences.
        shared: all models see the same inputs and noise (see `draw_stacked`).

    Raises:
        ValueError: if `batch_size` is below 1 or there are no tasks.
    """

    tasks: tuple[RegressionTasks, ...]
    batch_size: int
    seed: int = 0
    shared: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not self.tasks:
            raise ValueError(f"need tasks and batch_size >= 1, got {len(self.tasks)} tasks and {self.batch_size}")

    def __call__(
        self, step: int
    ) -> tuple[Float[Tensor, "model seq position width"], Float[Tensor, "model seq example"]]:
        """Tokens and targets of one step."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 2 + 1)
        sequences = draw_stacked(self.tasks, self.batch_size, generator, self.shared)
        return to_tokens(sequences), sequences.targets


def sequence_loss(
    model: nn.Module, batch: tuple[Float[Tensor, "seq position width"], Float[Tensor, "seq example"]]
) -> Float[Tensor, " seq"]:
    r"""Mean squared error over the examples of each sequence, $\tfrac1K \sum_k (\hat y_k - y_k)^2$."""
    tokens, targets = batch
    return per_token_loss(read_predictions(model(tokens)), targets).mean(-1)
