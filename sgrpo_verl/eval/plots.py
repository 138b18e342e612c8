"""Plots as PNG: accuracy against tokens for several runs, and budget curves, with 95 % intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval import statistics
from sgrpo_verl.eval.lines import Line

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError as error:
    raise UserError("plots need matplotlib: pip install 'sgrpo-verl[eval]'") from error

# Okabe and Ito's colours, which can be told apart by the colour-blind; a marker each, for who prints in grey.
COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F", "#6A3D9A")
MARKERS = "os^DvPX<>*"
LINES = ("-", "--", "-.", ":")
CAPTION = "Bars are 95 % intervals of each run, from a bootstrap over problems."
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Point:
    """A run in a plot, or one cap of a budget run: means over problems and benchmarks, with their intervals."""

    run: str
    cap: int | None
    tokens: float
    tokens_interval: Interval
    accuracy: float  # in %
    accuracy_interval: Interval


def points(lines: Sequence[Line], benchmarks: Sequence[str]) -> list[Point]:
    """A point for each line of the table."""

    def figure(values: dict[str, np.ndarray], sizes: Sequence[int], unit: float) -> tuple[float, Interval]:
        statistic = statistics.mean([unit * values[name] for name in benchmarks])
        return statistics.whole(statistic, sizes), statistics.interval(statistic, sizes)

    found = []
    for line in lines:
        sizes = line.sizes(benchmarks)
        found.append(Point(line.run, line.cap, *figure(line.tokens, sizes, 1), *figure(line.scores, sizes, 100)))
    return found


def named(benchmarks: Sequence[str]) -> str:
    return benchmarks[0] if len(benchmarks) == 1 else f"mean of {len(benchmarks)} benchmarks"


def plot_accuracy_against_tokens(points: Sequence[Point], name: str, path: Path) -> None:
    """One point for a run, one line for the caps of a budget run; bars in both directions. ``name``: of what."""
    figure, panel = plt.subplots(figsize=(6.5, 5), layout="constrained")
    for (run, own), style in zip(_runs(points).items(), styles(), strict=False):
        line = "-" if len(own) > 1 else "none"
        across = _bars([(one.tokens, one.tokens_interval) for one in own])
        up = _bars([(one.accuracy, one.accuracy_interval) for one in own])
        tokens, accuracy = [one.tokens for one in own], [one.accuracy for one in own]
        panel.errorbar(tokens, accuracy, xerr=across, yerr=up, **style, linestyle=line, label=_plain(run))
    panel.set(title=f"Accuracy against length, {_plain(name)}", xlabel="tokens per response", ylabel="accuracy (%)")
    panel.set_xlim(0, None)
    panel.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, title=CAPTION)
    save(figure, path)


def plot_budgets(points: Sequence[Point], name: str, path: Path) -> None:
    """Accuracy and tokens spent against the cap on the thought, a line for each budget run."""
    figure, panels = plt.subplots(2, 1, figsize=(6.5, 7), sharex=True, layout="constrained")
    hollow: dict[str, Any] = {"fillstyle": "none", "markersize": 9}  # runs with equal figures stay visible
    for (run, own), style, line in zip(_runs(points).items(), styles(), cycle(LINES), strict=False):
        capped = [one for one in own if one.cap is not None]
        caps = [one.cap for one in capped]
        if capped:
            accuracy = [(one.accuracy, one.accuracy_interval) for one in capped]
            tokens = [(one.tokens, one.tokens_interval) for one in capped]
            for panel, figures in zip(panels, (accuracy, tokens), strict=True):
                values = [value for value, _ in figures]
                panel.errorbar(caps, values, yerr=_bars(figures), **style, **hollow, linestyle=line, label=_plain(run))
    panels[0].set(title=f"Accuracy under a budget, {_plain(name)}", ylabel="accuracy (%)")
    panels[1].set(title="Tokens used under a budget", ylabel="tokens per response", ylim=(0, None))
    panels[1].set_xlabel("maximum length of the thought (tokens)")
    for panel in panels:
        panel.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    figure.supxlabel(CAPTION, fontsize="medium")
    save(figure, path)


def styles() -> Iterable[dict[str, Any]]:
    """Colour and marker of the first run, the second, …"""
    for color, marker in cycle(zip(COLORS, MARKERS, strict=True)):
        yield {"color": color, "marker": marker, "elinewidth": 1.2, "capsize": 3}


def save(figure: Any, path: Path) -> None:
    """White behind the plot, so that it can be read on a dark page, too."""
    figure.savefig(path, dpi=130, facecolor="white", bbox_inches="tight")  # a legend may be wider than its plot
    plt.close(figure)


def _plain(name: str) -> str:
    """A name as it is: what is between two dollar signs would be mathematics."""
    return name.replace("$", r"\$")


def _runs(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points of each run, in the order of the table."""
    runs: dict[str, list[Point]] = {}
    for point in points:
        runs.setdefault(point.run, []).append(point)
    return runs


def _bars(figures: Sequence[tuple[float, Interval]]) -> np.ndarray:
    """Lengths below and above each figure, (2, figures); nothing is drawn where the interval is unknown."""
    ends = [(value - one[0], one[1] - value) if one else (np.nan, np.nan) for value, one in figures]
    return np.maximum(np.array(ends), 0).T  # a mean of seeds may lie a rounding outside its interval
