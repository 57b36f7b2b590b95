"""The list of chapters: what is written from it stands in the files, and it agrees with bibliography and notebooks."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from companion_tree import edit

from devinterp_core.companion import chapters, project
from devinterp_core.companion.__main__ import main
from devinterp_core.companion.new import source_of

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = chapters.read()
FILES = ("_toc.yml", "README.md", "book/intro.md", "book/chapters.yml", "book/references.bib")


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The files of the repository that the list is written into, and the notebooks."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "book/gallery", tmp_path / "book/gallery")
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("*.ipynb"))
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    return tmp_path


def test_the_committed_files_are_what_would_be_written():
    for path, text in chapters.texts().items():
        assert path.read_text(encoding="utf-8") == text, "python -m devinterp_core.companion chapters"


def test_the_list_has_every_notebook_in_order():
    assert [each.stem for each in CHAPTERS] == [path.stem for path in project.notebooks()]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda each: each.stem)
def test_the_paper_is_the_one_of_the_bibliography(chapter):
    who, year, number = re.fullmatch(r"(.*) \((\d+)\)(.*)", source_of(chapter.paper)).groups()
    authors, years, rest = re.fullmatch(r"(.*) \(([\d, ]+)\)(.*)", chapter.source).groups()
    assert (authors, rest) == (who, number)
    assert year in years.split(", ")
    sheet = re.search(r'ClaimSheet\(.* \(\d+\)(.*)"\)', (ROOT / f"notebooks/{chapter.stem}.py").read_text())
    assert sheet[1] == number, "the claims are of the same paper"


def test_one_command_writes_what_the_list_says(copy):
    edit(copy / "book/chapters.yml", "question: does it find the", "question: does it really find the")
    edit(copy / "book/chapters.yml", "title: Deep linear networks", "title: Deep networks")
    edit(copy / "book/chapters.yml", "picture: fig-energy-levels", "picture: fig-kgon-gallery")
    (copy / "book/gallery/09_tuned_lens.png").unlink()
    result = CliRunner().invoke(main, ["chapters"])
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "README.md is written",
        "book/intro.md is written",
        "09_tuned_lens is not in the gallery yet: make book, then python book/make_gallery.py",
    ]
    readme, intro = ((copy / name).read_text() for name in ("README.md", "book/intro.md"))
    assert "| does it really find the coefficients of deep linear networks? |" in readme
    assert "gallery/09_tuned_lens.png" not in readme
    assert "{grid-item-card} Deep networks\n```{notebook-figure} 02_dln_scaling" in intro
    assert "{notebook-figure} 03_tms_kgons fig-kgon-gallery\n" in intro
    assert (ROOT / "README.md").read_text().split("<!-- gallery")[0] == readme.split("<!-- gallery")[0]
    assert CliRunner().invoke(main, ["chapters"]).output.startswith("09_tuned_lens is not")

    entries = yaml.safe_load((copy / "book/chapters.yml").read_text())
    (copy / "book/chapters.yml").write_text(yaml.safe_dump(entries[:3]))
    chapters.write()
    files = [part["chapters"] for part in yaml.safe_load((copy / "_toc.yml").read_text())["parts"]][1]
    assert files == [{"file": f"notebooks/{each['stem']}"} for each in entries[:3]]


LIST = "book/chapters.yml"


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (LIST, "  paper: furman", "  papre: furman", "02_dln_scaling: 'papre' is unknown; 'paper' is missing"),
        (LIST, "title: Deep linear networks", "title: 5", "02_dln_scaling: 'title' should be a text"),
        (LIST, "question: does it find the", "question: a | b", "'question' should be one line without '|'"),
        (LIST, "stem: 02_dln_scaling", "stem: 01_llc_ground_truth", "01_llc_ground_truth is there twice"),
        (LIST, "stem: 02_dln_scaling", "stem: 02_dln", "there is no notebooks/02_dln.py"),
        (LIST, "picture: fig-energy-levels", "picture: fig-none", "03_tms_kgons.py has no figure fig-none"),
        (LIST, "title: Deep", "title: 'Deep", "is not YAML"),
        (LIST, "after: 07_language", "after: 09_language", "after 09_language_model_development, which is not before"),
        ("_toc.yml", "# end of chapters", "# end", "_toc.yml should hold the lines"),
    ],
)
def test_a_list_that_does_not_fit_is_refused_and_nothing_is_written(copy, name, old, new, problem):
    edit(copy / name, old, new)
    before = {each: (copy / each).read_text() for each in FILES}
    result = CliRunner().invoke(main, ["chapters"])
    assert result.exit_code == 1
    assert problem in result.output
    assert {each: (copy / each).read_text() for each in FILES} == before
