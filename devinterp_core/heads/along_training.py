"""What is measured of language models along their training, as tables with a row for each checkpoint and model."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from devinterp_core.heads.development import Probe, head_scores, model_scores
from devinterp_core.heads.multigrams import mean_by_kind, memorised_rules
from devinterp_core.heads.scores import prefix_matching_score
from devinterp_core.language.loss import next_token_losses
from devinterp_core.language.synthetic import AnnotatedTokens, SyntheticLanguage
from devinterp_core.train import Checkpoints


def scores_along_training(
    runs: Mapping[str, Checkpoints], probes: Mapping[str, Probe], num_steps: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Behaviour of every model and attention of every head, in several worlds.

    Args:
        runs: checkpoints of language models, by the name of their world.
        probes: on what those of each world are measured.
        num_steps: how many checkpoints of each, about: step 0 and others spaced evenly on a logarithmic axis.

    Returns:
        Two tables with `world`, `step` and `seed` (which model): one with the columns of `model_scores`, one with
        `head` (`layer:head`) and the columns of `head_scores`.

    Raises:
        ValueError: fewer than two steps, a world without a probe.
    """
    if num_steps < 2 or set(runs) - set(probes):
        raise ValueError(f"need num_steps >= 2 and a probe of each of {list(runs)}, got {num_steps} and {list(probes)}")
    behaviour, attention = [], []
    for world, checkpoints in runs.items():
        spaced = checkpoints.spaced(num_steps - 1, first=max(1, checkpoints.steps[-1] / 2000))
        for step, index in _all_models(checkpoints, sorted({checkpoints.nearest(0), *spaced})):
            model = checkpoints.model(step, index)
            label = {"world": world, "step": step, "seed": index}
            behaviour.append(label | model_scores(model, probes[world]))
            attention += [label | {"head": name} | scores for name, scores in head_scores(model, probes[world]).items()]
    return pd.DataFrame(behaviour), pd.DataFrame(attention)


@torch.no_grad()
def rules_along_training(
    checkpoints: Checkpoints,
    language: SyntheticLanguage,
    held_out: AnnotatedTokens,
    steps: Sequence[int],
    min_occurrences: int = 3,
) -> pd.DataFrame:
    """What each kind of rule costs a model of the synthetic language, and how many multigram rules it has memorised.

    Args:
        checkpoints: of models of `language`.
        language: whose rules made the tokens.
        held_out: sequences that training has not seen, with the rule of each token.
        steps: kept ones.
        min_occurrences: of a rule in the sequences, to be judged.

    Returns:
        `step`, `seed`, `memorised` and `seen` (rules that occur often enough), and `loss_<kind>`, the mean loss in nats
        of the tokens that a kind of rule made.

    Raises:
        ValueError: no steps, or one that was not kept; as `memorised_rules`.
    """
    rules, kinds = held_out.rules[:, 1:], language.kinds(held_out.rules[:, 1:])
    rows = []
    for step, index in _all_models(checkpoints, steps):
        losses = next_token_losses(checkpoints.model(step, index)(held_out.tokens), held_out.tokens)
        known = memorised_rules(losses, rules, language.num_rules, min_occurrences=min_occurrences)
        row = {"step": step, "seed": index, "memorised": int(known.holds.sum())}
        row |= {"seen": int((known.occurrences >= min_occurrences).sum())}
        by_kind = mean_by_kind(losses, kinds)
        rows.append(row | {f"loss_{kind.name.lower()}": value for kind, value in by_kind.items()})
    return pd.DataFrame(rows)


@torch.no_grad()
def prefix_matching_along_training(
    checkpoints: Checkpoints, sequences: Mapping[str | int, Int[Tensor, "sequence position"]], steps: Sequence[int]
) -> pd.DataFrame:
    """Prefix matching of the best head of the last layer, on several sets of sequences.

    Random blocks of another length, or text, give another number for the same head: it attends to what followed *every*
    earlier occurrence of a token, and in text there are many of these, and other reasons to look back.

    Args:
        checkpoints: of language models.
        sequences: by name (or length of a block); in each set some token recurs.
        steps: kept ones.

    Returns:
        `step`, `seed`, `sequences`, and `prefix_matching`, the largest score of a head of the last layer.

    Raises:
        ValueError: no steps, or one that was not kept; as `prefix_matching_score`.
    """
    name = f"blocks.{checkpoints.template.config.num_layers - 1}.attn.hook_pattern"
    rows = []
    for step, index in _all_models(checkpoints, steps):
        model = checkpoints.model(step, index)
        for title, tokens in sequences.items():
            scores = prefix_matching_score(model.run_with_cache(tokens, [name])[1][name], tokens)
            rows.append({"step": step, "seed": index, "sequences": title, "prefix_matching": float(scores.max())})
    return pd.DataFrame(rows)


def loss_by_bigrams(probe: Probe, n: int = 3) -> float:
    """Loss of the probe's bigrams on the last token of its common n-grams, in nats: what bigrams alone predict."""
    before, last = probe.ngrams[n][:, -2], probe.ngrams[n][:, -1]
    return float(-probe.bigrams[before, last].log().mean())


def _all_models(checkpoints: Checkpoints, steps: Sequence[int]) -> list[tuple[int, int]]:
    if not len(steps):
        raise ValueError(f"no steps: give some of those that were kept, {checkpoints.steps}")
    return [(step, index) for step in steps for index in range(checkpoints.num_models)]
