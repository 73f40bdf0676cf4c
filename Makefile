# Every target sets the checkout up first (scripts/bootstrap: .venv from requirements.lock, a local CA in certs/).

# What a shell may carry for other projects has no say here; PYTHONOPTIMIZE would strip the tests of their asserts.
unexport PYTHONHOME PYTHONPATH PYTHONOPTIMIZE PYTHONWARNINGS PYTHONSTARTUP VIRTUAL_ENV PYTEST_ADDOPTS COVERAGE_FILE

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
MILESTONE ?= 1
# Python without the suffix by which ruff would find it.
TOOLS := scripts/accept scripts/check-coverage

.DEFAULT_GOAL := help
.PHONY: setup run demo test test-e2e lint lock accept clean help

setup:
	@scripts/bootstrap

run: setup ## show one swapped request, then stay up and print the lines to paste
	@$(BIN)/keyswap demo

demo: setup ## show one swapped request and exit
	@$(BIN)/keyswap demo --once

test: lint ## lint, types, floors, every test but e2e, and the coverage of the middle floor
	$(PYTEST) -m "not e2e" -n 2 --cov --cov-report=
	@$(BIN)/python scripts/check-coverage

test-e2e: setup ## real clients and real processes
	$(PYTEST) -m e2e

lint: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check . $(TOOLS)
	$(BIN)/ruff format --check . $(TOOLS)
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: setup ## resolve again and write requirements.lock
	scripts/lock

accept: setup ## print PASS or FAIL for each line of MILESTONE=n
	@$(BIN)/python scripts/accept $(MILESTONE)

clean: ## remove .venv and every cache; certs/ and its key stay
	rm -rf .venv .cache .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
	find src tests scripts addons -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
