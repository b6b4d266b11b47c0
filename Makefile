# DataFlow Lab. The two commands of the README are `make demo` and `make test`; each sets everything up by itself.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
.DEFAULT_GOAL := help
.PHONY: help setup demo up down status doctor test test-fast check lint types architecture contracts contracts-check lock bench-bridge bench-files bench-ingest bench-notify bench-start bench-starts bench-states faults-bridge faults-lake faults-notify bench-validation clean bench-lake bench-monitor bench-monitor-memory faults-monitor soak-monitor

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(READY) ## Install everything: environment, packages, jars
$(READY): requirements.lock requirements-bootstrap.lock pyproject.toml datalab/local/jars.lock scripts/setup.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh "$(VENV)"

demo: setup ## Start the lab, feed it the sample data, print the proof, stop it
	@$(BIN)/datalab demo

up: setup ## Start the lab and leave it running
	@$(BIN)/datalab up --detach

down: ## Stop the lab
	@$(BIN)/datalab down

status: ## Show what runs
	@$(BIN)/datalab status

doctor: setup ## Check this machine
	@$(BIN)/datalab doctor

test: setup ## Run every test on real parts
	@scripts/ensure-chromium.sh >/dev/null
	@$(PYTEST) tests/unit tests/integration tests/faults tests/e2e

test-fast: setup ## Run the tests that need no running parts
	@$(PYTEST) tests/unit

check: lint types architecture contracts-check test ## Everything that must hold before a change lands

lint: setup ## Style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup ## Static types, strict
	@$(BIN)/mypy

architecture: setup ## Directions of imports
	@$(BIN)/lint-imports

contracts: setup ## Write what is generated from event models and topics; refuses what breaks with a published version
	@$(BIN)/python -m schemas.generate

contracts-check: setup ## What is generated is up to date, and no event type breaks with a published version
	@$(BIN)/python -m schemas.generate --check

lock: setup ## Resolve requirements.in anew, with hashes
	@$(BIN)/uv pip compile -q --generate-hashes --no-header --python-version 3.11 requirements.in -o requirements.lock

bench-starts: setup ## Seconds from event to running flow and from file to Gold, beside the stock worker
	@$(BIN)/python -m bench.starts

bench-bridge: setup ## Runs from events, beside single calls and Prefect's automations; events that no rule wants
	@$(BIN)/python -m bench.bridge

bench-states: setup ## Milliseconds from a run's state to the websocket, to Kafka and to lab.runs
	@$(BIN)/python -m bench.states

bench-files: setup ## Seconds from file to event, and for 10,000 files
	@$(BIN)/python -m bench.files

bench-ingest: setup ## Events a second over HTTP, beside aiokafka's producer by itself; files; validation
	@$(BIN)/python -m bench.ingest

faults-notify: setup ## The notifier killed at each step, odd receivers, outages: what is lost, what comes twice
	@$(BIN)/python -m tests.faults.notifier

bench-notify: setup ## Deliveries a second, their latency, beside failing receivers, and in a storm of alerts
	@$(BIN)/python -m bench.notify

faults-lake: setup ## The lake: runs and Spark killed at each commit, two runs at once, a full disk, odd and damaged files, replays, restores
	@$(BIN)/python -u -m tests.faults.lake

bench-lake: setup ## What the lake's guarantees cost, beside the guide's code and Great Expectations (SIZE=small: quick)
	@$(BIN)/python -m bench.lake $(if $(filter small,$(SIZE)),--rows 100000 --large 500000 --rounds 2)

bench-monitor: setup ## Events a second from Kafka to history and alerts, beside faust with a Table; from event to alert
	@$(BIN)/python -m bench.monitor

bench-monitor-memory: setup ## The monitor's memory over two million events of 10,000 deployments; some minutes (EVENTS=2000000)
	@$(BIN)/python -m bench.monitor_memory --events $(or $(EVENTS),2000000)

faults-monitor: setup ## The monitor is killed at each step, what it needs goes away, events come at odd times: each alert once
	@$(BIN)/python -m tests.faults.monitor

soak-monitor: setup ## Thirty simulated days of outages against the list of alerts that must come (MINUTES=60)
	@$(BIN)/python -m tests.faults.monitor.soak --minutes $(or $(MINUTES),60)

bench-start: setup ## Seconds and memory of the lab's start
	@$(BIN)/python -m bench.start

bench-validation: setup ## Microseconds to judge an event's data, by the validators there are
	@$(BIN)/python -m bench.validation

faults-bridge: setup ## The bridge is killed, and what it needs: a run for each event, one only, in order
	@$(BIN)/python -m tests.faults.bridge

clean: ## Remove the environment and the lab's state
	@if [ -x $(BIN)/datalab ]; then $(BIN)/datalab down; fi
	@rm -rf $(VENV) .datalab .mypy_cache .ruff_cache .pytest_cache
