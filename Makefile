# `make study` makes the environment and runs the default study; `make test` passes the tests; `make check` lints and types.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: study test check clean

# The pocket world's defaults: eleven recipes, five targets, eight languages.
study: .venv/ready
	$(BIN)/python -m study.launch --space intermediate_tasks $(MORE)

# Three files of tests at a time (many wait for processes), in the order of the folders: those with clusters are not left for the end.
test: .venv/ready
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch .venv/ready

clean:
	rm -rf .venv .stepstone
