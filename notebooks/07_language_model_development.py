# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Stages of a language model
#
# {cite:t}`hoogland2024stages` follow a two-layer, attention-only language model through training and cut it into stages
# where the local learning coefficient (LLC) stops rising or falling. Two questions:
#
# 1. Does a small language model learn bigrams first, then multigrams, and the induction circuit last?
# 2. Does the LLC tell these stages apart, among them one in which it *falls*?
#
# The figures show loss and LLC with the stages that a Gaussian process finds, the behavioural scores (bigrams, n-grams,
# use of positions, learning in context), the attention of every head, and the essential dynamics. Two worlds are shown
# side by side: a synthetic language in which every token comes with the rule that made it, so that "how many multigrams
# are memorised" is counted and not estimated, trained in this notebook; and real prose and code, from checkpoints of a
# recorded run.

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
num_text_sequences: int = 64  # evaluation sequences of text
num_counted_tokens: int = 500000  # of each source, for the statistics of n-grams
num_measured: int = 32  # checkpoints at which behaviour is measured
text_steps: int = 0  # training steps of the real-text model; 0 reads the recorded checkpoints
text_sources: list[str] = ["prose", "code"]  # sources of text, see devinterp_core.language.corpora
text_vocabulary: int = 512  # byte-pair tokens
text_width: int = 64  # of the real-text model's residual stream
text_heads: int = 8  # of each of its two layers
text_head_size: int = 16  # numbers in a query, key or value
text_repeat_share: float = 0.5  # of its training sequences that repeat a passage
text_length: int = 128  # tokens of a sequence of text
text_batch_size: int = 16  # sequences of text a step
text_learning_rate: float = 3e-3  # of AdamW
text_kept: int = 20  # checkpoints of the real-text model that are exported
num_llc_checkpoints: int = 14  # at which the LLC is estimated
llc_step_size: float = 1e-3  # SGLD step of the paper
llc_n_beta: float = 30.0  # inverse temperature of the paper
llc_localization: float = 200.0  # of the paper
llc_chains: int = 2  # of each model and checkpoint
llc_burnin: int = 60  # SGLD steps
llc_draws: int = 60  # SGLD steps after them, all recorded
llc_batch_size: int = 16  # sequences of an SGLD step
text_llc: bool = False  # whether the real-text model's LLC is estimated; False draws the recorded one
num_dynamics_sequences: int = 24  # inputs on which the outputs are followed for essential dynamics
smoothing_end: float = 8.0  # width of the smoothing at the end of training, in checkpoints

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from myst_nb import glue

from devinterp_core import language, trajectory
from devinterp_core.companion import claims, figures
from devinterp_core.companion.dynamics import draw_essential_dynamics
from devinterp_core.companion.output import cache_folder, output_folder
from devinterp_core.companion.project import root
from devinterp_core.companion.recorded import recorded_text_run
from devinterp_core.heads import head_scores, make_probe, mean_by_kind, memorised_rules, model_scores
from devinterp_core.llc import coefficient_table
from devinterp_core.sampler import sample_many
from devinterp_core.train import TrainingSettings, log_and_linear_steps, train
from devinterp_core.trajectory.crossing import crossing_step, halfway_step
from devinterp_core.transformer import Transformer, attention_only

torch.set_num_threads(1)
figures.use_style()
sheet = claims.ClaimSheet("07_language_model_development", paper="Hoogland et al. (2024), arXiv:2402.02364")
paper_curves = pd.read_csv(root() / "data/reference/language_curves.csv")
paper_stages = pd.read_csv(root() / "data/reference/language_stages.csv")
recorded_text = root() / "data/recorded/language_model"

# %% [markdown]
# ## A language whose rules are known
#
# Words follow each other by Zipf's law; on top of these *bigrams* lie *multigrams*, pairs of words that force the next
# word, either directly before it or three apart (a skip-trigram); brackets close after a few tokens; a *name* is followed
# by a word that is bound to it anew in each sequence, and half of the sequences repeat a segment. The last two can only
# be predicted by learning in context. The table shows a piece of a sequence.

# %%
world = language.SyntheticLanguage(
    num_words=num_words, num_trigram_rules=num_trigram_rules, num_skip_rules=num_skip_rules, seed=seed
)
example = world.draw(1, length, seed=50_000 + seed)
kinds = world.kinds(example.rules)[0]
shown = pd.DataFrame({"token": example.tokens[0].tolist(), "made by": [language.RuleKind(int(k)).name.lower() for k in kinds]})
shown.head(24).transpose()

# %%
config = attention_only(world.vocabulary.size, width, num_heads, length)
synthetic = train(
    [Transformer(config, seed=seed + index) for index in range(num_seeds)],
    language.LanguageStream((world,) * num_seeds, batch_size, length, seeds=tuple(seed + i for i in range(num_seeds))),
    language.next_token_loss,
    TrainingSettings(
        num_steps=num_steps, learning_rate=learning_rate, num_warmup=min(100, num_steps), weight_decay=weight_decay
    ),
    checkpoint_steps=log_and_linear_steps(num_steps, num_log_checkpoints, num_linear_checkpoints),
    folder=cache_folder(),
    compile=compile_step,
)
glue("num_parameters", sum(p.numel() for p in synthetic.template.parameters()), display=False)
glue("training_seconds", synthetic.record["seconds"], display=False)

# %% [markdown]
# ## Prose and code
#
# The second model reads real text: addresses of US presidents and the sources of a Python package, mixed evenly, cut into
# byte-pair tokens. Its checkpoints come from a recorded run (`data/recorded/language_model`, with its provenance); the last
# section has the command that trains it again. In windows as short as these, text seldom repeats itself, and a first model
# trained for as long formed no induction head. Two things were changed for this one, and its learning in context is owed to
# them: half of its training sequences repeat a passage, and its position embeddings begin as sinusoids. Loss, LLC and
# in-context score below are measured on prose and code without such repeats, which is not what it was trained on; prefix
# matching is measured on repeated random blocks. The tokenizer is trained here and must be that of the
# checkpoints, so the texts are checked first.

# %%
if text_steps:
    corpus = language.text_corpus(text_sources, text_vocabulary)
    text_config = attention_only(
        text_vocabulary, text_width, text_heads, text_length, d_head=text_head_size, sinusoidal_positions=True
    )
    text = train(
        [Transformer(text_config, seed=seed)],
        language.TextStream(corpus, text_batch_size, text_length, seeds=(seed,), repeat_share=text_repeat_share),
        language.next_token_loss,
        TrainingSettings(
            num_steps=text_steps,
            learning_rate=text_learning_rate,
            num_warmup=min(200, text_steps),
            weight_decay=weight_decay,
            max_gradient_norm=1.0,
        ),
        checkpoint_steps=log_and_linear_steps(text_steps, 30, 40),
        folder=cache_folder(),
        compile=compile_step,
    )
    wanted = [0, *np.geomspace(max(1, text_steps / 2000), text_steps, text_kept - 1)]
    text.export(output_folder() / "checkpoints", [text.nearest(step) for step in wanted])
else:
    text, corpus, text_length, text_batch_size = recorded_text_run(recorded_text / "checkpoints")
glue("text_parameters", sum(p.numel() for p in text.template.parameters()), display=False)
glue("text_tokens", text.steps[-1] * text_batch_size * text_length / 1e6, display=False)

# %% [markdown]
# The synthetic language's models have {glue:text}`num_parameters:,` parameters each (training all of them side by side took
# {glue:text}`training_seconds:.0f` seconds), the text model has {glue:text}`text_parameters:,` and has seen
# {glue:text}`text_tokens:.0f` million tokens. The paper's has [3 million]{.paper} parameters and sees
# [5 billion]{.paper} tokens.
#
# ## What is measured
#
# The *bigram score* is the cross-entropy of the model's predictions with the corpus' bigrams: lowest for a model that
# knows bigrams and nothing else. The *n-gram loss* is that of the last token of common n-grams, presented alone. The
# *in-context score* is the loss late in a sequence minus the loss early in it (over a sixteenth of its length, from seven
# eighths on, and from one sixteenth on). The *positional gap* is by how much the loss rises when the position embedding is
# set to zero. A head's *previous-token* score is its mean attention to the token
# before, its *prefix-matching* score its attention, from a token that occurs again, to what followed it the first time: in
# the text world on random tokens of which each sequence has the same block twice, in the synthetic language on its own
# sequences and from names only, since nothing else there is worth looking back for.
#
# The text's n-grams are counted on {glue:text}`counted_tokens:.1f` million tokens of its training documents, prose and
# code in equal parts.

# %%
held_out = world.draw(num_sequences, length, seed=60_000 + seed)
words = torch.arange(world.vocabulary.words, world.vocabulary.words + num_words)
probes = {
    "synthetic": make_probe(
        held_out.tokens,
        world.draw(2000, length, seed=70_000 + seed).tokens,
        config.num_tokens,
        candidates=words,
        queries=torch.arange(world.vocabulary.names, world.vocabulary.openings),
        seed=seed,
    )
}
each = max(1, num_text_sequences // len(corpus.sources))
evaluation = [language.text_sequences(corpus, s, each, text_length, seed=seed + 1, held_out=True) for s in corpus.sources]
counted = [corpus.tokens(s, about=num_counted_tokens) for s in corpus.sources]
shortest = min(map(len, counted))
counted = torch.from_numpy(np.concatenate([tokens[:shortest] for tokens in counted]).astype(np.int64))[None]
probes["text"] = make_probe(torch.cat(evaluation), counted, corpus.num_tokens, seed=seed, block_length=24)
glue("counted_tokens", counted.shape[1] / 1e6, display=False)
runs = {"synthetic": synthetic, "text": text}

rows, head_rows, rule_rows = [], [], []
for name, checkpoints in runs.items():
    last = checkpoints.steps[-1]
    wanted = [0, *np.geomspace(max(1, last / 2000), last, num_measured - 1)]
    for step in sorted({checkpoints.nearest(each) for each in wanted}):
        for index in range(checkpoints.num_models):
            model = checkpoints.model(step, index)
            label = {"world": name, "step": step, "seed": index}
            rows.append(label | model_scores(model, probes[name]))
            for head, scores in head_scores(model, probes[name]).items():
                head_rows.append(label | {"head": head} | scores)
            if name == "synthetic":
                with torch.no_grad():
                    losses = language.next_token_losses(model(held_out.tokens), held_out.tokens)
                known = memorised_rules(losses, held_out.rules[:, 1:], world.num_rules, min_occurrences=3)
                seen = int((known.occurrences >= 3).sum())
                by_kind = mean_by_kind(losses, world.kinds(held_out.rules[:, 1:]))
                named = {f"loss_{kind.name.lower()}": value for kind, value in by_kind.items()}
                rule_rows.append(label | {"memorised": int(known.holds.sum()), "seen": seen} | named)
curves, heads, rules = pd.DataFrame(rows), pd.DataFrame(head_rows), pd.DataFrame(rule_rows)

# %% [markdown]
# ## The learning coefficient along training
#
# SGLD around each checkpoint with the paper's step size, inverse temperature and localisation. At this temperature the
# number is a measure of how fast the loss rises around the checkpoint, on which the paper's stages rest. The worst R-hat of
# all estimates, recorded ones included, is {glue:text}`worst_r_hat:.2f`.
#
# The paper's one fall, [-1.57]{.paper}, is about a hundredth of its LLC. The median standard error of a single estimate here is
# {glue:text}`standard_error_synthetic:.2f` for the synthetic language, whose LLC at the end is {glue:text}`end_synthetic:.0f`, and
# {glue:text}`standard_error_text:.2f` at {glue:text}`end_text:.0f` for the text: a fall of the paper's relative size would be within two
# standard errors of a difference of two estimates, so that finding none says nothing. Of its stages the paper prints changes of the loss
# ([-2.33]{.paper}, [-1.22]{.paper} in the first two) that are not those of its released data (larger in the first, smaller in all
# others), from which its curves are drawn here.

# %%
coefficients = []
for name, checkpoints in runs.items():
    if name == "text" and not text_llc:
        if (recorded_text / "llc.csv").exists():
            coefficients.append(pd.read_csv(recorded_text / "llc.csv"))
        continue
    last = checkpoints.steps[-1]
    wanted = np.geomspace(max(1, last / 500), last, num_llc_checkpoints)
    llc_steps = sorted({checkpoints.nearest(step) for step in wanted})
    if name == "text":
        own = [language.text_sequences(corpus, s, 1024, text_length, seed=seed + 2) for s in corpus.sources]
        chain_data = torch.cat(own)
    else:
        chain_data = world.draw(2048, length, seed=80_000 + seed).tokens
    draws = sample_many(
        [checkpoints.model(step, index) for step in llc_steps for index in range(checkpoints.num_models)],
        chain_data,
        language.next_token_loss,
        step_size=llc_step_size,
        n_beta=llc_n_beta,
        localization=llc_localization,
        num_chains=llc_chains,
        num_burnin=llc_burnin,
        num_draws=llc_draws,
        batch_size=llc_batch_size,
        seed=seed,
    )
    labels = [{"world": name, "step": step, "seed": index} for step in llc_steps for index in range(checkpoints.num_models)]
    coefficients.append(coefficient_table(draws, pd.DataFrame(labels)))
llc = pd.concat(coefficients, ignore_index=True)
if text_llc:  # what the recorded run leaves for this page
    llc[llc.world == "text"].to_csv(output_folder() / "llc.csv", index=False)
stages = {name: trajectory.stages_of_mean(part) for name, part in llc.groupby("world")}
glue("worst_r_hat", llc.r_hat.max(), display=False)
for name in runs:
    part = llc[llc.world == name]
    glue(f"standard_error_{name}", float(part.standard_error.median()) if len(part) else np.nan, display=False)
    glue(f"end_{name}", float(part[part.step == part.step.max()].llc.mean()) if len(part) else np.nan, display=False)

# %% mystnb={"figure": {"caption": "**Loss and learning coefficient along training.** Test loss (top, nats a token) and LLC (bottom) against the training step (log scale): synthetic language (`num_seeds` seeds, trained here), prose and code without repeats (one seed, recorded checkpoints of a model half of whose training sequences had repeats), and the paper's published values. Thin lines: single seeds; thick: their mean; band: Gaussian process, two standard deviations. Shaded: stages found in the mean LLC, blue where it rises, orange where it falls; in the paper's column its own stages; neighbouring stages of one type are not told apart. A fall of the paper's relative size would be within twice the error of a difference of two estimates.", "name": "fig-language-stages"}, "image": {"alt": "Two rows of three panels. The loss falls in all. The learning coefficient rises throughout in our two worlds, one blue stage each; in the paper's column it falls within a narrow orange stage."}} tags=["hide-input"]
fig, axes = plt.subplots(2, 3, figsize=figures.size("double", 0.62), sharex="col", squeeze=False)
shades = {"A": figures.COLORS["sky"], "B": figures.COLORS["orange"]}
for (name, column), title in zip(zip(runs, axes.T, strict=False), ("synthetic language", "prose and code"), strict=True):
    for ax, table, value in zip(column, (curves, llc), ("loss", "llc"), strict=True):
        part = table[(table.world == name) & (table.step > 0)]
        if part.empty:
            ax.text(0.5, 0.5, "not recorded", transform=ax.transAxes, ha="center")
            ax.set_yticks([])
            continue
        wide = part.pivot(index="step", columns="seed", values=value)
        ax.plot(wide.index, wide, color=figures.COLORS["blue"], ls="-", lw=0.6, alpha=0.7)
        ax.plot(wide.index, wide.mean(axis=1), color=figures.COLORS["black"], ls="-", lw=1.5)
        for stage in stages[name].stages if name in stages else []:
            ax.axvspan(max(stage.start, 1), stage.end, color=shades[stage.type], alpha=0.22, lw=0)
    if name in stages:
        curve = stages[name].curve
        spread = 2 * curve.standard_deviation
        column[1].fill_between(np.exp(curve.log_steps), curve.mean - spread, curve.mean + spread, color=figures.COLORS["grey"], alpha=0.4, lw=0)
    column[0].set(xscale="log", title=title, xlim=(max(1, runs[name].steps[-1] / 1000), runs[name].steps[-1]))
    column[1].set(xlabel="training step")
late = paper_curves[paper_curves.step > 0]
for ax, value in zip(axes[:, 2], ("loss", "llc"), strict=True):
    ax.plot(late.step, late[value], "o", ls="-", color=figures.COLORS["black"], ms=3, lw=0.8)
    for row in paper_stages.assign(start=[100, *paper_stages.end[:-1]]).itertuples():
        ax.axvspan(row.start, row.end, color=shades[row.type], alpha=0.22, lw=0)
axes[0, 2].set(xscale="log", title="paper", xlim=(300, 50_000))
axes[1, 2].set(xlabel="training step")
axes[0, 0].set_ylabel("loss (nats a token)")
axes[1, 0].set_ylabel("LLC")
figures.save(fig, "fig-language-stages", data={"curves": curves, "llc": llc})

# %% mystnb={"figure": {"caption": "**What the models can do**, in the two worlds (rows: synthetic language, mean over `num_seeds` seeds with the range as a band; prose and code, one seed). From the left: bigram score (dashed: entropy of the corpus' bigrams, its lower bound); loss on the last token of common 3-grams (blue) and 4-grams (orange); in-context score; positional gap. All in nats, against the training step.", "name": "fig-language-behaviour"}, "image": {"alt": "Two rows of four line charts. The bigram score dips to a minimum early and rises again; n-gram losses fall; the in-context score falls and the positional gap rises later."}} tags=["hide-input"]
fig, axes = plt.subplots(2, 4, figsize=figures.size("double", 0.5), squeeze=False)
panels = [("bigram_score",), ("ngram_3", "ngram_4"), ("in_context_score",), ("positional_gap",)]
labels = ("bigram score", "n-gram loss", "in-context score", "positional gap")
for line, (name, part) in zip(axes, curves[curves.step > 0].groupby("world", sort=False), strict=True):
    for ax, values in zip(line, panels, strict=True):
        for value, color in zip(values, figures.CYCLE, strict=False):
            grouped = part.groupby("step")[value]
            ax.fill_between(grouped.min().index, grouped.min(), grouped.max(), color=color, alpha=0.25, lw=0)
            ax.plot(grouped.mean().index, grouped.mean(), color=color, ls="-", lw=1.2)
        ax.set(xscale="log")
    line[0].axhline(probes[name].bigram_entropy, color=figures.COLORS["grey"], ls="--", lw=1)
    line[0].set_ylabel({"synthetic": "synthetic (nats)", "text": "prose and code (nats)"}[name])
for ax, label in zip(axes[0], labels, strict=True):
    ax.set_title(label)
for ax in axes[-1]:
    ax.set_xlabel("training step")
figures.save(fig, "fig-language-behaviour", data=curves)

# %% mystnb={"figure": {"caption": "**What each rule of the synthetic language costs.** Left: loss on the tokens made by the kinds of rules that can be learned (words by bigrams, trigram and skip-trigram rules, words bound to names, copies of a segment, closing brackets) against the training step, mean over `num_seeds` seeds, band: their range. Right: number of multigram rules that are memorised (mean probability of the forced token above one half), of those that occur at least three times in the evaluation sequences (dashed), most of which are trigram rules; one line for each seed.", "name": "fig-language-rules"}, "image": {"alt": "Left, loss by kind of rule: bigrams and trigrams fall first, then brackets, then bound names steeply; skip rules stay high. Right, the count of memorised rules rises to somewhat more than half of those that could be counted."}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=figures.size("double", 0.42))
for kind, color in zip(("bigram", "trigram", "skip", "binding", "repeat", "close"), figures.CYCLE, strict=False):
    column = f"loss_{kind}"
    grouped = rules[rules.step > 0].groupby("step")[column]
    left.fill_between(grouped.min().index, grouped.min(), grouped.max(), color=color, alpha=0.2, lw=0)
    left.plot(grouped.mean().index, grouped.mean(), color=color, ls="-", label=kind)
left.set(xscale="log", xlabel="training step", ylabel="loss (nats)", ylim=(0, None))
left.legend(fontsize=7)
for _, part in rules[rules.step > 0].groupby("seed"):
    right.plot(part.step, part.memorised, color=figures.COLORS["blue"], ls="-")
right.axhline(rules.seen.max(), color=figures.COLORS["grey"], ls="--")
right.set(xscale="log", xlabel="training step", ylabel="memorised multigrams", ylim=(0, None))
figures.save(fig, "fig-language-rules", data=rules)

# %% mystnb={"figure": {"caption": "**What the heads attend to.** Previous-token score of every head (left, middle: layers 0 and 1) and prefix-matching score of layer 1 (right) against the training step; rows: synthetic language (seed 0), prose and code. One line a head, named layer:head on the left; a head of the same number has the same colour in layer 1 (the first and the eighth share one).", "name": "fig-language-heads"}, "image": {"alt": "Two rows of three line charts of attention scores by head. In the synthetic language two heads of each layer rise in previous-token attention, and layer 1 late in prefix matching; in text most heads rise in the former and exactly one in the latter."}} tags=["hide-input"]
fig, axes = plt.subplots(2, 3, figsize=figures.size("double", 0.52), squeeze=False)
views = [("0", "previous_token"), ("1", "previous_token"), ("1", "prefix_matching")]
for line, (name, part) in zip(axes, heads[(heads.seed == 0) & (heads.step > 0)].groupby("world", sort=False), strict=True):
    for ax, (layer, value) in zip(line, views, strict=True):
        for head, own in part[part["head"].str.startswith(layer)].groupby("head"):
            ax.plot(own.step, own[value], ls="-", lw=1.1, label=head)
        ax.set(xscale="log")
        ax.set_ylim(bottom=0)
    line[0].set_ylabel({"synthetic": "synthetic", "text": "prose and code"}[name])
for ax in axes[:, 0]:
    ax.legend(fontsize=5, ncols=2)
for ax, (layer, value) in zip(axes[0], views, strict=True):
    ax.set_title(f"{value.replace('_', ' ').replace('prefix m', 'prefix-m').replace('previous t', 'previous-t')}, layer {layer}")
for ax in axes[-1]:
    ax.set_xlabel("training step")
figures.save(fig, "fig-language-heads", data=heads)

# %% [markdown]
# ## Essential dynamics
#
# The log-probabilities on fixed sequences of the synthetic language trace a curve; its principal components, smoothed with a kernel
# that widens along training, are the essential dynamics.

# %%
fixed = world.draw(num_dynamics_sequences, length, seed=90_000 + seed).tokens
steps = np.array(synthetic.steps)
with torch.no_grad():
    paths = [synthetic.model(step, 0)(fixed).log_softmax(-1).flatten().numpy() for step in synthetic.steps]
paths = np.stack(paths).astype(np.float64)
pca = trajectory.JointPCA.fit(paths, num_components=3)
smoothed = trajectory.smooth(pca.transform(paths), start=1, end=smoothing_end)
forms = trajectory.forms(smoothed, tolerance=3)
glue("explained", ", ".join(f"{share:.2f}" for share in pca.explained_variance_ratio), display=False)
glue("form_steps", ", ".join(f"{int(steps[form.index]):,}" for form in forms) or "none", display=False)

# %% mystnb={"figure": {"caption": "**Essential dynamics** of the synthetic language's model, seed 0: the three pairs of principal components of its log-probabilities on `num_dynamics_sequences` fixed sequences. Line coloured by the logarithm of the step, dot at the start; thin circles: osculating circles (drawn as ellipses, as the scales of the axes differ); grey: evolute, inside the frame; crosses: forms. One seed, no error bars.", "name": "fig-language-dynamics"}, "image": {"alt": "Three planar curves from a dot along an arc with turns; circles touch them, grey curves of circle centres lie beside them."}} tags=["hide-input"]
fig = draw_essential_dynamics(smoothed, steps, forms)
figures.save(fig, "fig-language-dynamics", data=pd.DataFrame(smoothed, columns=["pc_1", "pc_2", "pc_3"]).assign(step=steps))

# %% [markdown]
# The three components hold shares of {glue:text}`explained` of the variance. Forms at steps {glue:text}`form_steps`; the
# chapter on [in-context regression](05_icl_stages.ipynb) defines forms and counts those of random walks, a control that was
# not run here.
#
# ## Claims
#
# A skill counts as learned at the step where its score has gone half the way from the start to its value at the end (in
# $\log$ time, between checkpoints); bigrams at the step of the lowest bigram score; n-grams half the way from the loss
# that the corpus' bigrams have on their last token to the end, since bigrams alone already bring that loss down. Every model is judged by itself; with
# so few seeds the intervals are ranges. The thresholds for an induction head are ours and made for these probes: prefix
# matching is measured on random blocks, or from names only. The paper's heads, measured on other probes, would not pass
# them, so that its numbers beside ours are no benchmark. Prefix matching still rises when the training of the synthetic
# models stops, so that its half-way step depends on where that is. That of the text model's best head depends on the length of
# the random block: {glue:text}`block_matching` (tokens in brackets).

# %%
lengths = [length for length in (16, 24, 48, 60) if 2 * length < text_length]
final_text = text.model(text.steps[-1], 0)
block_matching = {}
for block in lengths:
    probe = make_probe(torch.cat(evaluation), counted, corpus.num_tokens, seed=seed, block_length=block)
    block_matching[block] = max(each["prefix_matching"] for head, each in head_scores(final_text, probe).items() if head.startswith("1"))
glue("block_matching", ", ".join(f"{value:.2f} ({block})" for block, value in block_matching.items()), display=False)
moments = []
for (name, index), part in curves.groupby(["world", "seed"], sort=False):
    own = heads[(heads.world == name) & (heads.seed == index)]
    best = own.groupby([own["head"].str[0], "step"])[["previous_token", "prefix_matching"]].max()
    row = {"world": name, "seed": index, "bigrams": part.step[part.bigram_score.idxmin()]}
    row |= {"bigram_gap": part.bigram_score.min() - probes[name].bigram_entropy}
    # n-grams are learned half-way from what bigrams alone would predict of them to the end
    pairs = probes[name].ngrams[3][:, 1:]
    by_bigrams = float(-probes[name].bigrams[pairs[:, 0], pairs[:, 1]].log().mean())
    row |= {"ngrams": crossing_step(part.step.to_numpy(), part.ngram_3.to_numpy(), (by_bigrams + part.ngram_3.iloc[-1]) / 2)}
    row |= {"in_context": halfway_step(part.step.to_numpy(), part.in_context_score.to_numpy())}
    for layer, value in (("0", "previous_token"), ("1", "previous_token"), ("1", "prefix_matching")):
        series = best.loc[layer][value]
        row |= {f"{value}_{layer}": halfway_step(series.index.to_numpy(), series.to_numpy())}
        row |= {f"final_{value}_{layer}": series.iloc[-1]}
    row |= {"positions": crossing_step(part.step.to_numpy(), part.positional_gap.to_numpy(), 0.1)}
    row |= {"final_in_context": part.in_context_score.iloc[-1], "start_in_context": part.in_context_score.iloc[0]}
    row |= {"first_gap": part.positional_gap.iloc[0], "final_gap": part.positional_gap.iloc[-1]}
    moments.append(row)
moments = pd.DataFrame(moments)
moments.drop(columns=["seed"]).round(3).transpose()

# %%
names = {"synthetic": "synthetic language", "text": "text model"}
for name, part in moments.groupby("world", sort=False):
    count, title = len(part), names[name]

    def spread(values, digits=0):
        """Values of the seeds, and their range as an interval."""
        return ", ".join(f"{value:,.{digits}f}" for value in values), (float(values.min()), float(values.max()))

    measured, interval = spread(part.bigram_gap, 2)
    sheet.add(
        f"The {title}: at its best the bigram score comes close to the entropy of the bigrams",
        paper="0.33 nats above",
        measured=f"{measured} nats above",
        interval=interval,
        holds=bool((part.bigram_gap < 0.5).all()),
        detail="lowest bigram score of all checkpoints minus the entropy of the corpus' bigrams; below 0.5 asked",
    )
    ordered = (part.bigrams < part.ngrams) & (part.ngrams < part.prefix_matching_1)
    sheet.add(
        f"The {title}: bigrams, then n-grams, then induction",
        paper="steps 700, about 2,000, about 12,000",
        measured=f"{spread(part.bigrams)[0]}; {spread(part.ngrams)[0]}; {spread(part.prefix_matching_1)[0]}",
        interval="exact count",
        holds=bool(ordered.all()),
        detail=f"in this order in {int(ordered.sum())} of {count} models",
    )
    first = part.previous_token_1 < part.previous_token_0
    sheet.add(
        f"The {title}: layer 1 attends to the previous token before layer 0 does",
        paper="by step 6,500 and from step 6,500 on",
        measured=f"layer 1 {spread(part.previous_token_1)[0]}; layer 0 {spread(part.previous_token_0)[0]}",
        interval="exact count",
        holds=bool(first.all()),
        detail=f"best head of each layer, half of its way; in {int(first.sum())} of {count} models",
    )
    formed = (part.final_prefix_matching_1 > 0.3) & (part.final_in_context < part.start_in_context - 0.1)
    matching = spread(part.final_prefix_matching_1, 2)[1] if name == "synthetic" else (min(block_matching.values()), max(block_matching.values()))
    sheet.add(
        f"The {title}: an induction head forms and learning in context sets in",
        paper="prefix matching 0.06 and 0.08, in-context score -0.22",
        measured=f"prefix matching {spread(part.final_prefix_matching_1, 2)[0]}; in-context score {spread(part.final_in_context, 2)[0]}",
        interval=matching,
        holds=claims.all_hold(claims.at_least(matching, 0.3), bool((part.final_in_context < part.start_in_context - 0.1).all())),
        detail="asked: prefix matching of the best head of layer 1 above 0.3, and an in-context score 0.1 nats below that at the "
        "start; interval: range of prefix matching over " + ("seeds" if name == "synthetic" else f"random blocks of {lengths} tokens"),
    )
    together = (np.log2(part.in_context / part.prefix_matching_1).abs() < 1) & formed
    sheet.add(
        f"The {title}: the in-context score falls when the induction head forms",
        paper="both between steps 8,500 and 17,500",
        measured=f"in-context {spread(part.in_context)[0]}; prefix matching {spread(part.prefix_matching_1)[0]}",
        interval="exact count",
        holds=bool(together.all()),
        detail=f"half-way steps within a factor of 2, in {int(together.sum())} of {count} models",
    )
    sheet.add(
        f"The {title}: positions become useful after the bigrams",
        paper="bigrams at step 700, gap 0.02 at step 900, 1.21 at the end",
        measured=f"step {spread(part.positions)[0]} against {spread(part.bigrams)[0]}; gap {spread(part.final_gap, 2)[0]} at the end",
        interval=spread(part.final_gap, 2)[1],
        holds=None if (part.positions / part.bigrams).sub(1).abs().min() < 0.25 else bool((part.positions > part.bigrams).all()),
        detail="step at which the positional gap passes 0.1 nats, against that of the lowest bigram score, which lies on a checkpoint; "
        "closer than a quarter, which is a step between checkpoints: undecided (added after the result); interval: range of the gap at the end",
    )
    if name not in stages:
        continue
    types = stages[name].types
    sheet.add(
        f"The {title}: the LLC has stages of both types",
        paper="AABAA",
        measured=types or "none",
        interval="95 % Gaussian process",
        holds=True if "A" in types and "B" in types else None,
        detail="stages found in the mean LLC curve; a fall (type B) among them is asked, as in the paper's LM3; finding none decides "
        "nothing: one of the paper's relative size is within two standard errors of a difference of two estimates",
    )
    wide = llc[llc.world == name].pivot(index="step", columns="seed", values="llc")
    rise = wide.iloc[-1] - wide.iloc[0]
    sheet.add(
        f"The {title}: over training the LLC rises",
        paper="rises",
        measured=spread(rise, 1)[0],
        interval=spread(rise, 1)[1],
        holds=bool((rise > 0).all()),
        detail="last estimate minus first, of which only the sign is compared: other model, other first step; interval: range over seeds",
    )
binding = [halfway_step(part.step.to_numpy(), part.loss_binding.to_numpy()) for _, part in rules.groupby("seed")]
formed = moments[moments.world == "synthetic"].prefix_matching_1.to_numpy()
together = np.abs(np.log2(np.array(binding) / formed)) < 1
sheet.add(
    "The synthetic language: words bound to names are predicted when the induction head forms",
    paper="induction heads make learning in context",
    measured=f"bound words {', '.join(f'{b:,.0f}' for b in binding)}; prefix matching {', '.join(f'{p:,.0f}' for p in formed)}",
    interval="exact count",
    holds=bool(together.all()),
    detail=f"half-way steps within a factor of 2, in {int(together.sum())} of {len(together)} models",
    kind="own",
)
last = rules[rules.step == rules.step.max()]
share = last.memorised / last.seen
sheet.add(
    "The synthetic language: most multigrams are memorised at the end",
    paper="not known for the paper's text",
    measured=float(share.mean()),
    interval=(float(share.min()), float(share.max())),
    holds=bool((share > 0.5).all()),
    detail="share of the rules seen three times or more whose forced token has a mean probability above one half; most of them are trigram rules",
    kind="own",
)
sheet.finish()

# %% [markdown]
# ## Further
#
# ```
# python -m devinterp_core.companion run 07_language_model_development -p num_trigram_rules 1000 -p num_steps 10000
# python -m devinterp_core.companion run 07_language_model_development -p llc_n_beta 100.0 -p llc_localization 50.0
# python -m devinterp_core.companion run 07_language_model_development -f notebooks/params/07_language_model_development.recorded.yaml
# python -m devinterp_core.companion run 07_language_model_development -f notebooks/params/07_language_model_development.paper.yaml
# ```
