"""Writes `book/benchmarks.md` from `data/recorded/benchmarks.json`: no number on the page is typed.

python benchmarks/page.py
"""

import json
from pathlib import Path

import page_language

ROOT = Path(__file__).parent.parent
TARGET = 1.25  # a sampler step over a bare forward and backward pass, at most
NOISE_IN_USE = "PyTorch normal_, float32, contiguous"

LANGUAGE = (
    ("refined", "Refined learning coefficients of all heads", page_language.refined),
    ("lens", "A training step of the tuned lens", page_language.lens),
)

OPENING = """# Benchmarks

How long one step of one chain takes here and in devinterp, the library of the
field, and how far a step is from the work that no sampler can avoid. Every number of this page was written by
`benchmarks/page.py` from `data/recorded/benchmarks.json`; `make bench` makes both again.
"""

METHOD = """## How it is measured

Each library runs in its own interpreter, on the same weights, data, batch size, step size, dtype (float32), number of
threads and number of chain-steps; hashes of weights and data are compared. A unit is a short and a long call of the
library's own entry point, every step recorded as a draw. The median short call is taken off the long ones, which leaves
the steps alone; set-up has its own table. A pair is one unit of ours and one of theirs, back to back, in alternating
order, and a ratio is the median over pairs of their time over ours. devinterp 1.3.2 is called as its documentation
does: `estimate_learning_coeff_with_summary`, one process, no progress bar, a shuffled `DataLoader` over a
`TensorDataset` in memory. It can be made faster without touching it, by a data set that hands over a whole minibatch by
one indexing operation and by its newer optimiser class `SGMCMC`: the rows called *tuned*. devinterp 2.0.1 takes
language models only, so it is measured on a small decoder: as documented with a Hugging Face data set, and *tuned* with
a list of tensors. It writes every draw to disk as it goes, which is part of its time and not of ours.
"""

TRIED = """## What was tried in the sampler

- **Kept.** All chains in one vectorised evaluation, differentiated once for their sum. The evaluation traced to a flat
  graph and replayed without Python where launches cost more than arithmetic. Transposes moved into the operands of
  matrix products. Noise drawn with its scale, in blocks that stay in the second-level cache, and applied there.
  Minibatch indices, gather and paired baseline by one indexing operation each.
- **No gain.** Other layouts of the matrix products (transposed operands, products chain by chain, preallocated
  outputs): all within a few per cent of the same rate. Fewer chains at a time at a million parameters. Box-Muller from
  faster random bits composed of tensor operations: each pass over the block costs more than PyTorch's fused kernel
  saves. The ziggurat of NumPy. Intel's `mkl_random`, somewhat faster but in double precision only and a gigabyte large.
- **Refused.** Rademacher or three-point noise keeps the variance but not the fourth cumulant, so the draws are no
  longer those of the stated algorithm. Noise shared, negated or rotated between chains makes them dependent. A
  just-in-time compiled generator needs a compiler at run time. bfloat16 has no arithmetic units on the processor of the
  trials.
  A second thread for the noise would not be the same number of threads.
"""


CANONICAL = """canonical-interp 0.2.7 runs every case. Its gradient and update are compiled by default, which is what
*as documented* means for it: `LLCEstimator.estimate_llc` with an unshuffled `DataLoader` over a `TensorDataset`, one
process. *Not compiled* is `compile=False`, which leaves the update compiled; *tuned* is compiled, with the data set
that hands over a whole minibatch. Compilation takes seconds, which vary by more than all steps of a call take, so its
steps are timed within the call, from the moment at which it asks for the fourth minibatch; a compilation is never
among them, and PyTorch's cache of compiled code on disk is warm. Its work is not quite ours: all its chains meet one
minibatch, which makes them dependent, it replays the batches of the first epoch in one order, its baseline is that of
the whole data set instead of one paired with each draw, and a draw holds the loss before the step's update.
"""

USED = {"default": "as documented", "best": "tuned", "uncompiled": "not compiled"}


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column is text, the others are right-aligned."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)) + "\n"


def is_canonical(row: dict) -> bool:
    """Whether a row is of the newer rival, which a record may be without."""
    return row["library"].startswith("canonical-interp")


def verdict(row: dict) -> str:
    """Whether the promised floor was reached by the documented use of the other library."""
    if row["floor"] is None:
        return "none set"
    return f"{row['floor']:g}x, {'met' if row['ratio'] >= row['floor'] else '**missed**'}"


def side_by_side(rows: list[dict]) -> str:
    first = [r for r in rows if r["variant"] == "default"]
    missed = [r["label"] for r in first if r["floor"] and r["ratio"] < r["floor"]]
    text = "Every floor is met.\n" if not missed else f"Missed floors: {', '.join(missed)}.\n"
    head = [
        "Model",
        "Parameters",
        "Chains",
        "Against",
        "Ours (ms)",
        "Theirs (ms)",
        "Ratio",
        "Range",
        "CPU ratio",
        "Floor",
    ]
    body = [
        [
            r["label"], f"{r['num_parameters']:,}", str(r["num_chains"]), f"{r['library']}", f"{r['ours_ms']:.3f}",
            f"{r['theirs_ms']:.3f}", f"{r['ratio']:.1f}x", f"{min(r['ratios']):.1f} to {max(r['ratios']):.1f}",
            f"{r['ratio_cpu']:.1f}x", verdict(r),
        ]
        for r in first
    ]  # fmt: skip
    note = (
        "\nMilliseconds of one step of one chain, batch size "
        f"{', '.join(str(b) for b in sorted({r['batch_size'] for r in first}, reverse=True))} "
        f"(the larger but for the decoder), medians of {first[0]['pairs']} pairs; the range is over pairs.\n"
    )
    return "## Side by side\n\n" + text + "\n" + table(head, body) + note


def details(rows: list[dict]) -> str:
    head = ["Model", "Against", "Used", "Ratio", "Ratio, whole call", "Steps", "Our set-up (s)", "Their set-up (s)"]
    body = [
        [
            r["label"], r["library"], USED[r['variant']], f"{r['ratio']:.1f}x", f"{r['ratio_whole_call']:.1f}x",
            str(r["num_steps"]),
            *(f"{max(0.0, r[f'{side}_setup_seconds']):.2f}" for side in ("ours", "theirs")),
        ]
        for r in rows
    ]  # fmt: skip
    text = (
        "Our set-up is mostly the tracing of the evaluation, which only runs of many steps do. "
        "It is paid back over a run; the whole-call ratio shows what a run of only that many steps a chain sees.\n"
    )
    return "## Tuned settings, whole calls and set-up\n\n" + text + "\n" + table(head, body)


def precision(rows: list[dict]) -> str:
    head = ["Model", "Against", "Our LLC", "Their LLC", "Precision per second, ours over theirs"]
    body = [
        [
            r["label"], r["library"], f"{r['ours_llc']:.3f}", f"{r['theirs_llc']:.3f}",
            f"{r['ours_precision_per_second'] / r['theirs_precision_per_second']:.0f}x",
        ]
        for r in rows
        if r["variant"] == "default" and r["case"] in ("tms", "dln-900") and not is_canonical(r)
    ]  # fmt: skip
    text = (
        "A step is worth what it tells. Precision is one over the variance between chains of a chain's estimate, a "
        "second one of the whole call's seconds, so this is effective samples per second without a choice of "
        "autocorrelation time. Paired baselines raise ours; the error of devinterp's baseline, common to all its "
        "chains, is not counted against it. The estimates are those of the short timed runs, from the centre "
        "outwards, not converged coefficients: they are here to show that both libraries walk the same posterior.\n"
    )
    if any(map(is_canonical, rows)):
        text += (
            "canonical-interp is left out: the error of the minibatches is common to all its chains, so the variance "
            "between them does not hold it.\n"
        )
    return "## Precision per second\n\n" + text + "\n" + table(head, body)


def physical_limit(limits: dict, rows: list[dict]) -> str:
    head = ["Model", "Bare (ms)", "Sampler step (ms)", "Ratio", "Range", "Ratio of the least"]
    body = [
        [
            s["label"], f"{s['bare_ms']:.2f}", f"{s['step_ms']:.2f}", f"{s['ratio']:.2f}x",
            f"{min(s['ratios']):.2f} to {max(s['ratios']):.2f}", f"{s['step_ms_least'] / s['bare_ms_least']:.2f}x",
        ]
        for s in limits["step"]
    ]  # fmt: skip
    largest = limits["step"][0]
    target = "met" if largest["ratio"] <= TARGET else "**missed**"
    text = (
        f"All {largest['num_chains']} chains, one step. *Bare* is the forward and backward pass of each chain's "
        "minibatch by plain PyTorch and nothing else. "
        f"Target for {largest['label']}: at most {TARGET}x, {target}.\n"
    )
    return "## Against the physical limit\n\n" + text + "\n" + table(head, body) + arithmetic(limits, rows)


def arithmetic(limits: dict, rows: list[dict]) -> str:
    """The least that matrix products and noise can cost, and the ratio to devinterp that this leaves possible."""
    noise_ns = min(r["ns"] for r in limits["noise"] if r["generator"].startswith(NOISE_IN_USE))
    steps = {s["case"]: s for s in limits["step"]}
    theirs = {r["case"]: r for r in rows if r["variant"] == "default" and not is_canonical(r)}
    body = []
    for matrix in limits["matrix"]:
        row = theirs.get(matrix["case"])
        if row is None:
            continue
        noise_ms = noise_ns * 1e-6 * row["num_parameters"] * row["num_chains"]
        least, bare = matrix["floor_ms"] + noise_ms, steps[matrix["case"]]["bare_ms_least"]
        body.append([
            matrix["label"], f"{matrix['gflop_per_step']:.2f}", f"{matrix['gflop_per_second']:.0f}",
            f"{matrix['floor_ms']:.2f}", f"{noise_ms:.2f}", f"{steps[matrix['case']]['step_ms_least'] / least:.2f}x",
            *(f"{row['theirs_least_ms'] * row['num_chains'] / bound:.1f}x" for bound in (least, bare + noise_ms)),
        ])  # fmt: skip
    head = ["Model", "Gflop", "Gflop/s", "Products (ms)", "Noise (ms)", "Our least", "Bound", "Bound, bare"]
    text = (
        "\nBelow that stands the arithmetic: the matrix products of a step of all chains at the rate that the same "
        "product reaches alone, and the noise at the best rate of the table below; our least time is given as a "
        "multiple of the two. The bound is the ratio that a sampler which does nothing else would reach against "
        "devinterp as documented, by its least CPU time in this run; the last column allows it the bare pass of "
        "PyTorch instead of the products alone. A floor above a bound cannot "
        "be met in float32 on one thread of this processor.\n\n"
    )
    return text + table(head, body)


def profile(limits: dict) -> str:
    parts = list(limits["profile"][0]["shares"])
    head = ["Part of a step", *(p["label"] for p in limits["profile"])]
    body = [[part, *(f"{100 * p['shares'][part]:.0f} %" for p in limits["profile"])] for part in parts]
    return (
        "## Where the time goes\n\nShare of the time inside PyTorch's operations, from its profiler, without the "
        "record of draws.\n\n" + table(head, body)
    )


def noise(limits: dict) -> str:
    check, sizes = limits["noise_check"], sorted({r["size"] for r in limits["noise"]})
    names = list(dict.fromkeys(r["generator"] for r in limits["noise"]))
    ns = {(r["generator"], r["size"]): r["ns"] for r in limits["noise"]}
    head = ["Nanoseconds a number, one thread", *(f"{s:,} at a time" for s in sizes)]
    body = [[name, *(f"{ns[name, s]:.2f}" for s in sizes)] for name in names]
    moments = ", ".join(f"{z:+.1f}" for z in check["moments_z"])
    tails = ", ".join(f"{z:+.1f} (beyond {k})" for k, z in zip(check["tails_at"], check["tails_z"], strict=True))
    text = (
        "The noise is `torch.Tensor.normal_` in float32 from an explicit `torch.Generator`: Mersenne Twister and a "
        "vectorised Box-Muller transform. It takes its fast path only for contiguous float32 blocks, so that is all "
        "it is given; float64 chains widen float32 noise. Its scale is an argument of the call, which saves a "
        "pass.\n\nWhy it is exact: the Box-Muller transform maps uniform numbers to normal ones without "
        f"approximation but float32 rounding; the uniforms have {check['bits']} bits. The furthest number is "
        f"{check['furthest']:.2f} standard deviations out, the variance is short of one by "
        f"{check['variance_deficit']:.1e}, a few units in the last place of float32 and far below the discretisation "
        f"of any usable step. Tested on {check['numbers']:,} numbers: the first four moments are {moments} standard "
        f"errors from those of the normal distribution, the counts in the tails {tails}; the largest was "
        f"{check['largest']:.2f}. It is also what devinterp draws. The state of the "
        "generator is saved with a run, which is what makes resumed runs identical to the bit.\n"
    )
    return "## The noise\n\n" + text + "\n" + table(head, body)


def provenance(record: dict) -> str:
    about = record["provenance"]
    rows = [
        ["Command", f"`{about['command']}`"], ["Commit", f"`{about['commit']}`"], ["Device", about["device"]],
        ["Threads of each library", str(about["threads"])], ["Date", about["date"]],
        ["Wall time", f"{about['wall_seconds']:.0f} s"], ["Load of the machine before", f"{about['load_before']:.1f}"],
    ]  # fmt: skip
    for library, worker in about["libraries"].items():
        rows.append([library, ", ".join(f"{name} {version}" for name, version in worker["versions"].items())])
    return "## Provenance\n\n" + table(["What", "Recorded"], rows)


def training(record: dict) -> str:
    """Five seeds trained together beside a plain loop over them."""
    head = ["Batch of each seed", "Plain loop, ms a step of all", "Traced, ms", "Compiled, ms", "Traced is faster by",
            "Compiled is faster by", "Tokens/s, compiled", "Share of peak", "Set-up, compiled, s"]  # fmt: skip
    body = []
    for case in record["cases"]:
        ms = {way: f"{1e3 * value:.1f}" for way, value in case["step_seconds"].items()}
        gain = {
            way: f"{case['ratio'][way]:.2f}x ({low:.2f} to {high:.2f})"
            for way, (low, high) in case["ratio_range"].items()
        }
        share = case["gflops"]["compiled"] / record["peak_gflops"]
        body.append([
            str(case["batch_size"]), ms["plain"], ms["traced"], ms["compiled"], gain["traced"], gain["compiled"],
            f"{case['tokens_a_second']['compiled']:,.0f}", f"{share:.2f}", f"{case['setup_seconds']['compiled']:.0f}",
        ])  # fmt: skip
    floor = 1e3 * record["cases"][-1]["flops"] / record["peak_gflops"] / 1e9
    text = (
        f"{record['cases'][0]['seeds']} seeds of the regression transformer of the in-context chapters, in one "
        "vectorised step (`devinterp_core.train`), beside the plain loop that one writes first: one model at a time, "
        "eager, `backward`, PyTorch's AdamW, the same data. Median of paired rounds, their range in brackets; the "
        "target is 2x. "
        f"Large products run at {record['peak_gflops']:.0f} Gflop/s on this machine; at that rate the products of one "
        f"step of the last row alone would take {floor:.1f} ms. The rest is elementwise work on small tensors, which "
        f"compilation fuses. Recorded on {record['date']}, {record['device']}, one thread, commit "
        f"`{record['commit']}`, `{record['command']}`, {record['wall_seconds']} s, torch {record['torch']}.\n"
    )
    return "## Training five seeds together\n\n" + text + "\n" + table(head, body)


def page(record: dict, trained: dict, language: dict[str, tuple]) -> str:
    """The whole page as Markdown."""
    rows, limits = record["rows"], record["limits"]
    method = METHOD + ("\n" + CANONICAL if any(map(is_canonical, rows)) else "")
    sections = [OPENING, side_by_side(rows), method, details(rows), precision(rows)]
    if limits:
        sections += [physical_limit(limits, rows), profile(limits), noise(limits)]
    for title, (text, head, body) in language.items():
        sections.append(f"## {title}\n\n{text}\n{table(head, body)}")
    return "\n".join([*sections, TRIED, training(trained), provenance(record)])


def main() -> None:
    folder = ROOT / "data" / "recorded"
    record, trained = (json.loads((folder / f"benchmarks{name}.json").read_text()) for name in ("", "_training"))
    language = {}
    for name, title, section in LANGUAGE:
        if (folder / f"benchmarks_{name}.json").exists():  # until `make bench` has made it, the page is without
            language[title] = section(json.loads((folder / f"benchmarks_{name}.json").read_text()))
    (ROOT / "book" / "benchmarks.md").write_text(page(record, trained, language))


if __name__ == "__main__":
    main()
