"""Tables of heads: what each head of a model is for, by ablation and by attention, one row a head."""

from collections.abc import Mapping

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor, nn

from devinterp_core.language.loss import next_token_losses
from devinterp_core.language.synthetic import AnnotatedTokens, SyntheticLanguage

from .ablation import ablated_losses
from .development import Probe, head_scores, make_probe
from .multigrams import dependent_rules, memorised_rules
from .roles import head_roles, joint_ablation

ABLATION = "mean by position"
OTHER = "other"


@torch.no_grad()
def describe_heads(
    model: nn.Module, text: AnnotatedTokens, language: SyntheticLanguage, probe: Probe, *, min_occurrences: int = 3
) -> pd.DataFrame:
    """What every head of a model of the synthetic language is for.

    Args:
        model: a `Transformer`.
        text: sequences of the language that training has not seen.
        language: that made them.
        probe: on which attention is scored.
        min_occurrences: of a multigram rule in `text` to be counted.

    Returns:
        One row a head: `head`; by ablation `role` and `share ...` of each role (`head_roles`), `ablation`, the rise of
        the loss in nats a token, and `multigrams`, the number of rules that depend on it (`dependent_rules`); the
        scores of `head_scores`.

    Raises:
        ValueError: as `head_roles`, `dependent_rules` and `head_scores`.
    """
    losses = next_token_losses(model(text.tokens), text.tokens)
    attention, roles = head_scores(model, probe), head_roles(model, text.tokens, language.kinds(text.rules), ABLATION)
    rows = []
    for head, (role, shares, effect) in roles.items():
        ablated = ablated_losses(model, text.tokens, head, ABLATION)
        rules = dependent_rules(losses, ablated, text.rules[:, 1:], language.num_rules, min_occurrences=min_occurrences)
        row = {"head": head, "role": role, "ablation": effect, "multigrams": int(rules.holds.sum())}
        rows.append(row | {f"share {name}": share for name, share in shares.items()} | attention[head])
    return pd.DataFrame(rows)


@torch.no_grad()
def memorised_share(
    model: nn.Module, text: AnnotatedTokens, language: SyntheticLanguage, *, min_occurrences: int = 3
) -> float:
    """Share of the multigram rules that the model has memorised, of those that `text` holds often enough.

    Args:
        model: of the language.
        text: sequences of the language.
        language: that made them.
        min_occurrences: of a rule in `text` to be counted.

    Returns:
        A share; 0 where no rule is held often enough.

    Raises:
        ValueError: as `memorised_rules`.
    """
    losses = next_token_losses(model(text.tokens), text.tokens)
    known = memorised_rules(losses, text.rules[:, 1:], language.num_rules, min_occurrences=min_occurrences)
    return float(known.holds.sum() / (known.occurrences >= min_occurrences).sum().clamp_min(1))


def pair_interactions(model: nn.Module, text: AnnotatedTokens, language: SyntheticLanguage) -> pd.DataFrame:
    """`joint_ablation` as a table: one row for each `kind` of rule and pair of a `lower` and an `upper` head.

    Args:
        model: a `Transformer` of two layers.
        text: sequences of the language.
        language: that made them.

    Returns:
        Beside the names, `interaction` in nats a token.

    Raises:
        ValueError: as `joint_ablation`.
    """
    rows = []
    for kind, matrix in joint_ablation(model, text.tokens, language.kinds(text.rules), ABLATION).items():
        for (lower, upper), value in zip(torch.cartesian_prod(*map(torch.arange, matrix.shape)), matrix.flatten()):
            rows.append({"kind": kind, "lower": f"0:{lower}", "upper": f"1:{upper}", "interaction": float(value)})
    return pd.DataFrame(rows)


@torch.no_grad()
def describe_text_heads(
    model: nn.Module, texts: Mapping[str, Int[Tensor, "sequence position"]], num_tokens: int, thresholds: Mapping,
    *, block_length: int = 24, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """What every head of a model of text attends to, and what its ablation costs.

    Args:
        model: a `Transformer`.
        texts: held-out sequences of each source, beginning with token 0.
        num_tokens: of the vocabulary.
        thresholds: of `attention_types`.
        block_length: tokens of the repeated random blocks on which prefix matching is measured.
        seed: of the blocks.

    Returns:
        One row a head, `head` and `layer`: the scores of `head_scores`, `type` by `attention_types`, and the rise of
        the loss in nats a token when it is ablated, on each source, `ablation SOURCE`, and over all, `ablation`.

    Raises:
        ValueError: as `make_probe` and `ablated_losses`.
    """
    mixed = torch.cat(list(texts.values()))
    probe = make_probe(mixed, mixed, num_tokens, block_length=block_length, seed=seed)
    table = pd.DataFrame(head_scores(model, probe)).T.rename_axis("head")
    table["type"] = attention_types(table, thresholds)
    losses = next_token_losses(model(mixed), mixed)
    rises = {head: (ablated_losses(model, mixed, head, ABLATION) - losses).mean(1) for head in table.index}
    sizes = [len(tokens) for tokens in texts.values()]
    for head, rise in rises.items():
        row = dict(zip(texts, (float(part.mean()) for part in rise.split(sizes)), strict=True))
        table.loc[head, [f"ablation {source}" for source in row]] = list(row.values())
        table.loc[head, "ablation"] = float(rise.mean())
    return table.reset_index().assign(layer=lambda rows: rows["head"].str[0])


def attention_types(scores: pd.DataFrame, thresholds: Mapping[str, float]) -> pd.Series:
    """Type of each head by its attention: the first of the scores, in the order of `thresholds`, that passes its own.

    Args:
        scores: one row a head, with a column for each key of `thresholds`.
        thresholds: what a score has to exceed.

    Returns:
        The name of that score, `other` where none passes, indexed as `scores`.

    Raises:
        KeyError: a score that is not in the table.
    """
    passed = scores[list(thresholds)].gt(pd.Series(thresholds))
    return passed.idxmax(axis=1).where(passed.any(axis=1), OTHER)
