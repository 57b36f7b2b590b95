"""What the chapter on transient ridge regression asks of each of its runs: the same claims of every one of them.

The tables are those of the chapter: `rises` with a row for each model (`trajectory.transient_table`, `kind` of its
number of tasks, `last_step`), and the LLC of trained models. Models of one number of tasks M are judged together, by
intervals over seeds; fewer than three seeds decide nothing (`intervals.verdict_of_mean`).
"""

import pandas as pd

from devinterp_core.companion import criteria, intervals
from devinterp_core.companion.claims import ClaimSheet
from devinterp_core.companion.criteria import Criterion, Measured

TRANSIENT = (16, 128)  # the range of M that the paper names transient
SEEN = "by seeds since the means, which a first version compared, had been seen"


def of_models(
    sheet: ClaimSheet, rises: pd.DataFrame, mark: str, *, rise_bound: float, at_predictor: float, at_ridge: float
) -> None:
    """Add the claims on where the models of one run are, and on whether their loss out of distribution rises.

    Args:
        sheet: to add to.
        rises: the models of the run.
        mark: words before every statement, empty for the run of the page.
        rise_bound: relative rise above which a loss is said to rise.
        at_predictor: share of a distance up to which a model at small or intermediate M is at a predictor.
        at_ridge: share of the first distance to ridge up to which a model at large M is at ridge.

    Raises:
        ValueError: a statement that the sheet has already.
    """
    near, weakened = criteria.at_most(at_predictor), "over the nearest approach of a weakened dMMSE"
    approach = f"distance to ridge out of distribution at the critical step {weakened}"
    to_ridge = "distance to ridge, in distribution, over that of the first checkpoint"
    asked: list[tuple[str, str, dict[str, Criterion], str, str, str]] = [
        ("small", "At small M the model ends at dMMSE", {"final_ratio": near}, "dMMSE, without transience, below M = 6",
         "distance to dMMSE over distance to ridge, in distribution, at the end", "paper"),
        ("small", "At small M the approach to ridge is no more than a weakened dMMSE",
         {"against_shrunken": criteria.at_least(1)}, "no transience below M = 6", approach, "own"),
        ("intermediate", "At intermediate M the model is at ridge at its critical step",
         {"critical_share": near, "critical_ratio": criteria.at_most(1)}, "the model first becomes ridge",
         f"{to_ridge}; and over that to dMMSE", "paper"),
        ("intermediate", "At intermediate M the model is at dMMSE at the end", {"final_ratio": near},
         "the model becomes dMMSE", "distance to dMMSE over distance to ridge, in distribution", "paper"),
        ("intermediate", "At intermediate M the approach to ridge is more than a weakened dMMSE",
         {"against_shrunken": criteria.at_most(1)}, "the model first becomes ridge-like", approach, "own"),
        ("large", "At large M the loss out of distribution does not rise",
         {"relative_rise": criteria.at_most(rise_bound)}, "no rise from M = 362 on",
         "cross-fitted rise over the minimum", "paper"),
        ("large", "At large M the model ends at ridge", {"final_share": criteria.at_most(at_ridge)},
         "ridge from M = 362 on", to_ridge.replace("distribution,", "distribution, at the end,"), "paper"),
    ]  # fmt: skip
    about = f"{rises.last_step.max()} steps, {_counts(rises)} seeds of each M"
    for kind, statement, rules, said, quantity, whose in asked:
        if (rises.kind == kind).any():
            found, holds = intervals.verdict_of_groups(rises[rises.kind == kind], "num_tasks", rules)
            words = " and ".join(map(str, rules.values()))
            sheet.claim(
                f"{mark}{statement}", paper=said, found=found, asks=f"{quantity}: {words}", holds=holds, how=about,
                kind=whose,
            )  # fmt: skip
    middle = rises[rises.kind == "intermediate"]
    for count, part in middle.groupby("num_tasks"):
        found, holds = intervals.verdict_of_mean(part.relative_rise, criteria.at_least(rise_bound))
        sheet.claim(
            f"{mark}At M = {count} the loss out of distribution rises after its minimum",
            paper="transient ridge at M = 16 to 128, a partial dip at 6 and 8", found=found,
            asks=f"cross-fitted rise over the minimum of at least {rise_bound:g} asked", holds=holds, how=about,
        )  # fmt: skip
    if len(middle):
        sheet.claim(
            f"{mark}At intermediate M the model moves from ridge towards dMMSE after its critical step",
            paper="distance to ridge grows, to dMMSE falls",
            found=Measured(
                f"{middle.moves_in.sum()} of {len(middle)} models in distribution, {middle.moves_to_dmmse.sum()} out "
                "of distribution", "exact count",
            ),
            asks="of every model, in and out of distribution, from the critical step to the end of training",
            holds=(middle.moves_in & middle.moves_to_dmmse).all(), how=f"the paper judges in distribution; {about}",
        )  # fmt: skip
    inside = rises[rises.num_tasks.between(*TRANSIENT)]
    if len(inside):
        asks = criteria.at_least(rise_bound)
        found, holds = intervals.verdict_of_groups(inside, "num_tasks", {"relative_rise": asks})
        sheet.claim(
            f"{mark}Every M from 16 to 128 is transient", paper="16, 24, ..., 128, at D = 8, K = 16", found=found,
            asks=f"cross-fitted rise over the minimum, at every M of the run in this range: {asks}", holds=holds,
            how="an M that its seeds leave open was counted as none before a referee's reading; models here are "
            f"smaller than the paper's; {about}",
        )  # fmt: skip


def of_coefficients(
    sheet: ClaimSheet, final: pd.DataFrame, mark: str, about: str, *, small_tasks: int, large_tasks: int
) -> None:
    """Add the claims on the LLC of the trained models of one run against M.

    Args:
        sheet: to add to.
        final: a row a model: `num_tasks` (0 for infinity), `seed`, `llc`; `over_32` and `over_infinity`, its ratios to
            the LLC at M = 32 and at infinity of the same seed, NaN where the run has none.
        mark: words before every statement.
        about: what else a reader should know, such as the settings of the sampler.
        small_tasks: M up to which a model is expected to go straight to dMMSE.
        large_tasks: M from which a model is expected to stay at ridge.

    Raises:
        ValueError: a statement that the sheet has already.
    """
    wide, level = final.pivot(index="seed", columns="num_tasks", values="llc"), criteria.within(0.1, of=1)
    finite = [count for count in wide.columns if count]
    early, late = [n for n in finite if n <= 32], final[(final.num_tasks > 32) | (final.num_tasks == 0)]
    if len(early) > 1:
        found, holds = intervals.verdict_of_mean(wide[early[-1]] - wide[early[0]], criteria.at_least(0))
        sheet.claim(
            f"{mark}The LLC of trained models rises with M", paper="rises up to M = 32", found=found,
            asks=f"LLC at M = {early[-1]} minus LLC at M = {early[0]}, same seed, of at least 0 asked", holds=holds,
            how=about,
        )  # fmt: skip
    if 32 in wide and len(late):
        found, holds = intervals.verdict_of_groups(late, "num_tasks", {"over_32": level})
        sheet.claim(
            f"{mark}The LLC is level from M = 32 on", paper="a plateau above M = 32", found=found,
            asks=f"LLC over that at M = 32, same seed, at every larger M: {level}", holds=holds, how=f"{SEEN}; {about}",
        )  # fmt: skip
    if 0 in wide and finite and finite[-1] >= large_tasks:
        found, holds = intervals.verdict_of_mean(wide[finite[-1]] / wide[0], level)
        sheet.claim(
            f"{mark}At the largest finite M the LLC is that of M = infinity", paper=1, found=found,
            asks=f"ratio at M = {finite[-1]}, same seed: {level}", holds=holds, how=about,
        )  # fmt: skip
    small = final[final.num_tasks.between(1, small_tasks)]
    middle = final[final.num_tasks.between(small_tasks + 1, large_tasks - 1)]
    if 0 in wide and len(small) and len(middle):
        (lower, under), (upper, over) = (
            intervals.verdict_of_groups(part, "num_tasks", {"over_infinity": asks})
            for part, asks in ((small, criteria.below(1)), (middle, criteria.above(1)))
        )
        parts = [found.value if isinstance(found.value, str) else f"{found.value:.2f}" for found in (lower, upper)]
        sheet.claim(
            f"{mark}The LLC crosses that of M = infinity at the onset of transience",
            paper="below it at small M, above it at transient M",
            found=Measured(f"below at small M: {parts[0]}; above at intermediate M: {parts[1]}", "each M over seeds"),
            asks="LLC over that at infinity, same seed, below 1 at every small M and above 1 at every intermediate M",
            holds=criteria.all_hold(under, over), how=f"{SEEN}; the paper has a partial dip at M = 8; {about}",
        )  # fmt: skip


def _counts(models: pd.DataFrame) -> str:
    return " or ".join(map(str, sorted(set(models.num_tasks.value_counts()))))
