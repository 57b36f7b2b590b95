"""The engine of every run: jobs one after the other, each advancing its chains, saved and resumed on the way."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from tqdm import tqdm

from devinterp_core.locks import writing
from devinterp_core.vectorized import keep_freed_memory, kept_random_state

from . import checkpoint as checkpoints
from .curvature import largest_curvature
from .settings import Settings
from .target import Target

# Steps from which a traced gradient is used: a few tenths of a second, repaid within a few hundred steps.
TRACE_FROM = 100


class DivergenceError(RuntimeError):
    """Every chain left the finite numbers. Names the step and a step size that is stable at $w^*$."""


@runtime_checkable
class Job(Protocol):
    """Chains that advance together."""

    step: int

    def steps(self) -> Iterator[int]:
        """Advance to the end, yielding the number of steps taken after each."""

    def arrays(self, num_draws: int | None = None) -> Any:
        """What was recorded."""

    def num_drawn(self) -> int | None:
        """Number of draws if the last step ended with one."""

    def snapshot(self) -> dict[str, Any]:
        """Everything that the next step depends on."""

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue where `snapshot` was taken."""


def run_jobs(
    jobs: Sequence[Callable[[], Job]],
    run: Settings,
    *,
    device: torch.device,
    progress: bool,
    checkpoint: Path | None = None,
    key: Callable[[], str] = str,
    stop: Callable[[Any], bool] | None = None,
    shared: dict[str, torch.Tensor] | None = None,
) -> list[Any]:
    """Advance every job to its end.

    Args:
        jobs: makers of jobs; one is made when its turn has come.
        run: settings, the same for all.
        device: of the chains.
        progress: show a progress bar.
        checkpoint: file that holds finished jobs and the state of the present one.
        key: of everything that the draws depend on; asked for where there is a checkpoint.
        stop: given the records so far, whether they are enough; of a single job.
        shared: tensors that the jobs fill together.

    Returns:
        The arrays of each job.

    Raises:
        ValueError: a checkpoint that is damaged or of another run, or with `stop`; `stop` for several jobs.
        OSError: a checkpoint that cannot be written, before any step.
    """
    if stop is not None and (len(jobs) > 1 or checkpoint is not None):
        raise ValueError("stop is for chains that advance together (raise memory_budget) and goes without a checkpoint")
    if checkpoint is None:
        return _advance(jobs, run, device, progress, None, lambda content: None, stop)
    own_key = key()
    saved = checkpoints.load(checkpoint, own_key)
    if saved is not None and len(saved["finished"]) == len(jobs):
        return saved["finished"]  # also from where nothing can be written
    with writing(checkpoint, "the checkpoint"):
        saved = checkpoints.load(checkpoint, own_key)  # another process may have gone on meanwhile
        for name, tensor in (shared or {}).items() if saved else ():
            tensor.copy_(saved["shared"][name])
        save = lambda content: checkpoints.save(checkpoint, own_key, content | {"shared": shared or {}})
        return _advance(jobs, run, device, progress, saved, save, stop)


def _advance(
    jobs: Sequence[Callable[[], Job]],
    run: Settings,
    device: torch.device,
    progress: bool,
    saved: dict[str, Any] | None,
    save: Callable[[dict[str, Any]], None],
    stop: Callable[[Any], bool] | None,
) -> list[Any]:
    keep_freed_memory()
    finished: list[Any] = list(saved["finished"]) if saved else []
    with tqdm(total=len(jobs) * run.num_steps, disable=not progress, unit="step", desc=run.method) as bar:
        bar.update(len(finished) * run.num_steps)
        for index in range(len(finished), len(jobs)):
            # A loss or a dropout layer that draws from the global state gets a seeded copy of it.
            with kept_random_state(device):
                job = jobs[index]()
                if saved and saved["job"] == index:
                    job.restore(saved["state"])
                    bar.update(job.step)
                arrays = None
                for step in job.steps():
                    bar.update()
                    if step % run.checkpoint_every == 0:
                        save({"finished": finished, "job": index, "state": job.snapshot()})
                    drawn = job.num_drawn() if stop is not None else None
                    if drawn is not None and drawn % run.stop_every == 0 and stop(job.arrays(drawn)):
                        arrays = job.arrays(drawn)
                        break
                finished = [*finished, job.arrays() if arrays is None else arrays]
            save({"finished": finished, "job": -1, "state": None})
    return finished


def check_divergence(diverged_at: Any, targets: Sequence[Target], run: Settings, what: str) -> None:
    """Refuse a run of which no chain is left.

    Raises:
        DivergenceError: with the last step and a smaller step size.
    """
    if bool((diverged_at < 0).any()):
        return
    raise DivergenceError(
        f"{what} diverged, the last at step {int(diverged_at.max())} of {run.num_steps} with step_size "
        f"{run.step_size:g}; {_advice(targets, run)}, or see devinterp_core.calibration.calibrate"
    )


def _advice(targets: Sequence[Target], run: Settings) -> str:
    """A smaller step size, from the curvature where it can be had."""
    try:
        limit = 1 / max(largest_curvature(target) for target in targets)
    except Exception:  # noqa: BLE001  advice must not hide what it is given for
        limit = float("inf")
    if limit < run.step_size:
        return f"try step_size <= {limit:.2g} (one over the largest curvature at w*)"
    return f"try step_size <= {run.step_size / 4:.2g}, a quarter: the curvature is larger on the way than at w*"
