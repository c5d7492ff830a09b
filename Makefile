# One command sets up and runs: `make train`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BUILDER ?= docker
VERSION = $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' common/version.py)
IMAGE ?= crossmesh:$(VERSION)
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/python -m pytest --dist=loadfile  # the tests of a file share what they set up
MAKEFLAGS += --no-print-directory

.DELETE_ON_ERROR:
.PHONY: help train test quick search check docs dist bench validate torch image clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(firstword $(MAKEFILE_LIST))

train: $(VENV)/.ready  ## train a small network on handwritten digits
	$(BIN)/crossmesh train digits

test: $(VENV)/.ready-dev  ## run all tests, those on Ray or on real parts after the others
	$(PYTEST) -n 3 --no-loadscope-reorder

quick: $(VENV)/.ready-dev  ## run the tests that need neither Ray nor minutes
	$(PYTEST) -n 3 -m "not (slow or ray or cluster)"

search: $(VENV)/.ready-dev  ## look for counterexamples to the property tests, at random
	$(PYTEST) -n 3 -m "not (slow or ray or cluster)" --hypothesis-profile=search

check: $(VENV)/.ready-dev  ## check form, types and spelling
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/codespell

docs: $(VENV)/.ready-dev  ## build the documentation site into build/site, without network; a broken link fails
	$(BIN)/python -m sphinx -q -W --keep-going -d build/doctrees docs build/site

dist: $(VENV)/.ready-dev  ## build wheel and source archive into dist/, and try each in fresh environments
	$(BIN)/python -m benchmarks.packages dist

bench: $(VENV)/.ready  ## measure how fast the emulation is: make bench [DATA=folder-with-mnist]
	$(BIN)/python -m benchmarks $(if $(DATA),--data-dir "$(DATA)")

validate: $(VENV)/.ready  ## regenerate docs/validation: make validate DATA=folder-with-mnist
	$(BIN)/python -m benchmarks.accuracy --data-dir "$(DATA)"
	$(BIN)/python -m benchmarks.networks --data-dir "$(DATA)"

torch: $(VENV)/.ready-torch  ## add PyTorch, to bring its networks along and for the tests that compare with it

image:  ## build the container image for clusters: make image [BUILDER=podman] [IMAGE=registry/name:tag]
	$(BUILDER) build --tag $(IMAGE) --build-arg VERSION=$(VERSION) .

clean:  ## remove the set-up and all caches; runs/ stays
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find cluster emulator tiles interconnect common benchmarks tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.ready: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing crossmesh into $(VENV) ..."
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@echo "Installing the tools for tests and checks ..."
	@$(INSTALL) -e '.[dev,docs]'
	@touch $@

$(VENV)/.ready-torch: $(VENV)/.ready-dev
	@echo "Installing PyTorch ..."
	@$(INSTALL) -e '.[dev,docs,torch]'
	@touch $@

# A venv that could not be finished is removed, so that the next call does not take it for a good one.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "crossmesh needs Python 3.11 or newer, got" \
	    "$$($(PYTHON) --version 2>/dev/null || echo 'no $(PYTHON)'); try: make PYTHON=python3.11" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
