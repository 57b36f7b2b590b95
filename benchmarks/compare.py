"""Times devinterp_core beside devinterp 1.3.2 and 2.0.1 and canonical-interp 0.2.7, each in its own interpreter.

    python benchmarks/compare.py --pairs 5 --threads 1 --output data/recorded/benchmarks.json

One unit is two whole calls of a library's sampler, a short and a long one, on the same weights, data, batch size, step
size and number of chain-steps; their difference is the time of the steps alone, and the set-up is reported beside it.
canonical-interp, which compiles for longer than it steps, tells within one call when its steps begin. A pair is one
unit of ours and one of theirs back to back, the order alternating; the ratio of a row is the median over pairs of
theirs over ours. CPU seconds are recorded beside the wall clock, for a machine with other work.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from cases import CASES, SHORT, Case
from limits import measure_limits

HERE = Path(__file__).parent
ROOT = HERE.parent
VARIANTS = {
    "devinterp-1.3.2": ("default", "best"),
    "devinterp-2.0.1": ("default", "best"),
    "canonical-interp-0.2.7": ("default", "uncompiled", "best"),
}
EVERYWHERE = "canonical-interp-0.2.7"  # runs every case, beside the library that a case's floor is set against


def interpreter_of(library: str) -> Path:
    """The Python that has a library."""
    interpreter = ROOT / (".venv" if library == "devinterp_core" else f".venv-{library}") / "bin" / "python"
    if library == "devinterp_core" and not interpreter.exists():
        return Path(sys.executable)
    return interpreter


class Worker:
    """A library in its own interpreter, answering one timed call at a time."""

    def __init__(self, library: str, threads: int):
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT),
            "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "TORCHINDUCTOR_COMPILE_THREADS": str(threads),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [str(interpreter_of(library)), str(HERE / "worker.py"), library, "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment, cwd=ROOT,
        )  # fmt: skip
        self.about = self._read()

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a benchmark worker ended early with code {self.process.wait()}")
        return json.loads(line)

    def run(self, **request) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def between_chain_variance(runs: list[dict]) -> float:
    """Mean over runs of the variance over chains of the LLC of a chain."""
    return statistics.fmean(statistics.variance(run["llc_per_chain"]) for run in runs)


def unit(worker: Worker, case_name: str, variant: str, num_steps: int, seed: int) -> dict:
    """A short and a long call of one library, or a long one that knows how long its first steps took."""
    request = {"case": case_name, "variant": variant, "seed": seed}
    if worker.about["tells_steps"]:
        return worker.run(num_steps=SHORT + num_steps, **request) | {"tells_steps": True}
    short = worker.run(num_steps=SHORT, **request)
    long = worker.run(num_steps=SHORT + num_steps, **request)
    return long | {"short": short, "tells_steps": False}


def subtract_short_calls(runs: list[dict]) -> None:
    """Write `steps` and `steps_cpu`, seconds of the steps alone: each long call less the median short one.

    A library that tells when its steps begin has what was before taken off call by call.
    """
    for key, of_steps in (("seconds", "steps"), ("cpu_seconds", "steps_cpu")):
        short = statistics.median(run["short"][key] for run in runs)
        for run in runs:
            run[of_steps] = run[key] - (run["short"][key] if run["tells_steps"] else short)


def least_cpu(runs: list[dict]) -> float:
    """CPU seconds of the steps alone, from the least long and the least short call, or the least of what was told."""
    if runs[0]["tells_steps"]:
        return min(run["steps_cpu"] for run in runs)
    return min(run["cpu_seconds"] for run in runs) - min(run["short"]["cpu_seconds"] for run in runs)


def compare(
    case_name: str, case: Case, against: str, workers: dict[str, Worker], pairs: int, scale: float
) -> list[dict]:
    """All variants of a rival library on one case, interleaved with ours."""
    num_steps = max(3, round(case.num_steps * scale))
    chain_steps = num_steps * case.num_chains
    sides = [("devinterp_core", "default"), *((against, v) for v in VARIANTS[against])]
    runs = {side: [] for side in sides}
    for library, variant in sides:  # warm: imports, traces, page faults
        workers[library].run(case=case_name, variant=variant, num_steps=SHORT, seed=0)
    for pair in range(pairs):
        for library, variant in sides if pair % 2 == 0 else sides[::-1]:
            runs[library, variant].append(unit(workers[library], case_name, variant, num_steps, pair + 1))
    if len({run["fingerprint"] for side in runs.values() for run in side}) != 1:
        raise RuntimeError(f"{case_name}: the interpreters hold different weights or data")

    for side in runs.values():
        subtract_short_calls(side)

    def ratios(key: str, theirs: list[dict]) -> list[float]:
        return [b[key] / a[key] for a, b in zip(mine, theirs, strict=True)]

    def milliseconds(side: list[dict], key: str, pick) -> float:
        return 1000 * pick(run[key] for run in side) / chain_steps

    rows = []
    mine = runs[sides[0]]
    for library, variant in sides[1:]:
        theirs = runs[library, variant]
        by_pair = ratios("steps", theirs)
        row = {
            "case": case_name, "label": case.label, "num_parameters": mine[0]["num_parameters"],
            "num_chains": case.num_chains, "num_steps": num_steps, "batch_size": case.batch_size,
            "library": library, "variant": variant, "pairs": pairs,
            "floor": case.floor if library == case.against else None,
            "ratio": statistics.median(by_pair), "ratios": by_pair,
            "ratio_cpu": statistics.median(ratios("steps_cpu", theirs)),
            "ratio_whole_call": statistics.median(ratios("seconds", theirs)),
        }  # fmt: skip
        for name, side in (("ours", mine), ("theirs", theirs)):
            seconds = statistics.median(run["seconds"] for run in side)
            row |= {
                f"{name}_ms": milliseconds(side, "steps", statistics.median),
                f"{name}_least_ms": 1000 * least_cpu(side) / chain_steps,
                f"{name}_setup_seconds": statistics.median(run["short"]["seconds"] for run in side)
                - SHORT / num_steps * statistics.median(run["steps"] for run in side),
                f"{name}_llc": statistics.fmean(x for run in side for x in run["llc_per_chain"]),
                # squared error and time both fall on the same steps: 1 / (variance of a chain's LLC x time of a chain)
                f"{name}_precision_per_second": case.num_chains / (between_chain_variance(side) * seconds),
            }
        row["ratio_least_cpu"] = row["theirs_least_ms"] / row["ours_least_ms"]
        rows.append(row)
        print(
            f"{case.label:26s} {library} {variant:10s} {row['ours_ms']:8.3f} ms a chain-step, theirs "
            f"{row['theirs_ms']:8.3f}: {row['ratio']:6.2f}x ({min(by_pair):.2f} to {max(by_pair):.2f}), "
            f"CPU {row['ratio_cpu']:.2f}x, least CPU {row['ratio_least_cpu']:.2f}x, "
            f"whole call {row['ratio_whole_call']:.2f}x; floor {row['floor']}",
            flush=True,
        )
    return rows


def rivals(case: Case, libraries: list[str]) -> list[str]:
    """The libraries that a case is timed against, of those asked for."""
    return [library for library in (case.against, EVERYWHERE) if library in libraries]


def device_name() -> str:
    """The processor, as its vendor names it, and how many cores this machine shows."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    return f"unknown processor, {os.cpu_count()} cores"


def commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip() or "uncommitted"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="pairs a row")
    parser.add_argument("--threads", type=int, default=1, help="threads of every library")
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the chain-steps, for a quick look")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--against", nargs="*", default=list(VARIANTS), choices=list(VARIANTS), help="which rivals")
    parser.add_argument("--no-limits", action="store_true", help="skip noise, matrix-multiply rate and profile")
    parser.add_argument("--output", type=Path, default=ROOT / "data" / "recorded" / "benchmarks.json")
    arguments = parser.parse_args()

    started, load = time.time(), os.getloadavg()[0]
    against = arguments.against
    if EVERYWHERE in against and not interpreter_of(EVERYWHERE).exists():
        print(f"{EVERYWHERE} is left out: `bash benchmarks/run.sh` installs it where there is a Python >= 3.12")
        against = [library for library in against if library != EVERYWHERE]
    libraries = sorted({library for name in arguments.cases for library in rivals(CASES[name], against)})
    missing = [library for library in libraries if not interpreter_of(library).exists()]
    if missing:
        parser.error(f"no environment holds {', '.join(missing)}: run `bash benchmarks/run.sh`, which installs them")
    workers = {library: Worker(library, arguments.threads) for library in ("devinterp_core", *libraries)}
    rows = []
    for name in arguments.cases:
        for library in rivals(CASES[name], against):
            rows += compare(name, CASES[name], library, workers, arguments.pairs, arguments.scale)
    about = {library: worker.about for library, worker in workers.items()}
    for worker in workers.values():
        worker.close()
    record = {
        "provenance": {
            "command": "python benchmarks/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "commit": commit(), "device": device_name(), "threads": arguments.threads,
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(started)),
            "libraries": about, "load_before": load,
        },
        "rows": rows,
        "limits": None if arguments.no_limits else measure_limits(arguments.threads),
    }  # fmt: skip
    record["provenance"]["wall_seconds"] = round(time.time() - started, 1)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = arguments.output.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    temporary.replace(arguments.output)
    print(f"wrote {arguments.output} after {record['provenance']['wall_seconds']} s")


if __name__ == "__main__":
    main()
