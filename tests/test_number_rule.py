"""The rule against typed numbers lets through what it should and stops what it should."""

import pytest
from number_rule import main, typed_numbers


@pytest.mark.parametrize(
    "text",
    [
        "we use 4 chains in 2023 (Chen, 2023b)",
        "`5000` and {glue:text}`x:.3f`, $d/2 = 8.5$, $10^5$, $n = 10^{6}$",
        "the paper says [601]{.paper} and [$\\lambda=7.705$ [sic]]{.paper}",
        "| a | Paper |\n|---|---|\n| 5 | 7.705 |",
        "arXiv:2310.06301v1, eq. (4), Table K.1, Figure 3.2, Section 5.2",
        "```\n5000\n```",
        "[text](https://doi.org/10.123/45.6)",
        "layers 10, 20, 20 and 10 wide",
        "1. first\n2. second",
        "nominal 95 % intervals, a 90 % credible interval",
    ],
)
def test_allowed(text):
    assert typed_numbers(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "we get 7.02",
        "5 %",
        "it covers 95 % of nets",
        "n = 5000",
        "12,000 steps",
        "15x faster",
        "1e-3",
        "7 ± 1",
        "$\\hat\\lambda = 7.02$",
        "$n = 5000$",
        "$7 \\pm 1$",
        "| a | Here |\n|---|---|\n| 5 | 7.705 |",
        "[601] {.x}",
        "1.5×",
    ],
)
def test_refused(text):
    assert typed_numbers(text)


def test_the_command_line_names_the_file(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("we get 7.02")
    assert main([str(page)]) == 1
    assert "page.md: we get 7.02" in capsys.readouterr().out
