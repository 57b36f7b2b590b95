"""The rule against numbers typed by hand in prose, and its checker: `python tests/number_rule.py notebooks/*.py`.

What is measured, and every setting that a parameter decides, reaches the prose by `glue`. In the Markdown cells and the
captions of a notebook these may be typed:

- whole numbers below 100, years, numbers of figures, tables, equations, sections, arXiv entries and versions, and the
  level of an interval (a 95 % interval);
- anything in code spans and code blocks, which hold parameter names, commands and roles such as `glue`;
- in mathematics: whole numbers below 100, powers, and decimals of one place, such as `$d/2 = 8.5$` or `$10^5$`;
- what a source says, marked where it stands: `[601]{.paper}`, `[$\\lambda = 8.25$]{.paper}`, or a cell of a table
  column whose heading begins with "Paper", "Published" or "Closed form".

Everything else with a decimal point, a percentage, a factor (`15x`), a plus-minus, or a whole number from 100 on is
refused: glue it, name the parameter instead, or mark its source.
"""

import re
import sys
from pathlib import Path

PAPER = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]\{[^}]*\.paper[^}]*\}")
CODE_BLOCK = re.compile(r"^(```+|~~~+).*?^\1\s*$", re.M | re.S)
COMMENT = re.compile(r"^%.*$", re.M)  # of Markdown, which no reader sees
CODE_SPAN = re.compile(r"(?:\{[\w:.-]+\})?(`+)(?!`).+?(?<!`)\1(?!`)", re.S)
LINK_TARGET = re.compile(r"\]\([^)]*\)|<https?://[^>]*>|https?://\S+")
MATH = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$[^$]+\$", re.S)
REFERENCE = re.compile(
    r"(?:arXiv:\s*|doi:\s*|10\.\d{4,}/|(?:figures?|figs?\.|tables?|sections?|secs?\.|eqs?\.|equations?|theorems?|thms?\.|"
    r"lemmas?|corollary|cor\.|appendix|app\.|chapters?|propositions?|version|v)\s*\(?)[A-Z]?\.?\d[\w.()/-]*",
    re.I,
)
LEVEL = re.compile(r"\b(?:50|68|80|90|95|99)\s*%[-\s](?:[a-z]+\s)?(?:interval|limit|band|level)", re.IGNORECASE)
YEAR = re.compile(r"(?<![\d.])(?:19|20)\d\d[a-z]?(?![\d.]*\d)(?!\s*%)")
SUSPECT = re.compile(r"±|\d*\.\d+|\d+(?:\.\d+)?[eE][-+]?\d+|\d+\s*%|\d+\s?(?:x\b|×)|\d{3,}|\d{1,3}(?:,\d{3})+")
MATH_SUSPECT = re.compile(r"\\pm\s*\d|\d+\.\d{2,}|(?<![\w^{.])\d{3,}(?![\w}])|\d\s*\\?%")
FREE_COLUMN = re.compile(r"\s*(paper|published|closed form)", re.I)


def typed_numbers(markdown: str) -> list[str]:
    """The numbers in `markdown` that the rule refuses, each with a few characters around it."""
    text = PAPER.sub(" ", COMMENT.sub(" ", CODE_BLOCK.sub(" ", markdown)))
    text = _without_free_columns(CODE_SPAN.sub(" ", text))
    found = []
    for formula in MATH.findall(text):
        found += [_around(formula, m) for m in MATH_SUSPECT.finditer(formula)]
    text = MATH.sub(" ", text)
    for pattern in (LINK_TARGET, REFERENCE, LEVEL, YEAR):
        text = pattern.sub(" ", text)
    return found + [_around(text, m) for m in SUSPECT.finditer(text)]


def _around(text: str, match: re.Match) -> str:
    return " ".join(text[max(0, match.start() - 25) : match.end() + 15].split())


def _without_free_columns(text: str) -> str:
    """Blank the cells of table columns that hold what a source says."""
    lines, free = text.split("\n"), set()
    for i, line in enumerate(lines):
        if not line.lstrip().startswith("|"):
            free = set()
            continue
        cells = line.split("|")
        if i + 1 < len(lines) and re.fullmatch(r"\s*\|?[\s:|-]*-[\s:|-]*", lines[i + 1]):
            free = {j for j, cell in enumerate(cells) if FREE_COLUMN.match(cell)}
        lines[i] = "|".join(" " if j in free else cell for j, cell in enumerate(cells))
    return "\n".join(lines)


def main(paths: list[str]) -> int:
    """Check percent notebooks (Markdown cells and captions) and Markdown pages; print what is refused."""
    import jupytext

    from devinterp_core.companion.captions import captions_of

    refused = 0
    for path in paths:
        if path.endswith(".md"):
            texts = [Path(path).read_text(encoding="utf-8")]
        else:
            notebook = jupytext.read(path)
            texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
            texts += [caption.text for caption in captions_of(notebook).values()]
        for number in [number for text in texts for number in typed_numbers(text)]:
            print(f"{path}: {number}")
            refused += 1
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
