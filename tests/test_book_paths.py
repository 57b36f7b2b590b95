"""No published file tells where it was built: no folder of the machine, no process, no address, no random id."""

import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
KINDS = {".html", ".ipynb", ".csv", ".json", ".md", ".txt", ".py", ".svg", ".js", ".inv"}
# Sphinx copies these as they come in its packages
NOT_OURS = ("_static/",)
TRACES = {
    "a folder of packages": re.compile(rb"/(?:[\w.-]+/)+(?:site|dist)-packages/"),
    "a file of a kernel": re.compile(rb"ipykernel_\d+"),
    "a temporary folder": re.compile(rb"(?<![\w.>/-])/(?:var/folders|tmp)/[\w.]"),
    "a scratch folder": re.compile(rb"\.tmp-\w+~"),
    "a memory address": re.compile(rb" (?:at )?0x[0-9a-f]{9,}"),
    "the hour and process of a log": re.compile(rb"\b[VDIWE]\d{4} \d\d:\d\d:\d\d\.\d{6} \d+"),
    "a random id of pandas": re.compile(rb"\bT_[0-9a-f]{5}(?:_| |\")"),
}


def published():
    pages = [path for path in HTML.rglob("*") if path.is_file() and path.suffix in KINDS]
    pages = [path for path in pages if not path.relative_to(HTML).as_posix().startswith(NOT_OURS)]
    return pages + [path.with_suffix(".ipynb") for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))]


def traces_in(content, home):
    here = {"the checkout": str(ROOT), "the environment": sys.prefix, "the home": home}
    known = {what: path for what, path in here.items() if len(path) > 4}
    patterns = TRACES | {what: re.compile(re.escape(path).encode() + rb"(?![\w-])") for what, path in known.items()}
    return [f"{what}: {found.group()!r}" for what, each in patterns.items() if (found := each.search(content))]


@pytest.mark.skipif(not (HTML / "index.html").exists(), reason="no book in _build/html: make book")
def test_no_published_file_tells_where_it_was_built():
    told = {path: traces_in(path.read_bytes(), os.path.expanduser("~")) for path in published() if path.exists()}
    assert len(told) > 50
    assert not {str(path.relative_to(ROOT)): traces for path, traces in told.items() if traces}


@pytest.mark.parametrize(
    "text",
    [
        "/opt/x/lib/python3.11/site-packages/arviz/__init__.py:50: W", "/tmp/ipykernel_12/3.py:5", "in /tmp/x.csv",
        "'/var/folders/zz/T/x'", "<object at 0x7f5bd0a31c40>", 'id="T_8c6ea_row0"', "W1125 02:07:41.591000 4179 torch",
        f"{ROOT}/data/x.csv", f"File {sys.prefix}", "/home/someone/x",
    ],
)  # fmt: skip
def test_each_kind_of_trace_is_seen(text):
    assert traces_in(text.encode(), "/home/someone")


@pytest.mark.parametrize("text", ["/path/to/it", "notebooks/tmp/x", "id=T_table1_row0", "0x7f", "site-packages/a"])
def test_what_is_no_trace_is_left(text):
    assert not traces_in(text.encode(), "/home/someone")
