# Sets dope up in .venv, runs it and checks it.
# Holds no settings: the tools' are in pyproject.toml, how .venv is made is in .ci/venv.

# What to override:  make run TASK=timeseries.lds ARGS="--seed 2"    make test PYTHON=python3.9
MXNET = cpu
TASK = timeseries.issm
ARGS =

BIN = .venv/bin
export PYTHON
export PYTHONNOUSERSITE = 1
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help run test lint types check format setup clean

help:  ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run:  ## set up, then forecast with timeseries.issm (TASK=…, ARGS=…, PYTHON=…, MXNET=cu112)
	@sh .ci/venv .venv '$(MXNET)'
	$(BIN)/dope run $(TASK) $(ARGS)

setup:  ## make or mend .venv with dope and what its checks need
	@sh .ci/venv .venv '$(MXNET),dev'

test: setup  ## set up, then run the tests (ARGS=tests/core, ARGS="-m slow")
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

lint: setup  ## style, format and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup  ## mypy
	$(BIN)/mypy

check: lint types test  ## all of the above

format: setup  ## mend style and format in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## delete .venv, builds and caches; runs/ stays
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
