"""The scorecard: all claims there, misses said, provenance beside them, Markdown not broken by what the claims say."""

import json

import pytest

from devinterp_core.companion import scorecard
from devinterp_core.companion.claims import ClaimSheet


def record(folder, notebook, verdicts, monkeypatch, run=None):
    monkeypatch.setenv("COMPANION_OUTPUT", str(folder / notebook))
    sheet = ClaimSheet(notebook, paper="Someone (2023)")
    for i, holds in enumerate(verdicts):
        statement = f"claim {i} of a|b_c $x_1|y$"
        sheet.add(statement, paper=1, measured=2.5, interval=(2, 3), holds=holds, detail="5 *seeds*")
    sheet.finish()
    if run:
        (folder / notebook / "run.json").write_text(json.dumps(run))
    return folder / notebook / "claims.json"


def test_page(tmp_path, monkeypatch):
    run = {"key": "abc123", "wall_seconds": 125.2, "cpu_seconds": 117.4, "parameters": {}}
    run["machine"] = {"cpu": "x", "threads": 1}
    records = [
        record(tmp_path, "02_b", [True, False, None], monkeypatch),
        record(tmp_path, "01_a", [True], monkeypatch, run),
    ]
    page = scorecard.write(records, tmp_path / "book" / "scorecard.md").read_text()
    assert "- **Claims of the papers**: 2 of 4 claims hold, 1 does not, 1 is undecided." in page
    assert "| [](../notebooks/01_a.ipynb) | 1 of 1 | none | none | 2 min 5 s | 2.0 |" in page
    assert "| [](../notebooks/02_b.ipynb) | 1 of 3, 1 undecided | none | none | not recorded | not recorded |" in page
    assert "## Undecided claims\n\n- 02.3, [](../notebooks/02_b.ipynb): claim 2" in page
    assert page.index("## 01_a") < page.index("## 02_b")
    assert r"claim 1 of a\|b\_c $x_1\|y$ | 1 | 2.5 | 2 to 3 | **does not hold** | 5 \*seeds\* |" in page
    assert "## Claims that do not hold\n\n- 02.2, [](../notebooks/02_b.ipynb): claim 1" in page
    assert "`abc123` | defaults | not recorded | not recorded |" in page
    assert "- machine: cpu x, threads 1: [](../notebooks/01_a.ipynb)" in page


@pytest.mark.parametrize(
    ("seconds", "shown"), [(300.0, "5.0"), (306.0, "[5.1, over budget]{.over-budget}"), (0, "0.0")]
)
def test_a_chapter_over_the_budget_is_marked(tmp_path, monkeypatch, seconds, shown):
    one = record(tmp_path, "01_a", [True], monkeypatch, {"wall_seconds": 1, "cpu_seconds": seconds})
    page = scorecard.write([one], tmp_path / "s.md").read_text()
    assert f"| [](../notebooks/01_a.ipynb) | 1 of 1 | none | none | 1 s | {shown} |" in page


def test_without_a_miss_the_page_says_none(tmp_path, monkeypatch):
    page = scorecard.write([record(tmp_path, "01_a", [True], monkeypatch)], tmp_path / "s.md").read_text()
    assert "## Claims that do not hold\n\nNone." in page


def test_bad_records_are_refused_and_the_old_page_stays(tmp_path, monkeypatch):
    page = tmp_path / "s.md"
    page.write_text("old")
    one = record(tmp_path, "01_a", [True], monkeypatch)
    (tmp_path / "claims.json").write_text('{"notebook": "x", "reference": "y", "claims": []}')
    for bad in ([], [one, one], [tmp_path / "claims.json"], [tmp_path / "none.json"]):
        with pytest.raises(ValueError):
            scorecard.write(bad, page)
    assert page.read_text() == "old"
