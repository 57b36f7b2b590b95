"""Where a notebook's files go.

The runner sets the environment variable `COMPANION_OUTPUT` to the folder of the run. Opened by hand in Jupyter the same
notebook writes to `_output/<notebook>` under the repository. Executed by anything else, such as plain papermill, which
does not tell a notebook its name, each process writes to a folder of its own.
"""

import os
import tempfile
from functools import lru_cache
from pathlib import Path

import pandas as pd

from devinterp_core.files import write_atomically

REPOSITORY = Path(__file__).resolve().parents[2]


def output_folder(notebook: str | None = None) -> Path:
    """Folder of this run's figures and records, created if it is missing.

    Args:
        notebook: name used when no runner has set `$COMPANION_OUTPUT`. Left out, it is the notebook that Jupyter says
            it has open (`$JPY_SESSION_NAME`).

    Returns:
        `$COMPANION_OUTPUT` if it is set, otherwise `_output/<notebook>` in the repository, or where there is no name a
        new folder `_output/run-...`, the same one as long as this process lives.
    """
    chosen = os.environ.get("COMPANION_OUTPUT")
    name = notebook or Path(os.environ.get("JPY_SESSION_NAME") or "").stem
    if not chosen and not name:
        return _own_folder(os.getpid(), REPOSITORY / "_output")
    folder = Path(chosen) if chosen else REPOSITORY / "_output" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@lru_cache
def _own_folder(process: int, parent: Path) -> Path:
    parent.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=parent))


def keep(**tables: pd.DataFrame) -> None:
    """Write tables to the run's output folder, `name.csv` each: what a recorded run leaves in `data/recorded`.

    Args:
        tables: by name; a figure has its own tables, these are the measurements behind several.

    Raises:
        ValueError: an empty table.
    """
    for name, table in tables.items():
        if table.empty:
            raise ValueError(f"the table {name!r} is empty: nothing to keep")
        write_atomically(output_folder() / f"{name}.csv", lambda path, table=table: table.to_csv(path, index=False))


def cache_folder() -> Path:
    """Folder of what any run may use again, such as trained models: `$COMPANION_CACHE`, or `data/cache`."""
    folder = Path(os.environ.get("COMPANION_CACHE") or REPOSITORY / "data" / "cache")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
