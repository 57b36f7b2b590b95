# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Estimating the learning coefficient of deep linear networks
#
# A deep linear network $x \mapsto W_L \cdots W_1 x$ is the one deep model whose learning coefficient $\lambda$ is known
# in closed form {cite:p}`aoyagi2024dln`. {cite:t}`furman2024dln` use it as a ruler for the estimator of
# {cite:t}`lau2025llc` on networks of up to $10^8$ parameters; this page stops at class `100K`. The preprint has been
# withdrawn: it was merged into the second version of {cite:t}`lau2025llc`; what is quoted here comes from the authors'
# published code and its result files. Two questions:
#
# 1. How close does the estimate come to the truth, by size class?
# 2. Where does the rest come from: from the *posterior*, which is local and at a finite $n\beta$, or from the
#    *chain*, which should sample that posterior and may not get there?
#
# ```{glue:figure} fig-dln-estimated-true
# :name: fig-dln-estimated-true
# :alt: Two log-log scatter plots of estimated against true learning coefficient. The points of class 1K lie along the
# :  identity line, but for one of the exact draws, which lies above it with a bar that leaves the frame. Some of
# :  the gradient chains in classes 10K and 100K lie well off it; the right plot, of exact draws, has no points of
# :  class 100K. Grey crosses at half the number of parameters lie far above.
#
# **In class 1K gradient chains are mostly near the truth.** Estimated against true learning coefficient of random deep
# linear networks, one point a network; the line is the identity. Left: gradient chains from the true parameter at the
# paper's temperature and localiser ({glue:text}`num_chains` chains of up to {glue:text}`longest` steps, the first half
# discarded). Right: exact draws at the larger $n\beta$, without class
# `100K`. Bars are nominal 95 % intervals. Crosses mark half the number of parameters of each network, what
# a regular model would have.
# ```
# % rests on: Median absolute relative error of gradient chains in class 1K at most
# % rests on: Gradient chains with a step size by curvature are closer to the truth
# % rests on: Level of the estimate for 10-20-10 units
# % rests on: Level of the estimate for 20-30-20 units
# % rests on: Level of the estimate for 30-40-30 units
# % rests on: Median absolute relative error of exact draws, large $n\beta$ in class 1K
# % rests on: Median absolute relative error of exact draws, large $n\beta$ in class 10K
#
# **What was found.** In class 1K gradient chains with a step size by curvature err by
# {glue:text}`error_gradient_1K:.1f` % (median), and are closer to the truth than the published protocol on
# {glue:text}`closer` networks. Exact draws at a larger $n\beta$ err by {glue:text}`error_limit_1K:.1f` % there and by
# {glue:text}`error_limit_10K:.1f` % in class 10K: most of what is missing is the chain's (at the paper's $n\beta$
# exact draws err by {glue:text}`error_exact_1K:.1f` and {glue:text}`error_exact_10K:.1f` %, in the median as all of
# these). The paper reports no single number to stand beside these; the three levels published with the rescaling
# figure are met here by the published protocol.
#
# That the two can be told apart is owed to what a deep linear network has and no other network: the conditional
# posterior of each layer is Gaussian, so exact draws are possible. Further figures show relative errors by class,
# what the localiser $\gamma$ does, the rescaling symmetry with its trap, and the multiplicities.

# %% tags=["hide-input", "parameters"]
seed: int = 0  # random seed of networks, data and chains
classes: list[str] = ["1K", "10K", "100K"]  # size classes, named by their number of parameters
num_networks: list[int] = [24, 10, 2]  # random networks of each class
num_steps: list[int] = [3000, 3000, 400]  # steps of a gradient chain in each class, the first half burn-in
batch_sizes: list[int] = [0, 0, 0]  # minibatch of the gradient chain in each class, 0 for the exact population loss
methods: list[str] = ["sgnht", "sgnht", "sgnht"]  # gradient chain of each class: sgnht, or sgld where memory is short
num_steps_between_draws: int = 10  # steps of a gradient chain from one draw to the next
num_chains: int = 4  # chains of each network; fewer than four leave their spread unknown
localization: float = 1.0  # gamma, the paper's value
step_fraction: float = 0.3  # square root of step size times largest curvature at the true parameter
num_pilots: int = 3  # attempts at a short chain from which the step size is corrected
reached_fraction: float = 0.6  # the same where a short chain ends: room for the growth of the curvature, limit 2
num_protocol: list[int] = [1, 0, 0]  # networks of each class on which the published protocol is repeated
protocol_batch_size: int = 500  # minibatch of the published protocol
exact_draws: list[int] = [150, 50, 0]  # exact (Gibbs) draws of a chain in each class after as many for burn-in, or 0
exact_n_beta_factor: float = 1e4  # the second temperature of the exact draws, over that of the paper
local_localizations: list[float] = [0.1, 1.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4, 1e5, 1e6]  # gammas of the localiser
local_n_betas: list[float] = [1e4, 1e6, 1e8, 1e10]  # temperatures of the localiser study; the largest is judged
num_calibration: int = 6  # random networks on which the localisers are chosen
num_judged: int = 12  # other random networks, of other seeds, on which they are judged
local_draws: int = 120  # exact draws of each chain of the localiser study
rescale_factors: list[float] = [1e-4, 1e-2, 0.5, 1.0, 2.0, 1e2, 1e4]  # scales s of the hidden layer
rescale_steps: int = 600  # SGLD steps at each scale, the first half burn-in
level_networks: int = 5  # random networks of each of the three published sizes whose level is estimated
level_steps: int = 10_000  # SGLD steps for it, as published
saddle_steps: int = 20_000  # SGD steps of the fall from saddle to saddle, as published
saddle_chains: list[int] = [100, 2000]  # steps of the SGLD chains on the way; 100 is the published number
saddle_draws: int = 100  # exact draws of each chain on the way
num_architectures: int = 200  # random architectures of each class for the chart of multiplicities

# %% tags=["hide-input"]
import pandas as pd
from scipy import stats
from tqdm import tqdm

from devinterp_core import dln
from devinterp_core.companion import claims, criteria, figures, intervals
from devinterp_core.companion.studies import deep_linear, dln_samplers, localiser, saddles
from devinterp_core.companion.criteria import Measured
from devinterp_core.companion.drawings import dln_scaling as drawings
from devinterp_core.companion.glued import numbers
from devinterp_core.companion.output import keep
from devinterp_core.companion.project import root
from devinterp_core.companion.recorded_tables import recorded_tables
from devinterp_core.companion.tables import table

figures.use_style()
sheet = claims.ClaimSheet("02_dln_scaling", paper="Furman and Lau (2024), arXiv:2402.03698")
agreement = 1.05  # R-hat below which chains are said to agree
numbers(
    num_chains=num_chains, longest=max(num_steps), agreement=agreement, rescale_steps=rescale_steps,
    num_architectures=num_architectures, factor=exact_n_beta_factor,
)  # fmt: skip

# %% [markdown]
# ## Random networks and their exact answer
#
# The classes are those of the paper: widths and depth uniform within bounds, truncated normal weights, and each layer
# with probability one half reduced to a random lower rank. The rank $r$ of the true map is then the smallest layer
# rank, and $\lambda$ and its multiplicity $m$ follow from the widths and $r$ alone (`dln.learning_coefficient`; equal
# to {cite:t}`aoyagi2005rrr` in every two-layer case, see the tests).

# %%
networks = dln.network_table(classes, num_networks, seed=seed)
known = {"parameters": "parameters", "truth": "$\\lambda$", "multiplicity": "$m$"}
sizes = networks.rename(columns=known).groupby("class", sort=False)[[*known.values()]]
sizes.agg(["min", "median", "max"])

# %% [markdown]
# ## Three ways to the same posterior
#
# All sample $p(w) \propto \exp\{-n\beta\, K(w) - \tfrac{\gamma}{2} \lVert w - w^*\rVert^2\}$ with the paper's
# $n\beta = n / \log n$ and $\gamma$, from the true parameter $w^*$:
#
# - **the published protocol**: one SGLD chain on minibatches with a fixed small step size, the last tenth of its loss
#   trace averaged;
# - **gradient chains**: `sgnht`, the thermostat of this library, with a step size from the curvature measured at $w^*$
#   and where a short chain ends. The loss sees its inputs through their second moment alone, so a data set of as many
#   samples as there are inputs reproduces the population loss exactly (`dln.population_data`), and the chain has no
#   minibatch noise;
# - **exact draws**: `dln.gibbs_sample` draws each layer from its Gaussian conditional in turn. No step size, no
#   discretisation, and the layers' stiff directions do not slow it down.
#
# The exact draws are repeated at an $n\beta$ that is {glue:text}`factor:.0f` times larger, because $\lambda$ is a
# limit: $\mathbb{E}[n\beta K] = \lambda - (m - 1) / \log n\beta + \dots$

# %%
pilots = {"fraction": step_fraction, "reached_fraction": reached_fraction, "num_pilots": num_pilots}
common = {"num_chains": num_chains, "localization": localization, "pilots": pilots, "seed": seed,
          "num_steps_between_draws": num_steps_between_draws, "exact_n_beta_factor": exact_n_beta_factor}  # fmt: skip
rows = []
for network in tqdm(networks.to_dict("records"), desc="networks"):
    place = classes.index(network["class"])
    rows += dln_samplers.estimates(
        network, num_steps=num_steps[place], batch_size=batch_sizes[place] or None, method=methods[place],
        exact_draws=exact_draws[place], **common,
        protocol_batch_size=protocol_batch_size if network["network"] < num_protocol[place] else None,
    )  # fmt: skip
recorded = recorded_tables("dln_protocol", required=False).get("results", pd.DataFrame({"class": []}))
recorded = recorded[recorded["class"].isin(classes)].assign(sampler="recorded")
results = pd.concat([pd.DataFrame(rows), recorded], ignore_index=True)
results = dln.compare_with_truth(results)
lost = len(networks) - int((results["sampler"] == "gradient").sum())
if any(num_protocol):
    protocol = results[results["sampler"] == "protocol"]
    keep(protocol=protocol.drop(columns=[name for name in protocol if "posterior" in name or "absolute" in name]))

# %% tags=["hide-input", "remove-output"]
chains = results[results["sampler"].isin(["gradient", "limit"])]
known = networks[["class", "network", "truth", "parameters"]]
figures.show("fig-dln-estimated-true", drawings.estimated_true, estimates=chains, networks=known)

# %% [markdown]
# ## Relative errors by class
#
# The paper reports no single number. Its protocol, recorded from one run on the networks of class 1K, is the
# comparison: the gradient chains are closer to the truth on {glue:text}`closer` of these networks. By class, with
# medians over networks, errors and shares in percent:

# %% tags=["hide-input"]
by_class = dln.summarise_by_class(results, agreement)
for (name, sampler), row in by_class.iterrows():
    numbers(**{f"{quantity}_{sampler}_{name}": value for quantity, value in row.items()})
pairs = results[results["class"] == "1K"].pivot_table(index="network", columns="sampler", values="absolute_error")
pairs = pairs[["gradient", "recorded"]].dropna()
closer = int((pairs["gradient"] < pairs["recorded"]).sum())
exact_virial = results.loc[results["sampler"] == "exact", "virial"]
numbers(closer=f"{closer} of {len(pairs)}", virial_low=exact_virial.min(), virial_high=exact_virial.max())
heads = {"networks": "networks", "error": "median error", "worst": "worst error", "covered": "covers $\\lambda$",
         "covered_posterior": "covers posterior mean", "r_hat": "R-hat", "virial": "virial"}  # fmt: skip
shown = by_class.reset_index().assign(sampler=lambda rows: rows["sampler"].map(drawings.CHAINS))
table(shown, {"class": "class", "sampler": "sampler"} | heads)

# %% tags=["hide-input", "remove-output"]
errors = results[["sampler", "class", "network", "truth", "estimate", "error"]]
figures.show("fig-dln-relative-error", drawings.relative_error, estimates=errors)

# %% [markdown]
# ```{glue:figure} fig-dln-relative-error
# :name: fig-dln-relative-error
# :alt: Strip chart of relative errors in three panels, one a size class. Errors of the published protocol scatter,
# :  those of gradient chains vary with the network, those of exact draws at large temperature parameter lie close
# :  to zero, but for one triangle on the edge in the smallest class.
#
# Relative error of the estimate, one point a network, by class and sampler; the short bar is the median. The published
# protocol is shown as recorded from one long run on the same networks, and as run here on a single one. Points outside
# the axis are drawn as triangles on its edge.
# ```

# %% tags=["hide-input"]
if len(pairs):
    share = stats.binomtest(closer, len(pairs)).proportion_ci(method="exact")
    sheet.claim(
        "Gradient chains with a step size by curvature are closer to the truth than the published protocol on more "
        "than half of the networks", paper="the published protocol", kind="own",
        found=Measured(f"{closer} of {len(pairs)} networks of class 1K", tuple(share), "95 %, Clopper-Pearson"),
        asks=criteria.above(0.5), how="the same networks, protocol as recorded; the interval of the share, as in a "
        "sign test; put in place of thresholds at a referee's demand",
    )  # fmt: skip
for name, bound in (("1K", 4), ("10K", 6)):
    kinds = {"gradient": (bound, "no single number reported", "own"), "limit": (1, "exact: Aoyagi (2024)", "check")}
    for sampler, (most, paper, kind) in kinds.items() if name in classes else ():
        part = results[(results["sampler"] == sampler) & (results["class"] == name)]["absolute_error"]
        found = intervals.median(100 * part, "random networks")
        sheet.claim(
            f"Median absolute relative error of {drawings.CHAINS[sampler]} in class {name} at most {most} %",
            paper=paper, found=Measured(f"{found.value:.2f} %", found.interval, found.over),
            asks=criteria.at_most(most), kind=kind, how="interval in percent",
        )  # fmt: skip
sheet.claim(
    "Gradient chains stay finite", paper="step size from the curvature met", kind="own",
    found=Measured(f"{lost} of {len(networks)} lost", "none"), asks="no network lost", holds=lost == 0,
    how="a network is lost if every chain diverges",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## Do the intervals tell the truth?
#
# A nominal 95 % interval is for the mean of the posterior at the $n\beta$ that was sampled: it takes the wider of what
# the effective draws and what the spread of the chains say, and adds the drift along the chains. Of the gradient chains
# in class 1K, {glue:text}`covered_posterior_gradient_1K:.0f` % of the intervals cover the posterior's mean as the exact
# draws find it (their own interval counted in), in class 10K {glue:text}`covered_posterior_gradient_10K:.0f` %. Whether
# an interval covers $\lambda$ itself is another question, since the posterior's mean is not $\lambda$. In class 1K the
# exact draws at large $n\beta$ cover it for {glue:text}`covered_limit_1K:.0f` % of the networks, those at the paper's
# $n\beta$ for {glue:text}`covered_exact_1K:.0f` %, the gradient chains for {glue:text}`covered_gradient_1K:.0f` %.
#
# Half of the exact chains start at $w^*$, half over-dispersed at the localiser. Networks whose two halves have not met
# at the larger $n\beta$ (R-hat above {glue:text}`agreement`): {glue:text}`split_limit_1K:.0f` in class 1K,
# {glue:text}`split_limit_10K:.0f` in class 10K; their intervals are wide for that reason. The R-hat of the gradient
# chains is {glue:text}`r_hat_gradient_1K:.2f` in class 1K and {glue:text}`r_hat_gradient_10K:.2f` in class 10K
# (medians). Where it is below {glue:text}`agreement`, the median error is {glue:text}`error_agreed_gradient_1K:.1f` %
# in class 1K ({glue:text}`agreed_gradient_1K:.0f` networks) and {glue:text}`error_agreed_gradient_10K:.1f` % in class
# 10K ({glue:text}`agreed_gradient_10K:.0f` networks). R-hat alone is not enough: chains can agree with each other and
# still not have left $w^*$.
#
# For any exact posterior on $d$ parameters the virial $\mathbb{E}[(w - w^*) \cdot \nabla U(w)]$ equals $d$; its ratio
# to $d$ is {glue:text}`virial_gradient_1K:.2f` (median, class 1K) for the gradient chains. That tests how far chains
# have explored, not $\hat\lambda$: it hangs on flat directions, which hardly enter the loss, and its estimate is
# noisy where the posterior is stiff: from exact draws at the paper's $n\beta$, whose expectation is one, single
# networks give {glue:text}`virial_low:.1f` to {glue:text}`virial_high:.1f`.

# %% tags=["hide-input", "remove-output"]
first = results[(results["class"] == classes[0]) & results["sampler"].isin(["gradient", "exact", "limit"])]
figures.show("fig-dln-intervals", drawings.intervals, estimates=first)

# %% [markdown]
# ```{glue:figure} fig-dln-intervals
# :name: fig-dln-intervals
# :alt: Three interval charts. Intervals of gradient chains are two to three times as wide as those of exact draws at
# :  the same temperature. Nearly all contain zero on the left, all on the right, somewhat fewer in the middle; one on
# :  the right leaves the frame.
#
# Nominal 95 % intervals around the relative error in the first class, one bar a network in the order of its true
# coefficient; filled markers cover the truth, open ones miss it. From left to right: gradient chains, exact draws at
# the paper's temperature, exact draws at the larger $n\beta$. One scale for all panels; intervals that leave the frame
# are cut, triangles stand for estimates beyond it.
# ```

# %% tags=["hide-input"]
asked = [
    ("gradient chains cover the truth", "gradient", "covers", 85),
    ("exact draws at large $n\\beta$ cover the truth", "limit", "covers", 85),
    ("gradient chains cover the posterior mean at the paper's $n\\beta$", "gradient", "covers_posterior", 90),
]
for words, sampler, quantity, least in asked:
    part = first.loc[first["sampler"] == sampler, quantity].dropna()
    share = intervals.share(int(part.sum()), len(part), "random networks")
    low, high = share.interval
    sheet.claim(
        f"Nominal 95 % intervals of {words} in at least {least} % of class {classes[0]} networks", kind="check",
        paper="Aoyagi (2024)" if quantity == "covers" else "not asked", asks=criteria.at_least(least),
        found=Measured(f"{100 * share.value:.0f} %", (100 * low, 100 * high), share.over), how="interval in percent",
    )  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## How local is local?
#
# Aoyagi's $\lambda$ is that of the *most singular* true parameter. A random true parameter is less singular, and its
# own local learning coefficient is larger. For layers of widths $(H_0, H_1, H_2, H_3)$ and ranks $(H_1, r, r_3)$ with
# $r < r_3$ it is (derived at `dln.three_layer_local_coefficient`)
#
# $$\lambda_{\text{local}} = \frac{r (H_0 + H_3 - r)}{2} + \frac{(r_3 - r)(H_1 - r)}{2}
#   + \lambda_{\text{RRR}}(H_1 - r, H_2 - r_3, H_3 - r_3; 0).$$
#
# Which of the two does the estimator report? Whichever the localiser admits. With a wide localiser the posterior finds
# the most singular part of the fibre; with a narrower one and a large enough $n\beta$ it stays at $w^*$ and comes near
# the local value; with a narrow one and too small $n\beta$ the loss cannot be seen inside the localiser at all, and the
# estimate falls below both. Furman and Lau's $\gamma = 1$ belongs to the first case once the chain is long enough.

# %%
example = dln.Architecture(widths=(10, 6, 16, 16), layer_ranks=(6, 2, 12))
global_truth = float(example.truth[0])
local_truth = float(dln.three_layer_local_coefficient(example.widths, example.layer_ranks))
locality = deep_linear.localiser_sweep(
    dln.random_network(example, seed=seed), local_n_betas, local_localizations, num_draws=local_draws, seed=seed
)

# %% tags=["hide-input", "remove-output"]
levels = pd.DataFrame({"value": [global_truth, local_truth], "words": ["whole fibre (Aoyagi)", "at this parameter"]})
figures.show("fig-dln-localization", drawings.localization, means=locality, levels=levels)

# %% [markdown]
# ```{glue:figure} fig-dln-localization
# :name: fig-dln-localization
# :alt: Line chart. For wide localisers all curves lie near the lower horizontal line, Aoyagi's value; as the localiser
# :  narrows the curve of the largest temperature parameter rises to near the upper line, the local value, and falls
# :  again. Curves of smaller temperature parameter turn down at lower values.
#
# **What the localiser does to the coefficient that is found.** Exact posterior mean against the localiser for one
# network whose true parameter is not the most singular of its fibre, at several $n\beta$. Horizontal lines: Aoyagi's
# coefficient of the whole fibre, and the local coefficient at this parameter derived above. Bars are 95 % intervals of
# four chains.
# ```

# %% [markdown]
# One network, picked by hand, proves little. On {glue:text}`num_calibration` random three-layer networks a rule in the
# code chooses two localisers of the figure: the one with the smallest median error against the local value, and the
# same against the value of the whole fibre. On {glue:text}`num_judged` others, of other seeds, they are judged, all at
# the largest $n\beta$.

# %%
gammas = sorted(local_localizations)
exactly = {"n_beta": max(local_n_betas), "num_draws": local_draws}
calibration = localiser.random_sweeps([1000 * seed + 500 + i for i in range(num_calibration)], gammas, **exactly)
narrow, wide = (localiser.chosen(calibration, error) for error in ("local_error", "whole_error"))
judged = localiser.random_sweeps([1000 * seed + 700 + i for i in range(num_judged)], [wide, narrow], **exactly)
numbers(num_calibration=num_calibration, num_judged=num_judged)

# %% tags=["hide-input"]
for statement, gamma, truth in (
    ("A wide localiser finds the coefficient of the whole fibre", wide, "whole"),
    ("A narrow localiser finds the larger local coefficient", narrow, "local"),
):
    errors = judged.loc[judged["localization"] == gamma, f"{truth}_error"]
    found = intervals.median(100 * errors, "random networks")
    sheet.claim(
        statement, paper="not in the paper", asks=criteria.at_most(2), kind="own",
        found=Measured(f"median error {found.value:.2f} %", found.interval, found.over),
        how=f"exact draws at gamma {gamma:g}, chosen on {num_calibration} other networks; interval in percent; until a "
        "referee asked, one network picked by hand and, for the narrow one, a gamma chosen after a sweep had been seen",
    )  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## Rescaling invariance, and its trap
#
# Scaling the weights into a ReLU layer by $s$ and the weights out of it by $1/s$ changes nothing about the function.
# {cite:t}`lau2025llc` show estimates that are flat over eight orders of magnitude of $s$. The trap: their sampler is
# preconditioned by $s^2$ and $1/s^2$, so that with the same random numbers it walks the *same* path at every $s$, and
# the invariance holds by construction. Here `dln.CoScaled` hands the sampler the coordinates $z = w / s$. Plain SGLD
# beside it, isotropic in $w$, is not invariant: far from $s = 1$ it diverges at the unscaled step size, and at a step
# size that keeps the same distance from instability it moves too little in the same number of steps.

# %%
relu = dln.redundant_relu_network(10, 20, 10, seed=seed)
rescaling = deep_linear.rescaling_sweep(relu, rescale_factors, num_steps=rescale_steps, seed=seed)

# %% tags=["hide-input", "remove-output"]
figures.show("fig-dln-rescaling", drawings.rescaling, estimates=rescaling)

# %% [markdown]
# ```{glue:figure} fig-dln-rescaling
# :name: fig-dln-rescaling
# :alt: Line chart over the logarithm of the scale. The co-scaled estimate is a flat line. Plain SGLD at the unscaled
# :  step size diverges away from scale one; with a step size adapted to the curvature its estimate falls on both sides
# :  of scale one.
#
# Estimated learning coefficient of one ReLU network (10-20-10 units, six of the hidden ones copies of another) whose
# hidden layer is scaled by $s$, with the same random numbers at every $s$. Squares at the top edge: every chain
# diverged. Bars are 95 % intervals of four chains of {glue:text}`rescale_steps` steps, the first half discarded, which
# have not equilibrated; step size, batch and absence of a localiser are the paper's.
# ```
# % rests on: The estimate does not depend on a rescaling of a ReLU layer
#
# The level itself, by the published protocol at $s = 1$ ({glue:text}`level_steps` steps of one chain, nothing
# discarded), on {glue:text}`level_networks` random networks of each of the published sizes:

# %%
published_levels = {(10, 20, 10): 166.4, (20, 30, 20): 537.0, (30, 40, 30): 1110.6}  # means over scales
measured = deep_linear.rescaling_levels(list(published_levels), level_networks, num_steps=level_steps, seed=seed)
numbers(level_steps=level_steps, level_networks=level_networks)
by_size = measured.groupby(["inputs", "hidden", "outputs"])["estimate"].agg(["mean", "min", "max"])
by_size = by_size.assign(published=by_size.index.map(published_levels)).reset_index()
table(by_size, {"inputs": "inputs", "hidden": "hidden", "outputs": "outputs", "mean": "here, mean", "min": "smallest",
                "max": "largest", "published": "published"})  # fmt: skip

# %% tags=["hide-input"]
for sizes, part in measured.groupby(["inputs", "hidden", "outputs"]):
    sheet.claim(
        f"Level of the estimate for {'-'.join(map(str, sizes))} units", paper=published_levels[sizes],
        found=intervals.prediction(part["estimate"], "random networks"),
        asks=criteria.covering(published_levels[sizes]), how="the published protocol at scale 1; an interval for one "
        "more network, since the published number is that of a single one",
    )  # fmt: skip
flat = rescaling[rescaling["sampler"] == "co-scaled"]["estimate"]
flatness = float((flat.max() - flat.min()) / flat.mean())
sheet.claim(
    "The estimate does not depend on a rescaling of a ReLU layer", paper="flat over eight orders of magnitude",
    found=Measured(f"relative range {flatness:.1e}", "same random numbers at every scale"),
    asks="a relative range of at most 0.02", holds=criteria.at_most(0.02)(flatness), kind="check",
    how="co-scaled coordinates; it holds by construction",
)  # fmt: skip
dead = rescaling[(rescaling["sampler"] == "plain") & rescaling["estimate"].isna()]
bent = rescaling[rescaling["sampler"] == "calibrated"]["estimate"]
sheet.claim(
    "Plain SGLD gives estimates that do not depend on the rescaling", paper="not claimed: the published sampler is "
    "co-scaled", found=Measured(f"diverged at {len(dead)} of {len(rescale_factors)} scales; smallest over largest "
    f"{bent.min() / bent.max():.2f}", "none"), asks="no divergence, and a ratio of at least 0.98",
    holds=criteria.all_hold(criteria.at_least(0.98)(bent.min() / bent.max()), len(dead) == 0), kind="own",
    how="estimates at a step size set by the curvature at each scale",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## From saddle to saddle
#
# {cite:t}`lau2025llc` also train a deep linear network with four hidden layers from small weights. SGD learns the
# teacher's singular values one by one, and between two of them rests near a saddle. The estimate, with the outputs of
# the network of the moment as targets, climbs like a staircase. Yet Aoyagi's coefficient is the same at every step: for
# these widths it is {glue:text}`saddle_truth:.1f` whatever the rank of the map.

# %%
saddle_truth = {float(dln.learning_coefficient(saddles.WIDTHS, rank)[0]) for rank in range(saddles.OUTPUTS + 1)}
places = list(range(0, saddle_steps + 1, saddle_steps // 40))
inputs, path, descent = saddles.train(places, seed=seed)
climb = saddles.coefficients(path, places, inputs, saddle_chains, exact_draws=saddle_draws, seed=seed)
brief, *_, exact = (part.merge(descent, on="step") for _, part in climb.groupby("sampler", sort=False))
stairs = brief.groupby("rank")["estimate"].median()
numbers(saddle_truth=max(saddle_truth), saddle_chain=saddle_chains[0], saddle_last=stairs.iloc[-1],
        saddle_exact=exact["estimate"].iloc[-1])  # fmt: skip

# %% tags=["hide-input", "remove-output"]
truth = pd.DataFrame({"value": sorted(saddle_truth), "words": "Aoyagi, every rank"})
figures.show("fig-dln-saddles", drawings.saddles, descent=descent, estimates=climb, levels=truth)

# %% [markdown]
# ```{glue:figure} fig-dln-saddles
# :name: fig-dln-saddles
# :alt: Left, the loss falls in steps. Right, both SGLD curves climb from near zero to above the horizontal line; the
# :  exact draws lie near the line throughout.
#
# **SGLD climbs a staircase where exact draws of the same posterior find none.** One network of widths 5, 10, 10, 10, 10
# and 5. Left: loss along SGD on the teacher. Right: estimates at the same steps by one SGLD chain of each length, as
# published ({glue:text}`saddle_chain` steps) and longer, and by exact draws with their 95 % intervals; the line is
# Aoyagi's coefficient.
# ```
# % rests on: Exact draws find Aoyagi's coefficient at every checkpoint
#
# So the staircase is one of the chains, not of the posterior at this localiser. Once the map has full rank, the
# published chains give {glue:text}`saddle_last:.1f` (median), exact draws at the trained parameter
# {glue:text}`saddle_exact:.1f`.

# %% tags=["hide-input"]
sheet.claim(
    "The published estimate rises from saddle to saddle", how=f"one run, chains of {saddle_chains[0]} steps",
    paper="plateaus near 0, 9, 11.5, 13 and 14, read off a figure", asks="each above the one before",
    found=Measured(", ".join(f"{value:.1f}" for value in stairs), "medians by rank of the map"),
    holds=bool(stairs.is_monotonic_increasing and len(stairs) > 1),
)  # fmt: skip
exactly = exact["estimate"]
sheet.claim(
    "Exact draws find Aoyagi's coefficient at every checkpoint, whatever the rank", kind="check",
    paper=max(saddle_truth), asks=criteria.within(0.1, max(saddle_truth), relative=True),
    found=Measured(exactly.mean(), (exactly.min(), exactly.max()), f"least and largest of {len(exactly)} checkpoints"),
    how="finite n beta, gamma 1; one run; the tolerance was set after a look at four checkpoints",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## Multiplicity
#
# The formula also gives the multiplicity $m$, the order of the pole, which an estimate of $\lambda$ at one temperature
# cannot separate: it enters as $(m - 1) / \log n\beta$, small beside the $\lambda$ of these networks. Most random
# networks have $m = 1$; the others need more than one link in the bottleneck, $\ell > 1$, and a remainder $a < \ell$.
# The published chart counts the runs that could be used, fewer of the largest classes, which have $m = 1$ least often;
# our shares are weighted by these numbers. What is left of the difference we have not explained.

# %% tags=["hide-input", "remove-output"]
shares, weighted, found = deep_linear.multiplicities(num_architectures, seed=seed)
published = pd.read_csv(root() / "data/reference/dln_multiplicity.csv")
published["share"] = published["count"] / published["count"].sum()
figures.show("fig-dln-multiplicity", drawings.multiplicity, here=shares, weighted=weighted, published=published)

# %% [markdown]
# ```{glue:figure} fig-dln-multiplicity
# :name: fig-dln-multiplicity
# :alt: Bar chart of multiplicities from one to twelve. More than half of the architectures have multiplicity one, fewer
# :  in the larger classes, and the shares fall quickly; the published cross at multiplicity one lies above the bar.
#
# Share of random architectures by multiplicity: {glue:text}`num_architectures` of each of the six classes here (dots,
# one a class, and their mean weighted by the published numbers of usable runs as bars) beside the published bar chart
# (crosses, heights read off the image).
# ```

# %% tags=["hide-input"]
share = published["share"].iloc[0]
sheet.claim(
    "Share of random networks of multiplicity 1", paper=share, found=found, asks=criteria.within(0.05, share),
    how="our seeds, classes weighted by the published numbers of usable runs (before a referee's reading: equally); "
    "the tolerance, as the chart is read off an image",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## What it means, and what is open
#
# Where the truth is known the estimate is as good as the chain: exact draws leave a fraction of a per cent in the
# median, chains that agree by R-hat {glue:text}`error_agreed_gradient_1K:.1f` and
# {glue:text}`error_agreed_gradient_10K:.1f` % in the two smaller classes; single networks err by far more, of either
# kind. What is open is the scale: above class 1K the gradient chains of this page are too short for deep networks,
# and nothing here bears on [$10^8$]{.paper} parameters.
#
# ## Claims

# %% tags=["hide-input"]
sheet.finish()

# %% [markdown]
# ## Further
#
# ```bash
# # longer chains: the virial rises, and the intervals cover more often
# python -m devinterp_core.companion run 02_dln_scaling -p num_steps '[20000, 20000, 2000]'
# # the six classes of the paper, to 100 million parameters (a GPU is advised)
# python -m devinterp_core.companion run 02_dln_scaling -f notebooks/params/02_dln_scaling.paper.yaml
# ```
