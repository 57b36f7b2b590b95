# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The local learning coefficient against known values
#
# {cite:t}`lau2025llc` estimate the local learning coefficient (LLC) of a model at a parameter $w^*$ by sampling around
# it: $\hat\lambda = n\beta\,(\mathbb{E}[L_n(w)] - L_n(w^*))$, the mean taken over the tempered posterior localised at
# $w^*$. Two questions, before anybody trusts such a number for a neural network:
#
# 1. Does the estimate equal the true learning coefficient where the truth is known?
# 2. Where it does not, is the difference the one that theory predicts: finite $n\beta$, the localiser $\gamma$, the
#    step size $\epsilon$, the noise of the data?
#
# ```{glue:figure} fig-reduced-rank
# :name: fig-reduced-rank
# :alt: Line chart of the difference between estimated and true learning coefficient against inverse temperature for
# :  six reduced-rank models; the cases of multiplicity one end near zero, those of multiplicity two end below zero
# :  near a dashed logarithmic curve.
#
# **Reduced-rank regression in all cases of Aoyagi and Watanabe.** Estimate minus true $\lambda$ against $n\beta$;
# filled markers: exact Gibbs draws, open markers: the gradient thermostat, at the smallest $n\beta$ only. The dashed
# line is $-(m-1)/\log n\beta$ for $m = 2$: only the cases of that multiplicity are expected to lag behind. 16 chains,
# bars are 95 % intervals.
# ```
# % rests on: Reduced-rank regression, case 1, even: $\lambda$
# % rests on: Reduced-rank regression, case 1, odd: $\lambda$
# % rests on: Reduced-rank regression, case 1, odd, rank 1
# % rests on: Reduced-rank regression, case 2
# % rests on: Reduced-rank regression, case 3
# % rests on: Reduced-rank regression, case 4
#
# **What was found.** Where the coefficient is known the estimator finds it: half the number of parameters for regular
# models, and Aoyagi and Watanabe's values in every case of reduced-rank regression, within five per cent of each,
# after the known correction where the multiplicity is two. On a quadratic loss localiser and step size move the
# estimate along a closed form; on data SGLD is still some way above the exact mean of two of the monomials. For a
# ReLU network, where no coefficient is known, SGLD recorded by the paper's rule gives {glue:text}`relu_same:.0f` at
# the largest $n$, the paper [355.8]{.paper} (whether within ten per cent is undecided); recorded before the update it
# gives {glue:text}`relu_before:.0f`, more than half the number of parameters, which no coefficient exceeds.

# %% tags=["hide-input", "parameters"]
seed: int = 0  # random seed of data and chains
dimensions: list[int] = [1, 2, 5, 10, 20, 50]  # numbers of parameters of the regular models
regular_samples: int = 1000  # samples n of the regular models
regular_draws: int = 1000  # draws of each of 8 chains for the regular models
approach_n_betas: list[float] = [10.0, 100.0, 1000.0, 10000.0]  # inverse temperatures of the approach to the truth
approach_chains: int = 150  # chains of each point of the approach
approach_draws: int = 500  # draws of those chains, four steps apart
monomial_seeds: int = 40  # data sets on which SGLD runs for each monomial of the table
exact_data_sets: int = 400  # data sets on which the posterior mean of each monomial is computed exactly
monomial_samples: int = 1000  # samples n of the monomials
monomial_steps: int = 4000  # steps of each of 4 chains for the monomials, the first tenth discarded
ordering_repeats: int = 8  # data sets of the ordering experiment
reduced_rank_n_betas: list[float] = [1e3, 1e4, 1e5]  # inverse temperatures of the reduced-rank models
reduced_rank_draws: int = 1000  # sweeps of each of 16 chains of the Gibbs reference
gradient_n_beta: float = 30.0  # inverse temperature at which gradient chains are compared with Gibbs draws
gradient_steps: int = 10000  # steps of each of 16 gradient chains, the first quarter discarded
mlp_samples: list[int] = [100, 1000, 10000, 100000]  # samples n of the ReLU network
mlp_mala_largest: int = 1000  # largest n at which MALA, which needs the full batch, is run beside SGLD
mlp_mala_inputs: int = 400  # inputs of MALA at the largest n, at the inverse temperature of that n
mlp_steps: int = 10000  # steps of each chain of the ReLU network, no burn-in
mlp_networks: int = 12  # random ReLU networks, one chain each
grid_draws: int = 400  # draws of each of 50 chains of the sensitivity figure

# %% tags=["hide-input"]
import math

import numpy as np
import pandas as pd
import torch

from devinterp_core import potentials
from devinterp_core.calibration import calibrate
from devinterp_core.companion import claims, figures
from devinterp_core.companion.drawings import llc_ground_truth as drawings
from devinterp_core.companion.estimates import row_of
from devinterp_core.companion.glued import numbers
from devinterp_core.companion.project import root
from devinterp_core.companion.studies import ground_truth, ground_truth_claims, relu_networks
from devinterp_core.companion.tables import table
from devinterp_core.sampler import sample

torch.set_num_threads(1)
figures.use_style()
sheet = claims.ClaimSheet("01_llc_ground_truth", paper="Lau et al. (2025), arXiv:2308.12108")
paper_mlp = pd.read_csv(root() / "data/reference/relu_sgld_mala.csv")
published = pd.read_csv(root() / "data/reference/monomials.csv")
all_pairs = pd.read_csv(root() / "data/reference/monomial_pairs.csv")
numbers(
    n_regular=regular_samples, draws_regular=regular_draws, chains_approach=approach_chains,
    data_sets=monomial_seeds, exact_data_sets=exact_data_sets, n_monomial=monomial_samples,
    steps_monomial=monomial_steps, mlp_steps=mlp_steps, mlp_networks=mlp_networks, mala_largest=mlp_mala_largest,
    mala_inputs=mlp_mala_inputs,
)  # fmt: skip

# %% [markdown]
# ## Regular models: half the number of parameters
#
# Linear regression with $d$ Gaussian inputs and unit noise is regular: its learning coefficient is $d/2$. The minimum
# of $L_n$ is the least-squares solution, the posterior is Gaussian, and an estimate at finite $n$ has no bias beyond
# the localiser's, which is known in closed form. Every method of the sampler gets the same data and a step size from
# the measured curvature.

# %%
regular = []
for d in dimensions:
    model, (x, y) = potentials.linear_regression(d, regular_samples, seed + d)
    loss = potentials.linear_regression_loss
    step = calibrate(model, (x, y), loss, seed=seed).step_size
    curvatures = torch.linalg.eigvalsh(x.T @ x / regular_samples)
    n_beta = regular_samples / math.log(regular_samples)
    for method in ("sgld", "rmsprop_sgld", "sgnht", "mala"):
        draws = sample(
            model, (x, y), loss, step_size=step, num_chains=8, num_draws=regular_draws, num_burnin=200, method=method,
            seed=seed, progress=False,
        )  # fmt: skip
        # RMSprop's preconditioner is nearly one here: all directions have the same curvature.
        discretised = step if method in ("sgld", "rmsprop_sgld") else 0.0
        exact = potentials.quadratic_llc(curvatures, n_beta, 1.0, discretised)
        regular.append(row_of(draws, dimension=d, method=method, truth=d / 2, finite_n_truth=exact))
regular = pd.DataFrame(regular)

# %% tags=["hide-input", "remove-output"]
figures.show("fig-regular", drawings.regular, estimates=regular)

# %% [markdown]
# ```{glue:figure} fig-regular
# :name: fig-regular
# :alt: Two panels. Left, estimated against true learning coefficient of linear regressions on log axes, all four
# :  methods on the identity line. Right, the ratio of estimate and closed form against dimension, scattered around one.
#
# **Regular models have half the number of parameters as their coefficient, and every method finds it.** Left: estimate
# against $d/2$ for linear regression, with the identity line. Right: estimate over the closed form at this $n$,
# localiser and (for the two SGLD methods) step size; one marker a method, shifted sideways for legibility.
# {glue:text}`n_regular` samples, 8 chains of {glue:text}`draws_regular` draws, one data set a dimension; bars:
# 95 % intervals from effective draws, spread between chains and drift.
# ```
# % rests on: A regular model of $d$ parameters has $\lambda = d/2$

# %% tags=["hide-input"]
ground_truth_claims.of_regular_models(sheet, regular, f"n = {regular_samples}, 8 chains of {regular_draws} draws")
sheet.verdicts()

# %% [markdown]
# ## How the estimate approaches the truth
#
# For the regression $y = p(w)\,x + \varepsilon$ with a monomial $p = w_1^{k_1} w_2^{k_2}$ the learning coefficient at
# the origin is $\lambda = \min_j 1/(2 k_j)$, and its multiplicity $m$ counts the $j$ that attain it. At finite $n\beta$
# even an exact sampler does not measure $\lambda$: the mean of $n\beta K$ under the localised posterior is a
# two-dimensional integral, which approaches $\lambda$ by powers of $n\beta$ when $m = 1$ and like
# $\lambda - (m-1)/\log n\beta$ when $m > 1$. The integral, by quadrature, is the line in the figure; the chains must
# lie on the *line*, not on $\lambda$.

# %%
approach_powers = [(0, 1), (1, 2), (1, 3), (1, 1), (2, 2)]
approach = ground_truth.population_monomials(
    approach_powers, approach_n_betas, num_chains=approach_chains, num_draws=approach_draws, seed=seed
)
grid = np.geomspace(approach_n_betas[0], 1e4 * approach_n_betas[-1], 13)
lines = [
    (str(powers), n_beta, potentials.exact_tempered_mean(potentials.monomial(powers), n_beta))
    for powers in approach_powers for n_beta in grid
]  # fmt: skip
lines = pd.DataFrame(lines, columns=["powers", "n_beta", "exact"])

# %% tags=["hide-input", "remove-output"]
figures.show("fig-approach", drawings.approach, chains=approach, quadrature=lines)

# %% [markdown]
# ```{glue:figure} fig-approach
# :name: fig-approach
# :alt: Line chart of estimated learning coefficients of five monomials against the inverse temperature on a log axis;
# :  markers sit on the lines from quadrature or slightly off them, and the lines with multiplicity two are still well
# :  below their dashed limits at the right end.
#
# **The exact mean at finite temperature approaches the true coefficient slowly where the multiplicity is two.**
# Markers: MALA on the population loss, {glue:text}`chains_approach` chains, with 95 % intervals; lines: the same mean
# by quadrature; dashes at the right: $\lambda$. One colour and marker a monomial $w_1^{k_1} w_2^{k_2}$, labelled $(k_1,
# k_2)$; $\gamma = 1$.
# ```

# %% tags=["hide-input"]
ground_truth_claims.of_approach(sheet, approach, f"{approach_chains} chains, n-beta in {approach_n_betas}")
sheet.verdicts()

# %% [markdown]
# ## The monomials at finite $n$
#
# The paper's first version tabulates monomials at one thousand samples with noise, where both the finite temperature
# and the data set move the estimate. On a data set the posterior mean is again a two-dimensional integral, so there are
# three things to compare: the paper's MCMC with the exact mean over {glue:text}`exact_data_sets` data sets, its SGLD
# with ours on {glue:text}`data_sets` of them, and SGLD with the exact mean of the same data set. The population column
# is not what data sets should give: their noise moves the posterior too.

# %%
noise, n_beta = 0.5, monomial_samples / math.log(monomial_samples)
powers = list(zip(published.k1, published.k2))
world = {"num_samples": monomial_samples, "noise": noise, "seed": seed}
sampled = ground_truth.sampled_monomials(powers, num_seeds=monomial_seeds, num_steps=monomial_steps, **world)
exact = ground_truth.exact_on_data_sets(powers, num_seeds=exact_data_sets, **world)
pairs = ground_truth.exact_pairs(all_pairs, [n_beta, 1e8], noise)

# %% tags=["hide-input"]
monomials = sampled.groupby("powers").estimate.agg(["mean", "std"]).join(exact.groupby("powers").exact.mean())
monomials = published.assign(powers=[str(each) for each in powers]).join(monomials, on="powers")
monomials = monomials.merge(pairs[pairs.prior == "(0, 0)"], on="powers")
heads = {
    "powers": "$(k_1, k_2)$", "truth": "$\\lambda$", n_beta: "exact, population", "exact": "exact, data sets",
    "mcmc_mean": "Paper's MCMC", "mean": "SGLD, mean", "std": "SGLD, sd", "sgld_mean": "Paper's SGLD, mean",
    "sgld_sd": "Paper's SGLD, sd",
}  # fmt: skip
table(monomials, heads)

# %% [markdown]
# The paper lists twelve pairs of a monomial and a prior that vanishes like $|w_1|^{h_1} |w_2|^{h_2}$ at the origin, for
# which $\lambda = \min_j (h_j + 1) / (2 k_j)$. Our chains start at $w^*$, where such a prior has no density, so these
# are checked by quadrature alone.

# %% tags=["hide-input"]
heads = {"powers": "$(k_1, k_2)$", "prior": "$(h_1, h_2)$", "truth": "$\\lambda$", "multiplicity": "$m$",
         n_beta: f"exact at $n\\beta$ of n = {monomial_samples}", 1e8: "exact at $n\\beta = 10^8$"}  # fmt: skip
table(pairs, heads)

# %% tags=["hide-input"]
ground_truth_claims.of_monomials(sheet, monomials, sampled, exact, pairs, monomial_samples)
sheet.verdicts()

# %% [markdown]
# ## Ordering singular points
#
# $K(w) \propto (w_1 - 1)^2 (w_1^2 + w_2^2)^4$ has zeros of two kinds: the origin with $\lambda = 1/4$ and the line
# $w_1 = 1$ with $\lambda = 1/2$. The chains, as the paper's, are too short to leave the neighbourhood of their point:
# what keeps them there is their length, not the localiser, and the exact means of the localised posteriors are much
# closer to each other than the estimates. What matters to a user of the LLC is the order: is the estimate at the more
# degenerate point the smaller one, data set by data set? It was in {glue:text}`ordered` data sets.

# %%
ordering = ground_truth.two_points(
    ordering_repeats, num_samples=monomial_samples, noise=noise, num_steps=monomial_steps, seed=seed
)
by_point = ordering.pivot(index="repeat", columns="point", values="estimate")
ordered = int((by_point.origin < by_point.line).sum())
numbers(ordered=f"{ordered} of {ordering_repeats}")

# %% tags=["hide-input", "remove-output"]
figures.show("fig-ordering", drawings.ordering, estimates=ordering)

# %% [markdown]
# ```{glue:figure} fig-ordering
# :name: fig-ordering
# :alt: Paired dot plot: for each data set a segment joins a lower estimate at the origin with a higher estimate on the
# :  line, horizontal lines mark the true values, and two short black bars, the exact posterior means, lie closer
# :  together than the dots.
#
# **Short chains order the two points; they do not measure the localised posterior.** Estimates at the origin
# ($\lambda = 1/4$, dashed) and on the line ($\lambda = 1/2$, dotted) of the two-component potential; short black bars:
# the exact mean of each localised posterior, by quadrature of the population loss; each grey segment joins the two
# estimates of one data set of {glue:text}`n_monomial` samples. 8 SGLD chains of {glue:text}`steps_monomial` steps from
# the point, without burn-in, too short to leave its neighbourhood; bars are standard errors of the chains.
# ```
# % rests on: The estimate at the more degenerate point of the two-component potential is the smaller one

# %% tags=["hide-input"]
ground_truth_claims.of_ordering(sheet, ordered, ordering_repeats)
sheet.verdicts()

# %% [markdown]
# ## Reduced-rank regression
#
# The map $x \mapsto B A x$ with $M$ inputs, $H$ hidden units, $N$ outputs and true rank $r$ has a coefficient found by
# {cite:t}`aoyagi2005rrr` in four cases, the first of them split by the parity of $M + H + N + r$, which decides the
# multiplicity. The centre is the most singular true parameter, $A$ and $B$ zero but for an identity of size $r$, so the
# local coefficient is the global one. Two samplers that share nothing are run: the thermostat on gradients
# (`method="sgnht"`), and exact Gibbs draws, possible because each layer given the other is a linear regression. From
# the most singular point gradient chains need a time that grows with $n\beta$ to spread, so they are compared at a
# small one.

# %%
cases = {
    "1, even": (3, 2, 3, 0), "1, odd": (3, 3, 3, 0), "1, odd, rank 1": (3, 2, 3, 1),
    "2: outputs dominate": (2, 2, 7, 0), "3: inputs dominate": (7, 2, 2, 1), "4: hidden dominate": (2, 6, 2, 1),
}  # fmt: skip
reduced_rank = ground_truth.reduced_rank(
    cases, reduced_rank_n_betas, gradient_n_beta, num_draws=reduced_rank_draws, num_steps=gradient_steps, seed=seed
)

# %% tags=["hide-input", "remove-output"]
grid = np.geomspace(gradient_n_beta, max(reduced_rank_n_betas), 50)
lag = pd.DataFrame({"n_beta": grid, "lag": -1 / np.log(grid)})
figures.show("fig-reduced-rank", drawings.reduced_rank, estimates=reduced_rank, lag=lag)

# %% tags=["hide-input"]
ground_truth_claims.of_reduced_rank(sheet, reduced_rank, gradient_n_beta)
sheet.verdicts()

# %% [markdown]
# ## SGLD against MALA on a ReLU network
#
# A ReLU network with layers of widths `[10, 20, 20, 10]` has no known coefficient. The paper compares SGLD on
# minibatches with MALA on the full data over three decades of $n$, without burn-in. The paper's network is one unknown
# draw, so {glue:text}`mlp_networks` networks are drawn here as in the published code: truncated normal weights,
# standard normal biases on the hidden layers only. MALA, whose cost grows with the data, runs up to
# {glue:text}`mala_largest` samples, and at the largest $n\beta$ on {glue:text}`mala_inputs` inputs.
#
# The published code records the loss *after* the update, on the minibatch that made the update, which has just gone
# down there. Our sampler records it before, on a minibatch that knows nothing of the state. From the same draws
# `by_recording_rule` takes both, and the loss of a fresh minibatch after the update.

# %%
few = {"mala_largest": mlp_mala_largest, "mala_inputs": mlp_mala_inputs}
mlp, rules = relu_networks.relu_estimates(mlp_networks, mlp_samples, **few, num_steps=mlp_steps, seed=seed)
half_parameters = relu_networks.num_parameters() / 2
largest = max(mlp_samples)
at_largest = rules[rules.num_samples == largest].pivot(index="model", columns="rule", values="estimate")
at_largest["MALA"] = mlp[(mlp.num_samples == largest) & (mlp.method == "mala")].set_index("network").estimate
at_end = mlp[(mlp.num_samples == largest) & (mlp.method == "sgld")].estimate
numbers(relu_same=at_largest["after, same"].mean(), relu_before=at_end.mean())

# %% tags=["hide-input", "remove-output"]
bound = pd.DataFrame({"half_parameters": [half_parameters]})
figures.show("fig-mala", drawings.relu, here=mlp, same=rules[rules.rule == "after, same"], paper=paper_mlp, bound=bound)

# %% [markdown]
# ```{glue:figure} fig-mala
# :name: fig-mala
# :alt: Line chart of estimates of a dozen networks against the number of samples on a log axis, beside two lines with
# :  the values of the paper. Estimates by the paper's rule of recording follow the lines; those recorded before the
# :  update lie above them at the largest number of samples, near and above a dashed line at half the number of
# :  parameters.
#
# **Recorded by the paper's rule, SGLD comes near the paper's values; recorded before the update, it exceeds half the
# number of parameters at the largest $n$.** Small markers: one random network each, one chain of {glue:text}`mlp_steps`
# steps without burn-in; large markers: medians over the networks; lines: the paper's means; dashed: half the number of
# parameters, which no learning coefficient exceeds. Chains this short have not equilibrated, as in the paper.
# ```
# % rests on: ReLU network, n = 1000: by the paper's rule
# % rests on: ReLU network, n = 10000: by the paper's rule

# %% tags=["hide-input"]
ground_truth_claims.of_relu_networks(sheet, mlp, rules, paper_mlp, half_parameters, mlp_mala_largest)
sheet.verdicts()

# %% [markdown]
# ### The hidden heat
#
# At the largest $n$ the minibatches heat the chain: their noise adds to that of the step. The paper's SGLD and MALA
# nearly agree there. Its rule of recording may be part of the reason: it takes a good part of the heat away again,
# though here not all of it. To leading order it takes $\tfrac{\epsilon}{2} (n\beta)^2 \operatorname{tr}
# \operatorname{Cov}(\nabla L_B)$, by which a minibatch's loss is lower after the step that it made.

# %% tags=["hide-input", "remove-output"]
heat = at_largest.reset_index().melt(id_vars="model", var_name="rule", value_name="estimate")
figures.show("fig-hidden-heat", drawings.hidden_heat, estimates=heat, paper=paper_mlp[["num_samples", "sgld", "mala"]])

# %% [markdown]
# ```{glue:figure} fig-hidden-heat
# :name: fig-hidden-heat
# :alt: Dot plot with four columns. Estimates recorded before the update and on a fresh minibatch after it are equal
# :  and high; those on the minibatch of the update are lower, and in every network still above those of MALA. Grey
# :  segments join one network.
#
# **SGLD lies above MALA, and the rule of recording hides part of it.** Estimates at the largest $n$ of one chain a
# network, by when and on which minibatch the loss is recorded, and of MALA on {glue:text}`mala_inputs` inputs at the
# same $n\beta$; grey: one network each; bars: 95 % interval of the mean. Crosses: the paper's SGLD and MALA.
# ```
# % rests on: The paper's rule of recording lowers the SGLD estimate of ReLU networks
# % rests on: SGLD recorded on a fresh minibatch is hotter than MALA

# %% tags=["hide-input"]
ground_truth_claims.of_recording_rules(sheet, at_largest, largest, mlp_mala_inputs)
sheet.verdicts()

# %% [markdown]
# ## Sensitivity to step size and localisation
#
# On a quadratic loss the whole response of SGLD is known: with $u_i = n\beta h_i + \gamma$ the estimate averages to
# $\tfrac12 \sum_i n\beta h_i / (u_i (1 - \epsilon u_i / 4))$. Too strong a localiser pulls it down, too large a step
# pushes it up; a flat range in between is what a user should look for.

# %%
curvatures = torch.tensor(np.geomspace(0.01, 1, 8))
sensitivity, closed_form = ground_truth.quadratic_sweep(
    curvatures, 100.0, (0.01, 1.0, 10.0, 100.0), (0.03, 0.1, 0.3, 1.0, 2.0, 3.0), num_draws=grid_draws, seed=seed
)

# %% tags=["hide-input", "remove-output"]
truth = pd.DataFrame({"truth": [len(curvatures) / 2]})
figures.show("fig-sensitivity", drawings.sensitivity, chains=sensitivity, closed_form=closed_form, truth=truth)

# %% [markdown]
# ```{glue:figure} fig-sensitivity
# :name: fig-sensitivity
# :alt: Line chart of the estimate against relative step size for four strengths of the localiser; markers lie on the
# :  curves, which are flat for small steps and rise steeply towards the stability limit, and lie lower for stronger
# :  localisers.
#
# **Step size and localiser bias the estimate as the closed form says.** Markers: SGLD on a quadratic loss of eight
# directions (true $\lambda = 4$, dashed), 50 chains, bars are 95 % intervals; lines: the closed form. The horizontal
# axis is the step size times the largest curvature; SGLD is unstable from 4.
# ```
# % rests on: Step size and localiser bias SGLD as the closed form says

# %% tags=["hide-input"]
ground_truth_claims.of_sensitivity(sheet, sensitivity)
sheet.verdicts()

# %% [markdown]
# ## What it means, and what is open
#
# An estimate of the LLC is the mean of a localised posterior at finite $n\beta$, and can be trusted as far as the
# chain has drawn from it. Exact draws show that the definition is sound; much of what goes wrong goes wrong in the
# sampler; a number larger than half of the parameters gives it away, a smaller one clears nothing. For networks
# without a closed form an independent sampler is all there is, and MALA at the largest $n$ is payable on a few inputs
# only.
#
# ## Claims

# %% tags=["hide-input"]
sheet.finish()

# %% [markdown]
# ## Further
#
# ```
# python -m devinterp_core.companion run 01_llc_ground_truth -p monomial_seeds 400 -p ordering_repeats 100
# python -m devinterp_core.companion run 01_llc_ground_truth -p mlp_mala_largest 10000
# python -m devinterp_core.companion run 01_llc_ground_truth -f notebooks/params/01_llc_ground_truth.paper.yaml
# ```
