"""Sphinx extension: the docstrings' Markdown mathematics and code spans, as reStructuredText reads them.

In the source a docstring says `$\\lambda$` and `` `seed` ``, as the notebooks do; autodoc expects roles.
"""

import re

LITERAL = re.compile(r"``.+?``|:[\w:]+:`[^`]+`", re.DOTALL)
CODE = re.compile(r"(?<![`\w])`([^`]+)`(?![`_])")
MATH = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$]+?)\$", re.DOTALL)
HELD = re.compile("\0(\\d+)\1")  # the place of a converted span
RETURNS = re.compile(r"^(\s*(?:Returns|Yields):\n\s*[^\n:]*?):(?= )", re.MULTILINE)
COLON = "\2"  # stands for a colon that napoleon would read as the end of a type


def convert(text: str) -> str:
    """Markdown code spans and mathematics to reStructuredText; roles and literals stay as they are."""
    spans: list[str] = []

    def hold(span: str) -> str:
        spans.append(" ".join(span.split()))
        return f"\0{len(spans) - 1}\1"

    def release(text: str) -> str:
        return HELD.sub(lambda m: spans[int(m.group(1))], text)

    text = LITERAL.sub(lambda m: hold(m.group()), text)
    text = CODE.sub(lambda m: hold(f"``{m.group(1)}``"), text)
    text = MATH.sub(lambda m: hold(f":math:`{release(m.group(1) or m.group(2))}`"), text)
    text = RETURNS.sub(rf"\1{COLON}", text)
    # reStructuredText wants a space, which a backslash hides, between inline markup and a letter: `$k$-gon` needs none
    text = re.sub("(?<=\\w)(?=\0)", r"\\ ", re.sub("(?<=\1)(?=[\\w(])", r"\\ ", text))
    return release(text)


def before_napoleon(app, what, name, obj, options, lines: list[str]) -> None:
    """Convert a docstring; the fields of a named tuple without a docstring of their own say nothing."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()
    lines[:] = convert("\n".join(lines)).split("\n")


def after_napoleon(app, what, name, obj, options, lines: list[str]) -> None:
    """Put the colons back."""
    lines[:] = [line.replace(COLON, ":") for line in lines]


def setup(app) -> dict:
    """Register the handlers around napoleon's, whose priority is 500."""
    app.connect("autodoc-process-docstring", before_napoleon, priority=100)
    app.connect("autodoc-process-docstring", after_napoleon, priority=900)
    return {"version": "1", "parallel_read_safe": True}
