"""Compares several runs, as the paper's tables do: accuracy and tokens on each benchmark, averages, changes, plots."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Column, Table

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval import statistics
from sgrpo_verl.eval.folder import settings_of
from sgrpo_verl.eval.lines import Asked, Line, read_run
from sgrpo_verl.eval.report import change_text, interval_text, print_whole
from sgrpo_verl.files import make_folder

HEADER = ("run", "benchmark", "cap", "accuracy", "low", "high", "tokens", "accuracy_change", "tokens_change")
DECODING = ("temperature", "top_p", "max_tokens", "think_end")  # settings that figures depend on, whatever the method


def compare(runs: Sequence[Path], labels: Sequence[str], out: Path, console: Console) -> None:
    """Print the table and write ``table.md``, ``table.csv``, ``compare.png`` and, of budgets, ``budget.png``.

    Raises:
        UserError: a run does not exist or is not finished, or has other problems or samples than the first; or ``out``
            cannot be made.
    """
    if labels and len(labels) != len(runs):
        raise UserError(f"--labels: {len(labels)} for {len(runs)} runs; give one for each, or none")
    if len(set(labels)) < len(labels):
        raise UserError(f"--labels {','.join(labels)}: two runs have the same label")
    make_folder(out)
    names = list(labels) or _names(runs)
    lines = [line for run, name in zip(runs, names, strict=True) for line in read_run(run, name, console)]
    benchmarks = same_problems(lines)
    _tell_other_settings(runs, names, console)
    result = table(lines, benchmarks)
    print_whole(console, result)
    (out / "table.md").write_text(markdown(result))
    write_csv(lines, benchmarks, out / "table.csv")
    from sgrpo_verl.eval import plots

    points, name = plots.points(lines, benchmarks), plots.named(benchmarks)
    plots.plot_accuracy_against_tokens(points, name, out / "compare.png")
    written = "table.md, table.csv, compare.png"
    if any(line.cap is not None for line in lines):
        plots.plot_budgets(points, name, out / "budget.png")
        written += ", budget.png"
    console.print(f"{written} are in {out}", soft_wrap=True, markup=False)


def _tell_other_settings(runs: Sequence[Path], names: Sequence[str], console: Console) -> None:
    """One line for each run that was decoded otherwise than the first."""
    first, *others = map(settings_of, runs)
    for name, ours in zip(names[1:], others, strict=True):
        differ = [key for key in DECODING if key in ours and key in first and ours[key] != first[key]]
        if differ:
            text = "; ".join(f"{key}: {ours[key]!r} and {first[key]!r}" for key in differ)
            console.print(f"{name} and {names[0]} have other settings ({text})", soft_wrap=True, markup=False)


def _names(runs: Sequence[Path]) -> list[str]:
    """The folders' names, preceded by their parents' names if two are the same."""
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = ["/".join(run.resolve().parts[-2:]) for run in runs]
    if len(set(names)) < len(names):
        raise UserError(f"the runs' names are not different ({', '.join(names)}): name them with --labels")
    return names


def same_problems(lines: Sequence[Line]) -> list[str]:
    """The benchmarks' names; each must have the same problems in every run, and as many samples of each."""
    first = lines[0]
    for line in lines[1:]:
        counts = [{name: len(asked) for name, asked in one.problems.items()} for one in (line, first)]
        if counts[0] != counts[1]:
            raise UserError(
                f"{line.label} has other problems ({counts[0]}) than {first.label} ({counts[1]}): runs are compared on "
                "the same problems of the same benchmarks"
            )
        for name, problems in line.problems.items():
            for ours, theirs in zip(problems, first.problems[name], strict=True):
                _check_same(line, ours, first, theirs, name)
    return list(first.scores)


def _check_same(line: Line, ours: Asked, first: Line, theirs: Asked, benchmark: str) -> None:
    if not ours.same_problem(theirs):
        raise UserError(
            f"{line.label} has another problem {ours.index} of {benchmark} (truth and choices: {ours.truth}) than "
            f"{first.label} (problem {theirs.index}, {theirs.truth}), or words it otherwise: runs are compared on the "
            "same problems of the same benchmarks"
        )
    if ours.samples != theirs.samples:
        raise UserError(
            f"{line.label} has {len(ours.samples)} samples of problem {ours.index} of {benchmark}, and {first.label} "
            f"has {len(theirs.samples)}: runs are compared on the same --samples"
        )


def _reference(line: Line, lines: Sequence[Line]) -> Line | None:
    """The line to compare with: the first run's; of a budget the one at the same cap, None if there is none."""
    if lines[0].cap is None:
        return lines[0]
    return next((one for one in lines if one.run == lines[0].run and one.cap == line.cap), None)


def _changes(line: Line, first: Line, names: Sequence[str]) -> tuple[statistics.Statistic, statistics.Statistic]:
    """Change of accuracy in points and of tokens as a share, against ``first``, paired by problem."""
    return (
        statistics.difference([line.scores[n] for n in names], [first.scores[n] for n in names]),
        statistics.relative_change([line.tokens[n] for n in names], [first.tokens[n] for n in names]),
    )


def table(lines: Sequence[Line], benchmarks: Sequence[str]) -> Table:
    """Rows: runs; columns: accuracy and tokens of each benchmark and on average, change against the first row."""
    groups = [(name, [name]) for name in benchmarks] + ([("average", list(benchmarks))] if len(benchmarks) > 1 else [])
    result = Table()
    result.add_column("")
    for name, _ in groups:
        result.add_column(f"{name} accuracy", justify="right", no_wrap=True)
        result.add_column(f"{name} tokens", justify="right", no_wrap=True)
    for column in ("accuracy, 95 %", "Δ accuracy (points)", "Δ tokens"):
        result.add_column(column, justify="right", no_wrap=True)
    sizes = lines[0].sizes(benchmarks)
    for line in lines:
        cells = [line.label]
        for _, names in groups:
            cells.append(f"{100 * np.mean([line.scores[name].mean() for name in names]):.2f}")
            cells.append(f"{np.mean([line.tokens[name].mean() for name in names]):,.1f}")
        accuracy = statistics.mean([line.scores[name] for name in benchmarks])
        cells.append(interval_text(statistics.interval(accuracy, sizes)))
        reference = _reference(line, lines)
        if reference is not None and line is not reference:
            points, share = (
                (statistics.whole(change, sizes), statistics.interval(change, sizes))
                for change in _changes(line, reference, benchmarks)
            )
            cells += [change_text(*points, digits=2), change_text(*share, unit=" %")]
        result.add_row(*cells)
    return result


def markdown(result: Table) -> str:
    """The table in Markdown, and below it what its changes and tokens are."""
    text = io.StringIO()
    columns = (Column(_cell(one.header), justify=one.justify, no_wrap=one.no_wrap) for one in result.columns)
    escaped = Table(*columns, box=box.MARKDOWN)
    for row in zip(*(column.cells for column in result.columns), strict=True):
        escaped.add_row(*map(_cell, row))
    print_whole(Console(file=text, color_system=None), escaped)
    note = (
        "Tokens: all that was spent on a response, an inserted exit prompt and trial answers included. Changes are "
        "against the first run (if that is a budget: at the same cap, and none where it lacks the cap), with "
        f"{statistics.CONFIDENCE:.0%} intervals from a bootstrap paired by problem."
    )
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip()) + f"\n\n{note}\n"


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|")


def write_csv(lines: Sequence[Line], benchmarks: Sequence[str], file: Path) -> None:
    """One record a line and benchmark, and one for the average (benchmark ``average``)."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(HEADER)
        for line in lines:
            for label, names in (*((name, [name]) for name in benchmarks), ("average", list(benchmarks))):
                accuracy = statistics.mean([line.scores[name] for name in names])
                tokens = statistics.mean([line.tokens[name] for name in names])
                sizes = line.sizes(names)
                reference = _reference(line, lines)
                changes = () if reference is None else _changes(line, reference, names)
                figures = [statistics.whole(change, sizes) for change in changes] or [math.nan, math.nan]
                writer.writerow(
                    [
                        *(line.run, label, line.cap or ""),
                        statistics.whole(accuracy, sizes),
                        *(statistics.interval(accuracy, sizes) or ("", "")),
                        statistics.whole(tokens, sizes),
                        *(one if math.isfinite(one) else "" for one in figures),
                    ]
                )
