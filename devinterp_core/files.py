"""Files that are never half-written: filled under a temporary name beside their place, then moved there in one step."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_atomically(destination: str | os.PathLike, write: Callable[[Path], object]) -> Path:
    """Let `write` make a temporary file beside `destination`, then move it there.

    Whoever reads `destination` sees the old file or the new one, never a part of either, whenever the process or the
    machine stops. If `write` raises, the old file stays and no temporary one is left.

    Args:
        destination: the final path; its folder is created if it is missing.
        write: called with the temporary path, which has the same suffix as `destination` and does not exist yet.

    Returns:
        `destination`.
    """
    destination = Path(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(f".{destination.stem}.{uuid.uuid4().hex}.tmp{destination.suffix}")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # the content is on disk before the name is
        os.replace(temporary, destination)
    finally:
        temporary.unlink(missing_ok=True)
    return destination


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed writers; only for who has made sure, as by a lock, that no writer lives."""
    for left in folder.glob(".*.tmp*"):
        left.unlink(missing_ok=True)
