"""Captions in the prose: found, checked, and the alternative text with them."""

import nbformat
import pytest

from devinterp_core.companion.captions import captions_in, captions_of

BLOCK = """\
Words before.

```{glue:figure} fig-levels
:name: fig-levels
:alt: Line chart: the
:  curves fall.

**A ladder.** Loss of {glue:text}`num_runs` runs, $L = 1$.

More.
```
% rests on: runs fall

Words after.
"""


def test_a_caption_is_found_with_its_alternative_text():
    (caption,) = captions_in(BLOCK)
    assert caption == (
        "fig-levels",
        "Line chart: the curves fall.",
        "**A ladder.** Loss of {glue:text}`num_runs` runs, $L = 1$.\n\nMore.",
        ("runs fall",),
    )
    assert captions_in("```python\n1\n```") == []
    assert len(captions_in(BLOCK + BLOCK.replace("levels", "others"))) == 2


def test_a_figure_that_cannot_be_referred_to_is_refused():
    for other in ("", ":name: fig-other\n"):
        with pytest.raises(ValueError, match="fig-levels"):
            captions_in(BLOCK.replace(":name: fig-levels\n", other))
    twice = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(BLOCK + BLOCK)])
    with pytest.raises(ValueError, match="two captions"):
        captions_of(twice)
