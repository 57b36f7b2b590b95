"""Files made to do harm: nothing in them may run, and they are refused untouched or made again."""

import json
import os
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
import reliability_problems as problems
import test_damaged_files as damaged
import torch
from reliability_children import Worker

pytestmark = pytest.mark.area("malicious files")


class Code:
    """Unpickled, it leaves a file."""

    def __init__(self, marker: str):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def raw_pickle(path: Path, code: Code) -> None:
    path.write_bytes(pickle.dumps(code))


def torch_file(path: Path, code: Code) -> None:
    with path.open("wb") as file:
        torch.save({"key": code, "finished": [code], "w": torch.zeros(3)}, file)


def old_torch_file(path: Path, code: Code) -> None:
    with path.open("wb") as file:
        torch.save({"key": code, "w": torch.zeros(3)}, file, _use_new_zipfile_serialization=False)


def zip_of_pickle(path: Path, code: Code) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(code))
        archive.writestr("archive/version", "3\n")


def scripted_module(path: Path, code: Code) -> None:
    """TorchScript, which torch.load would hand on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit announces its retirement
        torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))


def endless_header(path: Path, code: Code) -> None:
    """A safetensors file that claims a header of 2^60 bytes."""
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")


def endless_tensor(path: Path, code: Code) -> None:
    """One that claims a tensor larger than any memory."""
    header = json.dumps({"w": {"dtype": "F64", "shape": [2**50], "data_offsets": [0, 2**53]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def deep_json(path: Path, code: Code) -> None:
    path.write_text("[" * 100_000 + "]" * 100_000)


def other_json(path: Path, code: Code) -> None:
    path.write_text(json.dumps({"steps": ["../../x"], "num_models": "many", "key": "../.."}))


WEAPONS = [raw_pickle, torch_file, old_torch_file, zip_of_pickle, scripted_module]
TARGETS = [
    "sampler checkpoint",
    "checkpoint of many",
    "refined checkpoint",
    "training step",
    "training losses",
    "training state",
    "lens state",
    "tuned lens",
    "draws",
]
CASES = [
    *((kind, weapon) for kind in TARGETS for weapon in WEAPONS[:4]),
    ("sampler checkpoint", scripted_module),
    *(
        (kind, weapon)
        for kind in ("training step", "training state", "lens state", "tuned lens")
        for weapon in (endless_header, endless_tensor)
    ),
    *(("training record", weapon) for weapon in (raw_pickle, deep_json, other_json)),
]
original, worker = damaged.original, damaged.worker  # the fixtures


@pytest.mark.parametrize(("kind", "weapon"), CASES, ids=lambda each: getattr(each, "__name__", each))
def test_nothing_runs(kind, weapon, original, worker, tmp_path):
    marker = tmp_path / "it-ran"
    made = tmp_path / "weapon"
    weapon(made, Code(str(marker)))
    try:
        damaged.check(kind, lambda _: made.read_bytes(), original, worker, tmp_path)
    finally:
        assert not marker.exists(), "code in the file was run"


def load_and_export(folder: str) -> None:
    """A finished training whose record names steps outside its folder."""
    from devinterp_core.train import Checkpoints

    found = problems.training(Path(folder) / "cache")
    record = Path(found.folder) / "training.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"steps": [0, "../../../outside"]}))
    Checkpoints(found.folder, problems.network()).load("../../../outside")


def test_a_record_does_not_lead_out_of_its_folder(tmp_path):
    with Worker() as own:
        outcome = own.call(load_and_export, str(tmp_path))
    assert outcome.refused, str(outcome)
