"""Sphinx extension: one line under the title of every chapter: how long it runs, what to read before it, and help.

The minutes are those of the last published build (`book/seconds.json`), what to read before is `needs` of the list of
chapters (`book/chapters.yml`): chapters by the name of their notebook, other pages of the book by theirs.
"""

import posixpath

from docutils import nodes
from sphinx.util import logging

from devinterp_core.companion import chapters, order

HELP = {"Glossary": "glossary.html", "How to read the tables": "llc.html#reading-tables"}


def in_minutes(seconds: float | None) -> str:
    """`Runs in about 3 minutes on one core.`; empty where nobody has noted how long it takes."""
    if seconds is None:
        return ""
    minutes = max(1, round(seconds / 60))
    return f"Runs in about {minutes} minute{'s' if minutes > 1 else ''} on one core. "


def add_line(app, doctree: nodes.document, docname: str) -> None:
    """Put the line under the title of a chapter's page."""
    title = next(iter(doctree.findall(nodes.title)), None)
    known = {f"notebooks/{each.stem}": each for each in chapters.read()}
    if docname not in known or title is None or app.builder.format != "html":
        return
    chapter = known[docname]
    line = nodes.paragraph(classes=["chapter-head"])
    line += nodes.Text(in_minutes(order.read_seconds().get(chapter.stem)))
    for number, name in enumerate(chapter.needs):
        page = f"notebooks/{name}" if f"notebooks/{name}" in known else f"book/{name}"
        if page not in app.env.titles:
            logging.getLogger(__name__).warning("%s needs %s, which is no page of the book", chapter.stem, page)
            return
        target = posixpath.relpath(f"{page}.html", posixpath.dirname(docname))
        line += nodes.Text(", " if number else "Read first: ")
        line += nodes.reference("", app.env.titles[page].astext(), refuri=target, internal=True)
    line += nodes.Text(". " if chapter.needs else "")
    up = posixpath.relpath("book", posixpath.dirname(docname))
    for number, (words, page) in enumerate(HELP.items()):
        line += nodes.Text(" · " if number else "")
        line += nodes.reference("", words, refuri=f"{up}/{page}", internal=True)
    title.parent.insert(title.parent.index(title) + 1, line)


def setup(app) -> dict:
    """Register the handler."""
    app.connect("doctree-resolved", add_line)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
