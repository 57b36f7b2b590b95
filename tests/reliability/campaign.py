"""The campaign in its long form: runs every area, records the counts, writes the table of the book's page.

    python tests/reliability/campaign.py                  the long form, recorded as "now" (`make test-long`)
    python tests/reliability/campaign.py --label before   recorded in the column of comparison
    python tests/reliability/campaign.py --table          the page from the records, nothing is run

The page also shows the records of `benchmarks/automatic.py` and `benchmarks/coverage.py`.

A record is one JSON file under `data/recorded/reliability`, with the command, commit, device, date and wall time.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from scipy.stats import binomtest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
RECORDS = REPOSITORY / "data" / "recorded" / "reliability"
PAGE = REPOSITORY / "book" / "reliability.md"
BEGIN, END = "<!-- the table is written by tests/reliability/campaign.py -->", "<!-- end of the table -->"
BEGIN_KNOWN = "<!-- known answers: written by tests/reliability/campaign.py from the records -->"
END_KNOWN = "<!-- end of known answers -->"
# Lines of the table in the order of the page, with what a case of each is.
AREAS = {
    "kills": "a run killed up to three times at random moments, or in the middle of a save, and called again",
    "at once": "two or three processes on one file or one cache",
    "bit flips": "one bit of a file flipped",
    "damaged files": "a file cut, emptied, overwritten, exchanged for another",
    "malicious files": "code, endless headers, nested or false records in a file's place",
    "full disk": "a run that cannot write, then can",
    "memory limit": "a run with too little memory, then with enough",
    "read-only folders": "a result read, or a run refused, where nothing can be written",
    "bad inputs": "one wrong value of one argument of ten functions",
    "module catalogue": "a module of `torch.nn`, or a way to write a model, against plain autograd",
    "Hugging Face": "an architecture against plain autograd",
    "keys: changes": "a change of the result that a key has to cover",
    "keys: no changes": "the same run in another process",
    "right numbers": "a coefficient or a training whose right value is known",
}


def run(form: str, modules: list[str]) -> dict:
    """Counts by area and the names of the cases that failed, of all modules or of some."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts.json"
        environment = os.environ | {
            "RELIABILITY_FORM": form,
            "RELIABILITY_COUNTS": str(counts),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            *(str(HERE.relative_to(REPOSITORY) / name) for name in modules or [""]),
            "-q",
            "--tb=line",
            "-p",
            "no:cacheprovider",
        ]
        subprocess.run(command, cwd=REPOSITORY, env=environment, check=False)
        return json.loads(counts.read_text())


def commit() -> str:
    """Of the code that was run, marked where the library is not that of the commit."""
    call = lambda *words: subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()
    return call("rev-parse", "HEAD") + ("+" if call("status", "--porcelain", "devinterp_core") else "")


def record(label: str, form: str, modules: list[str]) -> dict:
    """Run the campaign and keep its counts; of some modules, beside what is known of the others."""
    began = time.monotonic()
    path = RECORDS / f"campaign_{label}.json"
    found, spent = run(form, modules), 0
    if modules and path.exists():
        known = json.loads(path.read_text())
        others = [name for name in known["failed"] if name.split("::")[0] not in modules]
        found = {"areas": known["areas"] | found["areas"], "failed": sorted(others + found["failed"])}
        spent = known["wall_seconds"]
    content = {
        "what": "The reliability campaign: cases passed and in all, by area",
        "form": form,
        "command": "make test-long" if form == "long" else f"python tests/reliability/campaign.py --form {form}",
        "commit": commit(),
        "device": f"CPU, one thread, {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
        "wall_seconds": round(spent + time.monotonic() - began),
        **found,
    }
    RECORDS.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    return content


def table() -> str:
    """The records as Markdown."""
    before, now = (json.loads((RECORDS / f"campaign_{label}.json").read_text()) for label in ("before", "now"))
    lines = ["| Area | A case is | Before | Now |", "| --- | --- | ---: | ---: |"]
    totals = {"before": [0, 0], "now": [0, 0]}  # of areas that ran in both
    for area, meaning in AREAS.items():
        cells, both = [], area in before["areas"] and area in now["areas"]
        for label, found in (("before", before), ("now", now)):
            count = found["areas"].get(area, {"passed": 0, "total": 0})
            totals[label][0] += count["passed"] * both
            totals[label][1] += count["total"] * both
            cells.append(cell(count["passed"], count["total"]))
        lines.append(f"| {area[0].upper()}{area[1:]} | {meaning} | {cells[0]} | {cells[1]} |")
    lines.append(f"| **Areas run both times** | | {cell(*totals['before'])} | {cell(*totals['now'])} |")
    told = [
        f"*{label.capitalize()}*: commit `{found['commit'][:7]}`, {found['date']}, {found['form']} form, "
        f"{found['wall_seconds'] / 60:.0f} minutes on {found['device']}."
        for label, found in (("before", before), ("now", now))
    ]
    return "\n".join([*lines, "", *told])


def known_answers() -> str:
    """What the two benchmarks on known answers found, as sentences."""
    judged, covered = (json.loads((RECORDS.parent / name).read_text()) for name in ("automatic.json", "coverage.json"))
    lines = ["| `estimate_llc` | problems | right | says that it is not converged | silently wrong |"]
    lines += ["| --- | ---: | ---: | ---: | ---: |"]
    for half, name in (("design", "used while its rules were made"), ("held-out", "held out"), ("all", "all")):
        counts = judged["summary"][half]
        missed = counts.get("SILENT MISS", 0)
        known = [counts.get(word, 0) for word in ("right", "says not converged")]
        if sum(known) + missed != counts["problems"]:
            raise RuntimeError(f"automatic.json has outcomes that the page does not name: {counts}")
        lines.append(f"| {name} | {counts['problems']} | {known[0]} | {known[1]} | {missed} |")
    every = judged["summary"]["all"]
    # the one-sided limit for no miss of n is 1 - .05^(1/n), here by Clopper and Pearson
    bound = binomtest(every.get("SILENT MISS", 0), every["problems"], alternative="less").proportion_ci().high
    words = [
        f"A relative error of {judged['relative_error']:.0%} was asked, at most {judged['max_steps']:,} steps; the "
        f"95 % upper limit of the silent share is {bound:.1%}. Commit `{judged['commit'][:7]}`, {judged['date']}, "
        f"{judged['cpu_seconds'] / 60:.0f} CPU-minutes on {judged['device']}: `{judged['command']}`."
    ]
    found, networks = covered["summary"], len({row["network"] for row in covered["rows"]})
    words += [
        f"Intervals of four gradient chains on {networks} deep linear networks (class 1K, seeds "
        f"{', '.join(map(str, covered['seeds']))}, not used when the rule of the interval was chosen) cover the mean "
        f"of the posterior, which is what they are for, in {share(found['covers_posterior_mean'])}, and the learning "
        f"coefficient itself in {share(found['covers_lambda'])}. Their median half-width is "
        f"{found['median_half_width']:.1%} of the estimate. Commit `{covered['commit'][:7]}`, {covered['date']}: "
        f"`{covered['command']}`."
    ]
    return "\n".join([*lines, "", "\n\n".join(textwrap.fill(each, 120, break_on_hyphens=False) for each in words)])


def share(found: dict) -> str:
    """A share with its interval over networks."""
    return (
        f"{found['covering']} of {found['intervals']} runs, {found['share']:.1%} (95 % interval over networks "
        f"{found['low']:.0%} to {found['high']:.0%})"
    )


def cell(passed: int, total: int) -> str:
    """A count, in bold where cases fail."""
    if not total:
        return "not run"
    return f"{passed:,} of {total:,}" if passed == total else f"**{passed:,}** of {total:,}"


def write_table() -> None:
    """Put the table between its marks on the page of the book."""
    text = PAGE.read_text(encoding="utf-8")
    for begin, end, content in ((BEGIN, END, table()), (BEGIN_KNOWN, END_KNOWN, known_answers())):
        head, rest = text.split(begin)
        text = f"{head}{begin}\n\n{content}\n\n{end}{rest.split(end)[1]}"
    PAGE.write_text(text, encoding="utf-8")


def main() -> int:
    """The command line; the exit status tells whether every case passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--label", choices=["before", "now"], default="now")
    parser.add_argument("--form", choices=["long", "medium", "short"], default="long")
    parser.add_argument("modules", nargs="*", help="only these, such as test_keys.py")
    parser.add_argument("--table", action="store_true", help="only write the table")
    options = parser.parse_args()
    failed = [] if options.table else record(options.label, options.form, options.modules)["failed"]
    if all((RECORDS / f"campaign_{label}.json").exists() for label in ("before", "now")):
        write_table()
    for name in failed:
        print("failed:", name)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
