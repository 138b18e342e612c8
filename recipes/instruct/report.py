"""The instruct recipe's tables, plots and texts, from every run in its folder."""

import csv
import io
import json
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from recipes import before_after, kept
from recipes.ablation.report import KINDS
from recipes.ablation.variants import UNTRAINED
from recipes.instruct.data import TEST
from recipes.instruct.variants import VARIANTS
from sgrpo_verl.eval.report import print_whole
from sgrpo_verl.workbench.evaluate import read_responses

EXAMPLES = 5
COLUMNS = ("decoding", "row", "seeds", "closed", "accuracy", "accuracy_of_closed", "tokens", "tokens_of_closed")


def write(out: Path, console: Console) -> None:
    """Of every run in ``out``: tables, plots, records and curves; what closes; what could be saved; texts."""
    before_after.write(out, VARIANTS.values(), [TEST], console)
    rows = [
        {"decoding": kind, "row": title, **closed_of([responses_of(run / kind) for run in group])}
        for kind in KINDS
        for title, group in before_after.runs_of(out, VARIANTS.values(), kind).items()
    ]
    with (out / "closed.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    _write_table(_closed_table(rows), out / "closed.md", console)
    _write_table(_savings_table(out, rows), out / "savings.md", console)
    trained = [out / name / "seed0" for name in VARIANTS if kept.finished(out / name / "seed0" / "greedy")]
    if trained:
        text = examples(out, trained[0])
        (out / "examples.txt").write_text(text)
        console.print(text.split("\n===")[0], markup=False, highlight=False)
    console.print(f"tables, plots and every response are in {out}")


def responses_of(run: Path) -> list[dict[str, Any]]:
    """The full responses of a run with their scores; the early exits of the method exits are left out."""
    return [one for one in read_responses(run) if one.get("exit_index") is None]


def closed_of(seeds: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Means over the seeds: does accuracy change because more responses box an answer, or because boxes are right?

    The figures of the closed ones are None where no response of any seed closes its thought.
    """

    def over_seeds(key: str, closed: bool) -> float | None:
        values = [[one[key] for one in responses if one["closed"] or not closed] for responses in seeds]
        means = [mean(found) for found in values if found]
        return mean(means) if means else None

    return {
        "seeds": len(seeds),
        "closed": over_seeds("closed", False),
        "accuracy": over_seeds("score", False),
        "accuracy_of_closed": over_seeds("score", True),
        "tokens": over_seeds("response_tokens", False),
        "tokens_of_closed": over_seeds("response_tokens", True),
    }


def _closed_table(rows: list[dict[str, Any]]) -> Table:
    titles = ("closed (%)", "accuracy (%)", "accuracy of the closed (%)", "tokens", "tokens of the closed")
    table = Table("decoding", "", "seeds")
    for title in titles:
        table.add_column(title, justify="right")
    for row in rows:
        figures = [_text(row[key], 100) for key in COLUMNS[3:6]] + [_text(row[key]) for key in COLUMNS[6:]]
        table.add_row(row["decoding"], row["row"], str(row["seeds"]), *figures)
    return table


def _text(value: float | None, times: float = 1) -> str:
    return "–" if value is None else f"{times * value:.1f}"


def _savings_table(out: Path, rows: list[dict[str, Any]]) -> Table:
    """What could be saved at most, as the untrained model's early exits say, beside what each row saved (greedy)."""
    found = json.loads((out / UNTRAINED / "greedy" / "summary.json").read_text())["exits"][TEST]["savings"]
    table = Table("greedy decoding", "after this share of the thought", "tokens", "Δ tokens")

    def add(title: str, tokens: float, share: float | None = None) -> None:
        place = "" if share is None else f"{share:.0%}"
        table.add_row(title, place, f"{tokens:.1f}", f"{100 * (tokens / found['tokens'] - 1):+.1f} %")

    add("untrained", found["tokens"])
    add("if each thought ended at its first right exit", found["tokens_first_right"], found["first_right"])
    add("if it ended where the answer stays right", found["tokens_stays_right"], found["stays_right"])
    for row in rows:
        if row["decoding"] == "greedy" and row["row"] != UNTRAINED:
            add(row["row"], row["tokens"])
    return table


def _write_table(table: Table, file: Path, console: Console) -> None:
    """Printed, and in Markdown."""
    print_whole(console, table)
    text = io.StringIO()
    table.box = box.MARKDOWN
    print_whole(Console(file=text, color_system=None), table)
    file.write_text("\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip()) + "\n")


def examples(out: Path, run: Path) -> str:
    """Test problems that both answer rightly, the first ones; greedy, before training and after it."""
    runs = {"before": out / UNTRAINED, f"after {run.parent.name}": run}
    texts = {title: responses_of(folder / "greedy") for title, folder in runs.items()}
    before, after = ({one["index"]: one for one in responses} for responses in texts.values())
    right = [index for index in sorted(before) if before[index]["score"] and after[index]["score"]]
    questions = [prompt[-1]["content"] for prompt in pd.read_parquet(out / "data" / f"{TEST}.parquet")["prompt"]]
    parts = []
    for index in (right or sorted(before))[:EXAMPLES]:
        parts.append(f"=== {questions[index]}")
        for title, one in zip(texts, (before[index], after[index]), strict=True):
            parts.append(f"--- {title}: {one['response_tokens']} tokens\n{one['thought']}{one['answer']}")
    return "\n\n".join(parts) + "\n"
