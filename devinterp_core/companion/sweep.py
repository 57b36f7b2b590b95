"""A sweep: one notebook over a grid of parameters, its claims and glued numbers in one tidy table.

A grid is a YAML file (documented example: `notebooks/params/example_sweep.yaml`):

    notebook: 03_tms_kgons
    preset: smoke                     # optional: start from notebooks/params/03_tms_kgons.smoke.yaml
    fixed: {num_features: 6}          # optional: the same in every run
    grid:                             # every combination of these is one run
      seed: [0, 1, 2]
      sparsity: [0.1, 0.5]

Its runs are jobs of the same Snakefile as the book's, under the same kind of key: what was executed before, by a sweep
or by hand, is not executed again.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from devinterp_core.companion import assemble, build, jobs, project, remaining
from devinterp_core.companion.parameters import preset_file, read_notebook, read_parameters, read_yaml
from devinterp_core.files import write_atomically

FIELDS = {"notebook", "preset", "fixed", "grid"}
NUMERIC = ["measured", "low", "high", "paper"]
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
GLUE = "application/papermill.record/text/plain"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The runs of a grid file."""

    path: Path
    parameters: tuple[dict[str, Any], ...]  # one a run: the fixed ones and those of its point of the grid
    jobs: tuple[jobs.Job, ...]

    @property
    def target(self) -> str:
        """The table of these very runs, relative to the root."""
        identity = json.dumps([[job.name for job in self.jobs], self.parameters])
        name = re.sub(r"[^\w.-]", "_", self.path.stem)  # Snakemake reads braces in a target as a wildcard
        return f"_build/sweeps/{name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.csv"


def read(path: Path) -> Sweep:
    """The sweep that the grid file `path` describes.

    Raises:
        CompanionError: for an unknown field, a grid without lists, or a parameter that the notebook refuses.
    """
    content = read_yaml(path)
    if unknown := set(content) - FIELDS:
        raise project.CompanionError(f"{path}: unknown field {sorted(unknown)}; the fields are {sorted(FIELDS)}")
    if "notebook" not in content:
        raise project.CompanionError(f"{path}: the field 'notebook' is missing")
    notebook = project.find_notebook(str(content["notebook"]))
    base: dict[str, Any] = {}
    if preset := content.get("preset"):
        base |= read_yaml(preset_file(notebook, str(preset)))
    fixed = content.get("fixed") or {}
    grid = content.get("grid") or {}
    if not isinstance(fixed, dict) or not isinstance(grid, dict):
        raise project.CompanionError(f"{path}: 'fixed' and 'grid' should hold `name: value` lines")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise project.CompanionError(f"{path}: the values of '{name}' in the grid should be a list, not {values}")
    known = read_parameters(read_notebook(notebook), notebook.name)
    points, wanted = [], {}
    for values in itertools.product(*grid.values()):
        point = fixed | dict(zip(grid, values, strict=True))
        job = jobs.job(notebook, base | point)
        if job.name not in wanted:  # a value written twice is one run
            wanted[job.name] = job
            points.append({name: known[name].coerce(value) for name, value in point.items()})
    return Sweep(path, tuple(points), tuple(wanted.values()))


def run(path: Path, options: Sequence[str], output: Path | None = None) -> Path | None:
    """Execute what is missing of the sweep and write its table.

    Args:
        path: the grid file.
        options: options of Snakemake, for example `--executor slurm --jobs 20`.
        output: where to put the table; left out, `_build/sweeps/<name of the grid file>.csv`.

    Returns:
        The path of the table; None after a dry run.

    Raises:
        CompanionError: if a run failed; the table is then not written, and the finished runs are in its `.partial.csv`.
    """
    sweep = read(path.resolve())
    output = output or project.build_folder() / "sweeps" / f"{path.stem}.csv"
    with project.locked(project.build_folder() / "sweeps" / f".{path.stem}.lock", f"running the sweep {path.stem}"):
        project.sweep_up(project.build_folder() / "executed")
        project.sweep_up_files(output.parent, output.stem)
        project.sweep_up_files((project.root() / sweep.target).parent, Path(sweep.target).stem)
        jobs.withdraw_damaged(sweep.jobs)
        with remaining.told(sweep.jobs, build.at_a_time(options), f"sweep {path.stem}", options):
            status = build.snakemake("sweep", options, sweep=sweep.path)
        if {"--dry-run", "-n"} & set(options):
            return None
        if status != 0:
            done = sum(assemble.is_complete(job.folder) for job in sweep.jobs)
            partial = output.with_suffix(".partial.csv")
            _write(collect(sweep), partial)
            raise project.CompanionError(f"{done} of {len(sweep.jobs)} runs are done; their rows are in {partial}")
        _write(collect(sweep), output)  # from the runs, whose checksums are verified, not from what was gathered before
    return output


def collect(sweep: Sweep) -> pd.DataFrame:
    """One row for every claim and every glued number of every finished run.

    Columns: `run` (folder name), the fixed and the varied parameters (those of the preset are in the run's `run.json`),
    `kind` (`claim`, `number` or `run`), `quantity`, `measured`, `low`, `high`, `paper`, `holds`, `text`,
    `wall_seconds`. `measured`, `low`, `high` and `paper` are numbers, empty where there is none; words stand in `text`.
    A run that recorded neither claims nor numbers has one row of kind `run`.
    """
    rows = []
    for job, parameters in zip(sweep.jobs, sweep.parameters, strict=True):
        if assemble.is_complete(job.folder):
            record = json.loads((job.folder / assemble.PROVENANCE).read_bytes())
            found = [*_claims(job.folder), *_numbers(job.folder)] or [{"kind": "run"}]
            point = {name: json.dumps(each) if isinstance(each, list) else each for name, each in parameters.items()}
            rows += [{"run": job.name, **point, **row, "wall_seconds": record["wall_seconds"]} for row in found]
    ends = ["kind", "quantity", *NUMERIC, "holds", "text", "wall_seconds"]
    names = list(dict.fromkeys(name for parameters in sweep.parameters for name in parameters))
    table = pd.DataFrame(rows, columns=["run", *names, *ends])
    table["text"] = [_words(row) for row in table[NUMERIC].to_numpy(dtype=object)]
    for name in NUMERIC:
        table[name] = [_number(each) for each in table[name]]
    return table


def _number(value: Any) -> float:
    """A measurement as a number: `225,000` is one, words and what is missing are not."""
    text = str(value).strip()
    if THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        return float(text)
    except ValueError:
        return math.nan


def _words(values: Iterable[Any]) -> str | None:
    """Those of the values that are there and are no numbers."""
    words = [str(each) for each in values if each is not None and math.isnan(_number(each)) and each == each]
    return ", ".join(words) or None


def write_table(path: Path) -> Path:
    """Write the table of the finished sweep `path` under the name of its target; called by the Snakefile."""
    sweep = read(path)
    return _write(collect(sweep), project.root() / sweep.target)


def _write(table: pd.DataFrame, path: Path) -> Path:
    return write_atomically(path, lambda temporary: table.to_csv(temporary, index=False))


def _claims(folder: Path) -> list[dict[str, Any]]:
    path = folder / assemble.CLAIMS
    rows = []
    for claim in json.loads(path.read_text(encoding="utf-8"))["claims"] if path.exists() else []:
        low, high = (None, None) if isinstance(claim["interval"], str) else claim["interval"]
        row = {"kind": "claim", "quantity": claim["statement"], "measured": claim["measured"], "low": low, "high": high}
        rows.append({**row, "paper": claim["paper"], "holds": claim["holds"]})
    return rows


def _numbers(folder: Path) -> list[dict[str, Any]]:
    """The values that the notebook glued for its prose."""
    rows = []
    for cell in nbformat.read(folder / assemble.NOTEBOOK, as_version=4).cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            text = output.get("data", {}).get(GLUE) or output.get("data", {}).get("text/plain")
            if name and text is not None:
                rows.append({"kind": "number", "quantity": name, "measured": text.strip("'\"")})
    return rows
