"""What the chapter on k-gons asks: of tables whose verdicts are known."""

import pandas as pd
import pytest

from devinterp_core.companion import claims
from devinterp_core.companion.studies import kgon_claims

SUMMARY = pd.Series([0.95, 0.92, 0.97, 0.1, 0.99])
SHARES = pd.DataFrame({"level": ["$4^{+,-}$", "$5$"], "runs_seen": [3, 9]})


def time_on_levels(summary=SUMMARY, reaching=(0, 20)):
    sheet = claims.ClaimSheet("03_tms_kgons", paper="a paper")
    kgon_claims.of_time_on_levels(sheet, summary, SHARES, reaching, ("$6$", "5-gon"), "60 runs")
    return [claim.holds for claim in sheet.claims]


def test_time_on_levels_is_decided_by_its_interval():
    assert time_on_levels() == [True, True, True, True]
    assert time_on_levels(pd.Series([0.95, 0.85, 0.97, 0.1, 0.5]))[:2] == [None, False]


def test_that_no_run_goes_on_is_open_where_none_was_at_risk():
    assert [time_on_levels(reaching=pair)[2] for pair in ((0, 20), (1, 20), (0, 0), (10, 10))] == [
        True, False, None, False,
    ]  # fmt: skip
    assert kgon_claims.share_reaching(0, 20).interval[1] == pytest.approx(1 - 0.025 ** (1 / 20))
    with pytest.raises(ValueError, match="cannot"):
        kgon_claims.share_reaching(2, 1)


@pytest.mark.parametrize(("changes", "holds"), [((3.0, -2.1), True), ((3.0, -2.5), False), ((), False)])
def test_only_a_fall_beyond_chance_of_all_jumps_refutes(changes, holds):
    sheet = claims.ClaimSheet("03_tms_kgons", paper="a paper")
    kgon_claims.of_jumps(sheet, pd.DataFrame({"change": list(changes)}, dtype=float), 5)
    assert sheet.claims[0].holds is holds  # two jumps: 2.24 standard errors


def test_coefficients_of_polygons():
    row = {"k": 5, "sigma": 0, "llc": 7.0, "low": 6.9, "high": 7.1, "truth": 7.0, "r_hat": 1.0, "n_beta": 1e6}
    finite = row | {"llc": 7.7, "low": 7.4, "high": 8.0, "published": 7.705, "escaped": 0}
    for changes, expected in (({}, [True, True]), ({"low": 6.7}, [None, True]), ({"truth": 7.5}, [False, True])):
        sheet = claims.ClaimSheet("03_tms_kgons", paper="a paper")
        tables = pd.DataFrame([row | changes]), pd.DataFrame([finite])
        kgon_claims.of_coefficients(sheet, *tables, 6, ("MALA", "SGLD"))
        assert [claim.holds for claim in sheet.claims] == expected
