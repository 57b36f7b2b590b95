"""A small project of two notebooks for the tests of the engine; every path of it hangs on `$COMPANION_ROOT`."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOK = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Example {name}
#
# The first prose.

# %% tags=["parameters"]
seed: int = 0  # random seed
scale: float = 1.0  # in units of nothing
widths: list[int] = [1, 2]  # a list
label: str = "plain"  # "fail", "sleep", "exit" and "data" do what they say

# %%
import os
import sys
import time
from pathlib import Path

root = Path(os.environ["COMPANION_ROOT"])
with (root / "executions.txt").open("a") as log:
    print("{name}", seed, scale, file=log)
if label == "fail" or (root / "fail").exists():
    raise ValueError("asked to fail")
if label == "exit":
    os._exit(1)
while label == "sleep" or (root / "sleep").exists():
    time.sleep(0.1)
if label == "data":
    (root / "data" / "recorded" / ("unn" + "amed.csv")).read_text()
print("50%|#####     | 5/10 [00:01<00:01, 5.00it/s]", file=sys.stderr)

# %% mystnb={{"figure": {{"name": "fig-{stem}", "caption": "First."}}, "image": {{"alt": "Text."}}}} tags=["hide-input"]
from myst_nb import glue

total = seed * scale + sum(widths)
glue("total", total, display=False)
Path(os.environ["COMPANION_OUTPUT"], "fig-{stem}.svg").write_text(f"<svg>{{total}}</svg>")
print("threads", os.environ["OMP_NUM_THREADS"])
"""
CONFIG = """\
title: Example
only_build_toc_files: true
exclude_patterns: [".*", _build]
execute: {execute_notebooks: "off"}
"""
CONTENTS = """\
format: jb-book
root: book/intro
chapters: [{file: notebooks/01_first}, {file: notebooks/02_second}]
"""


def make(root: Path) -> Path:
    """Write the project to `root`."""
    files = {
        "notebooks/01_first.py": NOTEBOOK.format(name="one", stem="first"),
        "notebooks/02_second.py": NOTEBOOK.format(name="two", stem="second"),
        "notebooks/params/01_first.smoke.yaml": "scale: 1e-3\n",
        "book/intro.md": "# Introduction\n",
        "_config.yml": CONFIG,
        "_toc.yml": CONTENTS,
        "requirements.lock": "# a comment\nnumpy==1.0\n",
        "requirements-no-deps.lock": "data==1.0\n",
        "data/recorded/unnamed.csv": "1\n",
        "jupytext.toml": (REPOSITORY / "jupytext.toml").read_text(),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def start(root: Path, *arguments: str) -> subprocess.Popen:
    """`python -m devinterp_core.companion` on the project, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "devinterp_core.companion", *arguments],
        cwd=root,
        env={**os.environ, "COMPANION_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def companion(root: Path, *arguments: str) -> tuple[int, str]:
    """The exit status and the output of `python -m devinterp_core.companion` on the project."""
    process = start(root, *arguments)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def edit(path: Path, old: str, new: str) -> None:
    """Replace `old`, which is there, by `new`."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def executions(root: Path) -> list[str]:
    """One line for every time that a notebook was really executed."""
    log = root / "executions.txt"
    return log.read_text().splitlines() if log.exists() else []


def results(root: Path) -> list[Path]:
    """Folders under `_build/executed` that bear the name of a finished run."""
    return sorted(path for path in (root / "_build" / "executed").glob("[!.]*"))
