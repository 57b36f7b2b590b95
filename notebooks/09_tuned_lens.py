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
# The *logit lens* reads every hidden state of a language model out as if it were the last.
# {cite:t}`belrose2023tunedlens` put an affine *translator* before it, one for each layer, trained to predict what the
# model will predict: the *tuned lens*. Three questions:
#
# 1. Do the paper's findings hold for a model that it has not seen, SmolLM2, of {glue:text}`depth` layers: predictions
#    that get better from layer to layer, less bias, features that matter to the lens mattering to the model, blocks
#    that follow the gradient, an injected instruction that shows in the trajectory?
# 2. How much of that does a translator in closed form have, by least squares, without any training?
# 3. What does the lens see of a model *while it is being trained*? The paper has no such figure.
#
# ```{glue:figure} fig-lens-bits
# :name: fig-lens-bits
# :alt: Three line charts of bits per byte by layer on a log scale. The logit lens stays high until the last layers; the
# :  tuned lens falls steadily from the first layer to the model's own loss; least squares lies between, near the tuned
# :  lens. In the published models the logit lens falls earlier.
#
# **Bits per byte by layer.** Left and middle: SmolLM2 on held-out presidential addresses and sources of a Python
# package, the domain of the translators' training, a few hundred tokens of each; bands: 95 % bootstrap interval over
# sequences. Red, dashed: logit lens; grey, dotted: translators by least squares alone (recorded with the translators'
# training, on the same text); blue: tuned lens; black line: the model. Right: the paper's models against relative
# depth, dashed for the logit lens and solid for the tuned lens (of Pythia only that is known), and SmolLM2 on both
# texts in black, which are not the Pile. Vertical axis: log scale. One training of the translators.
# ```
# % rests on: The tuned lens predicts the next token better than the logit lens at every layer
# % rests on: The tuned lens gets better from layer to layer
# % rests on: The tuned lens is less biased than the logit lens at every layer
# % rests on: Least squares alone has most of what the tuned lens gains
#
# **What was found.** At every layer of SmolLM2 the tuned lens predicts the next token better than the logit lens and
# is less biased, as in the paper; least squares alone has most of that gain. What matters to the lens matters to the
# model, more than random directions do, though mostly several times less than to the lens. Three findings of the
# paper were not seen: blocks do not move against the gradient of the lens's loss at every layer, the loss rises
# without many a single block (not the first alone), and the tuned lens does not detect an injected instruction
# better, since on these texts the logit lens already finds nearly all of them. Over a training the lens's gain begins
# at the embedding, and the blocks come later.
#
# The model is the instruction-tuned one at four bits for each weight, as it installs from a package, so that its
# losses are those of that model; no model of the paper can be had here. The translators were trained in a recorded
# run (`data/recorded/smollm2_lens`, with its provenance); what is not called recorded is computed here.

# %% tags=["hide-input", "parameters"]
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
num_foreign: int = 6  # sequences of each corpus of which the translators' training saw nothing
transfer_every: int = 4  # every such layer is compared with every other in the transfer figure
transfer_length: int = 16  # tokens of the held-out sequences on which translators are exchanged
causal_layers: list[int] = []  # layers of the causal bases; none draws the recorded ones
causal_sequences: int = 70  # held-out sequences in which directions are removed
causal_length: int = 16  # tokens of each
causal_directions: int = 12  # of each basis, and of its random control
causal_states: int = 256  # hidden states, of other documents, on which a causal basis is found
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

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch

from devinterp_core import language
from devinterp_core import lens as lenses
from devinterp_core.companion import claims, criteria, figures
from devinterp_core.companion.criteria import Measured
from devinterp_core.companion.drawings import tuned_lens as drawings
from devinterp_core.companion.glued import numbers
from devinterp_core.companion.studies.lens_tables import bits_by_source, block_tables, development_tables
from devinterp_core.companion.studies.lens_tables import divergence_by_domain, per_byte, transfer_table
from devinterp_core.companion.studies.lens_training import train_translators
from devinterp_core.companion.output import cache_folder, output_folder
from devinterp_core.companion.studies.package_texts import package_passages
from devinterp_core.companion.project import root
from devinterp_core.companion.recorded import recorded_text_run
from devinterp_core.companion.recorded_tables import recorded_path, recorded_tables
from devinterp_core.lens.smollm2 import stand_in

torch.set_num_threads(1)
figures.use_style()
sheet = claims.ClaimSheet("09_tuned_lens", paper="Belrose et al. (2023), arXiv:2303.08112")
series = ("tuned_lens_perplexity.csv", "tuned_lens_bias.csv", "tuned_lens_iterative.csv", "tuned_lens_injection.csv")
paper = {name[11:-4]: pd.read_csv(root() / "data/reference" / name) for name in series}
recorded = recorded_tables("smollm2_lens", required=False)  # it is not there while it is made for the first time

# %% [markdown]
# ## The lens and its training
#
# A translator maps the hidden state $h_l$ to $h_l + W_l h_l + b_l$; then come the model's own final norm and
# unembedding. Training starts from least squares, each layer's states to the last ones, and lowers the divergence
# $\mathrm{KL}(p \,\|\, q_l)$ of the lens from the model by Muon. The vocabulary is what costs, so that a step estimates
# the normalisation of $q_l$ on {glue:text}`vocabulary_sample:,` tokens: those to which the model gives the most mass,
# and a random sample of the others that stands for all of them. The evaluation below uses all tokens.
#
# The recorded translators saw little: {glue:text}`trained_tokens:.2f` million tokens, after least squares on
# {glue:text}`regression_tokens:.2f` million, hundreds of times fewer than the paper's. All of them came from
# presidential addresses and the sources of one Python package, as do the held-out passages, and the learning rate was
# chosen on other passages of the held-out documents. So what follows is measured inside this domain; the next section
# looks outside it. The divergence still falls in the last steps of training: no sign that it had converged.

# %%
module, tokenizer = lenses.load_smollm2() if pretrained else stand_in(seed)
model = lenses.LensModel(module)
logit, tuned = lenses.LogitLens(model), lenses.TunedLens(model)
depth = model.num_layers
texts = {"tokenizer": tokenizer, "sources": tuple(sources)}
held_out = language.PassageStream(**texts, batch_size=num_sequences, length=length, seed=seed + 2, held_out=True)(0)
if train_steps:
    stream = texts | {"batch_size": train_batch_size, "length": train_length}
    settings = lenses.LensTraining(
        num_steps=train_steps, learning_rate=train_learning_rate, vocabulary_sample=vocabulary_sample, skip=skipped,
        seed=seed,
    )  # fmt: skip
    fitted = train_translators(
        tuned, *(language.PassageStream(**stream, seed=seed + i) for i in (0, 1)), settings, held_out, tokenizer,
        num_regression=regression_batches, ridge=ridge, folder=output_folder(),
        state_file=cache_folder() / f"lens_{depth}_{train_steps}_{train_learning_rate}_{seed}.safetensors",
    )  # fmt: skip
else:
    tuned = lenses.TunedLens.load(recorded_path("smollm2_lens", "translators.safetensors"), model)
    fitted = recorded["least_squares"]
fitted = lenses.with_bits(fitted, held_out, tokenizer, skip=skipped)
trained_steps = train_steps or len(recorded["training"])
tokens_a_step = train_batch_size * (train_length - skipped) / 1e6
numbers(trained_tokens=trained_steps * tokens_a_step, regression_tokens=regression_batches * tokens_a_step)
numbers(vocabulary_sample=vocabulary_sample, num_tokens=model.num_tokens, d_model=model.d_model, depth=depth)

# %% [markdown]
# ## Better from layer to layer
#
# Bits for each byte of held-out text, {glue:text}`num_held_out:,` predicted tokens of a vocabulary of
# {glue:text}`num_tokens:,`, width {glue:text}`d_model`. The paper's models are drawn beside it, on the Pile: that
# SmolLM2's tuned curve lies below theirs in the first third may be our domain and need not be a better lens.

# %%
pair = {"logit": logit, "tuned": tuned}
measured = {name: lenses.loss_table(each, held_out, tokenizer, skip=skipped) for name, each in pair.items()}
by_sequence = {name: table for name, (table, _) in measured.items()} | {"least squares": fitted}
by_sequence = pd.concat(by_sequence, names=["lens", None]).reset_index(level=0)
by_sequence["source"] = np.array(sources)[by_sequence.sequence % len(sources)]
layers = bits_by_source(by_sequence, seed=seed)
numbers(num_held_out=num_sequences * (length - skipped - 1))

# %% tags=["hide-input", "remove-output"]
figures.show("fig-lens-bits", drawings.bits, layers=layers, paper=paper["perplexity"])

# %% tags=["hide-input"]
inner = by_sequence[by_sequence.layer < depth]
bits = inner.pivot(index=["layer", "sequence", "bytes"], columns="lens", values="bits").reset_index()
gap = per_byte(bits.assign(gap=bits.logit - bits.tuned), "layer", "gap", seed=seed)
sheet.claim(
    "The tuned lens predicts the next token better than the logit lens at every layer",
    paper="at every layer of every model",
    found=Measured(f"at {(gap.low > 0).sum()} of {depth} layers", "exact count"),
    asks="at every layer the 95 % bootstrap interval of the gap over sequences above zero", holds=(gap.low > 0).all(),
)  # fmt: skip
steps_down = per_byte(bits, "layer", "tuned").bits_per_byte.diff().dropna()
sheet.claim(
    "The tuned lens gets better from layer to layer",
    paper="falls at every layer of GPT-2 small, OPT-125M and Pythia-160M",
    found=Measured(f"falls at {(steps_down < 0).sum()} of {len(steps_down)} steps", "no interval"),
    asks="nine steps of ten", holds=(steps_down < 0).mean() >= 0.9,
    how=f"bits per byte of neighbouring layers; largest rise {max(0.0, steps_down.max()):.3f}",
)  # fmt: skip
kl = inner.groupby(["layer", "lens"]).kl.mean().unstack()
share = 1 - kl.tuned / kl["least squares"]
sheet.claim(
    "Training improves on least squares at every layer", paper="not in the paper",
    found=Measured(
        f"divergence from the model lower by {share.min():.0%} to {share.max():.0%}", (share.min(), share.max()),
        "interval: range over layers",
    ),
    asks="a lower divergence at every layer", holds=(share > 0).all(), how="least squares: recorded", kind="own",
)  # fmt: skip
won = (kl.logit - kl["least squares"]) / (kl.logit - kl.tuned)
sheet.claim(
    "Least squares alone has most of what the tuned lens gains on the logit lens", paper="not in the paper",
    found=Measured(won.median(), (won.min(), won.max()), "median and range over layers"),
    asks="a median above 0.5", holds=won.median() > 0.5, how="share of the fall of the divergence from the model",
    kind="own",
)  # fmt: skip
sheet.verdicts()

# %%
foreign = {"prose": ("sklearn.datasets.descr", ".rst"), "code": ("pandas", ".py")}
domains = [by_sequence[by_sequence.lens == "tuned"].assign(domain="inside", kind=lambda rows: rows.source)]
for kind, (package, suffix) in foreign.items():
    passages = package_passages(tokenizer, package, suffix, num_foreign, length, seed=seed)
    domains.append(lenses.loss_table(tuned, passages, tokenizer, skip=skipped)[0].assign(domain="outside", kind=kind))
domains = pd.concat(domains)
domains, further = divergence_by_domain(domains[domains.layer < depth], seed=seed)
numbers(num_foreign=num_foreign)

# %% tags=["hide-input", "remove-output"]
figures.show("fig-lens-domain", drawings.domain, layers=domains)

# %% [markdown]
# ```{glue:figure} fig-lens-domain
# :name: fig-lens-domain
# :alt: Two line charts of divergence by layer, each with a solid line inside and a dashed line outside the domain: on
# :  prose the dashed line lies above, on code the two lie together.
#
# **Outside the texts of its training** the tuned lens: divergence from the model by layer. Blue: held-out passages of
# the corpora of the training, as above; orange, dashed: {glue:text}`num_foreign` passages each of corpora of which the
# training saw nothing, descriptions of data sets (scikit-learn's) and sources of another package (pandas). Bands: 95 %
# bootstrap interval over sequences.
# ```

# %% tags=["hide-input"]
for kind, ratio in further.items():
    sheet.claim(
        f"On {kind} of which its training saw nothing the tuned lens is further from the model",
        paper="not in the paper", found=ratio, asks=criteria.above(1), kind="own",
        how="divergence outside over inside of its domain; a first version pooled prose and code and held by the prose",
    )  # fmt: skip
sheet.verdicts()

# %% tags=["hide-input", "remove-output"]
words = {name: lenses.token_table(each, sentence, tokenizer) for name, each in pair.items()}
words = pd.concat(words, names=["lens", None]).reset_index(level=0)
numbers(sentence=sentence)
shown = words.layer.isin({*range(0, depth, token_layers), depth})
figures.show("fig-lens-tokens", drawings.tokens, cells=words[shown].reset_index(drop=True))

# %% [markdown]
# ```{glue:figure} fig-lens-tokens
# :name: fig-lens-tokens
# :alt: Two tables of tokens by layer. The logit lens shows mostly commas, blanks and common words, at layer zero often
# :  the input token or its continuation, in dark cells until the last layers; the tuned lens shows common words early
# :  and the final words some layers before the end, in paler cells.
#
# **The most probable next token at every layer** (rows; the top row is the model) after every token of the sentence
# "{glue:text}`sentence`" (columns): logit lens above, tuned lens below. Colour: divergence of the layer's distribution
# from the model's in nats, darkest at 10 and more. Spaces are drawn as dots, long tokens cut. The translators have not
# been trained on first tokens, whose states are outliers: the first column of the tuned lens means nothing.
# ```
#
# ## Bias
#
# The mean of a lens's distributions over all tokens should be the mean of the model's. Its divergence is the lens's
# *bias*: the paper finds that the logit lens makes whole classes of tokens improbable that the model does not.

# %% tags=["hide-input", "remove-output"]
bias = pd.DataFrame({name: lenses.marginal_bias(marginal) for name, (_, marginal) in measured.items()})[:depth]
bias = bias.rename_axis("layer").reset_index()
published = paper["bias"].pivot(index="layer", columns="lens", values="bias_bits").reset_index()
figures.show("fig-lens-bias", drawings.bias, here=bias, paper=published)

# %% [markdown]
# ```{glue:figure} fig-lens-bias
# :name: fig-lens-bias
# :alt: Two line charts of bias by layer on a log scale. In both the logit lens is far above the tuned lens at every
# :  layer drawn, and both fall towards the end.
#
# **Bias by layer**: $\mathrm{KL}(\bar p \,\|\, \bar q_l)$ of the mean distributions over tokens, in bits (log scale),
# logit lens red and dashed, tuned lens blue. Left: SmolLM2 on the held-out text. Right: the paper's
# [GPT-Neo-2.7B]{.paper}. The means on the left are over far fewer tokens than the paper's, the same for model and lens:
# few tokens inflate a bias, so that its level here is an upper estimate. One training of the translators, no error
# bars.
# ```
# % rests on: The tuned lens is less biased than the logit lens at every layer

# %% tags=["hide-input"]
half, theirs = bias.loc[depth // 2], published.loc[15]
less = bias.tuned < bias.logit
sheet.claim(
    "The tuned lens is less biased than the logit lens at every layer",
    paper=f"at every layer; half-way {theirs.logit:.2f} against {theirs.tuned:.2f} bits (GPT-Neo-2.7B)",
    found=Measured(
        f"at {less.sum()} of {depth}; half-way {half.logit:.2f} against {half.tuned:.2f} bits", "exact count"
    ),
    asks="at every layer", holds=less.all(),
    how=f"mean distributions over {num_sequences * (length - skipped)} tokens",
)  # fmt: skip
sheet.verdicts()

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
pairs, correlations = transfer_table(penalties, similarity, chosen, seed=seed)
numbers(num_sequences=num_sequences, transfer_length=transfer_length)

# %% tags=["hide-input", "remove-output"]
figures.show("fig-lens-transfer", drawings.transfer, pairs=pairs)

# %% [markdown]
# ```{glue:figure} fig-lens-transfer
# :name: fig-lens-transfer
# :alt: Two heat maps with alike blocks along the diagonal, and a scatter plot in which the penalty falls as the
# :  similarity of covariances grows.
#
# **Transfer penalty.** Left: what the translator of one layer (row) loses on the states of another (column) against
# that layer's own, nats a token, mean over {glue:text}`num_sequences` sequences of {glue:text}`transfer_length` tokens;
# the darkest colour stands for 8 and more. Middle: similarity of the layers' covariances without their two largest
# principal components. Right: one against the other, a dot for each pair of different layers (vertical axis linear near
# zero, then logarithmic); vertical lines: 95 % bootstrap interval over sequences.
# ```
# % rests on: The transfer penalty falls with the similarity of the layers' covariances (pairs of different layers only)

# %% tags=["hide-input"]
for cells, who, kind in (
    ("all", "all pairs, a layer with itself included, as in the paper", "paper"),
    ("other", "pairs of different layers only", "own"),
):
    sheet.claim(
        f"The transfer penalty falls with the similarity of the layers' covariances ({who})",
        paper=-0.78 if kind == "paper" else "not in the paper",
        found=correlations[cells], asks=criteria.at_most(-0.5), kind=kind,
    )  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## Do lens and model depend on the same directions?
#
# A *causal basis* of a layer consists of the directions whose removal (replacement by their mean) changes the lens's
# prediction most. The same directions are then removed in the model; the control are random directions. A direction
# that was chosen on some states seems more important there than it is, so that the bases are found on states of other
# documents than those on which the influences on lens and model are measured.

# %%
if causal_layers:
    enough = -(-causal_states // (causal_length - skipped))
    found_on, measured_on = (
        language.PassageStream(**texts, batch_size=count, length=causal_length, seed=seed + 7, held_out=apart)(0)
        for count, apart in ((enough, False), (causal_sequences, True))
    )
    causal = lenses.fidelity_table(
        tuned, found_on, measured_on, causal_layers, causal_directions,
        num_states=causal_states, max_iterations=causal_iterations, skip=skipped, seed=seed,
    )  # fmt: skip
    causal.to_csv(output_folder() / "causal.csv", index=False, float_format="%.6g")
else:
    causal = recorded_tables("smollm2_causal")["causal"]
fidelity, over_layers = lenses.fidelity_summary(causal, seed=seed)
middle = min(fidelity.layer, key=lambda layer: abs(layer - 0.75 * depth))
fidelity["shown"] = fidelity.layer == middle
influences = causal.groupby(["layer", "basis", "direction"])[["lens", "model", "chosen_on"]].mean() / np.log(2)
numbers(
    causal_measured=causal.sequence.nunique() * (causal_length - skipped), causal_found=causal_states,
    causal_directions=causal.direction.nunique(), causal_sequences=causal.sequence.nunique(), causal_layer=middle,
    chosen=over_layers["chosen"][0], chosen_low=fidelity.chosen.min(), chosen_high=fidelity.chosen.max(),
)  # fmt: skip

# %% tags=["hide-input", "remove-output"]
figures.show("fig-lens-causal", drawings.causal, influences=influences.reset_index(), correlations=fidelity)

# %% [markdown]
# ```{glue:figure} fig-lens-causal
# :name: fig-lens-causal
# :alt: Left, log axes: random directions at the lower left on the line of equality, causal directions at the upper
# :  right, several times below the line; most open circles lie to the right of them. Right, rank correlations by layer
# :  with error bars, high at all four layers for causal directions, mostly lower for random ones.
#
# **Causal fidelity** (recorded). Left: influence of removing a direction on the lens and on the model at layer
# {glue:text}`causal_layer`, bits a token, log scales; blue dots: causal basis, grey crosses: random directions, open
# circles: the influence of the causal ones on the lens at the {glue:text}`causal_found` states on which they were
# found; the line is equality. Right: Spearman correlation of the two influences over the
# {glue:text}`causal_directions` directions of each basis, by layer. Influences are means over
# {glue:text}`causal_measured:,` tokens of {glue:text}`causal_sequences` held-out sequences; error bars: 95 % bootstrap
# interval over the sequences, for the bases that were found.
# ```
#
# On the states on which they were found the causal directions are worth {glue:text}`chosen:.1f` times as much to the
# lens as on the others (median over layers; {glue:text}`chosen_low:.1f` to {glue:text}`chosen_high:.1f`). Random
# directions, whose influences are tiny, are ordered alike by lens and model as well.

# %% tags=["hide-input"]
each = "at layers " + ", ".join(f"{layer}" for layer in fidelity.layer)
found = {
    name: ", ".join(f"{row[name]:.2f} [{row[name + '_low']:.2f}, {row[name + '_high']:.2f}]" for row in rows)
    for rows in [fidelity.to_dict("records")] for name in ("causal", "ratio")
}  # fmt: skip
sheet.claim(
    "Within the causal basis alone the order of the directions is the model's too, at most layers",
    paper="0.89 at layer 18 of 24 (Pythia-410M); 0.25 to 0.98 over layers",
    found=Measured(
        over_layers["causal"][0], over_layers["causal"][1:],
        f"median over {len(fidelity)} layers, 95 %, bootstrap over {causal.sequence.nunique()} sequences",
    ),
    asks=criteria.above(0.5), how=f"Spearman over the directions of a layer; {each}: {found['causal']}; a first "
    "version had the lens's influence on the states that chose the directions, and no interval",
)  # fmt: skip
sheet.claim(
    "The model depends more on the lens's causal directions than on random ones", paper="not in the paper",
    found=Measured(
        f"{fidelity.ratio.min():.1f} to {fidelity.ratio.max():.1f} times",
        (fidelity.ratio_low.min(), fidelity.ratio_high.max()),
        f"{each}: {found['ratio']} times, 95 %, bootstrap over {causal.sequence.nunique()} sequences",
    ),
    asks="at every layer above 1",
    holds=criteria.all_hold(*map(criteria.above(1), zip(fidelity.ratio_low, fidelity.ratio_high))), kind="own",
    how="median influence on the model of the causal over that of the random directions; a rank correlation over "
    "both kinds of directions together, which says the same, is no claim any more",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## What a block does
#
# If the layers refine one prediction, what a block adds to the stream should point down the gradient of the loss, as a
# lens has it at the block's input, and a model that lacks one block should still do its work. The paper takes the logit
# lens; the tuned lens, which knows the basis of each layer, is asked too.

# %%
passages = {"batch_size": gradient_sequences, "length": gradient_length, "seed": seed + 3, "held_out": True}
passages = language.PassageStream(**texts, **passages)(0)
cosines, deleted = block_tables(pair, model, passages, skip=skipped)
medians = cosines.groupby(["lens", "layer"]).cosine.median().unstack(level=0)
numbers(**{f"negative_{name}": (medians[name] < 0).sum() for name in pair})
numbers(gradient_sequences=gradient_sequences, gradient_length=gradient_length)

# %% tags=["hide-input", "remove-output"]
figures.show("fig-lens-gradient", drawings.blocks, cosines=cosines, deleted=deleted, paper=paper["iterative"])

# %% [markdown]
# ```{glue:figure} fig-lens-gradient
# :name: fig-lens-gradient
# :alt: Two panels of dots of cosines by layer with the median as a line. With the logit lens the line wanders around
# :  zero in the first two thirds of the layers and is negative after; with the tuned lens it is negative nearly
# :  everywhere. Orange squares of the published model lie slightly below zero at every layer. A third panel has the
# :  rise of the loss without each block, largest at the first, small at most of the middle layers.
#
# **Blocks against the gradient, and blocks left out.** Left and middle: cosine between the gradient of a lens's loss
# and what a block adds to the stream, SmolLM2; loss of the logit lens, as in the paper, and of the tuned lens. Dots:
# each of {glue:text}`gradient_sequences` held-out sequences of {glue:text}`gradient_length` tokens; lines: median.
# Orange squares: medians of the paper's [Pythia-12B]{.paper} by relative depth, logit lens, with sequences of
# [2048]{.paper} tokens. Below the black line a block lowers the loss to first order. Right: rise of the model's loss on
# the same sequences when a single block is left out (linear near zero, then logarithmic); bars: 95 % interval over
# sequences (Student).
# ```
#
# Of the {glue:text}`depth` medians {glue:text}`negative_logit` are negative with the logit lens and
# {glue:text}`negative_tuned` with the tuned lens. Short sequences make each cosine noisy, which weakens the count for
# the tuned lens, whose medians are hardly larger than the scatter of the sequences. It does not explain the logit
# lens: at several layers nearly all sequences have a positive cosine, so that these blocks move against what that
# lens reads.

# %% tags=["hide-input"]
theirs = paper["iterative"].median_cosine
sizes = model.d_model * (gradient_length - skipped - 1)
for name in pair:
    own, of_paper = cosines[cosines.lens == name].groupby("layer").cosine, name == "logit"
    negative, median = own.agg(lambda each: (each < 0).mean()), own.median()
    sheet.claim(
        f"Blocks move against the gradient of the {name} lens's loss, at every layer in 95 % of the sequences",
        paper=f"there; medians {theirs.min():.3f} to {theirs.max():.3f} (12B)" if of_paper else "not in the paper",
        found=Measured(
            f"at {(negative >= 0.95).sum()} of {depth} layers, {negative.min():.0%} of the sequences at the worst; "
            f"median below 0 at {(median < 0).sum()}",
            (median.min(), median.max()), "interval: range over layers of the median cosine",
        ),
        asks="95 % at every layer", holds=(negative >= 0.95).all(), kind="paper" if of_paper else "own",
        how=f"{gradient_sequences} sequences of {gradient_length} tokens, the paper's have 2048: {sizes:,} numbers in "
        "a cosine against 8.4 million; a claim of the median alone is merged with this one",
    )  # fmt: skip
first, rest = deleted.iloc[0], deleted.iloc[1:]
sheet.claim(
    "Without a single block the loss hardly changes, unless it is the first", paper="nearly no change but at the first",
    found=Measured(
        f"{first.rise:.2f} nats at the first; of the others {(rest.rise <= 0.1).sum()} of {len(rest)} at most 0.1, "
        f"{rest.rise.max():.2f} at the worst", (rest.rise.min(), rest.rise.max()), "range of the means over the others",
    ),
    asks="a rise of at most 0.1 nats without every block but the first, and above it without that",
    holds=criteria.all_hold(
        criteria.above(0.1)((first.low, first.high)), *map(criteria.at_most(0.1), zip(rest.low, rest.high))
    ),
    how="by the interval over sequences of each; the bound was set before the measurement",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## An injected instruction in the trajectory
#
# Two-choice questions on the sentiment of a one-sentence review made from a template, with answered examples in front;
# in half of the prompts an instruction to give the wrong answer stands before the place of the answer, in the paper's
# words. A detector learns from normal prompts only: from the log-odds of the two answers at every layer, by either
# lens; the baseline is a Mahalanobis distance on hidden states, for which a layer has to be chosen, so that all of them
# are shown. That baseline sees the words of the instruction themselves, and the length of the prompt; a trajectory sees
# only what the layers make of the answer.

# %%
normal, injected = (
    lenses.sentiment_prompts(num_prompts, num_shots=num_shots, injected=injected, seed=seed + 4)
    for injected in (False, True)
)
repeats = {"num_splits": num_splits, "num_bootstraps": num_bootstraps, "seed": seed}
areas, baseline, odds, accuracy = lenses.injection_tables(pair, tokenizer, normal, injected, **repeats)
published = paper["injection"][paper["injection"].task == "SST-2"].replace({"detector": lenses.DETECTORS})
areas = areas.merge(published[["feature", "detector", "auroc"]].rename(columns={"auroc": "paper"}))
numbers(accuracy=accuracy["normal"], accuracy_injected=accuracy["injected"])
numbers(num_prompts=num_prompts, num_splits=num_splits, num_bootstraps=num_bootstraps)
print(injected[0].text)

# %% tags=["hide-input", "remove-output"]
odds = odds[odds.lens == "tuned"].reset_index(drop=True)
figures.show("fig-lens-injection", drawings.injection, odds=odds, areas=areas, baseline=baseline)

# %% [markdown]
# ```{glue:figure} fig-lens-injection
# :name: fig-lens-injection
# :alt: Left, two bands of log-odds by layer which part in the late layers. Middle, areas under the curve with error
# :  bars for four detectors. Right, the baseline by layer.
#
# **Detecting an injection.** Left: log-odds of the right answer by layer, tuned lens; lines: medians of
# {glue:text}`num_prompts` normal (blue) and as many injected prompts (red, dashed), bands: their quartiles. Middle:
# area under the ROC curve of the detectors, circles: here; grey squares: the paper's, on SST-2 and Pythia-12B, a harder
# task and a model that is not trained on instructions. Right: that of the Mahalanobis baseline at every layer. Error
# bars and band: 95 % interval over {glue:text}`num_splits` splits with {glue:text}`num_bootstraps` bootstraps each.
# ```
#
# Without the injection the model answers {glue:text}`accuracy:.0%` of the questions rightly, with it
# {glue:text}`accuracy_injected:.0%`. The logit lens is at the ceiling, so that the tuned lens cannot be seen to be
# better; by the local outlier factor it is a little below, and for the baseline any layer but the embedding would
# have done.

# %% tags=["hide-input"]
own, other = areas[areas.feature == "tuned"], areas[areas.feature == "logit"].reset_index(drop=True)
own = own.reset_index(drop=True)
by_detector = "; ".join(f"{row.detector} {{}}" for row in own.itertuples())
sheet.claim(
    "An injection is detected from the tuned lens's trajectory, by either detector",
    paper=by_detector.format(*(f"{area:.2f}" for area in own.paper)) + " (SST-2)",
    found=Measured(
        by_detector.format(*(f"{area:.2f}" for area in own.value)), (own.low.min(), own.high.max()),
        "median, and 95 % over splits and bootstraps of both together",
    ),
    asks="of each interval at least 0.9", holds=criteria.all_hold(*map(criteria.at_least(0.9), zip(own.low, own.high))),
    how=f"area under the ROC curve, {num_prompts} prompts of each kind; was a claim for each detector",
)  # fmt: skip
for one, two in zip(own.itertuples(), other.itertuples()):
    sheet.claim(
        f"The tuned lens's trajectory detects better than the logit lens's, with the {one.detector}",
        paper=f"{one.paper - two.paper:.2f} better (SST-2)",
        found=Measured(
            f"{one.value - two.value:+.2f}",
            f"tuned {one.low:.2f} to {one.high:.2f}, logit {two.low:.2f} to {two.high:.2f}",
        ),
        asks="the tuned lens's interval above the logit lens's, undecided where they overlap",
        holds=False if one.high < two.low else one.low > two.high or None,
        how="the logit lens is at the ceiling, where nothing can be seen to be better; a first version joined both "
        "detectors and failed where they overlap",
    )  # fmt: skip
best = areas.loc[areas.value.idxmax()]
layer = baseline.loc[baseline.auroc.idxmax()]
sheet.claim(
    "The Mahalanobis baseline does as well as the best detector on trajectories, if its layer is chosen well",
    paper="1.00 at the layer that the paper fixed",
    found=Measured(
        f"{layer.auroc:.2f} at layer {layer.layer:.0f}, the best, {baseline.auroc.min():.2f} at the worst; "
        f"{best.detector} on the {best.feature} lens {best.value:.2f}", (layer.low, layer.high),
        "95 % over splits and bootstraps, best layer",
    ),
    asks="the best layer's interval above that detector's, undecided where they overlap",
    holds=False if layer.high < best.low else layer.low > best.high or None,
    how="both at the ceiling; the layer cannot be chosen without injected prompts (a first version compared medians)",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## A developmental lens
#
# The two-layer model of prose and code from the chapter on its stages, read by both lenses along its training:
# translators are fitted anew at each of some of its recorded checkpoints, by least squares and {glue:text}`text_steps`
# steps of training.

# %%
text, corpus, text_length, _ = recorded_text_run(recorded_path("language_model", "checkpoints"))
stream = {"tokenizer": corpus.tokenizer(), "sources": corpus.sources, "length": text_length, "prefix": 0}
text_held_out = language.PassageStream(**stream, batch_size=text_sequences, seed=seed + 5, held_out=True)(0)
kept = sorted({text.nearest(0), *text.spaced(num_checkpoints - 1, first=max(1, text.steps[-1] / 1000))})
development = lenses.lens_over_training(
    {step: text.model(step, 0) for step in kept},
    language.PassageStream(**stream, batch_size=text_batch_size, seed=seed + 6),
    text_held_out,
    lenses.LensTraining(num_steps=text_steps, learning_rate=train_learning_rate),
    num_regression=text_regression,
)
development = lenses.with_bits(development, text_held_out, corpus.tokenizer())
along, shares, advance = development_tables(development, seed=seed)
numbers(text_steps=text_steps, num_checkpoints=len(kept), text_sequences=text_sequences)

# %% tags=["hide-input", "remove-output"]
figures.show("fig-lens-development", drawings.development, layers=along, shares=shares)

# %% [markdown]
# ```{glue:figure} fig-lens-development
# :name: fig-lens-development
# :alt: Line charts of bits per byte against the training step. The tuned lens of each layer falls and levels off early
# :  for the embedding, later for the first block; the logit lens stays above it.
#
# **A lens along training.** Bits per byte of held-out prose and code at each layer of the two-layer text model (left:
# its embedding; middle: after the first block) against the training step, logit lens red and dashed, tuned lens blue,
# translators fitted anew at each of {glue:text}`num_checkpoints` recorded checkpoints; black: the model. Right: share
# of the model's gain over its start that each layer's tuned lens has, from the first checkpoint on at which the gain is
# a twentieth of the start. Bands: 95 % bootstrap interval over {glue:text}`text_sequences` sequences. One model. Step 0
# is drawn at the left edge.
# ```
# % rests on: At the end of training the tuned lens reads more from each layer of the text model

# %% tags=["hide-input"]
places = ["at the embedding" if layer == 0 else f"after block {layer}" for layer in advance.layer]
sheet.claim(
    "At the end of training the tuned lens reads more from each layer of the text model than the logit lens",
    paper="not in the paper",
    found=Measured(
        ", ".join(f"{each:.2f} bits per byte {at}" for each, at in zip(advance.bits_per_byte, places, strict=True)),
        "; ".join(f"{low:.2f} to {high:.2f}" for low, high in zip(advance.low, advance.high, strict=True)),
        f"95 %, bootstrap over {text_sequences} sequences of the gap",
    ),
    asks="both intervals above 0", holds=(advance.low > 0).all(), how=f"step {kept[-1]:,}", kind="own",
)  # fmt: skip
gain = shares[shares.layer == 0].iloc[[0, -1]] if len(shares) else shares
sheet.claim(
    "Over training the embedding's share of the text model's gain falls: early gains need no block",
    paper="not in the paper",
    found=Measured(
        ", ".join(f"{row.share:.2f} at step {row.step:,}" for row in gain.itertuples()) or "no gain", "one model"
    ),
    asks="a fall of 0.05", holds=len(gain) > 1 and gain.share.iloc[1] < gain.share.iloc[0] - 0.05,
    how="share of the gain in bits per byte that the tuned lens at the embedding has, from the first checkpoint whose "
    "loss is 5 % below the start", kind="own",
)  # fmt: skip
sheet.verdicts()

# %% [markdown]
# ## What it means, and what is open
#
# A translator of each layer reads what a logit lens cannot, and most of it is linear algebra: no training is needed
# to have it. Open is what training adds on more text, on another model and on long contexts; where the logit lens is
# at its ceiling a harder detection could tell the two apart.
#
# ## Claims
#
# Intervals of this model's bits are bootstraps over sequences; the translators were trained once.

# %% tags=["hide-input"]
sheet.finish()

# %% [markdown]
# ## Further
#
# The first command trains the translators as they are recorded (an hour on one core), the second finds the causal bases
# (half an hour); the third uses what is recorded with other settings.
#
# ```
# python -m devinterp_core.companion run 09_tuned_lens -f notebooks/params/09_tuned_lens.recorded.yaml
# python -m devinterp_core.companion run 09_tuned_lens -f notebooks/params/09_tuned_lens.recorded_causal.yaml
# python -m devinterp_core.companion run 09_tuned_lens -p num_shots 4 -p sentence "Call me Ishmael. Some years ago"
# python -m devinterp_core.companion run 09_tuned_lens -f notebooks/params/09_tuned_lens.paper.yaml
# ```
