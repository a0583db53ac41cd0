# Two commands matter: `make book` and `make test`. Both set up .venv first, once.
# A name on the path may be a shim of a Python that is not there, so each is tried.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { command -v $$p; break; }; done)
# The set of versions: constraints.txt is the newest that was tested, constraints-oldest.txt the oldest.
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin
READY := .venv/.ready

.PHONY: book test lint lab smoke published bench clean help

book: $(READY)  ## set up, run the six notebooks on simulated cells, build the book
	$(BIN)/sts run --profile default
	$(BIN)/sts book --run default

# A file of tests stays on one process, so that what its tests share is made once; each process takes up to 3 GB.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n : 4)))

test: $(READY) lint  ## set up, then lint, type check and all tests
	$(BIN)/python -m pytest tests -n $(JOBS) --dist loadfile

lint: $(READY)  ## ruff (lint and format), the floors' import contracts, and mypy
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy stslib

lab: $(READY)  ## the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

smoke: $(READY)  ## the six notebooks on a few cells, in minutes
	$(BIN)/sts run --profile smoke

published: $(READY)  ## the baseline and its audit, on the authors' real tables
	$(BIN)/sts run --profile published

BENCH ?= tests/bench

bench: $(READY)  ## measure times and memory into results/bench.json; one file of them: make bench BENCH=tests/bench/bench_transform.py
	OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest $(BENCH) -o addopts= -o python_files='bench_*.py' -o python_functions='bench_*' -p no:cacheprovider --timeout 0 --benchmark-quiet -rs

clean:  ## remove results and the book, keep .venv
	rm -rf results _build

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST)

$(READY): $(CONSTRAINTS) pyproject.toml allensdk.txt
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 is needed and none was found; say make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and f"make: Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is {sys.version.split()[0]}; say make PYTHON=/path/to/python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c $(CONSTRAINTS) -e '.[allen,files,formats,cluster,postgres,book,lab,comparators,dev]'
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -r allensdk.txt
	@touch $@
