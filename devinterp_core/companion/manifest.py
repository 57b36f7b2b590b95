"""Checksums of a finished run: what is delivered, published or gathered is what the run wrote, to the bit.

`run.json` lists the SHA-256 of every file beside it, and its own (taken with zeros in its place). A run of which a file
is missing, empty or altered is not a finished run: it is made again.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devinterp_core.companion import project
from devinterp_core.files import write_atomically

RECORD = "run.json"
FILES, OWN = "files", "checksum"
BLANK = "0" * 64  # stands for the checksum of `run.json` in the text of which it is taken


def seal(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `run.json` into the finished `folder`: `record`, the checksums of the files, and its own."""
    text = json.dumps({**record, FILES: digests(folder), OWN: BLANK}, indent=1) + "\n"
    sealed = text.replace(BLANK, hashlib.sha256(text.encode()).hexdigest())
    write_atomically(folder / RECORD, lambda path: path.write_text(sealed, encoding="utf-8"))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under `folder` but its `run.json`, by relative path."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / RECORD]
    return {path.relative_to(folder).as_posix(): digest(path) for path in paths}


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(folder: Path) -> dict[str, Any]:
    """The record of the finished run in `folder`, when every file is what the run wrote.

    Raises:
        CompanionError: naming the first file that is missing or is not what was written.
    """
    if found := problem(folder):
        raise project.CompanionError(f"the run in {folder} is damaged ({found}): run it again")
    return json.loads((folder / RECORD).read_bytes())


def problem(folder: Path) -> str:
    """What is wrong with the finished run in `folder`, in a few words; empty if nothing is."""
    try:
        content = (folder / RECORD).read_bytes()
        record = json.loads(content)
        files, own = dict(record[FILES]), str(record[OWN])
    except FileNotFoundError:
        return f"{RECORD} is missing"
    except OSError as error:
        return f"{RECORD} cannot be read: {error.strerror}"
    except KeyError:
        return f"{RECORD} holds no checksums"
    except (ValueError, TypeError, RecursionError):  # no JSON, or JSON of another shape
        return f"{RECORD} is not a record"
    if own != hashlib.sha256(content.replace(own.encode(), BLANK.encode())).hexdigest():
        return f"{RECORD} is not what was written"
    return changed(folder, files)


def damage(folder: Path) -> str:
    """The `problem` of what may be a finished run; empty where there is none, or only the folder that awaits one."""
    return problem(folder) if folder.is_dir() and any(folder.iterdir()) else ""


def changed(folder: Path, files: Mapping[str, str]) -> str:
    """The first of `files`, name and checksum, that is not so in `folder`; empty if all are. Others do not matter."""
    for name, expected in files.items():
        try:
            if digest(folder / name) != expected:
                return f"{name} is not what was written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""


def copy(folder: Path, destination: Path) -> None:
    """Copy the files of the finished run in `folder`, and nothing that came to lie beside them, to `destination`.

    Raises:
        CompanionError: if the run, or the copy, is damaged.
    """
    for name in (*read(folder)[FILES], RECORD):
        (destination / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, destination / name)
    read(destination)
