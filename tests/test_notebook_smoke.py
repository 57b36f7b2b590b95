"""Every notebook runs to its end at its smoke preset, by the command that a reader uses, and leaves what it should."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
SECONDS = 400  # a limit for a busy machine; a minute is usual


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_smoke(path, tmp_path):
    preset = path.parent / "params" / f"{path.stem}.smoke.yaml"
    output = tmp_path / "run"
    command = [sys.executable, "-m", "devinterp_core.companion", "run", path.stem, "-f", str(preset), "--force"]
    begun = time.monotonic()
    done = subprocess.run(
        [*command, "--output", str(output)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    record = json.loads((output / "claims.json").read_text(encoding="utf-8"))
    assert record["notebook"] == path.stem
    assert record["claims"]
    assert json.loads((output / "run.json").read_text(encoding="utf-8"))["parameters"], "the preset overrides something"
    figures = {file.stem for file in output.glob("fig-*.svg")}
    assert figures
    for suffix in ("pdf", "csv"):
        assert {file.stem for file in output.glob(f"fig-*.{suffix}")} == figures
    print(f"{path.stem}: {time.monotonic() - begun:.0f} s")
