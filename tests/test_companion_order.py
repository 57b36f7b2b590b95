"""The order of a build: the longest notebook first, and none beside the one whose trainings it uses."""

import datetime
import json

import companion_tree
import pytest
import yaml
from click.testing import CliRunner
from companion_tree import companion, executions, results

from devinterp_core.companion import chapters, jobs, order, pages, project
from devinterp_core.companion.__main__ import main


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """The small project, with a third notebook."""
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    root = companion_tree.make(tmp_path)
    (root / "notebooks/03_third.py").write_text(companion_tree.NOTEBOOK.format(name="three", stem="third"))
    (root / "_toc.yml").write_text(companion_tree.CONTENTS.replace("]", ", {file: notebooks/03_third}]"))
    return root


def write_list(root, **after):
    """A list of chapters in which some come after others."""
    names = ("title", "paper", "source", "question", "picture", "card")
    entries = [{"stem": path.stem, **dict.fromkeys(names, "x")} for path in project.notebooks()]
    entries = [entry | ({"after": after[entry["stem"][3:]]} if entry["stem"][3:] in after else {}) for entry in entries]
    (root / chapters.LIST).write_text(yaml.safe_dump(entries))


def book_jobs():
    """As `jobs.book_jobs`, which reads a project once."""
    return [jobs.job(path, {}) for path in project.notebooks()]


def by_stem(found):
    return {name.rpartition("-")[0]: value for name, value in found.items()}


def test_the_priority_is_the_longest_chain_that_waits(tree):
    assert set(order.priorities(book_jobs()).values()) == {0}
    (tree / order.SECONDS).write_text('{"01_first": 10, "02_second": 30.5}')
    assert by_stem(order.priorities(book_jobs())) == {"01_first": 10, "02_second": 30.5, "03_third": 30.5}
    write_list(tree, third="01_first")
    assert by_stem(order.priorities(book_jobs())) == {"01_first": 40.5, "02_second": 30.5, "03_third": 30.5}
    write_list(tree, second="01_first", third="02_second")
    assert by_stem(order.priorities(book_jobs())) == {"01_first": 71, "02_second": 61, "03_third": 30.5}
    first, second, third = book_jobs()
    assert order.predecessors([first, second, third]) == {second.name: first.target, third.name: second.target}
    assert order.predecessors([first, third]) == {}


@pytest.mark.parametrize("text", ["[1]", "{", '{"01_first": "1"}', '{"01_first": -1}', '{"01_first": NaN}'])
def test_seconds_that_are_none_stop_the_build_before_anything_starts(tree, text):
    (tree / order.SECONDS).write_text(text)
    result = CliRunner().invoke(main, ["book"])
    assert result.exit_code == 1
    assert "book/seconds.json should give seconds by notebook" in result.output
    assert executions(tree) == []


def test_a_build_begins_with_the_longest_and_its_seconds_can_be_noted(tree):
    result = CliRunner().invoke(main, ["seconds"])
    assert (result.exit_code, result.output) == (1, "Error: 01_first is not in the book in _build/html: make book\n")
    (tree / order.SECONDS).write_text('{"01_first": 1, "02_second": 2, "03_third": 3}')
    status, output = companion(tree, "book", "--cores", "1")
    assert status == 0, output
    assert [line.split()[0] for line in executions(tree)] == ["three", "two", "one"]

    made = {path.name for path in (tree / "_build/html").glob(".made-from-*")}
    result = CliRunner().invoke(main, ["seconds"])
    assert result.output == "book/seconds.json is written\n"
    found = json.loads((tree / order.SECONDS).read_text())
    took = {path.name.rpartition("-")[0]: json.loads((path / "run.json").read_text()) for path in results(tree)}
    assert found == {stem: round(record["wall_seconds"]) for stem, record in took.items()}
    jobs.book_jobs.cache_clear()
    assert made != {pages.target().rpartition("/")[2]}  # the line under a chapter's title states its minutes
    jobs.book_jobs.cache_clear()


def test_who_uses_the_trainings_of_another_starts_after_it(tree):
    write_list(tree, second="01_first")
    (tree / order.SECONDS).write_text('{"01_first": 1, "02_second": 9, "03_third": 3}')
    status, output = companion(tree, "book", "--cores", "3")
    assert status == 0, output
    one, two, _ = [json.loads((path / "run.json").read_text()) for path in results(tree)]
    started = [datetime.datetime.fromisoformat(record["started"]).timestamp() for record in (one, two)]
    assert started[1] - started[0] > one["wall_seconds"] - 1  # stamps are whole seconds

    # what is done is not done again because its predecessor is
    companion_tree.edit(tree / "notebooks/01_first.py", "sum(widths)", "sum(widths) + 1")
    status, output = companion(tree, "book", "--cores", "3")
    assert status == 0, output
    assert sorted(line.split()[0] for line in executions(tree)) == ["one", "one", "three", "two"]
    assert "02_second" not in output
