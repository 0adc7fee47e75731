# Everything from a fresh clone. Needs Linux, Python 3.11 or newer, and make.

PYTHON ?= python3
WORKERS ?= 2
PYTEST_OPTIONS ?=
DEMO_OPTIONS ?=
BENCH_OPTIONS ?=
# The order of tests and what Hypothesis draws: the same each time, so that a run can be repeated. `make test SEED=` draws anew.
SEED ?= 20261127

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEBIAN_PACKAGES := postgresql chromium fonts-noto-cjk nginx-light
DRAWN := $(if $(SEED),--randomly-seed=$(SEED) --hypothesis-seed=$(SEED))
LOCK := CUSTOM_COMPILE_COMMAND="make lock" PIP_FIND_LINKS= $(BIN)/pip-compile --quiet --upgrade --generate-hashes \
	--no-strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow bench check fix lock system

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed  ## install the program into .venv, with the `mydata` command

demo: setup  ## a running broker on SQLite with demo people, a hospital and an insurer; Ctrl-C ends it
	@exec $(BIN)/mydata demo $(DEMO_OPTIONS)

test: $(VENV)/.installed-test system  ## every test that is not marked slow, on SQLite and PostgreSQL, and the coverage gate
	$(BIN)/pytest -m "not slow" -n $(WORKERS) --dist worksteal $(DRAWN) --cov --cov-report= $(PYTEST_OPTIONS) tests/consent tests/vault
	$(BIN)/coverage report --include="consent/*,vault/*" --fail-under=100
	$(BIN)/pytest -m "not slow" -n $(WORKERS) --dist worksteal $(DRAWN) $(PYTEST_OPTIONS) --ignore=tests/consent --ignore=tests/vault

# Exit code 5 of pytest: no test is marked slow. Each may take its time: the dump of all stacks after five minutes
# would read frames of a running program, and has ended one.
test-slow: $(VENV)/.installed-test system  ## the tests that are marked slow
	$(BIN)/pytest -m slow $(DRAWN) -o faulthandler_timeout=0 $(PYTEST_OPTIONS) || test $$? -eq 5

# BENCH_OPTIONS=--quick for a coarse look. A busy machine is told, and not judged.
bench: $(VENV)/.installed-test system  ## how fast, as ratios to baselines of the same run; writes build/bench.json
	$(BIN)/python -m bench.run $(BENCH_OPTIONS)

check: $(VENV)/.installed-test  ## format, lint, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.installed-test  ## format, and repair what the linter can repair
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: $(VENV)/.installed-test  ## pin newer dependencies within the ranges of pyproject.toml
	$(LOCK) --all-build-deps --output-file requirements.lock pyproject.toml
	$(LOCK) --all-build-deps --extra test --extra check -c requirements.lock --output-file requirements-test.lock pyproject.toml

# What the tests need of the system. Only Debian's root can be helped; anyone else is told by the tests themselves.
system:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s $(DEBIAN_PACKAGES) >/dev/null 2>&1; then \
		apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(DEBIAN_PACKAGES); \
	fi

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-test: requirements-test.lock $(VENV)/.installed
	$(PIP) install --quiet --require-hashes -r requirements-test.lock
	@touch $@
