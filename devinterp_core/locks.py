"""A file that one process at a time may write, known to be writable before any work starts."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


def path_of(name: str, value: object) -> Path:
    """A path for whatever names one.

    Raises:
        TypeError: no path.
    """
    if not isinstance(value, (str, os.PathLike)) or "\0" in str(value) or not str(value):
        raise TypeError(f"{name} must be a path, got {value!r}")
    return Path(value)


@contextmanager
def writing(
    path: Path, what: str, remedy: str = "give a path that can", lock_file: Path | None = None
) -> Iterator[None]:
    """Hold the right to write `path`: others wait, and temporary files of killed writers are swept up.

    Args:
        path: of the file; its folder is created.
        what: the file is called in the error.
        remedy: the end of the error.
        lock_file: where the lock lies; None means beside `path`.

    Raises:
        OSError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        lock = FileLock(lock_file or path.with_name(f".{path.name}.lock"))
        lock.acquire()
    except OSError as error:
        why = error.strerror or error
        raise OSError(error.errno, f"{what} {path} cannot be written ({why}): {remedy}") from error
    try:
        for left in path.parent.glob(f".{path.stem}.*.tmp{path.suffix}"):
            left.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
