# `make demo` and `make test` each do all of their own set-up.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed


.PHONY: help setup demo test lint types layers definitions unit requirements clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(INSTALLED) ## Install the pinned requirements into .venv and prepare the home.
	@$(BIN)/mlplatform setup

demo: setup ## Run the whole fraud use case, serve it and score real requests.
	@$(BIN)/mlplatform demo fraud

test: setup lint types layers definitions unit ## Lint, types, layers, definitions and all tests.

# uv is itself pinned by hash; it installs the rest in seconds where pip takes minutes.
$(INSTALLED): requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 13) else "mlplatform needs Python 3.11 or 3.12; this is " + sys.version.split()[0] + ". Choose one: make PYTHON=python3.11 " )'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned requirements into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/bootstrap.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

lint: $(INSTALLED) ## Lint rules and format.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(INSTALLED) ## Strict typing of the package.
	@$(BIN)/mypy

layers: $(INSTALLED) ## Which package may import which.
	@$(BIN)/lint-imports --no-cache

definitions: setup ## What Dagster itself says of the project.
	@# One by one: of several files of one component type `dg check yaml` validates the last only (seen in 1.13).
	@. $(BIN)/activate && for folder in mlplatform/use_cases/*/; do dg check yaml "$$folder" || exit 1; done
	@. $(BIN)/activate && dg check defs && dg check toml

unit: setup ## The tests.
	@$(BIN)/pytest -n 2 --dist loadfile

requirements: $(INSTALLED) ## Pin again after a change of pyproject.toml.
	@for set in "base" "dev --group dev --extra bench --extra datasets"; do \
		set -- $$set; name=$$1; shift; \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
			--no-emit-index-url --no-header pyproject.toml $$@ -o requirements/$$name.txt; \
	done

clean: ## Remove the virtual environment and the home in this folder, with all its data.
	rm -rf $(VENV) .mlplatform
