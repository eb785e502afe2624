.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
STAMP := .venv/.installed
WORKERS ?= 2
export PYTHONPATH := $(CURDIR)

PROOFS := crash sim outages poison freeze schema-change database-kill
.PHONY: help setup demo up test check format promises $(PROOFS) load bench lock wiring clean

help: ## Explain every target in one line
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install everything into .venv, with the command .venv/bin/clinicloop

$(STAMP): requirements-dev.lock pyproject.toml
	python3 -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/.venv/bin/python" -m emulators.cli "$$@"\n' \
	  "$(CURDIR)" "$(CURDIR)" > $(BIN)/clinicloop
	@chmod +x $(BIN)/clinicloop
	@touch $@

demo: setup ## Play the life of many contracts on the local cloud and check the facts
	$(BIN)/clinicloop demo

up: setup ## Start the local cloud and print its one address; Ctrl-C stops it
	$(BIN)/clinicloop up

test: setup ## Run the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: setup ## Format, lint, types, import rules, dependencies, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m shared.runtime.wiring --check
	$(BIN)/python -m shared.runtime.documents --check

format: setup ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

promises: ## Watch every promise hold: all proofs below, one after the other, whatever fails
	$(MAKE) --keep-going $(PROOFS)

crash: setup ## Kill a process at every step; what was lost or doubled (SEEDS=20)
	$(BIN)/python -m tests.reliability.crash --seeds $(or $(SEEDS),20)

sim: setup ## Deliver histories shuffled, late, doubled, at once (SEEDS=50 EVENTS=200)
	$(BIN)/python -m tests.reliability.simulation --seeds $(or $(SEEDS),50) --events $(or $(EVENTS),200)

outages: setup ## Take each engine and vendor away for ten minutes under load
	$(BIN)/python -m tests.reliability.outages

poison: setup ## Send 5 000 messages, one in a hundred poison; replay what was parked
	$(BIN)/python -m tests.reliability.poison

freeze: setup ## Stop processes right after they answered, thaw them late (SEEDS=20)
	$(BIN)/python -m tests.reliability.freeze --seeds $(or $(SEEDS),20)

schema-change: setup ## Change the schema under load, old and new code side by side
	$(BIN)/python -m tests.reliability.schema_change

database-kill: setup ## Kill PostgreSQL three times under load
	$(BIN)/python -m tests.reliability.database_kill

load: setup ## Drive the local host with a seeded mix of calls; latencies, slowest spans
	$(BIN)/python -m bench.load

bench: setup ## Run the benchmarks, ratios to a peer where there is one (NAME=... for one)
	$(BIN)/python -m bench $(NAME)

wiring: setup ## Regenerate wiring, event schemas and OpenAPI from the declarations
	$(BIN)/python -m shared.runtime.wiring
	$(BIN)/python -m shared.runtime.documents

lock: setup ## Pin the newest dependencies, with hashes and without index addresses
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header -q --upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header -q --upgrade --extra dev -c requirements.lock \
	  pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header -q --upgrade -c requirements-dev.lock \
	  bench/peers/requirements.in -o bench/peers/requirements.lock

clean: ## Remove what was installed and what the local cloud kept
	rm -rf .venv .venv-peers .clinicloop
