# Every target is self-sufficient on Debian 12+ as root (Ubuntu: docs/development.md): it makes the virtualenv, installs the
# Debian packages it lacks and builds what is missing (cached outside the checkout, see docs/development.md).
# CLUSTER=existing makes demo and e2e use the current kubeconfig instead of the embedded cluster.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
CLUSTER ?= embedded
PYTEST_ARGS ?=
# To see which lines run makes tests two or three times as slow: only these are watched.
CORE_TESTS := tests/unit/core tests/unit/planner
# Of `make test`: less, if there is little time left.
CHAOS_SECONDS ?= 420
# Each has brokers of its own, about 2 GiB, and waits for them most of the time. Files go out in their order, in which the
# longest tests are the first.
KAFKA_WORKERS ?= 3
export CLUSTER

.PHONY: help demo demo-down lint format unit kafka e2e chaos test image bench lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Scale a real cluster 3 -> 4 -> 3 under checked traffic and watch it
	$(PYTHON) -m tests.demo

demo-down: $(READY) ## Remove all that the demo made
	$(PYTHON) -m tests.demo down

lint: $(READY) ## Style, types, architecture contracts
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(READY) ## Format the code
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

unit: $(READY) ## Pure tests, no cluster; 100 % branch coverage of core/ by its own
	$(PYTHON) -m pytest tests/unit $(CORE_TESTS:%=--ignore=%) -n auto $(PYTEST_ARGS)
	$(VENV)/bin/coverage erase
	$(VENV)/bin/coverage run -m pytest $(CORE_TESTS) -n auto $(PYTEST_ARGS)
	$(VENV)/bin/coverage combine -q
	$(VENV)/bin/coverage report

kafka: $(READY) ## Tests against live ZooKeeper and brokers on loopback
	$(PYTHON) -m pytest tests/kafka -n $(KAFKA_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

e2e: $(READY) ## Tests on a live Kubernetes
	$(PYTHON) -m pytest tests/e2e --durations=20 $(PYTEST_ARGS)

chaos: $(READY) ## Random decisions and faults under checked traffic; SEED=7 ROUNDS=50 (or 7..9); 50 write docs/reliability.md
	$(PYTHON) -m tests.chaos

test: ## Everything, with the versions used and a timing per stage; of chaos, a few rounds
	@CHAOS_SECONDS=$(CHAOS_SECONDS) .ci/stages lint kafka e2e+unit chaos

image: $(READY) ## Build all images as OCI archives, and print where they are
	$(PYTHON) -m tests.cluster.images

bench: $(READY) ## Measure the planner and the operator's footprint
	$(PYTHON) -m tests.bench

lock: ## Resolve the dependencies anew into requirements*.lock
	[ -x $(PYTHON) ] || python3 -m venv $(VENV)
	$(PYTHON) -m pip install -q uv
	$(VENV)/bin/uv pip compile pyproject.toml $(LOCK_FLAGS) -o requirements.lock
	$(VENV)/bin/uv pip compile pyproject.toml --group dev $(LOCK_FLAGS) -o requirements-dev.lock

LOCK_FLAGS := --upgrade --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -q

$(READY): requirements-dev.lock pyproject.toml .ci/venv
	@.ci/venv $(VENV)
	@touch $@
