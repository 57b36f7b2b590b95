"""Tables of the chapter on stages of a language model: stages beside the paper's, and when each skill is learned."""

from collections.abc import Mapping

import pandas as pd
from pandas.io.formats.style import Styler

from devinterp_core import trajectory
from devinterp_core.companion.project import root
from devinterp_core.companion.tables import table

WORDS = {
    "bigrams": "bigrams, step", "positions": "positions, step", "ngrams": "3-grams, step",
    "previous_token_1": "previous token, layer 1, step", "previous_token_0": "previous token, layer 0, step",
    "in_context": "in-context score, step", "prefix_matching_1": "prefix matching, layer 1, step",
    "bigram_gap": "lowest bigram score above the entropy, nats", "final_gap": "positional gap at the end, nats",
    "final_in_context": "in-context score at the end, nats", "final_prefix_matching_1": "prefix matching at the end",
}  # fmt: skip


def beside_the_paper(
    curves: pd.DataFrame, llc: pd.DataFrame, found: Mapping[str, trajectory.Stages]
) -> dict[str, pd.DataFrame]:
    """What the figure of loss and LLC draws: our worlds, and the values that the paper has published.

    Args:
        curves: `world`, `step`, `seed`, `loss`.
        llc: `world`, `step`, `seed`, `llc`.
        found: the stages of the mean LLC of each world, `trajectory.stages_of_mean`.

    Returns:
        `curves` (a row a value, with its `quantity`), `smooth` (the Gaussian processes), `stages` (`type`, `start`,
        `end` of each world and of the paper) and `paper` (its curves).
    """
    both = {"loss": curves, "llc": llc}
    long = pd.concat([each.assign(quantity=name, value=each[name]) for name, each in both.items()])
    stages = {name: trajectory.stage_table(each, curves[curves["world"] == name]) for name, each in found.items()}
    published = pd.read_csv(root() / "data/reference/language_stages.csv")
    stages["paper"] = published.assign(start=[100, *published["end"][:-1]])
    smooth = {name: trajectory.curve_table(each) for name, each in found.items()}
    joined = {
        name: pd.concat(parts, names=["world"]).reset_index(level="world")
        for name, parts in {"stages": stages, "smooth": smooth}.items()
    }
    return {
        "curves": long[["world", "quantity", "step", "seed", "value"]],
        "smooth": joined["smooth"],
        "stages": joined["stages"][["world", "type", "start", "end"]],
        "paper": pd.read_csv(root() / "data/reference/language_curves.csv")[["step", "loss", "llc"]],
    }


def skills_in_words(moments: pd.DataFrame) -> Styler:
    """The table of `trajectory.skills.skill_table`, a column a model and a row a skill."""
    models = [f"{row.world}, seed {row.seed}" for row in moments.itertuples()]
    turned = moments[[*WORDS]].rename(columns=WORDS).set_axis(models).round(2).transpose()
    turned = turned.rename_axis("skill").reset_index()
    return table(turned, {name: name for name in turned})
