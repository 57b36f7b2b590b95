"""From an executed notebook to the page of the book: outputs from the run, everything else from the percent file.

The key of a run covers code only, so its outputs stay valid while prose, captions, alt text and tags are edited: the
page is the percent file as it stands now with the outputs laid into its code cells. Nothing in the result varies
between two runs but the outputs themselves, and `jupytext --sync` finds nothing to change in the pair.
"""

import contextlib
import json
import shutil
from pathlib import Path

import nbformat
from nbformat.v4.rwbase import split_lines

from devinterp_core.companion import cleaning, manifest, project, prose
from devinterp_core.companion.parameters import read_notebook
from devinterp_core.files import write_atomically

NOTEBOOK = "notebook.ipynb"  # the names inside the folder of a run
PROVENANCE = manifest.RECORD
CLAIMS = "claims.json"


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds a finished run, every file of it as the run wrote it."""
    return not manifest.problem(folder)


def page(percent: Path, executed: Path) -> nbformat.NotebookNode:
    """The notebook of the book: `percent` as it stands with the outputs of `executed`, a run of its default parameters.

    Raises:
        CompanionError: if the code cells of the two differ, or the run has an error output or injected parameters.
    """
    notebook = read_notebook(percent)
    run = nbformat.read(executed, as_version=4)
    fresh = [cell for cell in notebook.cells if cell.cell_type == "code"]
    done = [cell for cell in run.cells if cell.cell_type == "code"]
    if [cell.source for cell in fresh] != [cell.source for cell in done]:
        raise project.CompanionError(f"{executed} was not made from the code of {percent.name} at its defaults")
    for cell, source in zip(fresh, done, strict=True):
        if any(output.output_type == "error" for output in source.outputs):
            raise project.CompanionError(f"{executed} holds the output of an error")
        cell.outputs, cell.execution_count = source.outputs, source.execution_count
    return cleaning.clean(notebook)


def place(percent: Path, folder: Path) -> Path:
    """Put the page of `percent` beside it as `.ipynb`, from the run in `folder`; edits found there are kept aside.

    Returns:
        The path of the page, `notebooks/NN_name.ipynb`.
    """
    destination = percent.with_suffix(".ipynb")
    notebook = page(percent, folder / NOTEBOOK)
    # nbformat would sort the keys of the cell headers, which to `jupytext --sync` is a change
    text = json.dumps(split_lines(notebook), indent=1, ensure_ascii=False) + "\n"
    if destination.exists():
        if destination.read_bytes() == text.encode():
            return destination
        _keep_edits(destination)
    write_atomically(destination, lambda path: path.write_text(text, encoding="utf-8"))
    _mark(destination).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(_mark(destination), lambda path: path.write_text(json.dumps(_sources(destination))))
    return destination


def _keep_edits(destination: Path) -> None:
    """Copy a notebook whose cells a person changed since it was placed, and did not sync, before it is replaced."""
    mark = _mark(destination)
    with contextlib.suppress(OSError, ValueError):  # a mark that cannot be read is none
        if json.loads(mark.read_bytes()) == _sources(destination):
            return
    percent = [cell.source for cell in read_notebook(destination.with_suffix(".py")).cells]
    if _sources(destination) == percent:
        return
    aside = destination.with_name(f"{destination.stem}.edited.ipynb")
    shutil.copy2(destination, aside)
    print(f"{destination.name} had edits that its .py does not have; they are kept in notebooks/{aside.name}")


def marks_folder() -> Path:
    """Where it is noted which cells each page was placed with."""
    return project.build_folder() / "placed"


def _mark(destination: Path) -> Path:
    return marks_folder() / f"{destination.stem}.json"


def _sources(path: Path) -> list[str]:
    try:
        return [cell.source for cell in nbformat.read(path, as_version=4).cells]
    except Exception:  # whatever is in the way is not a notebook: it cannot equal one
        return []


def readable(percent: Path, folder: Path, destination: Path) -> None:
    """Write the page of `percent` as a notebook that any reader of notebooks shows: values and citations are text."""
    nbformat.write(prose.resolved(page(percent, folder / NOTEBOOK)), destination)


def downloads(folder: Path, destination: Path) -> None:
    """Copy what a reader may want from the run in `folder` (figures, plotted numbers, claims) to `destination`."""
    destination.mkdir(parents=True, exist_ok=True)
    for name in (*manifest.read(folder)[manifest.FILES], PROVENANCE):
        if Path(name).suffix in (".svg", ".pdf", ".csv", ".png") or name in (CLAIMS, PROVENANCE):
            shutil.copyfile(folder / name, destination / Path(name).name)
