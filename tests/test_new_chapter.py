"""What `companion new` writes is a chapter: it keeps to the contract, runs, and stands in the book."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from devinterp_core.companion import chapters
from devinterp_core.companion.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns("*.ipynb", "__pycache__", "mathjax", "cluster", "reliability", ".*")
ABOUT = ["--title", "Influence: a first page", "--paper", "furman2024dln", "--question", "what does a sample change?"]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the repository, without what a chapter has nothing to do with."""
    root = tmp_path / "copy"
    for name in ("book", "notebooks", "devinterp_core", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=LEFT_OUT)
    for path in (each for each in ROOT.iterdir() if each.is_file()):
        shutil.copy(path, root / path.name)
    monkeypatch.setenv("COMPANION_ROOT", str(root))
    return root


def test_a_new_chapter_keeps_to_the_contract_and_runs(copy):
    result = CliRunner().invoke(main, ["new", "10_influence", *ABOUT])
    assert result.exit_code == 0, result.output
    assert [line.removesuffix(" is written") for line in result.output.splitlines()] == [
        "notebooks/10_influence.py",
        "notebooks/params/10_influence.smoke.yaml",
        "notebooks/params/10_influence.paper.yaml",
        "book/chapters.yml",
        "_toc.yml",
        "README.md",
        "book/intro.md",
    ]
    assert chapters.read()[-1].source == "Furman and Lau (2024), arXiv:2402.03698"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(copy)}
    del environment["COMPANION_ROOT"]
    tests = [f"tests/test_{name}.py" for name in ("notebook_contract", "notebook_smoke", "chapters", "book_sources")]
    wanted = "10_influence or committed or every_notebook or readme"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rp", *tests, "-k", wanted],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    for name in ("smoke.py::test_smoke[10_influence]", "contract.py::test_no_number_is_typed_by_hand[10_influence]"):
        assert f"PASSED tests/test_notebook_{name}" in done.stdout, done.stdout


def test_a_chapter_between_others_gets_its_place_and_the_list_stays_as_it_is(copy):
    (copy / "notebooks/02_dln_scaling.py").unlink()
    text = (copy / chapters.LIST).read_text()
    entry = text[text.index("- stem: 02") : text.index("- stem: 03")]
    (copy / chapters.LIST).write_text(text.replace(entry, ""))
    chapters.write()
    assert CliRunner().invoke(main, ["new", "02_between", *ABOUT]).exit_code == 0
    assert [each.stem[:2] for each in chapters.read()] == [f"{number:02}" for number in range(1, 10)]
    between = (copy / chapters.LIST).read_text()
    assert between.startswith(text[: text.index("- stem: 02")])
    assert between.endswith(text[text.index("- stem: 03") :])


@pytest.mark.parametrize(
    ("name", "about", "problem"),
    [
        ("influence", ABOUT, "should be two digits and small letters, such as 10_influence"),
        ("09_influence", ABOUT, "the number of 09_influence is that of 09_tuned_lens"),
        ("10_influence", [*ABOUT[:3], "nobody2020", *ABOUT[4:]], "'nobody2020' is not in book/references.bib"),
        ("10_influence", [*ABOUT[:5], "a|b"], "'question' should be one line without '|'"),
    ],
)
def test_what_cannot_be_a_chapter_is_refused_and_nothing_is_written(copy, name, about, problem):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    result = CliRunner().invoke(main, ["new", name, *about])
    assert result.exit_code == 1
    assert problem in result.output
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
