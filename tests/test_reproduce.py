"""REPRODUCE.md: written from records, in step with the list of chapters."""

import json
import re
from pathlib import Path

import companion_tree
import pytest

from devinterp_core.companion import chapters, project, reproduce

ROOT = Path(__file__).resolve().parents[1]
RUN = {"cpu_seconds": 90.0, "machine": {"cpu": "A CPU", "cores": 2, "threads": 1}}
CLAIM = {"statement": "$|w|$ is 1", "paper": 1.0, "measured": 1.23456, "interval": [1.2, 1.26], "holds": False,
         "detail": "within 0.1 of 1 asked; 95 %"}  # fmt: skip


def test_the_page_is_in_step_with_the_list_of_chapters():
    text = (ROOT / reproduce.FILE).read_text(encoding="utf-8")
    listed = chapters.read()
    titles = re.findall(r"^### (\d+)\. (.*)$", text, re.MULTILINE)
    assert titles == [(str(number), each.title) for number, each in enumerate(listed, start=1)]
    assert re.findall(r"`\.venv/bin/companion run (\w+)` \|", text) == [each.stem for each in listed]
    for number in range(1, len(listed) + 1):
        assert re.findall(rf"^\| C{number}\.(\d+) \|", text, re.MULTILINE), f"chapter {number} has no claim"
    assert {f"`{name}`" for name in reproduce.declared()} <= set(re.findall(r"^\| (`\w+`) \|", text, re.MULTILINE))


def test_a_claim_becomes_a_row(monkeypatch):
    chapter = chapters.Chapter("01_a", "A, b", "key", "Paper (2020)", "why?", "fig-a", "Card.")
    text = reproduce.page(
        [(chapter, [CLAIM, CLAIM | {"holds": None, "interval": "exact"}], RUN)], [["`x`", "a.csv", "7"]]
    )
    assert "| C1.1 | $\\|w\\|$ is 1 | 1 | 1.235 | 1.2 to 1.26 | within 0.1 of 1 asked | does not hold |" in text
    assert "| exact | within 0.1 of 1 asked | undecided |" in text
    assert "[1. A, b](#1-a-b) | `.venv/bin/companion run 01_a` | 1.5 | 2 | 0 | 1 | 1 |" in text
    assert "A CPU, 2 cores, 1 thread a notebook" in text and "| `x` | a.csv | 7 |" in text


def test_without_the_book_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    companion_tree.make(tmp_path)
    chapter = {
        "stem": "01_first",
        "title": "T",
        "paper": "p",
        "source": "S",
        "question": "q",
        "picture": "f",
        "card": "c",
    }
    (tmp_path / "book" / "chapters.yml").write_text(json.dumps([chapter]))
    with pytest.raises(project.CompanionError, match="make book"):
        reproduce.write()
