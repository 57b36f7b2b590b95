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
    page = scorecard.write(records, tmp_path / "book" / "scorecard.md", {"02_b": "Second"}).read_text()
    assert "- **Claims of the papers**: 2 of 4 claims hold, 1 does not, 1 is undecided." in page
    assert "| [01\\_a](../notebooks/01_a.ipynb) | 1 of 1 | none | none | 2 min 5 s | 2.0 |" in page
    assert "| [Second](../notebooks/02_b.ipynb) | 1 of 3, 1 undecided | none | none | not recorded |" in page
    assert page.index("## 01\\_a") < page.index("## Second")
    assert "`abc123` | defaults | not recorded | not recorded |" in page
    assert "- machine: cpu x, threads 1: [01\\_a](../notebooks/01_a.ipynb)" in page
    rows = [line for line in page.splitlines() if line.startswith("<tr data-verdict")]
    assert len(rows) == 4
    assert '<a href="../notebooks/02_b.html#verdict-02-2">02.2</a>' in rows[2]
    assert 'data-verdict="claim-fails" data-kind="paper"' in rows[2]
    assert r'claim 1 of a|b_c <span class="math">\(x_1|y\)</span>' in rows[2] and "2.5 (2 to 3)" in rows[2]
    headline = scorecard.write_headline(records, tmp_path / "headline.md").read_text()
    assert headline == "- **Claims of the papers**: 2 of 4 claims hold, 1 does not, 1 is undecided.\n"


def test_a_miss_says_its_kind(tmp_path, monkeypatch):
    known = {"01_a": [scorecard.misses.Miss("claim 0", "noise", 'few "seeds"')]}
    monkeypatch.setattr(scorecard.misses, "read", lambda: known)
    page = scorecard.write([record(tmp_path, "01_a", [False, False], monkeypatch)], tmp_path / "s.md").read_text()
    assert 'does not hold<span class="miss" title="few &quot;seeds&quot;">noise</span>' in page
    assert page.count('class="miss"') == 1


@pytest.mark.parametrize(
    ("seconds", "shown"), [(300.0, "5.0"), (306.0, "[5.1, over budget]{.over-budget}"), (0, "0.0")]
)
def test_a_chapter_over_the_budget_is_marked(tmp_path, monkeypatch, seconds, shown):
    one = record(tmp_path, "01_a", [True], monkeypatch, {"wall_seconds": 1, "cpu_seconds": seconds})
    page = scorecard.write([one], tmp_path / "s.md").read_text()
    assert f"| [01\\_a](../notebooks/01_a.ipynb) | 1 of 1 | none | none | 1 s | {shown} |" in page


def test_bad_records_are_refused_and_the_old_page_stays(tmp_path, monkeypatch):
    page = tmp_path / "s.md"
    page.write_text("old")
    one = record(tmp_path, "01_a", [True], monkeypatch)
    (tmp_path / "claims.json").write_text('{"notebook": "x", "reference": "y", "claims": []}')
    for bad in ([], [one, one], [tmp_path / "claims.json"], [tmp_path / "none.json"]):
        with pytest.raises(ValueError):
            scorecard.write(bad, page)
    assert page.read_text() == "old"
