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
# {cite:t}`wang2025rllc` refine the local learning coefficient by weights: only the parameters of one attention
# head move (*wrLLC*), on the training distribution or on another one (*data refinement*). Followed over training, the
# wrLLCs of the heads drift apart, and by their curves alone K-means finds the head types. Three questions:
#
# 1. Do the curves tell what a head is for?
# 2. Are heads that memorise multigrams above induction heads, as in the paper? An earlier trial of ours found the opposite.
# 3. What does the wrLLC measure that simpler numbers, such as the trace of the Hessian, do not?
#
# In the synthetic language of the [last chapter](07_language_model_development.ipynb) every token comes with the rule that
# made it. What a head is for, and how many multigrams depend on it, is therefore counted and not estimated. The order of the
# head types is then followed through a sweep over how much there is to memorise, and looked at in a model of real text.

# %% tags=["parameters"]
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

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from myst_nb import glue

from devinterp_core import language
from devinterp_core.companion import claims, figures, intervals
from devinterp_core.companion.output import cache_folder, output_folder
from devinterp_core.companion.project import root
from devinterp_core.companion.recorded import recorded_text_run
from devinterp_core.heads import (
    ablated_losses,
    dependent_rules,
    head_roles,
    head_scores,
    joint_ablation,
    make_probe,
    memorised_rules,
)
from devinterp_core.llc import coefficient_table, fisher_traces, hessian_traces, refined_llc
from devinterp_core.train import TrainingSettings, log_and_linear_steps, train
from devinterp_core.trajectory.clusters import adjusted_rand, cluster_curves
from devinterp_core.transformer import Transformer, all_heads, attention_only, head_mask

torch.set_num_threads(1)
figures.use_style()
sheet = claims.ClaimSheet("08_rllc_head_specialization", paper="Wang et al. (2025), arXiv:2410.02984")
recorded = root() / "data/recorded"
role_colors = {
    "bigram": figures.COLORS["sky"],
    "multigram": figures.COLORS["blue"],
    "in context": figures.COLORS["vermillion"],
    "bracket": figures.COLORS["green"],
    "none": figures.COLORS["grey"],
}

# %% [markdown]
# ## What the heads are for
#
# The models are those of the last chapter. Each head is ablated, its output replaced by the mean at each position, and the
# rise of the loss is averaged over the tokens of each kind of rule: *bigrams*, *multigrams* (trigram and skip-trigram rules),
# *in context* (words bound to names, repeated segments) and *brackets*. The kind whose tokens lose most, one by one, is the
# head's role; a sum would make most heads bigram heads, as half of the tokens are bigrams. The attention scores beside it are
# those of the last chapter.

# %%
world = language.SyntheticLanguage(
    num_words=num_words, num_trigram_rules=num_trigram_rules, num_skip_rules=num_skip_rules, seed=seed
)
stream = language.LanguageStream((world,) * num_seeds, batch_size, length, seeds=tuple(seed + i for i in range(num_seeds)))
settings = TrainingSettings(
    num_steps=num_steps, learning_rate=learning_rate, num_warmup=min(100, num_steps), weight_decay=weight_decay
)
steps = log_and_linear_steps(num_steps, num_log_checkpoints, num_linear_checkpoints)
trainings = {}
for num_layers in (2, 1):
    config = attention_only(world.vocabulary.size, width, num_heads, length, num_layers=num_layers)
    trainings[num_layers] = train(
        [Transformer(config, seed=seed + index) for index in range(num_seeds)],
        stream,
        language.next_token_loss,
        settings,
        checkpoint_steps=steps,
        folder=cache_folder(),
        compile=compile_step,
    )
trained = trainings[2]
finals = [trained.model(trained.steps[-1], index) for index in range(num_seeds)]
heads = all_heads(finals[0])
glue("training_seconds", trained.record["seconds"] + trainings[1].record["seconds"], display=False)

# %%
held_out = world.draw(num_sequences, length, seed=60_000 + seed)
kinds = world.kinds(held_out.rules)
words = torch.arange(world.vocabulary.words, world.vocabulary.words + num_words)
probe = make_probe(
    held_out.tokens,
    held_out.tokens,
    world.vocabulary.size,
    candidates=words,
    queries=torch.arange(world.vocabulary.names, world.vocabulary.openings),
    seed=seed,
)
rows = []
for index, model in enumerate(finals):
    with torch.no_grad():
        losses = language.next_token_losses(model(held_out.tokens), held_out.tokens)
    attention, roles = head_scores(model, probe), head_roles(model, held_out.tokens, kinds)
    for head in heads:
        ablated = ablated_losses(model, held_out.tokens, head, "mean by position")
        dependent = dependent_rules(losses, ablated, held_out.rules[:, 1:], world.num_rules, min_occurrences=3)
        row = {"seed": index, "head": head, "role": roles[head].role, "ablation": roles[head].effect}
        row |= {"multigrams": int(dependent.holds.sum())} | {f"share {k}": v for k, v in roles[head].shares.items()}
        rows.append(row | attention[head])
behaviour = pd.DataFrame(rows)
behaviour.round(2)

# %% [markdown]
# ## Refined learning coefficients over training
#
# All heads and chains advance in one vectorised batch; every head meets the same minibatches, so that differences between
# heads are more precise than the error bars of each say.

# %%
chain_data = world.draw(2048, length, seed=80_000 + seed).tokens
sgld = {
    "num_chains": num_chains,
    "num_burnin": num_burnin,
    "num_draws": num_draws,
    "batch_size": chain_batch_size,
    "seed": seed,
    "progress": False,
}


def wrllc(model, data=chain_data, loss=language.next_token_loss, beta=n_beta, gamma=localization, epsilon=step_size, **labels):
    """Table of every head's refined LLC."""
    own = {head: head_mask(model, head) for head in all_heads(model)}
    draws = refined_llc(model, data, loss, own, n_beta=beta, localization=gamma, step_size=epsilon, **sgld)
    return coefficient_table(draws, pd.DataFrame([labels | {"head": head} for head in own]))


wanted = np.geomspace(max(1, num_steps / 100), num_steps, num_curve_points)
curve_steps = sorted({trained.nearest(step) for step in wanted})
curves = pd.concat(
    [
        wrllc(trained.model(step, index), seed=index, step=step)
        for index in range(num_seeds)
        for step in curve_steps
    ],
    ignore_index=True,
).merge(behaviour[["seed", "head", "role", "multigrams"]])
final = curves[curves.step == curve_steps[-1]].drop(columns=["role", "multigrams"]).merge(behaviour)
clusters = []
for layer in "01":
    part = curves[curves["head"].str.startswith(layer)].pivot(index=["seed", "head"], columns="step", values="llc")
    types = behaviour.set_index(["seed", "head"]).role.loc[part.index]
    for scale in ("none", "standardize", "min-max"):
        labels = cluster_curves(part.to_numpy(), min(types.nunique(), len(part)), scale, seed=seed)
        found = pd.DataFrame({"layer": layer, "scale": scale, "cluster": labels, "role": types.to_numpy()}, index=part.index)
        clusters.append(found.reset_index())
clusters = pd.concat(clusters, ignore_index=True)

# %% mystnb={"figure": {"caption": "**wrLLC of every head along training**, layer 0 (left) and layer 1 (middle), coloured by what the trained head is for (role by ablation); one line a head, solid for seed 0, dashed for seed 1; bars: one standard error; the vertical axes differ. Right: mean rise of the loss for a token of each role when the head is ablated, as shares of their sum (where ablation lowers a loss, it counts as zero); labels: seed, layer:head.", "name": "fig-rllc-curves"}, "image": {"alt": "Left and middle, curves of refined learning coefficients that rise and spread with training, highest in layer zero. Right, stacked bars of the roles of each head."}} tags=["hide-input"]
fig, (left, middle, right) = plt.subplots(1, 3, figsize=figures.size("double", 0.42), width_ratios=[1, 1, 1.1])
for (index, head), part in curves.groupby(["seed", "head"]):
    ax = left if head.startswith("0") else middle
    ax.errorbar(part.step, part.llc, part.standard_error, color=role_colors[part.role.iloc[0]], ls=("-", "--", ":")[index % 3], lw=1, ms=3)
for ax, layer in ((left, 0), (middle, 1)):
    ax.set(xscale="log", xlabel="training step", title=f"layer {layer}", ylim=(0, None))
left.set_ylabel("wrLLC of the head")
offset = np.zeros(len(behaviour))
for role in ("bigram", "multigram", "in context", "bracket"):
    right.barh(np.arange(len(behaviour)), behaviour[f"share {role}"], left=offset, color=role_colors[role], label=role)
    offset += behaviour[f"share {role}"].to_numpy()
right.set(yticks=np.arange(len(behaviour)), xlabel="share of the rise for a token", xlim=(0, 1))
right.set_yticklabels([f"{row.seed}, {row.head}" for row in behaviour.itertuples()], fontsize=6)
right.invert_yaxis()
right.legend(fontsize=6, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=0.6, handlelength=1)
figures.save(fig, "fig-rllc-curves", data={"curves": curves, "behaviour": behaviour, "clusters": clusters})

# %% [markdown]
# ## What else would tell
#
# To second order, and if its gradient vanishes there, the loss of a head around $w^*$ is
# $\tfrac12 (v - v^*)^\top H_{VV} (v - v^*)$. Where all its curvatures $h_i$ are small against $\gamma / n\beta$, the
# estimate is
#
# $$\hat\lambda \approx \frac12 \sum_i \frac{n\beta\, h_i}{n\beta\, h_i + \gamma} \approx \frac{n\beta}{2 \gamma} \operatorname{tr} H_{VV},$$
#
# a multiple of the Hessian's trace, from below. At the paper's settings $\gamma / n\beta$ is
# {glue:text}`curvature_bound:.1f`; the single curvatures are not measured. The figure compares the two, and puts the other
# competitors of the paper beside them. The measured wrLLCs lie *above* the trace: a few per cent are the finite step; what
# the gradient at $w^*$, its noise and higher orders add is not separated here.

# %%
glue("curvature_bound", localization / n_beta, display=False)
masks = {head: head_mask(finals[0], head) for head in heads}
traces = []
for index, model in enumerate(finals):
    hessian = hessian_traces(model, chain_data[:num_trace_sequences], language.next_token_loss, masks, num_probes=num_probes, seed=seed)
    fisher = fisher_traces(model, chain_data[:num_trace_sequences], language.next_token_loss, masks)
    for head in heads:
        error = float(hessian[head].std() / num_probes**0.5)
        row = {"seed": index, "head": head, "hessian": float(hessian[head].mean()), "hessian_error": error}
        norm = sum(float(p.detach()[masks[head][name]].square().sum()) for name, p in model.named_parameters() if name in masks[head]) ** 0.5
        traces.append(row | {"fisher": float(fisher[head].mean()), "norm": norm})
final = final.merge(pd.DataFrame(traces))
final["by_trace"] = n_beta / (2 * localization) * final.hessian
glue("smallest_norm", final.norm.min(), display=False)
glue("largest_norm", final.norm.max(), display=False)

# %% mystnb={"figure": {"caption": "**The final wrLLC against other measures of a head**: dependent multigrams (rules whose loss rises by half a nat or more without the head, counted exactly; lines: least squares within each layer, solid layer 0, dashed layer 1), the Hessian's trace in the units that the wrLLC has where it is small (dashed: equality; bars: one standard error over random probes), the Fisher information's trace, and the loss by ablation. One point a head, `num_seeds` models, coloured by role; circles layer 0, triangles layer 1. Vertical bars: one standard error.", "name": "fig-rllc-competitors"}, "image": {"alt": "Four scatter plots of the refined learning coefficient of each head; the two layers are two clouds, within which it does not clearly rise with the number of dependent multigrams; it lies on or above the diagonal against the rescaled Hessian trace."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 4, figsize=figures.size("double", 0.34), sharey=True)
panels = [("multigrams", "dependent multigrams"), ("by_trace", r"$n\beta\,\mathrm{tr}\,H / 2\gamma$"), ("fisher", "Fisher trace"), ("ablation", "loss by ablation (nats)")]
for ax, (column, label) in zip(axes, panels, strict=True):
    for row in final.itertuples():
        marker = "o" if row.head.startswith("0") else "^"
        across = n_beta / (2 * localization) * row.hessian_error if column == "by_trace" else None
        ax.errorbar(getattr(row, column), row.llc, row.standard_error, xerr=across, marker=marker, ms=4, ls="none", color=role_colors[row.role])
    ax.set(xlabel=label)
for layer, part in final.groupby(final["head"].str[0]):
    if part.multigrams.nunique() > 1:
        slope, intercept, _ = intervals.of_slope(part.multigrams, part.llc)
        span = np.array([part.multigrams.min(), part.multigrams.max()])
        axes[0].plot(span, intercept + slope * span, color=figures.COLORS["black"], ls="-" if layer == "0" else "--", lw=1)
axes[1].plot([0, final.llc.max()], [0, final.llc.max()], color=figures.COLORS["grey"], ls="--", lw=1)
axes[0].set(ylabel="final wrLLC", ylim=(0, None))
figures.save(fig, "fig-rllc-competitors", data=final)

# %% [markdown]
# Learning coefficients depend on the scale of the weights at fixed $n\beta$ and $\gamma$. The heads here have norms of
# {glue:text}`smallest_norm:.1f` to {glue:text}`largest_norm:.1f`. The grid shows whether the order of the heads hangs on the setting.

# %%
grid = list(zip(grid_n_beta, grid_localization, grid_step_size, strict=True))
settings_grid = [(n_beta, localization, step_size), *grid]
cells = [final.assign(n_beta=n_beta, localization=localization)[["seed", "head", "role", "llc", "standard_error", "n_beta", "localization"]]]
for beta, gamma, epsilon in grid:
    for index, model in enumerate(finals):
        cell = wrllc(model, beta=beta, gamma=gamma, epsilon=epsilon, seed=index, n_beta=beta, localization=gamma)
        cells.append(cell.merge(behaviour[["seed", "head", "role"]]))
cells = pd.concat(cells, ignore_index=True)

# %% mystnb={"figure": {"caption": "**The order of the heads at other settings**: final wrLLC of every head at each pair of inverse temperature and localization (the first is the paper's), on a logarithmic scale; one line a head, coloured by role, solid layer 1, dotted layer 0. Left to right: the models of seeds 0 and 1. The first and last setting share $\\gamma / n\\beta$, as do the second and third, hence the rise and fall. Bars: one standard error, `num_chains` chains of `num_draws` draws.", "name": "fig-rllc-grid"}, "image": {"alt": "Lines of the heads over four settings rise and fall together. The two layers stay apart; within a layer several lines cross."}} tags=["hide-input"]
fig, axes = plt.subplots(1, num_seeds, figsize=figures.size("double", 0.4), sharey=True, squeeze=False)
for index, ax in enumerate(axes[0]):
    for head, part in cells[cells.seed == index].groupby("head"):
        ax.errorbar(np.arange(len(part)), part.llc.clip(lower=0.1), part.standard_error, color=role_colors[part.role.iloc[0]], ls=":" if head.startswith("0") else "-", lw=1, ms=3)
    ax.set(yscale="log", xticks=np.arange(len(settings_grid)), title=f"seed {index}", xlabel=r"$n\beta$, $\gamma$")
    ax.set_xticklabels([f"{beta:.0f}, {gamma:.0f}" for beta, gamma, _ in settings_grid], fontsize=7)
axes[0, 0].set_ylabel("final wrLLC of the head")
figures.save(fig, "fig-rllc-grid", data=cells)

# %% [markdown]
# ## Heads that work together
#
# The paper speaks of a *multigram circuit*: heads of both layers that memorise together what neither could alone. Two ways to
# look for it. First, the heads' wrLLC against the predictions of a *one-layer* model in place of the data: the loss is the divergence
# of the one-layer model's predictions from the head's model, so that what only two layers can do does not count. (How exactly
# the paper subtracts its one-layer model cannot be read from what we have; this is our reading.) Second, ablations of pairs: a head of each
# layer, jointly beyond one by one.

# %%
circuit, joint = [], []
for index, model in enumerate(finals):
    single = trainings[1].model(trainings[1].steps[-1], index)
    with torch.no_grad():
        predictions = torch.cat([single(part).log_softmax(-1) for part in chain_data.split(256)])
        lone = float(language.next_token_loss(single, held_out.tokens).mean())
        both = float(language.next_token_loss(model, held_out.tokens).mean())
    against = wrllc(model, data=(chain_data, predictions), loss=language.divergence_from_baseline, seed=index)
    circuit.append(against.merge(behaviour[["seed", "head", "role"]]).assign(loss_of_one_layer=lone, loss_of_two_layers=both))
    for kind, matrix in joint_ablation(model, held_out.tokens, kinds).items():
        for lower in range(num_heads):
            for upper in range(num_heads):
                row = {"seed": index, "kind": kind, "lower": f"0:{lower}", "upper": f"1:{upper}"}
                joint.append(row | {"interaction": float(matrix[lower, upper])})
joint = pd.DataFrame(joint)
circuit = pd.concat(circuit, ignore_index=True).merge(final[["seed", "head", "llc"]].rename(columns={"llc": "llc_on_data"}))
glue("loss_of_one_layer", circuit.loss_of_one_layer.mean(), display=False)
glue("loss_of_two_layers", circuit.loss_of_two_layers.mean(), display=False)

# %% mystnb={"figure": {"caption": "**Pairs of heads, and what two layers add.** Left: final wrLLC of each head against a one-layer model's predictions (vertical) and on the data (horizontal), one point a head, `num_seeds` models, coloured by role, circles layer 0, triangles layer 1; dashed: equality; bars: one standard error. Others: ablating a head of each layer jointly beyond one by one, in nats a token, on the tokens of four kinds of rules, model of seed 0. Red: one head stands in for the other; blue: one is of no use without the other; bracketed numbers are the ends of the colour scale; no error bars. Negative values on the left have no clear meaning: $w^*$ was trained on the data and is no minimum of the divergence from the one-layer model.", "name": "fig-rllc-circuit"}, "image": {"alt": "A scatter plot in which every head lies below the diagonal, some below zero; four small heat maps of interactions between heads of the two layers, mostly blue."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 5, figsize=figures.size("double", 0.3), width_ratios=[1.5, 1, 1, 1, 1])
for row in circuit.itertuples():
    marker = "o" if row.head.startswith("0") else "^"
    axes[0].errorbar(row.llc_on_data, row.llc, row.standard_error, marker=marker, ms=4, ls="none", color=role_colors[row.role])
top = max(circuit.llc_on_data.max(), circuit.llc.max())
axes[0].plot([0, top], [0, top], color=figures.COLORS["grey"], ls="--", lw=1)
axes[0].set(xlabel="wrLLC on the data", ylabel="wrLLC on the baseline", xlim=(0, None))
axes[0].axhline(0, color=figures.COLORS["black"], ls="-", lw=0.5)
for ax, kind in zip(axes[1:], ("trigram", "skip", "binding", "close"), strict=True):
    part = joint[(joint.seed == 0) & (joint.kind == kind)]
    table = part.pivot(index="lower", columns="upper", values="interaction") if len(part) else pd.DataFrame(np.zeros((num_heads, num_heads)))
    reach = max(float(np.abs(table.to_numpy()).max()), 0.01)
    ax.imshow(table, cmap="RdBu_r", vmin=-reach, vmax=reach)
    ax.set(title=f"{kind} (to {reach:.1f})", xticks=range(num_heads), yticks=range(num_heads))
    ax.set_xticklabels(table.columns, fontsize=6)
    ax.set_yticklabels(table.index, fontsize=6)
figures.save(fig, "fig-rllc-circuit", data={"circuit": circuit, "joint": joint})

# %% [markdown]
# The one-layer models reach a loss of {glue:text}`loss_of_one_layer:.3f` nats, the two-layer models
# {glue:text}`loss_of_two_layers:.3f`. The interactions on the tokens of trigram and skip-trigram rules are far weaker than those
# on bound names and brackets: heads of the two layers work together there, and no multigram circuit is seen.
#
# ## How much there is to memorise
#
# The order of the head types may depend on the language. A recorded sweep runs this notebook with other numbers of trigram rules,
# more evaluation sequences and more draws, so that its numbers at the page's own setting differ a little, and its share of
# memorised rules by more, since rarer rules are counted (recorded: `data/recorded/rllc_rules_sweep`, with its provenance; the
# last section has the command). It keeps, for each model, the mean final wrLLC of the heads of each role in each layer. Its
# roles are those of an earlier definition, by *summed* effect with bigrams among the multigrams: what it calls a multigram
# head is often a bigram head, and in layer 0 its in-context heads are previous-token heads. The paper's comparison, of
# multigram and induction heads in layer 1, needs a model with both, whose induction head has formed (prefix matching above
# the threshold of the last chapter).

# %%
for (layer, role, index), part in final.groupby([final["head"].str[0], "role", "seed"]):
    glue(f"layer_{layer}_{role.replace(' ', '_')}_{index}", float(part.llc.mean()), display=False)
for index, model in enumerate(finals):
    with torch.no_grad():
        losses = language.next_token_losses(model(held_out.tokens), held_out.tokens)
    known = memorised_rules(losses, held_out.rules[:, 1:], world.num_rules, min_occurrences=3)
    glue(f"memorised_share_{index}", float(known.holds.sum() / (known.occurrences >= 3).sum().clamp_min(1)), display=False)
    glue(f"prefix_matching_{index}", float(behaviour[behaviour.seed == index].prefix_matching.max()), display=False)
table = pd.read_csv(recorded / "rllc_rules_sweep/table.csv")
numbers = table[(table.kind == "number") & table.quantity.str.fullmatch(r"(layer_\d|memorised_share|prefix_matching)\w*_\d+")]
sweep = numbers.assign(
    value=numbers.measured.astype(float),
    model=numbers.quantity.str.rsplit("_", n=1).str[1],
    what=numbers.quantity.str.rsplit("_", n=1).str[0],
).pivot(index=["num_trigram_rules", "model"], columns="what", values="value").reset_index()
sweep.round(2)

# %% mystnb={"figure": {"caption": "**The order of the head types against how much there is to memorise** (recorded sweep over the number of trigram rules). Left and middle: mean final wrLLC of the heads of each role (by summed effect, bigrams counted as multigrams) in layer 0 and layer 1, one point a model, two models for each number of rules; lines: their mean. Right: share of the multigram rules that are memorised and the best head's prefix matching, one point a model: where the latter is low, no induction head has formed: training is as long for all, and at both ends of the sweep there are such models, whose in-context heads are then no induction heads. The skip rules stay as many and are hardly learned, so that the share rises with the trigram rules' part of all rules. Heads of every role rise with the number of rules, not those for multigrams alone.", "name": "fig-rllc-sweep"}, "image": {"alt": "Left and middle, refined learning coefficients by role against the number of rules on a logarithmic axis: all rise, multigram heads most steeply. Right, the memorised share rises with the number of rules; prefix matching is highest at few to middling numbers and low at many."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=figures.size("double", 0.38))
for layer, ax in enumerate(axes[:2]):
    for role, color in role_colors.items():
        column = f"layer_{layer}_{role.replace(' ', '_')}"
        if column in sweep:
            mean = sweep.groupby("num_trigram_rules")[column].mean().dropna()
            ax.plot(sweep.num_trigram_rules, sweep[column], "o", color=color, ms=4, ls="none")
            ax.plot(mean.index, mean, color=color, ls="-", lw=1, label=role)
    ax.set(xscale="log", xlabel="trigram rules", title=f"layer {layer}", ylim=(0, None))
for column, color in (("memorised_share", figures.COLORS["blue"]), ("prefix_matching", figures.COLORS["vermillion"])):
    axes[2].plot(sweep.num_trigram_rules, sweep[column], "o", color=color, ms=4, ls="none", label=column.replace("_", " "))
axes[0].set_ylabel("mean wrLLC of the role's heads")
axes[2].set(xscale="log", xlabel="trigram rules", ylim=(0, 1), title="behaviour")
for ax in axes[1:]:
    ax.legend(fontsize=6)
figures.save(fig, "fig-rllc-sweep", data=sweep)

# %% [markdown]
# ## Prose and code
#
# The real-text model of the last chapter, from its recorded checkpoints: the wrLLC of each head on prose and code and,
# refined by data, on prose and on code alone (recorded too, in the same folder). None of this is its training distribution:
# half of its training sequences repeated a passage, and these data have no repeats. That augmentation pays for an induction
# head, so that the order of the heads here is no evidence about models of text as it is. Head types are read off the trained model's attention, the
# first that applies: *induction* where prefix matching on repeated random tokens exceeds a threshold, then *previous token*,
# then *current token* (a head can exceed both), else *other*. The paper's multigram heads are those that are none of the
# first three; here most heads of layer 1 attend to the previous or the current token, too, so that the claims compare the
# induction head with all others of its layer.

# %%
text = recorded_text_run(recorded / "language_model/checkpoints")
text_model = text.checkpoints.model(text.checkpoints.steps[-1])
sources = text.corpus.sources
samples = {s: language.text_sequences(text.corpus, s, 24, text.length, seed=seed + 1, held_out=True) for s in sources}
mixed = torch.cat(list(samples.values()))
scores = pd.DataFrame(head_scores(text_model, make_probe(mixed, mixed, text.corpus.num_tokens, block_length=24, seed=seed))).T
with torch.no_grad():
    text_losses = language.next_token_losses(text_model(mixed), mixed)
ablated = {head: ablated_losses(text_model, mixed, head, "mean by position") for head in scores.index}
scores["ablation"] = {head: float((losses - text_losses).mean()) for head, losses in ablated.items()}
induction_head = scores.prefix_matching.idxmax()
for name, rise in zip(sources, (ablated[induction_head] - text_losses).split(24), strict=True):
    glue(f"induction_{name}", float(rise.mean()), display=False)
thresholds = {"prefix_matching": 0.3, "previous_token": 0.2, "current_token": 0.3}
types = scores[list(thresholds)].gt(pd.Series(thresholds)).apply(lambda row: row.idxmax() if row.any() else "other", axis=1)
text_steps = sorted({text.checkpoints.nearest(text.checkpoints.steps[-1] / 2.5**k) for k in range(text_points)})
if text_wrllc:
    own = {s: language.text_sequences(text.corpus, s, 1024, text.length, seed=seed + 2) for s in sources}
    found = []
    for step in text_steps:
        model = text.checkpoints.model(step)
        for name, data in (own | {"both": torch.cat(list(own.values()))}).items():
            found.append(wrllc(model, data=data, step=step, data_set=name))
            pd.concat(found).to_csv(output_folder() / "wrllc.csv", index=False)
    text_curves = pd.concat(found, ignore_index=True)
else:
    text_curves = pd.read_csv(recorded / "language_model/wrllc.csv")
text_curves = text_curves.assign(type=text_curves["head"].map(types), layer=text_curves["head"].str[0])
all_chains = pd.concat([curves, cells, circuit])
glue("worst_r_hat", all_chains.r_hat.max(), display=False)
glue("least_ess", all_chains.ess.min(), display=False)
glue("text_r_hat", text_curves.r_hat.max(), display=False)
glue("text_ess", text_curves.ess.min(), display=False)
scores.assign(type=types).round(2)

# %% mystnb={"figure": {"caption": "**wrLLC of every head of the text model over training** (recorded), refined by data (columns: prose and code without repeats, prose, code), one curve a head, rows: layers, coloured by the head's type at the end. One model, two chains a head, draws as in the run's provenance; bars: one standard error, which for differences between heads is too large, as all met the same minibatches.", "name": "fig-rllc-text-curves"}, "image": {"alt": "Six line charts of refined learning coefficients against the training step, all rising. In layer 1 the induction head starts among the lowest and ends highest, by most on code; in layer 0 two heads pull away from the others late in training."}} tags=["hide-input"]
type_colors = {"prefix_matching": figures.COLORS["vermillion"], "previous_token": figures.COLORS["purple"], "current_token": figures.COLORS["green"], "other": figures.COLORS["blue"]}
fig, axes = plt.subplots(2, 3, figsize=figures.size("double", 0.62), sharex=True, sharey=True)
for (layer, name), part in text_curves.groupby(["layer", "data_set"]):
    ax = axes[int(layer), ["both", *sources].index(name)]
    for head, curve in part.groupby("head"):
        ax.errorbar(curve.step, curve.llc, curve.standard_error, color=type_colors[types[head]], ls="-", marker=".", ms=4, lw=1)
    ax.set(xscale="log", title=f"layer {layer}, {'prose and code' if name == 'both' else name}")
for kind in types.unique():
    axes[1, 0].plot([], [], color=type_colors[kind], ls="-", label=kind.replace("_", " "))
axes[1, 0].legend(fontsize=6)
axes[0, 0].set_ylim(0, None)
for ax in axes[:, 0]:
    ax.set_ylabel("wrLLC")
for ax in axes[1]:
    ax.set_xlabel("training step")
figures.save(fig, "fig-rllc-text-curves", data=text_curves)

# %% mystnb={"figure": {"caption": "**wrLLC of the heads of the trained text model** (recorded). Left: on prose and code without repeats, every head, coloured by its type. Middle and right: refined by data, on code against prose, layer 0 and layer 1; dashed: equality. One model, two chains a head, draws as in the run's provenance; bars: one standard error, which for differences between heads is too large, as all met the same minibatches.", "name": "fig-rllc-text"}, "image": {"alt": "Left, points of sixteen heads. Middle and right, code against prose: in layer 1 only the induction head lies clearly above the diagonal, in layer 0 two heads do."}} tags=["hide-input"]
last = text_curves[text_curves.step == text_curves.step.max()]
fig, axes = plt.subplots(1, 3, figsize=figures.size("double", 0.38))
for place, row in enumerate(last[last.data_set == "both"].itertuples()):
    axes[0].errorbar(place, row.llc, row.standard_error, marker="o", ms=4, ls="none", color=type_colors[row.type])
axes[0].set(xticks=range(len(scores)), ylabel="wrLLC on prose and code", xlabel="head", ylim=(0, None))
axes[0].set_xticklabels(scores.index, fontsize=5, rotation=90)
for kind in types.unique():
    axes[0].plot([], [], "o", ms=4, color=type_colors[kind], ls="none", label=kind.replace("_", " "))
axes[0].legend(fontsize=6)
for ax, (layer, part) in zip(axes[1:], last.groupby("layer"), strict=True):
    prose, code = (part[part.data_set == s].set_index("head") for s in sources[:2])
    for head in prose.index:
        ax.errorbar(prose.llc[head], code.llc[head], code.standard_error[head], prose.standard_error[head], marker="o", ms=4, ls="none", color=type_colors[types[head]])
    top = 1.08 * max(prose.llc.max(), code.llc.max())
    ax.plot([0, top], [0, top], color=figures.COLORS["grey"], ls="--", lw=1)
    ax.set(xlabel=f"wrLLC on {sources[0]}", ylabel=f"wrLLC on {sources[1]}", title=f"layer {layer}", xlim=(0, top), ylim=(0, top))
figures.save(fig, "fig-rllc-text", data={"wrllc": text_curves, "heads": scores.assign(type=types).reset_index(names="head")})

# %% [markdown]
# Our reading, for the synthetic language: at this temperature a wrLLC is mostly a trace of the Hessian, a curvature, from as
# large to about twice as large; that it follows the loss by ablation over both layers together is mostly the difference
# between the layers. In the text model no trace was measured; there it follows the loss by ablation within each layer, too (the last claim). Its one head that passes
# the threshold for induction, narrowly, overtakes the others of its layer as its prefix matching rises, and more so on
# code; a head of layer 0 rises with it. Ablating that induction head changes the loss by {glue:text}`induction_prose:.3f` nats a
# token on held-out prose and by {glue:text}`induction_code:.3f` on code: what it does for prose is to predict the repeated passages
# of the training, which the data of these wrLLCs do not have.

# %% [markdown]
# ## Claims
#
# Heads are ranked within their layer and model, since the layers differ by more than the heads of one, and permutations stay
# there. With so few heads a layer only a correlation near one can be told from none: most verdicts are undecided, and one
# that is not holds by a hair of a rough interval (an earlier version pooled the layers, and its verdicts were the difference between them). Intervals over heads are Fisher's, as if heads
# were independent, those over models are ranges; no claim uses the pairing of minibatches. The worst R-hat of all estimates of this page is {glue:text}`worst_r_hat:.2f`, of the recorded ones
# {glue:text}`text_r_hat:.2f`; the smallest effective sample sizes are {glue:text}`least_ess:.0f` and {glue:text}`text_ess:.0f`.
# With fewer than about ten effective draws a standard error is itself unreliable.

# %%
plain = clusters[clusters.scale == "none"]
for layer, part in plain.groupby("layer"):
    index, interval, chance = adjusted_rand(part.cluster, part.role, seed=seed)
    sheet.add(
        f"Layer {layer}: clusters of the wrLLC curves match the roles of the heads",
        paper="clusters match the head types",
        measured=index,
        interval=interval,
        holds=True if chance < 0.05 else None,
        detail=f"adjusted Rand index of K-means on the curves as they are; bootstrap over {len(part)} heads; "
        f"share of random relabellings as good: {chance:.3f}, below 0.05 asked; so few heads cannot refute it",
    )
final["by_trace_ratio"] = final.llc / final.by_trace
for layer, part in final.groupby(final["head"].str[0]):
    measures = {c: intervals.within_strata(part[c], part.llc, part.seed, seed=seed) for c in ("multigrams", "by_trace", "fisher", "ablation")}
    how = f"Spearman within each model, {len(part)} heads of {num_seeds} models"
    value, interval, chance = measures["multigrams"]
    sheet.add(
        f"Layer {layer}: the final wrLLC grows with the number of multigrams that depend on the head",
        paper="correlates, in each layer",
        measured=value,
        interval=interval,
        holds=claims.at_least(interval, 0.0),
        detail=f"{how}; share of permutations within models as high: {chance:.3f}; interval above zero asked",
    )
    for column, name in (("by_trace", "Hessian trace"), ("fisher", "Fisher trace"), ("ablation", "loss by ablation")):
        value, interval, chance = measures[column]
        sheet.add(
            f"Layer {layer}: the wrLLC orders the heads otherwise than the {name} does",
            paper="wrLLC distinguishes head types where these do not",
            measured=value,
            interval=interval,
            holds=claims.at_most(interval, 0.9),
            detail=f"{how}; share of permutations as high: {chance:.3f}; interval below 0.9 asked",
        )
    ratio = part.by_trace_ratio
    sheet.add(
        f"Layer {layer}: at the paper's inverse temperature and localization every wrLLC is near a rescaled Hessian trace",
        paper="not stated",
        measured=float(ratio.median()),
        interval=(float(ratio.min()), float(ratio.max())),
        holds=bool(((ratio - 1).abs() < 0.25).all()),
        detail="wrLLC over n beta tr H / (2 gamma), median and range over heads; all within 0.25 of 1 asked (first: the median)",
        kind="own",
    )
order = cells[cells["head"].str.startswith("1")].assign(setting=lambda t: t.n_beta.astype(str) + " " + t.localization.astype(str))
ranks = order.pivot_table(index=["seed", "head"], columns="setting", values="llc")
own_setting = f"{n_beta} {localization}"
agreement = [intervals.within_strata(ranks[own_setting], ranks[other], ranks.index.get_level_values("seed"), seed=seed) for other in ranks if other != own_setting]
lowest = min(agreement, default=None)
sheet.add(
    "The order of layer 1's heads does not hang on inverse temperature and localization",
    paper="shown at one setting",
    measured=lowest[0] if lowest else "no other setting",
    interval=lowest[1] if lowest else "none",
    holds=claims.at_least(lowest[1], 0.7) if lowest else None,
    detail="lowest Spearman, within models, of the heads' wrLLC at the paper's setting and at another one; interval above 0.7 asked",
    kind="own",
)
here = final.groupby([final["head"].str[0].rename("layer"), "seed", "role"]).llc.mean().unstack()
above = (here["multigram"] - here["in context"]).dropna() if {"multigram", "in context"} <= set(here) else pd.Series(dtype=float)
sheet.add(
    "Multigram heads are above the heads of the induction circuit in the same layer (this language)",
    paper="above",
    measured=", ".join(f"layer {layer}, seed {index}: {value:+.2f}" for (layer, index), value in above.items()) or "none",
    interval=(float(above.min()), float(above.max())) if len(above) else "none",
    holds=bool((above > 0).all()) if len(above) > 2 else None,
    detail="mean wrLLC of multigram heads minus that of heads for in-context tokens, one number for each layer of each "
    "model that has both; interval: range; roles by mean effect for a token (with sums, and bigrams as multigrams, it held); "
    "fewer than three: undecided",
)
multigram = sweep.melt(["num_trigram_rules", "model"], ["layer_0_multigram", "layer_1_multigram"], value_name="llc").dropna()
trend = {
    layer: intervals.of_rank_correlation(part.num_trigram_rules, part.llc, seed=seed)
    for layer, part in multigram.groupby(multigram["what"].str[6])
    if len(part) > 2
}
sheet.add(
    "The more rules the language has, the higher the wrLLC of multigram heads (recorded sweep)",
    paper="wrLLC correlates with memorised multigrams",
    measured=", ".join(f"layer {layer}: {value:.2f}" for layer, (value, _) in trend.items()) or "too few models",
    interval=trend["0"][1] if "0" in trend else "none",
    holds=bool(trend) and all(low > 0 for _, (low, _) in trend.values()),
    detail="Spearman of the mean wrLLC of a layer's multigram heads (bigrams among them) with the number of trigram rules, one "
    "point a model that has such heads; interval: layer 0, bootstrap over models; heads of every role rise",
    kind="own",
)
both_kinds = ["layer_1_multigram", "layer_1_in_context"]
formed = sweep[sweep.prefix_matching > thresholds["prefix_matching"]].reindex(columns=[*sweep, *set(both_kinds) - set(sweep)])
formed = formed.dropna(subset=both_kinds)
gaps = formed[both_kinds[0]] - formed[both_kinds[1]]
sheet.add(
    "Multigram heads of layer 1 are above in-context heads where an induction head has formed (recorded sweep)",
    paper="above",
    measured=f"{int((gaps > 0).sum())} of {len(gaps)} models",
    interval=(float(gaps.min()), float(gaps.max())) if len(gaps) else "none",
    holds=bool((gaps > 0).all()) if len(gaps) > 2 else None,
    detail=f"of {len(sweep)} models those with heads of both kinds in layer 1 and prefix matching above {thresholds['prefix_matching']}; "
    "interval: range of the differences; fewer than three: undecided (a first version counted both layers of all models: 9 of 9)",
)
upper = last[last.layer == "1"].pivot(index="head", columns="data_set", values="llc").assign(type=types)
induction, others = upper[upper.type == "prefix_matching"], upper[upper.type != "prefix_matching"]
for name, above_expected in (("both", True), (sources[-1], False)):
    difference = float(others[name].mean() - induction[name].mean()) if len(induction) and len(others) else float("nan")
    spread = (others[name].min() - induction[name].max(), others[name].max() - induction[name].min()) if len(induction) and len(others) else "none"
    sheet.add(
        "The text model: " + ("the other heads of layer 1 are above its induction heads" if above_expected else f"on {name} the induction heads are above the other heads of layer 1"),
        paper="multigram above induction" if above_expected else "induction heads jump up on code",
        measured=f"{difference:+.2f}" if np.isfinite(difference) else "no such pair of heads",
        interval=tuple(map(float, spread)) if spread != "none" else "none",
        holds=None if spread == "none" else claims.at_least(spread, 0.0) if above_expected else claims.at_most(spread, 0.0),
        detail="mean final wrLLC of layer 1's other heads minus that of its induction heads, on data without repeats; half of the training "
        "sequences repeated a passage, which pays for an induction head; interval: smallest and largest difference of two heads",
    )
jump = upper[sources[-1]] / upper[sources[0]]
sheet.add(
    f"The text model: from {sources[0]} to {sources[-1]} the induction heads' wrLLC grows most in layer 1",
    paper="jumps up on code",
    measured=float(jump[induction.index].mean()) if len(induction) else "no induction head",
    interval=(float(jump.min()), float(jump.max())),
    holds=bool(len(induction) and len(others) and jump[induction.index].min() > jump[others.index].max()),
    detail=f"ratio of the two wrLLCs, mean over induction heads; others {float(jump[others.index].mean()):.2f}, at most {float(jump[others.index].max()):.2f}; interval: range over layer 1",
)
both = last[last.data_set == "both"].set_index("head").llc
correlation, interval, chance = intervals.within_strata(scores.ablation[both.index], both, both.index.str[0], seed=seed)
sheet.add(
    "The text model: within a layer the wrLLC grows with the loss by ablation",
    paper="not stated",
    measured=correlation,
    interval=interval,
    holds=claims.at_least(interval, 0.0),
    detail=f"Spearman within layers, {len(both)} heads, mean ablation on {len(mixed)} held-out sequences; share of permutations as high: {chance:.4f}; "
    + ", ".join(f"layer {layer}: {both[part].corr(scores.ablation[part], method='spearman'):.2f}" for layer, part in both.groupby(both.index.str[0]).groups.items()),
    kind="own",
)
sheet.finish()

# %% [markdown]
# ## Further
#
# ```
# python -m devinterp_core.companion sweep notebooks/params/rllc_rules_sweep.yaml
# python -m devinterp_core.companion run 08_rllc_head_specialization -p num_trigram_rules 1000 -p num_steps 6000
# python -m devinterp_core.companion run 08_rllc_head_specialization -p n_beta 300.0 -p localization 200.0
# python -m devinterp_core.companion run 08_rllc_head_specialization -f notebooks/params/08_rllc_head_specialization.recorded.yaml
# ```
