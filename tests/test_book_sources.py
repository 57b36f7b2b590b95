"""What the build of the book cannot see: missing notebooks, links of the README, files that must be carried along."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_of_contents_has_every_notebook():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    notebooks = [f"notebooks/{path.stem}" for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))]
    assert [file for file in files if file.startswith("notebooks/")] == notebooks


def test_links_and_pictures_of_the_readme_are_there():
    text = (ROOT / "README.md").read_text()
    for picture, target in re.findall(r"(!?)\[[^\]]*\]\(([^)#]+)", text):
        if not target.startswith("http"):
            assert (ROOT / target).is_file(), f"{picture}{target}"
    pictures = re.findall(r'<a href="([^"]*)"[^>]*><img src="([^"]*)"[^>]* alt="([^"]*)">', text)
    assert len(pictures) == text.count("<img") == 6
    for target, picture, alt in pictures:
        assert (ROOT / target).is_file() and (ROOT / picture).is_file()
        assert len(alt) > 40, "pictures have alt text"
    assert "make book" in text
    assert "make test" in text


def test_mathjax_is_carried_with_its_fonts_and_licence():
    folder = ROOT / "book" / "_static" / "mathjax"
    path = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["mathjax_path"]
    assert (ROOT / "book" / "_static" / path).stat().st_size > 1_000_000
    assert len(list(folder.glob("output/chtml/fonts/woff-v2/*.woff"))) >= 20
    assert "Apache License" in (folder / "LICENSE").read_text()


def test_the_book_never_executes_and_loads_nothing_from_elsewhere():
    settings = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert settings["execute"]["execute_notebooks"] == "off"
    urls = [line for line in (ROOT / "_config.yml").read_text().splitlines() if "http" in line]
    assert not urls
    assert not re.search(r"@import|url\(", (ROOT / "book" / "_static" / "companion.css").read_text())


@pytest.mark.parametrize("path", sorted((ROOT / "book").glob("*.md")), ids=lambda path: path.name)
def test_pages_name_only_keys_of_the_bibliography(path):
    keys = set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "book" / "references.bib").read_text(), re.MULTILINE))
    cited = {k.strip() for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", path.read_text()) for k in keys.split(",")}
    assert cited <= keys
