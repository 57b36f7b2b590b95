"""Injected prompts told from normal ones: every lens and detector, and the baseline at every layer, in tables."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from devinterp_core.extras import needs

from .anomaly import detect, layer_sweep
from .injection import Prompt, answer_features
from .lenses import LogitLens

with needs("text"):
    from tokenizers import Tokenizer

DETECTORS = {"isolation_forest": "isolation forest", "local_outlier_factor": "local outlier factor"}


class InjectionTables(NamedTuple):
    """What `injection_tables` finds.

    - `areas`: a row for each lens (`feature`) and `detector`: area under the ROC curve, `value`, with `low` and `high`.
    - `baseline`: the Mahalanobis distance at each `layer`: `auroc`, `low`, `high`.
    - `odds`: log-odds of the right answer by `prompts` (`normal`, `injected`), `lens` and `layer`: quartiles `low`,
      `median`, `high`.
    - `accuracy`: share of right answers of the model on either kind of prompts.
    """

    areas: pd.DataFrame
    baseline: pd.DataFrame
    odds: pd.DataFrame
    accuracy: dict[str, float]


def injection_tables(
    lenses: Mapping[str, LogitLens],
    tokenizer: Tokenizer,
    normal: Sequence[Prompt],
    injected: Sequence[Prompt],
    *,
    num_splits: int = 10,
    num_bootstraps: int = 1000,
    seed: int = 0,
) -> InjectionTables:
    """Tell injected prompts from normal ones by what the layers make of the answer.

    Args:
        lenses: by name, of one model.
        tokenizer: of the model.
        normal: prompts without an injection, from which the detectors learn.
        injected: the same questions with one.
        num_splits, num_bootstraps, seed: as of `detect`.

    Raises:
        ValueError: prompts that do not ask the same questions; as `detect` and `answer_features`.

    Reference: Belrose et al. (2023), section 5.1 and table 1.
    """
    answers = np.array([prompt.answer for prompt in normal])
    if answers.tolist() != [prompt.answer for prompt in injected]:
        raise ValueError("injected prompts must ask the questions of the normal ones: make both with the same seed")
    repeats = {"num_splits": num_splits, "num_bootstraps": num_bootstraps, "seed": seed}
    features = {
        name: answer_features(tuple(lenses.values()), tokenizer, prompts)
        for name, prompts in (("normal", normal), ("injected", injected))
    }
    areas, odds, signs = [], [], np.where(answers == 0, 1, -1)[:, None]
    for index, lens in enumerate(lenses):
        for detector, words in DETECTORS.items():
            area = detect(features["normal"][0][index], features["injected"][0][index], detector, **repeats)
            areas.append({"feature": lens, "detector": words, "value": area.auroc, "low": area.low, "high": area.high})
        for name, (of_answers, _) in features.items():
            quartiles = np.quantile(of_answers[index] * signs, (0.25, 0.5, 0.75), axis=0).T
            table = pd.DataFrame(quartiles, columns=["low", "median", "high"]).rename_axis("layer").reset_index()
            odds.append(table.assign(prompts=name, lens=lens))
    swept = layer_sweep(features["normal"][1], features["injected"][1], **repeats)
    return InjectionTables(
        pd.DataFrame(areas),
        pd.DataFrame([vars(area) for area in swept]).rename_axis("layer").reset_index(),
        pd.concat(odds, ignore_index=True),
        {name: float(((found[0, :, -1] < 0) == answers).mean()) for name, (found, _) in features.items()},
    )
