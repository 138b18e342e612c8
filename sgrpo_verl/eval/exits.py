"""What a run of the method ``exits`` says: how much of the thought is redundant, and what leaving it early would save.

Of each sample there are early exits at even distances in one thought, and the full response. Which of them are right
says after which share of the thought the answer was there.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

Record = dict[str, Any]  # a completion, and its score under "score"


def savings(records: Sequence[Record]) -> dict[str, float | None]:
    """Means over the samples of one benchmark.

    - ``ever_right``: share of samples of which an exit or the full response is right.
    - ``first_right``: mean share of the thought at the first right exit, as ``sgrpo/exit_position/first_right`` in
      training: 1 where only the full response is right. Samples that are never right are left out; None if all are.
    - ``stays_right``: the same at the first right exit after which nothing is wrong any more, the full response
      included. A lucky guess is not counted there. Samples whose full response is wrong are left out.
    - ``tokens``, ``tokens_first_right``, ``tokens_stays_right``: tokens of the full response, and what they would be if
      each thought had ended there, and as they are where it would not. The inserted exit prompt is not counted, since a
      trained model writes its own end.
    """
    samples: dict[tuple[int, int], list[Record]] = defaultdict(list)
    for record in records:
        samples[record["index"], record["sample"]].append(record)
    first: list[float] = []
    stays: list[float] = []
    tokens: list[int] = []
    tokens_first: list[int] = []
    tokens_stays: list[int] = []
    for rows in samples.values():
        full = rows[-1]
        tokens.append(full["response_tokens"])
        right = [row["score"] > 0.5 for row in rows]
        earliest = right.index(True) if any(right) else None
        settled = len(right) - right[::-1].index(False) if False in right else 0
        for number, shares, counts in ((earliest, first, tokens_first), (settled, stays, tokens_stays)):
            row = rows[number] if number is not None and number < len(rows) else None
            # An exit's answer may be longer than what it saves: nobody would leave there.
            counts.append(full["response_tokens"] if row is None else min(row["response_tokens"], tokens[-1]))
            if row is not None and full["of_thought"]:
                shares.append(row["thought_tokens"] / full["of_thought"])
    return {
        "ever_right": mean(any(row["score"] > 0.5 for row in rows) for rows in samples.values()),
        "first_right": mean(first) if first else None,
        "stays_right": mean(stays) if stays else None,
        "tokens": mean(tokens),
        "tokens_first_right": mean(tokens_first),
        "tokens_stays_right": mean(tokens_stays),
    }


def by_share(records: Sequence[Record]) -> list[dict[str, float]]:
    """For each exit in turn, where it is on average and how many are right; the full response is not among them."""
    exits: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        if record["exit_index"] is not None:
            exits[record["exit_index"]].append(record)
    return [
        {
            "share": mean(row["thought_tokens"] / row["of_thought"] for row in rows),
            "accuracy": mean(row["score"] for row in rows),
        }
        for _, rows in sorted(exits.items())
    ]


def print_savings(summary: dict[str, dict[str, Any]], console: Console) -> None:
    """``summary``: by benchmark, ``savings`` and ``by_share`` of it, and the accuracy of its full responses."""
    from sgrpo_verl.eval.report import print_whole

    table = Table("", "accuracy", "tokens", "first right answer after", "stays right after", "tokens by then")
    for name, figures in summary.items():
        saved = figures["savings"]
        lengths = [saved[key] for key in ("tokens_first_right", "tokens_stays_right")]
        table.add_row(
            name,
            f"{figures['accuracy']:.1%}",
            f"{saved['tokens']:,.0f}",
            _share(saved["first_right"]),
            _share(saved["stays_right"]),
            "; ".join(f"{length:,.0f} ({length / saved['tokens'] - 1:+.0%})" for length in lengths),
        )
    print_whole(console, table)
    console.print(
        "What lies behind the first right answer is redundant. Tokens by then: had each thought ended at that one of "
        "these exits; a response that is never right counts in full. Guesses count as right there; where the answer "
        "stays right is the careful figure."
    )


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%} of the thought"


def plot_exits(summary: dict[str, dict[str, Any]], path: Path) -> None:
    """Accuracy of early exits against their place in the thought, a line for each benchmark, dashed: full responses."""
    from sgrpo_verl.eval.plots import plt, save, styles

    figure, panel = plt.subplots(figsize=(6.5, 4.8), layout="constrained")
    for (name, figures), style in zip(summary.items(), styles(), strict=False):
        shares = [100 * one["share"] for one in figures["exits"]]
        panel.errorbar(shares, [100 * one["accuracy"] for one in figures["exits"]], **style, label=name)
        panel.axhline(100 * figures["accuracy"], color=style["color"], linestyle="--", linewidth=1)
        if figures["savings"]["first_right"] is not None:
            panel.axvline(100 * figures["savings"]["first_right"], color=style["color"], linestyle=":", linewidth=1)
    panel.set(
        title="Accuracy of early exits",
        xlabel="thought kept (%)",
        ylabel="accuracy (%)",
        xlim=(0, 102),
    )
    panel.grid(alpha=0.3)
    note = "Dashed: the full responses. Dotted: the first right answer."
    figure.legend(loc="outside lower center", ncols=2, frameon=False, title=note)
    save(figure, path)
