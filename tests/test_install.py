"""The library installs and works without the book: what its core needs, and what an extra's part says without it."""

import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_snippets import snippets

from devinterp_core import extras

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = [
    *(
        "sampler",
        "llc",
        "tms",
        "dln",
        "train",
        "smc",
        "trajectory",
        "transformer",
        "regression",
        "vectorized",
        "content",
    ),
    *("calibration", "diagnostics", "draws", "files", "locks", "next_token", "numbers", "potentials"),
]
# Makes Python blind to the modules of which argv[1] has the names.
BLOCK = """
import importlib.machinery, sys
class Without(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in refused else super().find_spec(name, path, target)
refused = set(sys.argv[1].split(","))
sys.meta_path = [Without if each is importlib.machinery.PathFinder else each for each in sys.meta_path]
"""


def needed(requirements):
    """Names of the installed distributions that the requirements ask for, directly or through others."""
    found, left = set(), [Requirement(line) for line in requirements]
    while left:
        each = left.pop()
        name = canonicalize_name(each.name)
        if name in found or (each.marker is not None and not each.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        if name != "torch":  # the builds of torch differ in the GPU libraries they ask for
            left += [Requirement(line) for line in metadata.requires(name) or []]
        else:
            left += [Requirement(line) for line in ("fsspec", "jinja2", "mpmath", "networkx", "sympy")]
    return found


def blocked():
    """The top-level modules of every installed distribution that the core does not need."""
    core = needed(PROJECT["dependencies"]) | {"pip", "setuptools"}
    of = metadata.packages_distributions()
    return sorted(name for name, owners in of.items() if not {canonicalize_name(each) for each in owners} & core)


def run(code, folder, path):
    environment = {**os.environ, "PYTHONPATH": str(path)}
    command = [sys.executable, "-c", BLOCK + code, ",".join(blocked())]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The library as pip installs it, alone in a folder."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-compile", "--target", str(folder)]
    source = tmp_path_factory.mktemp("source")  # a build leaves its folders beside pyproject.toml
    for name in ("pyproject.toml", "README.md", "LICENSE", "devinterp_core"):
        (source / name).symlink_to(ROOT / name)
    subprocess.run([*pip, str(source)], check=True, timeout=300)
    return folder


def test_the_core_needs_few_packages():
    assert len(PROJECT["dependencies"]) <= 14
    assert len(needed(PROJECT["dependencies"])) <= 70


def test_every_extra_has_its_line_and_no_package_twice():
    assert set(PROJECT["optional-dependencies"]) == set(extras.EXTRAS)
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    names = [Requirement(line).name for each in lists for line in each]
    names = [name for name in names if name != extras.DISTRIBUTION]
    assert len(names) == len(set(names))


def test_what_is_blocked_is_what_the_extras_bring():
    assert {"tokenizers", "datasets", "transformers", "jupytext", "papermill", "snakemake", "beartype"} <= set(
        blocked()
    )
    assert not {"torch", "numpy", "arviz", "sklearn", "xarray", "h5netcdf"} & set(blocked())


def test_the_installed_core_imports_without_any_other_package(wheel, tmp_path):
    imports = "".join(f"import devinterp_core.{each}\n" for each in CORE)
    done = run(f"{imports}print(devinterp_core.__file__)", tmp_path, wheel)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == wheel / "devinterp_core"
    others = {path.name.removesuffix(".py") for path in (ROOT / "devinterp_core").iterdir()} - set(CORE)
    assert others <= {"language", "heads", "lens", "companion", "extras", "py.typed", "__init__", "__pycache__"}


def test_the_first_example_of_the_guide_runs_without_any_other_package(wheel, tmp_path):
    _, example = snippets((ROOT / "book" / "first_coefficient.md").read_text())[0]
    done = run(example, tmp_path, wheel)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("learning coefficient 2.7")


def test_the_wheel_says_that_it_is_typed_and_brings_the_command(wheel):
    assert (wheel / "devinterp_core" / "py.typed").is_file()
    (script,) = metadata.Distribution.at(next(wheel.glob("*.dist-info"))).entry_points
    assert (script.name, script.value) == ("companion", "devinterp_core.companion.command:main")


SEEN = "refused.discard('tokenizers')"  # but no other package of the extras
# Each in a process of its own, which has torch already.
EACH = """
import os, torch
for code in codes:
    if os.fork() == 0:
        try: exec(code, globals())
        except (ImportError, SystemExit) as problem: print(problem, flush=True)
        finally: os._exit(0)
    os.wait()
"""
NEED = [
    ("import devinterp_core.language", "text"),
    ("import devinterp_core.heads", "text"),
    ("import devinterp_core.lens", "text"),
    ("from devinterp_core.companion.command import main; main()", "book"),
    (f"{SEEN}; import devinterp_core.language.corpora as m; next(m.huggingface_texts('x'))", "text"),
    (f"{SEEN}; import devinterp_core.lens.smollm2 as m; m.load_smollm2('x.gguf')", "lens"),
    (f"{SEEN}; import devinterp_core.lens.smollm2 as m; m.stand_in()", "lens"),
]


def test_what_needs_an_extra_names_it(tmp_path):
    done = run(f"codes = {[code for code, _ in NEED]!r}\n{EACH}", tmp_path, ROOT)
    assert done.returncode == 0, done.stderr
    for (_, extra), message in zip(NEED, done.stdout.splitlines(), strict=True):
        assert f"is not installed, which {extras.EXTRAS[extra]} need" in message
        assert f"pip install '{extras.DISTRIBUTION}[{extra}]'" in message
