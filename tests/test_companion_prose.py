"""Executed notebooks as any reader shows them: values, citations and captions as text, one run as one page."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from devinterp_core.companion import project, prose, web_page

BIB = """
@article{one2020, author = {Aoyagi, Miki}, title = {A}, year = {2020}}
@article{two2021, author = {van der Vaart, Aad and Lau, Edmund}, title = {B}, year = {2021}}
@article{three2022, author = {{Group}, {The} and B, C and D, E}, title = {C}, year = {2022}}
"""


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "references.bib").write_text(BIB)
    return tmp_path


def glued(name, text):
    data = {prose.KEEP: text}
    return new_output("display_data", data=data, metadata={"scrapbook": {"name": name, "mime_prefix": "x"}})


def notebook(*markdown):
    outputs = [glued("share", "0.256"), glued("words", "'4 of 5'"), glued("steps", "225000"), glued("far", "inf")]
    code = new_code_cell("numbers(share=0.256)", outputs=outputs, metadata={"tags": ["hide-input"]})
    return new_notebook(cells=[*(new_markdown_cell(text) for text in markdown), code])


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{glue:text}`share:.0%` of {glue:text}`words`", "26% of 4 of 5"),
        ("{glue:text}`steps:,` steps, {glue:text}`far:.1f`", "225,000 steps, inf"),
        ("{cite:t}`one2020` finds", "Aoyagi (2020) finds"),
        ("found {cite:p}`two2021,one2020`.", "found (van der Vaart and Lau, 2021; Aoyagi, 2020)."),
        ("{cite:t}`three2022`", "Group et al. (2022)"),
        ("(a-label)=\n# Title\n% a comment\n[0.5]{.paper} there", "# Title\n0.5 there"),
        ("see {numref}`the figure <fig-a>` and {ref}`x`", "see the figure and x"),
        ("```{math}\n:label: eq\na = b\n```", "$$\na = b\n$$"),
        (":::{note} Mind\nthe gap\n:::", "> **Mind**\n>\n> the gap"),
        ("```{glue:figure} f\n:name: f\n:alt: A.\n\n**Down.** By {glue:text}`share:.1f`\n```\n% rests on: x\n\nMore.",
         "> Figure 1. **Down.** By 0.3\n\nMore."),
    ],
)  # fmt: skip
def test_roles_become_text(source, text):
    assert prose.resolved(notebook(source)).cells[0].source == text


def test_figures_are_counted_and_the_notebook_itself_stays():
    figure = "```{{glue:figure}} fig-{0}\n:name: fig-{0}\n:alt: A.\n\nCaption.\n```"
    before = notebook(figure.format("a"), figure.format("b"))
    sources = [cell.source for cell in prose.resolved(before).cells[:2]]
    assert sources == ["> Figure 1. Caption.", "> Figure 2. Caption."]
    assert "glue:figure" in before.cells[0].source


def test_a_work_that_is_not_in_the_bibliography_is_an_error():
    with pytest.raises(project.CompanionError, match="'none1999', which is not in"):
        prose.resolved(notebook("{cite:t}`none1999`"))


def test_what_a_run_has_not_measured_is_said_and_ends_no_run():
    assert prose.resolved(notebook("{glue:text}`nothing:.2f`")).cells[0].source == "(not measured in this run)"


def test_a_run_is_one_page_that_asks_nobody(tree):
    fonts = tree / web_page.MATHJAX / "fonts"
    fonts.mkdir(parents=True)
    (fonts / "MathJax_Zero.woff").write_bytes(b"font")
    script = """font('url("%%URL%%/MathJax_Zero.woff")'); "</script>" """
    (tree / web_page.MATHJAX / "tex-mml-chtml.js").write_text(script)
    record = {"parameters": {"seed": 3, "words": "<b>"}, "wall_seconds": 12.4, "commit": "abc"}
    cells = prose.resolved(notebook("# A <title>", "{glue:text}`share` $x < y$"))
    nbformat.validate(cells)
    text = web_page.page(cells, record)
    assert (
        "<tr><th>seed</th><td>3</td></tr>" in text
        and "&quot;&lt;b&gt;&quot;" in text
        and "12 seconds, commit abc" in text
    )
    assert 'url("data:font/woff;base64,Zm9udA==")' in text and "%%URL%%" not in text
    assert text.count("</script") == text.count("<script") == 2
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)[^\"']*", text)
    assert text.count("<details>") == text.count("</details>") == 1 and "0.256" in text


def test_the_page_of_a_run_is_no_folder(tree):
    with pytest.raises(project.CompanionError, match="is a folder"):
        web_page.write(tree, tree)
