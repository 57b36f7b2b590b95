"""What the chapter on k-gons asks of its SGD runs and of the coefficients of single k-gons."""

import pandas as pd
from scipy import stats

from devinterp_core import tms
from devinterp_core.companion import criteria, intervals
from devinterp_core.companion.claims import ClaimSheet
from devinterp_core.companion.criteria import Measured
from devinterp_core.tms.evidence import critical_learning_coefficient

MADE = "95 %: draws, chains and drift"


def of_time_on_levels(
    sheet: ClaimSheet, summary: pd.Series, shares: pd.DataFrame, lowest: tuple[int, int], labels: tuple[str, str],
    about: str,
) -> None:  # fmt: skip
    """Add the claims on where SGD spends its time.

    Args:
        sheet: to add to.
        summary: of the runs from normal biases, a row of `superposition.time_on_levels`.
        shares: `tms.shares_of_levels` of the same runs.
        lowest: how many runs reached the lowest level, of how many at risk.
        labels: names of the lowest level, and of the polygons from which it would be reached.
        about: runs and checkpoints.

    Raises:
        ValueError: a statement that the sheet has already.
    """
    share, low, high, chance, geometry = summary
    found = Measured(share, (low, high), "95 %, bootstrap over the runs from normal biases")
    sheet.claim(
        "SGD spends nearly all of its time at k-gons",
        paper="at least 0.9 (plateaus in the figures; 0.95 in a later replication)", found=found,
        asks="at least 0.9, and more than by chance",
        holds=criteria.all_hold(criteria.at_least(0.9)(found), low > chance), how=f"{about}; by chance {chance:.3f}",
    )  # fmt: skip
    sheet.claim(
        "The level found from the loss is the k-gon that the geometry shows", paper="the same k-gon",
        found=Measured(geometry, "share of all checkpoints on a level"), asks=criteria.at_least(0.95), kind="check",
        how="convex hull, positive biases of interior columns and dead outputs all three as named",
    )  # fmt: skip
    sheet.claim(
        f"No SGD run reaches the lowest level {labels[0]}", paper="0 runs", found=share_reaching(*lowest),
        asks="no run may reach it", holds=lowest[0] == 0 if lowest[1] else None,
        how=f"of the runs from both kinds of start those count that were ever on a {labels[1]}",
    )  # fmt: skip
    dead = shares[shares.level.str.contains("-")]
    sheet.claim(
        "From normal biases SGD also rests at 4-gons with dead outputs",
        paper="4 with one to three dead outputs appear",
        found=Measured(f"{int((dead.runs_seen > 0).sum())} of {len(dead)} such levels", "exact count"),
        asks="one such level asked, with one checkpoint or more", holds=bool((dead.runs_seen > 0).any()), how=about,
    )  # fmt: skip


def share_reaching(count: int, at_risk: int) -> Measured:
    """How many of the runs at risk went on, with Clopper and Pearson's 95 % interval of their share.

    Raises:
        ValueError: more runs went on than were at risk.
    """
    if not 0 <= count <= at_risk:
        raise ValueError(f"{count} of {at_risk} runs cannot have gone on")
    ends = stats.binomtest(count, at_risk).proportion_ci(0.95) if at_risk else (0.0, 1.0)
    made = "95 %, Clopper-Pearson, share that goes on"
    return Measured(f"{count} of {at_risk} runs at risk", (float(ends[0]), float(ends[1])), made)


def of_jumps(sheet: ClaimSheet, jumps: pd.DataFrame, num_all: int) -> None:
    """Add the claim on the LLC before and after the jumps of SGD to lower levels.

    Args:
        sheet: to add to.
        jumps: those judged, `change` in standard errors of the difference.
        num_all: jumps of all runs.
    """
    count, rise, fall = len(jumps), int((jumps.change > 2).sum()), int((jumps.change < -2).sum())
    rising = intervals.share(rise, count, "jumps").interval if count else (0.0, 1.0)
    bound = stats.norm.ppf(1 - 0.025 / max(1, count))
    sheet.claim(
        "When SGD jumps to a lower level the LLC estimate does not fall", paper="opposing staircases: every jump rises",
        found=Measured(f"{rise} of {count} jumps rise, {fall} fall", rising, "95 %, Wilson, of rises"),
        asks=f"no significant fall, of more than {bound:.1f} standard errors (5 % for all jumps together)",
        holds=count > 0 and not (jumps.change < -bound).any(),
        how=f"only a significant fall could refute it; {count} of {num_all} jumps judged, largest fall "
        f"{max(0, -jumps.change.min()):.1f} standard errors; rise or fall: more than two (until a referee asked, any)",
    )  # fmt: skip


def of_coefficients(
    sheet: ClaimSheet, limit: pd.DataFrame, finite: pd.DataFrame, num_features: int, about: tuple[str, str]
) -> None:
    """Add the claims on the learning coefficients of k-gons with k > 4, in the limit and at finite n.

    Args:
        sheet: to add to.
        limit: a row a k-gon at the largest n-beta: `k`, `sigma`, `llc`, `low`, `high`, `truth`, `r_hat`, `n_beta`.
        finite: the same at the paper's n, with `published` (NaN where there is none) and `escaped` chains.
        num_features: c.
        about: settings of the one and of the other.
    """
    for row in limit[limit.k > 4].itertuples():
        rank = int(2 * critical_learning_coefficient(row.k, num_features, row.sigma))
        near = criteria.within(0.2, of=row.truth)((row.low, row.high))
        sheet.claim(
            f"The learning coefficient of {tms.level_label(row.k, row.sigma)} is {row.truth:g}", paper=row.truth,
            found=Measured(row.llc, (row.low, row.high), MADE), kind="check",
            asks="within 0.2, and the rank of the Hessian twice the exponent",
            holds=criteria.all_hold(near, rank == 2 * row.truth),
            how=f"{about[0]}, n-beta {row.n_beta:g}; R-hat {row.r_hat:.2f}; rank {rank}",
        )  # fmt: skip
    for row in finite.dropna(subset="published").itertuples():
        ends = row.low, row.high
        over, meets = criteria.at_least(row.truth)(ends), criteria.covering(row.published)(ends)
        sheet.claim(
            f"At finite n the estimate at {tms.level_label(row.k, row.sigma)} overshoots to {row.published}",
            paper=row.published, found=Measured(row.llc, ends, MADE),
            asks=f"an interval above the exponent {row.truth:g} that covers the paper's value",
            holds=criteria.all_hold(over, meets),
            how=f"{about[1]}, {row.escaped} discarded; the paper's step size is not confirmed",
        )  # fmt: skip
