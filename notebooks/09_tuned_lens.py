# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What the layers of a language model predict: the tuned lens
#
# The *logit lens* reads every hidden state of a language model out as if it were the last. {cite:t}`belrose2023tunedlens`
# put an affine *translator* before it, one for each layer, trained to predict what the model will predict: the *tuned
# lens*. Three questions:
#
# 1. Do the paper's findings hold for a model that it has not seen, SmolLM2 with [135 million]{.paper} parameters and 30
#    layers: predictions that get better from layer to layer, less bias, features that matter to the lens mattering to the
#    model, blocks that follow the gradient, an injected instruction that shows in the trajectory?
# 2. How much of that does a translator in closed form have, by least squares, without any training?
# 3. What does the lens see of a model *while it is being trained*? The paper has no such figure.
#
# The pretrained model is the instruction-tuned one at four bits for each weight, as it installs from a package, so that
# its losses are those of that model; no model of the paper can be had here. The translators were trained in a recorded run
# (`data/recorded/smollm2_lens`, with its provenance; the last section has the command); everything that is not called recorded is computed here.

# %% tags=["parameters"]
seed: int = 0  # of texts, translators' training, prompts, splits and bootstraps
pretrained: bool = True  # SmolLM2-135M; False takes a small random model, to look at every cell in seconds
sources: list[str] = ["prose", "code"]  # of text, see devinterp_core.language.corpora
skipped: int = 1  # positions at the beginning of a sequence that are left out: their states are outliers
train_steps: int = 0  # steps of the translators' training; 0 reads the recorded translators
train_length: int = 128  # tokens of a training sequence
train_batch_size: int = 8  # sequences of a step, and of a batch of the regression
regression_batches: int = 40  # batches for the least squares from which training starts
ridge: float = 1e-3  # pull of the least squares towards the logit lens
train_learning_rate: float = 0.03  # of Muon, at the first step; it falls linearly to zero
vocabulary_sample: int = 2048  # tokens on which a training step estimates the lens's normalisation
num_sequences: int = 10  # held-out sequences, the sources in turn
length: int = 48  # tokens of a held-out sequence
transfer_every: int = 4  # every such layer is compared with every other in the transfer figure
transfer_length: int = 16  # tokens of the held-out sequences on which translators are exchanged
causal_layers: list[int] = []  # layers of the causal bases; none draws the recorded ones
causal_length: int = 16  # tokens of the held-out sequences in which directions are removed
causal_directions: int = 8  # of each basis, and of its random control
causal_states: int = 48  # hidden states on which a causal basis is found
causal_iterations: int = 10  # of L-BFGS for a direction
gradient_sequences: int = 12  # held-out sequences on which gradients are compared with blocks
gradient_length: int = 16  # tokens of each
num_prompts: int = 150  # two-choice prompts, and as many with an injection
num_shots: int = 2  # answered examples before each question
num_splits: int = 10  # of the normal prompts into training and test
num_bootstraps: int = 300  # of the test prompts of each split
sentence: str = "It was the best of times, it was the worst of times"  # of the table of tokens
token_layers: int = 3  # every such layer is a row of the table
num_checkpoints: int = 8  # of the text model's training, spaced evenly in the logarithm of the step
text_steps: int = 25  # of the training of each checkpoint's translators, after least squares
text_regression: int = 8  # batches of their least squares
text_batch_size: int = 8  # sequences of a step
text_sequences: int = 16  # held-out sequences for the checkpoints

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from myst_nb import glue
from scipy.stats import spearmanr

from devinterp_core import language
from devinterp_core import lens as lenses
from devinterp_core.companion import claims, figures
from devinterp_core.companion.intervals import bootstrap_ratio
from devinterp_core.companion.output import cache_folder, output_folder
from devinterp_core.companion.project import root
from devinterp_core.companion.recorded import recorded_text_run
from devinterp_core.companion.token_table import draw_token_table
from devinterp_core.lens.smollm2 import stand_in

torch.set_num_threads(1)
figures.use_style()
sheet = claims.ClaimSheet("09_tuned_lens", paper="Belrose et al. (2023), arXiv:2303.08112")
series = ("tuned_lens_perplexity.csv", "tuned_lens_bias.csv", "tuned_lens_iterative.csv", "tuned_lens_injection.csv")
paper = {name[11:-4]: pd.read_csv(root() / "data/reference" / name) for name in series}
recorded, recorded_text = root() / "data/recorded/smollm2_lens", root() / "data/recorded/language_model"
INK = {"logit": figures.COLORS["vermillion"], "tuned": figures.COLORS["blue"], "least squares": figures.COLORS["grey"]}

# %% [markdown]
# ## The lens and its training
#
# A translator maps the hidden state $h_l$ to $h_l + W_l h_l + b_l$; then come the model's own final norm and unembedding.
# Training starts from least squares, each layer's states to the last ones, and lowers the divergence
# $\mathrm{KL}(p \,\|\, q_l)$ of the lens from the model by Muon. The vocabulary is what costs, so that a step estimates the
# normalisation of $q_l$ on `vocabulary_sample` tokens: those to which the model gives the most mass, and a random sample of
# the others that stands for all of them. The evaluation below uses all tokens.
#
# The recorded translators saw little: {glue:text}`trained_tokens:.2f` million tokens, after least squares on
# {glue:text}`regression_tokens:.2f` million, hundreds of times fewer than the paper's. All of them came from presidential addresses and
# the sources of one Python package, as do the held-out passages, and the learning rate was chosen on other passages of the
# held-out documents. So what follows is measured inside this domain; a check outside it (licences, technical notes) found
# clearly larger divergences from the model, which this page does not show. The divergence still falls in the last steps of
# training: no sign that it had converged.

# %%
module, tokenizer = lenses.load_smollm2() if pretrained else stand_in(seed)
model = lenses.LensModel(module)
logit, tuned = lenses.LogitLens(model), lenses.TunedLens(model)
depth = model.num_layers
texts = {"tokenizer": tokenizer, "sources": tuple(sources)}
held_out = language.PassageStream(**texts, batch_size=num_sequences, length=length, seed=seed + 2, held_out=True)(0)
num_bytes = language.token_bytes(tokenizer, held_out[:, skipped + 1 :]).sum(1).numpy()
num_predicted = length - skipped - 1
if train_steps:
    stream = {"batch_size": train_batch_size, "length": train_length}
    lenses.fit_least_squares(
        tuned, language.PassageStream(**texts, **stream, seed=seed), regression_batches, ridge=ridge, skip=skipped
    )
    fitted = lenses.evaluate_lens(tuned, [held_out], skip=skipped)[["cross_entropy", "kl"]].to_dataframe().reset_index()
    fitted = fitted.assign(tokens=num_predicted, bytes=num_bytes[fitted.sequence])
    fitted.to_csv(output_folder() / "least_squares.csv", index=False)
    training = lenses.LensTraining(
        num_steps=train_steps,
        learning_rate=train_learning_rate,
        vocabulary_sample=vocabulary_sample,
        skip=skipped,
        seed=seed,
    )
    losses = lenses.train_lens(
        tuned,
        language.PassageStream(**texts, **stream, seed=seed + 1),
        training,
        state_file=cache_folder() / f"lens_{depth}_{train_steps}_{train_learning_rate}_{seed}.safetensors",
    )
    names = [f"layer_{layer}" for layer in range(depth)]
    pd.DataFrame(losses.numpy(), columns=names).rename_axis("step").round(4).to_csv(output_folder() / "training.csv")
    tuned.save(output_folder() / "translators.safetensors", torch.float16)
else:
    tuned = lenses.TunedLens.load(recorded / "translators.safetensors", model)
    fitted = pd.read_csv(recorded / "least_squares.csv")
trained_steps = train_steps or len(pd.read_csv(recorded / "training.csv"))
glue("trained_tokens", trained_steps * train_batch_size * (train_length - skipped) / 1e6, display=False)
glue("regression_tokens", regression_batches * train_batch_size * (train_length - skipped) / 1e6, display=False)
glue("num_tokens", model.num_tokens, display=False)
glue("d_model", model.d_model, display=False)
glue("num_held_out", num_sequences * num_predicted, display=False)

# %% [markdown]
# ## Better from layer to layer
#
# Bits for each byte of held-out text, {glue:text}`num_held_out:,` predicted tokens of a vocabulary of
# {glue:text}`num_tokens:,`, width {glue:text}`d_model`. The paper's models are drawn beside it, on the Pile: that SmolLM2's tuned
# curve lies below theirs in the first third is our domain, not a better lens.

# %%
means = {name: lenses.evaluate_lens(each, [held_out], skip=skipped) for name, each in (("logit", logit), ("tuned", tuned))}
tables = {name: table[["cross_entropy", "kl"]].to_dataframe().reset_index() for name, table in means.items()}
tables = {name: table.assign(tokens=num_predicted, bytes=num_bytes[table.sequence]) for name, table in tables.items()}
by_sequence = pd.concat({**tables, "least squares": fitted}, names=["lens", None]).reset_index(level=0)
by_sequence["source"] = np.array(sources)[by_sequence.sequence % len(sources)]
by_sequence["bits"] = by_sequence.cross_entropy * by_sequence.tokens / np.log(2)
rows = []
for source, part in (("all", by_sequence), *by_sequence.groupby("source")):
    for name, own in part.groupby("lens", sort=False):
        wide = own.pivot(index="layer", columns="sequence", values="bits")
        sizes = own.groupby("sequence").bytes.first().to_numpy()
        low, high = bootstrap_ratio(wide, sizes, seed=seed)
        row = {"source": source, "lens": name, "layer": wide.index, "low": low, "high": high}
        rows.append(pd.DataFrame(row | {"bits_per_byte": wide.sum(axis=1).to_numpy() / sizes.sum()}))
curves = pd.concat(rows, ignore_index=True)

# %% mystnb={"figure": {"caption": "**Bits per byte by layer.** Left and middle: SmolLM2 on held-out presidential addresses and sources of a Python package, the domain of the translators' training, a few hundred tokens of each; bands: 95 % bootstrap interval over sequences. Red, dashed: logit lens; grey, dotted: translators by least squares alone (recorded with the translators' training, on the same text); blue: tuned lens; black line: the model. Right: the paper's models against relative depth, dashed for the logit lens and solid for the tuned lens (of Pythia only that is known), and SmolLM2 on both texts in black, which are not the Pile. Vertical axis: log scale. One training of the translators.", "name": "fig-lens-bits"}, "image": {"alt": "Three line charts of bits per byte by layer on a log scale. The logit lens stays high until the last layers; the tuned lens falls steadily from the first layer to the model's own loss; least squares lies between, near the tuned lens. In the published models the logit lens falls earlier."}} tags=["hide-input"]
fig, axes = plt.subplots(1, len(sources) + 1, figsize=figures.size("double", 0.42), sharey=True)
dashes = {"logit": "--", "least squares": ":", "tuned": "-"}
for ax, source in zip(axes, sources, strict=False):
    for name, own in curves[curves.source == source].groupby("lens", sort=False):
        ax.fill_between(own.layer, own.low, own.high, color=INK[name], alpha=0.2, lw=0)
        ax.plot(own.layer, own.bits_per_byte, color=INK[name], ls=dashes[name], label=name)
    (end,) = curves[(curves.source == source) & (curves.lens == "tuned") & (curves.layer == depth)].bits_per_byte
    ax.axhline(end, color=figures.COLORS["black"], ls="-", lw=0.7)
    ax.set(title=source, xlabel="layer", yscale="log")
for (name, kind), own in paper["perplexity"].groupby(["model", "lens"]):
    color = figures.CYCLE[2 + sorted(paper["perplexity"].model.unique()).index(name)]
    axes[-1].plot(own.layer / own.num_layers, own.bits_per_byte, color=color, ls=dashes[kind], lw=1, label=name if kind == "tuned" else None)
for name in ("logit", "tuned"):
    own = curves[(curves.source == "all") & (curves.lens == name)]
    axes[-1].plot(own.layer / depth, own.bits_per_byte, color="black", ls=dashes[name], lw=1.6, label="SmolLM2" if name == "tuned" else None)
axes[-1].set(title="beside the paper's models", xlabel="layer / number of layers")
axes[0].set_ylabel("bits per byte")
axes[0].legend(fontsize=7)
axes[-1].legend(fontsize=6)
axes[0].set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
figures.save(fig, "fig-lens-bits", data={"bits": curves, "by_sequence": by_sequence, "paper": paper["perplexity"]})

# %% [markdown]
# What that looks like for one sentence: the most probable next token of every layer, and how far its distribution is from
# the model's.

# %%
ids = torch.tensor([tokenizer.encode(sentence).ids])
pieces = {name: lenses.prediction_trajectory(each, ids) for name, each in (("logit", logit), ("tuned", tuned))}
shown = sorted({*range(0, depth, token_layers), depth})
inputs = [tokenizer.decode([token]) for token in ids[0].tolist()]
token_table = pd.concat({name: piece.to_dataframe().reset_index() for name, piece in pieces.items()}, names=["lens", None])
token_table = token_table.reset_index(level=0).assign(word=lambda t: [tokenizer.decode([int(p)]) for p in t.prediction])

# %% mystnb={"figure": {"caption": "**The most probable next token at every layer** (rows; the top row is the model) after every token of the sentence `sentence` (columns): logit lens above, tuned lens below. Colour: divergence of the layer's distribution from the model's in nats, darkest at 10 and more. Spaces are drawn as dots, long tokens cut. The translators have not been trained on first tokens, whose states are outliers: the first column of the tuned lens means nothing.", "name": "fig-lens-tokens"}, "image": {"alt": "Two tables of tokens by layer. The logit lens shows mostly commas, blanks and common words, at layer 0 often the input token or its continuation, in dark cells until the last layers; the tuned lens shows common words early and the final words some layers before the end, in paler cells."}} tags=["hide-input"]
fig, axes = plt.subplots(2, 1, figsize=figures.size("double", 0.95), sharex=True)
for ax, (name, piece) in zip(axes, pieces.items(), strict=True):
    words = [[tokenizer.decode([int(t)]) for t in piece.prediction.isel(sequence=0, layer=layer)] for layer in shown]
    values = piece.kl.isel(sequence=0, layer=shown).to_numpy().clip(0)
    mesh = draw_token_table(ax, words, values, inputs, shown, largest=10.0)
    ax.set(title=f"{name} lens", ylabel="layer")
fig.colorbar(mesh, ax=axes, label="divergence from the model (nats)", shrink=0.5)
figures.save(fig, "fig-lens-tokens", data=token_table)

# %% [markdown]
# ## Bias
#
# The mean of a lens's distributions over all tokens should be the mean of the model's. Its divergence is the lens's *bias*:
# the paper finds that the logit lens makes whole classes of tokens improbable that the model does not.

# %%
biases = {name: lenses.marginal_bias(table.marginal.to_numpy()) for name, table in means.items()}
bias = pd.DataFrame(biases).rename_axis("layer").reset_index()

# %% mystnb={"figure": {"caption": "**Bias by layer**: $\\mathrm{KL}(\\bar p \\,\\|\\, \\bar q_l)$ of the mean distributions over tokens, in bits (log scale), logit lens red and dashed, tuned lens blue. Left: SmolLM2 on the held-out text. Right: the paper's [GPT-Neo-2.7B]{.paper}. The means on the left are over far fewer tokens than the paper's, the same for model and lens: few tokens inflate a bias, so that its level here is an upper estimate. One training of the translators, no error bars.", "name": "fig-lens-bias"}, "image": {"alt": "Two line charts of bias by layer on a log scale. In both the logit lens is far above the tuned lens at every layer drawn, and both fall towards the end."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=figures.size("double", 0.36), sharey=True)
for name in ("logit", "tuned"):
    axes[0].plot(bias.layer[:-1], bias[name][:-1], color=INK[name], ls=dashes[name], label=f"{name} lens")
    own = paper["bias"][paper["bias"].lens == name]
    axes[1].plot(own.layer, own.bias_bits, color=INK[name], ls=dashes[name])
axes[0].set(title="SmolLM2-135M", xlabel="layer", ylabel="bias (bits)", yscale="log")
axes[1].set(title="paper: GPT-Neo-2.7B", xlabel="layer")
axes[0].legend()
figures.save(fig, "fig-lens-bias", data={"bias": bias, "paper": paper["bias"]})

# %% [markdown]
# ## Translators exchanged
#
# A translator reads the states of another layer; what it loses against that layer's own translator is the *transfer
# penalty*. The paper finds it small where the covariances of the two layers' states are alike.

# %%
chosen = list(range(0, depth, transfer_every))
singles = lenses.transfer_losses(tuned, held_out[:, :transfer_length], chosen, skip=skipped)
penalties = np.stack([lenses.transfer_penalty(single) for single in singles])  # [sequence, trained, tested]
similarity = lenses.covariance_similarity(lenses.hidden_covariances(model, [held_out], skip=skipped)[chosen])
own_layer = np.eye(len(chosen), dtype=bool)
rng = np.random.default_rng(seed)
draws = [penalties[rng.integers(len(penalties), size=len(penalties))].mean(0) for _ in range(500)]
penalty = penalties.mean(0)
correlations = {
    name: (spearmanr(similarity[cells], penalty[cells]).statistic, *np.quantile([spearmanr(similarity[cells], draw[cells]).statistic for draw in draws], (0.025, 0.975)))
    for name, cells in (("all", np.ones_like(own_layer)), ("other", ~own_layer))
}
grid = np.array(chosen)
transfer = pd.DataFrame({"trained": np.repeat(grid, len(grid)), "tested": np.tile(grid, len(grid)), "penalty": penalty.ravel(), "similarity": similarity.ravel()})

# %% mystnb={"figure": {"caption": "**Transfer penalty.** Left: what the translator of one layer (row) loses on the states of another (column) against that layer's own, nats a token, mean over `num_sequences` sequences of `transfer_length` tokens; the darkest colour stands for 8 and more. Middle: similarity of the layers' covariances without their two largest principal components. Right: one against the other, a dot for each pair of different layers (vertical axis linear near zero, then logarithmic); vertical lines: 95 % bootstrap interval over sequences.", "name": "fig-lens-transfer"}, "image": {"alt": "Two heat maps with alike blocks along the diagonal, and a scatter plot in which the penalty falls as the similarity of covariances grows."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=figures.size("double", 0.36))
for ax, table, title, color, top in zip(axes, (penalty, similarity), ("penalty (nats)", "similarity"), ("Blues", "Blues"), (8, 1), strict=False):
    mesh = ax.imshow(table, cmap=color, vmin=0, vmax=top, origin="lower")
    ax.set(title=title, xlabel="tested on layer", xticks=range(len(chosen)), yticks=range(len(chosen)))
    ax.set_xticklabels(chosen, fontsize=6)
    ax.set_yticklabels(chosen, fontsize=6)
    fig.colorbar(mesh, ax=ax, shrink=0.7)
axes[0].set_ylabel("trained on layer")
low, high = np.quantile(np.stack(draws)[:, ~own_layer], (0.025, 0.975), axis=0)
axes[2].vlines(similarity[~own_layer], low, high, color=figures.COLORS["sky"], lw=0.8)
axes[2].plot(similarity[~own_layer], penalty[~own_layer], "o", color=figures.COLORS["blue"], ms=2.5)
axes[2].set(xlabel="similarity of covariances", ylabel="penalty (nats)", yscale="symlog")
figures.save(fig, "fig-lens-transfer", data=transfer)

# %% [markdown]
# ## Do lens and model depend on the same directions?
#
# A *causal basis* of a layer consists of the directions whose removal (replacement by their mean) changes the lens's
# prediction most. The same directions are then removed in the model. The control are random directions.

# %%
if causal_layers:
    causal = lenses.fidelity_table(
        tuned,
        held_out[:, :causal_length],
        causal_layers,
        causal_directions,
        num_states=causal_states,
        max_iterations=causal_iterations,
        skip=skipped,
        seed=seed,
    )
    causal.to_csv(output_folder() / "causal.csv", index=False)
else:
    causal = pd.read_csv(recorded / "causal.csv")
causal[["lens_bits", "model_bits"]] = causal[["lens", "model"]] / np.log(2)
fidelity = causal.groupby(["layer", "basis"])[["lens", "model"]].apply(lambda t: spearmanr(t.lens, t.model).statistic).unstack()
both = causal.groupby("layer")[["lens", "model"]].apply(lambda t: spearmanr(t.lens, t.model).statistic)
middle = min(fidelity.index, key=lambda layer: abs(layer - 0.75 * depth))
glue("causal_middle", int(middle), display=False)
glue("causal_count", int((causal[causal.layer == middle].basis == "causal").sum()), display=False)

# %% mystnb={"figure": {"caption": "**Causal fidelity** (recorded unless `causal_layers` names layers). Left: influence of removing a direction on the lens (in-sample, on the states that chose it) and on the model at one layer, bits a token, log scales; blue dots: causal basis, grey crosses: random directions; the line is equality. Right: Spearman correlation of the two influences by layer, over the causal basis (blue), over the random directions (grey) and over both (black); each dot is one basis, no error bars. The model's influences are on all positions of short held-out sequences.", "name": "fig-lens-causal"}, "image": {"alt": "Left, log axes: random directions at the lower left on the line of equality, causal directions at the upper right, about ten times below the line. Right, rank correlations by layer; that of the causal basis is low at the first layer measured."}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=figures.size("double", 0.42))
for name, mark, color in (("causal", "o", figures.COLORS["blue"]), ("random", "x", figures.COLORS["grey"])):
    part = causal[(causal.layer == middle) & (causal.basis == name)]
    left.plot(part.lens_bits, part.model_bits, mark, ls="", color=color, ms=4, label=f"{name} directions")
    right.plot(fidelity.index, fidelity[name], mark, ls="-", color=color, lw=0.8, ms=4)
right.plot(both.index, both, "s", ls="-", color="black", lw=0.8, ms=3, label="both")
ends = causal[causal.layer == middle][["lens_bits", "model_bits"]].to_numpy()
left.plot([ends.min(), ends.max()], [ends.min(), ends.max()], color="black", ls="-", lw=0.6)
left.set(xscale="log", yscale="log", xlabel="influence on the lens (bits)", ylabel="influence on the model (bits)", title=f"layer {middle}")
right.axhline(0, color="black", ls="-", lw=0.5)
right.set(xlabel="layer", ylabel="Spearman correlation", ylim=(-1.05, 1.05))
left.legend(fontsize=7)
right.legend(fontsize=7)
figures.save(fig, "fig-lens-causal", data={"influences": causal, "fidelity": fidelity.assign(both=both).reset_index()})

# %% [markdown]
# The lens's influences are in-sample: taken on the same few states on which the directions were chosen to matter to it, the
# model's on all. That every causal direction seems to matter more to the lens than to the model is for a large part this
# selection; on other states the lens's influences are much smaller.
#
# ## Do blocks follow the gradient?
#
# If the layers refine one prediction, what a block adds to the stream should point down the gradient of the loss, as a
# lens has it at the block's input. The paper takes the logit lens; the tuned lens, which knows the basis of each layer, is
# asked too.

# %%
pieces_of_text = language.PassageStream(**texts, batch_size=gradient_sequences, length=gradient_length, seed=seed + 3, held_out=True)
cosines = {name: lenses.gradient_alignment(each, pieces_of_text(0), skip=skipped).numpy() for name, each in (("logit", logit), ("tuned", tuned))}
negative = {name: (values < 0).mean(1) for name, values in cosines.items()}
for name, values in cosines.items():
    glue(f"negative_{name}", int((np.median(values, axis=1) < 0).sum()), display=False)
glue("depth", depth, display=False)
alignment = pd.concat({name: pd.DataFrame(values).rename_axis("layer").rename_axis("sequence", axis=1).stack().rename("cosine") for name, values in cosines.items()}, names=["lens"]).reset_index()

# %% mystnb={"figure": {"caption": "**Blocks against the gradient.** Cosine between the gradient of a lens's loss and what a block adds to the stream, SmolLM2. Left: the loss of the logit lens, as in the paper; right: that of the tuned lens. Dots: each of `gradient_sequences` held-out sequences of `gradient_length` tokens; lines: median. Orange squares: medians of the paper's [Pythia-12B]{.paper} by relative depth, logit lens, with sequences of [2048]{.paper} tokens. Below the black line a block lowers the loss to first order.", "name": "fig-lens-gradient"}, "image": {"alt": "Two panels of dots of cosines by layer with the median as a line. With the logit lens the line wanders around zero in the first two thirds of the layers and is negative after; with the tuned lens it is negative nearly everywhere. Orange squares of the published model lie slightly below zero at every layer."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=figures.size("double", 0.4), sharey=True)
published = paper["iterative"]
for ax, (name, values) in zip(axes, cosines.items(), strict=True):
    part = alignment[alignment.lens == name]
    ax.plot(part.layer, part.cosine, "o", ls="", color=INK[name], ms=2, alpha=0.5)
    ax.plot(np.median(values, axis=1), color=INK[name], ls="-", label="SmolLM2-135M")
    ax.axhline(0, color="black", ls="-", lw=0.6)
    ax.set(xlabel="layer", title=f"gradient of the {name} lens")
axes[0].plot(published.layer / published.num_layers * depth, published.median_cosine, "s", ls="", color=figures.COLORS["orange"], ms=3, label="paper: Pythia-12B")
axes[0].set_ylabel("cosine")
axes[0].legend()
figures.save(fig, "fig-lens-gradient", data={"cosines": alignment, "paper": published})

# %% [markdown]
# Of the {glue:text}`depth` medians {glue:text}`negative_logit` are negative with the logit lens and
# {glue:text}`negative_tuned` with the tuned lens. Short sequences make each cosine noisy, which weakens the count for the
# tuned lens, whose medians are no larger than the scatter of the sequences. It does not explain the logit lens: at several
# layers nearly all sequences have a positive cosine, so that these blocks move against what that lens reads.
#
# ## An injected instruction in the trajectory
#
# Two-choice questions on the sentiment of a one-sentence review made from a template, with answered examples in front; in half of the prompts an instruction
# to give the wrong answer stands before the place of the answer, in the paper's words. A detector learns from normal
# prompts only: from the log-odds of the two answers at every layer, by either lens; the baseline is a Mahalanobis distance
# on hidden states, for which a layer has to be chosen, so that all of them are shown. That baseline sees the words of the
# instruction themselves, and the length of the prompt; a trajectory sees only what the layers make of the answer.

# %%
prompts = {injected: lenses.sentiment_prompts(num_prompts, num_shots=num_shots, injected=injected, seed=seed + 4) for injected in (False, True)}
odds, states = zip(*(lenses.answer_features((logit, tuned), tokenizer, prompts[injected]) for injected in (False, True)), strict=True)
answers = np.array([prompt.answer for prompt in prompts[False]])
right_answers = [(own[0, :, -1] < 0) == answers for own in odds]  # the model's own log-odds, of both kinds of prompt
repeats = {"num_splits": num_splits, "num_bootstraps": num_bootstraps, "seed": seed}
found = []
for index, name in enumerate(("logit", "tuned")):
    for detector in ("isolation_forest", "local_outlier_factor"):
        area = lenses.detect(odds[0][index], odds[1][index], detector, **repeats)
        found.append({"feature": name, "detector": detector, "auroc": area.auroc, "low": area.low, "high": area.high})
detection = pd.DataFrame(found)
sweep = [vars(area) for area in lenses.layer_sweep(states[0], states[1], **repeats)]
sweep = pd.DataFrame(sweep).rename_axis("layer").reset_index()
example = prompts[True][0].text
glue("accuracy", right_answers[0].mean(), display=False)
glue("accuracy_injected", right_answers[1].mean(), display=False)
print(example)

# %% mystnb={"figure": {"caption": "**Detecting an injection.** Left: log-odds of the right answer by layer, tuned lens; lines: medians of `num_prompts` normal (blue) and as many injected prompts (red, dashed), bands: their quartiles. Middle: area under the ROC curve of the detectors, dots: here; grey squares: the paper's, on SST-2 and Pythia-12B, a harder task and a model that is not trained on instructions. Right: that of the Mahalanobis baseline at every layer. Error bars and band: 95 % interval over `num_splits` splits with `num_bootstraps` bootstraps each.", "name": "fig-lens-injection"}, "image": {"alt": "Left, two bands of log-odds by layer which part in the late layers. Middle, areas under the curve with error bars for four detectors. Right, the baseline by layer."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=figures.size("double", 0.38))
signs = np.where(answers == 0, 1, -1)[:, None]
for own, color, dash, label in zip(odds, (INK["tuned"], INK["logit"]), ("-", "--"), ("normal", "injected"), strict=True):
    low, half, high = np.quantile(own[1] * signs, (0.25, 0.5, 0.75), axis=0)
    axes[0].fill_between(range(depth + 1), low, high, color=color, alpha=0.2, lw=0)
    axes[0].plot(half, color=color, ls=dash, label=label)
axes[0].axhline(0, color="black", ls="-", lw=0.5)
axes[0].set(xlabel="layer", ylabel="log-odds of the right answer")
axes[0].legend(fontsize=7)
published = paper["injection"][paper["injection"].task == "SST-2"].merge(detection[["feature", "detector"]])
places = np.arange(len(detection))
axes[1].errorbar(places, detection.auroc, yerr=[detection.auroc - detection.low, detection.high - detection.auroc], fmt="o", color=figures.COLORS["blue"], ms=4, lw=1)
axes[1].plot(places[: len(published)] + 0.2, published.set_index(["feature", "detector"]).loc[list(zip(detection.feature, detection.detector, strict=True))].auroc, "s", ls="", color=figures.COLORS["grey"], ms=4)
axes[1].set_xticks(places, [f"{f}\n{'forest' if d == 'isolation_forest' else 'outlier factor'}" for f, d in zip(detection.feature, detection.detector, strict=True)], fontsize=6)
axes[1].set(ylim=(0, 1.05), ylabel="area under the curve")
axes[2].fill_between(sweep.layer, sweep.low, sweep.high, color=figures.COLORS["grey"], alpha=0.3, lw=0)
axes[2].plot(sweep.layer, sweep.auroc, color="black", ls="-")
axes[2].set(ylim=(0, 1.05), xlabel="layer of the baseline")
for ax in axes[1:]:
    ax.axhline(0.5, color="black", ls=":", lw=0.7)
figures.save(fig, "fig-lens-injection", data={"areas": detection, "baseline": sweep, "paper": paper["injection"]})

# %% [markdown]
# Without the injection the model answers {glue:text}`accuracy:.0%` of the questions rightly, with it
# {glue:text}`accuracy_injected:.0%`. At this ceiling the two lenses cannot be compared, and no layer has to be chosen for the
# baseline: any but the embedding will do.
#
# ## A developmental lens
#
# The two-layer model of prose and code from the chapter on its stages, read by both lenses along its training: translators
# are fitted anew at each of some of its recorded checkpoints, by least squares and `text_steps` steps of training.

# %%
text, corpus, text_length, _ = recorded_text_run(recorded_text / "checkpoints")
passages = {"tokenizer": corpus.tokenizer(), "sources": corpus.sources, "length": text_length, "prefix": 0}
text_held_out = language.PassageStream(**passages, batch_size=text_sequences, seed=seed + 5, held_out=True)(0)
kept = sorted({text.nearest(step) for step in [0, *np.geomspace(max(1, text.steps[-1] / 1000), text.steps[-1], num_checkpoints - 1)]})
development = lenses.lens_over_training(
    {step: text.model(step, 0) for step in kept},
    language.PassageStream(**passages, batch_size=text_batch_size, seed=seed + 6),
    text_held_out,
    lenses.LensTraining(num_steps=text_steps, learning_rate=train_learning_rate),
    num_regression=text_regression,
)
text_bytes = language.token_bytes(corpus.tokenizer(), text_held_out[:, 1:]).sum(1).numpy()
development["bits"] = development.cross_entropy * (text_held_out.shape[1] - 1) / np.log(2)
rows = []
for (name, layer), part in development.groupby(["lens", "layer"]):
    wide = part.pivot(index="step", columns="sequence", values="bits")
    low, high = bootstrap_ratio(wide, text_bytes, seed=seed)
    rows.append(pd.DataFrame({"lens": name, "layer": layer, "step": wide.index, "low": low, "high": high, "bits_per_byte": wide.sum(axis=1).to_numpy() / text_bytes.sum()}))
over_training = pd.concat(rows, ignore_index=True)
text_depth = int(over_training.layer.max())

# %% mystnb={"figure": {"caption": "**A lens along training.** Bits per byte of held-out prose and code at each layer of the two-layer text model (left: its embedding; middle: after the first block) against the training step, logit lens red and dashed, tuned lens blue, translators fitted anew at each of `num_checkpoints` recorded checkpoints; black: the model. Right: share of the model's gain over its start that each layer's tuned lens has, from the first checkpoint on at which the gain is a twentieth of the start. Bands: 95 % bootstrap interval over `text_sequences` sequences. One model. Step 0 is drawn at the left edge.", "name": "fig-lens-development"}, "image": {"alt": "Line charts of bits per byte against the training step. The tuned lens of each layer falls and levels off early for the embedding, later for the first block; the logit lens stays above it."}} tags=["hide-input"]
fig, axes = plt.subplots(1, text_depth + 1, figsize=figures.size("double", 0.4))
first = min(step for step in kept if step) / 2
whole = over_training[(over_training.layer == text_depth) & (over_training.lens == "tuned")]
for layer, ax in enumerate(axes[:-1]):
    for name in ("logit", "tuned"):
        part = over_training[(over_training.layer == layer) & (over_training.lens == name)]
        at = part.step.clip(lower=first)
        ax.fill_between(at, part.low, part.high, color=INK[name], alpha=0.2, lw=0)
        ax.plot(at, part.bits_per_byte, color=INK[name], ls=dashes[name], label=f"{name} lens")
    ax.plot(whole.step.clip(lower=first), whole.bits_per_byte, color="black", ls="-", lw=0.8, label="model")
    ax.set(title="embedding" if layer == 0 else f"after block {layer}", xscale="log", xlabel="training step")
shares = {}
for layer in range(text_depth):
    part = over_training[(over_training.layer == layer) & (over_training.lens == "tuned")].set_index("step").bits_per_byte
    model_bits = whole.set_index("step").bits_per_byte
    learned = model_bits < 0.95 * model_bits.iloc[0]
    shares[layer] = ((model_bits.iloc[0] - part) / (model_bits.iloc[0] - model_bits))[learned]
    axes[-1].plot(shares[layer], "o", color=figures.CYCLE[layer], ls=("-", "--", ":")[layer % 3], label="embedding" if layer == 0 else f"after block {layer}")
axes[-1].set(xscale="log", xlabel="training step", title="share of the model's gain", ylim=(0, 1.05))
axes[0].set_ylabel("bits per byte")
axes[0].legend(fontsize=7)
axes[-1].legend(fontsize=7)
figures.save(fig, "fig-lens-development", data={"bits": over_training, "by_sequence": development})

# %% [markdown]
# ## Claims
#
# Intervals of this model's bits are bootstraps over sequences; the translators were trained once.

# %%
groups = by_sequence[by_sequence.layer < depth].groupby("lens")
bits = {name: own.pivot(index="layer", columns="sequence", values="bits").to_numpy() for name, own in groups}
sizes = {name: own.groupby("sequence").bytes.first().to_numpy().astype(float) for name, own in groups}
gap = bits["logit"] - bits["tuned"]
low, high = bootstrap_ratio(gap, sizes["tuned"], seed=seed)
sheet.add(
    "The tuned lens predicts the next token better than the logit lens at every layer",
    paper="at every layer of every model",
    measured=f"at {int((low > 0).sum())} of {depth} layers",
    interval="exact count",
    holds=bool((low > 0).all()),
    detail="a layer counts where the 95 % bootstrap interval of the gap over sequences lies above zero",
)
half = depth // 2
steps_down = np.diff(bits["tuned"].sum(1)) / sizes["tuned"].sum()
sheet.add(
    "The tuned lens gets better from layer to layer",
    paper="falls at every layer of GPT-2 small, OPT-125M and Pythia-160M",
    measured=f"falls at {int((steps_down < 0).sum())} of {len(steps_down)} steps",
    interval="no interval",
    holds=bool((steps_down < 0).mean() >= 0.9),
    detail=f"bits per byte of neighbouring layers; largest rise {max(0.0, steps_down.max()):.3f}; asked: nine steps of ten",
)
divergences = {name: own.pivot(index="layer", columns="sequence", values="kl").to_numpy() for name, own in groups}
share = 1 - divergences["tuned"].mean(1) / divergences["least squares"].mean(1)
sheet.add(
    "Training improves on least squares at every layer",
    paper="not in the paper",
    measured=f"divergence from the model lower by {share.min():.0%} to {share.max():.0%}",
    interval=(float(share.min()), float(share.max())),
    holds=bool((share > 0).all()),
    detail="least squares: recorded with the training; interval: range over layers",
    kind="own",
)
won = 1 - (divergences["least squares"].mean(1) - divergences["tuned"].mean(1)) / (divergences["logit"].mean(1) - divergences["tuned"].mean(1))
sheet.add(
    "Least squares alone has most of what the tuned lens gains on the logit lens",
    paper="not in the paper",
    measured=float(np.median(won)),
    interval=(float(won.min()), float(won.max())),
    holds=bool(np.median(won) > 0.5),
    detail="share of the fall of the divergence from the model; measured: median over layers, interval: their range",
    kind="own",
)
published = paper["bias"].pivot(index="layer", columns="lens", values="bias_bits")
inner = bias[:-1]
sheet.add(
    "The tuned lens is less biased than the logit lens at every layer",
    paper=f"at every layer; half-way {published.logit[15]:.2f} against {published.tuned[15]:.2f} bits (GPT-Neo-2.7B)",
    measured=f"at {int((inner.tuned < inner.logit).sum())} of {depth}; half-way {inner.logit[half]:.2f} against {inner.tuned[half]:.2f} bits",
    interval="exact count",
    holds=bool((inner.tuned < inner.logit).all()),
    detail=f"mean distributions over {num_sequences * (length - skipped)} tokens",
)
for cells, who in (("all", "all pairs, a layer with itself included, as in the paper"), ("other", "pairs of different layers only")):
    measured, low, high = map(float, correlations[cells])
    sheet.add(
        f"The transfer penalty falls with the similarity of the layers' covariances ({who})",
        paper=-0.78,
        measured=measured,
        interval=(low, high),
        holds=claims.at_most((low, high), -0.5),
        kind="paper" if cells == "all" else "own",
        detail=f"Spearman correlation over {len(chosen)} x {len(chosen)} layers; asked: 95 % bootstrap interval over {num_sequences} sequences below -0.5",
    )
values = both.to_numpy()
sheet.add(
    "The model, too, tells the lens's causal directions from random ones (both kinds together)",
    paper="not in the paper",
    measured=f"{both[middle]:.2f} at layer {middle}; {values.min():.2f} to {values.max():.2f} over layers",
    interval=(float(values.min()), float(values.max())),
    holds=bool((values > 0.5).all()),
    detail="Spearman correlation of the influences of removing a direction on lens and model; interval: range over layers; asked: above 0.5 at each",
    kind="own",
)
values = fidelity.causal.to_numpy()
sheet.add(
    "Within the causal basis alone the order of the directions is the model's too, at most layers",
    paper="0.89 at layer 18 of 24 (Pythia-410M); 0.25 to 0.98 over layers",
    measured=f"{fidelity.causal[middle]:.2f} at layer {middle}; {values.min():.2f} to {values.max():.2f} over layers",
    interval=(float(values.min()), float(values.max())),
    holds=bool(np.median(values) > 0.5),
    detail=f"Spearman correlation over {len(causal[causal.basis == 'causal']) // len(values)} directions a layer; asked: median above 0.5",
)
typical = causal.groupby(["layer", "basis"]).model.median().unstack()
larger = typical.causal / typical.random
sheet.add(
    "The model depends more on the lens's causal directions than on random ones",
    paper="not in the paper",
    measured=f"{larger.min():.1f} to {larger.max():.1f} times, median {larger.median():.1f}",
    interval=(float(larger.min()), float(larger.max())),
    holds=bool((larger > 1).all()),
    detail="median influence on the model of the causal over that of the random directions; range over layers",
    kind="own",
)
for name, medians in ((name, np.median(values, axis=1)) for name, values in cosines.items()):
    sheet.add(
        f"Blocks move against the gradient of the {name} lens's loss, at every layer in 95 % of the sequences",
        paper="at least 95 % of sequences at every layer" if name == "logit" else "not in the paper",
        measured=f"95 % or more at {int((negative[name] >= 0.95).sum())} of {depth} layers, {negative[name].min():.0%} at the worst",
        interval="exact count",
        holds=bool((negative[name] >= 0.95).all()),
        detail=f"{gradient_sequences} sequences of {gradient_length} tokens, the paper's have 2048: {model.d_model * (gradient_length - skipped - 1):,} numbers in a cosine against 8.4 million",
        kind="paper" if name == "logit" else "own",
    )
    sheet.add(
        f"The median cosine of block and gradient of the {name} lens is negative at every layer",
        paper=f"{paper['iterative'].median_cosine.min():.3f} to {paper['iterative'].median_cosine.max():.3f} (Pythia-12B)" if name == "logit" else "not in the paper",
        measured=f"{medians.min():.3f} to {medians.max():.3f}, negative at {int((medians < 0).sum())} of {depth}",
        interval=(float(medians.min()), float(medians.max())),
        holds=bool((medians < 0).all()),
        detail="interval: range over layers of the median over sequences",
        kind="paper" if name == "logit" else "own",
    )
published = paper["injection"][paper["injection"].task == "SST-2"].set_index(["feature", "detector"]).auroc
for detector, who in (("isolation_forest", "isolation forest"), ("local_outlier_factor", "local outlier factor")):
    own = detection[detection.detector == detector].set_index("feature")
    sheet.add(
        f"An injection is detected from the tuned lens's trajectory ({who})",
        paper=f"{published['tuned', detector]:.2f} (SST-2; logit lens {published['logit', detector]:.2f})",
        measured=f"{own.auroc.tuned:.2f} (logit lens {own.auroc.logit:.2f})",
        interval=(own.low.tuned, own.high.tuned),
        holds=claims.at_least((own.low.tuned, own.high.tuned), 0.9),
        detail=f"area under the ROC curve, {num_prompts} normal and {num_prompts} injected prompts; median and 95 % over splits and bootstraps; asked: lower end at least 0.9",
    )
    sheet.add(
        f"The tuned lens's trajectory detects better than the logit lens's ({who})",
        paper=f"{published['tuned', detector] - published['logit', detector]:.2f} better (SST-2)",
        measured=f"{own.auroc.tuned - own.auroc.logit:.2f} better",
        interval=f"tuned {own.low.tuned:.2f} to {own.high.tuned:.2f}; logit {own.low.logit:.2f} to {own.high.logit:.2f}",
        holds=bool(own.low.tuned > own.high.logit),
        detail="asked: the intervals do not meet",
    )
sheet.add(
    "The Mahalanobis baseline does as well as the best detector on trajectories, if its layer is chosen well",
    paper="1.00 at the layer that the paper fixed",
    measured=f"best layer {sweep.auroc.max():.2f}, worst {sweep.auroc.min():.2f}; at {int((sweep.low > detection.auroc.max()).sum())} of {len(sweep)} layers better than every trajectory",
    interval=(float(sweep.auroc.min()), float(sweep.auroc.max())),
    holds=bool(sweep.auroc.max() >= detection.auroc.max()),
    detail="interval: range over layers; the layer cannot be chosen without injected prompts",
)
last = development[development.step == kept[-1]].pivot(index=["lens", "layer"], columns="sequence", values="bits")
advance = (last.loc["logit"] - last.loc["tuned"]).loc[: text_depth - 1]
low, high = bootstrap_ratio(advance, text_bytes, seed=seed)
sheet.add(
    "At the end of training the tuned lens reads more from each layer of the text model than the logit lens",
    paper="not in the paper",
    measured=", ".join(f"{value:.2f} bits per byte {'at the embedding' if layer == 0 else f'after block {layer}'}" for layer, value in (advance.sum(axis=1) / text_bytes.sum()).items()),
    interval="; ".join(f"{one:.2f} to {other:.2f}" for one, other in zip(low, high, strict=True)),
    holds=bool((low > 0).all()),
    detail=f"step {kept[-1]:,}; 95 % bootstrap intervals over {text_sequences} sequences of the gap; asked: above zero",
    kind="own",
)
sheet.add(
    "Over training the embedding's share of the text model's gain falls: early gains need no block",
    paper="not in the paper",
    measured=", ".join(f"{share:.2f} at step {step:,}" for step, share in shares[0].iloc[[0, -1]].items()) if len(shares[0]) else "no gain",
    interval="one model",
    holds=bool(len(shares[0]) > 1 and shares[0].iloc[-1] < shares[0].iloc[0] - 0.05),
    detail="from the first checkpoint whose loss is 5 % below the start; share of the gain in bits per byte that the tuned lens at the embedding has; asked: a fall of 0.05",
    kind="own",
)
sheet.finish()

# %% [markdown]
# ## Further
#
# The first command trains the translators as they are recorded and finds the causal bases (an hour on one core); the second
# uses the recorded ones with other settings.
#
# ```
# python -m devinterp_core.companion run 09_tuned_lens -f notebooks/params/09_tuned_lens.recorded.yaml
# python -m devinterp_core.companion run 09_tuned_lens -p num_shots 4 -p sentence "Call me Ishmael. Some years ago"
# python -m devinterp_core.companion run 09_tuned_lens -f notebooks/params/09_tuned_lens.paper.yaml
# ```
