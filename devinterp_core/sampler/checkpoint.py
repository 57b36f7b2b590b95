"""Saving and resuming a run: written to a temporary name and moved, keyed by everything the draws depend on."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from devinterp_core.files import write_atomically

from .target import Target


def run_key(target: Target, settings: dict[str, Any], observe: dict[str, tuple[torch.Tensor, ...]]) -> str:
    """SHA-256 of settings, centre, mask, frozen parameters, buffers, data, observed data and the loss's code."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(repr((target.names, target.shapes, target.n_beta, target.localization, target.single)).encode())
    digest.update(repr(target.model).encode())
    code = getattr(target.loss, "__code__", None)
    digest.update(code.co_code + repr(code.co_consts).encode() if code else repr(type(target.loss)).encode())
    tensors = [
        *target.data,
        *target.model.state_dict().values(),
        *(t for name in sorted(observe) for t in observe[name]),
    ]
    for tensor in [*tensors, *(t for t in (target.mask, target.centres) if t is not None)]:
        digest.update(repr((tensor.shape, tensor.dtype)).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `content` so that a kill at any moment leaves either the old file or the new one, whole."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a path instead, the archive inside would carry the temporary name
            torch.save(content, file)

    write_atomically(path, write)


def load(path: Path, key: str) -> dict[str, Any] | None:
    """The saved run, or None if there is none.

    Raises:
        ValueError: if the file is not a checkpoint, is truncated, or belongs to another run; it is left untouched.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
        found = content["key"]
    except Exception as error:
        raise ValueError(
            f"{path} is not a readable sampler checkpoint ({error}); move it away to start anew"
        ) from error
    if found != key:
        raise ValueError(
            f"{path} belongs to a run with another model, data, loss or other settings; "
            "give another path or move it away"
        )
    return content
