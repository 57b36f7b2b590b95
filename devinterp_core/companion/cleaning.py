"""Equal runs give equal files: what differs between two runs of the same code is taken out of an executed notebook.

Execution times, random ids of cells and of tables, memory addresses, process numbers, folders of this machine, progress
bars and time-stamped log lines of libraries say nothing about the result. Warnings stay.
"""

import os
import re
import sysconfig
from collections.abc import Callable
from pathlib import Path

import nbformat

from devinterp_core.companion import project

INTERNAL_CELL_METADATA = ("papermill", "execution", "lines_to_next_cell", "collapsed")
WIDGET = "application/vnd.jupyter.widget-view+json"  # a progress bar of Jupyter, which lives as long as its kernel
PROGRESS_BAR = re.compile(r"\d+%\|.*\||\d+(\.\d+)?\s*(it|s|step|draw|cell)[a-z]*/(s|it|step|draw|cell)\b|\dit \[")
# `W1125 02:07:41.591000 4179 ...`: the log of torch, with hour and process, of the compilers and devices it looked for
LOG_LINE = re.compile(r"[A-Z]\d{4} \d\d:\d\d:\d\d\.\d+ ")
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}")
KERNEL_FILE = re.compile(r"[^\s\"'<>(]*/ipykernel_\d+/\d+\.py")
PACKAGES = re.compile(r"(?<![\w.-])/(?:[^\s\"'<>:/]+/)*?(?:site|dist)-packages/")
SCRATCH = re.compile(r"(?:_build/executed/)?\.tmp-[^\s\"'<>/]*~[^\s\"'<>/]*(/result)?")
IDS = re.compile(r"""\bid\s*=\s*["']?([^"'\s>]+)""")
# the random part of an id: pandas' `T_1a2b3_row0`, a UUID, or what `id()` returned
RANDOM = re.compile(
    r"(?<![0-9a-zA-Z])T_[0-9a-f]{5,32}(?=_|$)|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|\d{12,}"
)


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """`notebook`, in place, without all that varies from run to run."""
    notebook.metadata = nbformat.NotebookNode({"kernelspec": notebook.metadata["kernelspec"]})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    ids: dict[str, str] = {}
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        for name in INTERNAL_CELL_METADATA:
            cell.metadata.pop(name, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            kept = [output for output in map(_without_progress, cell.outputs) if output is not None]
            cell.outputs = [_neutral(output, ids) for output in _streams_in_order(kept)]
    return notebook


def _without_progress(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """`output`, or None if it was only a progress bar or a library's log; warnings stay."""
    output.get("metadata", {}).pop("execution", None)
    if WIDGET in output.get("data", {}):
        return None
    if output.output_type != "stream" or output.name != "stderr":
        return output
    lines = [line.rsplit("\r", 1)[-1] for line in output.text.splitlines(keepends=False)]
    kept = [line for line in lines if line.strip() and not PROGRESS_BAR.search(line) and not LOG_LINE.match(line)]
    output.text = "\n".join(kept) + "\n"
    return output if kept else None


def _streams_in_order(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """What was printed between two displays as one output a stream, however it was cut and mixed under way."""
    ordered: list[nbformat.NotebookNode] = []
    streams: dict[str, nbformat.NotebookNode] = {}
    for output in outputs:
        if output.output_type != "stream":
            ordered += [*_sorted(streams), output]
            streams = {}
        elif output.name in streams:
            streams[output.name].text += output.text
        else:
            streams[output.name] = output
    return ordered + _sorted(streams)


def _sorted(streams: dict[str, nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    return [streams[name] for name in sorted(streams, reverse=True)]  # stdout, then stderr


def _neutral(output: nbformat.NotebookNode, ids: dict[str, str]) -> nbformat.NotebookNode:
    """`output` with neutral words for folders, addresses and random ids; `ids` holds those met in the notebook."""
    if output.output_type == "stream":
        output.text = neutral_text(output.text)
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/") and isinstance(content, str):
            output.data[kind] = neutral_text(content)
            if kind == "text/html":
                output.data[kind] = _neutral_ids(output.data[kind], ids)
    return output


def neutral_text(text: str) -> str:
    """`text` without folders of this machine, process numbers and memory addresses."""
    text = ADDRESS.sub("", KERNEL_FILE.sub("cell.py", text))
    for replace in _folders():
        text = replace(text)
    return SCRATCH.sub("_output", PACKAGES.sub("site-packages/", text))


def _folders() -> list[Callable[[str], str]]:
    """Replacements of the folders that are known by name, inner folders before those that hold them."""
    known = [(Path(sysconfig.get_path(kind)), "site-packages") for kind in ("purelib", "platlib")]
    known += [(Path(sysconfig.get_path("stdlib")), "lib/python"), (project.root(), ""), (project.REPOSITORY, "")]
    known += [(Path(os.path.expanduser("~")), "~")]
    both = {each: word for path, word in known for each in (str(path), os.path.realpath(path))}
    replacements = []
    for path in sorted((each for each in both if each.count("/") > 1 or len(each) > 4), key=len, reverse=True):
        pattern = re.compile(rf"(?<![\w.-]){re.escape(path)}(/|(?![\w-]|\.\w))")
        replacements.append(lambda text, pattern=pattern, word=both[path]: pattern.sub(_in_place(word), text))
    return replacements


def _in_place(word: str) -> Callable[[re.Match], str]:
    return lambda match: (f"{word}/" if word else "") if match.group(1) else word or "."


def _neutral_ids(text: str, ids: dict[str, str]) -> str:
    """HTML whose random ids are numbered in the order in which the notebook shows them."""
    for found in IDS.findall(text):
        for token in RANDOM.findall(found):
            ids.setdefault(token, f"T_table{len(ids) + 1}" if token.startswith("T_") else f"id{len(ids) + 1}")
    for token, name in ids.items():
        text = text.replace(token, name)
    return text
