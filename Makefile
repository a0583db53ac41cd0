# Two commands matter: `make book` and `make test`. Both set up .venv first, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: book test lint smoke published bench clean help

book: $(READY)  ## set up, run the six notebooks on simulated cells, build the book
	$(BIN)/sts run --profile default
	$(BIN)/sts book --run default

test: $(READY) lint  ## set up, then lint, type check and all tests
	$(BIN)/python -m pytest tests

lint: $(READY)  ## ruff (lint and format) and mypy
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy stslib

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

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and f"make: Python 3.11 is needed, and $(PYTHON) is {sys.version.split()[0]}; say make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[allen,files,cluster,postgres,book,dev]'
	@touch $@
