"""The ablation's table, its plots, and worked examples, from the runs that are there."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from recipes.ablation.variants import UNTRAINED, Variant
from sgrpo_verl.eval.plots import COLORS, MARKERS, save
from sgrpo_verl.eval.report import print_whole
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END
from sgrpo_verl.workbench.evaluate import accuracy_by_rechecks, read_responses, summarize
from sgrpo_verl.workbench.task import Task
from sgrpo_verl.workbench.train import accuracy, read_steps, response_length

EXAMPLES = 10
KINDS = ("greedy", "sampled")
DECODING = {"greedy": "greedy decoding", "sampled": "sampled at temperature 1"}
SHARES = {"rechecked": "re-checks", "exit_prompts": "says the exit prompt"}  # of the sampled thoughts


def write(folder: Path, task: Task, name: str, variants: Sequence[Variant], console: Console) -> None:
    """``<name>.md``, ``<name>.csv``, ``<name>.png`` and ``<name>_curves.png``: these variants beside the untrained."""
    figures = {variant: _figures(folder / variant.name) for variant in variants}
    untrained = {kind: summarize(folder / UNTRAINED / kind) for kind in KINDS}
    print_whole(console, _table(figures, untrained, box.HEAVY_HEAD, f"{task.name}: {name}"))
    _write_markdown(_table(figures, untrained, box.MARKDOWN), folder / f"{name}.md")
    _write_csv(figures, untrained, folder / f"{name}.csv")
    _plot_runs(figures, untrained, folder / f"{name}.png", task.name.replace("_", " ").capitalize())
    plot_curves(folder, variants, folder / f"{name}_curves.png")


def write_rechecks(folder: Path) -> None:
    """``rechecks.md``: the untrained reasoner's accuracy by the number of re-checks, sampled at temperature 1."""
    table = Table("re-checks", "responses", "accuracy (%)", box=box.MARKDOWN)
    for rechecks, (accuracy_, count) in accuracy_by_rechecks(read_responses(folder / UNTRAINED / "sampled")).items():
        table.add_row(str(rechecks), str(count), f"{100 * accuracy_:.1f}")
    _write_markdown(table, folder / "rechecks.md")


def write_by_additions(folder: Path, variants: Sequence[Variant]) -> None:
    """``by_additions.md``: accuracy by how many additions a sum needs, all seeds of a variant together."""
    questions = [prompt[-1]["content"] for prompt in pd.read_parquet(folder / "data" / "test.parquet")["prompt"]]
    additions = [question.count("+") for question in questions]
    table = Table("", "decoding", *(f"{number} additions (%)" for number in sorted(set(additions))), box=box.MARKDOWN)
    runs = {"untrained": [folder / UNTRAINED]}
    runs |= {
        variant.title: sorted(run.parent for run in (folder / variant.name).glob("seed*/seconds.json"))
        for variant in variants
    }
    for title, folders in runs.items():
        for kind in KINDS:
            responses = [response for run in folders for response in read_responses(run / kind)]
            scores = pd.Series([response["score"] for response in responses])
            means = scores.groupby([additions[response["index"]] for response in responses]).mean()
            table.add_row(title, kind, *(f"{100 * share:.1f}" for share in means))
    _write_markdown(table, folder / "by_additions.md")


def _write_markdown(table: Table, file: Path) -> None:
    with file.open("w") as opened:
        print_whole(Console(file=opened, color_system=None), table)


def _figures(folder: Path) -> list[dict[str, Any]]:
    """Of each seed's run: its number, and its summaries."""
    runs = sorted(run for run in folder.glob("seed*") if (run / "seconds.json").exists())
    return [{"seed": run.name, **{kind: summarize(run / kind) for kind in KINDS}} for run in runs]


def _spread(values: Sequence[float], digits: int) -> str:
    """Mean and standard deviation over the seeds."""
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def _table(
    figures: dict[Variant, list[dict[str, Any]]], untrained: dict[str, dict[str, float]], style: Any, title: str = ""
) -> Table:
    table = Table("", "seeds", box=style, title=title or None)
    for kind in KINDS:
        for column in ("accuracy (%)", "Δ points", "tokens", "Δ tokens (%)"):
            table.add_column(f"{kind}: {column}", justify="right")
    for title_ in SHARES.values():
        table.add_column(f"sampled: {title_} (%)", justify="right")
    base_cells = [(untrained[kind]["accuracy"], untrained[kind]["response_tokens"]) for kind in KINDS]
    row = ["untrained", ""]
    for share, tokens in base_cells:
        row += [f"{100 * share:.1f}", "", f"{tokens:.1f}", ""]
    table.add_row(*row, *(f"{100 * untrained['sampled'][share]:.1f}" for share in SHARES))
    for variant, runs in figures.items():
        if not runs:
            continue
        row = [variant.title, str(len(runs))]
        for kind in KINDS:
            base = untrained[kind]
            accuracies = [100 * run[kind]["accuracy"] for run in runs]
            lengths = [run[kind]["response_tokens"] for run in runs]
            row += [
                _spread(accuracies, 1),
                f"{mean(accuracies) - 100 * base['accuracy']:+.1f}",
                _spread(lengths, 1),
                f"{100 * (mean(lengths) / base['response_tokens'] - 1):+.1f}",
            ]
        table.add_row(*row, *(_spread([100 * run["sampled"][share] for run in runs], 1) for share in SHARES))
    return table


def _write_csv(
    figures: dict[Variant, list[dict[str, Any]]], untrained: dict[str, dict[str, float]], file: Path
) -> None:
    """A record for every run and kind of decoding."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("variant", "seed", "decoding", *untrained["greedy"]))
        for kind in KINDS:
            writer.writerow((UNTRAINED, "", kind, *untrained[kind].values()))
        for variant, runs in figures.items():
            for run in runs:
                for kind in KINDS:
                    writer.writerow((variant.name, run["seed"], kind, *run[kind].values()))


def _plot_runs(
    figures: dict[Variant, list[dict[str, Any]]], untrained: dict[str, dict[str, float]], path: Path, task: str
) -> None:
    """Accuracy against response tokens, a point for every run."""
    figure, panels = plt.subplots(2, 1, figsize=(6.5, 7.5), sharex=True, layout="constrained")
    for panel, kind in zip(panels, KINDS, strict=True):
        base = untrained[kind]
        panel.plot(base["response_tokens"], 100 * base["accuracy"], "k*", markersize=13, label="untrained")
        for (variant, runs), color, marker in zip(figures.items(), COLORS[1:], MARKERS[1:], strict=False):
            panel.plot(
                [run[kind]["response_tokens"] for run in runs],
                [100 * run[kind]["accuracy"] for run in runs],
                marker,
                color=color,
                markersize=8,
                fillstyle="none",  # runs that end in the same place stay visible
                markeredgewidth=1.5,
                label=variant.title,
            )
        panel.set(title=f"{task}, {DECODING[kind]}", ylabel="accuracy (%)", xlim=(0, None))
        panel.set_ylim(min(90, panel.get_ylim()[0]), 100.5)  # so that half a point looks small
        panel.grid(alpha=0.3)
    panels[1].set_xlabel("tokens per response")
    _legend_below(figure, panels[0], "One point for each run")
    save(figure, path)


def plot_curves(folder: Path, variants: Sequence[Variant], path: Path) -> None:
    """Length and accuracy of the sampled full responses over the training steps, a thin line a run, a thick mean."""
    figure, panels = plt.subplots(2, 1, figsize=(6.5, 7.5), sharex=True, layout="constrained")
    for panel, (title, value) in zip(
        panels, (("length (tokens)", response_length), ("accuracy", accuracy)), strict=True
    ):
        for color, variant in zip(COLORS[1:], variants, strict=False):
            if value is accuracy and "+sgrpo=length_penalty" in variant.overrides:
                continue  # verl reports its score, from which the penalty has been taken
            runs = sorted((folder / variant.name).glob("seed*/metrics.jsonl"))
            curves = [pd.Series({step["step"]: value(step) for step in read_steps(run)}) for run in runs]
            for curve in curves:
                panel.plot(curve.index, curve, color=color, alpha=0.25, linewidth=0.8)
            if curves:
                average = pd.concat(curves, axis=1).mean(axis=1)
                panel.plot(average.index, average, color=color, label=variant.title)
        panel.set(title=f"{title} of the sampled responses", ylim=(0, None))
        panel.grid(alpha=0.3)
    panels[1].set_xlabel("training step")
    _legend_below(figure, panels[0], "Thick: mean of the runs. Thin: single runs.")
    save(figure, path)


def _legend_below(figure: Any, panel: Any, note: str) -> None:
    """One legend for both panels, which have the same rows."""
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, title=note)


def write_examples(folder: Path) -> None:
    """``examples.txt``: the untrained thought cut at S-GRPO's length beside S-GRPO's own; first where one is wrong."""
    ours = read_responses(folder / "sgrpo" / "seed0" / "greedy")
    cut = read_responses(folder / "truncation" / "untrained, cut")
    questions = [prompt[-1]["content"] for prompt in pd.read_parquet(folder / "data" / "test.parquet")["prompt"]]
    pairs = sorted(zip(ours, cut, strict=True), key=lambda pair: pair[0]["score"] == pair[1]["score"])
    parts = []
    for own, other in pairs[:EXAMPLES]:
        parts.append(f"=== {questions[own['index']]} (answer {own['ground_truth']})")
        for title, response in (("S-GRPO", own), ("untrained, cut at that length", other)):
            verdict = "right" if response["score"] else "wrong"
            parts.append(f"--- {title}: {response['thought_tokens']} thought tokens, {verdict}")
            parts.append(f"{response['thought']}{EXIT_PROMPT if response['exited'] else THINK_END}{response['answer']}")
    (folder / "examples.txt").write_text("\n".join(parts) + "\n")
    counts = {
        "both right": sum(own["score"] == other["score"] == 1 for own, other in pairs),
        "only S-GRPO right": sum(own["score"] > other["score"] for own, other in pairs),
        "only the cut thought right": sum(own["score"] < other["score"] for own, other in pairs),
        "both wrong": sum(own["score"] == other["score"] == 0 for own, other in pairs),
    }
    (folder / "truncation" / "counts.json").write_text(json.dumps(counts, indent=2) + "\n")
