# The front door. Bare `make` prints the commands.
KVRING_HOME ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kvring
MACHINES ?= 1
PY := .venv/bin/python
# Of a file's tests one worker runs all, so that what they share is made once; each worker holds torch, some 1 GB.
WORKERS := -n logical --maxprocesses 4 --dist loadfile
CODE := contract operator node dev tests bench
export KVRING_HOME MACHINES

.DEFAULT_GOAL := help
.PHONY: help run test up down status partition heal venv verify format lint types unit slow cluster-test images model manifests lock clean

help: ## Print the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/ready ## Two commands, first: local Kubernetes, chart, sample, an answer from the model (CLUSTER=context IMAGES=registry/prefix for your own)
	@$(PY) -m dev.run

test: .venv/ready ## Two commands, second: everything that CI runs (as root, as make run)
	@$(PY) -m dev.test

up: .venv/ready ## Start the local Kubernetes (MACHINES=3 gives three machines)
	@$(PY) -m dev.cluster up --machines $(MACHINES)

down: .venv/ready ## Stop the local Kubernetes and restore what it changed
	@$(PY) -m dev.cluster down

status: .venv/ready ## Show what runs
	@$(PY) -m dev.cluster status

partition: .venv/ready ## Cut a machine off the network: make partition MACHINE=m2
	@$(PY) -m dev.cluster partition $(MACHINE)

heal: .venv/ready ## Mend that: make heal MACHINE=m2
	@$(PY) -m dev.cluster heal $(MACHINE)

venv: .venv/ready ## Make .venv with the three packages (editable) and the test tools

.venv/ready: dev/venv.sh dev/requirements.lock contract/pyproject.toml operator/pyproject.toml node/pyproject.toml $(wildcard node/src/kvring_node/model/native/*.[ch]* node/src/kvring_node/model/native/build.py)
	@dev/venv.sh

verify: .venv/ready ## Format, lint, types, import contracts, laws, unit tests, generated files up to date
	@.venv/bin/ruff format --check --quiet $(CODE)
	@$(MAKE) --no-print-directory lint types
	@$(PY) -m dev.manifests --check
	@$(PY) -m dev.reference --check
	@$(MAKE) --no-print-directory unit

format: .venv/ready ## Format the code and mend what the linter can
	@.venv/bin/ruff format $(CODE)
	@.venv/bin/ruff check --fix $(CODE)

lint: .venv/ready ## Lint, and who may import whom
	@.venv/bin/ruff check --quiet $(CODE)
	@.venv/bin/lint-imports --no-logo

types: .venv/ready ## mypy, strict
	@.venv/bin/mypy --no-error-summary contract/src operator/src node/src dev tests bench

unit: .venv/ready ## Laws and unit tests, but for the slow ones that make test runs too
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q $(WORKERS) -m "not slow" tests/laws tests/unit

slow: .venv/ready ## The slow unit tests
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q $(WORKERS) -m slow tests/unit

cluster-test: .venv/ready ## Tests on the real local cluster (starts it where needed); PYTEST='-k scale' picks some
	@$(PY) -m dev.test --only cluster $(PYTEST)

images: .venv/ready ## Build the operator's and the node's image and push them to the local registry
	@$(PY) -m dev.images build

model: .venv/ready ## Make the demo models (some five minutes, once)
	@$(PY) -m dev.model

manifests: .venv/ready ## Render manifests/install.yaml from the chart, docs/reference from the CRD and the code
	@$(PY) -m dev.manifests
	@$(PY) -m dev.reference

lock: ## Resolve the lock files anew
	@dev/lock.sh

clean: ## Remove .venv and caches of the tools; what is under KVRING_HOME stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
