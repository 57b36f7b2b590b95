# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Specialization of attention heads
#
# {cite:t}`wang2025rllc` refine the local learning coefficient by weights: only the parameters of one attention head
# move (*wrLLC*), on the training distribution or on another one (*data refinement*). Followed over training, the wrLLCs
# of the heads drift apart, and by their curves alone K-means finds the head types. Three questions:
#
# 1. Do the curves tell what a head is for?
# 2. Are heads that memorise multigrams above induction heads, as in the paper? An earlier trial of ours found the
#    opposite.
# 3. What does the wrLLC measure that simpler numbers, such as the trace of the Hessian, do not?
#
# ```{glue:figure} fig-rllc-curves
# :name: fig-rllc-curves
# :alt: Left and middle, curves of refined learning coefficients that rise and spread with training, highest in layer
# :  zero. Right, stacked bars of the roles of each head.
#
# **wrLLC of every head along training**, layer 0 (left) and layer 1 (middle), coloured by what the trained head is for
# (role by ablation); one line a head, solid for seed 0, dashed for seed 1; bars: one standard error; the vertical axes
# differ. Right: mean rise of the loss for a token of each role when the head is ablated, as shares of their sum (where
# ablation lowers a loss, it counts as zero); labels: seed, layer:head.
# ```
# % rests on: The more rules the language has, the higher the wrLLC
# % rests on: The text model: within a layer the wrLLC grows with the loss by ablation
# % rests on: The text model: on code the induction heads are above
#
# **What was found.** In the synthetic language eight heads a model are too few: within a layer nearly every question
# is undecided. Over a recorded sweep the wrLLC of heads of every role rises with the number of rules. In a model of
# text, within a layer, the wrLLC grows with the loss by ablation, and on code the one head that counts, narrowly, as
# an induction head is above the others; on data as in its training it is too, where the paper has multigram heads
# above induction heads.
#
# In the synthetic language of the [last chapter](07_language_model_development.ipynb) every token comes with the rule
# that made it, so that what a head is for, and how many multigrams depend on it, is counted and not estimated. Then
# come a sweep over how much there is to memorise, and a model of real text.

# %% tags=["hide-input", "parameters"]
seed: int = 0  # of the language, initial parameters, training data, evaluation data and chains
num_seeds: int = 2  # models of the synthetic language, each with its own parameters and data
num_words: int = 64  # words of the synthetic language
num_trigram_rules: int = 256  # pairs of words that force the third
num_skip_rules: int = 128  # pairs of words, three apart, that force the next
width: int = 64  # of the residual stream
num_heads: int = 4  # of each of the two layers
length: int = 64  # tokens of a sequence
batch_size: int = 32  # sequences of each model a step
num_steps: int = 3000  # of training
learning_rate: float = 3e-3  # of AdamW, constant after 100 steps of warm-up
weight_decay: float = 0.05  # the paper's
num_log_checkpoints: int = 60  # logarithmically spaced
num_linear_checkpoints: int = 40  # evenly spaced
compile_step: bool = True  # through torch.compile, where there is a C++ compiler
num_sequences: int = 256  # evaluation sequences
num_curve_points: int = 7  # checkpoints at which the heads' wrLLCs are estimated
step_size: float = 1e-3  # SGLD step of the paper
n_beta: float = 30.0  # inverse temperature of the paper
localization: float = 200.0  # of the paper
num_chains: int = 2  # of each head
num_burnin: int = 30  # SGLD steps
num_draws: int = 30  # SGLD steps after them, all recorded
chain_batch_size: int = 16  # sequences of an SGLD step
grid_n_beta: list[float] = [30.0, 300.0, 300.0]  # further settings at which the order of the heads is looked at
grid_localization: list[float] = [20.0, 200.0, 2000.0]  # of each of them
grid_step_size: list[float] = [2e-3, 1e-3, 5e-4]  # of each of them
num_probes: int = 8  # random sign vectors for the Hessian's trace
num_trace_sequences: int = 128  # on which the traces are measured
text_wrllc: bool = False  # whether the text model's wrLLCs are estimated; False draws the recorded ones
text_points: int = 1  # checkpoints of the text model for them, from the last one back
text_draws: int = 90  # draws of each chain for the text model's wrLLCs on its training data

# %% tags=["hide-input"]
from dataclasses import replace
from functools import partial

import pandas as pd
import torch

from devinterp_core import heads as head_tools
from devinterp_core import language
from devinterp_core.companion import claims, correlations, criteria, figures, intervals
from devinterp_core.companion.criteria import Measured
from devinterp_core.companion.drawings import rllc_head_specialization as drawings
from devinterp_core.companion.glued import numbers
from devinterp_core.companion.studies.head_tables import sweep_by_model, trace_table
from devinterp_core.companion.output import cache_folder, output_folder
from devinterp_core.companion.recorded import recorded_text_run
from devinterp_core.companion.recorded_tables import recorded_path, recorded_tables
from devinterp_core.companion.tables import table
from devinterp_core.llc import coefficient_table, refined_llc
from devinterp_core.train import TrainingSettings, log_and_linear_steps, train
from devinterp_core.trajectory.clusters import adjusted_rand, cluster_curves
from devinterp_core.transformer import Transformer, all_heads, attention_only, head_mask

torch.set_num_threads(1)
figures.use_style()
sheet = claims.ClaimSheet("08_rllc_head_specialization", paper="Wang et al. (2025), arXiv:2410.02984")

# %% [markdown]
# ## What the heads are for
#
# The models are those of the last chapter. Each head is ablated, its output replaced by the mean at each position, and
# the rise of the loss is averaged over the tokens of each kind of rule: *bigrams*, *multigrams* (trigram and
# skip-trigram rules), *in context* (words bound to names, repeated segments) and *brackets*. The kind whose tokens lose
# most, one by one, is the head's role; a sum would make most heads bigram heads, as half of the tokens are bigrams. The
# attention scores beside it are those of the last chapter.

# %%
world = language.SyntheticLanguage(
    num_words=num_words, num_trigram_rules=num_trigram_rules, num_skip_rules=num_skip_rules, seed=seed
)
training_seeds = tuple(seed + index for index in range(num_seeds))
trained = train(
    [
        Transformer(attention_only(world.vocabulary.size, width, num_heads, length, num_layers=2), seed=own)
        for own in training_seeds
    ],
    language.LanguageStream((world,) * num_seeds, batch_size, length, seeds=training_seeds),
    language.next_token_loss,
    TrainingSettings(
        num_steps=num_steps, learning_rate=learning_rate, num_warmup=min(100, num_steps), weight_decay=weight_decay
    ),
    checkpoint_steps=log_and_linear_steps(num_steps, num_log_checkpoints, num_linear_checkpoints),
    folder=cache_folder(),
    compile=compile_step,
)
finals = [trained.model(trained.steps[-1], index) for index in range(num_seeds)]
held_out = world.draw(num_sequences, length, seed=60_000 + seed)
probe = head_tools.make_probe(
    held_out.tokens,
    held_out.tokens,
    world.vocabulary.size,
    candidates=torch.arange(world.vocabulary.words, world.vocabulary.words + num_words),
    queries=torch.arange(world.vocabulary.names, world.vocabulary.openings),
    seed=seed,
)
described = enumerate(head_tools.describe_heads(model, held_out, world, probe) for model in finals)
behaviour = pd.concat([each.assign(seed=index) for index, each in described], ignore_index=True)
columns = ["seed", "head", "role", "ablation", "multigrams", "previous_token", "current_token", "prefix_matching"]
words = {name: name.replace("_", " ") for name in columns}
words |= {"ablation": "loss by ablation", "multigrams": "dependent multigrams"}
table(behaviour, words, dict.fromkeys(["ablation", *columns[5:]], 2))

# %% [markdown]
# ## Refined learning coefficients over training
#
# All heads and chains advance in one vectorised batch; every head meets the same minibatches, so that differences
# between heads are more precise than the error bars of each say.

# %%
chain_data = world.draw(2048, length, seed=80_000 + seed).tokens
chains = {"num_chains": num_chains, "num_burnin": num_burnin, "num_draws": num_draws, "batch_size": chain_batch_size}
here = {"n_beta": n_beta, "localization": localization, "step_size": step_size}


def wrllc(model, data=chain_data, loss=language.next_token_loss, setting=here, **labels):
    """Table of every head's refined LLC."""
    own = {head: head_mask(model, head) for head in all_heads(model)}
    draws = refined_llc(model, data, loss, own, **(chains | setting), seed=seed, progress=False)
    return coefficient_table(draws, pd.DataFrame([labels | {"head": head} for head in own]))


curve_steps = trained.spaced(num_curve_points, first=max(1, num_steps / 100))
tables = [wrllc(trained.model(s, i), seed=i, step=s) for i in range(num_seeds) for s in curve_steps]
curves = pd.concat(tables, ignore_index=True).merge(behaviour[["seed", "head", "role"]])
final = curves[curves.step == curve_steps[-1]].drop(columns="role").merge(behaviour)
final["layer"] = final["head"].str[0]
for layer, types in final.groupby("layer").role:
    part = curves[curves["head"].str.startswith(layer)].pivot(index=["seed", "head"], columns="step", values="llc")
    found = cluster_curves(part.to_numpy(), min(types.nunique(), len(part)), seed=seed)
    agreement, _, chance = adjusted_rand(found, types, seed=seed)
    numbers(**{f"agreement_{layer}": agreement, f"chance_{layer}": chance, f"heads_{layer}": len(part)})

# %% tags=["hide-input", "remove-output"]
kept = ["seed", "step", "head", "role", "llc", "standard_error"]
shares = behaviour[["seed", "head", *behaviour.filter(like="share ")]]
figures.show("fig-rllc-curves", drawings.curves, curves=curves[kept], shares=shares)

# %% [markdown]
# K-means on the curves, with as many clusters as there are roles, agrees with the roles by an adjusted Rand index of
# {glue:text}`agreement_0:.2f` in layer 0 and {glue:text}`agreement_1:.2f` in layer 1; of random relabellings shares of
# {glue:text}`chance_0:.2f` and {glue:text}`chance_1:.2f` do as well. In the paper clusters match the head types. So few
# heads, {glue:text}`heads_0` and {glue:text}`heads_1`, can neither confirm nor refute that: it is no claim here.
#
# ## What else would tell
#
# To second order, and if its gradient vanishes there, the loss of a head around $w^*$ is $\tfrac12 (v - v^*)^\top
# H_{VV} (v - v^*)$. Where all its curvatures $h_i$ are small against $\gamma / n\beta$, the estimate is
#
# $$\hat\lambda \approx \frac12 \sum_i \frac{n\beta\, h_i}{n\beta\, h_i + \gamma}
# \approx \frac{n\beta}{2 \gamma} \operatorname{tr} H_{VV},$$
#
# a multiple of the Hessian's trace, from below. At the paper's settings $\gamma / n\beta$ is
# {glue:text}`curvature_bound:.1f`; the single curvatures are not measured. The figure compares the two, and puts the
# other competitors of the paper beside them. The measured wrLLCs lie *above* the trace: a few per cent are the finite
# step; what the gradient at $w^*$, its noise and higher orders add is not separated here.

# %%
masks = {head: head_mask(finals[0], head) for head in all_heads(finals[0])}
measured = finals, chain_data[:num_trace_sequences], language.next_token_loss, masks
final = final.merge(trace_table(*measured, num_probes=num_probes, seed=seed))
scale = n_beta / (2 * localization)
final = final.assign(by_trace=scale * final.hessian, by_trace_error=scale * final.hessian_error)
numbers(curvature_bound=localization / n_beta, smallest_norm=final.norm.min(), largest_norm=final.norm.max())
numbers(num_seeds=num_seeds, num_chains=num_chains, num_draws=num_draws)

# %% tags=["hide-input", "remove-output"]
figures.show("fig-rllc-competitors", drawings.competitors, heads=final)

# %% [markdown]
# ```{glue:figure} fig-rllc-competitors
# :name: fig-rllc-competitors
# :alt: Four scatter plots of the refined learning coefficient of each head; the two layers are two clouds, within which
# :  it does not clearly rise with the number of dependent multigrams; it lies on or above the diagonal against the
# :  rescaled Hessian trace.
#
# **The final wrLLC against other measures of a head**: dependent multigrams (rules whose loss rises by half a nat or
# more without the head, counted exactly; lines: least squares within each layer, solid layer 0, dashed layer 1), the
# Hessian's trace in the units that the wrLLC has where it is small (line: equality; horizontal bars: one standard error
# over random probes), the Fisher information's trace, and the loss by ablation. One point a head,
# {glue:text}`num_seeds` models, coloured by role as before; circles layer 0, triangles layer 1. Vertical bars: one
# standard error.
# ```
#
# Heads are ranked within their layer and model, since the layers differ by more than the heads of one, and permutations
# stay there. With so few heads only a correlation near one can be told from none: most verdicts on ranks are undecided,
# and the one that is not holds by a hair of a rough interval (Fisher's, as if heads were independent).

# %% tags=["hide-input"]
questions = {
    "multigrams": ("grows with the number of multigrams that depend on the head", criteria.at_least(0)),
    "by_trace": ("orders the heads otherwise than the Hessian trace does", criteria.at_most(0.9)),
    "fisher": ("orders the heads otherwise than the Fisher trace does", criteria.at_most(0.9)),
    "ablation": ("orders the heads otherwise than the loss by ablation does", criteria.at_most(0.9)),
}
among = f"{len(final) // 2} heads of {num_seeds} models"
for layer, part in final.groupby("layer"):
    for name, (words, asks) in questions.items():
        grows = name == "multigrams"
        sheet.claim(
            f"Layer {layer}: the {'final ' * grows}wrLLC {words}", asks=asks,
            paper="correlates, in each layer" if grows else "wrLLC distinguishes head types where these do not",
            found=correlations.rank_correlation_within(part[name], part.llc, part.seed, among, seed=seed),
        )  # fmt: skip
    ratio = part.llc / part.by_trace
    sheet.claim(
        f"Layer {layer}: at the paper's inverse temperature and localization every wrLLC is near a rescaled Hessian "
        "trace", paper="not stated", asks="of every head within 0.25 of 1", holds=((ratio - 1).abs() < 0.25).all(),
        found=Measured(ratio.median(), (ratio.min(), ratio.max()), "median and range over heads"),
        how="wrLLC over n beta tr H / (2 gamma); a first version asked it of the median", kind="own",
    )  # fmt: skip
means = final.pivot_table(index=["layer", "seed"], columns="role", values="llc").reindex(columns=list(drawings.ROLES))
above = (means["multigram"] - means["in context"]).dropna()
sheet.claim(
    "Multigram heads are above the heads of the induction circuit in the same layer (this language)", paper="above",
    found=Measured(
        ", ".join(f"layer {la}, seed {index}: {value:+.2f}" for (la, index), value in above.items()) or "none",
        (above.min(), above.max()) if len(above) else "none", "interval: range over layers of models that have both",
    ),
    asks="every difference above 0, of fewer than three undecided", holds=(above > 0).all() if len(above) > 2 else None,
    how="means of the wrLLC; roles by mean effect for a token (with sums, and bigrams as multigrams, it held)",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# Learning coefficients depend on the scale of the weights at fixed $n\beta$ and $\gamma$. The heads here have norms of
# {glue:text}`smallest_norm:.1f` to {glue:text}`largest_norm:.1f`. The grid shows whether the order of the heads hangs
# on the setting.

# %%
cells = [final.assign(n_beta=n_beta, localization=localization)]
for beta, gamma, epsilon in zip(grid_n_beta, grid_localization, grid_step_size, strict=True):
    setting = {"n_beta": beta, "localization": gamma, "step_size": epsilon}
    for index, model in enumerate(finals):
        cell = wrllc(model, setting=setting, seed=index, n_beta=beta, localization=gamma)
        cells.append(cell.merge(behaviour[["seed", "head", "role"]]))
kept = ["seed", "head", "role", "n_beta", "localization", "llc", "standard_error", "r_hat", "ess"]
cells = pd.concat(cells, ignore_index=True)[kept]

# %% tags=["hide-input", "remove-output"]
figures.show("fig-rllc-grid", drawings.grid, cells=cells)

# %% [markdown]
# ```{glue:figure} fig-rllc-grid
# :name: fig-rllc-grid
# :alt: Lines of the heads over four settings rise and fall together. The two layers stay apart; within a layer several
# :  lines cross.
#
# **The order of the heads at other settings**: final wrLLC of every head at each pair of inverse temperature and
# localization (the first is the paper's), on a logarithmic scale; one line a head, coloured by role, solid layer 1,
# dotted layer 0. Left to right: the models of seeds 0 and 1. The first and last setting share $\gamma / n\beta$, as do
# the second and third, hence the rise and fall. Bars: one standard error, {glue:text}`num_chains` chains of
# {glue:text}`num_draws` draws.
# ```

# %% tags=["hide-input"]
upper = cells[cells["head"].str.startswith("1")]
ranks = upper.pivot_table(index=["seed", "head"], columns=["n_beta", "localization"], values="llc")
correlated = partial(correlations.rank_correlation_within, strata=ranks.index.get_level_values("seed"), seed=seed)
others = [correlated(ranks[n_beta, localization], ranks[one], over="heads of layer 1") for one in list(ranks)]
lowest = min(others, key=lambda one: one.value)  # of the setting with itself 1
sheet.claim(
    "The order of layer 1's heads does not hang on inverse temperature and localization", paper="shown at one setting",
    found=lowest if len(others) > 1 else Measured("no other setting", "none"),
    asks="the interval of the lowest correlation at least 0.7",
    holds=criteria.at_least(0.7)(lowest) if len(others) > 1 else None,
    how="of the wrLLC at the paper's setting and at another one", kind="own",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## Heads that work together
#
# The paper speaks of a *multigram circuit*: heads of both layers that memorise together what neither could alone. It
# finds it by a wrLLC against a one-layer model in place of the data, which is not done here: $w^*$ is no minimum of
# that divergence. Instead, heads are ablated in pairs.

# %% tags=["hide-input", "remove-output"]
joint = head_tools.pair_interactions(finals[0], held_out, world)
figures.show("fig-rllc-circuit", drawings.pairs, joint=joint[joint.kind.isin(drawings.INTERACTIONS)])

# %% [markdown]
# ```{glue:figure} fig-rllc-circuit
# :name: fig-rllc-circuit
# :alt: Four small heat maps of interactions between heads of the two layers, mostly blue.
#
# **Pairs of heads**: the loss when a head of each layer is ablated jointly, beyond the two alone, in nats a token, on
# the tokens of four kinds of rules; model of seed 0. Red: one head stands in for the other; blue: one is of no use
# without the other; bracketed numbers are the ends of the colour scale; no error bars.
# ```
#
# On the tokens of trigram and skip-trigram rules the interactions are far weaker than on bound names and brackets,
# where heads of the two layers work together. A multigram circuit of that strength is not seen; a weak one is not
# excluded, as there are no error bars and skip rules are hardly learned.
#
# ## How much there is to memorise
#
# A recorded sweep runs this notebook with other numbers of trigram rules, more evaluation sequences and more draws, so
# that its numbers at the page's own setting differ a little (`data/recorded/rllc_rules_sweep`, with its provenance; the
# last section has the command). It keeps, for each model, the mean final wrLLC of the heads of each role in each layer.
# Its roles are those of an earlier definition, by *summed* effect with bigrams among the multigrams: what it calls a
# multigram head is often a bigram head, and in layer 0 its in-context heads are previous-token heads. The paper's
# comparison, of multigram and induction heads in layer 1, needs a model with both, whose induction head has formed
# (prefix matching above the threshold of the last chapter).

# %%
kept = final.groupby(["layer", "role", "seed"]).llc.mean()
numbers(**{f"layer_{la}_{role.replace(' ', '_')}_{index}": llc for (la, role, index), llc in kept.items()})
for index, model in enumerate(finals):  # for a sweep to collect
    numbers(**{f"memorised_share_{index}": head_tools.memorised_share(model, held_out, world)})
    numbers(**{f"prefix_matching_{index}": behaviour[behaviour.seed == index].prefix_matching.max()})
sweep = sweep_by_model(recorded_tables("rllc_rules_sweep")["table"], "num_trigram_rules")

# %% tags=["hide-input", "remove-output"]
figures.show("fig-rllc-sweep", drawings.sweep, models=sweep)

# %% [markdown]
# ```{glue:figure} fig-rllc-sweep
# :name: fig-rllc-sweep
# :alt: Left and middle, refined learning coefficients by role against the number of rules on a logarithmic axis:
# :  multigram heads rise most steeply, the others less or not at first. Right, the memorised share rises with the
# :  number of rules; prefix matching is high at middling numbers, differs between the two models at the fewest and
# :  is low at many.
#
# **The order of the head types against how much there is to memorise** (recorded). Left and middle: mean final wrLLC
# of the heads of each role in layer 0 and layer 1, one point a model, two models for each number of rules; lines:
# their mean. Right: share of the multigram rules that are memorised and the best head's prefix matching: training is
# as long for all, and at both ends of the sweep there are models in which no induction head has formed. The skip
# rules stay as many and are hardly learned, which is part of why the share rises with the trigram rules' part of all
# rules.
# ```
# % rests on: The more rules the language has, the higher the wrLLC of multigram heads

# %% tags=["hide-input"]
thresholds = {"prefix_matching": 0.3, "previous_token": 0.2, "current_token": 0.3}
trend = {
    layer: correlations.rank_correlation(*own.dropna().to_numpy().T, "models", seed=seed)
    for layer in "01"
    for own in [sweep[["num_trigram_rules", f"layer_{layer}_multigram"]]]
}
sheet.claim(
    "The more rules the language has, the higher the wrLLC of multigram heads (recorded sweep)",
    paper="wrLLC correlates with memorised multigrams",
    found=Measured(
        ", ".join(f"layer {layer}: {one.value:.2f}" for layer, one in trend.items()), trend["0"].interval,
        f"interval: layer 0, {trend['0'].over} that have such heads",
    ),
    asks="in both layers an interval above 0", holds=criteria.all_hold(*map(criteria.above(0), trend.values())),
    how="Spearman of a layer's mean with the number of trigram rules; heads of every role rise", kind="own",
)  # fmt: skip
formed = sweep[sweep.prefix_matching > thresholds["prefix_matching"]]
gaps = (formed.layer_1_multigram - formed.layer_1_in_context).dropna()
sheet.claim(
    "Multigram heads of layer 1 are above in-context heads where an induction head has formed (recorded sweep)",
    paper="above", asks="every difference above 0, of fewer than three undecided",
    holds=(gaps > 0).all() if len(gaps) > 2 else None,
    found=Measured(
        f"{(gaps > 0).sum()} of {len(gaps)} models: {', '.join(f'{gap:+.2f}' for gap in gaps)}",
        (gaps.min(), gaps.max()) if len(gaps) > 1 else "none", "range of the differences" if len(gaps) > 1 else "",
    ),
    how=f"of {len(sweep)} models those with heads of both kinds in layer 1 and prefix matching above "
    f"{thresholds['prefix_matching']} (a first version counted both layers of all models: 9 of 9)",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## Prose and code
#
# The real-text model of the last chapter, from its recorded checkpoints: the wrLLC of each head on prose and code and,
# refined by data, on prose and on code alone (recorded too, in the same folder). Half of its training sequences
# repeated a passage, and these data have no repeats, so that at the last checkpoint the wrLLC is estimated on data as
# in the training, too. That augmentation pays for an induction head: the order of the heads here is no evidence about
# models of text as it is. Types are read off the trained model's attention, the first that applies: *prefix matching*
# (induction) on repeated random tokens, then *previous token*, then *current token*, each above a threshold, else
# *other*. The paper's multigram heads are those that are none of the first three; here half of the heads of layer 1
# attend to the previous or the current token, too, so that the claims compare the induction head with all others.

# %%
text = recorded_text_run(recorded_path("language_model", "checkpoints"))
last_step, sources = text.checkpoints.steps[-1], text.corpus.sources
sample = partial(language.text_sequences, text.corpus, length=text.length)
held_out_text = {source: sample(source, num_sequences=24, seed=seed + 1, held_out=True) for source in sources}
final_text = text.checkpoints.model(last_step)
described = head_tools.describe_text_heads(final_text, held_out_text, text.corpus.num_tokens, thresholds, seed=seed)
best = described.loc[described.prefix_matching.idxmax()]
numbers(**{f"induction_{source}": best[f"ablation {source}"] for source in sources})
if text_wrllc:
    data = {source: sample(source, num_sequences=1024, seed=seed + 2) for source in sources}
    data["both"] = torch.cat(list(data.values()))
    wanted = sorted({text.checkpoints.nearest(last_step / 2.5**k) for k in range(text_points)})
    found = [wrllc(text.checkpoints.model(at), own, step=at, data_set=n) for at in wanted for n, own in data.items()]
    text_curves = pd.concat(found, ignore_index=True)
    text_curves.to_csv(output_folder() / "wrllc.csv", index=False)
else:
    text_curves = recorded_tables("language_model")["wrllc"]
as_trained = text.stream(2048, seed + 3)(0)[0][0]  # repeats included
longer = here | {"num_draws": text_draws}
as_trained = wrllc(final_text, as_trained, setting=longer, step=last_step, data_set="training")
made_here = pd.concat([curves, cells, as_trained])
numbers(worst_r_hat=made_here.r_hat.max(), least_ess=made_here.ess.min())
numbers(text_r_hat=text_curves.r_hat.max(), text_ess=text_curves.ess.min())
text_curves = pd.concat([text_curves, as_trained], ignore_index=True)
text_curves = text_curves.merge(described[["head", "layer", "type", "ablation"]])

# %% tags=["hide-input", "remove-output"]
figures.show("fig-rllc-text-curves", drawings.text_curves, curves=text_curves)

# %% [markdown]
# ```{glue:figure} fig-rllc-text-curves
# :name: fig-rllc-text-curves
# :alt: Six line charts of refined learning coefficients against the training step, all rising, and two charts of
# :  their last values on training data. In layer 1 the induction head starts among the lowest and ends highest on code
# :  and on both, level with others on prose; in layer 0 two heads pull away from the others late in training.
#
# **wrLLC of every head of the text model over training**, refined by data: prose, code, both, none with repeats
# (recorded), and at the last checkpoint on data as in its training, with repeats (made here); rows: layers; one curve a
# head, coloured by its type at the end. One model, two chains a head; bars: one standard error, which for differences
# between heads is too large, as all met the same minibatches.
# ```
# % rests on: The text model: on code the induction heads are above

# %% tags=["hide-input"]
last = text_curves[text_curves.step == last_step]
upper = last[last.layer == "1"].pivot(index=["type", "head"], columns="data_set", values="llc")
is_induction = upper.index.get_level_values("type") == "prefix_matching"
none = Measured("no induction head", "none")
for name, asks, statement, paper in (
    ("training", criteria.at_least(0), "on data as in its training the other heads of layer 1 are above its induction "
     "heads", "multigram above induction"),
    ("both", criteria.at_least(0), "the other heads of layer 1 are above its induction heads",
     "multigram above induction"),
    (sources[-1], criteria.at_most(0), f"on {sources[-1]} the induction heads are above the other heads of layer 1",
     "induction heads jump up on code"),
):  # fmt: skip
    pair = upper[name][~is_induction], upper[name][is_induction]
    gap = intervals.difference_of_groups(*pair) if is_induction.any() else none
    sheet.claim(
        f"The text model: {statement}", paper=paper, asks=str(asks), holds=asks(gap) if is_induction.any() else None,
        found=replace(gap, value=f"{gap.value:+.2f}") if is_induction.any() else none,
        how="mean final wrLLC of layer 1's other heads minus that of its induction heads; half of the training "
        "sequences repeat a passage, which pays for an induction head; the other data have no such repeats",
    )  # fmt: skip
jump = upper[sources[-1]] / upper[sources[0]]
own, rest = jump[is_induction], jump[~is_induction]
sheet.claim(
    f"The text model: from {sources[0]} to {sources[-1]} the induction heads' wrLLC grows most in layer 1",
    paper="jumps up on code", asks="the smallest ratio of an induction head above the largest of the others",
    found=Measured(own.mean(), (jump.min(), jump.max()), "interval: range over layer 1") if len(own) else none,
    holds=own.min() > rest.max() if len(own) else None,
    how=f"ratio of the two wrLLCs, mean over induction heads; others {rest.mean():.2f}, at most {rest.max():.2f}",
)  # fmt: skip
both = last[last.data_set == "both"]
sheet.claim(
    "The text model: within a layer the wrLLC grows with the loss by ablation", paper="not stated",
    found=correlations.rank_correlation_within(both.ablation, both.llc, both.layer, f"{len(both)} heads", seed=seed),
    asks=criteria.at_least(0), how="mean ablation, held-out sequences of prose and code", kind="own",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# Our reading, for the synthetic language: at this temperature a wrLLC is mostly a trace of the Hessian, a curvature,
# from as large to about twice as large; that it follows the loss by ablation over both layers together is mostly the
# difference between the layers. In the text model no trace was measured; there it follows the loss by ablation within
# each layer, too. Its one head that passes the threshold for induction, narrowly, overtakes the others of its layer
# as its prefix matching rises on code and on both together; on prose it only draws level, on data as in its training
# it is as far above as on code. Two heads of layer 0 rise with it. Ablating that induction head changes the loss by
# {glue:text}`induction_prose:.3f` nats a token on held-out prose and by {glue:text}`induction_code:.3f` on code:
# prose that repeats no passage gains nothing by it.
#
# ## What it means, and what is open
#
# In the synthetic language a wrLLC is one to two times a trace of the Hessian; in the text model it follows, within a
# layer, what a head is worth to the loss. Whether it knows more than that, such as what a head is for, needs more
# heads in a layer than eight, or many models of one kind; a run at the paper's scale waits for a GPU.
#
# ## Claims
#
# Intervals over heads are Fisher's, those over models are ranges; no claim uses the pairing of minibatches. The worst
# R-hat of all estimates of this page is {glue:text}`worst_r_hat:.2f`, of the recorded ones {glue:text}`text_r_hat:.2f`;
# the smallest effective sample sizes are {glue:text}`least_ess:.0f` and {glue:text}`text_ess:.0f`. With fewer than
# about ten effective draws a standard error is itself unreliable.

# %% tags=["hide-input"]
sheet.finish()

# %% [markdown]
# ## Further
#
# ```
# python -m devinterp_core.companion sweep notebooks/params/rllc_rules_sweep.yaml
# python -m devinterp_core.companion run 08_rllc_head_specialization -p num_trigram_rules 1000 -p num_steps 6000
# python -m devinterp_core.companion run 08_rllc_head_specialization -p n_beta 300.0 -p localization 200.0
# python -m devinterp_core.companion run 08_rllc_head_specialization \
#     -f notebooks/params/08_rllc_head_specialization.recorded.yaml
# ```
