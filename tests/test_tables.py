"""Tables for readers: heads in words, numbers to the digits asked, blanks, no row numbers."""

import numpy as np
import pandas as pd
import pytest

from devinterp_core.companion.tables import means_by_tasks, table

FRAME = pd.DataFrame({"run": ["a", "b"], "end": [1500.0, np.nan], "llc": [0.12345, 2.0], "seed": [0, 1]})


def test_heads_numbers_and_blanks():
    page = table(FRAME, {"run": "run", "end": "last step", "llc": r"$\hat\lambda$"}, {"llc": 2}).to_html()
    assert r"\(\hat\lambda\)" in page and "last step" in page and "seed" not in page
    for cell in (">1,500<", ">0.12<", ">2.00<", "></td>"):
        assert cell in page
    assert "nan" not in page and "row_heading" not in page.split("</style>")[-1]


def test_mathematics_in_the_cells_is_set_and_words_are_escaped():
    frame = pd.DataFrame({"level": ["$5^{+}$", "a < b"], "seen": [True, False], "M": [8, float("inf")]})
    page = table(frame, {name: name for name in frame})
    assert r"\(5^{+}\)" in page.to_html() and "a &lt; b" in page.to_html() and "True" in page.to_html()
    assert ">∞<" in page.to_html() and ">8<" in page.to_html()


def test_a_column_that_is_not_there_is_refused():
    for heads, digits in (({"rum": "run"}, {}), ({"run": "run"}, {"llc": 1}), ({}, {})):
        with pytest.raises(ValueError, match="columns"):
            table(FRAME, heads, digits)


def test_means_by_run_and_number_of_tasks():
    models = pd.DataFrame({
        "source": ["this run"] * 3 + ["recorded run"] * 2, "num_tasks": [8, 8, 8, 0, 0],
        "rise": [1.0, 2.0, 3.0, 4.0, 6.0],
        "gap": [0.5, 0.5, 0.5, float("nan"), float("nan")],
    })  # fmt: skip
    shown = means_by_tasks(models, {"rise": "rise", "gap": "gap"}).to_html()
    for words in ("2.00 (-0.48 to 4.48)", "5.00 (4.00 to 6.00)", "0.50 (0.50 to 0.50)", "infinity", "recorded run"):
        assert words in shown
    assert "nan" not in shown
