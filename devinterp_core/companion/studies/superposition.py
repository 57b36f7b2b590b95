"""Tables of the chapters on the toy model of superposition: k-gons beside SGD, and their learning coefficients."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor

from devinterp_core import tms
from devinterp_core.llc import local_learning_coefficient
from devinterp_core.sampler import sample
from devinterp_core.tms.evidence import hessian_spectrum

CONVERGED = 1.05  # split R-hat below which chains count as one


def long_table(values: ArrayLike, steps: ArrayLike, name: str, runs: Sequence[int] | None = None) -> pd.DataFrame:
    """Values `[step, run]` as one row each: `step`, `run`, and the value under `name`.

    Args:
        runs: numbers of the runs, from 0 if left out.
    """
    wide = pd.DataFrame(np.asarray(values), index=pd.Index(np.asarray(steps), name="step"), columns=runs)
    return wide.melt(ignore_index=False, var_name="run", value_name=name).reset_index()


def kgons_and_sgd(
    W: Float[Tensor, "checkpoint run 2 feature"],
    b: Float[Tensor, "checkpoint run feature"],
    seen: tms.Visits,
    levels: pd.DataFrame,
    tolerance: float,
) -> pd.DataFrame:
    """Each k-gon as theory gives it, and the checkpoint of SGD whose loss is nearest to its level, in canonical form.

    Args:
        W, b: checkpoints of all runs.
        seen: what `tms.visits` says of them; only checkpoints whose geometry agrees count.
        levels: rows of `tms.critical_levels`.
        tolerance: a level to which no checkpoint is closer than this has no row of SGD.

    Returns:
        One row a feature: `level`, `loss` (of the level), `source` (`theory` or `SGD`), `feature`, `x`, `y`, `bias`.
    """
    panels = []
    for level in levels.itertuples():
        points = {"theory": tms.kgon(level.k, b.shape[-1], level.num_positive, level.num_negative)}
        miss = np.where(seen.agrees, np.abs(seen.loss - level.loss), np.inf)
        if miss.min() < tolerance:
            when, run = np.unravel_index(miss.argmin(), miss.shape)
            points["SGD"] = W[when, run].double(), b[when, run].double()
        for source, point in points.items():
            (x, y), bias = tms.canonical(*point)
            panel = pd.DataFrame({"feature": range(len(bias)), "x": x, "y": y, "bias": bias})
            panels.append(panel.assign(level=level.label, loss=level.loss, source=source))
    return pd.concat(panels, ignore_index=True)


def rests_with_coefficients(
    rests: pd.DataFrame, estimates: pd.DataFrame, levels: pd.DataFrame, steps: np.ndarray
) -> pd.DataFrame:
    """Mean learning coefficient over each rest of SGD.

    Args:
        rests: of `tms.find_rests`.
        estimates: `run`, `step`, `on_level`, `llc`.
        levels: of `tms.critical_levels`.
        steps: of the checkpoints that the rests count.

    Returns:
        One row a rest, from high to low loss in each run: `run`, `level` (its label), `level_loss`, and of the
        estimates on the level during the rest `start` and `end` (steps) and the mean `llc`, NaN where there is none.
    """
    rows = []
    for rest in rests.sort_values(["run", "level"]).itertuples():
        inside = estimates[(estimates["run"] == rest.run) & estimates["on_level"]]
        inside = inside[inside["step"].between(steps[rest.first], steps[rest.last])]
        level = levels.iloc[rest.level]
        rows.append((rest.run, level["label"], level["loss"], inside["step"].min(), inside["step"].max(),
                     inside["llc"].mean()))  # fmt: skip
    return pd.DataFrame(rows, columns=["run", "level", "level_loss", "start", "end", "llc"])


def time_on_levels(
    seen: Mapping[tuple[int, float], tms.Visits], levels: Mapping[int, pd.DataFrame], tolerance: float, *, seed: int = 0
) -> pd.DataFrame:
    """Share of checkpoints on a level, of each kind of run, beside what chance would give.

    Args:
        seen: visits of the runs of each kind, which is a number of features and a scale of the initial biases.
        levels: of `tms.critical_levels`, by number of features.
        tolerance: as of `tms.visits`.
        seed: of the bootstrap over runs.

    Returns:
        By kind: `share on a level` with `low` and `high`, its 95 % interval by a bootstrap over runs; `by chance`, as
        of `tms.share_by_chance`; `geometry agrees`, the share of checkpoints on a level that have its geometry, too.
    """
    generator, rows = np.random.default_rng(seed), {}
    for kind, visits in seen.items():
        per_run = visits.on_level.mean(0)
        ends = np.quantile(generator.choice(per_run, (2000, per_run.size)).mean(1), [0.025, 0.975])
        chance = tms.share_by_chance(levels[kind[0]], tolerance)
        agrees = visits.agrees[visits.on_level]
        rows[kind] = (per_run.mean(), *ends, chance, agrees.mean() if agrees.size else np.nan)
    heads = ["share on a level", "low", "high", "by chance", "geometry agrees"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=heads).set_axis(pd.MultiIndex.from_tuples(rows))


def with_most_rests(rests: pd.DataFrame, last_loss: np.ndarray, kinds: np.ndarray, count: int) -> list[int]:
    """`count` runs of each kind, those with the most rests, of equals those that end lowest.

    Args:
        rests: of `tms.find_rests`.
        last_loss, kinds: of every run, its loss at the end and its kind.
    """
    numbers = rests.groupby("run").size().reindex(range(len(kinds)), fill_value=0)
    ranking = pd.DataFrame({"rests": -numbers, "loss": last_loss, "kind": kinds}).sort_values(["rests", "loss"])
    return ranking.groupby("kind").head(count).sort_values("kind").index.tolist()


def jumps_with_coefficients(jumps: pd.DataFrame, estimates: pd.DataFrame, ladder: np.ndarray) -> pd.DataFrame:
    """Loss and learning coefficient in the middle of the rests before and after each jump.

    Args:
        jumps: of `tms.find_jumps`.
        estimates: `run`, `checkpoint`, `llc`, `standard_error`; missing where all chains diverged.
        ladder: loss of each level.

    Returns:
        `jumps` with `loss`, `llc`, `error` before and `next_loss`, `next_llc`, `next_error` after, and the `change` of
        the coefficient in standard errors of the difference; NaN where an estimate is missing.
    """
    jumps, found = jumps.copy(), estimates.set_index(["run", "checkpoint"])
    for prefix in ("", "next_"):
        own = found.reindex(pd.MultiIndex.from_frame(jumps[["run", f"{prefix}middle"]]))
        jumps[f"{prefix}loss"] = ladder[jumps[f"{prefix}level"]]
        jumps[f"{prefix}llc"], jumps[f"{prefix}error"] = own["llc"].to_numpy(), own["standard_error"].to_numpy()
    return jumps.assign(change=(jumps["next_llc"] - jumps["llc"]) / np.hypot(jumps["error"], jumps["next_error"]))


def limit_coefficients(
    points: Sequence[tuple[int, int]], num_features: int, n_betas: Sequence[float], num_chains: int, num_steps: int,
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    r"""Learning coefficients of k-gons by MALA on the population loss, at each inverse temperature.

    Args:
        points: $(k, \sigma)$ of each k-gon.
        num_features: $c$.
        n_betas: $n\beta$; the step size is $1.5 / (n\beta)$, of which about every other proposal is accepted.
        num_chains, num_steps: of each estimate; the first half of the steps is discarded.
        seed: of the chains.

    Returns:
        One row an estimate: `k`, `sigma`, `n_beta`, `llc`, `low`, `high`, `acceptance`, `r_hat`, `converged`.
    """
    rows, nothing = [], torch.zeros(2, 1, dtype=torch.float64)  # the population loss reads no data
    for k, sigma in points:
        for n_beta in n_betas:
            draws = sample(
                tms.ToyModel(*tms.kgon(k, num_features, sigma)), nothing, tms.population_objective, method="mala",
                step_size=1.5 / n_beta, n_beta=n_beta, num_chains=num_chains, num_burnin=num_steps // 2,
                num_draws=max(4, num_steps // 8), num_steps_between_draws=4, seed=seed, progress=False,
            )  # fmt: skip
            found = local_learning_coefficient(draws)
            acceptance, converged = float(draws.acceptance.mean()), found.r_hat < CONVERGED
            rows.append((k, sigma, n_beta, found.mean, *found.interval(), acceptance, found.r_hat, converged))
    return pd.DataFrame(
        rows, columns=["k", "sigma", "n_beta", "llc", "low", "high", "acceptance", "r_hat", "converged"]
    )


def finite_coefficients(
    points: Sequence[tuple[int, int]], data: Float[Tensor, "sample feature"], num_chains: int, num_steps: int,
    batch_size: int, seed: int,
) -> pd.DataFrame:  # fmt: skip
    r"""Learning coefficients of k-gons by SGLD on samples at $n\beta = n / \log n$, as the paper's table has them.

    Chains of which more than one draw in twenty lies below the centre are discarded, if not all are.

    Args:
        points: $(k, \sigma)$ of each k-gon.
        data: one-hot inputs.
        num_chains, num_steps: of each estimate; the first tenth of the steps is discarded.
        batch_size: of the chains.
        seed: of the chains.

    Returns:
        One row a k-gon: `k`, `sigma`, `n_beta`, `llc`, `low`, `high`, `escaped` (chains discarded).
    """
    rows = []
    for k, sigma in points:
        draws = sample(
            tms.ToyModel(*tms.kgon(k, data.shape[-1], sigma, dtype=data.dtype)), data, tms.sample_loss,
            step_size=5e-5, localization=0.1, num_chains=num_chains, num_burnin=num_steps // 10,
            num_draws=max(4, (num_steps - num_steps // 10) // 4), num_steps_between_draws=4, batch_size=batch_size,
            seed=seed, progress=False,
        )  # fmt: skip
        escaped = (draws.loss_difference < 0).mean("draw") > 0.05
        found = local_learning_coefficient(draws.isel(chain=~escaped.values) if not escaped.all() else draws)
        rows.append((k, sigma, draws.attrs["n_beta"], found.mean, *found.interval(), int(escaped.sum())))
    return pd.DataFrame(rows, columns=["k", "sigma", "n_beta", "llc", "low", "high", "escaped"])


def hull_shares(k: np.ndarray, steps: np.ndarray, counts: Sequence[int]) -> pd.DataFrame:
    """Share of runs whose columns have a hull of so many vertices, with Clopper-Pearson's 95 % interval.

    Args:
        k: vertices, `[checkpoint, run]`.
        steps: of the checkpoints.
        counts: of vertices, a curve each.

    Returns:
        One row for each count and step: `step`, `k`, `share`, `low`, `high`.
    """
    curves, total = [], k.shape[1]
    for vertices in counts:
        here = (k == vertices).sum(1)
        low, high = stats.beta.ppf([[0.025], [0.975]], [here, here + 1], [total - here + 1, total - here])
        low, high = np.where(here == 0, 0, low), np.where(here == total, 1, high)
        curve = {"step": steps, "k": vertices, "share": here / total, "low": low, "high": high}
        curves.append(pd.DataFrame(curve))
    return pd.concat(curves, ignore_index=True)


SPARES = {  # the sixth feature of runs that start at a 5-gon, in words, and the arguments of `tms.disturbed_kgons`
    "bias 0": {},
    "bias of $5^+$": {"spare_bias": 1 / 12},
    "normal biases": {"spare_bias_scale": 1.0},
    "a longer column": {"spare_length": 0.3},
}


def starts_at_kgons(
    num_from_fours: int, num_from_fives: int, *, seed: int
) -> tuple[Float[Tensor, "run 2 6"], Float[Tensor, "run 6"], list[str]]:
    """Starts of SGD with six features: at noisy 4-gons, then at noisy 5-gons.

    Of the 4-gons half have biases near zero, half normal ones; of the 5-gons a quarter each one of `SPARES`.

    Args:
        num_from_fours: how many at 4-gons.
        num_from_fives: how many at 5-gons, a multiple of four.
        seed: of all of them.

    Returns:
        Weights, biases, and for each run from a 5-gon the words for its sixth feature.

    Raises:
        ValueError: another number of 5-gons.
    """
    quarter, rest = divmod(num_from_fives, len(SPARES))
    if rest:
        raise ValueError(f"runs from 5-gons come in {len(SPARES)} kinds, equally many of each; got {num_from_fives}")
    half = num_from_fours // 2
    pairs = [
        tms.noisy_kgons(count, 6, length=0.9, bias_scale=scale, seed=1000 * seed + index)
        for index, (count, scale) in enumerate([(num_from_fours - half, 0.01), (half, 1.0)])
    ]
    for index, kind in enumerate(SPARES.values()):
        pairs.append(tms.disturbed_kgons(quarter, 6, **kind, seed=1000 * seed + 10 + index))
    W, b = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return W, b, [name for name in SPARES for _ in range(quarter)]


def force_on_the_shortest(
    W: Float[Tensor, "run 2 feature"], b: Float[Tensor, "run feature"], data: Float[Tensor, "run sample feature"]
) -> Float[Tensor, " run"]:
    """Length of the gradient, on a run's own data, in the column and the bias of the feature of the shortest column."""
    gradient_W, gradient_b = tms.loss_gradient(W, b, data)
    runs, shortest = torch.arange(len(W)), W.norm(dim=1).argmin(1)
    return (gradient_W[runs, :, shortest].square().sum(1) + gradient_b[runs, shortest].square()).sqrt()


def flat_directions(k: int, num_features: int, num_positive: int) -> tuple[int, float]:
    """Number of directions in which the population loss is flat at a critical k-gon (eigenvalues of the Hessian below
    1e-8 in absolute value), and the least of the other eigenvalues."""
    spectrum = hessian_spectrum(k, num_features, num_positive)
    flat = spectrum.abs() < 1e-8
    return int(flat.sum()), float(spectrum[~flat].min())


def jump_counts(names: np.ndarray, between: str = "between levels") -> pd.DataFrame:
    """How often runs go from one level to another: from a checkpoint on a level to the next one on another.

    Args:
        names: level of each checkpoint and run, `between` where there is none.
        between: left out.

    Returns:
        Counts, a row for each level `from` which and a column for each level `to` which.
    """
    paths = [pd.Series(path)[path != between] for path in names.T]
    jumps = [path[path != path.shift()].to_frame("to").assign(start=lambda t: t["to"].shift()) for path in paths]
    table = pd.concat(jumps)
    return pd.crosstab(table.start.rename("from"), table["to"])
