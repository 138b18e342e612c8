"""Prints a run's summary as tables."""

import math
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from sgrpo_verl.answers.checker import SECONDS_PER_CHECK
from sgrpo_verl.eval.exits import print_savings

LENGTHS = ("response", "thought", "answer", "inserted", "trial")
Figure = dict[str, Any]


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """One column per benchmark and the average; for a budget run, one table per benchmark with a row for each cap."""
    checks = summary["checks"]
    if checks["overran"] or checks["lost"]:
        console.print(
            f"of {checks['checks']} comparisons, {checks['overran']} overran {SECONDS_PER_CHECK:.0f} seconds and "
            f"{checks['lost']} lost their process (for want of memory, say); they count as wrong"
        )
    if "exits" in summary:
        print_savings(summary["exits"], console)
    rows = [(row["cap"], _with_average(row)) for row in summary["rows"]]
    if rows[0][0] is None:
        figures = rows[0][1]
        table = Table("", *figures)
        for title, *cells in zip(*(_cells(figure) for figure in figures.values()), strict=True):
            table.add_row(title[0], title[1], *(cell for _, cell in cells))
        print_whole(console, table)
        return
    for name in rows[0][1]:
        titles = [title for title, _ in _cells(rows[0][1][name])]
        table = Table("most thought tokens", *titles, title=name)
        for cap, figures in rows:
            table.add_row(str(cap), *(cell for _, cell in _cells(figures[name])))
        print_whole(console, table)


def _with_average(row: dict[str, Any]) -> dict[str, Figure]:
    several = len(row["benchmarks"]) > 1
    return {**row["benchmarks"], **({"average": row["average"]} if several else {})}


def _cells(figure: Figure) -> list[tuple[str, str]]:
    """Title and text of each figure."""
    speed = figure.get("tokens_per_second")
    return [
        ("problems", str(figure.get("problems", ""))),
        ("accuracy", f"{figure['accuracy']:.1%}"),
        ("95 %", interval_text(figure["accuracy_interval"])),
        *((f"{part} tokens", f"{figure[f'{part}_tokens']:,.1f}") for part in LENGTHS),
        ("thoughts closed", f"{figure['closed']:.1%}"),
        ("cut at a limit", f"{figure['cut']:.1%}"),
        ("tokens per second", f"{speed:,.0f}" if speed else ""),
    ]


def interval_text(interval: tuple[float, float] | None) -> str:
    """In percent; a dash where there is none."""
    return "–" if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}"


def change_text(change: float, interval: tuple[float, float] | None, digits: int = 1, unit: str = "") -> str:
    """A change in percent or points, with its interval; a dash where there is none, as from 0 tokens."""
    if not math.isfinite(change):
        return "–"
    within = "" if interval is None else f" ({100 * interval[0]:+.1f} … {100 * interval[1]:+.1f})"
    return f"{100 * change:+.{digits}f}{unit}{within}"


def print_whole(console: Console, table: Table) -> None:
    """Print a table as it is, and as wide as it needs to be, because a figure that is cut off is useless."""
    terminal, quiet = console.is_terminal, console.quiet
    # Names of runs and benchmarks are no markup, whatever is in them.
    plain = Console(file=console.file, force_terminal=terminal, quiet=quiet, markup=False, emoji=False)
    unlimited = plain.options.update(max_width=10_000)
    plain.width = max(console.width, Measurement.get(plain, unlimited, table).maximum)
    plain.print(table)
