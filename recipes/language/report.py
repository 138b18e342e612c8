"""The language recipe's tables, plots and example, from every run in its folder."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from recipes.ablation.report import KINDS, plot_curves
from recipes.ablation.variants import UNTRAINED
from recipes.language.lessons import CHECK
from recipes.language.picture import Change, Record, draw, write_records
from recipes.language.variants import variants
from sgrpo_verl.eval import compare, plots, statistics
from sgrpo_verl.eval.lines import Line, read_run
from sgrpo_verl.eval.report import print_whole
from sgrpo_verl.settings.config import THINK_END
from sgrpo_verl.workbench.evaluate import read_responses


def write(out: Path, tests: Sequence[str], console: Console) -> None:
    """Of every run in ``out``: tables, plots and ``.csv`` for each decoding; curves, checks and an example."""
    runs = {kind: _runs(out, kind) for kind in KINDS}
    records = []
    for kind in KINDS:
        lines = {
            title: [read_run(run / kind, f"{run.relative_to(out)}", console)[0] for run in group]
            for title, group in runs[kind].items()
        }
        means = [_mean(title, group) for title, group in lines.items()]
        evaluated = [test for test in tests if test in means[0].scores]
        parts = []
        for test in evaluated:
            result = compare.table(means, [test])
            console.rule(f"{test}, {kind}")
            print_whole(console, result)
            parts.append(f"**{test}**\n\n{compare.markdown(result)}")
            plots.plot_accuracy_against_tokens(plots.points(means, [test]), test, out / f"{kind}_{test}.png")
        (out / f"{kind}.md").write_text("\n".join(parts))
        every = [line for group in lines.values() for line in group]
        compare.write_csv(every, evaluated, out / f"{kind}.csv")
        records += [record for group in lines.items() for record in _records(kind, means[0], *group)]
    write_records(records, out / "before_after.csv")
    draw(records, out / "before_after.png")
    plot_curves(out, [one for one in variants().values() if one.title in runs["greedy"]], out / "curves.png")
    checks = {f"{run.relative_to(out)}": checks_of(run) for group in runs["sampled"].values() for run in group}
    (out / "checks.json").write_text(json.dumps(checks, indent=2) + "\n")
    if (first := out / "sgrpo" / "seed0").is_dir():
        example = _example(out, first)
        (out / "example.txt").write_text(example)
        console.print(example, markup=False, highlight=False)
    console.print(f"tables, plots and every response are in {out}")


def _runs(out: Path, kind: str) -> dict[str, list[Path]]:
    """Each variant's runs, one for each seed, that were evaluated with this decoding, by title; untrained first."""
    folders = {UNTRAINED: UNTRAINED, **{variant.title: f"{variant.name}/seed*" for variant in variants().values()}}
    last = f"{kind}/summary.json"  # written when the evaluation has ended
    found = {title: sorted(file.parents[1] for file in out.glob(f"{run}/{last}")) for title, run in folders.items()}
    return {title: group for title, group in found.items() if group}


def _mean(title: str, group: Sequence[Line]) -> Line:
    """The mean over seeds of every problem's score and tokens, as a line of a table."""

    def over_seeds(values: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.mean([one[name] for one in values], axis=0) for name in values[0]}

    label = title if len(group) == 1 else f"{title}, {len(group)} seeds"
    scores, tokens = [line.scores for line in group], [line.tokens for line in group]
    return replace(group[0], label=label, run=label, scores=over_seeds(scores), tokens=over_seeds(tokens))


def _records(kind: str, untrained: Line, title: str, group: Sequence[Line]) -> list[Record]:
    """Of the problems of the families taught: the mean of a row's seeds, with its changes, and each seed."""

    def figures(line: Line) -> tuple[float, float]:
        return float(line.tokens["test"].mean()), 100 * float(line.scores["test"].mean())

    average = _mean(title, group)
    if title == UNTRAINED:
        return [Record(title, kind, "mean", *figures(average))]

    def change(statistic: statistics.Statistic) -> Change | None:
        sizes = untrained.sizes(["test"])
        ends = statistics.interval(statistic, sizes)
        return None if ends is None else (100 * statistics.whole(statistic, sizes), 100 * ends[0], 100 * ends[1])

    tokens = statistics.relative_change([average.tokens["test"]], [untrained.tokens["test"]])
    accuracy_ = statistics.difference([average.scores["test"]], [untrained.scores["test"]])
    seeds = [Record(title, kind, line.run.rpartition("seed")[2], *figures(line)) for line in group]
    return [Record(title, kind, "mean", *figures(average), change(tokens), change(accuracy_)), *seeds]


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
