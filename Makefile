# Everything runs in .venv, made here; nothing else on the machine is touched. It is made with the first of python3.12,
# python3.11 and python3 that fits, or with PYTHON=…
SEED ?= 0
TEST_PROCESSES ?= 2
MODEL ?= Qwen/Qwen2.5-0.5B-Instruct
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOOLS_READY := $(VENV)/.ready-tools

PINNED := .venv-pinned

.PHONY: help setup setup-tools demo ablation language instruct bench selftest test test-unit test-modes test-pinned check docs release-check clean
help:
	@echo "Times are those of 2 cores; a fresh checkout adds about three minutes of setting up, a slow network more."
	@echo "make demo       teach a small reasoner, train it with S-GRPO on the CPU, show the result (SEED=0); 10 to 25 minutes"
	@echo "make ablation   the paper's ablation in miniature on the CPU: two tasks, four rows, three seeds; about two and a half hours"
	@echo "make language   S-GRPO on a pretrained language model of 135 million parameters, on the CPU; 60 to 90 minutes, 16 GiB of memory (see recipes/language)"
	@echo "make instruct   S-GRPO on an instruct model as it is, GSM8K; some four hours and 24 GiB of memory on the CPU (MODEL=Qwen/Qwen2.5-0.5B-Instruct: hub id or folder; ARGS=…: further options)"
	@echo "make bench      what S-GRPO costs beside GRPO on the CPU, and what the packed layout saves; within an hour"
	@echo "make selftest   sgrpo selftest in its CPU size: attention, an update, training with vLLM; six minutes"
	@echo "make test       lint, types and the tests, in two processes that take up to 14 GiB (TEST_PROCESSES=1: 8 GiB); about 25 minutes"
	@echo "make test-unit  the tests that start no verl process; a few minutes"
	@echo "make test-modes  verl's separate_async trainer and two Ray nodes, on the CPU; 10 to 20 minutes"
	@echo "make test-pinned  what verl pins for GPUs, on the CPU: unit, packed, plugin and recipe tests, and the selftest; its first set-up downloads 5 GB"
	@echo "make check      lint, format and types; half a minute"
	@echo "make docs       the documentation as a site, into outputs/site; half a minute"
	@echo "make release-check  sdist and wheel, checked, and the wheel proved in an environment of its own, 2 GB of downloads; some minutes"
	@echo "make setup      what demo, ablation, language, instruct, bench and selftest run with, into .venv; they set it up themselves"
	@echo "make setup-tools  what test, check and docs need beside it, into the same .venv; they add it themselves"
	@echo "make clean      remove .venv, .venv-pinned and outputs, with the models in it"

setup: $(READY)

$(READY): requirements/cpu.txt requirements/install.sh requirements/install_torch.sh requirements/pip_install.sh pyproject.toml
	@python=$$(sh requirements/check_machine.sh) && sh requirements/install.sh "$$python" $(VENV) requirements/cpu.txt
	@touch $@

setup-tools: $(TOOLS_READY)

$(TOOLS_READY): $(READY) requirements/dev.txt
	@echo "adding what test, check and docs need: $$(grep -c == requirements/dev.txt) pinned packages"
	@sh requirements/pip_install.sh $(BIN)/python -r requirements/dev.txt
	@touch $@

demo: $(READY)
	$(BIN)/python -m sgrpo_verl.toy.demo --out outputs/demo-seed$(SEED) --seed $(SEED)

ablation: $(READY)
	$(BIN)/python -m recipes.ablation.run --out outputs/ablation

language: $(READY)
	@sh requirements/pip_install.sh $(BIN)/python -r recipes/language/requirements.txt
	$(BIN)/python -m recipes.language.run --out outputs/language

instruct: $(READY)
	$(BIN)/python -m recipes.instruct.run --out outputs/instruct --model $(MODEL) $(ARGS)

bench: $(READY)
	$(BIN)/python -m recipes.bench.run --out outputs/bench

selftest: $(READY)
	$(BIN)/sgrpo selftest --out outputs/selftest

check: $(TOOLS_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-unit: $(TOOLS_READY)
	$(BIN)/python -m pytest tests/unit

# Two files of tests at a time, the longest first: most of the time goes into starting main_ppo, which leaves a core idle.
# One OpenMP thread for each: with more threads than cores, they wait for each other.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

# What users with many GPUs run, on logical devices: verl's trainer with actor and engine apart, and two Ray nodes.
test-modes: $(TOOLS_READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/modes

test-pinned: $(PINNED)/.ready
	VERL_PLATFORM=cpu $(PINNED)/bin/python -m pytest tests/unit tests/integration/test_packed.py tests/integration/test_recipes.py
	VERL_PLATFORM=cpu $(PINNED)/bin/python -m pytest tests/integration/test_selftest.py -k every_fault
	$(PINNED)/bin/python -m pytest tests/integration/test_plugin.py
	VERL_PLATFORM=cpu $(PINNED)/bin/sgrpo selftest --out outputs/selftest-pinned

$(PINNED)/.ready: requirements/pinned.txt requirements/cpu.txt requirements/dev.txt requirements/install.sh pyproject.toml
	@python=$$(sh requirements/check_machine.sh) && TORCH_PLAIN=1 sh requirements/install.sh "$$python" $(PINNED) $(filter %.txt,$^)
	@touch $@

docs: $(TOOLS_READY)
	$(BIN)/python -m mkdocs build --strict

# What the release workflow does but publishing: sdist and wheel, twine's check, and the wheel outside the checkout.
release-check:
	@python=$$(sh requirements/check_machine.sh) && .ci/release-check "$$python"

clean:
	rm -rf $(VENV) $(PINNED) outputs
