"""The record of a run: what was executed, from what, on what, and how long it took."""

import datetime
import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from devinterp_core.companion import key, project
from devinterp_core.companion.output import cache_folder

PACKAGES = ("torch", "numpy", "matplotlib", "xarray", "arviz")


def record(
    notebook: str, inputs: Mapping[str, Any], seconds: float, cpu_seconds: float, opened: Iterable[Path] = ()
) -> dict[str, Any]:
    """The content of `run.json`.

    Args:
        notebook: its stem.
        inputs: as returned by `key.inputs`; kept, so that two runs can be compared to see why their keys differ.
        seconds: wall time of the execution.
        cpu_seconds: of the kernel, on all cores together.
        opened: files under `data/` that it read.
    """
    ended = datetime.datetime.now(datetime.UTC)
    started = ended - datetime.timedelta(seconds=seconds)
    return {
        "notebook": notebook,
        "key": key.content_key(inputs),
        "parameters": inputs["parameters"],
        "wall_seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "started": started.isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "inputs": dict(inputs),
        **_reads(opened),
    }


def _reads(opened: Iterable[Path]) -> dict[str, Any]:
    """The cache in use, the entries of it that were read (such as one training), and the other files under `data/`."""
    root, cache = project.root(), cache_folder().resolve()
    inside = {path.relative_to(cache).parts[0] for path in opened if cache in path.parents}
    others = {path.relative_to(root).as_posix() for path in opened if not path.is_relative_to(root / "data" / "cache")}
    shown = cache.relative_to(root).as_posix() if cache.is_relative_to(root) else "elsewhere"
    return {"cache": shown, "read_from_cache": sorted(inside), "read": sorted(others)}


def commit() -> str:
    """The commit of the sources, with `+changes` if the tree differs from it, or `unknown` outside git."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    return f"{head}+changes" if _git("status", "--porcelain", "--untracked-files=no") else head


def changes(besides: str) -> list[str]:
    """What differs from the commit, untracked files included, outside the folder `besides` (relative to the root)."""
    listed = _git("status", "--porcelain", "--untracked-files=all", "--", ".", f":(exclude){besides}")
    return [line.split(maxsplit=1)[1] for line in listed.splitlines()]


@functools.cache
def machine() -> dict[str, Any]:
    """Processor, cores in use, threads of a run, and the GPU if there is one."""
    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        cpu = lines[0].split(":", 1)[1].strip() if lines else cpu
    found = {"cpu": cpu, "cores": os.cpu_count(), "threads": int(os.environ.get("OMP_NUM_THREADS", "1"))}
    if node := os.environ.get("SLURMD_NODENAME"):  # which machine of a cluster
        found["node"] = node
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        listed = subprocess.run(query, capture_output=True, text=True, check=False)
        if listed.returncode == 0 and listed.stdout.strip():
            found["gpu"] = listed.stdout.splitlines()[0].strip()
    return found


def _git(*arguments: str) -> str:
    root = str(project.root())
    command = ["git", "-c", f"safe.directory={root}", "-C", root, *arguments]  # whoever owns it: this code runs from it
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
