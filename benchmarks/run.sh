#!/usr/bin/env bash
# make bench: sampler, refined coefficients and tuned lens beside the field's libraries; records, and one page.
# Arguments go to benchmarks/compare.py, for example `bash benchmarks/run.sh --pairs 7`.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x "$python" ] || python=$(command -v python3)

for library in devinterp-1.3.2 devinterp-2.0.1 tuned-lens-0.2.0; do
    folder=.venv-$library
    pins=benchmarks/requirements-$library.txt
    if ! cmp --silent "$pins" "$folder/installed.txt"; then
        echo "installing $library in $folder"
        rm -rf "$folder"
        "$python" -m venv "$folder"
        # PyTorch first and pinned: an open range would bring the newest build with its CUDA packages.
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$(grep '^torch==' "$pins")"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$pins"
        cp "$pins" "$folder/installed.txt"
    fi
done

export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
"$python" benchmarks/compare.py "$@"
"$python" -W ignore benchmarks/training.py
"$python" -W ignore benchmarks/refined.py
"$python" -W ignore benchmarks/lens.py
"$python" benchmarks/page.py
