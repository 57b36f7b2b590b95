"""One run as one HTML file: figures, mathematics and fonts are in it, so that it opens anywhere and asks nobody.

The parameters of the run stand under its title. Code that the book folds away is folded here too.
"""

import base64
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from devinterp_core.companion import assemble, manifest, project, prose
from devinterp_core.files import write_atomically

MATHJAX = "book/_static/mathjax"
FONTS = re.compile(r"%%URL%%/(MathJax_[\w-]+\.woff)")
STYLE = """
:root { color-scheme: light dark; --line: #8884; --code: #8881; --text: #1f2328; --page: #fff; --quiet: #59636e }
@media (prefers-color-scheme: dark) { :root { --text: #d8dee4; --page: #14181c; --quiet: #9aa4ad } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 48rem; font: 1rem/1.6 system-ui, sans-serif;
  color: var(--text); background: var(--page); overflow-wrap: anywhere; overflow-x: clip }
h1, h2, h3 { line-height: 1.25 }
.anchor-link, .prompt { display: none }
img, svg { max-width: 100%; height: auto }
.output_svg, .output_png { background: #fff; border-radius: 4px; padding: 4px }
pre { overflow-x: auto; background: var(--code); padding: .6rem .8rem; border-radius: 4px; font-size: .82rem }
details { margin: .5rem 0 }
summary { color: var(--quiet); cursor: pointer; font-size: .9rem }
.output_html, .output_markdown, .run { overflow-x: auto }
table { border: 0; border-collapse: collapse; font-size: .9rem }
th, td { padding: .25rem .6rem; border: 0 solid var(--line); border-bottom-width: 1px; text-align: left }
blockquote { margin: .5rem 0 1.5rem; padding: 0 0 0 1rem; border-left: 3px solid var(--line); color: var(--quiet) }
mjx-container { max-width: 100%; overflow-x: auto; overflow-y: hidden }
"""


def write(folder: Path, destination: Path) -> Path:
    """Write the finished run in `folder` as the page `destination`.

    Raises:
        CompanionError: if the run is damaged, or `destination` is a folder.
    """
    if destination.is_dir():
        raise project.CompanionError(f"{destination} is a folder; name a file for the page")
    record = manifest.read(folder)
    notebook = nbformat.read(folder / assemble.NOTEBOOK, as_version=4)
    text = page(prose.resolved(notebook), record)
    return write_atomically(destination, lambda path: path.write_text(text, encoding="utf-8"))


def page(notebook: NotebookNode, record: Mapping[str, Any]) -> str:
    """The page of an executed notebook whose prose is plain Markdown; `record` is what its `run.json` says."""
    for cell in notebook.cells:  # what was handed to the prose is in it
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if set(each.get("data", {"": ""})) != {prose.KEEP}]
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    body = _folded(body)
    title = next((line[2:] for cell in notebook.cells for line in cell.source.splitlines() if line[:2] == "# "), "Run")
    head, found, rest = body.partition("</h1>")
    body = f"{head}</h1>{_about(record)}{rest}" if found else f"{_about(record)}{body}"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>{_mathematics()}</head>\n<body>{body}</body></html>\n"
    )


def _about(record: Mapping[str, Any]) -> str:
    """Parameters that differ from the defaults, how long the run took and of which commit it is."""
    changed = record["parameters"]
    rows = [f"<tr><th>{html.escape(k)}</th><td>{html.escape(json.dumps(v))}</td></tr>" for k, v in changed.items()]
    at = "with these parameters, the others at their defaults" if rows else "at its default parameters"
    words = (
        f"One run of the notebook {at}: {record['wall_seconds']:.0f} seconds, commit {record['commit'] or 'unknown'}."
    )
    return (
        f'<div class="run"><p>{words}</p>{"<table>" if rows else ""}{"".join(rows)}{"</table>" if rows else ""}</div>'
    )


def _folded(body: str) -> str:
    """The code of cells tagged `hide-input` behind a line that opens it."""
    parts = re.split(r'(?=<div[^>]*class="cell border-box-sizing)', body)
    for number, part in enumerate(parts):
        head = part[: part.find(">") + 1]
        if "celltag_hide-input" in head or "celltag_hide-cell" in head:
            part = re.sub(r'<div class="input">', '<details><summary>Code</summary><div class="input">', part, count=1)
            end = part.find('<div class="output_wrapper">')
            end = len(part.rstrip().removesuffix("</div>")) if end < 0 else end
            parts[number] = f"{part[:end]}</details>{part[end:]}"
    return "".join(parts)


def _mathematics() -> str:
    """MathJax with its fonts, from the book's copy; nothing where there is none."""
    folder = project.root() / MATHJAX
    script = folder / "tex-mml-chtml.js"
    if not script.is_file():
        return ""
    fonts = {path.name: base64.b64encode(path.read_bytes()).decode() for path in folder.rglob("*.woff")}
    code = FONTS.sub(
        lambda found: f"data:font/woff;base64,{fonts.get(found[1], '')}", script.read_text(encoding="utf-8")
    )
    settings = {
        "tex": {"inlineMath": [["$", "$"], ["\\(", "\\)"]], "macros": macros()},
        "options": {"enableMenu": False},
    }
    code = code.replace("</script", "<\\/script")
    return f"<script>window.MathJax = {json.dumps(settings)};</script><script>{code}</script>"


def macros() -> dict[str, str]:
    """The macros of the book's mathematics, from `_config.yml`."""
    try:
        config = yaml.safe_load((project.root() / "_config.yml").read_text(encoding="utf-8"))
        return dict(config["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"])
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return {}
