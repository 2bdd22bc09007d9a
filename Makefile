# Everything runs from .venv and build/, both made here; nothing is installed elsewhere.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(shell command -v $(name) >/dev/null 2>&1 && $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
VENV := .venv
BIN := $(VENV)/bin
CODE := server clients proto tests helm
PACKAGES := proto/pyproject.toml clients/python/pyproject.toml pyproject.toml
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One thread for whatever brings OpenMP: two of them on a busy core are 20 times slower.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test check unit parity faults bench scaling image-proof training proto bundles format lint clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

# What a machine must have, said in one sentence where it has not.
$(VENV)/created:
	@test -n "$(PYTHON)" || { echo "khulasa needs Python 3.11 or newer, and none was found on PATH" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "khulasa needs Python's venv module (on Debian: apt install python3-venv)" >&2; exit 1; }
	@test "$$(uname -s)-$$(uname -m)" = Linux-x86_64 || echo "khulasa is tested on Linux x86-64; this is $$(uname -s) $$(uname -m)" >&2
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/created $(PACKAGES)
	@echo "installing khulasa into $(VENV) …"
	@$(PIP) install --editable ./proto --editable './clients/python[cli]' --editable . || { echo "the packages could not be installed: is the package index reachable?" >&2; exit 1; }
	@touch $@

$(VENV)/developed: $(VENV)/installed
	@echo "installing the development tools into $(VENV) …"
	@$(PIP) install --editable ./proto --editable './clients/python[cli]' --editable '.[dev]' || { echo "the packages could not be installed: is the package index reachable?" >&2; exit 1; }
	@touch $@

demo: $(VENV)/installed ## Summarize and translate a news article with the embedded models
	@$(BIN)/python tests/e2e/demo.py

test: check unit ## Everything that must pass: format, lint, types, contracts, tests

check: $(VENV)/developed
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python proto/contract.py lint breaking check
	@$(BIN)/hadolint --failure-threshold style Dockerfile

unit: $(VENV)/developed
	@$(BIN)/python tests/tools/install_prometheus.py
	@$(BIN)/python -m tests.tools.install_helm
	@$(BIN)/python -m tests.tools.install_chromium
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

PARITY := build/parity
$(PARITY)/installed: pyproject.toml proto/pyproject.toml
	@test -n "$(PYTHON)" || { echo "khulasa needs Python 3.11 or newer" >&2; exit 1; }
	@echo "installing the reference (torch, transformers) into $(PARITY) …"
	@$(PYTHON) -m venv $(PARITY)
	@$(PARITY)/bin/python -m pip --disable-pip-version-check --quiet install --editable ./proto --editable '.[convert,transformers,training,parity]'
	@touch $@

bench: $(VENV)/developed $(PARITY)/installed ## Measure speed and memory as ratios; results in build/bench
	@$(BIN)/python -m tests.load.bench $(BENCH_FLAGS)

faults: $(VENV)/developed ## Break things under load: replicas, engines, callers
	@$(BIN)/python -m pytest tests/faults tests/integration/test_engine_faults.py --numprocesses 0 --timeout 300

fidelity: $(VENV)/developed ## Measure false alarms and detection of every check (KHULASA_DEV_DATA: on the whole sets)
	@$(BIN)/python -m tests.fidelity

scaling: $(PARITY)/installed ## Simulate how the service scales, after make bench
	@$(PARITY)/bin/python -m pip --disable-pip-version-check --quiet install --editable '.[bench]'
	@$(PARITY)/bin/python -m tests.load.simulate

MUTATION := build/mutation
$(MUTATION)/installed: $(PACKAGES)
	@test -n "$(PYTHON)" || { echo "khulasa needs Python 3.11 or newer" >&2; exit 1; }
	@echo "installing what mutates into $(MUTATION) …"
	@$(PYTHON) -m venv $(MUTATION)
	@$(MUTATION)/bin/python -m pip --disable-pip-version-check --quiet install --editable ./proto --editable './clients/python[cli]' --editable '.[dev,mutation]'
	@touch $@

MINUTES ?= 60
mutation: $(MUTATION)/installed ## Count how many small changes of the scheduler its tests notice; goes on where it stopped
	@$(MUTATION)/bin/python tests/tools/mutation.py --minutes $(MINUTES) $(MUTATION_FLAGS)

picture: $(VENV)/developed ## Draw the README's picture of a report with the embedded models
	@$(BIN)/python -m tests.tools.install_chromium
	@$(BIN)/python -m tests.e2e.picture

parity: $(PARITY)/installed ## Compare with transformers as the reference (installs torch)
	@$(PARITY)/bin/python -m pytest tests/parity --numprocesses 0

image-proof: $(VENV)/developed ## Run the Dockerfile's steps in chroots and serve from them (needs root)
	@$(PIP) install --editable '.[image]'
	@timeout 3600 $(BIN)/python -m tests.image.prove $(IMAGE_FLAGS)

TRAINING := build/training
$(TRAINING)/installed: pyproject.toml proto/pyproject.toml
	@test -n "$(PYTHON)" || { echo "khulasa needs Python 3.11 or newer" >&2; exit 1; }
	@echo "installing what training needs (torch, transformers) into $(TRAINING) …"
	@$(PYTHON) -m venv $(TRAINING)
	@$(TRAINING)/bin/python -m pip --disable-pip-version-check --quiet install --editable ./proto --editable '.[training]'
	@touch $@

training: $(TRAINING)/installed ## Train an embedded model: make training TRAIN="translator --help"
	@$(TRAINING)/bin/python -m training $(TRAIN)

proto: $(VENV)/developed ## Generate the code from proto/khulasa/v1
	@$(BIN)/python proto/contract.py lint generate

FROM ?= checkpoints
DEMO := server/khulasa_server/bundles/demo
DEMO_MODELS := demo-marian-ar-en demo-mt5-ar-summary
# The command that builds the real model in place of each.
REAL_demo-marian-ar-en := opus-mt-ar-en
REAL_demo-mt5-ar-summary := xlsum --keep-languages ar,en

bundles: $(VENV)/developed ## Rebuild the embedded bundles from checkpoints: make bundles FROM=DIR
	@test -d "$(FROM)" || { echo "FROM=$(FROM) is no directory; name the one that holds $(DEMO_MODELS)" >&2; exit 1; }
	@rm -rf build/bundles && mkdir -p build/bundles
	@for name in $(DEMO_MODELS); do test ! -d "$(FROM)/$$name" || $(MAKE) --no-print-directory build/bundles/$$name; done

build/bundles/%:
	@$(BIN)/khulasa-server models build $(FROM)/$* --output $@ --license CC-BY-SA-4.0 --languages ar \
	  --demonstration --production-build 'khulasa-server models build $(REAL_$*) --output DIR'
	@rm -rf $(DEMO)/$* && cp -r $@ $(DEMO)/$*

format: $(VENV)/developed ## Format the code
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

lint: check ## Format, lint, types, import contracts, proto: without running tests

clean: ## Remove everything that was made here
	rm -rf $(VENV) build
