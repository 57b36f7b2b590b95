"""wrLLC of every head of a small attention-only decoder: devinterp_core beside devinterp 2.0.1.

    python benchmarks/refined.py --pairs 3 --draws 10

2 layers of 8 heads of 16, 64 wide, 512 tokens, context 128 (the text model), LayerNorm, random weights; the same
weights, tokens, chains, draws, minibatch size and SGLD settings for both. One unit is one whole evaluation of all
heads (our set-up, tracing included, and theirs). A pair is one unit of each side back to back, the order alternating;
a ratio is the median over pairs of theirs over ours. CPU seconds stand beside the wall clock, for a machine with other
work. devinterp runs in its own interpreter, made by `benchmarks/run.sh`, with its default loss; it freezes what no
mask names.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
ROOT = HERE.parent
LAYERS, HEADS, SIZE, WIDTH, TOKENS, CONTEXT, SAMPLES = 2, 8, 16, 64, 512, 128, 512
SETTINGS = {"n_beta": 30.0, "localization": 200.0}
STEP_SIZE, BATCH = 1e-3, 32
SIDES = {
    "short way": "attention heads from the frozen stream on",
    "general way": "any masks of any model",
    "devinterp-2.0.1": "loops over heads and chains",
}


class AttentionOnly(nn.Module):
    """The decoder in plain PyTorch, for devinterp's interpreter; parameters as in `devinterp_core.transformer`."""

    def __init__(self, seed: int = 0):
        super().__init__()
        generator, size = torch.Generator().manual_seed(seed), SIZE
        shapes = {"embed__W_E": (TOKENS, WIDTH), "pos_embed__W_pos": (CONTEXT, WIDTH)}
        for layer in range(LAYERS):
            shapes |= {f"blocks__{layer}__attn__W_{part}": (HEADS, WIDTH, size) for part in "QKV"}
            shapes |= {f"blocks__{layer}__attn__W_O": (HEADS, size, WIDTH)}
            shapes |= {f"blocks__{layer}__attn__b_{part}": (HEADS, size) for part in "QKV"}
            shapes |= {f"blocks__{layer}__attn__b_O": (WIDTH,)}
            shapes |= {f"blocks__{layer}__ln1__{part}": (WIDTH,) for part in "wb"}
        shapes |= {f"ln_final__{part}": (WIDTH,) for part in "wb"}
        shapes |= {"unembed__W_U": (WIDTH, TOKENS), "unembed__b_U": (TOKENS,)}
        for name, shape in shapes.items():
            values = torch.randn(shape, generator=generator) * 0.1
            self.register_parameter(name, nn.Parameter(values + 1 if name.endswith("__w") else values))

    def forward(self, tokens: Tensor) -> Tensor:
        weights = dict(self.named_parameters())
        batch, length = tokens.shape
        x, positions = weights["embed__W_E"][tokens], weights["pos_embed__W_pos"][:length]
        hidden = torch.full((length, length), -torch.inf).triu(1)
        for layer in range(LAYERS):
            own = {n.rsplit("__", 1)[1]: p for n, p in weights.items() if n.startswith(f"blocks__{layer}__attn")}
            y = self._norm(x, f"blocks__{layer}__ln1")
            q, k, v = (
                (z @ own[f"W_{part}"].transpose(0, 1).flatten(1) + own[f"b_{part}"].flatten())
                .view(batch, length, HEADS, -1).transpose(1, 2)
                for part, z in (("Q", y + positions), ("K", y + positions), ("V", y))
            )  # fmt: skip
            pattern = (q @ k.transpose(2, 3) / math.sqrt(SIZE) + hidden).softmax(-1)
            z = (pattern @ v).transpose(1, 2).reshape(batch, length, HEADS * SIZE)
            x = x + z @ own["W_O"].flatten(0, 1) + own["b_O"]
        return self._norm(x, "ln_final") @ weights["unembed__W_U"] + weights["unembed__b_U"]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        scale, shift = self.get_parameter(f"{name}__w"), self.get_parameter(f"{name}__b")
        return nn.functional.layer_norm(x, (WIDTH,), scale, shift)


def tokens_of() -> Tensor:
    return torch.randint(TOKENS, (SAMPLES, CONTEXT), generator=torch.Generator().manual_seed(1))


def devinterp(heads: list[str], chains: int, draws: int) -> dict[str, float]:
    """`sample` of devinterp 2.0.1, once for each head; its LLCs."""
    from devinterp.slt.llc import compute_llc
    from devinterp.slt.sampling import sample

    model, found = AttentionOnly(), {}
    rows = [{"input_ids": row} for row in tokens_of()]
    for head in heads:
        layer, index = head.split(":")
        masks = {}
        for name, parameter in model.named_parameters():
            if name.startswith(f"blocks__{layer}__attn") and not name.endswith("b_O"):
                masks[name] = torch.zeros_like(parameter, dtype=torch.bool)
                masks[name][int(index)] = True
        with tempfile.TemporaryDirectory() as folder:
            tree = sample(
                model, rows, {}, lr=STEP_SIZE, param_masks=masks, num_chains=chains, num_draws=draws, batch_size=BATCH,
                num_init_loss_batches=1, device="cpu", output_path=os.path.join(folder, "draws.zarr"), **SETTINGS,
            )  # fmt: skip
            found[head] = float(compute_llc(tree)["llc_per_chain"].mean())
    return found


def ours(heads: list[str], chains: int, draws: int, shortcut: bool) -> dict[str, float]:
    """`refined_llc` for all heads at once, traced as runs of a hundred steps and more are."""
    from devinterp_core.language.loss import next_token_loss
    from devinterp_core.llc import refined, refined_llc
    from devinterp_core.transformer import Transformer, TransformerConfig, head_mask

    refined.TRACE_FROM = 0
    config = TransformerConfig(num_layers=LAYERS, num_heads=HEADS, d_model=WIDTH, d_head=SIZE, num_positions=CONTEXT,
                               num_tokens=TOKENS, positions="shortformer", attention_bias=True)  # fmt: skip
    model, plain = Transformer(config), AttentionOnly()
    model.load_state_dict({name.replace("__", "."): p for name, p in plain.state_dict().items()})
    tokens = tokens_of()
    with torch.no_grad():
        if not torch.allclose(model(tokens[:4]), plain(tokens[:4]), atol=1e-4):
            raise RuntimeError("the two sides hold different models")
    result = refined_llc(
        model, tokens, next_token_loss, {head: head_mask(model, head) for head in heads}, step_size=STEP_SIZE,
        num_chains=chains, num_draws=draws, batch_size=BATCH, progress=False, shortcut=shortcut, **SETTINGS,
    )  # fmt: skip
    means = SETTINGS["n_beta"] * result.loss_difference.mean(("chain", "draw"))
    return dict(zip(heads, means.values.tolist(), strict=True))


def flops_of_head(layer: int) -> int:
    """Multiplications and additions that one step needs for a sequence: what is frozen comes free, nothing is wasted.

    Forward and backward through the head (gradients of its weights, not of its input), the layers above (of their
    input, not of their weights) and the unembedding (the same); causal attention by full squares.
    """
    head = 2 * (3 * 2 * WIDTH * SIZE) + 3 * (2 * WIDTH * SIZE) + 3 * (2 * 2 * CONTEXT * SIZE)
    above = 2 * (4 * 2 * WIDTH * HEADS * SIZE) + 3 * (2 * 2 * CONTEXT * HEADS * SIZE)
    return CONTEXT * (head + (LAYERS - 1 - layer) * above + 2 * (2 * WIDTH * TOKENS))


def matmul_rate() -> float:
    """Best FLOP a CPU second of a large matrix product."""
    a, seconds = torch.randn(1024, 1024), []
    for _ in range(12):
        start = time.process_time()
        a @ a
        seconds.append(time.process_time() - start)
    return 2 * 1024**3 / min(seconds)


def answer(side: str, request: dict) -> dict:
    start, cpu_start = time.perf_counter(), time.process_time()
    arguments = request["heads"], request["chains"], request["draws"]
    llcs = devinterp(*arguments) if side.startswith("devinterp") else ours(*arguments, side == "short way")
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start, "llcs": llcs,
            "flops_a_cpu_second": matmul_rate()}  # fmt: skip


def work(side: str) -> None:
    """Answer requests on stdin until it closes."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    replies = sys.stdout
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            reply = answer(side, json.loads(line))
        print(json.dumps(reply), file=replies, flush=True)


class Worker:
    """One side in its own interpreter."""

    def __init__(self, side: str):
        interpreter = ROOT / f".venv-{side}" / "bin" / "python" if side.startswith("devinterp") else sys.executable
        if not Path(interpreter).exists():
            raise SystemExit(f"{interpreter} is missing: run `bash benchmarks/run.sh`, which installs it")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
                                    "PYTHONPATH": str(ROOT)}  # fmt: skip
        self.process = subprocess.Popen([str(interpreter), str(HERE / "refined.py"), "--worker", side], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # fmt: skip

    def run(self, **request) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a benchmark worker ended early with code {self.process.wait()}")
        return json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--heads", type=int, default=HEADS, help="heads of each layer, for a quick look")
    parser.add_argument("--output", type=Path, default=ROOT / "data" / "recorded" / "benchmarks_refined.json")
    parser.add_argument("--worker", choices=SIDES)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker)
        return
    from compare import commit, device_name

    begun, commit_before = time.perf_counter(), commit()
    heads = [f"{layer}:{head}" for layer in range(LAYERS) for head in range(arguments.heads)]
    request = {"heads": heads, "chains": arguments.chains, "draws": arguments.draws}
    workers = {side: Worker(side) for side in SIDES}
    for worker in workers.values():  # imports, page faults
        worker.run(heads=heads[:1], chains=1, draws=1)
    runs: dict[str, list[dict]] = {side: [] for side in SIDES}
    for pair in range(arguments.pairs):
        for side in list(SIDES) if pair % 2 == 0 else list(SIDES)[::-1]:
            runs[side].append(workers[side].run(**request))
    steps = arguments.chains * (arguments.draws + 1)  # ours evaluates where it starts, too
    flops = steps * BATCH * sum(flops_of_head(int(head.split(":")[0])) for head in heads)
    rate = max(run["flops_a_cpu_second"] for side in runs.values() for run in side)
    rows, theirs = [], runs["devinterp-2.0.1"]
    for side in list(SIDES)[:2]:
        ratios = {key: [b[key] / a[key] for a, b in zip(runs[side], theirs, strict=True)]
                  for key in ("seconds", "cpu_seconds")}  # fmt: skip
        cpu = statistics.median(run["cpu_seconds"] for run in runs[side])
        wall_ratio, cpu_ratio = (statistics.median(ratios[key]) for key in ("seconds", "cpu_seconds"))
        rows.append(
            {"side": side, "ratio": wall_ratio, "ratio_cpu": cpu_ratio, "ratios_cpu": ratios["cpu_seconds"],
             "cpu_seconds": cpu, "times_the_floor": cpu * rate / flops}
        )  # fmt: skip
        print(
            f"{side:12s} {cpu:7.2f} CPU s, devinterp 2.0.1 {cpu_ratio:.2f}x (wall {wall_ratio:.2f}x) as long; "
            f"{cpu * rate / flops:.1f} x the {flops / rate:.2f} s of the products alone"
        )
    record = {"request": request, "settings": SETTINGS | {"step_size": STEP_SIZE, "batch_size": BATCH}, "rows": rows,
              "runs": runs, "flops": flops, "flops_a_cpu_second": rate, "load": os.getloadavg()[0],
              "command": " ".join(["python benchmarks/refined.py", *sys.argv[1:]]), "commit": commit_before,
              "device": device_name(),
              "wall_seconds": round(time.perf_counter() - begun), "pairs": arguments.pairs,
              "date": time.strftime("%Y-%m-%d", time.gmtime()), "torch": torch.__version__}  # fmt: skip
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
