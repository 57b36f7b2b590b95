"""Files that are never half-written and never read back damaged.

Every file is filled under a temporary name beside its place, then moved there in one step. Tensors, records and data
sets carry a SHA-256 of all bytes of their file, which is compared before anything in it is believed: a truncated file
or a single flipped bit, wherever it lies, is refused with a remedy, and the file stays as it is.

    tensors   safetensors; the digest is an entry of its metadata
    records   JSON; the digest is the entry `checksum`
    data sets netCDF (HDF5); the digest stands after the last byte of the format, where its readers do not look
"""

import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # imported where they are used: the command line of the companion starts without them
    import xarray
    from torch import Tensor

CHECKSUM = "checksum"
PREFIX = "sha256:"  # of the value: a flipped bit in the name of the entry leaves this, one in this leaves the name
BLANK = "0" * 64  # in place of the digest while it is computed
TRAILER = (b"\ndevinterp_core:", b":devinterp_core\n")  # around the digest of a data set
REMEDY = "move it away or delete it, and make it anew"
JSON_ATTRIBUTE = "json:"  # marks an attribute that netCDF has no type for: None, a truth value, a list, a dict


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


def save_tensors(
    path: str | os.PathLike, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str] | None = None
) -> Path:
    """Write tensors and texts as safetensors with a checksum, so that equal content gives equal bytes.

    Args:
        path: of the file.
        tensors: by name, of any device; they may share memory.
        metadata: texts by name.

    Raises:
        ValueError: metadata with the name `checksum`, or a value that is no text.
    """
    from safetensors.torch import save

    texts = dict(metadata or {})
    wrong = [name for name, text in texts.items() if name == CHECKSUM or not isinstance(text, str) or PREFIX in text]
    if wrong:
        raise ValueError(f"metadata must be texts, none named {CHECKSUM!r} and none with {PREFIX!r} in it; got {wrong}")
    texts[CHECKSUM] = PREFIX + BLANK
    plain = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
        shared = any(tensor.untyped_storage().data_ptr() == t.untyped_storage().data_ptr() for t in plain.values())
        plain[name] = tensor.clone() if shared else tensor

    content = save(plain, texts)  # not by `save_file`, which leaves a temporary file of its own when it is killed
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))  # the writer has no order of its own
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    if len(text) > size:
        raise RuntimeError(f"the header of {path} grew from {size} to {len(text)} bytes")

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(content[:8] + text.ljust(size))
            file.write(memoryview(content)[8 + size :])
        _stamp(temporary, 8 + text.index((PREFIX + BLANK).encode()) + len(PREFIX))

    return write_atomically(path, write)


def load_tensors(
    path: str | os.PathLike, *, require: bool = True, remedy: str = REMEDY
) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """The tensors and texts that `save_tensors` wrote.

    Args:
        path: of the file.
        require: refuse a file that carries no checksum, as others write them.
        remedy: what the error tells to do with a damaged file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is truncated, changed, or not of this kind; it is left as it is.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(min(size, path.stat().st_size))
    _verify(path, header, 8, require, remedy)
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no iterator
    except (SafetensorError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is truncated or not a safetensors file ({error}); {remedy}") from error
    metadata.pop(CHECKSUM, None)
    return tensors, metadata


def save_json(path: str | os.PathLike, record: Mapping[str, Any]) -> Path:
    """Write a small record as JSON with a checksum, keys in order.

    Raises:
        ValueError: a record with an entry `checksum`, or with numbers that JSON does not have (NaN, infinity).
        TypeError: values that JSON does not have.
    """
    if CHECKSUM in record or PREFIX in json.dumps(record):
        raise ValueError(f"a record has no entry {CHECKSUM!r} of its own and no text with {PREFIX!r} in it")
    text = json.dumps({**record, CHECKSUM: PREFIX + BLANK}, indent=1, sort_keys=True, allow_nan=False) + "\n"

    def write(temporary: Path) -> None:
        temporary.write_bytes(text.encode())
        _stamp(temporary, text.index(PREFIX + BLANK) + len(PREFIX))

    return write_atomically(path, write)


def load_json(path: str | os.PathLike, *, require: bool = True, remedy: str = REMEDY) -> dict[str, Any]:
    """The record that `save_json` wrote; arguments and errors as of `load_tensors`."""
    path = Path(path)
    content = path.read_bytes()
    _verify(path, content, 0, require, remedy)
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged (it holds no record but a {type(record).__name__}); {remedy}")
    record.pop(CHECKSUM, None)
    return record


def save_dataset(path: str | os.PathLike, dataset: "xarray.Dataset") -> Path:
    """Write draws, or any labelled arrays, as netCDF with a checksum; other programs read the file as well.

    Attributes may be numbers, texts, truth values, None, and lists and dicts of these.

    Raises:
        TypeError: attributes or variables that cannot be written, such as objects.
    """
    plain = dataset.copy()
    for part in (plain, *(plain[name] for name in plain.variables)):
        part.attrs = {name: _to_attribute(value) for name, value in part.attrs.items()}
    odd = any(v.dtype.kind == "c" or v.dtype == np.float16 for v in plain.variables.values())  # HDF5 has both

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are writing invalid netcdf features", UserWarning)
        # in memory: where the disk is full, HDF5 ends the process
        content = bytes(plain.to_netcdf(engine="h5netcdf", invalid_netcdf=odd))
    digest = hashlib.sha256(content).hexdigest()
    content += digest.encode().join(TRAILER)

    return write_atomically(path, lambda temporary: temporary.write_bytes(content))


def load_dataset(path: str | os.PathLike, *, require: bool = True, remedy: str = REMEDY) -> "xarray.Dataset":
    """The data set that `save_dataset` wrote, in memory; arguments and errors as of `load_tensors`."""
    import xarray

    path = Path(path)
    length = 64 + sum(map(len, TRAILER))
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - length))
        trailer = file.read()
        first, last = trailer.startswith(TRAILER[0]), trailer.endswith(TRAILER[1])
        if first or last or require:
            if not (first and last):
                raise ValueError(f"{path} is truncated or damaged (it has no checksum); {remedy}")
            file.seek(0)
            if _digest(file, path.stat().st_size - length) != trailer[len(TRAILER[0]) : -len(TRAILER[1])]:
                raise ValueError(f"{path} is truncated or damaged (its checksum is that of another content); {remedy}")
    try:
        dataset = xarray.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # noqa: BLE001  whatever the reader makes of a file that nobody vouches for
        raise ValueError(f"{path} is damaged or no netCDF file ({error}); {remedy}") from error
    for part in (dataset, *(dataset[name] for name in dataset.variables)):
        part.attrs = {name: _from_attribute(value) for name, value in part.attrs.items()}
    return dataset


def _stamp(path: Path, position: int) -> None:
    """Put the digest of the file, computed with `BLANK` in its place, at `position`."""
    with path.open("r+b") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(position)
        file.write(digest.encode())


def _verify(path: Path, text: bytes, offset: int, require: bool, remedy: str) -> None:
    """Compare a file with the digest that `text`, its bytes from `offset`, tells."""
    entry, mark = f'"{CHECKSUM}"'.encode(), f'"{PREFIX}'.encode()
    if entry not in text and mark not in text:
        if require:
            raise ValueError(f"{path} is truncated or damaged (it has no checksum); {remedy}")
        return
    position = text.find(mark) + len(mark)
    told = text[position : position + 64]
    if entry not in text or mark not in text or len(told) < 64:
        raise ValueError(f"{path} is truncated or damaged (its checksum cannot be read); {remedy}")
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(offset + position) + BLANK.encode())
        file.seek(64, os.SEEK_CUR)
        while chunk := file.read(2**20):
            digest.update(chunk)
    if digest.hexdigest().encode() != told:
        raise ValueError(f"{path} is truncated or damaged (its checksum is that of another content); {remedy}")


def _digest(file: Any, size: int) -> bytes:
    digest = hashlib.sha256()
    while size > 0:
        chunk = file.read(min(size, 2**20))
        if not chunk:
            break
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest().encode()


def _to_attribute(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    value = value.tolist() if hasattr(value, "tolist") else value
    if type(value) in (int, float) or (isinstance(value, str) and not value.startswith(JSON_ATTRIBUTE)):
        return value
    return JSON_ATTRIBUTE + json.dumps(value, sort_keys=True)


def _from_attribute(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str) and value.startswith(JSON_ATTRIBUTE):
        return json.loads(value.removeprefix(JSON_ATTRIBUTE))
    return value.tolist() if isinstance(value, np.ndarray) else value
