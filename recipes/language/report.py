"""The language recipe's tables, plots and example, from every run in its folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from recipes import before_after
from recipes.ablation.variants import UNTRAINED
from recipes.language.lessons import CHECK
from recipes.language.variants import variants
from sgrpo_verl.settings.config import THINK_END
from sgrpo_verl.workbench.evaluate import read_responses


def write(out: Path, tests: Sequence[str], console: Console) -> None:
    """Of every run in ``out``: tables, plots and ``.csv`` for each decoding; curves, checks and an example."""
    known = variants().values()
    before_after.write(out, known, tests, console)
    sampled = before_after.runs_of(out, known, "sampled")
    checks = {f"{run.relative_to(out)}": checks_of(run) for group in sampled.values() for run in group}
    (out / "checks.json").write_text(json.dumps(checks, indent=2) + "\n")
    if (first := out / "sgrpo" / "seed0").is_dir():
        example = _example(out, first)
        (out / "example.txt").write_text(example)
        console.print(example, markup=False, highlight=False)
    console.print(f"tables, plots and every response are in {out}")


def checks_of(run: Path) -> dict[str, Any]:
    """Of the sampled responses to the problems of the families taught: accuracy by the number of checks."""
    found: dict[int, list[float]] = {}
    for response in read_responses(run / "sampled"):
        if response["benchmark"] == "test":
            found.setdefault(response["thought"].count(CHECK), []).append(response["score"])
    return {
        f"{checks} checks": {"responses": len(scores), "accuracy": sum(scores) / len(scores)}
        for checks, scores in sorted(found.items())
    }


def _example(out: Path, run: Path) -> str:
    """The first test problem that both answer rightly, before training and after it."""
    texts = {}
    for title, folder in (("before", out / UNTRAINED), ("after S-GRPO", run)):
        texts[title] = {one["index"]: one for one in read_responses(folder / "greedy") if one["benchmark"] == "test"}
    before, after = texts.values()
    right = [index for index in sorted(before) if before[index]["score"] and after[index]["score"]]
    index = next((index for index in right if CHECK in before[index]["thought"]), min(before))
    question = pd.read_parquet(out / "data" / "test.parquet")["prompt"][index][-1]["content"]
    parts = [question]
    for title, responses in texts.items():
        one = responses[index]
        parts.append(f"--- {title}: {one['response_tokens']} tokens\n{one['thought']}{THINK_END}{one['answer']}")
    return "\n\n".join(parts) + "\n"
