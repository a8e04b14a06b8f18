# The commands of this project. They run in .venv, which make creates and updates as needed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help quickstart test thorough lint format bench

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(STAMP) ## run the quickstart study, on scikit-learn's digits
	$(BIN)/ctkd-study run studies/digits/quickstart.yaml

# Two tests at once, each on one thread: by default each would use all cores, and they would wait for each other.
test: lint ## run lint, type checks, import rules and the tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

thorough: $(STAMP) ## run the slow tests: signals, clusters, simulated GPUs, compilers (three minutes)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m thorough -n 2

lint: $(STAMP) ## run lint, type checks and import rules only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## apply the automatic fixes and the code format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP) ## measure and compare speeds (45 minutes)
	$(BIN)/pytest -m bench -s tests/benchmarks

# Reinstalls only if the dependencies have changed.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed: install Python 3.11 with its venv module, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
