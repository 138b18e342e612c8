"""Runs one toy training, stock ``python -m verl.trainer.main_ppo`` in its own process, and shows its progress."""

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from sgrpo_verl.engine.log import last_error_in
from sgrpo_verl.files import read_lines
from sgrpo_verl.progress import Bars
from sgrpo_verl.workbench import processes

Step = dict[str, float]  # verl's metrics of one step, and its number under "step"


def training_command(
    reasoner: Path, data: dict[str, Path], out: Path, seed: int, num_steps: int, overrides: Sequence[str]
) -> list[str]:
    """Stock main_ppo with the CPU and toy config groups, this run's files, and ``overrides`` (such as +sgrpo=paper)."""
    return [
        *(sys.executable, "-m", "verl.trainer.main_ppo", "+cpu=default", *overrides[:1], "+toy=demo", *overrides[1:]),
        f"data.train_files={data['train']}",
        f"data.val_files={data['validation']}",
        f"data.seed={seed}",
        f"actor_rollout_ref.model.path={reasoner}",
        f"actor_rollout_ref.rollout.seed={seed}",
        f"trainer.default_local_dir={out / 'checkpoints'}",
        f"trainer.total_training_steps={num_steps}",
        f"trainer.save_freq={num_steps}",
        "trainer.resume_mode=disable",
        "trainer.logger=[console,file]",
        f"hydra.run.dir={out / 'hydra'}",
    ]


def train(
    command: list[str], out: Path, num_steps: int, console: Console, **environment: str
) -> tuple[list[Step], Path]:
    """Run a training command to its end, with progress; returns every step's metrics and the trained model's folder.

    Writes ``command.txt``, ``train.log`` and ``metrics.jsonl`` to ``out``.

    Raises:
        SystemExit: training failed; the end of its log is shown, and the error that ended it.
    """
    metrics_file, log = out / "metrics.jsonl", out / "train.log"
    (out / "command.txt").write_text(shlex.join(command) + "\n")
    verls = {"VERL_FILE_LOGGER_PATH": str(metrics_file), "VERL_PLATFORM": "cpu", "HYDRA_FULL_ERROR": "1"}
    with (
        log.open("w") as log_file,
        Bars(console) as progress,
        processes.running(command, {**verls, **environment}, stdout=log_file.fileno()) as process,
    ):
        bar = progress.add_task("starting Ray, verl and vLLM", total=num_steps)
        while process.poll() is None:
            time.sleep(1)
            if steps := list(read_steps(metrics_file)):
                progress.update(bar, completed=steps[-1]["step"], description=describe(steps[-1]))
    steps = list(read_steps(metrics_file))
    if process.returncode or not steps:
        said = log.read_text(errors="replace")
        console.print("\n".join(said.splitlines()[-30:]), markup=False)
        cause = last_error_in(said) or f"exit status {process.returncode}"
        console.print(f"training failed: {cause}; its whole log is {log}", style="red", markup=False, soft_wrap=True)
        sys.exit(process.returncode or 1)
    return steps, out / "checkpoints" / f"global_step_{int(steps[-1]['step'])}" / "actor" / "huggingface"


def response_length(step: Step) -> float:
    """Mean tokens of the full responses of a step, early exits left out; verl's own figure where there are none."""
    return step.get("sgrpo/response_length/full", step["response_length/mean"])


def accuracy(step: Step) -> float:
    """Share of full responses that are correct; the mean score where there are no early exits."""
    return step.get("sgrpo/accuracy/full", step["critic/score/mean"])


def describe(step: Step) -> str:
    """A step in the words of the progress bar."""
    text = f"{response_length(step):.0f} tokens"
    if "sgrpo/accuracy/exits" not in step:  # GRPO, perhaps with a length penalty in its score
        return f"{text}, score {accuracy(step):.2f}"
    return f"{text}, accuracy {accuracy(step):.0%}, exits {step['sgrpo/accuracy/exits']:.0%}"


def read_steps(metrics_file: Path) -> Iterator[Step]:
    """verl's file logger writes a line a step."""
    for record in read_lines(metrics_file):
        if "training/global_step" in record["data"]:
            yield {**record["data"], "step": record["step"]}
