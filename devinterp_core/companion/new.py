"""A new chapter in the form that every chapter has: notebook, presets, and its entry in the list of chapters.

What `companion new` writes passes the contract of the notebooks and runs: its author begins with a page that is whole,
and replaces what it computes by what the chapter is about.
"""

import dataclasses
import re
from pathlib import Path

import yaml
from pybtex.database import Entry, parse_file

from devinterp_core.companion import chapters, project
from devinterp_core.files import write_atomically

BIBLIOGRAPHY = "book/references.bib"
NAME = re.compile(r"\d\d(_[a-z0-9]+)+")
ARXIV = re.compile(r"arXiv:\d{4}\.\d{5}")
NOTEBOOK = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # <title>
#
# After {cite:t}`<paper>`: <question>
#
# This page is a beginning: the learning coefficient of linear regressions, half their number of parameters, in the form
# that every chapter has. The form stays, what is computed is replaced.
#
# ```{glue:figure} <figure>
# :name: <figure>
# :alt: Line chart of the estimated learning coefficient against the number of parameters, beside a straight line
# :  through the origin.
#
# **Learning coefficients of linear regressions, and half the number of parameters.** Line: $d/2$; bars: 95 % intervals.
# ```
# % rests on: Estimates of regular models agree with the closed form
#
# **What was found.** The estimates differ from the closed form by {glue:text}`deviation:.1f` % at most.

# %% tags=["hide-input", "parameters"]
seed: int = 0  # of the data and of the chains
dimensions: list[int] = [2, 4, 8]  # numbers of parameters
num_samples: int = 1000  # data points of each regression
num_draws: int = 4000  # of each of the 8 chains, after half as many steps of burn-in

# %% tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import nn

from devinterp_core import potentials
from devinterp_core.calibration import calibrate
from devinterp_core.companion import claims, criteria, figures, marks
from devinterp_core.companion.criteria import Measured
from devinterp_core.companion.glued import numbers
from devinterp_core.companion.tables import table
from devinterp_core.llc import local_learning_coefficient
from devinterp_core.sampler import sample

torch.set_num_threads(1)
figures.use_style()
sheet = claims.ClaimSheet("<stem>", paper="<source>")

# %% [markdown]
# ## Estimates against a closed form
#
# Linear regression with $d$ Gaussian inputs is regular: its learning coefficient is $d/2$. At finite $n$ the localiser
# takes a little of it, which is known in closed form.

# %%
loss = potentials.gaussian_loss(noise=1.0)
squares = lambda model, batch: loss(model, batch).sum(1)  # noqa: E731
n_beta = num_samples / math.log(num_samples)
rows = []
for d in dimensions:
    generator = torch.Generator().manual_seed(seed + d)
    x = torch.randn(num_samples, d, generator=generator, dtype=torch.float64)
    y = x.sum(1, keepdim=True) + torch.randn(num_samples, 1, generator=generator, dtype=torch.float64)
    model = nn.Linear(d, 1, bias=False, dtype=torch.float64)
    model.weight.data = torch.linalg.lstsq(x, y).solution.T
    draws = sample(
        model, (x, y), squares, step_size=calibrate(model, (x, y), squares, seed=seed).step_size, method="mala",
        num_chains=8, num_draws=num_draws, num_burnin=num_draws // 2, seed=seed, progress=False,
    )  # fmt: skip
    estimate = local_learning_coefficient(draws)
    low, high = estimate.interval()
    exact = potentials.quadratic_llc(torch.linalg.eigvalsh(x.T @ x / num_samples), n_beta, 1.0, 0.0)
    rows.append({"d": d, "value": estimate.mean, "low": low, "high": high, "exact": exact, "half": d / 2})
estimates = pd.DataFrame(rows)
deviation = (estimates.value / estimates.exact - 1).abs().max()
numbers(deviation=100 * deviation)
heads = {"d": "$d$", "value": r"$\\hat\\lambda$", "low": "from", "high": "to", "exact": "closed form", "half": "$d/2$"}
table(estimates, heads, {"value": 3, "low": 3, "high": 3, "exact": 3})

# %% tags=["hide-input", "remove-output"]
def against_d(estimates: pd.DataFrame):
    fig, ax = plt.subplots(figsize=figures.size("single", 0.7))
    marks.bars(ax, estimates["d"], estimates, color=figures.COLORS["vermillion"], label="estimate")
    ax.plot(estimates["d"], estimates["half"], color=figures.COLORS["black"], ls="-", lw=1, label="$d/2$")
    ax.set(xlabel="number of parameters $d$", ylabel=r"$\\hat\\lambda$")
    ax.legend()
    return fig


figures.show("<figure>", against_d, estimates=estimates)

# %% tags=["hide-input"]
spans = estimates[["low", "high"]].itertuples(index=False, name=None)
near = [criteria.within(0.1, of=exact, relative=True)(span) for span, exact in zip(spans, estimates.exact, strict=True)]
sheet.claim(
    "Estimates of regular models agree with the closed form",
    paper="closed form", found=Measured(deviation, "largest relative deviation over the regressions"),
    asks="each interval within 10 % of it asked", holds=criteria.all_hold(*near),
    how=f"{len(estimates)} regressions, {num_samples} samples, 8 chains", kind="check",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## What it means, and what is open
#
# What a reader takes away from the numbers, and what would decide the rest.
#
# ## Claims

# %% tags=["hide-input"]
sheet.finish()

# %% [markdown]
# ## Further
#
# ```
# python -m devinterp_core.companion run <stem> -p num_samples 10000
# python -m devinterp_core.companion run <stem> -f notebooks/params/<stem>.paper.yaml
# ```
"""
PRESETS = {
    "smoke": "# seconds: a look at every cell, not at the science\ndimensions: [2, 4]\nnum_draws: 100\n",
    "paper": "# the paper's scale\nnum_draws: 40000\n",
}


def create(stem: str, *, title: str, paper: str, question: str) -> list[Path]:
    """Write notebook and presets of a new chapter, put it into the list, and write what is written from the list.

    Args:
        stem: `NN_name`; its number says where it stands.
        title: of the page and of its card.
        paper: what it reproduces, a key of `book/references.bib`.
        question: what it asks, in one sentence.

    Returns:
        The files that are new or changed.

    Raises:
        CompanionError: for a name of another form or a number that is taken, and a paper that the bibliography does not
            have; nothing is written then.
    """
    root = project.root()
    if not NAME.fullmatch(stem):
        raise project.CompanionError(f"'{stem}' should be two digits and small letters, such as 10_influence")
    if taken := [path.stem for path in project.notebooks() if path.stem.split("_")[0] == stem.split("_")[0]]:
        raise project.CompanionError(f"the number of {stem} is that of {taken[0]}")
    source = source_of(paper)
    figure = "fig-" + "-".join(stem.split("_")[1:])
    card = f"After {{cite:t}}`{paper}`: {question}"
    words = {"stem": stem, "title": title, "paper": paper, "source": source, "question": question}
    chapter = chapters.checked(words | {"picture": figure, "card": card})
    chapters.texts()  # what stands there is in order
    text = NOTEBOOK
    for name, value in (words | {"figure": figure}).items():
        text = text.replace(f"<{name}>", value)
    new = {root / "notebooks" / f"{stem}.py": text}
    new |= {root / "notebooks" / "params" / f"{stem}.{preset}.yaml": lines for preset, lines in PRESETS.items()}
    new |= {root / chapters.LIST: _with_entry((root / chapters.LIST).read_text(encoding="utf-8"), chapter)}
    for path, content in new.items():
        write_atomically(path, lambda temporary, content=content: temporary.write_text(content, encoding="utf-8"))
    return [*new, *chapters.write()]


def source_of(paper: str) -> str:
    """A work of the bibliography in words: `Chen et al. (2023), arXiv:2310.06301`.

    Args:
        paper: its key.

    Raises:
        CompanionError: if the bibliography does not have it.
    """
    entries = parse_file(project.root() / BIBLIOGRAPHY).entries
    if paper not in entries:
        raise project.CompanionError(f"'{paper}' is not in {BIBLIOGRAPHY}, which has {', '.join(sorted(entries))}")
    entry: Entry = entries[paper]
    names = [" ".join([*each.prelast_names, *each.last_names]) for each in entry.persons["author"]]
    who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    number = ARXIV.search(" ".join(entry.fields.get(field, "") for field in ("eprint", "journal", "note")))
    return f"{who} ({entry.fields['year']})" + (f", {number[0]}" if number else "")


def _with_entry(text: str, chapter: chapters.Chapter) -> str:
    """The list with a chapter at the place of its number; comments and line breaks stay as they are."""
    given = {name: value for name, value in dataclasses.asdict(chapter).items() if value}
    entry = yaml.safe_dump([given], sort_keys=False, allow_unicode=True, width=10_000)
    for found in re.finditer(r"^- stem: (\S+)", text, re.MULTILINE):
        if found[1] > chapter.stem:
            return f"{text[: found.start()]}{entry}\n{text[found.start() :]}"
    return f"{text.rstrip()}\n\n{entry}"
