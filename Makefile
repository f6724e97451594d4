# Everything a newcomer, a developer and CI need. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup engine demo fix docs cast pictures test images lint test-slow chaos bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 14

setup: $(STAMP)  ## make the virtual environment

$(STAMP): pyproject.toml docker/setup
	@docker/setup $(PYTHON) $(VENV)
	@touch $@

engine: setup  ## make sure that a container engine answers, and that it has the base images
	@docker/ready

demo: setup  ## run a short session in a real container and show its events
	@docker/ready --for-demo
	@$(BIN)/python examples/demo.py

fix: setup  ## see, find and fix a bug in a web app, with browser, kernel and shell
	@docker/chromium
	@$(BIN)/python examples/fix_a_web_app.py $(ARGS)

docs: setup  ## write the reference pages from the code
	@$(BIN)/python docs/generate.py

cast: demo  ## draw the demo anew as docs/demo.svg
	@$(BIN)/python examples/cast.py

pictures: setup  ## take the screenshots of the web app anew, in docs
	@docker/ready
	@$(BIN)/python examples/fix_a_web_app.py --image tether-test/busybox:latest --pictures docs

test: setup  ## run all checks and all tests, the ones on the real engine included
	@docker/ready
	@$(MAKE) --no-print-directory lint
	@$(BIN)/pytest -n 3 --dist loadgroup -m "not slow and not serial and not chaos" $(ARGS)
	@$(BIN)/pytest -m serial

images: setup  ## run the client in every odd image there is, ARGS="-k 07" in one
	@docker/ready
	@$(BIN)/pytest tests/images -n 2 --dist loadgroup --durations=5 $(ARGS)

test-slow: setup  ## run the tests that take minutes
	@docker/ready
	@$(BIN)/pytest -m slow $(ARGS)

chaos: setup  ## 500 seeded runs in which everything fails, and nothing may be lost
	@docker/ready
	@CHAOS_SEED=$${CHAOS_SEED:-$$RANDOM} $(BIN)/pytest tests/chaos -n 2 -m chaos $(ARGS)

lint: setup  ## ruff and mypy
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: setup  ## measure against floors and peers, side by side
	@docker/ready
	@$(BIN)/python -m benchmarks

clean:  ## remove what was built here
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
