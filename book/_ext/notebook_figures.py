"""Sphinx extension: figures of the notebooks, with links to their files, and as pictures on other pages.

The engine copies what a run saved to `downloads/<notebook>/` beside the pages, and `figures.show` names the files after
the figure. So each labelled figure of a notebook can link to its files, and any page can show it as it was last made:

    ```{notebook-figure} 03_tms_kgons fig-energy-levels
    ```
"""

import html
import posixpath
from pathlib import Path

import jupytext
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from devinterp_core.companion.captions import captions_of

FILES = (("svg", "SVG"), ("pdf", "PDF"), ("csv", "plotted numbers (CSV)"))


def add_links(app, doctree: nodes.document, docname: str) -> None:
    """Append the links to every labelled figure of a page under `notebooks/`."""
    if app.builder.format != "html" or not docname.startswith("notebooks/"):
        return
    up = posixpath.relpath("downloads", posixpath.dirname(docname))
    for figure in doctree.findall(nodes.figure):
        label = next((name for name in figure["ids"] if name.startswith("fig-")), None)
        if label is None:
            continue
        line = nodes.paragraph(classes=["figure-files"])
        line += nodes.Text("Download: ")
        for number, (suffix, words) in enumerate(FILES):
            line += nodes.Text(", " if number else "")
            target = f"{up}/{posixpath.basename(docname)}/{label}.{suffix}"
            line += nodes.reference("", words, refuri=target, internal=True)
        legend = next(iter(figure.findall(nodes.legend)), None)
        if legend is None:
            legend = nodes.legend()
            figure += legend
        legend += line


class NotebookFigure(SphinxDirective):
    """A picture that links to its figure in a notebook, with the alt text that it has there."""

    required_arguments = 2
    has_content = False

    def run(self) -> list[nodes.Node]:
        """The picture; a warning, which fails the build, if the notebook has no such figure."""
        notebook, label = self.arguments
        percent = Path(self.env.srcdir) / "notebooks" / f"{notebook}.py"
        self.env.note_dependency(str(percent))
        found = captions_of(jupytext.read(percent, fmt="py:percent")) if percent.exists() else {}
        if label not in found:
            return [self.state.document.reporter.warning(f"{percent.name} has no figure {label}", line=self.lineno)]
        up = posixpath.relpath(".", posixpath.dirname(self.env.docname))
        alt = html.escape(found[label].alt)
        picture = (
            f'<a class="notebook-figure" href="{up}/notebooks/{notebook}.html#{label}">'
            f'<img src="{up}/downloads/{notebook}/{label}.svg" alt="{alt}" loading="lazy"></a>'
        )
        return [nodes.raw("", picture, format="html")]


def setup(app) -> dict:
    """Register the handler and the directive."""
    app.connect("doctree-resolved", add_links)
    app.add_directive("notebook-figure", NotebookFigure)
    app.set_html_assets_policy("always")  # mathematics in the HTML of tables needs MathJax where the text has none
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
