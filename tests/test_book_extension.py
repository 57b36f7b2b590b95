"""The extension that lets docstrings speak Markdown."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "book" / "_ext" / "markdown_docstrings.py"
specification = importlib.util.spec_from_file_location("markdown_docstrings", PATH)
extension = importlib.util.module_from_spec(specification)
specification.loader.exec_module(extension)


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("`sgld`, `mala` or `sgnht` (see `x.y`)", "``sgld``, ``mala`` or ``sgnht`` (see ``x.y``)"),
        ("the $k$-gon of $\\ell^*$s", "the :math:`k`-gon of :math:`\\ell^*`\\ s"),
        ("$$a\n  = b$$", ":math:`a = b`"),
        ("``literal $x$`` and :math:`y`", "``literal $x$`` and :math:`y`"),
        ("costs \\$5", "costs \\$5"),
        ("Returns:\n    One row a level: the loss", "Returns:\n    One row a level\2 the loss"),
    ],
)
def test_conversion(docstring, expected):
    assert extension.convert(docstring) == expected
