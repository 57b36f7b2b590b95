"""Claims: every field needed, numbers finite, verdicts computed, the record read back as it was written."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from devinterp_core.companion import claims, criteria, intervals
from devinterp_core.companion.claim import show, show_interval
from devinterp_core.companion.criteria import Measured

GOOD = {
    "paper": 7.0,
    "measured": 7.01,
    "interval": (6.9, 7.1),
    "holds": criteria.within(0.2, of=7.0)(7.01),
    "detail": "n = 5000, 5 seeds, standard error over seeds",
}


@pytest.fixture
def sheet(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUTPUT", str(tmp_path))
    return claims.ClaimSheet("03_tms_kgons", paper="Chen et al. (2023)")


def test_record_and_table(sheet, tmp_path):
    sheet.add("The 5-gon has $\\lambda = 7$", **GOOD)
    missed = criteria.within(0.2, of=7.0)(9.0)
    sheet.add("A <miss>", **GOOD | {"holds": missed, "measured": "9 & more", "interval": "exact"})
    table = sheet.finish()
    record = json.loads((tmp_path / "claims.json").read_text())
    assert record["claims"][0] == GOOD | {
        "statement": "The 5-gon has $\\lambda = 7$",
        "interval": [6.9, 7.1],
        "notebook": "03_tms_kgons",
        "reference": "Chen et al. (2023)",
        "kind": "paper",
    }
    page = table._repr_html_()
    assert ">holds<" in page and ">does not hold<" in page and "A &lt;miss&gt;" in page and "9 &amp; more" in page
    assert r'<span class="math">\(\lambda = 7\)</span>' in page
    assert "1 of 2 claims hold, 1 does not" in page and "does not hold: A <miss>" in repr(table)
    assert claims.load(tmp_path / "claims.json") == sheet.claims


def test_numbers_of_numpy_and_torch_become_plain(sheet):
    claim = sheet.add(
        "x",
        paper=np.float64(7),
        measured=torch.tensor(7.25),
        interval=np.array([7, 8]),
        holds=np.bool_(True),
        detail="from arrays",
    )
    assert (claim.measured, claim.interval, claim.holds, claim.paper) == (7.25, (7, 8), True, 7.0)
    assert type(claim.holds) is bool and type(claim.measured) is float


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"measured": float("nan")}, ValueError),
        ({"paper": float("inf")}, ValueError),
        ({"measured": " "}, ValueError),
        ({"measured": None}, TypeError),
        ({"measured": True}, TypeError),
        ({"interval": (2, 1)}, ValueError),
        ({"interval": (1,)}, ValueError),
        ({"interval": 3.0}, TypeError),
        ({"interval": (0, float("nan"))}, ValueError),
        ({"interval": ("a", "b")}, ValueError),
        ({"holds": 1}, TypeError),
        ({"holds": "yes"}, TypeError),
        ({"detail": ""}, ValueError),
        ({"detail": 5}, TypeError),
        ({"kind": "other"}, ValueError),
    ],
)
def test_bad_claims_are_refused(sheet, change, error):
    with pytest.raises(error):
        sheet.add("x", **GOOD | change)
    assert sheet.claims == []


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_every_field_is_needed(sheet, missing):
    with pytest.raises(TypeError, match=missing):
        sheet.add("x", **{k: v for k, v in GOOD.items() if k != missing})


def test_empty_sheets_and_repeats_are_refused(sheet):
    with pytest.raises(ValueError, match="empty"):
        sheet.finish()
    sheet.add("x", **GOOD)
    with pytest.raises(ValueError, match="already"):
        sheet.add("x", **GOOD)
    with pytest.raises(ValueError, match="paper"):
        claims.ClaimSheet("x", paper="")


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "claims.json").write_text('{"notebook": "x"}')
    with pytest.raises(ValueError, match="claims.json"):
        claims.load(tmp_path / "claims.json")


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_criteria_agree_on_numbers(measured, truth, tolerance):
    if criteria.within(tolerance, of=truth)(measured):
        assert abs(measured - truth) <= tolerance * (1 + 1e-9) + 1e-9 * abs(truth)
    assert criteria.at_least(truth)(measured) is not criteria.below(truth)(measured)
    assert criteria.at_most(truth)(measured) is not criteria.above(truth)(measured)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [((True, np.bool_(True)), True), ((True, None), None), ((None, False), False), ((), True)],
)
def test_several_verdicts_together(verdicts, expected):
    assert criteria.all_hold(*verdicts) is expected


def test_undecided_is_a_verdict(sheet, tmp_path):
    sheet.add("x", **GOOD)
    sheet.add("y", **GOOD | {"holds": criteria.at_least(1)((0, 2)), "interval": (0, 2), "kind": "own"})
    page = sheet.finish()._repr_html_()
    assert 'class="claim-undecided">undecided<' in page and "1 of 2 claims hold, 1 is undecided" in page
    assert [c.holds for c in claims.load(tmp_path / "claims.json")] == [True, None]


def test_numbers_are_shown_short():
    assert [show(v) for v in (7.0, 0.123456, 1e-12, "exact", 5000, 1234567.8)] == [
        "7",
        "0.1235",
        "1e-12",
        "exact",
        "5000",
        "1.235e+06",
    ]


@pytest.mark.parametrize(
    ("criterion", "found", "expected"),
    [
        (criteria.at_least(1), (1.0, 2.0), True),
        (criteria.above(1), (1.0, 2.0), None),
        (criteria.at_least(1.5), 1.4, False),
        (criteria.at_most(2), np.array([1.0, 2.0]), True),
        (criteria.below(2), (1.0, 2.0), None),
        (criteria.below(0.5), (1.0, 2.0), False),
        (criteria.within(0.2, of=7), (6.9, 7.1), True),
        (criteria.within(0.2, of=7), (6.0, 8.0), None),
        (criteria.within(0.2, of=7), (6.0, 6.9), None),
        (criteria.within(0.2, of=7), (5.0, 6.7), False),
        (criteria.within(0.1, of=-7, relative=True), torch.tensor(-7.6), True),
        (criteria.covering(7), (6.0, 6.9), False),
        (criteria.covering(7), Measured(6.5, (6.0, 7.5)), True),
        (criteria.at_least(3), Measured(4, "exact count"), True),
    ],
)
def test_a_criterion_decides_and_says_what_it_asks(criterion, found, expected):
    assert criterion(found) is expected
    assert str(criterion).endswith("asked") and any(c.isdigit() for c in str(criterion))


def test_a_criterion_asks_numbers_only():
    for bad in ("words", float("nan"), (2.0, 1.0), (1.0, 2.0, 3.0), Measured("12 of 14", "exact count")):
        with pytest.raises(ValueError, match="no criterion"):
            criteria.at_least(0.0)(bad)


def test_a_claim_takes_verdict_and_words_from_its_criterion(sheet):
    found = intervals.mean([1.0, 2.0, 3.0], over="networks")
    claim = sheet.claim("x", paper="about 2", found=found, asks=criteria.above(3), how="of the recorded run")
    assert (claim.measured, claim.holds) == (2.0, None) and claim.interval == found.interval
    assert claim.detail == "above 3 asked; 95 %, Student, 3 networks; of the recorded run"
    assert sheet.claim("y", paper=0, found=4, asks=criteria.at_most(3)).holds is False
    words = Measured("two numbers", "exact")
    both = sheet.claim("z", paper=0, found=words, asks="both at most 3", holds=np.bool_(True))
    assert both.holds is True and both.detail == "both at most 3"
    for wrong in ({"asks": criteria.above(3), "holds": True}, {"asks": "words"}, {"asks": "words", "hold": True}):
        with pytest.raises(TypeError, match="goes with"):
            sheet.claim("w", paper=0, found=1, **wrong)


def test_the_verdicts_are_those_since_the_last_call(sheet):
    sheet.claim("x < y", paper=7, found=7.5, asks=criteria.at_most(7))
    assert "does not hold</b>: x &lt; y. Paper: 7; here: 7.5 (exact)." in sheet.verdicts()._repr_html_()
    sheet.claim("z", paper=7, found=6, asks=criteria.at_most(7), kind="check")
    assert repr(sheet.verdicts()) == "holds: z. Expected: 7; here: 6 (exact)."
    assert not sheet.verdicts().claims


def test_a_share_has_an_interval_at_its_ends_too():
    none = intervals.share(0, 22, "runs")
    assert none.value == 0 and none.interval[0] == 0 and none.interval[1] == pytest.approx(0.1487, abs=1e-3)
    for bad in ((3, 2), (0, 0), (-1, 2)):
        with pytest.raises(ValueError, match="count"):
            intervals.share(*bad, "runs")


def test_an_interval_is_shown_by_its_ends():
    shown = [show_interval(each) for each in ((1.0, 2.5), (0.0, 0.0), "exact")]
    assert shown == ["1 to 2.5", "0 at both ends", "exact"]
