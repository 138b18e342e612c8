# Everything runs in .venv, made here; nothing else on the machine is touched.
PYTHON ?= python3
SEED ?= 0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo ablation bench test test-unit check docs clean
help:
	@echo "make demo       set up, teach a small reasoner, train it with S-GRPO on the CPU, show the result (SEED=0)"
	@echo "make ablation   the paper's ablation in miniature on the CPU: two tasks, four rows, three seeds; about two and a half hours"
	@echo "make bench      what S-GRPO costs beside GRPO on the CPU, and what the packed layout saves"
	@echo "make test       set up, then lint, types and all tests"
	@echo "make test-unit  the tests that start no verl process"
	@echo "make check      lint, format and types"
	@echo "make docs       API documentation into outputs/api"
	@echo "make clean      remove .venv and outputs"

setup: $(READY)

$(READY): requirements/cpu.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo "make needs Python 3.11 or 3.12 for its pinned CPU set; name one with PYTHON=…"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/cpu.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -W ignore -c 'import torch, sys; sys.exit(torch.version.cuda is not None)' \
		|| { echo "torch is not its CPU build: set PIP_EXTRA_INDEX_URL to PyTorch's CPU index (pytorch.org, Start Locally), then make again"; exit 1; }
	@touch $@

demo: $(READY)
	$(BIN)/python -m sgrpo_verl.toy.demo --out outputs/demo-seed$(SEED) --seed $(SEED)

ablation: $(READY)
	$(BIN)/python -m recipes.ablation.run --out outputs/ablation

bench: $(READY)
	$(BIN)/python -m recipes.bench.run --out outputs/bench

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-unit: $(READY)
	$(BIN)/python -m pytest tests/unit

test: check
	$(BIN)/python -m pytest

docs: $(READY)
	$(BIN)/python -W error::UserWarning:pdoc -m pdoc --output-directory outputs/api sgrpo_verl

clean:
	rm -rf $(VENV) outputs
