"""What the chapter on stages of a language model asks of its worlds: of tables whose verdicts are known."""

import pandas as pd
import pytest

from devinterp_core.companion import claims
from devinterp_core.companion.studies import language_claims

MODEL = {
    "seed": 0, "bigrams": 100.0, "bigram_gap": 0.2, "ngrams": 300.0, "in_context": 1100.0, "positions": 200.0,
    "previous_token_0": 500.0, "previous_token_1": 400.0, "prefix_matching_1": 1000.0, "final_prefix_matching_1": 0.4,
    "start_in_context": 0.0, "final_in_context": -0.5, "first_gap": 0.0, "final_gap": 0.9,
}  # fmt: skip


def verdicts(add, *args):
    sheet = claims.ClaimSheet("07_language_model_development", paper="a paper")
    add(sheet, *args)
    return {claim.statement.removeprefix("World: "): claim.holds for claim in sheet.claims}


def of_heads(blocks=None, **changes):
    return verdicts(language_claims.of_heads, pd.DataFrame([MODEL | changes]), "World", blocks)


FORMS, WITH = "an induction head forms and learning in context sets in", "the in-context score falls when the induction"


@pytest.mark.parametrize(
    ("blocks", "formed"), [({8: 0.31, 60: 0.5}, True), ({8: 0.28, 60: 0.5}, None), ({8: 0.1, 60: 0.2}, False)]
)
def test_when_a_head_forms_is_open_where_it_is_open_that_it_forms(blocks, formed):
    found = of_heads(blocks)
    assert found[FORMS] is formed and found[f"{WITH} head forms"] is formed
    assert of_heads(blocks, in_context=100.0)[f"{WITH} head forms"] is False  # too early, whatever the head does


def test_positions_at_the_step_of_the_bigrams_decide_nothing():
    key = "positions become useful after the bigrams"
    for positions, verdict in ((200.0, True), (110.0, None), (50.0, False)):
        models = pd.DataFrame([MODEL | {"positions": positions}])
        assert verdicts(language_claims.of_skills, models, "World")[key] is verdict


def test_the_rise_of_one_model_has_the_error_of_its_estimates():
    table = pd.DataFrame({"step": [1, 5, 9], "seed": 0, "llc": [10.0, 30.0, 20.0], "standard_error": [3.0, 50.0, 4.0]})
    found = language_claims.rise_of(table)
    assert found.value == 10 and found.interval == pytest.approx((10 - 1.96 * 5, 10 + 1.96 * 5), abs=1e-3)
    both = pd.concat([table, table.assign(seed=1, llc=[10.0, 30.0, 45.0])])
    assert language_claims.rise_of(both).interval == (10.0, 35.0)
    key = "over training the LLC rises"
    assert verdicts(language_claims.of_coefficients, table, "A", "World")[key] is True
    assert verdicts(language_claims.of_coefficients, table.assign(standard_error=4.0), "A", "World")[key] is None
