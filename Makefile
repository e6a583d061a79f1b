# Everything a checkout needs. `make run` and `make test` each set up .venv/ first, once per lock file.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready-$(shell cksum < requirements-dev.lock | cut -d ' ' -f 1)

# The main job on the embedded default: the example sweep, until its report equals the committed one.
RUN    := $(BIN)/batchkeeper run examples/gwas/traits.yaml --config examples/gwas/config.yaml --expect examples/gwas/expected.yaml --fresh
PYTEST := $(BIN)/python -m pytest -n 4

# How often each real failure is met by soak-real, and after how many minutes no new one begins.
REAL_TIMES ?= 100
REAL_MINUTES ?= 600

.PHONY: help setup run test soak lint format bench soak-real sbom lock clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP) ## .venv/ with everything in the lock file

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "make: $(PYTHON) is not Python 3.11 or newer: install it (Debian: apt-get install python3) or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make: $(PYTHON) cannot make a virtual environment: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Setting up $(VENV)/ from requirements-dev.lock"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $(STAMP)

run: $(STAMP) ## the example sweep from start to report
	$(RUN)

test: lint ## lint and the whole test suite
	$(PYTEST)

lint: $(STAMP) ## ruff, formatting, strict types
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy --no-error-summary

format: $(STAMP) ## put the code into its format
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

SEEDS   ?= 2000:
MINUTES ?= 60
soak: $(STAMP) ## simulated schedules on all cores for MINUTES (60) from SEEDS (2000:) on, then pairs of crashes for a quarter of that; what goes wrong is told
	$(BIN)/python -m tests.simulation --jobs 0 --seeds $(SEEDS) --minutes $(MINUTES)
	$(BIN)/python -m tests.simulation.crash_pairs --seconds $$(( $(MINUTES) * 15 ))

bench: $(STAMP) ## measure: a table beside the raw limits of this machine (more than ten minutes, the rows on a cluster among them)
	$(BIN)/python -m tests.bench

soak-real: $(STAMP) ## real servers killed, silenced and struck, REAL_TIMES each (hours)
	REAL_TIMES=$(REAL_TIMES) $(BIN)/python -m tests.failover --minutes $(REAL_MINUTES)
	REAL_TIMES=$(REAL_TIMES) $(BIN)/python -m pytest -q tests/failover/test_strikes.py tests/kube/test_matrix.py \
		tests/kube/test_daemon_faults.py

sbom: $(STAMP) ## what the image is made of, as CycloneDX: dist/batchkeeper.cdx.json
	@mkdir -p dist
	$(BIN)/python -m deploy.sbom > dist/batchkeeper.cdx.json

# Needs uv, which the environment itself does not.
lock: ## write the lock files anew from pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' --all-extras --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock pyproject.toml
	echo setuptools | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' --constraint requirements-dev.lock --no-annotate \
		--output-file deploy/requirements-build.lock -

clean: ## remove the environment, caches and state
	rm -rf $(VENV) state build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
