"""``sgrpo eval`` on real vLLM: the five methods, DEER against a plain unbatched reference, stop and go on."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval import methods
from sgrpo_verl.eval.adapter import merge_adapter
from sgrpo_verl.eval.checkpoint import needs_float32, resolve_model
from sgrpo_verl.eval.deer import Deer, deer
from sgrpo_verl.eval.engine import Engine, EngineOptions
from sgrpo_verl.eval.problems import encode_prompt, read_benchmarks
from sgrpo_verl.eval.response import Reasoner
from sgrpo_verl.files import read_lines
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END
from sgrpo_verl.workbench import processes
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.model import write_random_model
from sgrpo_verl.workbench.tasks import TASKS

MAX_TOKENS, ANSWER_TOKENS = 192, 16
IN_ONE_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}  # vLLM's engine starts sooner there
DEER = Deer(threshold=1.0, inducer=EXIT_PROMPT + "Answer: \\boxed{", closing=EXIT_PROMPT, trial_tokens=8)


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, TASKS["sums"], train=8, validation=8, test=32)
    return read_benchmarks(folder, ("test",))["test"]


@pytest.fixture(scope="module")
def engine(reasoner):
    engine = Engine(str(reasoner), EngineOptions(max_model_len=512, dtype="float32"), temperature=0.0, top_p=1.0)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def model(engine):
    ending = frozenset([engine.tokenizer.eos_token_id])
    return Reasoner(engine.tokenizer, "<think>", THINK_END, EXIT_PROMPT, MAX_TOKENS, ANSWER_TOKENS, ending)


@pytest.fixture(scope="module")
def run(engine, model, problems):
    """``run(method, …)``: the completions of every problem, in their order."""
    prompts = [encode_prompt(engine.tokenizer, problem.messages) for problem in problems]

    def run_method(method, *arguments, per_problem=None):
        jobs = (
            (index, index, method(model, prompt, *(arguments or ((per_problem[index],) if per_problem else ()))))
            for index, prompt in enumerate(prompts)
        )
        ended = dict(engine.run(jobs))
        return [ended[index] for index in range(len(prompts))]

    run_method.prompts = prompts
    return run_method


@pytest.fixture(scope="module")
def vanilla(run):
    return [completion for [completion] in run(methods.vanilla)]


def test_a_budget_is_a_beginning_of_the_models_own_thought(run, vanilla):
    caps = (1, 10, 30, MAX_TOKENS)
    for own, capped in zip(vanilla, run(methods.budget, caps), strict=True):
        for cap, completion in zip(caps, capped, strict=True):
            assert completion.thought_tokens == min(cap, own.thought_tokens)
            assert own.thought.startswith(completion.thought.rstrip("�"))
            assert completion.exited == (own.thought_tokens > cap or not own.closed)
            assert completion.answer_tokens <= ANSWER_TOKENS


def test_cut_like_itself_is_itself(run, vanilla):
    lengths = [own.thought_tokens for own in vanilla]
    again = [completion for [completion] in run(methods.truncate_like, per_problem=lengths)]
    same = [
        (one.thought, one.answer) == (own.thought, own.answer)
        for one, own in zip(again, vanilla, strict=True)
        if own.closed and not own.cut and own.answer_tokens <= ANSWER_TOKENS  # a limit cuts the two at different places
    ]
    assert len(same) > 20
    assert all(same)
    shorter = [max(1, length // 2) for length in lengths]
    for length, [completion] in zip(shorter, run(methods.truncate_like, per_problem=shorter), strict=True):
        assert (completion.thought_tokens, completion.exited) == (length, True)


def test_no_think_answers_at_once(run):
    for [completion] in run(methods.no_think):
        assert completion.thought_tokens == 0
        assert 0 < completion.answer_tokens <= ANSWER_TOKENS


def greedy(model, tokenizer, ids, max_tokens, stops=()):
    """Token by token, without a cache: new ids, the log-prob of each, the stop text that ended them."""
    new, log_probs = [], []
    while len(new) < max_tokens:
        with torch.no_grad():
            logits = model(torch.tensor([ids + new])).logits[0, -1]
        log_probs.append(float(logits.log_softmax(-1).max()))
        new.append(int(logits.argmax()))
        if new[-1] == tokenizer.eos_token_id:
            return new, log_probs, None
        for stop in stops:
            if stop in tokenizer.decode(new):
                return new, log_probs, stop
    return new, log_probs, None


def reference_deer(model, tokenizer, prompt, threshold):
    """DEER as its paper tells it, one problem at a time; returns thought, answer, confidences."""
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False)  # noqa: E731
    thought, confidences = [], []
    while len(thought) < MAX_TOKENS:
        left = MAX_TOKENS - len(thought)
        new, _, stop = greedy(model, tokenizer, prompt + thought, left, (*DEER.words, THINK_END))
        thought += new
        if stop == THINK_END:
            answer, _, _ = greedy(model, tokenizer, prompt + thought, MAX_TOKENS - len(thought))
            return tokenizer.decode(thought[:-1]), tokenizer.decode(answer, skip_special_tokens=True), confidences
        if stop is None or len(thought) == MAX_TOKENS:
            break
        before = thought[:-1]  # the toy tokenizer has "Wait" as one token
        assert tokenizer.decode(thought[-1:]) == "Wait"
        trial, log_probs, _ = greedy(model, tokenizer, prompt + before + encode(DEER.inducer), DEER.trial_tokens)
        text = tokenizer.decode(trial)
        digits = len(encode(text[: text.index("}")])) if "}" in text else 0
        confidences.append(math.exp(sum(log_probs[:digits]) / digits) if digits else 0.0)
        if confidences[-1] > threshold:
            closed = prompt + before + encode(DEER.closing)
            answer, _, _ = greedy(model, tokenizer, closed, ANSWER_TOKENS)
            return tokenizer.decode(before), tokenizer.decode(answer, skip_special_tokens=True), confidences
    return None, None, confidences


def test_batched_deer_agrees_with_an_unbatched_reference_problem_by_problem(run, reasoner, problems):
    tokenizer = AutoTokenizer.from_pretrained(reasoner)
    model = AutoModelForCausalLM.from_pretrained(reasoner, dtype=torch.float32)
    first = sorted(completion.confidences[0] for [completion] in run(deer, DEER) if completion.confidences)
    threshold = sum(first[len(first) // 2 - 1 :][:2]) / 2  # about half of the problems exit at their first transition
    ended = run(deer, replace(DEER, threshold=threshold))
    at_once = 0
    for prompt, [completion] in zip(run.prompts, ended, strict=True):
        thought, answer, confidences = reference_deer(model, tokenizer, prompt, threshold)
        assert completion.confidences == pytest.approx(confidences, abs=1e-3)
        at_once += completion.exited and len(confidences) == 1
        if thought is not None:
            assert (completion.thought, completion.answer) == (thought, answer)
        else:
            assert completion.cut or not completion.closed
    assert len(first) // 4 < at_once < len(first), "the threshold decides nothing here"  # the others went on


def test_a_sample_depends_on_its_own_seed_only(reasoner, engine, model, run):
    warm = replace(model, max_tokens=40)
    engine._temperature = 1.0
    try:
        together, other = (
            dict(
                engine.run(
                    [(index, first + index, methods.vanilla(warm, prompt)) for index, prompt in enumerate(run.prompts)]
                )
            )
            for first in (0, 100)
        )
        alone = dict(engine.run([(5, 5, methods.vanilla(warm, run.prompts[5]))]))
    finally:
        engine._temperature = 0.0
    assert alone[5] == together[5]
    assert together != other


def test_a_killed_run_goes_on_where_it_was(reasoner, tmp_path):
    """Killed in the middle of a benchmark; the second start keeps what there is and does the rest."""
    data = tmp_path / "data"
    write_data(data, TASKS["sums"], train=8, validation=8, test=160)
    out = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "sgrpo_verl.cli", "eval", "--model", str(reasoner), "--data", str(data)),
        *("--benchmarks", "test", "--out", str(out), "--samples", "2", "--temperature", "1", "--top-p", "1"),
        *("--max-tokens", str(MAX_TOKENS), "--answer-tokens", "16", "--dtype", "float32"),
    ]
    environment = {"VLLM_LOGGING_LEVEL": "ERROR"}
    file = out / "completions.jsonl"
    with processes.running([*command, "--max-num-seqs", "1"], environment) as process:
        deadline = time.monotonic() + 240
        while len(list(read_lines(file))) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
        process.wait()
    kept = list(read_lines(file))
    assert 3 <= len(kept) < 320
    assert not (out / "summary.json").exists()
    processes.run(command, tmp_path / "log", **IN_ONE_PROCESS)
    lines = list(read_lines(file))
    assert lines[: len(kept)] == kept
    assert sorted((line["index"], line["sample"]) for line in lines) == [(i, s) for i in range(160) for s in range(2)]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["rows"][0]["benchmarks"]["test"]["samples"] == 2
    ended = os.stat(file).st_mtime_ns
    processes.run(command)  # nothing left to do: no model is loaded
    assert os.stat(file).st_mtime_ns == ended
    assert len(pd.read_parquet(data / "test.parquet")) == 160


def test_seeded_samples_whose_prompts_do_not_fit_one_step(reasoner, tmp_path):
    """vLLM on the CPU ends where it splits a prompt that has a seed of its own; 4,096 tokens are one step there."""
    data, out = tmp_path / "data", tmp_path / "run"
    write_data(data, TASKS["sums"], train=8, validation=8, test=48)
    command = [
        *(sys.executable, "-m", "sgrpo_verl.cli", "eval", "--model", str(reasoner), "--data", str(data)),
        *("--benchmarks", "test", "--out", str(out), "--samples", "6", "--temperature", "1", "--dtype", "float32"),
        *("--max-tokens", "8", "--answer-tokens", "8"),
    ]
    processes.run(command, tmp_path / "log", **IN_ONE_PROCESS)  # so that all requests are there at the first step
    assert len((out / "completions.jsonl").read_text().splitlines()) == 48 * 6


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model with an adapter that changes it, and its folder as verl's merger writes it."""
    folder = write_random_model(tmp_path_factory.mktemp("lora") / "model")
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = peft.get_peft_model(base, peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    model.save_pretrained(folder / "lora_adapter")
    return model, folder


class TestALoraAdapter:
    """What verl's merger makes of a LoRA checkpoint: the base's weights, with the adapter in a folder beside them."""

    @staticmethod
    def logits(model):
        with torch.no_grad():
            return model(torch.arange(1, 30).unsqueeze(0)).logits

    def test_it_is_merged(self, trained, tmp_path):
        model, folder = trained
        merged = resolve_model(str(folder), tmp_path / "merged")
        assert merged == str(tmp_path / "merged")
        evaluated, base = (AutoModelForCausalLM.from_pretrained(one, dtype=torch.float32) for one in (merged, folder))
        torch.testing.assert_close(self.logits(evaluated), self.logits(model), atol=1e-4, rtol=0)
        assert (self.logits(base) - self.logits(model)).abs().max() > 0.1
        assert AutoTokenizer.from_pretrained(merged).chat_template
        assert json.loads((tmp_path / "merged" / "merged_from.json").read_text()) == {
            "model": str(folder),
            "lora": {"r": 4, "lora_alpha": 8},
        }
        assert resolve_model(str(folder), tmp_path / "merged") == merged
        assert [one.name for one in tmp_path.iterdir()] == ["merged"]

    @pytest.mark.parametrize(("size", "dtype"), [(1, "bfloat16"), (1e-3, "float32")])
    def test_one_that_16_bits_would_round_away_is_kept_in_float32(self, trained, tmp_path, size, dtype):
        _, folder = trained
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        base.save_pretrained(tmp_path / "base")
        adapter = shutil.copytree(folder / "lora_adapter", tmp_path / "base" / "lora_adapter")
        weights = load_file(adapter / "adapter_model.safetensors")
        weights = {name: value * (size if "lora_B" in name else 1) for name, value in weights.items()}
        save_file(weights, adapter / "adapter_model.safetensors")
        merge_adapter(tmp_path / "base", adapter, tmp_path / "merged")
        assert json.loads((tmp_path / "merged" / "config.json").read_text())["dtype"] == dtype
        (tmp_path / "merged" / "merged_from.json").write_text('{"lora": {"r": 4}}')
        assert needs_float32(str(tmp_path / "merged")) == (dtype == "float32")
        assert not needs_float32(str(tmp_path / "base"))

    def test_one_that_is_switched_off_is_refused(self, trained, tmp_path):
        """verl's merger writes lora_alpha=0 where it does not know."""
        _, folder = trained
        off = shutil.copytree(folder, tmp_path / "off")
        config = json.loads((off / "lora_adapter" / "adapter_config.json").read_text())
        (off / "lora_adapter" / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 0}))
        with pytest.raises(ValueError, match=r"has lora_alpha=0, which switches it off"):
            merge_adapter(off, off / "lora_adapter", tmp_path / "merged")
        (off / "lora_adapter" / "adapter_config.json").unlink()
        with pytest.raises(UserError, match=r"lora_adapter has no adapter_config\.json"):
            resolve_model(str(off), tmp_path / "merged")

    def test_one_that_does_not_fit_is_refused(self, trained, tmp_path):
        _, folder = trained
        other = shutil.copytree(folder, tmp_path / "other")
        weights = load_file(other / "lora_adapter" / "adapter_model.safetensors")
        weights["base_model.model.model.layers.99.mlp.up_proj.lora_A.weight"] = torch.zeros(4, 4)
        save_file(weights, other / "lora_adapter" / "adapter_model.safetensors")
        with pytest.raises(ValueError, match=r"1 weights of .* have no place in .*layers\.99"):
            merge_adapter(other, other / "lora_adapter", tmp_path / "merged")

    def test_weights_that_were_saved_unmerged_are_refused(self, trained, tmp_path):
        """As verl's ``hf_model`` saves them; its shards are merged instead where there are some."""
        model, folder = trained
        actor = tmp_path / "global_step_1" / "actor"
        saved = shutil.copytree(folder, actor / "huggingface", ignore=shutil.ignore_patterns("lora_adapter"))
        save_file(
            {name: value.contiguous().clone() for name, value in model.state_dict().items()},
            saved / "model.safetensors",
        )
        (actor / "lora_train_meta.json").write_text("{}")
        with pytest.raises(UserError, match="holds a LoRA model whose adapter was not merged"):
            resolve_model(str(actor.parent), tmp_path / "merged")

    def test_what_an_older_version_merged_is_not_taken(self, trained, tmp_path):
        with pytest.raises(UserError, match="left the LoRA adapter out"):
            resolve_model(str(tmp_path), trained[1])


class TestAnEngineThatCannotRun:
    """The command ends with the cause in one sentence, and says where vLLM's whole log is."""

    @pytest.fixture
    def model(self, tmp_path):
        return write_random_model(tmp_path / "model")

    @pytest.fixture
    def failed(self, tmp_path, model):
        """``failed(option, …)``: what ``sgrpo eval`` says last, with vLLM in processes of its own."""
        write_data(tmp_path, TASKS["sums"], train=8, validation=8, test=2)

        def run_eval(*options, **environment):
            command = [sys.executable, "-m", "sgrpo_verl.cli", "eval", "--model", str(model), "--data", str(tmp_path)]
            command += ["--benchmarks", "test", "--out", str(tmp_path / "run"), "--max-tokens", "64"]
            command += ["--answer-tokens", "16", *options]
            done = subprocess.run(
                command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=240
            )
            assert done.returncode == 2, done.stdout + done.stderr
            assert "Traceback" not in done.stderr
            assert f"Its whole log is {tmp_path / 'run' / 'engine.log'}" in done.stderr
            return done.stderr.splitlines()[-1]

        return run_eval

    def test_a_broken_file_of_weights(self, failed, model):
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        said = failed()
        assert said.startswith(f"sgrpo: vLLM's engine did not start with --model {model}")
        assert "tokens: SafetensorError: Error while deserializing header" in said
        assert "copy or download it again" in said

    def test_no_memory_for_the_cache(self, failed):
        """Of one of two engines, each in a process of its own; the other one is ended too."""
        options = ("--gpu-memory-utilization", "0.00001", "--data-parallel-size", "2")
        said = failed(*options, VLLM_CPU_KVCACHE_SPACE="0")
        assert "tokens: ValueError: No available memory for the cache" in said

    def test_a_library_that_cannot_be_loaded(self, failed, tmp_path):
        """Also where vLLM's warning is silenced, and its engine in the command's own process."""
        (tmp_path / "libnuma.so.1").write_text("no library")
        said = failed(LD_LIBRARY_PATH=str(tmp_path), VLLM_LOGGING_LEVEL="ERROR", **IN_ONE_PROCESS)
        assert "tokens: vLLM's compiled library cannot be loaded (" in said
        assert "libnuma.so.1" in said
        assert "apt-get install libnuma1" in said

    def test_a_model_that_is_too_short(self, failed):
        """vLLM's own check; its message alone, not the config that pydantic prints behind it."""
        said = failed("--max-tokens", "9000", **IN_ONE_PROCESS)
        assert "User-specified max_model_len" in said
        assert "For further information" not in said
