"""Evaluates a reasoner on a toy task's test problems with ``sgrpo eval``, and adds what its summary does not show."""

import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from sgrpo_verl.eval.folder import read_completions
from sgrpo_verl.files import read_lines
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END
from sgrpo_verl.workbench import processes
from sgrpo_verl.workbench.task import count_rechecks

MAX_RESPONSE_TOKENS = 256
ANSWER_TOKENS = 24


def evaluate(model: Path | str, data: Path, out: Path, *options: str, **environment: str) -> None:
    """Run ``sgrpo eval`` in its own process, greedy unless ``options`` say otherwise; a finished run is left as it is.

    What vLLM says goes to a log file beside ``out``. ``environment``: further variables.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    processes.run(
        [
            *(sys.executable, "-m", "sgrpo_verl.cli", "eval", "--model", str(model), "--data", str(data)),
            *("--benchmarks", "test", "--out", str(out), "--temperature", "0", "--top-p", "1"),
            *("--max-tokens", str(MAX_RESPONSE_TOKENS), "--answer-tokens", str(ANSWER_TOKENS)),
            *("--dtype", "float32", *options),
        ],
        log=out.with_name(f"{out.name}.log"),
        VLLM_LOGGING_LEVEL="ERROR",
        VLLM_ENABLE_V1_MULTIPROCESSING="0",  # a second process for the engine takes longer to start than it then works
        **environment,
    )


def read_responses(run: Path) -> list[dict[str, Any]]:
    """Every completion of a run with its ``score`` and its number of ``rechecks``, in the order of the problems."""
    pairs = zip(read_completions(run), read_lines(run / "scores.jsonl"), strict=True)
    responses = [
        {**completion, "score": scored["score"], "rechecks": count_rechecks(completion["thought"])}
        for completion, scored in pairs
    ]
    return sorted(responses, key=lambda response: (response["index"], response["sample"]))


def summarize(run: Path) -> dict[str, float]:
    """The figures of a run without caps; accuracy and shares in [0, 1], lengths in tokens.

    ``rechecked`` is the share of thoughts with a re-check, ``exit_prompts`` of those in which the model says the exit
    prompt, unasked.
    """
    [row] = json.loads((run / "summary.json").read_text())["rows"]
    figures = row["benchmarks"]["test"]
    responses = read_responses(run)
    return {
        "problems": figures["problems"],
        "accuracy": figures["accuracy"],
        "response_tokens": figures["response_tokens"],
        "thought_tokens": figures["thought_tokens"],
        "thoughts_closed": figures["closed"],
        "rechecks": mean(response["rechecks"] for response in responses),
        "rechecked": mean(response["rechecks"] > 0 for response in responses),
        "exit_prompts": mean(EXIT_PROMPT.split(THINK_END)[0] in response["thought"] for response in responses),
    }


def accuracy_by_rechecks(responses: list[dict[str, Any]]) -> dict[int, tuple[float, int]]:
    """Accuracy and number of responses for each number of re-checks."""
    groups: dict[int, list[float]] = {}
    for response in responses:
        groups.setdefault(response["rechecks"], []).append(response["score"])
    return {rechecks: (mean(group), len(group)) for rechecks, group in sorted(groups.items())}
