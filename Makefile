# What one does here. Everything runs in .venv, which is made and kept up to date as needed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help quickstart test thorough lint format bench

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(STAMP) ## answer the first question, on scikit-learn's digits
	$(BIN)/ctkd-study run studies/digits/quickstart.yaml

# Two tests at once, each on one thread: with torch's default of all cores they would wait for each other.
test: lint ## style, types, order of imports, and the tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

thorough: $(STAMP) ## the tests of signals, more clusters, GPUs in name, and compilers, which take three minutes more
	OMP_NUM_THREADS=1 $(BIN)/pytest -m thorough -n 2

lint: $(STAMP) ## style, types and order of imports alone
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## put the code into the house's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP) ## measure speeds; prints, compares, and takes minutes
	$(BIN)/pytest -m bench -s tests/benchmarks

# Installed anew only when what to install has changed.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed: install Python 3.11 with its venv module, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
