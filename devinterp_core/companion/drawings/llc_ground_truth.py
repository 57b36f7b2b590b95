"""Figures of the chapter that compares the local learning coefficient with known values."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from devinterp_core.companion import figures, intervals, marks
from devinterp_core.companion.figures import COLORS, CYCLE, MARKERS


def regular(estimates: pd.DataFrame) -> Figure:
    """Estimate against half the number of parameters, and over the closed form at the same n.

    Args:
        estimates: `dimension`, `method`, `estimate`, `low`, `high`, `truth`, `finite_n_truth`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=figures.size("double", 0.42))
    for index, (method, rows) in enumerate(estimates.groupby("method", sort=False)):
        shift, style = 1.06 ** (index - 1.5), {"color": CYCLE[index], "marker": MARKERS[index]}
        marks.bars(left, rows["truth"] * shift, rows, "estimate", label=method, **style)
        ratios = rows[["estimate", "low", "high"]].div(rows["finite_n_truth"], axis=0)
        marks.bars(right, rows["dimension"] * shift, ratios, "estimate", **style)
    marks.identity(left, estimates["truth"].min(), estimates["truth"].max())
    marks.level(right, 1, color=COLORS["black"])
    left.set(xscale="log", yscale="log", xlabel=r"true $\lambda = d/2$", ylabel=r"$\hat\lambda$")
    right.set(xscale="log", xlabel="number of parameters $d$", ylabel=r"$\hat\lambda$ / closed form at this $n$")
    left.legend()
    return figure


def approach(chains: pd.DataFrame, quadrature: pd.DataFrame) -> Figure:
    """Estimates of monomials on the exact curves of finite temperature; their limits dashed at the right.

    Args:
        chains: `powers`, `n_beta`, `estimate`, `low`, `high`, `truth`, `multiplicity`.
        quadrature: `powers`, `n_beta`, `exact`.
    """
    figure, ax = plt.subplots(figsize=figures.size("double", 0.5))
    for index, (powers, points) in enumerate(chains.groupby("powers", sort=False)):
        line, color = quadrature[quadrature["powers"] == powers], CYCLE[index]
        ax.plot(line["n_beta"], line["exact"], color=color, ls="-", lw=1.2)
        label = f"{powers}, multiplicity {points['multiplicity'].iloc[0]}"
        marks.bars(ax, points["n_beta"], points, "estimate", color=color, marker=MARKERS[index], label=label)
        ends = line["n_beta"].iloc[-4:]
        ax.plot(ends, [points["truth"].iloc[0]] * len(ends), ls="--", lw=1.2, color=color)
    ax.set(xscale="log", ylim=(0, None), xlabel=r"inverse temperature $n\beta$", ylabel=r"$n\beta\,\mathbb{E}[K]$")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def ordering(estimates: pd.DataFrame) -> Figure:
    """Estimates at two points, joined by data set, with the true coefficients and the exact posterior means.

    Args:
        estimates: `repeat`, `point` (of two, in the order of each repeat), `estimate`, `standard_error`, `truth`,
            `exact`.
    """
    figure, ax = plt.subplots(figsize=figures.size("single", 0.8))
    places = list(dict.fromkeys(estimates["point"]))
    count = estimates["repeat"].nunique()
    for order, (_, rows) in enumerate(estimates.groupby("repeat")):
        offset = 0.1 * (order / max(1, count - 1) - 0.5)
        ax.plot([place + offset for place in range(len(rows))], rows["estimate"], color="0.8", lw=0.8, ls="-", zorder=0)
        for place, row in enumerate(rows.itertuples()):
            style = {"color": CYCLE[place], "fmt": MARKERS[place]}
            ax.errorbar(place + offset, row.estimate, row.standard_error, **style)
    for place, name in enumerate(places):
        own = estimates[estimates["point"] == name].iloc[0]
        ax.hlines(own["exact"], place - 0.2, place + 0.2, color=COLORS["black"], lw=2)
        ax.axhline(own["truth"], color=CYCLE[place], ls=["--", ":"][place], lw=1)
    ax.set(xticks=range(len(places)), xticklabels=places, ylabel=r"$\hat\lambda$", xlim=(-0.4, 1.4))
    return figure


def reduced_rank(estimates: pd.DataFrame, lag: pd.DataFrame) -> Figure:
    r"""Estimate minus truth against the inverse temperature; exact draws filled, gradient chains open.

    Args:
        estimates: `case`, `sampler` (`gibbs` or another), `n_beta`, `estimate`, `low`, `high`, `truth`, `multiplicity`.
        lag: `n_beta`, `lag`: what multiplicity two takes from $\lambda$ to leading order.
    """
    figure, ax = plt.subplots(figsize=figures.size("double", 0.5))
    for index, (case, rows) in enumerate(estimates.groupby("case", sort=False)):
        shift, color = 1.05 ** (index - 2.5), CYCLE[index]
        for sampler, part in rows.groupby("sampler"):
            exact = sampler == "gibbs"
            ends = [part["estimate"] - part["low"], part["high"] - part["estimate"]]
            ax.errorbar(
                part["n_beta"] * shift, part["estimate"] - part["truth"], ends, fmt=MARKERS[index], color=color,
                ls="-" if exact else "none", mfc=color if exact else "white", ms=5, lw=1,
                label=f"{case} (m = {rows['multiplicity'].iloc[0]})" if exact else None,
            )  # fmt: skip
    ax.plot(lag["n_beta"], lag["lag"], ls="--", color=COLORS["black"], lw=1)
    marks.level(ax, 0)
    ax.set(xscale="log", xlabel=r"inverse temperature $n\beta$", ylabel=r"$\hat\lambda - \lambda$")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def relu(here: pd.DataFrame, same: pd.DataFrame, paper: pd.DataFrame, bound: pd.DataFrame) -> Figure:
    """Estimates of random ReLU networks against the number of samples, beside the values of the paper.

    Args:
        here: `num_samples`, `method` (`sgld` or `mala`), `estimate`, of each network.
        same: `num_samples`, `estimate` of SGLD by the paper's rule of recording.
        paper: `num_samples`, `sgld`, `mala`.
        bound: one row, `half_parameters`.
    """
    figure, ax = plt.subplots(figsize=figures.size("double", 0.5))
    shown = {"SGLD, paper's rule": same, "SGLD, before the update": here[here["method"] == "sgld"]}
    shown["MALA"] = here[here["method"] == "mala"]
    for index, (words, part) in enumerate(shown.items()):
        style, shift = {"marker": MARKERS[index], "color": CYCLE[index], "ls": "none"}, 1.12**index
        medians = part.groupby("num_samples")["estimate"].median()
        ax.plot(part["num_samples"] * shift, part["estimate"], ms=3, mfc="white", **style)
        ax.plot(medians.index * shift, medians, ms=7, label=f"{words}, here", **style)
    for method, place, dashes in (("sgld", 0, "-"), ("mala", 2, "--")):
        label = f"{method.upper()}, paper"
        ax.plot(paper["num_samples"], paper[method], ls=dashes, color=CYCLE[place], lw=1, label=label)
    marks.level(ax, bound["half_parameters"].item(), label="half the parameters")
    ax.set(xscale="log", xlabel="samples $n$", ylabel=r"$\hat\lambda$ without burn-in")
    ax.legend()
    return figure


def hidden_heat(estimates: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Estimates at one number of samples by the rule of recording, a grey line a network; means with intervals.

    Args:
        estimates: `model`, `rule` (`before`, `after, fresh`, `after, same`, `MALA`), `estimate`.
        paper: `num_samples`, `sgld`, `mala`; the row of the most samples is shown.
    """
    figure, ax = plt.subplots(figsize=figures.size("single", 0.75))
    words = {"before": "before\nthe update", "after, fresh": "after it, fresh\nminibatch",
             "after, same": "after it, same\nminibatch", "MALA": "MALA"}  # fmt: skip
    wide = estimates.pivot(index="model", columns="rule", values="estimate").reindex(columns=list(words))
    for _, row in wide.iterrows():
        ax.plot(range(len(words)), row, color="0.8", lw=0.8, ls="-", zorder=0)
    for place, rule in enumerate(words):
        if wide[rule].notna().all():
            found = intervals.mean(wide[rule], "networks")
            table = pd.DataFrame({"value": [found.value], "low": [found.interval[0]], "high": [found.interval[1]]})
            marks.bars(ax, [place], table, color=CYCLE[place], marker=MARKERS[place])
    last = paper.loc[paper["num_samples"].idxmax()]
    ax.plot([2, 3], [last["sgld"], last["mala"]], "x", color=COLORS["black"], ls="none", ms=7, label="paper")
    ax.set_xticks(range(len(words)), list(words.values()))
    ax.set(ylabel=r"$\hat\lambda$", xlim=(-0.5, len(words) - 0.5))
    ax.legend()
    return figure


def sensitivity(chains: pd.DataFrame, closed_form: pd.DataFrame, truth: pd.DataFrame) -> Figure:
    """Estimates on a quadratic loss against the step size, one color a localiser, on their closed form.

    Args:
        chains: `localization`, `relative_step`, `estimate`, `low`, `high`.
        closed_form: `localization`, `relative_step`, `exact`.
        truth: one row, `truth`.
    """
    figure, ax = plt.subplots(figsize=figures.size("double", 0.5))
    for index, (localization, part) in enumerate(chains.groupby("localization")):
        style, label = {"color": CYCLE[index], "marker": MARKERS[index]}, rf"$\gamma$ = {localization:g}"
        marks.bars(ax, part["relative_step"], part, "estimate", label=label, **style)
        curve = closed_form[closed_form["localization"] == localization]
        ax.plot(curve["relative_step"], curve["exact"], color=CYCLE[index], ls="-", lw=1)
    marks.level(ax, truth["truth"].item())
    top = 1.5 * chains["high"].max()
    ax.set(xscale="log", xlabel=r"$\epsilon\,(n\beta h_{\max} + \gamma)$", ylabel=r"$\hat\lambda$", ylim=(0, top))
    ax.legend()
    return figure
