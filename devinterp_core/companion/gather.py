"""From finished runs to the files of a recording: tables of figures, rows joined, and the folder swapped in whole.

Tables are gathered as text, so that a number in a recorded file is to the digit what the figure's table says.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from devinterp_core.companion import follows, manifest, project, sweep
from devinterp_core.companion.recorded_tables import PROVENANCE
from devinterp_core.companion.recordings import Recording, Source, Step


def put_in_place(recording: Recording, step: Step, folders: Sequence[Path], entry: Mapping[str, Any]) -> None:
    """Make the files of `step` from its finished runs in `folders`, and their provenance; nothing is left half-made.

    Args:
        recording: whose other steps keep the files and the provenance that they have.
        step: one of its steps.
        folders: of its runs, in order.
        entry: the provenance of the step but for its files.

    Raises:
        CompanionError: if a run has not left what the declaration says.
    """
    with project.scratch_folder(recording.folder.parent, recording.name) as scratch:
        result = scratch / "result"
        result.mkdir()
        for name, source in step.files.items():
            if step.sweep is not None:
                sweep.collect(sweep.read(step.sweep)).to_csv(result / name, index=False)
            elif source.copy:
                _copy(folders[(source.run or 1) - 1], source.file, result / name)
            else:
                table(source, folders).to_csv(result / name, index=False)
        made = {**entry, "files": manifest.digests(result)}
        steps = [made if each is step else _keep(recording, each, result) for each in recording.steps]
        _complete(recording, steps, result)


def withdraw_damaged(recording: Recording) -> None:
    """Take the steps whose files are not as recorded out of the folder, so that a chapter can be executed to make them.

    Raises:
        CompanionError: if the folder holds a file that no provenance lists, which nobody but its owner should delete.
    """
    entries = [entry for step in recording.steps if (entry := follows.step_entry(recording, step))]
    listed = {name for entry in entries for name in entry["files"]} | {f"{PROVENANCE}.json"}
    there = manifest.digests(recording.folder)
    if extra := sorted(set(there) - listed):
        place = recording.folder.relative_to(project.root())
        raise project.CompanionError(
            f"{place / extra[0]} is in no provenance: move it away, or restore the folder by `git checkout -- {place}`"
        )
    if any(manifest.changed(recording.folder, entry["files"]) for entry in entries):
        with project.scratch_folder(recording.folder.parent, recording.name) as scratch:
            result = scratch / "result"
            result.mkdir()
            _complete(recording, [_keep(recording, step, result) for step in recording.steps], result)


def _keep(recording: Recording, step: Step, result: Path) -> dict[str, Any] | None:
    """Copy the files of a step that are as recorded to `result`; its provenance, or None if it has to be made."""
    entry = follows.step_entry(recording, step)
    if entry is None or manifest.changed(recording.folder, entry["files"]):
        return None
    for name in entry["files"]:
        _copy(recording.folder, name, result / name)
    return entry


def _complete(recording: Recording, steps: Sequence[Mapping[str, Any] | None], result: Path) -> None:
    """Write the provenance of the files in `result` and put it in the place of the recording; without files, none."""
    known = [step for step in steps if step]
    if not known:
        return project.remove_folder(recording.folder)
    content = {"what": recording.what, "command": recording.command, "steps": known}
    (result / f"{PROVENANCE}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return project.swap_folder(result, recording.folder)


def table(source: Source, folders: Sequence[Path]) -> pd.DataFrame:
    """The rows that `source` asks for, of one run or of all beneath each other, every cell as text.

    Raises:
        CompanionError: if a table, a column or a row that is asked for is not there, or the tables of the runs differ
            in their columns.
    """
    chosen = folders if source.run is None else [folders[source.run - 1]]
    parts = [_rows(source, folder) for folder in chosen]
    for part, folder in zip(parts, chosen, strict=True):
        if list(part.columns) != list(parts[0].columns):
            raise project.CompanionError(
                f"{source.file} of {folder.name} has the columns {list(part.columns)}, that of {chosen[0].name} "
                f"{list(parts[0].columns)}: their rows cannot be joined"
            )
    return pd.concat(parts, ignore_index=True)


def _rows(source: Source, folder: Path) -> pd.DataFrame:
    path = folder / source.file
    if not path.is_file():
        there = ", ".join(sorted(each.stem for each in folder.glob("*.csv")))
        raise project.CompanionError(f"{folder.name} left no table {source.file}; it left: {there}")
    whole = pd.read_csv(path, dtype=str, keep_default_na=False)
    if absent := sorted({*source.where, *source.without} - set(whole.columns)):
        raise project.CompanionError(f"{path.name} of {folder.name} has no column {absent[0]}: {list(whole.columns)}")
    part = whole
    for name, value in source.where.items():
        part = part[part[name] == value]
    if part.empty:
        raise project.CompanionError(f"{path.name} of {folder.name} has no rows with {dict(source.where)}")
    part = part.drop(columns=list(source.without))
    if source.where:  # a table of several panels: columns of the others, and whole numbers that those made decimal
        part = part.loc[:, [name for name in part if (part[name] != "").any()]]
        mixed = [name for name in part if (whole[name] == "").any() and part[name].str.fullmatch(r"-?\d+\.0").all()]
        part = part.assign(**{name: part[name].str.removesuffix(".0") for name in mixed})
    return part


def _copy(folder: Path, name: str, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    if (folder / name).is_dir():
        shutil.copytree(folder / name, destination)
    elif (folder / name).is_file():
        shutil.copyfile(folder / name, destination)
    else:
        there = ", ".join(sorted(manifest.digests(folder)))
        raise project.CompanionError(f"{folder.name} left no {name}; it left: {there}")
