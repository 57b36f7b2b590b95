"""Executing one notebook: percent file in, a complete folder under `_build/executed/<notebook>-<key>` out, or nothing.

The notebook is converted, executed by papermill in a scratch folder and cleaned; the folder gets its name in one rename
at the end. It holds `notebook.ipynb`, the figures and `claims.json` that the notebook wrote, and the provenance,
`run.json`.
"""

import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from papermill import execute_notebook
from papermill.exceptions import PapermillExecutionError

from devinterp_core.companion import (
    assemble,
    cleaning,
    kernel,
    key,
    manifest,
    parameters,
    project,
    prose,
    provenance,
    surroundings,
)
from devinterp_core.companion.parameters import check_overrides, read_notebook, read_parameters

TIMEOUT = 86400.0  # seconds for a whole notebook; the Snakefile gives it an hour
START_TIMEOUT = 120  # seconds for a kernel to come up on a busy machine


class RunError(project.CompanionError):
    """A notebook that did not run to its end; the message holds the failing cell and its traceback."""


def prepare(notebook: Path, overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The checked overrides and the inputs of a run, before anything is started.

    Raises:
        CompanionError: for an unknown or ill-typed parameter.
    """
    checked = check_overrides(read_parameters(read_notebook(notebook), notebook.name), overrides)
    return checked, key.inputs(notebook, checked)


def run(
    notebook: Path,
    overrides: Mapping[str, Any],
    *,
    force: bool = False,
    timeout: float = TIMEOUT,
    position: str = "",
    expected_key: str = "",
) -> Path:
    """The folder of the executed `notebook` with `overrides`, from the cache if its key is there.

    Args:
        notebook: path of the percent file.
        overrides: parameters by name.
        force: execute even if the result is there.
        timeout: seconds that the whole notebook may take.
        position: such as `2 of 4`, shown in the progress lines.
        expected_key: the key that the build graph computed when it was read.

    Raises:
        CompanionError: before a kernel starts, if the parameters do not fit or the sources were edited since the graph
            was read.
        RunError: if a cell fails, the time runs out, or the notebook reads data that its key does not cover.
    """
    checked, inputs = prepare(notebook, overrides)
    found = key.content_key(inputs)
    if expected_key not in ("", found):
        raise project.CompanionError(f"{notebook.stem} was edited after the build had started; build again")
    destination = project.executed_folder(notebook.stem, found)
    progress = kernel.Progress(notebook.stem, position)
    with project.run_lock(destination):
        if not force:
            if assemble.is_complete(destination):
                progress.say(f"nothing to do, {_shown(destination)} is up to date")
                return destination
            if damage := manifest.damage(destination):
                progress.say(f"the run in {_shown(destination)} is damaged ({damage}) and is made again")
        with project.scratch_folder(destination.parent, destination.name) as scratch:
            result = scratch / "result"
            result.mkdir()
            seconds, cpu_seconds, opened = _execute(notebook, checked, scratch, result, progress, timeout)
            if key.inputs(notebook, checked) != inputs:
                raise RunError(f"{notebook.stem}: its sources were edited while it ran; run it again")
            manifest.seal(result, provenance.record(notebook.stem, inputs, seconds, cpu_seconds, opened))
            project.swap_folder(result, destination)
        progress.say(f"done in {seconds:.0f} s -> {_shown(destination)}")
    return destination


def _execute(
    notebook: Path, overrides: dict[str, Any], scratch: Path, result: Path, progress: kernel.Progress, timeout: float
) -> tuple[float, float, set[Path]]:
    """Execute in `scratch`, leave the clean notebook in `result`; seconds, CPU seconds, files under `data/` it read."""
    source = scratch / "source.ipynb"
    nbformat.write(read_notebook(notebook), source)
    template = str(source).replace("{", "{{").replace("}", "}}")  # papermill formats the path with the parameters
    deadline = time.monotonic() + timeout
    began, used = time.monotonic(), _cpu_of_children()
    with surroundings.of_kernel(scratch, result):
        for attempt in (1, 2):
            try:
                executed = execute_notebook(
                    template,
                    None,
                    parameters=overrides or None,
                    engine_name="companion",
                    kernel_name=parameters.KERNEL["name"],  # of this Python, whatever kernels the user has
                    language=parameters.KERNEL["language"],
                    progress_bar=False,
                    start_timeout=START_TIMEOUT,
                    cwd=notebook.parent,
                    progress=progress,
                    timeout_func=lambda cell: max(1, int(deadline - time.monotonic())),
                )
                break
            except PapermillExecutionError as failure:
                raise RunError(f"{notebook.stem} failed in code cell {failure.exec_count}:\n{failure}") from None
            except TimeoutError as failure:
                if progress.cells:
                    raise RunError(f"{notebook.stem} did not finish within {timeout:.0f} s:\n{failure}") from None
                _start_again(attempt, failure, progress)
            except RuntimeError as failure:  # the kernel died: while starting it is worth another try, later it is not
                if progress.cells:
                    raise RunError(f"{notebook.stem}: the kernel died (out of memory?): {failure}") from None
                _start_again(attempt, failure, progress)
    nbformat.write(prose.resolved(cleaning.clean(executed)), result / assemble.NOTEBOOK)
    opened = surroundings.reads(scratch)
    _check_reads(opened, notebook, overrides)
    return time.monotonic() - began, _cpu_of_children() - used, opened


def _cpu_of_children() -> float:
    """CPU seconds of the processes started here that have ended: kernels, with those that they have waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _start_again(attempt: int, failure: Exception, progress: kernel.Progress) -> None:
    if attempt == 2:
        raise RunError(f"the kernel did not start, twice: {failure}") from None
    progress.say(f"the kernel did not start ({failure}); trying once more")


def _check_reads(opened: set[Path], notebook: Path, overrides: Mapping[str, Any]) -> None:
    """Refuse a run that opened a data file its key does not cover: a later change of the file would go unnoticed."""
    covered = key.inputs(notebook, overrides)["data"]
    kept = [project.root() / "data" / kind for kind in key.DATA_FOLDERS]
    for path in sorted(opened):
        inside = path.is_file() and any(path.is_relative_to(folder) for folder in kept)
        if inside and path.relative_to(project.root()).as_posix() not in covered:
            raise RunError(
                f"{notebook.stem} read {_shown(path)}, but its code does not name that file: write '{path.name}' (or "
                "the name of its folder) in a code cell, so that the notebook is executed again when the file changes"
            )


def deliver(folder: Path, output: Path) -> None:
    """Copy a finished run to `output`: the notebook alone if the name ends in `.ipynb`, otherwise the whole folder.

    Raises:
        CompanionError: if the run is damaged, `output` is a folder that is not a run, or it is a file where a folder is
            asked for.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    alone = output.suffix == ".ipynb"
    is_run = (output / assemble.PROVENANCE).is_file()
    if alone and output.is_dir():
        raise project.CompanionError(f"{output} is a folder; choose another --output for the notebook")
    if not alone and output.exists() and not is_run and (not output.is_dir() or any(output.iterdir())):
        raise project.CompanionError(f"{output} is there already and is not a run; choose another --output")
    with project.scratch_folder(output.absolute().parent, output.name) as scratch:
        manifest.copy(folder, scratch / "result")
        if alone:
            os.replace(scratch / "result" / assemble.NOTEBOOK, output)
        else:
            project.swap_folder(scratch / "result", output)


def _shown(path: Path) -> str:
    return path.relative_to(project.root()).as_posix() if path.is_relative_to(project.root()) else str(path)
