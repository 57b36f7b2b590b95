r"""Distributions of in-context linear regression tasks, and sequences of examples drawn from them.

A sequence has one hidden task $t \in \mathbb R^D$ and $K$ examples $y_k = t \cdot x_k + \varepsilon_k$. Tasks come
from a finite set, one of a nested family, or from the limit of the family, the Gaussian prior.

Reference: Raventós et al. (2023), arXiv:2306.15063; Carroll et al. (2025), arXiv:2501.17745.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NUM_STORED_TASKS = 2**15  # the largest finite set of Carroll et al. (2025)


class Sequences(NamedTuple):
    """Examples in order of presentation."""

    inputs: Float[Tensor, "*batch example dim"]
    targets: Float[Tensor, "*batch example"]


@dataclass(frozen=True)
class RegressionTasks:
    r"""In-context linear regression with the tasks $\mathcal T_M = \{t_1, \ldots, t_M\}$, or with all of them.

    $t \sim \mathrm{Uniform}(\mathcal T_M)$, or $\mathcal N(0, I_D)$ for $M = \infty$; $x_k \sim \mathcal N(0, I_D)$;
    $y_k = t \cdot x_k + \varepsilon_k$, $\varepsilon_k \sim \mathcal N(0, \sigma^2)$. A finite set is the start of
    one list of `NUM_STORED_TASKS` normal tasks that belongs to `task_seed` and $D$, so that
    $\mathcal T_M \subset \mathcal T_{M'}$ for $M < M'$, and all sets share the root task $t_1$.

    Args:
        dim: $D$.
        num_examples: $K$, examples of a sequence.
        noise_variance: $\sigma^2 \ge 0$ of the targets, in squared target units.
        num_tasks: $M$, from 1 to `NUM_STORED_TASKS`; None is the Gaussian prior.
        task_seed: of the list of tasks.

    Raises:
        TypeError: if a count or the seed is not an integer.
        ValueError: if one of them is out of its range.
    """

    dim: int
    num_examples: int
    noise_variance: float
    num_tasks: int | None = None
    task_seed: int = 0

    def __post_init__(self):
        # Plain Python numbers, so that equal worlds have equal hashes and write equal JSON.
        for name in ("dim", "num_examples", "num_tasks", "task_seed"):
            value = getattr(self, name)
            if value is None and name == "num_tasks":
                continue
            try:
                object.__setattr__(self, name, operator.index(value))
            except TypeError:
                raise TypeError(f"{name} must be an integer, got {value!r}") from None
        object.__setattr__(self, "noise_variance", float(self.noise_variance))
        if self.dim < 1 or self.num_examples < 1:
            raise ValueError(f"dim and num_examples must be at least 1, got {self.dim} and {self.num_examples}")
        if not 0 <= self.noise_variance < math.inf:
            raise ValueError(f"noise_variance must be finite and not negative, got {self.noise_variance}")
        if self.num_tasks is not None and not 1 <= self.num_tasks <= NUM_STORED_TASKS:
            raise ValueError(
                f"num_tasks must be in 1..{NUM_STORED_TASKS} (the stored tasks), or None for the Gaussian prior; "
                f"got {self.num_tasks}"
            )
        if self.task_seed < 0:
            raise ValueError(f"task_seed must not be negative, got {self.task_seed}")

    @property
    def root_task(self) -> Float[Tensor, " dim"]:
        """$t_1$, which is in every finite set of this `task_seed`."""
        return _stored_tasks(self.dim, self.task_seed)[0].clone()

    def task_set(self) -> Float[Tensor, "tasks dim"]:
        r"""The tasks $\mathcal T_M$, one a row, as `dmmse_prediction` takes them.

        Raises:
            ValueError: for the Gaussian prior, which has no finite set.
        """
        if self.num_tasks is None:
            raise ValueError("the Gaussian prior (num_tasks=None) has no finite task set; give num_tasks")
        return _stored_tasks(self.dim, self.task_seed)[: self.num_tasks].clone()

    def draw(
        self,
        num_sequences: int,
        *,
        seed: int | torch.Generator,
        task: Float[Tensor, " dim"] | None = None,
        input_scale: float = 1.0,
        task_scale: float = 1.0,
        device: torch.device | str | None = None,
    ) -> Sequences:
        r"""Independent sequences, `inputs` of shape [sequence, example, dim] and `targets` of [sequence, example].

        $y = (g_t t) \cdot (g_x x) + \varepsilon$ where $g_x$ = `input_scale` and $g_t$ = `task_scale` are 1 unless a
        predictor is to be tested out of distribution. All calls with one seed have the same $x / g_x$ and
        $\varepsilon$, whatever the tasks.

        Args:
            num_sequences: how many, at least 1.
            seed: of the numbers, drawn on the CPU and so the same on every device; or a generator, advanced by the
                call, on whose device they are drawn.
            task: the task of every sequence, instead of draws from the prior; `root_task` gives the paper's $q_1$.
            input_scale: standard deviation of the inputs.
            task_scale: factor of the tasks.
            device: of the result; None leaves it where it was drawn.

        Raises:
            ValueError: if `num_sequences` is below 1 or `task` has the wrong shape.

        Reference: Hoogland et al. (2024), arXiv:2402.02364, whose evaluation multiplies inputs or tasks by 3 to 100.
        """
        if task is not None and task.shape != (self.dim,):
            raise ValueError(f"task must have shape ({self.dim},), got {tuple(task.shape)}")
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        inputs, targets = _draw((self,), num_sequences, generator, True, task, input_scale, task_scale)
        return Sequences(inputs[0].to(device), targets[0].to(device))


def draw_stacked(
    tasks: Sequence[RegressionTasks], num_sequences: int, generator: torch.Generator, shared: bool
) -> Sequences:
    """One batch for each of several models that train side by side, a model dimension in front.

    Args:
        tasks: one entry a model, alike in `dim`, `num_examples` and `noise_variance`.
        num_sequences: of each model, at least 1.
        generator: advanced by the call; the batch is drawn on its device.
        shared: all models get the same inputs and noise, and the same task where their prior is Gaussian; the tasks of
            finite sets are chosen by the same uniform number. Each model then has the data that `draw` gives it alone
            from a generator in the same state. Otherwise models are independent.

    Returns:
        `inputs` of shape [model, sequence, example, dim], which if shared are one memory seen by all models, so not to
        be written to; `targets` of shape [model, sequence, example].

    Raises:
        ValueError: if there are no tasks, they are not alike, or `num_sequences` is below 1.
    """
    return _draw(tuple(tasks), num_sequences, generator, shared)


@lru_cache(maxsize=32)
def _stored_tasks(dim: int, task_seed: int) -> Float[Tensor, "stored dim"]:
    """The list of all tasks, generated whole: a shorter draw from the same seed need not be its beginning."""
    # Hashed, so that sequences drawn with the same number as a seed do not repeat the tasks as their inputs.
    seed = int(np.random.SeedSequence([task_seed, NUM_STORED_TASKS]).generate_state(1)[0])
    return torch.randn(NUM_STORED_TASKS, dim, generator=torch.Generator().manual_seed(seed))


class _Priors(NamedTuple):
    """The priors of several models, in the form that one indexing operation draws from."""

    lists: Float[Tensor, "row dim"]  # the task lists of all task seeds, one after the other
    first_row: Int[Tensor, "model 1"]
    num_tasks: Float[Tensor, "model 1"]
    gaussian: Bool[Tensor, "model 1 1"]


@lru_cache(maxsize=16)
def _priors(tasks: tuple[RegressionTasks, ...], device: str) -> _Priors:
    alike = {(entry.dim, entry.num_examples, entry.noise_variance) for entry in tasks}
    if len(alike) != 1:
        raise ValueError(
            "draw_stacked needs at least one entry of tasks, all alike in (dim, num_examples, noise_variance); "
            f"got {sorted(alike)}"
        )
    seeds = sorted({entry.task_seed for entry in tasks})
    return _Priors(
        torch.cat([_stored_tasks(tasks[0].dim, seed) for seed in seeds]).to(device),
        torch.tensor([[seeds.index(entry.task_seed) * NUM_STORED_TASKS] for entry in tasks], device=device),
        torch.tensor([[entry.num_tasks or 1] for entry in tasks], dtype=torch.float64, device=device),
        torch.tensor([[[entry.num_tasks is None]] for entry in tasks], device=device),
    )


def _draw(
    tasks: tuple[RegressionTasks, ...],
    num_sequences: int,
    generator: torch.Generator,
    shared: bool,
    task: Float[Tensor, " dim"] | None = None,
    input_scale: float = 1.0,
    task_scale: float = 1.0,
) -> Sequences:
    """The draws of `draw` and `draw_stacked`: two calls of the generator, whatever the number of models."""
    if num_sequences < 1:
        raise ValueError(f"num_sequences must be at least 1, got {num_sequences}")
    device = generator.device
    priors = _priors(tasks, str(device))
    dim, num_examples = tasks[0].dim, tasks[0].num_examples
    rows = (1 if shared else len(tasks), num_sequences)
    widths = (num_examples * dim, num_examples, dim)
    normals = torch.randn(*rows, sum(widths), generator=generator, device=device)
    uniform = torch.rand(rows, generator=generator, device=device, dtype=torch.float64)
    inputs, noise, normal_task = normals.split(widths, dim=-1)
    if task is None:
        row = priors.first_row + (uniform * priors.num_tasks).long()  # [model, sequence]
        task = torch.where(priors.gaussian, normal_task, priors.lists[row])  # [model, sequence, dim]
    else:
        task = task.to(normals).expand(len(tasks), num_sequences, dim)
    inputs = input_scale * inputs.unflatten(-1, (num_examples, dim))  # [model or 1, sequence, example, dim]
    clean = (inputs * (task_scale * task).unsqueeze(-2)).sum(-1)
    return Sequences(inputs.expand(len(tasks), -1, -1, -1), clean + math.sqrt(tasks[0].noise_variance) * noise)
