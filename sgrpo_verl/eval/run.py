"""Evaluates a model with one method on benchmarks, into a run's folder. Started again after a stop, it continues."""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Any

from rich.console import Console

from sgrpo_verl.algorithm.serial_group import eos_ids
from sgrpo_verl.engine.check import failure
from sgrpo_verl.engine.log import cause_of, written_to
from sgrpo_verl.errors import UserError
from sgrpo_verl.eval import methods
from sgrpo_verl.eval.checkpoint import RECORD, needs_float32, resolve_model
from sgrpo_verl.eval.deer import deer
from sgrpo_verl.eval.engine import Engine, EngineOptions
from sgrpo_verl.eval.engines import Engines, choose_devices
from sgrpo_verl.eval.folder import Key, claim, holds, locked, recover, thought_lengths
from sgrpo_verl.eval.jobs import Answering, EngineDied
from sgrpo_verl.eval.problems import Problem, encode_prompt, read_benchmarks
from sgrpo_verl.eval.progress import TokenProgress
from sgrpo_verl.eval.response import Completion, Method, Reasoner
from sgrpo_verl.eval.settings import Settings
from sgrpo_verl.settings.escapes import shown


def evaluate(
    settings: Settings, out: Path, options: dict[str, Any], console: Console, engines: int | None = None
) -> None:
    """Generate whatever is still missing from the run in ``out``.

    Args:
        settings: what decides the completions.
        out: the run folder.
        options: of ``EngineOptions``, without ``max_model_len``.
        console: where progress is shown.
        engines: how many, each with its share of the jobs; None means as many as there are GPUs for.

    Raises:
        UserError: ``out`` holds a run with other settings, another process is writing into it, or a setting is wrong;
            raised before the model is loaded.
    """
    _check_options({**options, "data_parallel_size": engines})
    benchmarks = read_benchmarks(Path(settings.data), settings.benchmarks)
    if settings.limit is not None:
        benchmarks = {name: problems[: settings.limit] for name, problems in benchmarks.items()}
    lengths = thought_lengths(settings, benchmarks) if settings.truncate_like is not None else {}
    with locked(out):
        merged = out / "merged_model"
        if not holds(out, settings, benchmarks) and (merged / RECORD).is_file():
            shutil.rmtree(merged)  # of a run that came to nothing, and maybe of another model
        model = resolve_model(settings.model, merged)
        claim(out, settings, benchmarks)
        _evaluate(model, settings, benchmarks, lengths, out, options, console, engines)


def _check_options(options: dict[str, Any]) -> None:
    for name in ("tensor_parallel_size", "data_parallel_size", "max_num_seqs"):
        if (value := options.get(name)) is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value}: must be at least 1")
    share = options.get("gpu_memory_utilization")
    if share is not None and not 0 < share <= 1:
        raise UserError(f"--gpu-memory-utilization {share}: must be above 0 and at most 1")


def _evaluate(
    model: str,
    settings: Settings,
    benchmarks: dict[str, list[Problem]],
    lengths: dict[Key, int],
    out: Path,
    options: dict[str, Any],
    console: Console,
    engines: int | None,
) -> None:
    done = recover(out, settings.caps)
    wanted = {
        name: [
            (problem, sample)
            for problem in problems
            for sample in range(settings.samples_in(name))
            if (name, problem.index, sample) not in done
        ]
        for name, problems in benchmarks.items()
    }
    if done:
        console.print(
            f"resuming {out}: {len(done)} done, {sum(map(len, wanted.values()))} to do", soft_wrap=True, markup=False
        )
    if not any(wanted.values()):
        return
    tokenizer = _tokenizer(model)
    reasoner = Reasoner(
        tokenizer,
        settings.think_start,
        settings.think_end,
        settings.exit_prompt,
        settings.max_tokens,
        settings.answer_tokens,
        eos_ids(tokenizer, _generation_config(model)),
    )
    prompts = {
        (name, problem.index): encode_prompt(tokenizer, problem.messages)
        for name, problems in benchmarks.items()
        for problem in problems
    }
    max_model_len = _room(reasoner, settings, lengths) + max(map(len, prompts.values()))
    if needs_float32(model) and options.get("dtype", "auto") == "auto":
        console.print("what the LoRA adapter changes is too small for 16 bits: vLLM runs in float32")
        options = {**options, "dtype": "float32"}
    log = out / "engine.log"
    with written_to(log, console):
        unclosed = Unclosed(settings.think_end, console)
        shares = choose_devices(engines, options["tensor_parallel_size"])[: sum(map(len, wanted.values()))]
        what = "vLLM" if len(shares) == 1 else f"{len(shares)} engines of vLLM"
        console.print(f"starting {what}; their output goes to {log}", soft_wrap=True, highlight=False, markup=False)
        engine = _start(model, EngineOptions(max_model_len=max_model_len, **options), settings, shares, log)
        try:
            for name, jobs in wanted.items():
                _generate(name, jobs, engine, reasoner, settings, prompts, lengths, out, console, unclosed)
        except EngineDied as error:
            cause = cause_of(error, log.read_text(errors="replace"))
            raise UserError(
                f"vLLM's engine died: {cause}. Its whole log is {log}; the same command resumes the run"
            ) from error
        finally:
            engine.close()


class Unclosed:
    """Says so once if no thought is closed in the first responses: then nothing but 0 % can come out."""

    RESPONSES = 50

    def __init__(self, think_end: str, console: Console):
        self.think_end, self.console = think_end, console
        self.seen = 0

    def see(self, completions: Sequence[Completion]) -> None:
        if any(completion.closed for completion in completions):
            self.seen = self.RESPONSES  # there is nothing to say any more
        if self.seen >= self.RESPONSES:
            return
        self.seen += len(completions)
        if self.seen >= self.RESPONSES:
            self.console.print(
                f"none of the first {self.seen} responses closes a thought with --think-end {shown(self.think_end)}: "
                "if the model writes no thoughts, set --think-end '', and the whole response is the answer",
                soft_wrap=True,
                highlight=False,
                markup=False,
            )


def _start(
    model: str, options: EngineOptions, settings: Settings, shares: Sequence[dict[str, str]], log: Path
) -> Answering:
    try:
        if len(shares) > 1:
            return Engines(model, options, settings.temperature, settings.top_p, shares)
        return Engine(model, options, settings.temperature, settings.top_p)
    except UserError:
        raise
    except Exception as error:
        # Without its library, vLLM fails in many ways.
        cause = failure("library") or cause_of(error, log.read_text(errors="replace"))
        raise UserError(
            f"vLLM's engine did not start with --model {model} and {options.max_model_len} tokens: {cause}. Its whole "
            f"log is {log}"
        ) from error


def _generate(
    name: str,
    jobs: Sequence[tuple[Problem, int]],
    engine: Answering,
    reasoner: Reasoner,
    settings: Settings,
    prompts: dict[tuple[str, int], list[int]],
    lengths: dict[Key, int],
    out: Path,
    console: Console,
    unclosed: "Unclosed",
) -> None:
    """Generate one benchmark, appending each job's completions in one write as it ends."""
    problems = {problem.index: problem for problem, _ in jobs}
    started, tokens_before = time.monotonic(), engine.generated_tokens
    try:
        with (
            TokenProgress(name, len(jobs), engine, console, _most_tokens(settings)) as progress,
            (out / "completions.jsonl").open("a") as file,
        ):
            keys = ((name, problem.index, sample) for problem, sample in jobs)
            seeded = (
                (key, _seed(settings.seed, key), _method(settings, reasoner, prompts[key[:2]], lengths.get(key)))
                for key in keys
            )
            for (_, index, sample), completions in engine.run(seeded, progress.update):
                lines = [_line(problems[index], sample, completion) for completion in completions]
                file.write("".join(lines))
                file.flush()
                unclosed.see(completions)
                progress.job_ended()
    finally:
        with (out / "throughput.jsonl").open("a") as file:
            record = {
                "benchmark": name,
                "generated_tokens": engine.generated_tokens - tokens_before,
                "seconds": time.monotonic() - started,
            }
            file.write(json.dumps(record) + "\n")


def _method(settings: Settings, reasoner: Reasoner, prompt_ids: list[int], thought_tokens: int | None) -> Method:
    match settings.method:
        case "exits":
            return methods.exits(reasoner, prompt_ids, settings.num_exits)
        case "budget":
            return methods.budget(reasoner, prompt_ids, settings.caps)
        case "truncate-like":
            assert thought_tokens is not None
            return methods.truncate_like(reasoner, prompt_ids, thought_tokens)
        case "no-think":
            return methods.no_think(reasoner, prompt_ids)
        case "deer":
            return deer(reasoner, prompt_ids, settings.deer)
    return methods.vanilla(reasoner, prompt_ids)


def _room(reasoner: Reasoner, settings: Settings, lengths: dict[Key, int]) -> int:
    """The most tokens that any request of the run may need after a prompt."""
    thought = max([settings.max_tokens, *settings.caps, *lengths.values()])
    inserted = max(len(reasoner.encode(text)) for text in (settings.exit_prompt, settings.deer.closing))
    trial = len(reasoner.encode(settings.deer.inducer)) + settings.deer.trial_tokens
    return thought + reasoner.tag_tokens + max(inserted + settings.answer_tokens, trial)


def _most_tokens(settings: Settings) -> int | None:
    """What a job can generate at most; DEER's trials have no such limit."""
    answers = {"exits": settings.num_exits, "budget": 1 + len(settings.caps), "truncate-like": 1}
    if settings.method == "deer":
        return None
    return max([settings.max_tokens, *settings.caps]) + answers.get(settings.method, 0) * settings.answer_tokens


def _seed(seed: int, key: Key) -> int:
    """A seed for each sample: it does not depend on what else is in the run, nor on interruptions."""
    return int.from_bytes(hashlib.sha256(repr((seed, *key)).encode()).digest()[:8], "big")


def _line(problem: Problem, sample: int, completion: Completion) -> str:
    record = {
        "benchmark": problem.benchmark,
        "index": problem.index,
        "sample": sample,
        "prompt": problem.digest,
        "data_source": problem.data_source,
        "ground_truth": problem.ground_truth,
        "choices": problem.choices,
        **asdict(completion),
    }
    return json.dumps(record) + "\n"


def _generation_config(model: str) -> Any:
    """The model's own generation config, which tells vLLM what ends a response; None if it has none."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(model)
    except OSError:  # then vLLM, too, goes by the tokenizer alone
        return None


def _tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (ImportError, OSError, ValueError) as error:
        raise UserError(
            f"--model {model}: its tokenizer cannot be loaded; it must be a folder, or an id on the Hugging Face hub "
            f"that can be reached or is in its cache ({shorten(str(error), 300, placeholder=' …')})"
        ) from error
    if tokenizer.chat_template is None:
        raise UserError(f"--model {model}: its tokenizer has no chat template, which prompts are built with")
    return tokenizer
