"""Recorded runs, opened: files of a folder of `data/recorded`, compared with its provenance before they are read.

A notebook gives the name of the folder as a literal, so that the key of its run covers the files:

    llc = recorded_tables("...")["llc"]

The files are made by `python -m devinterp_core.companion record` from what notebooks `keep`.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from devinterp_core.companion import manifest, project

# Without its suffix: whoever imports this would otherwise name the provenance of every folder in its key, see `key`.
PROVENANCE = "provenance"


def recorded_tables(name: str, *, required: bool = True) -> dict[str, pd.DataFrame]:
    """The tables of a recorded run, by the names of their files without `.csv`.

    Args:
        name: of the folder in `data/recorded`.
        required: False gives an empty dictionary where there is no such folder, so that a notebook can be executed to
            make its own recording. A folder that is there but is not as it was recorded is refused in either case.

    Raises:
        CompanionError: no such recording, or a table that is missing, was altered, or is not in its provenance; the
            message says which, and how to mend it.
    """
    if not required and not _folder(name).exists():
        return {}
    tables = {file: digest for file, digest in _listed(name).items() if "/" not in file and file.endswith(".csv")}
    _check(name, tables, "*.csv")
    return {Path(file).stem: pd.read_csv(_folder(name) / file) for file in tables}


def recorded_path(name: str, part: str) -> Path:
    """The path of what is no table in a recorded run, a file or a folder of files, compared with the provenance.

    Args:
        name: of the folder in `data/recorded`.
        part: of the file or folder in it.

    Raises:
        CompanionError: as `recorded_tables`, and if the provenance has no such part.
    """
    every = _listed(name)
    chosen = {file: digest for file, digest in every.items() if file == part or file.startswith(f"{part}/")}
    if not chosen:
        known = ", ".join(sorted({file.split("/")[0] for file in every}))
        raise project.CompanionError(f"the recorded run '{name}' has no '{part}'; it has: {known}")
    _check(name, chosen, f"{part}/**/*")
    return _folder(name) / part


def problem(name: str) -> str:
    """What of a recorded run is not as its provenance says, in one message; empty if all of it is."""
    try:
        _check(name, _listed(name), "**/*")
    except project.CompanionError as error:
        return str(error)
    return ""


def read_provenance(name: str) -> dict[str, Any]:
    """The provenance of a recorded run as it stands."""
    return json.loads((_folder(name) / f"{PROVENANCE}.json").read_text(encoding="utf-8"))


def _folder(name: str) -> Path:
    return project.root() / "data" / "recorded" / name


def _listed(name: str) -> dict[str, str]:
    """SHA-256 of every recorded file by its name, over all steps in which they were made."""
    if not _folder(name).is_dir():
        known = sorted(each.parent.name for each in _folder(name).parent.glob(f"*/{PROVENANCE}.json"))
        raise project.CompanionError(f"there is no recorded run '{name}'; there are: {', '.join(known) or 'none'}")
    try:
        return {file: digest for step in read_provenance(name)["steps"] for file, digest in step["files"].items()}
    except FileNotFoundError:
        raise _not_as_recorded(name, f"{PROVENANCE}.json is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _not_as_recorded(name, f"{PROVENANCE}.json lists no files with their checksums") from None


def _check(name: str, listed: dict[str, str], pattern: str) -> None:
    """Refuse files that are not those `listed`, and what matches `pattern` beside them."""
    folder = _folder(name)
    if changed := manifest.changed(folder, listed):
        raise _not_as_recorded(name, changed)
    there = {path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file()}
    if unlisted := sorted(there - set(listed) - {f"{PROVENANCE}.json"}):
        raise _not_as_recorded(name, f"{unlisted[0]} is not in its provenance")


def _not_as_recorded(name: str, found: str) -> project.CompanionError:
    return project.CompanionError(
        f"the recorded run '{name}' is not as it was recorded: {found}. Restore it with `git checkout -- "
        f"data/recorded/{name}`, or make it again with `python -m devinterp_core.companion record {name} --force`"
    )
