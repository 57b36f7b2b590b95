"""The runs that a build or a sweep wants, known before they are made: notebook, parameters, key, target.

A job's target carries the content key of its run, so "is it up to date" is "does it exist": modification times, and
whatever Snakemake remembers of a killed build, do not matter.
"""

import dataclasses
import functools
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devinterp_core.companion import assemble, key, manifest, project
from devinterp_core.companion.parameters import as_arguments, check_overrides, read_notebook, read_parameters


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of one notebook, known before it is made."""

    notebook: Path
    overrides: Mapping[str, Any]
    key: str
    gpu: int

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return f"{self.notebook.stem}-{self.key}"

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return project.executed_folder(self.notebook.stem, self.key)

    @property
    def target(self) -> str:
        """The file that exists when the run is complete, relative to the root."""
        return (self.folder / assemble.PROVENANCE).relative_to(project.root()).as_posix()

    def arguments(self, position: str = "") -> list[str]:
        """The arguments of `python -m devinterp_core.companion run` that make it."""
        place = ["--position", position] if position else []
        return [self.notebook.stem, *as_arguments(self.overrides), "--key", self.key, *place]


def job(notebook: Path, overrides: Mapping[str, Any]) -> Job:
    """The job of executing `notebook` with `overrides`.

    Raises:
        CompanionError: for an unknown or ill-typed parameter.
    """
    parameters = read_parameters(read_notebook(notebook), notebook.name)
    checked = check_overrides(parameters, overrides)
    device = checked.get("device", parameters["device"].default if "device" in parameters else "cpu")
    needs_gpu = device != "cpu" and (device != "auto" or shutil.which("nvidia-smi") is not None)
    return Job(notebook, checked, key.key_of(notebook, checked), int(needs_gpu))


@functools.cache
def book_jobs() -> tuple[Job, ...]:
    """Every notebook of the book at its defaults."""
    return tuple(job(path, {}) for path in project.notebooks())


def positions(jobs: Sequence[Job]) -> dict[str, str]:
    """For each job that is not done yet, by name: `2 of 4`."""
    waiting = [each.name for each in jobs if not assemble.is_complete(each.folder)]
    return {name: f"{number} of {len(waiting)}" for number, name in enumerate(waiting, start=1)}


def withdraw_damaged(jobs: Sequence[Job]) -> None:
    """Delete finished runs that are not as they were written, so that they are made again; says which and why.

    To the build graph a run is there when its `run.json` is.
    """
    for each in jobs:
        if manifest.damage(each.folder):
            with project.run_lock(each.folder):
                if damage := manifest.damage(each.folder):
                    where = each.folder.relative_to(project.root()).as_posix()
                    print(f"{where} is damaged ({damage}) and is made again", file=sys.stderr, flush=True)
                    project.remove_folder(each.folder)
