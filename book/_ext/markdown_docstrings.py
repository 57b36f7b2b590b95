"""Sphinx extension: the docstrings' Markdown mathematics and code spans, as reStructuredText reads them.

In the source a docstring says `$\\lambda$` and `` `seed` ``, as the notebooks do; autodoc expects roles.
"""

import re

DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$])\$([^$]+?)\$", re.DOTALL)
CODE = re.compile(r"(?<![`:\w])`([^`\n]+)`(?![`_])")


def convert(text: str) -> str:
    """Markdown code spans and mathematics to reStructuredText; roles and literals stay as they are."""
    spans = []

    def keep(span: str) -> str:
        spans.append(span)
        return f"\0{len(spans) - 1}\0"

    text = re.sub(r"``.+?``|:[\w:]+:`[^`]+`", lambda m: keep(m.group()), text)
    text = CODE.sub(lambda m: keep(f"``{m.group(1)}``"), text)
    text = DISPLAY.sub(lambda m: keep(":math:`" + " ".join(m.group(1).split()) + "`"), text)
    text = INLINE.sub(lambda m: keep(":math:`" + " ".join(m.group(1).split()) + "`"), text)
    while "\0" in text:
        text = re.sub(r"\0(\d+)\0", lambda m: spans[int(m.group(1))], text)
    return _separate(text)


def _separate(text: str) -> str:
    """reStructuredText wants a break after inline markup: `:math:`k`-gon` needs an escaped space."""
    return re.sub(r"(:math:`[^`]+`|``[^`]+``)(?=[\w(])", r"\1\\ ", re.sub(r"(?<=\w)(?=:math:`)", r"\\ ", text))


def process(app, what, name, obj, options, lines: list[str]) -> None:
    """Handler of `autodoc-process-docstring`, before napoleon reads the sections."""
    lines[:] = convert("\n".join(lines)).split("\n")


def setup(app) -> dict:
    """Register the handler with a priority before napoleon's."""
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"version": "1", "parallel_read_safe": True}
