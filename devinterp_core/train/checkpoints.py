"""Checkpoints of a training run on disk: safetensors, one file a step, all models of the run stacked in it."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from devinterp_core.files import load_json, load_tensors, save_json, save_tensors
from devinterp_core.vectorized import own_copy

FORMAT = 2  # from 2 on all files of a run carry checksums
RECORD = "training.json"  # written last: a folder without it is unfinished
LOSSES = "losses.safetensors"
REMEDY = (
    "delete it and train again: an unfinished run continues from its last saved state, a finished one is trained anew, "
    "to the same numbers"
)


def step_file(step: int) -> str:
    """Name of the file of one step."""
    return f"step_{step:08d}.safetensors"


class Checkpoints:
    """The checkpoints of a finished run.

    Args:
        folder: where they lie.
        model: the architecture; its parameters are not used.

    Raises:
        ValueError: no finished run in the folder, or checkpoints of another architecture.
    """

    def __init__(self, folder: str | os.PathLike, model: nn.Module):
        self.folder, self.template = Path(folder), model
        try:
            self.record = load_json(self.folder / RECORD, require=False, remedy=REMEDY)
        except OSError:
            raise ValueError(f"{self.folder} holds no finished training run (no {RECORD})") from None
        try:
            self.steps: list[int] = [int(step) for step in self.record["steps"]]
            self.num_models = int(self.record["num_models"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.folder / RECORD} is damaged (no {error}); {REMEDY}") from None
        self._checked = self.record.get("format", 1) >= FORMAT  # records of earlier versions have no checksums
        self._run = str(self.record.get("key", "")) if self._checked else ""
        self._check_architecture(read(self.path(self.steps[0]), self._checked, self._run))

    def path(self, step: int) -> Path:
        """The file of one step."""
        return self.folder / step_file(step)

    def load(self, step: int) -> dict[str, Float[Tensor, "model ..."]]:
        """Parameters of all models after `step` steps, in the dtype of the architecture.

        Raises:
            ValueError: a step that was not kept, or a file that is not whole.
        """
        if step not in self.steps:
            raise ValueError(f"no checkpoint of step {step}; there are {self.steps}")
        tensors = read(self.path(step), self._checked, self._run)
        self._check_architecture(tensors)
        return {name: tensors[name].to(p.dtype) for name, p in self.template.named_parameters()}

    def vectors(self, step: int) -> Float[Tensor, "model coordinate"]:
        """The same, each model's parameters flattened in `named_parameters` order."""
        return torch.cat([tensor.reshape(len(tensor), -1) for tensor in self.load(step).values()], dim=1)

    def model(self, step: int, index: int = 0) -> nn.Module:
        """One model of the run as a module."""
        model, tensors = own_copy(self.template), self.load(step)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(tensors[name][index])
        return model

    def losses(self) -> Float[Tensor, "step model"]:
        """Training loss of every step on its own batch, before the step."""
        return read(self.folder / LOSSES, self._checked, self._run)["losses"]

    def nearest(self, step: float) -> int:
        """The kept step nearest to `step`."""
        return min(self.steps, key=lambda kept: abs(kept - step))

    def spaced(self, count: int, first: float, last: float | None = None) -> list[int]:
        """The kept steps nearest to `count` steps spaced evenly on a logarithmic axis, each once.

        Args:
            count: how many are asked; where checkpoints are rarer, fewer come.
            first: at least 1.
            last: the end of training if left out.

        Raises:
            ValueError: no steps asked, or ends the wrong way round.
        """
        last = max(self.steps) if last is None else last
        if count < 1 or not 1 <= first <= last:
            raise ValueError(f"need count >= 1 and 1 <= first <= last, got {count}, {first} and {last}")
        return sorted({self.nearest(step) for step in np.geomspace(first, last, count)})

    def export(self, folder: str | os.PathLike, steps: Sequence[int], dtype: torch.dtype = torch.float16) -> None:
        """Copy some checkpoints, in `dtype`, to a folder of their own that `Checkpoints` reads; losses stay behind.

        Raises:
            ValueError: no steps, a step that was not kept, or the folder of this run.
        """
        folder, steps = Path(folder), sorted(set(steps))
        if not steps or folder.resolve() == self.folder.resolve():
            raise ValueError(f"need steps, and a folder other than {self.folder}; got {steps} and {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            tensors = {name: tensor.to(dtype) for name, tensor in self.load(step).items()}
            write(folder / self.path(step).name, tensors, self._run)
        write_record(folder, {**self.record, "steps": steps})

    def _check_architecture(self, tensors: dict[str, Tensor]) -> None:
        expected = {name: tuple(p.shape) for name, p in self.template.named_parameters()}
        found = {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()}
        if expected != found:
            wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))[:3]
            detail = "; ".join(f"{n}: {found.get(n, 'missing')}, expected {expected.get(n, 'none')}" for n in wrong)
            raise ValueError(
                f"the checkpoints in {self.folder} belong to another architecture ({detail}): give the "
                f"model that was trained, or {REMEDY}"
            )


def read(path: Path, require: bool = True, run: str = "") -> dict[str, Tensor]:
    """The tensors of a file; `require` refuses one without a checksum, `run` one of another run or of another name.

    Raises:
        ValueError: if it is missing, damaged or out of place; it is left as it is.
    """
    try:
        tensors, metadata = load_tensors(path, require=require, remedy=REMEDY)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; train again to have it, or use steps that were kept") from None
    if run and (metadata.get("name"), metadata.get("run")) != (path.name, run):
        named = {"name", "run"} <= set(metadata)
        found = f"{metadata['name']} of run {metadata['run'][:12]}" if named else "another file"
        raise ValueError(f"{path} holds {found}, not {path.name} of run {run[:12]}; {REMEDY}")
    return tensors


def write(path: Path, tensors: dict[str, Tensor], run: str = "") -> None:
    """Write so that a kill at any moment leaves the old file or the new one, whole; `run` is the key of the run."""
    save_tensors(path, tensors, {"name": path.name, "run": run} if run else None)


def write_record(folder: Path, record: dict) -> None:
    """Mark the run in `folder` as finished."""
    save_json(folder / RECORD, {**record, "format": FORMAT})
