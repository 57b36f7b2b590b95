"""What captions, alternative texts and cards assert rests on claims, and these hold in the run that made the book."""

import json
import re
from pathlib import Path

import jupytext
import pytest

from devinterp_core.companion import chapters
from devinterp_core.companion.captions import captions_of

ROOT = Path(__file__).resolve().parents[1]
DOWNLOADS = ROOT / "_build" / "html" / "downloads"
CHAPTERS = chapters.read()


def denied(rests_on, claims):
    """Of the claims that are named, those that do not hold, and the names that mean none or several."""
    wrong = []
    for name in rests_on:
        meant = [claim for claim in claims if claim["statement"].startswith(name)]
        exact = [claim for claim in meant if claim["statement"] == name]
        meant = exact or meant
        if len(meant) != 1:
            wrong.append(f"{name!r} names {len(meant)} claims")
        elif meant[0]["holds"] is not True:
            wrong.append(f"{name!r} {'is undecided' if meant[0]['holds'] is None else 'does not hold'}")
    return wrong


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_nothing_is_asserted_that_the_scorecard_denies(chapter):
    record = DOWNLOADS / chapter.stem / "claims.json"
    if not record.exists():
        pytest.skip("no book in _build/html: make book")
    claims = json.loads(record.read_text(encoding="utf-8"))["claims"]
    captions = captions_of(jupytext.read(ROOT / "notebooks" / f"{chapter.stem}.py", fmt="py:percent"))
    wrong = {name: denied(caption.rests_on, claims) for name, caption in captions.items()}
    wrong["card"] = denied(chapter.rests_on, claims)
    assert not any(wrong.values()), {where: what for where, what in wrong.items() if what}
    assert chapter.rests_on or any(caption.rests_on for caption in captions.values()), "nothing rests on a claim"


def test_the_finding_of_the_readme_holds():
    found = re.findall(r"<!-- rests on: (\w+): (.*?) -->", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert found
    for stem, statement in found:
        record = DOWNLOADS / stem / "claims.json"
        if not record.exists():
            pytest.skip("no book in _build/html: make book")
        assert not denied([statement], json.loads(record.read_text(encoding="utf-8"))["claims"])


def test_a_denied_claim_is_found():
    claims = [
        {"statement": "a, run 1", "holds": True},
        {"statement": "a, run 2", "holds": False},
        {"statement": "b", "holds": None},
    ]
    assert denied(["a, run 1"], claims) == []
    assert denied(["a, run 2", "b", "a", "c"], claims) == [
        "'a, run 2' does not hold",
        "'b' is undecided",
        "'a' names 2 claims",
        "'c' names 0 claims",
    ]
