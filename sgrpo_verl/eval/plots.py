"""Plots as PNG: accuracy against tokens for several runs, and budget curves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.lines import Line

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError as error:
    raise UserError("plots need matplotlib: pip install 'sgrpo-verl[eval]'") from error


def _average(values: dict[str, np.ndarray], benchmarks: Sequence[str]) -> float:
    return float(np.mean([values[name].mean() for name in benchmarks]))


def _curves(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """The lines of each run, in the order of the table."""
    runs: dict[str, list[Line]] = {}
    for line in lines:
        runs.setdefault(line.run, []).append(line)
    return runs


def _named(benchmarks: Sequence[str]) -> str:
    return benchmarks[0] if len(benchmarks) == 1 else f"mean of {len(benchmarks)} benchmarks"


def plot_accuracy_against_tokens(lines: Sequence[Line], benchmarks: Sequence[str], path: Path) -> None:
    """One point for a run, one line for the caps of a budget run; averages over the benchmarks."""
    figure, panel = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for run, points in _curves(lines).items():
        tokens = [_average(point.tokens, benchmarks) for point in points]
        accuracy = [100 * _average(point.scores, benchmarks) for point in points]
        panel.plot(tokens, accuracy, marker="o", label=run, linestyle="-" if len(points) > 1 else "none")
    panel.set(
        title=f"Accuracy against length, {_named(benchmarks)}",
        xlabel="tokens per response",
        ylabel="accuracy (%)",
        xlim=(0, None),
    )
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_budgets(lines: Sequence[Line], benchmarks: Sequence[str], path: Path) -> None:
    """Accuracy and tokens spent against the cap on the thought, a line for each budget run."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for run, points in _curves(lines).items():
        capped = [point for point in points if point.cap is not None]
        if capped:
            caps = [point.cap for point in capped]
            panels[0].plot(caps, [100 * _average(point.scores, benchmarks) for point in capped], marker="o", label=run)
            panels[1].plot(caps, [_average(point.tokens, benchmarks) for point in capped], marker="o", label=run)
    panels[0].set(title=f"Accuracy under a budget, {_named(benchmarks)}", ylabel="accuracy (%)")
    panels[1].set(title="Tokens used under a budget", ylabel="tokens per response")
    for panel in panels:
        panel.set(xlabel="maximum length of the thought (tokens)")
        panel.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
