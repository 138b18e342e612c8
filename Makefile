# Everything runs in .venv, made here; nothing else on the machine is touched. It is made with the first of python3.12,
# python3.11 and python3 that fits, or with PYTHON=…
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

$(READY): requirements/cpu.txt requirements/install.sh pyproject.toml
	@python=$$(sh requirements/check_machine.sh) && sh requirements/install.sh "$$python" $(VENV)
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
