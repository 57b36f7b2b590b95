r"""When a language model learns what: moments of each model, read off curves of what it can do and what heads do.

A skill counts as learned when its score has gone half the way from the start to its value at the end
(`halfway_step`); bigrams at the step of the lowest bigram score; n-grams half-way from the loss that bigrams have on
them to the end, since bigrams alone already bring that loss down; positions when zeroing their embedding costs
`POSITIONAL_GAP` nats.

Reference: Hoogland et al. (2024), behavioural and structural indicators of the language model.
"""

import pandas as pd

from devinterp_core.trajectory.crossing import crossing_step, halfway_step

POSITIONAL_GAP = 0.1  # nats
CURVES = ["seed", "step", "bigram_score", "ngram_3", "in_context_score", "positional_gap"]
HEADS = ["seed", "step", "head", "previous_token", "prefix_matching"]
KNOWN = ["bigram_entropy", "ngram_by_bigrams"]


def skill_table(curves: pd.DataFrame, heads: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """The moments of every model.

    Args:
        curves: a row for each `world`, `seed` (which model) and `step`, with `bigram_score`, `ngram_3`,
            `in_context_score` and `positional_gap` in nats.
        heads: the same and for each `head` (`layer:head`, two layers), with `previous_token` and `prefix_matching`.
        known: a row a `world`: `bigram_entropy` of its corpus, and `ngram_by_bigrams`, the loss of the corpus' bigrams
            on the last tokens of its 3-grams, in nats.

    Returns:
        `world` and `seed`. Steps: `bigrams`, `ngrams`, `in_context`, `positions`, and of the best head of a layer
        `previous_token_0`, `previous_token_1`, `prefix_matching_1` (NaN where a level is not reached). In nats:
        `bigram_gap`, the lowest bigram score less `bigram_entropy`; `start_in_context`, `final_in_context`,
        `first_gap`, `final_gap`. Scores at the end: `final_previous_token_0`, `final_previous_token_1`,
        `final_prefix_matching_1`.

    Raises:
        ValueError: columns or worlds that are missing; as `crossing_step`.
    """
    given = ((curves, CURVES), (heads, HEADS), (known, KNOWN))
    missing = [name for table, names in given for name in ["world", *names] if name not in table]
    if missing or set(curves["world"]) - set(known["world"]):
        raise ValueError(f"missing columns: {missing}; or a world of the curves is not among the known ones")
    by_world, rows = known.set_index("world"), []
    for (world, seed), part in curves.groupby(["world", "seed"], sort=False):
        own = heads[(heads["world"] == world) & (heads["seed"] == seed)]
        rows.append({"world": world, "seed": seed} | _moments(part.sort_values("step"), own, by_world.loc[world]))
    return pd.DataFrame(rows)


def _moments(curves: pd.DataFrame, heads: pd.DataFrame, known: pd.Series) -> dict[str, float]:
    steps = curves["step"].to_numpy()
    ngrams, in_context, gap = (curves[name].to_numpy() for name in ("ngram_3", "in_context_score", "positional_gap"))
    found = {
        "bigrams": curves["step"][curves["bigram_score"].idxmin()],
        "bigram_gap": curves["bigram_score"].min() - known["bigram_entropy"],
        "ngrams": crossing_step(steps, ngrams, (known["ngram_by_bigrams"] + ngrams[-1]) / 2),
        "in_context": halfway_step(steps, in_context),
    }
    best = heads.groupby([heads["head"].str[0], "step"])[["previous_token", "prefix_matching"]].max()
    for layer, score in (("0", "previous_token"), ("1", "previous_token"), ("1", "prefix_matching")):
        series = best.loc[layer][score]
        found[f"{score}_{layer}"] = halfway_step(series.index.to_numpy(), series.to_numpy())
        found[f"final_{score}_{layer}"] = series.iloc[-1]
    found |= {"positions": crossing_step(steps, gap, POSITIONAL_GAP), "first_gap": gap[0], "final_gap": gap[-1]}
    found |= {"start_in_context": in_context[0], "final_in_context": in_context[-1]}
    return {name: float(value) for name, value in found.items()}
