"""Where everything lives, and the file-system moves that keep a killed build harmless.

Every path is derived from one root folder: the repository, or `$COMPANION_ROOT` (the tests build small trees of their
own). Nothing is ever written under the name it is expected at: files and folders are made under a temporary name on the
same file system and renamed, so that a reader sees either the old one, whole, or the new one, whole.
"""

import contextlib
import fcntl
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parents[2]  # of this code; `root()` may be another tree
ALIVE = ".alive"  # in a scratch folder, locked by its maker
OLD = ".old-"  # before the name of a folder that has been replaced


class CompanionError(Exception):
    """A mistake the user can mend: shown as one message, without a traceback of this program."""


def root() -> Path:
    """The project's root folder: `$COMPANION_ROOT`, or the folder that holds `devinterp_core`."""
    given = os.environ.get("COMPANION_ROOT")
    return Path(given).resolve() if given else REPOSITORY


def python_path() -> str:
    """`$PYTHONPATH` of every process started here: the root first, whatever is installed."""
    folders = dict.fromkeys([str(root()), str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.pathsep.join(folders)


def build_folder() -> Path:
    """`_build`, where everything made by a build lives (ignored by git)."""
    return root() / "_build"


def executed_folder(notebook: str, key: str) -> Path:
    """The folder of one executed notebook: it exists under this name only when the run is complete."""
    return build_folder() / "executed" / f"{notebook}-{key}"


def notebooks() -> list[Path]:
    """The percent files of the book in order of name: `notebooks/NN_name.py`."""
    return sorted((root() / "notebooks").glob("[0-9][0-9]*_*.py"))


def find_notebook(name: str) -> Path:
    """The percent file meant by `name`: a stem, a path to the `.py` or `.ipynb`, or an unambiguous prefix (`02`).

    Raises:
        CompanionError: if nothing matches or several notebooks do; the message lists what there is.
    """
    path = Path(name)
    if path.suffix == ".py" and path.is_file():
        return path.resolve()
    stem = path.stem if path.suffix in (".py", ".ipynb") else path.name
    known = notebooks()
    matches = [each for each in known if each.stem == stem] or [each for each in known if each.stem.startswith(stem)]
    if len(matches) == 1:
        return matches[0]
    if not known:
        no_notebooks()
    listing = ", ".join(each.stem for each in matches or known) or "none yet"
    problem = "means several notebooks" if matches else "is not a notebook of this book"
    raise CompanionError(f"'{name}' {problem}: {listing}")


def no_notebooks() -> NoReturn:
    """Say where notebooks are to be had: a wheel brings the library and this command, not the book.

    Raises:
        CompanionError: always.
    """
    raise CompanionError(
        f"there are no notebooks in {root()}. An installed library comes without them: clone the repository that it "
        "was built from, and in the clone give this command as COMPANION_ROOT=$PWD companion ..., or build the book by "
        "make book"
    )


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock on `path`; wait, saying so, while another process holds it.

    The lock belongs to the open file, so it vanishes with the process however that ends; the file itself stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process is {what}; waiting for it to finish.", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run_lock(folder: Path) -> contextlib.AbstractContextManager[None]:
    """The lock under which the run in `folder` is made, looked at or removed."""
    return locked(folder.with_name(f".{folder.name}.lock"), f"executing {folder.name.rpartition('-')[0]}")


@contextlib.contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A temporary folder beside its final place, removed on leaving unless it was renamed away.

    It holds a file that this process keeps locked, so that the remains of a killed process can be told from work in
    progress: they are swept up by the next process that makes a scratch folder in the same place, see `sweep_up`.
    """
    parent.mkdir(parents=True, exist_ok=True)
    sweep_up(parent)
    folder = Path(tempfile.mkdtemp(prefix=f".tmp-{name[:40]}~{socket.gethostname()}~{os.getpid()}~", dir=parent))
    folder.chmod(0o755)
    with (folder / f"{ALIVE}.new").open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        os.rename(alive.name, folder / ALIVE)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_up(*parents: Path) -> None:
    """Delete what killed processes of this machine left in `parents`: scratch folders, and folders put aside."""
    for parent in parents:
        for remains in parent.glob(".tmp-*~*~*~*"):
            host, process = remains.name.split("~")[-3:-1]
            if host == socket.gethostname() and not _alive(remains, process):
                shutil.rmtree(remains, ignore_errors=True)
        for old in parent.glob(f"{OLD}*~*~*"):
            host, process = old.name.split("~")[-2:]
            if host == socket.gethostname() and not _runs(process):
                shutil.rmtree(old, ignore_errors=True)


def sweep_up_files(folder: Path, stem: str) -> None:
    """Delete what killed writers of the file `stem` left in `folder`; for who holds the lock of its writing."""
    for path in folder.glob(".*.tmp*"):
        if re.fullmatch(rf"\.{re.escape(stem)}\.[0-9a-f]{{32}}\.tmp(\.\w+)?", path.name):
            path.unlink(missing_ok=True)


def _alive(scratch: Path, process: str) -> bool:
    """Whether the maker of `scratch` still holds it; by its number alone in the moment before it has its lock."""
    try:
        with (scratch / ALIVE).open() as alive:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return _runs(process)
    return False


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def swap_folder(new: Path, destination: Path) -> None:
    """Put the complete folder `new` in the place of `destination`; the old one is deleted afterwards.

    Between the two renames `destination` does not exist: it is never a mixture of old and new.
    """
    old = _aside(destination)
    os.rename(new, destination)
    shutil.rmtree(old, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Delete `folder` so that nobody sees a part of it: it loses its name first."""
    shutil.rmtree(_aside(folder), ignore_errors=True)


def _aside(folder: Path) -> Path:
    """Rename `folder`, if it is there, to a name under which `sweep_up` knows it for rubbish."""
    old = folder.with_name(f"{OLD}{folder.name[:40]}~{socket.gethostname()}~{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.is_dir() and not folder.is_symlink():
        os.rename(folder, old)
    else:
        folder.unlink(missing_ok=True)
    return old
