"""The language recipe's tables, plots and example, from every run in its folder."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from recipes.ablation.report import KINDS, plot_curves
from recipes.ablation.variants import UNTRAINED
from recipes.language.lessons import CHECK
from recipes.language.variants import variants
from sgrpo_verl.eval import statistics
from sgrpo_verl.eval.lines import Line, read_run
from sgrpo_verl.eval.plots import plot_accuracy_against_tokens
from sgrpo_verl.eval.report import change_text, interval_text, print_whole
from sgrpo_verl.settings.config import THINK_END
from sgrpo_verl.toy.evaluate import read_responses

NOTE = (
    "Changes are against the untrained model, on the same problems. The 95 % intervals are from a bootstrap over "
    "problems; where there are several seeds, a problem's value is the mean over them.\n"
)


def write(out: Path, tests: Sequence[str], console: Console) -> None:
    """For each decoding a file of tables and a plot of each test set; ``runs.csv``, curves, checks and an example."""
    records = []
    for kind in KINDS:
        lines = _lines(out, kind, console)
        tables = {test: _table(lines, test) for test in tests}
        for test, table in tables.items():
            table.title = f"{test}, {kind}"
            print_whole(console, table)
            plot_accuracy_against_tokens([_mean(group) for group in lines.values()], [test], out / f"{kind}_{test}.png")
        _write_markdown(tables, out / f"{kind}.md")
        records += [(kind, test, line) for group in lines.values() for line in group for test in tests]
    _write_csv(records, out / "runs.csv")
    plot_curves(out, [variant for variant in variants().values() if (out / variant.name).is_dir()], out / "curves.png")
    runs = sorted(folder.parent for folder in out.glob("**/sampled") if folder.is_dir())
    checks = {f"{run.relative_to(out)}": checks_of(run) for run in runs}
    (out / "checks.json").write_text(json.dumps(checks, indent=2) + "\n")
    if (first := out / "sgrpo" / "seed0").is_dir():
        example = _example(out, first)
        (out / "example.txt").write_text(example)
        console.print(example, markup=False, highlight=False)
    console.print(f"tables, plots and every response are in {out}")


def _lines(out: Path, kind: str, console: Console) -> dict[str, list[Line]]:
    """The evaluated runs of each variant, a seed each; the untrained model first."""
    titles = {variant.title: f"{variant.name}/seed*" for variant in variants().values()}
    found = {
        title: [read_run(run.parent, title, console)[0] for run in sorted(out.glob(f"{runs}/{kind}/summary.json"))]
        for title, runs in {UNTRAINED: UNTRAINED, **titles}.items()
    }
    return {title: group for title, group in found.items() if group}


def _mean(group: Sequence[Line]) -> Line:
    """The mean over seeds of every problem's score and tokens."""

    def over_seeds(values: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.mean([one[name] for one in values], axis=0) for name in values[0]}

    scores, tokens = [line.scores for line in group], [line.tokens for line in group]
    return replace(group[0], scores=over_seeds(scores), tokens=over_seeds(tokens))


def _table(lines: dict[str, list[Line]], test: str) -> Table:
    """A row for each variant on one test set."""
    table = Table("", "seeds")
    for column in ("accuracy (%)", "95 %", "tokens", "Δ accuracy (points)", "Δ tokens"):
        table.add_column(column, justify="right", no_wrap=True)
    untrained = lines[UNTRAINED][0]
    sizes = untrained.sizes([test])
    for title, group in lines.items():
        line = _mean(group)
        accuracy = statistics.mean([line.scores[test]])
        cells = [title, "" if title == UNTRAINED else str(len(group)), f"{100 * statistics.whole(accuracy, sizes):.1f}"]
        cells += [interval_text(statistics.interval(accuracy, sizes)), f"{line.tokens[test].mean():.1f}"]
        if title != UNTRAINED:
            points = statistics.difference([line.scores[test]], [untrained.scores[test]])
            share = statistics.relative_change([line.tokens[test]], [untrained.tokens[test]])
            for change, unit in ((points, ""), (share, " %")):
                whole, interval = statistics.whole(change, sizes), statistics.interval(change, sizes)
                cells.append(change_text(whole, interval, unit=unit))
        table.add_row(*cells)
    return table


def _write_markdown(tables: dict[str, Table], file: Path) -> None:
    with file.open("w") as opened:
        document = Console(file=opened, color_system=None, width=200)
        for test, table in tables.items():
            table.box, table.title = box.MARKDOWN, None
            document.print(f"**{test}**")
            print_whole(document, table)
            document.print()
        document.print(NOTE)


def _write_csv(records: Sequence[tuple[str, str, Line]], file: Path) -> None:
    """One record for each run, kind of decoding and test set."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("decoding", "test set", "run", "problems", "accuracy", "tokens"))
        for kind, test, line in records:
            scores = line.scores[test]
            writer.writerow((kind, test, line.label, len(scores), scores.mean(), line.tokens[test].mean()))


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
