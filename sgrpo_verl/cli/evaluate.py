"""``sgrpo eval``: accuracy and tokens of a model on benchmarks, by any of six ways to spend tokens."""

import signal
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sgrpo_verl.cli.console import console
from sgrpo_verl.cli.lists import listed
from sgrpo_verl.cli.score import score_and_show
from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.deer import Deer
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END

DEER = Deer()
WHAT = "What to evaluate"
HOW_MUCH = "How much"
DECODING = "Decoding"
METHOD = "Method"
ENGINE = "Engine"


class MethodName(str, Enum):
    vanilla = "vanilla"
    exits = "exits"
    budget = "budget"
    truncate_like = "truncate-like"
    no_think = "no-think"
    deer = "deer"


class Preset(str, Enum):
    paper = "paper"


def evaluate(
    model: Annotated[
        str,
        typer.Option(
            help="Model folder, Hugging Face hub id, or verl checkpoint (which verl's merger merges first).",
            rich_help_panel=WHAT,
        ),
    ],
    data: Annotated[Path, typer.Option(help="Folder of the benchmarks' parquet files.", rich_help_panel=WHAT)],
    out: Annotated[
        Path, typer.Option(help="Folder for the run; an unfinished run in it is resumed.", rich_help_panel=WHAT)
    ],
    benchmarks: Annotated[
        str,
        typer.Option(
            help="Names of benchmarks, comma-separated; by default all in DATA but training sets.", rich_help_panel=WHAT
        ),
    ] = "",
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="paper: the paper's five benchmarks, with 16 samples of the small ones (AMC, AIME).",
            rich_help_panel=WHAT,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Use only this many problems of each benchmark.", rich_help_panel=WHAT)
    ] = None,
    samples: Annotated[
        int, typer.Option(help="Samples of each problem; accuracy is pass@1 over them.", rich_help_panel=HOW_MUCH)
    ] = 1,
    max_tokens: Annotated[int, typer.Option(help="Maximum tokens of a response.", rich_help_panel=HOW_MUCH)] = 16_384,
    answer_tokens: Annotated[
        int, typer.Option(help="Maximum tokens of an answer after a forced exit.", rich_help_panel=HOW_MUCH)
    ] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of the samples.", rich_help_panel=HOW_MUCH)] = 0,
    temperature: Annotated[
        float, typer.Option(help="Sampling temperature; 0 is greedy decoding.", rich_help_panel=DECODING)
    ] = 0.6,
    top_p: Annotated[
        float,
        typer.Option(help="Sample among the likeliest tokens that reach this probability.", rich_help_panel=DECODING),
    ] = 0.95,
    think_start: Annotated[str, typer.Option(help="Text that opens a thought.", rich_help_panel=DECODING)] = "<think>",
    think_end: Annotated[
        str,
        typer.Option(
            help="Text that closes a thought; '' for a model without thoughts: all is answer.", rich_help_panel=DECODING
        ),
    ] = THINK_END,
    exit_prompt: Annotated[
        str,
        typer.Option(
            help="Text that is appended to a thought that is cut.",
            rich_help_panel=DECODING,
            show_default=repr(EXIT_PROMPT),
        ),
    ] = EXIT_PROMPT,
    method: Annotated[
        MethodName, typer.Option(help="How to spend tokens on a problem.", rich_help_panel=METHOD)
    ] = MethodName.vanilla,
    num_exits: Annotated[
        int, typer.Option(help="exits: early exits of each thought, at even distances.", rich_help_panel=METHOD)
    ] = 8,
    caps: Annotated[
        str, typer.Option(help="budget: maximum tokens of the thought, comma-separated.", rich_help_panel=METHOD)
    ] = "",
    truncate_like: Annotated[
        Path | None,
        typer.Option(help="truncate-like: folder of the run whose thought lengths are used.", rich_help_panel=METHOD),
    ] = None,
    deer_threshold: Annotated[
        float, typer.Option(help="deer: confidence above which the thought ends.", rich_help_panel=METHOD)
    ] = DEER.threshold,
    deer_words: Annotated[
        str,
        typer.Option(
            help="deer: transition words, comma-separated; a space is a part of its word.", rich_help_panel=METHOD
        ),
    ] = ",".join(DEER.words),
    deer_inducer: Annotated[
        str,
        typer.Option(
            help="deer: text that is appended to the thought to get a trial answer.",
            rich_help_panel=METHOD,
            show_default=repr(DEER.inducer),
        ),
    ] = DEER.inducer,
    deer_closing: Annotated[
        str,
        typer.Option(
            help="deer: text that is appended to a thought that is ended.",
            rich_help_panel=METHOD,
            show_default=repr(DEER.closing),
        ),
    ] = DEER.closing,
    deer_trial_tokens: Annotated[
        int, typer.Option(help="deer: maximum tokens of a trial answer.", rich_help_panel=METHOD)
    ] = DEER.trial_tokens,
    dtype: Annotated[str, typer.Option(help="Passed to vLLM.", rich_help_panel=ENGINE)] = "auto",
    tensor_parallel_size: Annotated[int, typer.Option(help="Passed to vLLM.", rich_help_panel=ENGINE)] = 1,
    data_parallel_size: Annotated[
        int | None,
        typer.Option(
            help="Engines, each with its share of the problems; by default, as many as fit on the visible GPUs.",
            rich_help_panel=ENGINE,
        ),
    ] = None,
    gpu_memory_utilization: Annotated[
        float | None, typer.Option(help="Passed to vLLM.", rich_help_panel=ENGINE)
    ] = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="Passed to vLLM.", rich_help_panel=ENGINE)] = None,
    enforce_eager: Annotated[
        bool, typer.Option("--enforce-eager", help="Passed to vLLM.", rich_help_panel=ENGINE)
    ] = False,
) -> None:
    """Accuracy and tokens of a model on benchmarks."""
    from sgrpo_verl.eval.run import evaluate
    from sgrpo_verl.eval.settings import PAPER, Settings

    names, samples_of = tuple(listed(benchmarks)), {}
    if preset is not None:
        if names or samples != 1:
            raise UserError(f"--preset {preset.value}: sets --benchmarks and --samples, so leave them out")
        names, samples_of = tuple(PAPER), PAPER
    settings = Settings(
        model=model,
        data=str(data),
        benchmarks=names,
        method=method.value,
        samples=samples,
        samples_of=samples_of,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        max_tokens=max_tokens,
        answer_tokens=answer_tokens,
        limit=limit,
        caps=_lengths(caps),
        num_exits=num_exits,
        truncate_like=None if truncate_like is None else str(truncate_like),
        think_start=think_start,
        think_end=think_end,
        exit_prompt=exit_prompt,
        deer=Deer(
            deer_threshold,
            tuple(word for word in deer_words.split(",") if word),
            deer_inducer,
            deer_closing,
            deer_trial_tokens,
        ),
    )
    options = {
        "dtype": dtype,
        "tensor_parallel_size": tensor_parallel_size,
        "gpu_memory_utilization": gpu_memory_utilization,
        "max_num_seqs": max_num_seqs,
        "enforce_eager": enforce_eager,
    }
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))  # vLLM is shut down, as by Ctrl-C
    evaluate(settings, out, options, console, data_parallel_size)
    score_and_show(out)


def _lengths(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted(int(cap) for cap in listed(text)))
    except ValueError as error:
        raise UserError(f"--caps {text}: must be whole numbers with commas between them") from error
