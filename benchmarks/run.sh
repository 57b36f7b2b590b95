#!/usr/bin/env bash
# make bench: sampler, refined coefficients and tuned lens beside the field's libraries; records, and one page.
# Arguments go to benchmarks/compare.py, for example `bash benchmarks/run.sh --pairs 7`.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x "$python" ] || python=$(command -v python3)

# canonical-interp needs Python >= 3.12, newer than ours may be. Name one: NEWER_PYTHON=/path/to/python make bench
newer=${NEWER_PYTHON:-$(
    # pyenv hides the versions that are not chosen, so its folder is looked at too
    for each in "$python" python3 python3.13 python3.12 python3.14 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python; do
        if "$each" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then echo "$each"; break; fi
    done
)}

for library in devinterp-1.3.2 devinterp-2.0.1 tuned-lens-0.2.0 canonical-interp-0.2.7; do
    base=$python
    if [[ $library == canonical-interp-* ]]; then
        base=$newer
        if [ -z "$base" ]; then
            echo "no Python >= 3.12 was found: the benchmark goes without $library (NEWER_PYTHON names one)" >&2
            continue
        fi
    fi
    folder=.venv-$library
    pins=benchmarks/requirements-$library.txt
    if ! cmp --silent "$pins" "$folder/installed.txt"; then
        echo "installing $library in $folder"
        rm -rf "$folder"
        "$base" -m venv "$folder"
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
