"""What the chapter on the stages of a language model asks of each of its two worlds: the same claims of both.

`models` is the part of `trajectory.skills.skill_table` that belongs to a world, a row a model. With so few seeds no
mean is taken: every model is judged by itself, and the intervals are ranges.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from devinterp_core.companion import criteria, intervals
from devinterp_core.companion.claims import ClaimSheet
from devinterp_core.companion.criteria import Measured

INDUCTION = 0.3  # prefix matching from which a head counts as an induction head, of our probes
SAME_STEP = 0.25  # relative difference of two steps that checkpoints do not tell apart


def rise_of(coefficients: pd.DataFrame) -> Measured:
    """Last LLC minus first: of several models each, with their range; of one with the error of the two estimates.

    Args:
        coefficients: a row for each `seed` and `step`, with `llc` and `standard_error`.
    """
    at_ends = coefficients[coefficients["step"].isin([coefficients["step"].min(), coefficients["step"].max()])]
    ends = at_ends.sort_values("step").groupby("seed")
    rises = ends["llc"].last() - ends["llc"].first()
    if len(rises) > 1:
        return intervals.listed(rises, 1)
    half = stats.norm.ppf(0.975) * float(np.linalg.norm(at_ends["standard_error"]))
    rise = float(rises.iloc[0])
    return Measured(rise, (rise - half, rise + half), "95 %, from the standard errors of both estimates, one model")


def of_coefficients(sheet: ClaimSheet, coefficients: pd.DataFrame, types: str, title: str) -> None:
    """Add the claims on the LLC along training of one world.

    Args:
        sheet: to add to.
        coefficients: as of `rise_of`.
        types: of the stages of the mean curve, in their order, such as `AB`; empty if there is none.
        title: of the world.
    """
    sheet.claim(
        f"{title}: the LLC has stages of both types", paper="AABAA",
        found=Measured(types or "none", "95 % Gaussian process"),
        asks="a stage of type B, a fall, asked beside one of type A in the mean LLC curve, as the paper's LM3; finding "
        "none decides nothing", holds=True if "A" in types and "B" in types else None,
        how="a fall of the paper's relative size is within two standard errors of a difference of two estimates",
    )  # fmt: skip
    sheet.claim(
        f"{title}: over training the LLC rises", paper="rises", found=rise_of(coefficients), asks=criteria.above(0),
        how="last estimate minus first, of which only the sign is compared: other model, other first step",
    )  # fmt: skip


def of_skills(sheet: ClaimSheet, models: pd.DataFrame, title: str) -> None:
    """Add the claims on the order in which skills are learned, by the models' predictions."""
    steps = in_words(models)
    ordered = (models.bigrams < models.ngrams) & (models.ngrams < models.prefix_matching_1)
    sheet.claim(
        f"{title}: bigrams, then n-grams, then induction", paper="steps 700, about 2,000, about 12,000",
        found=Measured(f"{steps['bigrams']}; {steps['ngrams']}; {steps['prefix_matching_1']}", "exact count"),
        asks="this order asked in every model", holds=ordered.all(),
        how=f"in this order in {ordered.sum()} of {len(models)} models",
    )  # fmt: skip
    sheet.claim(
        f"{title}: at its best the bigram score comes close to the entropy of the bigrams", paper="0.33 nats above",
        found=intervals.listed(models.bigram_gap, 2, "nats above"), asks=criteria.below(0.5),
        how="lowest bigram score of all checkpoints minus the entropy of the corpus' bigrams",
    )  # fmt: skip
    gap = intervals.listed(models.final_gap, 2)
    close = (models.positions / models.bigrams).sub(1).abs().min() < SAME_STEP
    sheet.claim(
        f"{title}: positions become useful after the bigrams",
        paper="bigrams at step 700, gap 0.02 at step 900, 1.21 at the end",
        found=Measured(
            f"step {steps['positions']} against {steps['bigrams']}; gap {gap.value} at the end", gap.interval,
            "interval: range of the gap at the end",
        ),
        asks="a positional gap of 0.1 nats asked after the checkpoint of the lowest bigram score, in each; closer "
        "than a quarter, which is a step between checkpoints: undecided",
        holds=None if close else (models.positions > models.bigrams).all(), how="undecided added after the result",
    )  # fmt: skip


def of_heads(
    sheet: ClaimSheet, models: pd.DataFrame, title: str, blocks: Mapping[int, float] | None = None
) -> None:
    """Add the claims on what the heads attend to, and when.

    Whether an induction head forms is decided by the range of prefix matching: over seeds, or over the lengths of the
    random blocks on which it is measured. Where that leaves it open, the claim on when it forms is open too.

    Args:
        sheet: to add to.
        models: of one world.
        title: of the world.
        blocks: prefix matching at the end by the length of the random blocks; without it the range is over seeds.
    """
    steps, count = in_words(models), len(models)
    first = models.previous_token_1 < models.previous_token_0
    sheet.claim(
        f"{title}: layer 1 attends to the previous token before layer 0 does",
        paper="by step 6,500 and from step 6,500 on",
        found=Measured(f"layer 1 {steps['previous_token_1']}; layer 0 {steps['previous_token_0']}", "exact count"),
        asks="the half-way step of the best head earlier in layer 1 asked, in every model", holds=first.all(),
        how=f"in {first.sum()} of {count} models",
    )  # fmt: skip
    score, in_context = (intervals.listed(models[key], 2) for key in ("final_prefix_matching_1", "final_in_context"))
    interval, over = score.interval, "seeds"
    if blocks:
        interval = float(min(blocks.values())), float(max(blocks.values()))
        over = f"random blocks of {', '.join(map(str, blocks))} tokens"
    lower = models.final_in_context < models.start_in_context - 0.1
    formed = criteria.all_hold(criteria.at_least(INDUCTION)(interval), lower.all())
    sheet.claim(
        f"{title}: an induction head forms and learning in context sets in",
        paper="prefix matching 0.06 and 0.08, in-context score -0.22",
        found=Measured(f"prefix matching {score.value}; in-context score {in_context.value}", interval),
        asks=f"prefix matching of at least {INDUCTION:g} asked of the best head of layer 1, and an in-context score "
        "0.1 nats below that at the start", holds=formed, how=f"interval: range of prefix matching over {over}",
    )  # fmt: skip
    together = np.log2(models.in_context / models.prefix_matching_1).abs() < 1
    sheet.claim(
        f"{title}: the in-context score falls when the induction head forms",
        paper="both between steps 8,500 and 17,500",
        found=Measured(
            f"in-context {steps['in_context']}; prefix matching {steps['prefix_matching_1']}", "exact count"
        ),
        asks="half-way steps within a factor of 2 asked in every model, and that the head forms by the claim before",
        holds=criteria.all_hold(formed, together.all()),
        how=f"steps so in {together.sum()} of {count} models; before a referee's reading a single length of block said "
        "whether the head forms",
    )  # fmt: skip


def of_rules(sheet: ClaimSheet, models: pd.DataFrame, binding: np.ndarray, last: pd.DataFrame, title: str) -> None:
    """Add the claims on the rules of the synthetic language, whose makers are known token by token.

    Args:
        sheet: to add to.
        models: of the synthetic language.
        binding: half-way step of the loss on words bound to names, of each model.
        last: a row a model at the last checkpoint: `memorised` and `seen` multigram rules.
        title: of the world.
    """
    together = np.abs(np.log2(binding / models.prefix_matching_1.to_numpy())) < 1
    bound = intervals.listed(binding, missing="never").value
    sheet.claim(
        f"{title}: words bound to names are predicted when the induction head forms",
        paper="induction heads make learning in context",
        found=Measured(f"bound words {bound}; prefix matching {in_words(models)['prefix_matching_1']}", "exact count"),
        asks="half-way steps within a factor of 2 asked in every model", holds=together.all(),
        how=f"in {together.sum()} of {len(together)} models", kind="own",
    )  # fmt: skip
    sheet.claim(
        f"{title}: most multigrams are memorised at the end", paper="not known for the paper's text",
        found=intervals.listed(last.memorised / last.seen, 2), asks=criteria.above(0.5),
        how="share of the rules seen three times or more whose forced token has a mean probability above one half; "
        "most of them are trigram rules", kind="own",
    )  # fmt: skip


def in_words(models: pd.DataFrame) -> dict[str, str]:
    """Every step of the table in words, over the models; `never` where a level is not reached."""
    steps = [name for name in models.select_dtypes("number") if name != "seed"]
    return {name: intervals.listed(models[name], missing="never").value for name in steps}
