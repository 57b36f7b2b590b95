"""Why a claim does not hold: for every miss its kind and a sentence, from `book/misses.yml`.

That a claim does not hold is computed; why is a reading of the numbers by somebody, and stands apart from them. A test
holds the list to the records of the book: each miss is in it, and nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

from devinterp_core.companion import project
from devinterp_core.companion.claim import Claim, number

LIST = "book/misses.yml"
KINDS = ("our scale", "our sampler", "the paper's numbers", "noise", "refuted")


@dataclass(frozen=True)
class Miss:
    """Why the claims of a notebook whose statement begins with `claim` do not hold.

    Attributes:
        claim: the beginning of a statement.
        kind: one of `KINDS`.
        why: a sentence.
    """

    claim: str
    kind: str
    why: str


def read() -> dict[str, list[Miss]]:
    """The list, by notebook; empty where there is none.

    Raises:
        CompanionError: for a list that is not one: other fields, an unknown kind, an empty sentence.
    """
    path = project.root() / LIST
    if not path.exists():
        return {}
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        found = {notebook: [Miss(**entry) for entry in own] for notebook, own in entries.items()}
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise project.CompanionError(
            f"{LIST} should hold, for a notebook, a list of entries with claim, kind and why: {error}"
        ) from error
    for each in (miss for own in found.values() for miss in own):
        if each.kind not in KINDS or not all(isinstance(word, str) and word.strip() for word in (each.claim, each.why)):
            raise project.CompanionError(
                f"{LIST}: {each} needs the beginning of a claim, a sentence, and a kind: {', '.join(KINDS)}"
            )
    return found


def reason(misses: Mapping[str, list[Miss]], claim: Claim) -> Miss | None:
    """Why a claim does not hold; None where the list does not say.

    Raises:
        CompanionError: where several entries mean this claim.
    """
    meant = [miss for miss in misses.get(claim.notebook, []) if claim.statement.startswith(miss.claim)]
    if len(meant) > 1:
        raise project.CompanionError(f"{LIST}: several entries of {claim.notebook} mean {claim.statement!r}")
    return meant[0] if meant else None


def wrong(misses: Mapping[str, list[Miss]], claims: Iterable[Claim]) -> list[str]:
    """Where the list and the claims of the book disagree, in words: misses without a reason, reasons without a miss."""
    claims = list(claims)
    failed = [claim for claim in claims if claim.holds is False]
    found = [
        f"{number(claim.notebook, place)} does not hold, and {LIST} does not say why: {claim.statement}"
        for notebook in dict.fromkeys(claim.notebook for claim in claims)
        for place, claim in enumerate((each for each in claims if each.notebook == notebook), start=1)
        if claim.holds is False and reason(misses, claim) is None
    ]
    for notebook in {claim.notebook for claim in claims} & set(misses):
        for miss in misses[notebook]:
            if not any(each.notebook == notebook and each.statement.startswith(miss.claim) for each in failed):
                found.append(f"{LIST}: of {notebook}, {miss.claim!r} means no claim that fails")
    return found
