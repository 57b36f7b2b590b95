"""Executing one notebook: refusals before a kernel starts, the cache, failures, and what is left behind."""

import json
import subprocess
import sys

import companion_tree
import nbformat
import pytest
from click.testing import CliRunner
from companion_tree import companion, edit, executions, results

from devinterp_core.companion import assemble, project
from devinterp_core.companion import run as runs
from devinterp_core.companion.__main__ import main


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """The small project."""
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    return companion_tree.make(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-p", "sede", "1"],
            "unknown parameter 'sede' (did you mean 'seed'?); the parameters are: seed, scale, widths",
        ),
        (["-p", "seed", "1.5"], "parameter 'seed' is of type int (for example 3), not 1.5"),
        (["-p", "widths", "3"], "parameter 'widths' is of type list[int] (for example [1, 2]), not 3"),
        (["-f", "missing.yaml"], "cannot read missing.yaml"),
        (["-f", "smok"], "01_first has no preset 'smok'; its presets: smoke"),
    ],
)
def test_bad_parameters_are_refused_before_a_kernel_starts(tree, monkeypatch, arguments, message):
    monkeypatch.setattr(runs, "execute_notebook", lambda *_, **__: pytest.fail("a kernel was started"))
    result = CliRunner().invoke(main, ["run", "01", *arguments])
    assert result.exit_code == 1
    assert message in result.output
    assert not (tree / "_build").exists()


@pytest.mark.parametrize("name", ["01", "01_first", "notebooks/01_first.py", "01_first.ipynb"])
def test_a_notebook_is_known_by_name_file_and_prefix(tree, name):
    assert project.find_notebook(name).name == "01_first.py"


@pytest.mark.parametrize(
    ("name", "problem"), [("0", "several notebooks: 01_first, 02_second"), ("3", "is not a notebook")]
)
def test_an_unknown_or_ambiguous_notebook_is_refused_with_a_list(tree, name, problem):
    with pytest.raises(project.CompanionError, match=problem):
        project.find_notebook(name)


@pytest.mark.parametrize("arguments", [["run", "01"], ["params", "01"], ["list"]])
def test_an_installed_library_says_where_notebooks_are_to_be_had(tmp_path, monkeypatch, arguments):
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "there are no notebooks in" in result.output and "clone the repository" in result.output


def test_the_command_line_lists_notebooks_and_parameters(tree):
    listing = CliRunner().invoke(main, ["list"]).output
    assert "01_first" in listing
    assert "presets: smoke" in listing
    assert "not executed" in listing
    lines = CliRunner().invoke(main, ["params", "01"]).output.splitlines()
    assert lines[1].split(maxsplit=3) == ["scale", "float", "1.0", "in units of nothing"]


def test_a_run_is_kept_whole_and_is_not_repeated(tree):
    """Execution, the cache, provenance, delivery, the page, a prose edit and the round trip through jupytext."""
    status, output = companion(tree, "run", "01", "-f", "notebooks/params/01_first.smoke.yaml", "-p", "seed", "3")
    assert status == 0, output
    (folder,) = results(tree)
    assert {path.name for path in folder.iterdir()} == {"notebook.ipynb", "run.json", "fig-first.svg"}
    record = json.loads((folder / "run.json").read_text())
    assert record["parameters"] == {"scale": 0.001, "seed": 3}
    assert 0.2 < record["cpu_seconds"] < 4 * record["wall_seconds"]
    assert {"key", "wall_seconds", "started", "commit", "machine", "python", "torch"} <= set(record)
    assert (folder / "fig-first.svg").read_text() == "<svg>3.003</svg>"
    executed = (folder / "notebook.ipynb").read_text()
    assert "threads 1" in executed
    assert '"name": "stderr"' not in executed  # the progress bar
    assert "papermill.record" in executed  # the glued number

    status, output = companion(
        tree, "run", "01", "-p", "seed", "3", "-p", "scale", "0.001", "--output", "copy/mine.ipynb"
    )
    assert status == 0, output
    assert "nothing to do" in output
    assert (tree / "copy" / "mine.ipynb").read_text() == executed
    assert executions(tree) == ["one 3 0.001"]

    companion(tree, "run", "01", "-p", "seed", "3", "-p", "scale", "0.001", "--force")
    assert executions(tree) == ["one 3 0.001"] * 2
    assert (folder / "notebook.ipynb").read_text() == executed  # equal runs, equal files


def test_the_page_takes_outputs_from_the_run_and_all_else_from_the_percent_file(tree):
    percent = tree / "notebooks" / "01_first.py"
    status, output = companion(tree, "run", "01")
    assert status == 0, output
    edit(percent, "The first prose.", "Edited prose.")
    edit(percent, '"caption": "First."', '"caption": "Edited caption."')
    assert "nothing to do" in companion(tree, "run", "01")[1]
    (folder,) = results(tree)
    page = assemble.place(percent, folder)
    text = page.read_text()
    assert "Edited prose." in text
    assert "Edited caption." in text
    notebook = nbformat.read(page, as_version=4)
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == [1, 2, 3]
    assert [cell.id for cell in notebook.cells] == [f"cell-{number}" for number in range(len(notebook.cells))]

    before = percent.read_bytes()
    subprocess.run([sys.executable, "-m", "jupytext", "--sync", page], cwd=tree, check=True, capture_output=True)
    assert percent.read_bytes() == before  # syncing a built notebook changes nothing

    edit(page, "Edited prose.", "Prose typed in Jupyter.")
    assemble.place(percent, folder)
    assert "Prose typed in Jupyter." in (page.with_name("01_first.edited.ipynb")).read_text()

    edit(percent, "sum(widths)", "0")
    with pytest.raises(project.CompanionError, match="not made from the code"):
        assemble.page(percent, folder / "notebook.ipynb")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "label", "fail"], "ValueError: asked to fail"),
        (["-p", "label", "exit"], "the kernel died"),
        (["-p", "label", "sleep", "--timeout", "5"], "did not finish within 5 s"),
        (["-p", "label", "data"], "read data/recorded/unnamed.csv, but its code does not name that file"),
    ],
)
def test_a_failed_run_says_why_and_leaves_nothing(tree, arguments, message):
    status, output = companion(tree, "run", "01", *arguments, "--output", "out.ipynb")
    assert status == 1
    assert message in output
    assert results(tree) == []
    assert not (tree / "out.ipynb").exists()
    assert not list((tree / "_build" / "executed").glob(".tmp-*"))


def test_the_failing_cell_is_shown_with_its_traceback(tree):
    output = companion(tree, "run", "01", "-p", "label", "fail")[1]
    assert "01_first failed in code cell" in output
    assert '    raise ValueError("asked to fail")' in output


@pytest.mark.parametrize(("failures", "status"), [(1, 0), (2, 1)])
def test_a_kernel_that_does_not_start_is_tried_once_more(tree, monkeypatch, failures, status):
    calls = []

    def execute(source, *_, **__):
        calls.append(source)
        if len(calls) <= failures:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return nbformat.read(source, as_version=4)

    monkeypatch.setattr(runs, "execute_notebook", execute)
    result = CliRunner().invoke(main, ["run", "01"])
    assert (result.exit_code, len(calls)) == (status, 2)


def test_a_run_whose_sources_were_edited_meanwhile_is_not_kept(tree, monkeypatch):
    def execute(source, *_, **__):
        edit(tree / "notebooks" / "01_first.py", "sum(widths)", "0")
        return nbformat.read(source, as_version=4)

    monkeypatch.setattr(runs, "execute_notebook", execute)
    result = CliRunner().invoke(main, ["run", "01"])
    assert result.exit_code == 1
    assert "edited while it ran" in result.output
    assert results(tree) == []
