# The commands of this project. They run in .venv, which make creates and updates as needed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help quickstart test thorough lint format chaos calibrate bench mutants

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

# One at a time: most of these count processes, and wait for moments of a few milliseconds.
chaos: $(STAMP) ## attack running studies: kills, power cuts, sick disks, many trials (three hours; as root for disks)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m chaos -s tests/faults

calibrate: $(STAMP) ## simulate 10,000 studies a case: do verdicts keep their error? writes docs/statistics (half an hour)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.calibration.publish

bench: $(STAMP) ## measure and compare speeds (45 minutes)
	$(BIN)/pytest -m bench -s tests/benchmarks

# ROOM=ctkd_study/plan takes one room, ROOM=ctkd_study/plan/due.py one file. docs/mutants.md says how to read the result.
ROOM ?= ctkd_study/spec ctkd_study/plan ctkd_study/analysis ctkd_study/report \
  trainables/trainer.py trainables/trial.py trainables/record trainables/recorded.py trainables/checksums.py trainables/bank \
  trainables/streams.py

mutants: $(STAMP) ## make small faults in the code and list those that no test notices (one hour)
	@$(MAKE) --keep-going --no-print-directory $(addprefix mutants-in-,$(ROOM))

# mutmut reads its settings from the folder that it runs in, so each room gets a folder with its own.
.PHONY: $(addprefix mutants-in-,$(ROOM))
$(addprefix mutants-in-,$(ROOM)): mutants-in-%:
	@rm -rf build/mutants/$* && mkdir -p build/mutants/$*/mutants
	@ln -s $(addprefix $(CURDIR)/,ctkd_study trainables tests studies pyproject.toml) build/mutants/$*
	@printf '%s\n' '[mutmut]' 'source_paths =' ' ctkd_study' ' trainables' 'only_mutate = $*$(if $(filter %.py,$*),,/*)' \
	  'also_copy = studies' 'use_git_change_detection = false' \
	  'pytest_add_cli_args =' ' -pno:cacheprovider' ' -m' ' not bench and not thorough and not slow' \
	  'pytest_add_cli_args_test_selection =' $(patsubst %,' %',$(tests_of)) >build/mutants/$*/setup.cfg
	@cd build/mutants/$* && export PYTHONPATH=$$PWD/mutants OMP_NUM_THREADS=1 && $(abspath $(BIN))/mutmut run >log 2>&1 \
	  || { tail -n 30 log; exit 1; }
	@cd build/mutants/$* && $(abspath $(BIN))/mutmut results --all True >all && { grep -E ': (survived|no tests|not checked)$$' all >alive; \
	  awk 'FILENAME == "alive" {alive++} FILENAME == "all" {all++} END {printf "%-28s %5d of %5d killed, %5.1f %%\n", \
	  "$*", all - alive, all, 100 * (1 - alive / all); exit (alive > all / 10)}' alive all; }

# The tests of a room have its name: tests/unit/plan, tests/unit/trainables/test_trial.py.
room = $(basename $(word 2,$(subst /, ,$*)))
tests_of = $(or $(wildcard tests/unit/$(room) tests/unit/trainables/$(room) tests/unit/trainables/test_$(room)*.py),$(error $* has no tests))

# Reinstalls only if the dependencies have changed.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed: install Python 3.11 with its venv module, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
