"""A recipe's runs beside the untrained model, from every run in its folder: tables, plots and records of them.

``untrained`` and each variant's ``seed*`` hold a run of ``sgrpo eval`` for each kind of decoding.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from recipes import kept
from recipes.ablation.report import KINDS, plot_curves
from recipes.ablation.variants import UNTRAINED, Variant
from recipes.language.picture import Change, Record, draw, write_records
from sgrpo_verl.eval import compare, plots, statistics
from sgrpo_verl.eval.lines import Line, read_run
from sgrpo_verl.eval.report import print_whole


def write(out: Path, variants: Collection[Variant], tests: Sequence[str], console: Console) -> None:
    """For each decoding a table, a plot of each test set and a ``.csv``; one picture of all, and the training's curves.

    Args:
        out: the recipe's folder.
        variants: whose runs are looked for.
        tests: names of the test sets; picture and records are of the first.
        console: where the tables are printed.

    Raises:
        UserError: a run has other problems than the untrained model's; nothing is written then.
    """
    records = []
    for kind, lines in {kind: _lines(out, variants, kind, tests, console) for kind in KINDS}.items():
        means = [_mean(title, group) for title, group in lines.items()]
        evaluated = list(means[0].scores)
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
        records += [record for group in lines.items() for record in _records(kind, tests[0], means[0], *group)]
    write_records(records, out / "before_after.csv")
    draw(records, out / "before_after.png")
    trained = runs_of(out, variants, KINDS[0])
    plot_curves(out, [one for one in variants if one.title in trained], out / "curves.png")


def runs_of(out: Path, variants: Collection[Variant], kind: str) -> dict[str, list[Path]]:
    """Each variant's runs, one for each seed, that were evaluated with this decoding, by title; untrained first."""
    folders = {UNTRAINED: UNTRAINED, **{variant.title: f"{variant.name}/seed*" for variant in variants}}
    found = {
        title: sorted(run for run in out.glob(pattern) if kept.finished(run / kind))
        for title, pattern in folders.items()
    }
    return {title: group for title, group in found.items() if group}


def _lines(
    out: Path, variants: Collection[Variant], kind: str, tests: Sequence[str], console: Console
) -> dict[str, list[Line]]:
    """Each variant's runs, by title, on those test sets that the untrained model was evaluated on."""
    lines = {
        title: [read_run(run / kind, f"{run.relative_to(out)}", console)[0] for run in group]
        for title, group in runs_of(out, variants, kind).items()
    }
    untrained = next(iter(lines.values()))[0]
    evaluated = [test for test in tests if test in untrained.scores]
    lines = {title: [_restricted(line, evaluated) for line in group] for title, group in lines.items()}
    compare.same_problems([line for group in lines.values() for line in group])
    return lines


def _restricted(line: Line, tests: Sequence[str]) -> Line:
    """To these test sets, as far as the run has them."""

    def of_tests(values: dict[str, Any]) -> dict[str, Any]:
        return {test: values[test] for test in tests if test in values}

    return replace(line, problems=of_tests(line.problems), scores=of_tests(line.scores), tokens=of_tests(line.tokens))


def _mean(title: str, group: Sequence[Line]) -> Line:
    """The mean over seeds of every problem's score and tokens, as a line of a table."""

    def over_seeds(values: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.mean([one[name] for one in values], axis=0) for name in values[0]}

    label = title if len(group) == 1 else f"{title}, {len(group)} seeds"
    scores, tokens = [line.scores for line in group], [line.tokens for line in group]
    return replace(group[0], label=label, run=label, scores=over_seeds(scores), tokens=over_seeds(tokens))


def _records(kind: str, test: str, untrained: Line, title: str, group: Sequence[Line]) -> list[Record]:
    """Of one test set: the mean of a row's seeds, with its changes, and each seed."""

    def figures(line: Line) -> tuple[float, float]:
        return float(line.tokens[test].mean()), 100 * float(line.scores[test].mean())

    average = _mean(title, group)
    if title == UNTRAINED:
        return [Record(title, kind, "mean", *figures(average))]

    def change(statistic: statistics.Statistic) -> Change | None:
        sizes = untrained.sizes([test])
        ends = statistics.interval(statistic, sizes)
        return None if ends is None else (100 * statistics.whole(statistic, sizes), 100 * ends[0], 100 * ends[1])

    tokens = statistics.relative_change([average.tokens[test]], [untrained.tokens[test]])
    accuracy_ = statistics.difference([average.scores[test]], [untrained.scores[test]])
    seeds = [Record(title, kind, line.run.rpartition("seed")[2], *figures(line)) for line in group]
    return [Record(title, kind, "mean", *figures(average), change(tokens), change(accuracy_)), *seeds]
