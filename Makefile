# Everything runs in .venv, made here; nothing else on the machine is touched. It is made with the first of python3.12,
# python3.11 and python3 that fits, or with PYTHON=…
SEED ?= 0
TEST_PROCESSES ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

PINNED := .venv-pinned

.PHONY: help setup demo ablation language bench selftest test test-unit test-pinned check docs release-check clean
help:
	@echo "make demo       set up, teach a small reasoner, train it with S-GRPO on the CPU, show the result (SEED=0)"
	@echo "make ablation   the paper's ablation in miniature on the CPU: two tasks, four rows, three seeds; about two and a half hours"
	@echo "make language   S-GRPO on a pretrained language model of 135 million parameters, on the CPU (see recipes/language)"
	@echo "make bench      what S-GRPO costs beside GRPO on the CPU, and what the packed layout saves"
	@echo "make selftest   sgrpo selftest in its CPU size: attention, an update, training with vLLM; four minutes"
	@echo "make test       set up, then lint, types and all tests, in two processes that take up to 14 GiB (TEST_PROCESSES=1: 8 GiB)"
	@echo "make test-unit  the tests that start no verl process"
	@echo "make test-pinned  what verl pins for GPUs, on the CPU: unit, packed, plugin and recipe tests, and the selftest"
	@echo "make check      lint, format and types"
	@echo "make docs       the documentation as a site, into outputs/site"
	@echo "make release-check  sdist and wheel, checked, and proved in an environment of their own"
	@echo "make clean      remove .venv and outputs"

setup: $(READY)

$(READY): requirements/cpu.txt requirements/install.sh pyproject.toml
	@python=$$(sh requirements/check_machine.sh) && sh requirements/install.sh "$$python" $(VENV)
	@touch $@

demo: $(READY)
	$(BIN)/python -m sgrpo_verl.toy.demo --out outputs/demo-seed$(SEED) --seed $(SEED)

ablation: $(READY)
	$(BIN)/python -m recipes.ablation.run --out outputs/ablation

language: $(READY)
	$(BIN)/python -m pip install --quiet --no-deps -r recipes/language/requirements.txt
	$(BIN)/python -m recipes.language.run --out outputs/language

bench: $(READY)
	$(BIN)/python -m recipes.bench.run --out outputs/bench

selftest: $(READY)
	$(BIN)/sgrpo selftest --out outputs/selftest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-unit: $(READY)
	$(BIN)/python -m pytest tests/unit

# Two files of tests at a time, the longest first: most of the time goes into starting main_ppo, which leaves a core idle.
# One OpenMP thread for each: with more threads than cores, they wait for each other.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-pinned: $(PINNED)/.ready
	VERL_PLATFORM=cpu $(PINNED)/bin/python -m pytest tests/unit tests/integration/test_packed.py tests/integration/test_recipes.py
	$(PINNED)/bin/python -m pytest tests/integration/test_plugin.py
	VERL_PLATFORM=cpu $(PINNED)/bin/sgrpo selftest --out outputs/selftest-pinned

$(PINNED)/.ready: requirements/cpu.txt requirements/pinned.txt requirements/install.sh pyproject.toml
	@python=$$(sh requirements/check_machine.sh) && TORCH_PLAIN=1 sh requirements/install.sh "$$python" $(PINNED) requirements/pinned.txt
	@touch $@

docs: $(READY)
	$(BIN)/python -m mkdocs build --strict

# What the release workflow does but publishing: sdist and wheel, twine's check, and the wheel outside the checkout.
release-check: $(READY)
	@.ci/release-check $(BIN)/python

clean:
	rm -rf $(VENV) $(PINNED) outputs
