"""The prose of an executed notebook with its values and citations in it, as any reader of notebooks shows it.

In a chapter the prose takes measured numbers, citations and figures by roles that only the book resolves. Here they
become text: a number as it is formatted there, `Lau et al. (2023)` for a citation, a figure's caption with its number.
"""

import ast
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from pybtex.database import Entry, parse_file

from devinterp_core.companion import captions, project

VALUE = re.compile(r"\{glue:text\}`(?P<name>[^`:]+)(?::(?P<format>[^`]*))?`")
CITE = re.compile(r"\{cite:(?P<kind>[tp])\}`(?P<keys>[^`]+)`")
MARKED = re.compile(r"\[(?P<words>[^\]\n]*)\]\{\.[\w-]+\}")
DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<kind>[\w:-]+)\} *(?P<title>[^\n]*)\n(?P<body>.*?)^(?P=fence) *$", re.M | re.S
)
OPTIONS = re.compile(r"\A(:[\w-]+:[^\n]*\n)+\n*")
LABEL = re.compile(r"^\([\w:.-]+\)=\n", re.M)
COMMENT = re.compile(r"^%[^\n]*\n?", re.M)
REFERENCE = re.compile(r"\{(?:numref|ref|doc|eq)\}`(?:(?P<words>[^`<]*)<[^`>]*>|(?P<target>[^`]*))`")
MISSING = "(not measured in this run)"
KEEP = "application/papermill.record/text/plain"


def resolved(notebook: NotebookNode) -> NotebookNode:
    """A copy of an executed notebook whose Markdown cells are plain Markdown; code and outputs are as they were.

    A value that no cell has handed to the prose says so: with other parameters than the book's a run may leave out what
    the prose speaks of. (The book itself does not build with such a gap.)

    Raises:
        CompanionError: a key that is not in `book/references.bib`.
    """
    notebook = deepcopy(notebook)
    values = glued(notebook)
    figures: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _plain(cell.source, values, figures)
    return notebook


def glued(notebook: NotebookNode) -> dict[str, Any]:
    """The numbers and words that the cells have handed to the prose, by name; the last of a name counts."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            data = output.get("data", {})
            text = data.get(KEEP, data.get("text/plain"))
            if name and isinstance(text, str):
                try:
                    found[name] = ast.literal_eval(text)
                except (ValueError, SyntaxError):  # not a literal: such as `inf`, or the words of an object
                    found[name] = float(text) if text.strip("+-") in ("inf", "nan") else text
    return found


def _plain(source: str, values: Mapping[str, Any], figures: list[str]) -> str:
    source = captions.FENCE.sub(lambda block: _caption(block, figures), source)
    source = DIRECTIVE.sub(_directive, source)
    source = COMMENT.sub("", LABEL.sub("", source))
    source = VALUE.sub(lambda role: _value(role, values), source)
    source = CITE.sub(_citation, source)
    source = REFERENCE.sub(lambda role: (role["words"] or role["target"]).strip(), source)
    return MARKED.sub(r"\g<words>", source)


def _caption(block: re.Match, figures: list[str]) -> str:
    """A figure's caption as a quoted paragraph that begins with its number."""
    (caption,) = captions.captions_in(block[0])
    figures.append(caption.name)
    lines = f"Figure {len(figures)}. {caption.text}".splitlines()
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _directive(block: re.Match) -> str:
    """Any other box: mathematics between dollars, the rest as a quoted paragraph under its title."""
    body = OPTIONS.sub("", block["body"]).strip()
    if block["kind"] == "math":
        return f"$$\n{body}\n$$"
    title = block["title"].strip() or block["kind"].capitalize()
    return "\n".join(
        f"> {line}".rstrip() for line in [f"**{title}**", "", *DIRECTIVE.sub(_directive, body).splitlines()]
    )


def _value(role: re.Match, values: Mapping[str, Any]) -> str:
    value = values.get(role["name"].strip(), MISSING)
    try:
        return format(value, role["format"] or "")
    except (ValueError, TypeError):  # words where the default run has a number
        return str(value)


def _citation(role: re.Match) -> str:
    known = _references(project.root() / "book" / "references.bib")
    named = []
    for key in (each.strip() for each in role["keys"].split(",")):
        if key not in known:
            raise project.CompanionError(f"the prose cites {key!r}, which is not in book/references.bib")
        named.append((_authors(known[key]), known[key].fields.get("year", "n.d.")))
    if role["kind"] == "t":
        return ", ".join(f"{who} ({year})" for who, year in named)
    return "(" + "; ".join(f"{who}, {year}" for who, year in named) + ")"


def _references(path: Path) -> Mapping[str, Entry]:
    return parse_file(str(path)).entries if path.is_file() else {}


def _authors(entry: Entry) -> str:
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [" ".join([*each.prelast_names, *each.last_names]).strip("{}") for each in people]
    if not names:
        return entry.fields.get("title", "anonymous").strip("{}")
    return names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
