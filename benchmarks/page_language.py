"""The sections of `book/benchmarks.md` on language models: refined learning coefficients, tuned lens."""

TRIED = """
What made it faster: queries, keys and values by one product, causal attention in two blocks of queries with its
gradient by hand, and, in the general way, chains one by one instead of vectorised where one evaluation is long. No
gain: PyTorch's fused attention (its backward pass is no faster here), four or eight blocks, other sizes of the pieces,
one tensor for queries, keys and values. What is left above the products are the batched products of attention, which
are small.
"""


def target(ratio: float, wanted: float) -> str:
    """Whether a promised ratio was reached."""
    return f"{wanted:g}x, {'met' if ratio >= wanted else '**missed**'}"


def recorded(record: dict) -> str:
    """Where the numbers of a section come from."""
    return (
        f"Recorded on {record['date']}, {record['device']}, one thread, commit `{record['commit']}`, "
        f"`{record['command']}`, {record['wall_seconds']} s, torch {record['torch']}.\n"
    )


def refined(record: dict) -> tuple[str, list[str], list[list[str]]]:
    """wrLLCs of all heads beside devinterp 2.0.1: text, head and rows of the table."""
    request = record["request"]
    rate = record["flops_a_cpu_second"]
    theirs = sorted(run["cpu_seconds"] for run in record["runs"]["devinterp-2.0.1"])[
        len(record["runs"]["devinterp-2.0.1"]) // 2
    ]
    head = [
        "Way",
        "Ours, CPU s",
        "Theirs, CPU s",
        "Ratio, CPU",
        "Range",
        "Ratio, wall",
        "Over the products alone",
        "Target",
    ]
    body = [
        [
            row["side"], f"{row['cpu_seconds']:.1f}", f"{theirs:.1f}", f"{row['ratio_cpu']:.2f}x",
            f"{min(row['ratios_cpu']):.2f} to {max(row['ratios_cpu']):.2f}", f"{row['ratio']:.2f}x",
            f"{row['times_the_floor']:.1f}x", target(row["ratio_cpu"], 3) if row["side"] == "short way" else "none set",
        ]
        for row in record["rows"]
    ]  # fmt: skip
    settings = record["settings"]
    text = (
        f"`refined_llc` for all {len(request['heads'])} heads of the text model's architecture, {request['chains']} "
        f"chains of {request['draws']} draws, minibatches of {settings['batch_size']} sequences, whole calls with "
        "set-up. The short way, which attention heads of our transformer take, computes the frozen part of the network "
        "once; the general way takes any masks of any model. devinterp loops over heads and chains. The products alone "
        f"would take {record['flops'] / rate:.1f} s at the {rate / 1e9:.0f} Gflop/s of large products. Median "
        f"of {record['pairs']} pairs. " + recorded(record) + TRIED
    )
    return text, head, body


def lens(record: dict) -> tuple[str, list[str], list[list[str]]]:
    """A training step of the tuned lens beside tuned-lens 0.2.0: text, head and rows of the table."""
    names = {"sgd": "the same recipe", "muon": "Muon, our default", "sampled": f"{record['sample']:,} tokens sampled"}
    head = ["Ours", "s a step", "Theirs, s", "Ratio", "Range", "Over the products alone", "Target"]
    body = [
        [
            names[way], f"{record['step_seconds'][way]:.2f}", f"{record['step_seconds']['tuned-lens']:.2f}",
            f"{ratio:.2f}x",
            "{:.2f} to {:.2f}".format(*record["ratio_range"][way]), f"{record['over_floor'][way]:.2f}x",
            target(ratio, 2) if way == "sgd" else "none set",
        ]
        for way, ratio in record["ratio"].items()
    ]  # fmt: skip
    agreement = record["largest_difference_of_first_divergences"]
    text = (
        f"All layers of a random model of GPT-2's shape ({record['layers']} layers of width {record['width']}, "
        f"vocabulary {record['vocabulary']:,}), {record['tokens']} tokens a step; tuned-lens 0.2.0's modules in the "
        "loop of its training script. The products of our exact step alone would take "
        f"{record['floor_seconds']:.2f} s at {record['peak_gflops']:.0f} Gflop/s. tuned-lens takes "
        f"{record['over_floor']['tuned-lens']:.2f} times that: no exact step can be faster by more. Sampling the "
        "vocabulary estimates the normalisation of the lenses (not the teacher), so that row is another computation. "
        f"Divergences of the exact ways agree at the first step to {agreement:.0e}. Processor seconds, median of "
        f"{record['pairs']} pairs. " + recorded(record)
    )
    return text, head, body
