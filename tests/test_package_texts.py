"""Passages of installed packages are cut from their files, the same for the same seed."""

import pytest

from devinterp_core.companion.studies.package_texts import _texts, package_passages
from devinterp_core.lens.smollm2 import stand_in


def test_passages_stand_in_the_files_and_repeat_with_the_seed():
    tokenizer = stand_in(0)[1]
    tokens = package_passages(tokenizer, "sklearn.datasets.descr", ".rst", 6, 24, seed=1)
    assert tokens.shape == (6, 24)
    for row in tokens.tolist():
        assert any(tokenizer.decode(row[2:-2]).strip() in text for text in _texts("sklearn.datasets.descr", ".rst"))
    again, other = (package_passages(tokenizer, "sklearn.datasets.descr", ".rst", 6, 24, seed=seed) for seed in (1, 2))
    assert tokens.equal(again) and not tokens.equal(other)


@pytest.mark.parametrize(
    ("package", "suffix", "length", "error"),
    [("sklearn.datasets.descr", ".none", 24, ValueError), ("no_such_package_here", ".py", 24, ModuleNotFoundError),
     ("sklearn.datasets.descr", ".rst", 10**6, ValueError)],
)  # fmt: skip
def test_what_has_no_text_is_refused(package, suffix, length, error):
    with pytest.raises(error):
        package_passages(stand_in(0)[1], package, suffix, 1, length)
