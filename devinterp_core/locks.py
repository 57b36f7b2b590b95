"""A file that one process at a time may write, known to be writable before any work starts."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Hold the right to write `path`: others wait, and temporary files of killed writers are swept up.

    Args:
        path: of the file; its folder is created.
        what: the file is called in the error.

    Raises:
        OSError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise OSError(f"{what} {path} cannot be written ({error}): give a path that can") from error
    try:
        for left in path.parent.glob(f".{path.stem}.*.tmp{path.suffix}"):
            left.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
