"""Which rules of the synthetic language a model has memorised, and which of them depend on a head.

Everything here compares numbers of single tokens (losses, probabilities) with the rule that made each token. The first
token of a sequence is predicted by nothing: next to losses of shape [sequence, position - 1] stands `rules[:, 1:]`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from devinterp_core.language.synthetic_rules import RuleKind


class RuleReport(NamedTuple):
    """What was found of each multigram rule.

    - `holds`: whether the rule is memorised, or depends on the head; False where it was seen too rarely.
    - `mean`: over its occurrences: probability of the forced token, or increase of the loss in nats; NaN if unseen.
    - `occurrences`: how often it was seen.
    """

    holds: Bool[Tensor, " rule"]
    mean: Float[Tensor, " rule"]
    occurrences: Int[Tensor, " rule"]


def memorised_rules(
    losses: Float[Tensor, "*shape"],
    rules: Int[Tensor, "*shape"],
    num_rules: int,
    threshold: float = 0.5,
    min_occurrences: int = 10,
) -> RuleReport:
    r"""Rules whose forced token the model expects: mean probability $e^{-\text{loss}}$ above `threshold`.

    The number of memorised multigrams, which Wang et al. (2025) estimate from samples, is `holds.sum()`; it is exact up
    to the rules that the text holds fewer than `min_occurrences` times.

    Args:
        losses: cross-entropy of each token in nats.
        rules: what made each token; tokens of other kinds (negative ids) do not count.
        num_rules: of the language.
        threshold: of the mean probability, in (0, 1).
        min_occurrences: of a rule to be judged, at least 1.

    Raises:
        ValueError: shapes that differ, no tokens, rules that are not of the language, settings out of range.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is a probability in (0, 1), got {threshold}")
    return _report((-losses).exp(), rules, num_rules, threshold, min_occurrences)


def dependent_rules(
    losses: Float[Tensor, "*shape"],
    ablated_losses: Float[Tensor, "*shape"],
    rules: Int[Tensor, "*shape"],
    num_rules: int,
    threshold: float = 0.5,
    min_occurrences: int = 10,
) -> RuleReport:
    """Rules that depend on a head: their mean loss rises by more than `threshold` nats when the head is ablated.

    Args:
        losses: cross-entropy of each token in nats.
        ablated_losses: the same with the head ablated (see `ablation`).
        rules: what made each token; tokens of other kinds (negative ids) do not count.
        num_rules: of the language.
        threshold: of the mean increase, in nats, positive.
        min_occurrences: of a rule to be judged, at least 1.

    Raises:
        ValueError: shapes that differ, no tokens, rules that are not of the language, settings out of range.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be a positive number of nats, got {threshold}")
    check_shapes(losses, ablated_losses)
    return _report(ablated_losses - losses, rules, num_rules, threshold, min_occurrences)


def mean_by_kind(values: Float[Tensor, "*shape"], kinds: Int[Tensor, "*shape"]) -> dict[RuleKind, float]:
    """Mean of `values`, such as losses, over the tokens of each kind that occurs (`SyntheticLanguage.kinds`).

    Raises:
        ValueError: shapes that differ, or no tokens.
    """
    check_shapes(values, kinds)
    return {kind: float(values[kinds == kind].mean()) for kind in RuleKind if bool((kinds == kind).any())}


def _report(values: Tensor, rules: Tensor, num_rules: int, threshold: float, min_occurrences: int) -> RuleReport:
    check_shapes(values, rules)
    if min_occurrences < 1:
        raise ValueError(f"min_occurrences must be at least 1, got {min_occurrences}")
    if int(rules.max()) >= num_rules:
        raise ValueError(f"rule {int(rules.max())} is none of the {num_rules} rules: give the language's num_rules")
    chosen = rules >= 0
    occurrences = torch.bincount(rules[chosen], minlength=num_rules)
    total = torch.bincount(rules[chosen], weights=values[chosen].double(), minlength=num_rules)
    mean = total / occurrences
    return RuleReport((mean > threshold) & (occurrences >= min_occurrences), mean, occurrences)


def check_shapes(values: Tensor, others: Tensor) -> None:
    """Refuse numbers of tokens that do not stand beside each other.

    Raises:
        ValueError: shapes that differ, or no tokens.
    """
    if values.shape != others.shape or not values.numel():
        raise ValueError(
            f"one number is needed for every token, got shapes {tuple(values.shape)} and {tuple(others.shape)}; losses "
            "of tokens[:, 1:] go with rules[:, 1:]"
        )
