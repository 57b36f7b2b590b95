"""The content key: it changes with what a run depends on, and with nothing else."""

import companion_tree
import pytest

from devinterp_core.companion import jobs, key, project


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """The small project, with a package that its first notebook imports."""
    root = companion_tree.make(tmp_path)
    monkeypatch.setenv("COMPANION_ROOT", str(root))
    package = root / "devinterp_core"
    (package / "upper").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "upper" / "__init__.py").write_text("from devinterp_core.upper.inner import value\n")
    (package / "upper" / "inner.py").write_text("from ..lower import base\nvalue = base\n")
    (package / "lower.py").write_text("base = 1\n")
    (package / "unused.py").write_text("nothing = 0\n")
    (root / "data" / "recorded" / "named.csv").write_text("1\n")
    (root / "data" / "recorded" / "long_run").mkdir()
    (root / "data" / "recorded" / "long_run" / "part.csv").write_text("1\n")
    code = "from devinterp_core import upper\nnames = ['named.csv', 'long_run']\nimport os\n"
    companion_tree.edit(root / "notebooks" / "01_first.py", "import os\n", code)
    return root


def key_now(overrides=None):
    return key.key_of(project.find_notebook("01"), overrides or {})


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("notebooks/01_first.py", "sum(widths)", "sum(widths) + 1"),
        ("notebooks/01_first.py", "seed: int = 0", "seed: int = 1"),
        ("devinterp_core/upper/__init__.py", "value", "value  # changed"),
        ("devinterp_core/upper/inner.py", "value = base", "value = base + 1"),
        ("devinterp_core/lower.py", "1", "2"),
        ("devinterp_core/__init__.py", "", "version = 1"),
        ("requirements.lock", "numpy==1.0", "numpy==1.1"),
        ("requirements-no-deps.lock", "data==1.0", "data==1.1"),
        ("data/recorded/named.csv", "1", "2"),
        ("data/recorded/long_run/part.csv", "1", "2"),
    ],
)
def test_a_change_that_could_change_the_outputs_changes_the_key(tree, file, old, new):
    before = key_now()
    companion_tree.edit(tree / file, old, new)
    assert key_now() != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("notebooks/01_first.py", "The first prose.", "Other prose."),
        ("notebooks/01_first.py", '"caption": "First."', '"caption": "Second."'),
        ("notebooks/01_first.py", 'tags=["hide-input"]', 'tags=["hide-output"]'),
        ("notebooks/02_second.py", "sum(widths)", "0"),
        ("devinterp_core/unused.py", "0", "1"),
        ("requirements.lock", "# a comment", "# another comment"),
        ("data/recorded/unnamed.csv", "1", "2"),
    ],
)
def test_any_other_change_leaves_the_key(tree, file, old, new):
    before = key_now()
    companion_tree.edit(tree / file, old, new)
    assert key_now() == before


def test_parameters_are_in_the_key(tree):
    keys = {key_now(), key_now({"seed": 1}), key_now({"seed": 2}), key_now({"scale": 1.0})}
    assert len(keys) == 4


@pytest.mark.parametrize(
    "line", ["%matplotlib inline", "import importlib; importlib.import_module('devinterp_core.' + name)"]
)
def test_where_imports_cannot_be_followed_every_module_counts(tree, line):
    companion_tree.edit(tree / "notebooks" / "01_first.py", "import sys\n", f"import sys\n{line}\n")
    before = key_now()
    companion_tree.edit(tree / "devinterp_core" / "unused.py", "0", "1")
    assert key_now() != before


def test_the_names_of_the_real_notebooks_imports_are_found():
    code = ["from devinterp_core.companion import figures, claims\nfrom devinterp_core.sampler import sample"]
    names = {path.relative_to(project.root()).as_posix() for path in key.imported_modules(code)}
    assert {"devinterp_core/companion/figures.py", "devinterp_core/companion/output.py"} <= names
    assert "devinterp_core/companion/run.py" not in names


@pytest.mark.parametrize(("device", "gpu"), [("cpu", 0), ("cuda", 1), ("cuda:1", 1)])
def test_a_notebook_that_asks_for_a_gpu_takes_the_resource(tree, device, gpu):
    notebook = tree / "notebooks" / "01_first.py"
    assert jobs.job(notebook, {}).gpu == 0
    companion_tree.edit(notebook, "seed: int = 0", 'device: str = "cpu"  # where\nseed: int = 0')
    job = jobs.job(notebook, {"device": device})
    assert job.gpu == gpu
    assert job.target == f"_build/executed/01_first-{job.key}/run.json"
