"""Training data of in-context regression: fresh sequences at every step, for several models side by side."""

from dataclasses import dataclass
from typing import ClassVar

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
        max_steps: the same for all streams; the next step of a seed would be step 0 of the next seed.

    Raises:
        ValueError: if `batch_size` is below 1 or there are no tasks; when called with a step outside 0..max_steps - 1.
    """

    tasks: tuple[RegressionTasks, ...]
    batch_size: int
    seed: int = 0
    shared: bool = False
    max_steps: ClassVar[int] = 1_000_003

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not self.tasks:
            raise ValueError(f"need tasks and batch_size >= 1, got {len(self.tasks)} tasks and {self.batch_size}")

    def __call__(
        self, step: int
    ) -> tuple[Float[Tensor, "model seq position width"], Float[Tensor, "model seq example"]]:
        """Tokens and targets of one step."""
        if not 0 <= step < self.max_steps:
            raise ValueError(
                f"step {step} is outside 0..{self.max_steps - 1}, the steps of seed {self.seed}: beyond, batches would "
                "be those of another seed; for more data use a larger batch_size"
            )
        generator = torch.Generator().manual_seed((self.seed * self.max_steps + step) * 2 + 1)
        sequences = draw_stacked(self.tasks, self.batch_size, generator, self.shared)
        return to_tokens(sequences), sequences.targets


def sequence_loss(
    model: nn.Module, batch: tuple[Float[Tensor, "seq position width"], Float[Tensor, "seq example"]]
) -> Float[Tensor, " seq"]:
    r"""Mean squared error over the examples of each sequence, $\tfrac1K \sum_k (\hat y_k - y_k)^2$."""
    tokens, targets = batch
    return per_token_loss(read_predictions(model(tokens)), targets).mean(-1)
