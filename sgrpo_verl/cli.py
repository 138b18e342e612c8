"""The command line: ``sgrpo data``, ``eval``, ``score``, ``compare``, ``show``, ``doctor`` and ``selftest``."""

import signal
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sgrpo_verl.config import EXIT_PROMPT, THINK_END
from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.methods import Deer

DEER = Deer()
app = typer.Typer(no_args_is_help=True, add_completion=False, help="Data, evaluation and a look inside, for S-GRPO.")
console = Console()


class MethodName(str, Enum):
    vanilla = "vanilla"
    budget = "budget"
    truncate_like = "truncate-like"
    no_think = "no-think"
    deer = "deer"


@app.command()
def data(
    name: Annotated[
        str,
        typer.Argument(
            help="gsm8k, math-500, amc23, aime24, gpqa-diamond (benchmarks); "
            "deepmath-103k, gsm8k-train, math-train (training)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for NAME.parquet and NAME.json.")],
    local: Annotated[
        Path | None, typer.Option("--from", help="JSONL, .jsonl.gz, JSON, parquet or CSV to read instead of the hub.")
    ] = None,
    columns: Annotated[
        str, typer.Option(help="With --from: what its columns are called, such as problem=Question,answer=Answer.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of GPQA's shuffled choices.")] = 0,
    min_difficulty: Annotated[float | None, typer.Option(help="DeepMath: leave out easier problems.")] = None,
    max_difficulty: Annotated[float | None, typer.Option(help="DeepMath: leave out harder problems.")] = None,
    exclude: Annotated[
        Path | None, typer.Option(help="Problems to leave out: .txt with one a line, or rows with a problem column.")
    ] = None,
    decontaminate: Annotated[
        list[Path] | None,
        typer.Option(help="More prepared benchmarks whose problems a training set must not have; those in OUT count."),
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave out rows with an empty answer or an earlier row's problem.")
    ] = False,
) -> None:
    """A benchmark or training set as verl's parquet."""
    from sgrpo_verl.data.prepare import Filters, prepare

    filters = Filters(min_difficulty, max_difficulty, exclude, tuple(decontaminate or ()), skip_bad_rows)
    file = prepare(name, out, local, seed, filters, _columns(columns))
    console.print_json(file.with_suffix(".json").read_text())
    console.print(f"wrote {file}")


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Option(help="Folder, hub id, or a checkpoint of verl's (merged by verl's merger).")],
    data: Annotated[Path, typer.Option(help="Folder of the benchmarks' parquet files.")],
    out: Annotated[Path, typer.Option(help="The run's folder; an unfinished run there is gone on with.")],
    benchmarks: Annotated[str, typer.Option(help="Names, comma-separated; all of DATA if none.")] = "",
    method: Annotated[MethodName, typer.Option(help="How to spend tokens on a problem.")] = MethodName.vanilla,
    samples: Annotated[int, typer.Option(help="K: accuracy is pass@1 over K samples.")] = 1,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.6,
    top_p: Annotated[float, typer.Option()] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of a response.")] = 16_384,
    answer_tokens: Annotated[int, typer.Option(help="Most tokens of an answer after a forced exit.")] = 1024,
    limit: Annotated[int | None, typer.Option(help="Only the first problems of each benchmark.")] = None,
    caps: Annotated[str, typer.Option(help="budget: most tokens of the thought, comma-separated.")] = "",
    truncate_like: Annotated[Path | None, typer.Option(help="truncate-like: the run whose thought lengths.")] = None,
    think_start: Annotated[str, typer.Option(help="What opens a thought.")] = "<think>",
    think_end: Annotated[str, typer.Option(help="What closes a thought.")] = THINK_END,
    exit_prompt: Annotated[str, typer.Option(help="Put after a thought that is cut.")] = EXIT_PROMPT,
    deer_threshold: Annotated[float, typer.Option(help="deer: confidence that ends the thought.")] = DEER.threshold,
    deer_words: Annotated[str, typer.Option(help="deer: transition words, comma-separated.")] = ",".join(DEER.words),
    deer_inducer: Annotated[str, typer.Option(help="deer: put after the thought for a trial answer.")] = DEER.inducer,
    deer_closing: Annotated[str, typer.Option(help="deer: put after a thought that is ended.")] = DEER.closing,
    deer_trial_tokens: Annotated[int, typer.Option(help="deer: most tokens of a trial answer.")] = DEER.trial_tokens,
    dtype: Annotated[str, typer.Option(help="vLLM's.")] = "auto",
    tensor_parallel_size: Annotated[int, typer.Option(help="vLLM's.")] = 1,
    gpu_memory_utilization: Annotated[float | None, typer.Option(help="vLLM's.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="vLLM's.")] = None,
    enforce_eager: Annotated[bool, typer.Option("--enforce-eager", help="vLLM's.")] = False,
) -> None:
    """Accuracy and tokens of a model on benchmarks."""
    from sgrpo_verl.eval.report import print_summary
    from sgrpo_verl.eval.run import Settings, evaluate
    from sgrpo_verl.eval.score import score

    settings = Settings(
        model=model,
        data=str(data),
        benchmarks=tuple(name for name in benchmarks.split(",") if name),
        method=method.value,
        samples=samples,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        max_tokens=max_tokens,
        answer_tokens=answer_tokens,
        limit=limit,
        caps=_lengths(caps),
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
    evaluate(settings, out, options, console)
    print_summary(score(out, console), console)
    console.print(f"run.json, completions.jsonl, scores.jsonl and summary.json are in {out}")


@app.command()
def score(run: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Score a run's completions again; needs no model and no GPU."""
    from sgrpo_verl.eval.report import print_summary
    from sgrpo_verl.eval.score import score

    print_summary(score(run, console), console)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; changes are against the first.")],
    out: Annotated[Path, typer.Option(help="Folder for table.md, table.csv and the plots.")] = Path("comparison"),
    labels: Annotated[str, typer.Option(help="Names of the runs, comma-separated.")] = "",
) -> None:
    """Accuracy and tokens of several runs, side by side."""
    from sgrpo_verl.eval.compare import compare

    compare(runs, [label for label in labels.split(",") if label], out, console)


@app.command()
def doctor(
    ray_address: Annotated[
        str | None, typer.Option(help="A running cluster's, such as auto; every node is asked.")
    ] = None,
    engine: Annotated[
        bool, typer.Option("--engine", help="Also start vLLM with a tiny random model, and have it answer a prompt.")
    ] = False,
) -> None:
    """Versions, whether vLLM works, whether verl loads the plugin here and in Ray workers, and what is wrong."""
    from sgrpo_verl.doctor import doctor

    wrong = doctor(console, ray_address, engine)
    for line in wrong:
        console.print(f"[red]wrong:[/red] {line}", highlight=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)
    console.print("all in place")


@app.command()
def selftest(
    out: Annotated[Path, typer.Option(help="Folder for selftest.json, selftest.md and logs; made anew.")] = Path(
        "selftest"
    ),
    stages: Annotated[str, typer.Option(help="Which of the stages, comma-separated.")] = "1,2,3,4",
) -> None:
    """Prove on this machine that packed attention, an update and training are right: no network, no data.

    Stages: 1 packed attention, 2 one update, 3 training with vLLM, 4 several accelerators. Exit status 1 if any fails.
    """
    from sgrpo_verl.selftest.run import STAGES, selftest

    numbers = [stage.number for stage in STAGES]
    chosen = [int(number) for number in stages.split(",") if number.strip().isdigit()]
    if not chosen or not set(chosen) <= set(numbers):
        raise UserError(f"--stages {stages}: must be some of {', '.join(map(str, numbers))}, with commas between them")
    if not selftest(out, chosen, console):
        raise typer.Exit(1)


@app.command()
def show(
    dump: Annotated[Path, typer.Argument(help="STEP.jsonl in trainer.rollout_data_dir.")],
    group: Annotated[int, typer.Option(help="Which prompt of the step, from 1.")] = 1,
    exit_prompt: Annotated[str, typer.Option(help="The run's algorithm.sgrpo.exit_prompt.")] = EXIT_PROMPT,
    think_end: Annotated[str, typer.Option(help="The run's algorithm.sgrpo.think_end.")] = THINK_END,
) -> None:
    """One serial group of a training step: the exits marked inside the thought, each answer beside its reward."""
    from sgrpo_verl.show import show

    show(dump, group, exit_prompt, think_end, console)


def _columns(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(ours.strip() and theirs.strip() for ours, _, theirs in pairs):
        raise UserError(f"--columns {text}: must be our name = the file's, such as problem=Question,answer=Answer")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


def _lengths(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted(int(cap) for cap in text.split(",") if cap))
    except ValueError as error:
        raise UserError(f"--caps {text}: must be whole numbers with commas between them") from error


def main() -> None:
    """Run a command; what the user did wrong is one sentence and exit status 2."""
    try:
        app()
    except UserError as error:
        Console(stderr=True).print(f"sgrpo: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
