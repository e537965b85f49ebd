# Every command first makes the environment in .venv, or adds to it what the command needs.

PYTHON ?= python3
BUILD ?= $(or $(MENTALLLAMA_BUILD),auto)
MODEL ?=
ARGS ?=
DATA ?=

BIN := .venv/bin
SETUP = @$(PYTHON) scripts/install.py --build $(BUILD)
# Two workers, each with its own groups of tests that share an engine, a cluster or a trained model.
PYTEST = $(BIN)/pytest -n 2 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help setup training serve test test-all bench overload soak check format openapi recipes \
	reference docs audit licences lock train-embedded clean

help: ## list the commands
	@echo "make COMMAND [BUILD=auto|cpu|gpu] [PYTHON=python3.12] [ARGS='options of the command']"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what serving needs into .venv; ARGS='--dry-run' prints the plan, ARGS='EXTRA …' adds
	$(SETUP) $(ARGS)

training: ## add what mentalllama-train needs
	$(SETUP) training

serve: ## start the service; MODEL=a directory or id, ARGS='any vLLM option'
	$(SETUP)
	@$(BIN)/mentalllama serve $(MODEL) $(ARGS)

test: ## run the tests that prove a post's path on a real engine; ARGS='-k name' or any pytest option
	$(SETUP) test
	@$(PYTEST) -m "not slow" $(ARGS)

test-all: ## run all tests
	$(SETUP) test docs
	@$(PYTEST) $(ARGS)

bench: ## measure the service; ARGS=--quick for a shorter run
	$(SETUP) loadtests training
	@$(BIN)/python -m loadtests.bench $(ARGS)

overload: ## send four times what the service can do for five minutes; ARGS='--minutes 1'
	$(SETUP) loadtests training
	@$(BIN)/python -m loadtests.endurance overload $(ARGS)

soak: ## keep the service busy for ten minutes; ARGS='--minutes 60'
	$(SETUP) loadtests training
	@$(BIN)/python -m loadtests.endurance soak $(ARGS)

check: ## run what needs no engine: ruff, mypy, typos, import contracts, generated pages
	$(SETUP) check
	@$(BIN)/pre-commit run --all-files --show-diff-on-failure --color=never

format: ## apply ruff's fixes and its formatter
	$(SETUP) check
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

openapi: ## write the OpenAPI document from the code
	$(SETUP)
	@$(BIN)/python -m service.api.openapi

recipes: ## write the documentation of the recipes from the code
	$(SETUP) training
	@$(BIN)/python -m training.sft.recipe_docs

reference: ## write docs/reference from the code
	$(SETUP) training
	@$(BIN)/python -m scripts.reference

docs: ## build the documentation's site in build/site; a warning is an error
	$(SETUP) docs
	@$(BIN)/sphinx-build -W --keep-going -n -q -b html -c docs . build/site $(ARGS)
	@echo "Open build/site/docs/index.html in a browser."

audit: ## look for known vulnerabilities of the locked packages; needs a network
	$(SETUP) release
	@for lock in cpu gpu; do \
		$(BIN)/pip-audit --no-deps --disable-pip -r requirements/$$lock.txt $(ARGS) || exit; \
	done

licences: ## list the licences of the installed packages
	$(SETUP) release
	@$(BIN)/pip-licenses $(ARGS)

lock: ## resolve uv.lock and requirements/ again; ARGS=--upgrade takes the newest of everything
	$(SETUP) check
	@$(BIN)/python -m scripts.lock $(ARGS)

train-embedded: ## train the embedded model from DATA=folder of the IMHI files; resumes where it stopped
	$(SETUP) training
	@$(BIN)/python scripts/train_embedded.py $(if $(DATA),--data "$(DATA)") $(ARGS)

clean: ## remove the environment, caches and build leftovers
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
