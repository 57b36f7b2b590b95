"""Every Python snippet of the README and of the book's pages runs as it stands, in its order on the page.

A snippet that cannot run here says so in the line above it: `<!-- not run by the tests: needs a GPU -->`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "book").glob("*.md"))) if "python" in path.read_text()]
FENCE = re.compile(r"^(?P<fence>```+|:::+)(?P<kind>[^\n]*)\n(?P<code>.*?)^(?P=fence)[ ]*$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run by the tests: \S.* -->")
PYTHON = re.compile(r"(python|py|\{code-block\} python|\{code\} python)\b")


def snippets(text):
    """The Python snippets of a page, in order, each with its line, without those that are marked.

    Blocks of other kinds are looked into: a snippet may stand in a box that folds.
    """
    found = []
    for block in FENCE.finditer(text):
        above = text[: block.start()].rstrip().rpartition("\n")[2]
        if block["fence"].startswith(":"):
            before = text[: block.start("code")].count("\n")
            found += [(before + line, code) for line, code in snippets(block["code"])]
        elif PYTHON.match(block["kind"].strip()) and not NOT_RUN.search(above):
            found.append((text[: block.start("code")].count("\n"), block["code"]))
    return found


def program(text):
    """One program whose tracebacks name the lines of the page."""
    parts = []
    for line, code in snippets(text):
        code = re.sub(r"^:[\w-]+:.*\n", "", code, flags=re.MULTILINE)  # options of a directive
        parts.append("\n" * max(0, line - sum(part.count("\n") for part in parts)) + code)
    return "".join(parts)


@pytest.mark.parametrize("page", [path for path in PAGES if snippets(path.read_text())], ids=lambda path: path.name)
def test_the_snippets_of_a_page_run(page, tmp_path):
    (tmp_path / page.name).write_text(program(page.read_text(encoding="utf-8")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning:devinterp_core", page.name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-4000:]
    assert done.stdout.strip(), "a snippet shows what comes out"


def test_the_readme_and_the_guide_have_snippets():
    assert snippets((ROOT / "README.md").read_text())
    assert len(snippets((ROOT / "book" / "user_guide.md").read_text())) >= 4


def test_which_blocks_are_snippets():
    text = "text\n```python\na = 1\n```\n\n```bash\nls\n```\n"
    text += "<!-- not run by the tests: needs a GPU -->\n```python\nb\n```\n"
    text += "<!-- not run by the tests: -->\n```python\nc = 3\n```\n```{code-block} python\n:linenos:\nd = 4\n```\n"
    assert [code for _, code in snippets(text)] == ["a = 1\n", "c = 3\n", ":linenos:\nd = 4\n"]
    lines = program(text).splitlines()
    assert [line for line in lines if line] == ["a = 1", "c = 3", "d = 4"]
    assert lines.index("c = 3") == text.splitlines().index("c = 3")  # a traceback names the line of the page
