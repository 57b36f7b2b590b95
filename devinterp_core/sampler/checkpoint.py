"""Saving and resuming a run: tensors with a checksum, keyed by everything that the draws depend on."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from devinterp_core.content import content_key
from devinterp_core.files import load_tensors, save_tensors

from .settings import Settings
from .target import Target


def run_key(target: Target, run: Settings, attributes: dict[str, Any], *more: object) -> str:
    """Hash of settings, model, centre, mask, data, loss and whatever else is given."""
    problem = {
        "names": target.names, "shapes": [tuple(shape) for shape in target.shapes], "n_beta": target.n_beta,
        "localization": target.localization, "centre": target.centre, "centres": target.centres, "mask": target.mask,
        "data": target.data, "own_data": target.own_data, "chains_of_model": target.chains_of_model,
    }  # fmt: skip
    settings = asdict(run) | {"checkpoint_every": None, "stop_every": None}  # neither changes a draw
    return content_key("sampler", settings, attributes, problem, target.loss, target.model, *more)


def save(path: Path, key: str, content: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors, arrays and plain values; a kill leaves the old file or the new one."""
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_without_tensors(content, "", tensors))
    save_tensors(path, tensors, {"key": key, "content": text})


def load(path: Path, key: str) -> dict[str, Any] | None:
    """The saved run, or None if there is none.

    Raises:
        ValueError: if the file is not a checkpoint, is damaged, or belongs to another run; it is left untouched.
    """
    try:
        if not path.exists() or path.is_dir():  # a folder is refused where it would be written
            return None
    except OSError:
        return None
    try:
        tensors, metadata = load_tensors(path)
        found, text = metadata["key"], metadata["content"]
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"{path} is not a readable sampler checkpoint ({error}); move it away to start anew"
        ) from error
    if found != key:
        raise ValueError(
            f"{path} belongs to a run with another model, data, loss or other settings; "
            "give another path or move it away"
        )
    return _with_tensors(json.loads(text), tensors)


def _without_tensors(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        return {name: _without_tensors(each, f"{place}/{name}", tensors) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_tensors(each, f"{place}/{index}", tensors) for index, each in enumerate(value)]
    if isinstance(value, (Tensor, np.ndarray)):
        tensors[place] = torch.as_tensor(value).detach().cpu().contiguous()
        return {"tensor": place, "array": isinstance(value, np.ndarray)}
    return value


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_with_tensors(each, tensors) for each in value]
    if isinstance(value, dict):
        if set(value) == {"tensor", "array"}:
            tensor = tensors[value["tensor"]]
            return tensor.numpy() if value["array"] else tensor
        return {name: _with_tensors(each, tensors) for name, each in value.items()}
    return value
