# Every command makes the environment in .venv first, which costs nothing once it is there.

PYTHON ?= python3
BUILD ?= $(or $(MENTALLLAMA_BUILD),auto)
MODEL ?=
ARGS ?=
DATA ?=

BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup serve test bench bench-quick overload soak check format openapi recipes reference docs lock train-embedded clean

help: ## list the commands
	@echo "make COMMAND [BUILD=auto|cpu|gpu] [PYTHON=python3.12] [ARGS='options of the command']"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make or update the environment in .venv; ARGS=--dry-run only says how
	@$(PYTHON) scripts/install.py --build $(BUILD) $(if $(filter setup,$(MAKECMDGOALS)),$(ARGS))

serve: setup ## start the service; MODEL=a directory or id, ARGS='any vLLM option'
	@$(BIN)/mentalllama serve $(MODEL) $(ARGS)

test: setup ## run the tests; ARGS='-k name' or any other option of pytest
	@$(BIN)/python scripts/debian_packages.py
	@$(BIN)/pytest $(ARGS)

bench: setup ## measure the service beside its rivals, an hour or more; ARGS='--only labels'
	@$(BIN)/python -m loadtests.suite $(ARGS)

bench-quick: setup ## the same in about ten minutes
	@$(BIN)/python -m loadtests.suite --quick $(ARGS)

overload: setup ## send four times what the service can do for five minutes; ARGS='--minutes 1'
	@$(BIN)/python -m loadtests.endurance overload $(ARGS)

soak: setup ## keep the service busy for ten minutes; ARGS='--minutes 60'
	@$(BIN)/python -m loadtests.endurance soak $(ARGS)

check: setup ## run what needs no engine: ruff, mypy, typos, the import guard, the OpenAPI document
	@$(BIN)/pre-commit run --all-files --show-diff-on-failure --color=never

format: setup ## put the code into shape: ruff's fixes and its formatter
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

openapi: setup ## write the OpenAPI document from the code
	@$(BIN)/python -m service.api.openapi

recipes: setup ## write the documentation of the recipes from the code
	@$(BIN)/python -m training.sft.recipe_docs

reference: setup ## write docs/reference from the code
	@$(BIN)/python -m scripts.reference

docs: setup ## build the site of the documentation in build/site; a warning is an error
	@$(BIN)/python -m scripts.site $(ARGS)

lock: setup ## resolve requirements/*.txt anew; ARGS=--upgrade takes the newest of everything
	@$(BIN)/python scripts/lock.py $(ARGS)

train-embedded: setup ## train the embedded model from DATA=folder of the IMHI files; goes on where it was stopped
	@$(BIN)/python scripts/train_embedded.py $(if $(DATA),--data "$(DATA)") $(ARGS)

clean: ## remove the environment, caches and build leftovers
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
