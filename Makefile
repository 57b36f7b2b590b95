# Two commands do everything on a machine with Python >= 3.11, git and make: `make book` and `make test`.
# Others: `make help`. Each sets up .venv from the two requirements files first, if it is missing, incomplete or of other
# locks.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := book
.PHONY: help book test lint format test-long bench clean venv

# The first Python that is new enough. Name another: make book PYTHON=python3.12
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	if $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$each; break; fi; done)
COMPANION := .venv/bin/python -m devinterp_core.companion
# Notebooks executed at a time, one thread each. All cores, or: make book CORES=4
CORES ?=

help: ## what make can do here
	@sed -n 's/^\([a-z-]*\):[a-z ]*## /\1	/p' Makefile | while IFS='	' read -r name what; do \
		printf '  make %-10s %s\n' "$$name" "$$what"; done
	@printf '%s\n' '' 'Options: CORES=4 (notebooks at a time), PYTHON=python3.12, REPOSITORY=owner/name (for the buttons of the pages).' \
		'One notebook, a sweep, a new chapter: .venv/bin/companion --help'

# Where this project is on the network, for the buttons of the pages: make book REPOSITORY=owner/name. Left out, it is
# what the building service or the remote `origin` says.
REPOSITORY ?=
export COMPANION_REPOSITORY = $(REPOSITORY)

book: venv ## execute the notebooks that changed, build _build/html
	@$(COMPANION) book $(if $(CORES),--cores $(CORES))

test: book ## everything, in a real browser too; about a quarter of an hour on two cores
	@CHROMIUM="$$(sh tests/find_chromium.sh)" .venv/bin/python -m pytest tests -n 2

lint: venv ## ruff: mistakes and layout, in seconds
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .

format: venv ## mend what `make lint` complains of, where that can be done by a program
	@.venv/bin/python -m ruff check --fix .
	@.venv/bin/python -m ruff format .

test-long: venv ## the reliability campaign in its long form; writes data/recorded/reliability and its table
	@.venv/bin/python tests/reliability/campaign.py

bench: venv ## side by side with other samplers; writes data/recorded
	@bash benchmarks/run.sh

clean: ## remove everything made here but .venv
	rm -rf _build _output .snakemake notebooks/*.ipynb book/scorecard.md

venv:
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 was found. Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) .ci/venv.py
