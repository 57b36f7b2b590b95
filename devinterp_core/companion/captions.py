"""The captions of a notebook's figures, which stand in its prose, where the story wants them.

A figure is shown by a code cell, `figures.show("fig-levels", drawing, levels=table)`, and set by the Markdown that
follows, so that its caption is prose: wrapped, with citations, mathematics and measured numbers in it.

    ```{glue:figure} fig-levels
    :name: fig-levels
    :alt: Line chart of loss against training step: the curves run along horizontal lines
    :  and fall from one to the next.

    **SGD falls down a ladder.** Population loss of {glue:text}`num_runs` runs against the training step.
    ```
    % rests on: SGD runs sit near critical losses most of the time

A comment `% rests on:` right after the figure names a claim by its statement, or the beginning of it. Where the title
or the alternative text asserts something, a test holds them to it: that claim must hold.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from nbformat import NotebookNode

FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{glue:figure\} *(?P<name>\S*)\n(?P<body>.*?)^(?P=fence) *$(?P<after>(?:\n%[^\n]*)*)",
    re.M | re.S,
)
OPTION = re.compile(r":(?P<key>[\w-]+): *(?P<value>.*)|: +(?P<more>.*)")  # a line that begins with a blank goes on

RESTS_ON = "% rests on:"


class Caption(NamedTuple):
    """What is said about a figure: its name, the alternative text for those who do not see it, the caption.

    `rests_on` are the claims that its assertions rest on.
    """

    name: str
    alt: str
    text: str
    rests_on: tuple[str, ...] = ()


def captions_in(markdown: str) -> list[Caption]:
    """The captions in a piece of MyST Markdown, in order.

    Raises:
        ValueError: a figure whose `:name:` is missing or another than the one it shows, so that nothing could refer
            to it.
    """
    found = []
    for block in FENCE.finditer(markdown):
        options, lines, key = {}, block["body"].splitlines(), ""
        while lines and (option := OPTION.fullmatch(lines[0])):
            key = option["key"] or key
            options[key] = f"{options.get(key, '')} {option['value'] or option['more'] or ''}".strip()
            lines.pop(0)
        if options.get("name") != block["name"]:
            given = options.get("name")
            raise ValueError(f"figure {block['name']!r} is named {given!r}: write `:name: {block['name']}`")
        after = block["after"].splitlines()
        rests = tuple(line.removeprefix(RESTS_ON).strip() for line in after if line.startswith(RESTS_ON))
        text = "\n".join(lines).strip()
        found.append(Caption(block["name"], options.get("alt", ""), text, rests))
    return found


def captions_of(notebook: NotebookNode) -> dict[str, Caption]:
    """The captions of a notebook by figure.

    Raises:
        ValueError: two captions of one figure; as `captions_in`.
    """
    cells: Iterable = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = [caption for source in cells for caption in captions_in(source)]
    names = [caption.name for caption in found]
    if len(set(names)) < len(names):
        raise ValueError(f"two captions of one figure: {sorted(name for name in set(names) if names.count(name) > 1)}")
    return {caption.name: caption for caption in found}
