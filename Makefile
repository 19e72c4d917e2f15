# `make demo` tells the whole story, `make test` proves it; both set up what they need.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# A distribution compiles its Python with profiles: docs/decisions/0014.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(or $(shell for python in /usr/bin/python3 python3; do \
  $$python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo $$python && break; done),python3)
endif
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(shell find proto -name '*.proto' 2>/dev/null)
BASE ?= main

# The system's pip fills the environment: Debian makes environments without one.
PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check --quiet
say = @printf '\033[2m·\033[0m %s\n'

BENCHMARKS := trade quote prices stuck ledger statement books events webhooks edge audit start reconciliation

.PHONY: help setup proto test golden check demo up clients story lock chaos crash fuzz schemathesis clean $(BENCHMARKS:%=bench-%)

help:
	@printf '%s\n' \
	  'make demo         set up, start the whole stack and watch a trade settle' \
	  'make test         set up and run every test' \
	  'make test-ccxt    run the price source against the real ccxt, which it installs beside' \
  'make golden       rewrite the files that tests compare; then read the difference' \
	  'make up           run the stack in the foreground until Ctrl-C' \
  'make clients      build the clients of all languages whose tools are here' \
  'make story        have each of them tell the same story against a stack of its own' \
	  'make crash        RUNS=10000 SEED=1: trade while processes die; CANARIES=1: planted bugs' \
	  'make check        formatting, lint, types, layers, API lint and compatibility' \
	  'make proto        refresh gen/ from proto/' \
	  'make bench-trade  measure quote, accept and settle through the front door' \
	  'make bench-quote  measure what a quote takes beyond its slowest LP' \
	  'make bench-prices measure how many prices a second are told, indicative and firm' \
	  'make bench-stuck  measure what a stuck venue costs the tenants that do not trade there' \
	  'make bench-ledger measure how many transfers a second the books take, beside TPC-B' \
	  'make bench-statement  measure what a statement of a million lines takes, time and memory' \
	  'make bench-books  measure how far checkpoints are behind, and how long a million entries take to check' \
	  'make bench-events measure how long after its commit an event is seen, and what idle streams cost' \
	  'make bench-edge   measure what key check, limits and signing cost, and overshoot' \
	  'make bench-audit  measure what a key check and an audit record add to a call' \
	  'make bench-webhooks  measure how many deliveries one worker makes, beside a bare client loop' \
	  'make bench-start  measure how long a start takes and how much memory it holds' \
	  'make bench-reconciliation  measure how long it takes to match 100,000 lines' \
	  'make chaos        kill and cut the real processes under load; MINUTES=10 SEED=… CUSTOMERS=200 VENUES="okx valr"' \
	  'make fuzz         send bytes of all sorts to the raw gRPC edge; MINUTES=10 SEED=…' \
	  'make schemathesis CASES=20000 SEED=…: send over REST what its own document allows, and forbids' \
	  'make lock         pin the newest dependencies that pyproject.toml allows' \
	  'make clean        remove everything that make made, the local stack included'

setup: $(VENV)/.ready
	@:

$(VENV)/.locked: requirements.txt
	$(say) 'creating $(VENV) and installing the locked dependencies (a minute the first time)'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Reli needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	@$(PIP) install --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.ready: $(VENV)/.locked pyproject.toml hatch_build.py
	$(say) 'installing reli itself, editable'
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

proto: gen/reli.binpb
	@:

gen/reli.binpb: $(PROTOS) hatch_build.py | $(VENV)/.locked
	$(say) 'generating stubs from proto/'
	@$(BIN)/python hatch_build.py

test: setup proto
	@$(BIN)/python -m pytest

golden: setup proto
	@RELI_GOLDEN=write $(BIN)/python -m pytest -q tests/architecture tests/scenario

# Beside the environment and not in it: nothing else needs the package, and it is big.
build/ccxt/.ready: pyproject.toml requirements.txt
	@mkdir -p build
	@sed -n 's/^\([a-z][^ ]*==[^ ]*\).*/\1/p' requirements.txt > build/constraints.txt
	@$(PYTHON) -m pip --disable-pip-version-check --quiet install --upgrade --target build/ccxt \
	  --constraint build/constraints.txt \
	  "$$($(PYTHON) -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["ccxt"][0])')"
	@touch $@

.PHONY: test-ccxt
test-ccxt: setup build/ccxt/.ready
	@PYTHONPATH=build/ccxt $(BIN)/python -m pytest tests/ccxt/check_the_package.py

check: setup proto
	$(say) 'ruff'
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	$(say) 'mypy'
	@$(BIN)/mypy --no-error-summary
	$(say) 'import-linter'
	@$(BIN)/lint-imports --no-logo
	$(say) 'buf lint'
	@$(BIN)/buf lint
	$(say) 'buf breaking'
	@.ci/breaking $(BASE) $(BIN)/buf

demo: setup proto
	@$(BIN)/reli demo

up: setup proto
	@$(BIN)/reli up

clients: setup proto
	@$(BIN)/python -m tests.clients --build

story: setup proto
	@$(BIN)/python -m tests.clients

crash: setup proto
	@$(BIN)/python -m tests.crash $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(RUN),--run $(RUN)) $(if $(CANARY),--canary $(CANARY)) $(if $(CANARIES),--canaries) \
	  $(if $(TRACE),--trace $(TRACE))

$(BENCHMARKS:%=bench-%): bench-%: setup proto
	@$(BIN)/python -m benchmarks.$*

MINUTES ?= 10
CUSTOMERS ?= 200
chaos: setup proto
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) --customers $(CUSTOMERS) \
	  $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json $(JSON)) \
	  $(if $(VENUES),--venues $(VENUES))

fuzz: setup proto
	@$(BIN)/python -m tests.wire_fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

schemathesis: setup proto
	@$(BIN)/python -m tests.fuzz $(if $(CASES),--cases $(CASES)) $(if $(SEED),--seed $(SEED))

# pip-tools lives apart: its own needs must not decide what the product is pinned to.
lock:
	$(say) 'resolving (some minutes)'
	@$(PYTHON) -m venv --without-pip build/lock
	@$(PYTHON) -m pip --python build/lock/bin/python --disable-pip-version-check --quiet \
	  install pip pip-tools
	@CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/pip-compile --quiet --upgrade --extra dev \
	  --generate-hashes --allow-unsafe --strip-extras --no-annotate --no-emit-index-url \
	  --no-emit-find-links --no-emit-trusted-host --output-file requirements.txt pyproject.toml

clean:
	@git clean -fdXq clients
	@rm -rf $(VENV) gen build dist .reli .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
