"""The line under the title of a chapter."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "book" / "_ext" / "chapter_head.py"
specification = importlib.util.spec_from_file_location("chapter_head", PATH)
extension = importlib.util.module_from_spec(specification)
specification.loader.exec_module(extension)


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, ""), (20, "1 minute on"), (89, "1 minute on"), (170, "3 minutes on")]
)
def test_minutes(seconds, words):
    found = extension.in_minutes(seconds)
    assert words in found and bool(found) == bool(words)


def test_every_chapter_needs_pages_that_come_before_it():
    seen = set()
    for chapter in extension.chapters.read():
        for name in chapter.needs:
            assert name in seen or (PATH.parents[1] / f"{name}.md").exists(), f"{chapter.stem} needs {name}"
        seen.add(chapter.stem)
