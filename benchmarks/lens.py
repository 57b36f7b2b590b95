"""One training step of a tuned lens, all layers: ours beside tuned-lens 0.2.0, pair by pair.

python benchmarks/lens.py            # writes data/recorded/benchmarks_lens.json

Each library runs in an interpreter of its own, tuned-lens in .venv-tuned-lens-0.2.0, on the same random model of
GPT-2's shape and the same tokens. Its command line does not start on today's packages, so its modules are driven here
by the loop of its own training script: model forward, log-softmax of the labels, one backward a layer, clipping, SGD;
in float32, its bfloat16 autocast left out, which most processors have no instructions for. Ours runs the same recipe
(`sgd`), the Muon of its defaults (`muon`), and the same recipe on a sampled vocabulary (`sampled`), which is an
estimate and not the same computation. A ratio is the median over pairs of processor seconds; the first divergences
must agree.

The arithmetic floor of our step: 2 products over the vocabulary for each layer and token and for the teacher, 2 for the
translators, and the model's forward without its unembedding, at the measured rate of large products.
"""

import argparse
import dataclasses
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "data/recorded/benchmarks_lens.json"
THEIRS = ROOT / ".venv-tuned-lens-0.2.0/bin/python"
WAYS = ("tuned-lens", "sgd", "muon", "sampled")
SAMPLE = 4096  # tokens of the sampled vocabulary


def make_model(arguments: argparse.Namespace) -> tuple[torch.nn.Module, torch.Tensor]:
    """The random model and the tokens, the same in both interpreters."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_layer=arguments.layers, n_embd=arguments.width, n_head=arguments.width // 64,
                        vocab_size=arguments.vocabulary, bos_token_id=0, eos_token_id=0)  # fmt: skip
    model = GPT2LMHeadModel(config).eval().requires_grad_(False)
    shape = (arguments.tokens // arguments.context, arguments.context)
    return model, torch.randint(arguments.vocabulary, shape)


def their_step(arguments: argparse.Namespace) -> Callable[[], list[float]]:
    from tuned_lens.nn.lenses import TunedLens

    model, tokens = make_model(arguments)
    lens = TunedLens.from_model(model)
    optimizer = torch.optim.SGD(lens.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)

    def step() -> list[float]:
        with torch.no_grad():
            output = model(input_ids=tokens, output_hidden_states=True)
        labels, losses = output.logits.float().log_softmax(dim=-1), []
        for layer, hidden in enumerate(output.hidden_states[:-1]):
            logits = lens(hidden, idx=layer)
            loss = torch.sum(labels.exp() * (labels - logits.log_softmax(-1)), dim=-1).mean()
            losses.append(loss.item())
            loss.backward()
        torch.nn.utils.clip_grad_norm_(lens.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        return losses

    return step


def our_step(arguments: argparse.Namespace, way: str) -> Callable[[], list[float]]:
    from devinterp_core.lens import ORIGINAL_SGD, LensModel, LensTraining, TunedLens
    from devinterp_core.lens.training import _Run
    from devinterp_core.vectorized import keep_freed_memory

    keep_freed_memory()
    model, tokens = make_model(arguments)
    settings = {"sgd": ORIGINAL_SGD, "muon": LensTraining(),
                "sampled": dataclasses.replace(ORIGINAL_SGD, vocabulary_sample=SAMPLE)}  # fmt: skip
    run = _Run(TunedLens(LensModel(model)), settings[way], tokens)

    def step() -> list[float]:
        run.advance(tokens)
        return run.losses[run.step - 1].tolist()

    return step


def work(arguments: argparse.Namespace) -> None:
    """Answer each line on standard input with the seconds of one step and its divergences."""
    torch.set_num_threads(1)
    step = their_step(arguments) if arguments.work == "tuned-lens" else our_step(arguments, arguments.work)
    for _ in sys.stdin:
        begun, wall = time.process_time(), time.perf_counter()
        losses = step()
        seconds = {"cpu": time.process_time() - begun, "wall": time.perf_counter() - wall, "losses": losses}
        print("step " + json.dumps(seconds), flush=True)


def measure(arguments: argparse.Namespace, interpreter: Path) -> dict:
    """Seconds a step by way, and ratios of tuned-lens's to ours."""
    command = ["-W", "ignore", __file__, *sys.argv[1:], "--work"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    workers = {
        way: subprocess.Popen([str(interpreter if way == "tuned-lens" else sys.executable), *command, way],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                              env=environment | ({} if way == "tuned-lens" else {"PYTHONPATH": str(ROOT)}))
        for way in WAYS
    }  # fmt: skip

    def unit(way: str) -> dict:
        workers[way].stdin.write("\n")
        while line := workers[way].stdout.readline():
            if line.startswith("step "):
                return json.loads(line[5:])
        raise RuntimeError(f"the worker of {way} ended early with code {workers[way].wait()}")

    first = {way: unit(way)["losses"] for way in WAYS}  # the warm-up, too
    error = max(abs(a - b) for way in ("sgd", "muon") for a, b in zip(first["tuned-lens"], first[way], strict=True))
    if error > 1e-4:
        raise RuntimeError(f"the divergences of the first step differ by {error}: not the same computation")
    times = {way: [] for way in WAYS}
    for pair in range(arguments.pairs):
        for way in WAYS if pair % 2 else WAYS[::-1]:
            times[way].append(unit(way)["cpu"])
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    ratios = {way: [t / o for t, o in zip(times["tuned-lens"], times[way], strict=True)] for way in WAYS[1:]}
    return {
        "step_seconds": {way: statistics.median(values) for way, values in times.items()},
        "ratio": {way: statistics.median(values) for way, values in ratios.items()},
        "ratio_range": {way: [min(values), max(values)] for way, values in ratios.items()},
        "largest_difference_of_first_divergences": error,
    }


def floor_flops(arguments: argparse.Namespace) -> float:
    """Operations of the products of our step."""
    layers, width, vocabulary = arguments.layers, arguments.width, arguments.vocabulary
    blocks = layers * (24 * width**2 + 4 * width * arguments.context)
    lens = (layers + 1) * 4 * width * vocabulary + layers * 4 * width**2
    return float(arguments.tokens * (blocks + lens))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=WAYS, help="internal: be a worker")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--vocabulary", type=int, default=50257)
    parser.add_argument("--tokens", type=int, default=256, help="tokens of a step")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--interpreter", type=Path, default=THEIRS, help="a Python that has tuned-lens 0.2.0")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments)
        return
    if not arguments.interpreter.exists():
        parser.error(f"{arguments.interpreter} is missing: install benchmarks/requirements-tuned-lens-0.2.0.txt there")
    from compare import commit, device_name

    from devinterp_core.train import matmul_rate

    torch.set_num_threads(1)
    begun, peak, flops = time.perf_counter(), matmul_rate(), floor_flops(arguments)
    found = measure(arguments, arguments.interpreter)
    shape = {name: getattr(arguments, name) for name in ("layers", "width", "vocabulary", "tokens", "context", "pairs")}
    record = {
        "command": " ".join(["python benchmarks/lens.py", *sys.argv[1:]]), "commit": commit(),
        "device": device_name(), "threads": 1,
        "date": datetime.date.today().isoformat(), "torch": torch.__version__, "sample": SAMPLE, **shape, **found,
        "wall_seconds": round(time.perf_counter() - begun), "peak_gflops": peak / 1e9, "floor_flops": flops,
        "floor_seconds": flops / peak,
        "over_floor": {way: found["step_seconds"][way] * peak / flops for way in WAYS},
    }  # fmt: skip
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
