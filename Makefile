# `make demo` and `make test` need Python 3.11, git and make; everything else is installed below .venv and .cache.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

UV_VERSION := 0.13.9
HELM_VERSION := v3.22.0

# The first interpreter that is new enough; `make PYTHON=/path/to/python demo` overrides.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
# uv lives beside the environment that it manages, so that a sync cannot remove it.
UV := .cache/uv-$(UV_VERSION)/bin/uv
HELM := .cache/bin/helm-$(HELM_VERSION)
SERVICE_READY := $(VENV)/.service-ready
DEV_READY := $(VENV)/.dev-ready
BENCH_READY := $(VENV)/.bench-ready

export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
# The machine's own certificate store, as git and pip use it: behind a proxy that inspects TLS it is the right one.
export UV_SYSTEM_CERTS ?= true
# LiteLLM must not fetch its price map in tests; pytest sets it too, this is for everything else.
export LITELLM_LOCAL_MODEL_COST_MAP := True
# An environment that happens to be active must not be synced instead.
unexport VIRTUAL_ENV
# Container images forbid Python to keep bytecode; then every process that tests start compiles 1,500 modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test install format lint typecheck contracts schemas helm-lint compose-check kafka-jars bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

demo: $(SERVICE_READY) ## the main job on the embedded broker, in about a minute
	@$(BIN)/tokenfuse demo

# Most tests wait for brokers and processes: three at a time keep two cores busy.
test: $(DEV_READY) $(if $(filter true,$(CI)),$(HELM)) ## the whole test suite; `make test ARGS="-k caps"` passes arguments on
	@$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

install: $(DEV_READY) ## the environment for development, below .venv

format: $(DEV_READY) ## format, and fix what can be fixed
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lint: $(DEV_READY) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

typecheck: $(DEV_READY) ## mypy --strict
	@$(BIN)/mypy

contracts: $(DEV_READY) ## import-linter: the arrows of the pipeline
	@$(BIN)/lint-imports --no-logo

schemas: $(DEV_READY) ## write the published JSON Schemas again
	@$(BIN)/tokenfuse schema --write schemas

helm-lint: $(HELM) ## helm lint --strict and helm template with every values file
	@helm/check.sh $(HELM)

compose-check: $(DEV_READY) ## the compose files against the compose specification
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose*.yml

kafka-jars: $(DEV_READY) ## the Kafka that tests run on: its jars, and the archive that halves what a start costs
	@$(BIN)/python -m tests.support.kafka_cluster

bench: $(BENCH_READY) ## speed against peers on a real Kafka, docs/benchmarks.md; `make bench ARGS="--rows idle"` passes arguments on
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.speed $(ARGS)

clean: ## remove what was built here; the next call installs again
	rm -rf $(VENV) .cache dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(UV):
	@test -n "$(PYTHON)" || { echo "TokenFuse needs Python 3.11 or newer; \
	python3 here is $$(python3 -V 2>&1 || true). Install one, or say where it is: make PYTHON=/path/to/python3.11 demo" >&2; exit 1; }
	@rm -rf $(dir $(@D))
	@$(PYTHON) -m venv $(dir $(@D)) || { echo "$(PYTHON) cannot create environments. \
	On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(dir $@)python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

# A sync is exact for developers; the demo adds what it needs to what is there.
$(SERVICE_READY): pyproject.toml uv.lock $(UV)
	@test -e $(BIN)/python || $(UV) venv --quiet --python "$(PYTHON)" $(VENV)
	@$(UV) sync --locked --extra service --no-default-groups --inexact
	@touch $@

$(DEV_READY): pyproject.toml uv.lock $(UV)
	@test -e $(BIN)/python || $(UV) venv --quiet --python "$(PYTHON)" $(VENV)
	@$(UV) sync --locked --extra service
	@touch $@ $(SERVICE_READY)
	@rm -f $(BENCH_READY)

# What is there stays: benchmarks need the peers besides.
$(BENCH_READY): pyproject.toml uv.lock $(UV)
	@test -e $(BIN)/python || $(UV) venv --quiet --python "$(PYTHON)" $(VENV)
	@$(UV) sync --locked --extra service --group bench --no-default-groups --inexact
	@touch $@

$(HELM):
	@command -v go >/dev/null || { echo "No Go toolchain: helm $(HELM_VERSION) is built from its module and needs \
	Go 1.26; what Debian packages is older. Install Go from go.dev/dl, then try again." >&2; exit 1; }
	@mkdir -p $(@D)
	GOBIN=$(CURDIR)/$(@D) go install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)
	@mv $(@D)/helm $@
