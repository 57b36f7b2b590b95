"""What captions, alternative texts and cards assert rests on claims, and these hold in the run that made the book."""

import json
import re
from pathlib import Path

import jupytext
import pytest

from devinterp_core.companion import chapters, misses
from devinterp_core.companion.captions import captions_of
from devinterp_core.companion.claims import ClaimSheet, load
from devinterp_core.companion.project import CompanionError

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


def test_every_miss_says_of_which_kind_it_is():
    records = [path for chapter in CHAPTERS if (path := DOWNLOADS / chapter.stem / "claims.json").exists()]
    if not records:
        pytest.skip("no book in _build/html: make book")
    wrong = misses.wrong(misses.read(), [claim for path in records for claim in load(path)])
    assert not wrong, "\n".join(wrong)


def test_a_miss_without_a_reason_and_a_reason_without_a_miss_are_found(monkeypatch, tmp_path):
    sheet = ClaimSheet("01_a", paper="a paper")
    for statement, holds in (("one fails", False), ("two fails", False), ("three holds", True)):
        sheet.add(statement, paper=1, measured=1, interval="exact", holds=holds, detail="n")
    known = {"01_a": [misses.Miss(name, "noise", "so") for name in ("one", "three")]}
    assert misses.wrong(known, sheet.claims) == [
        "01.2 does not hold, and book/misses.yml does not say why: two fails",
        "book/misses.yml: of 01_a, 'three' means no claim that fails",
    ]
    twice = {"01_a": [misses.Miss("one", "noise", "so"), misses.Miss("one fails", "noise", "so")]}
    with pytest.raises(CompanionError, match="several"):
        misses.reason(twice, sheet.claims[0])


def test_a_list_of_misses_that_is_none_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(misses.project, "root", lambda: tmp_path)
    assert misses.read() == {}
    (tmp_path / "book").mkdir()
    for text in ("[1]", "01_a: [{claim: x}]", "01_a: [{claim: x, kind: bad luck, why: y}]", "a: {"):
        (tmp_path / misses.LIST).write_text(text)
        with pytest.raises(CompanionError, match="misses.yml"):
            misses.read()


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
