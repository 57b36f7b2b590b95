"""The table of a sweep: measurements are numbers, words stand apart."""

import math

import pytest

from devinterp_core.companion import sweep


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (2, 2.0), ("2.5", 2.5), ("1e-4", 1e-4), ("225,000", 225000.0), ("-1,234.5", -1234.5), ("inf", math.inf),
        ("12,34", None), ("3 of 4", None), ("", None), (None, None), ("exact", None),
    ],
)  # fmt: skip
def test_what_is_a_number(value, number):
    found = sweep._number(value)
    assert found == number if number is not None else math.isnan(found)


def test_words_are_kept_and_what_is_missing_is_none():
    assert sweep._words([0.5, None, math.nan, "at least 2"]) == "at least 2"
    assert sweep._words([0.5, "225,000", None, None]) is None
