"""The picture of the README: tokens and accuracy before and after training, as arrows with 95 % intervals.

    python -m recipes.language.picture docs/evidence/language/before_after.csv before_after.png --title "What is seen"

The recipe writes the same records and the same picture of your own runs.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import typer

from recipes.ablation.variants import UNTRAINED
from sgrpo_verl.eval.plots import COLORS, save

TITLES = ("S-GRPO", "w/o serial group (GRPO)", "GRPO, length penalty")
NAMES = ("S-GRPO", "GRPO", "GRPO,\nlength\npenalty")
LOOKS = {"greedy": (COLORS[1], "o", "greedy decoding"), "sampled": (COLORS[2], "s", "sampled at temperature 1")}
TITLE = "Before and after training"
COLUMNS = (
    *("row", "decoding", "seed", "tokens", "accuracy"),
    *("tokens_change", "tokens_change_low", "tokens_change_high"),
    *("accuracy_change", "accuracy_change_low", "accuracy_change_high"),
)
Change = tuple[float, float, float]  # and the ends of its 95 % interval


@dataclass(frozen=True)
class Record:
    """One seed of a row, or the mean of its seeds; only the mean has changes, which are paired with the untrained."""

    row: str
    decoding: str
    seed: str  # "mean", or a number
    tokens: float
    accuracy: float  # in %
    tokens_change: Change | None = None  # in %
    accuracy_change: Change | None = None  # in points


def write_records(records: Sequence[Record], file: Path) -> None:
    """One line of CSV a record; what is not known stays empty."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(COLUMNS)
        for one in records:
            changes = [*(one.tokens_change or [""] * 3), *(one.accuracy_change or [""] * 3)]
            numbers = [number if number == "" else f"{number:.6g}" for number in (one.tokens, one.accuracy, *changes)]
            writer.writerow((one.row, one.decoding, one.seed, *numbers))


def read_records(file: Path) -> list[Record]:
    """What ``write_records`` wrote."""

    def change(texts: Sequence[str]) -> Change | None:
        return (float(texts[0]), float(texts[1]), float(texts[2])) if texts[0] else None

    with file.open(newline="") as opened:
        lines = list(csv.reader(opened))[1:]
    return [
        Record(line[0], line[1], line[2], float(line[3]), float(line[4]), change(line[5:8]), change(line[8:11]))
        for line in lines
    ]


def draw(records: Sequence[Record], path: Path, title: str = TITLE) -> None:
    """An arrow for each row and decoding in two panels, tokens and accuracy: from the untrained model to the trained.

    Rows without changes are left out; without any, nothing is drawn. Small dots are the seeds, where there are several.
    """
    means = {(one.row, one.decoding): one for one in records if one.seed == "mean"}
    changed = {one.row for one in means.values() if one.tokens_change}
    rows = [(row, name) for row, name in zip(TITLES, NAMES, strict=True) if row in changed]
    if not rows:
        return
    figure, panels = plt.subplots(1, 2, figsize=(6.3, 1.7 + 1.1 * len(rows)), sharey=True, layout="constrained")
    labels = []
    for at, (row, name) in enumerate(rows):
        counts = set()
        for below, kind in enumerate(LOOKS):
            before, after = means.get((UNTRAINED, kind)), means.get((row, kind))
            if before and after and after.tokens_change and after.accuracy_change:
                seeds = [one for one in records if (one.row, one.decoding) == (row, kind) and one.seed != "mean"]
                counts.add(len(seeds))
                tokens, accuracy = [one.tokens for one in seeds], [one.accuracy for one in seeds]
                y = at + 0.4 * below
                _arrow(panels[0], y, kind, _tokens(before, after, after.tokens_change), tokens)
                _arrow(panels[1], y, kind, _accuracy(before, after, after.accuracy_change), accuracy)
        labels.append(f"{name}\n({max(counts)} seed{'s' if max(counts) > 1 else ''})")
    panels[0].set(title="tokens per response", xlim=(0, None), ylim=(len(rows) - 0.42, -0.38))
    panels[0].set_yticks([at + 0.2 for at in range(len(rows))], labels, fontsize=12)
    panels[1].set(title="accuracy (%)")
    panels[1].margins(x=0.14)
    for panel in panels:
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=11)
        panel.grid(axis="x", alpha=0.3)
        panel.spines[["top", "right", "left"]].set_visible(False)
    looks = [plt.Line2D([], [], color=color, marker=marker, label=label) for color, marker, label in LOOKS.values()]
    looks.insert(0, plt.Line2D([], [], color="#7f7f7f", marker="|", markersize=12, linestyle="none", label="untrained"))
    legend: dict[str, Any] = {"ncols": 3, "frameon": False, "fontsize": 11, "handletextpad": 0.4, "columnspacing": 1.2}
    note = "Bars: 95 % interval of the change. Small dots: single seeds."
    figure.legend(handles=looks, loc="outside lower center", title=note, title_fontsize=11, **legend)
    figure.suptitle(title, fontsize=14, fontweight="bold")
    save(figure, path)


Side = tuple[float, float, float, float, str]  # before, after, the ends of the interval, what the change is called


def _tokens(before: Record, after: Record, change: Change) -> Side:
    share, low, high = change
    ends = before.tokens * (1 + low / 100), before.tokens * (1 + high / 100)
    return before.tokens, after.tokens, *ends, f"{share:+.0f} %"


def _accuracy(before: Record, after: Record, change: Change) -> Side:
    points, low, high = change
    return before.accuracy, after.accuracy, before.accuracy + low, before.accuracy + high, f"{points:+.1f}"


def _arrow(panel: Any, y: float, kind: str, side: Side, seeds: Sequence[float]) -> None:
    before, after, low, high, name = side
    color, marker, _ = LOOKS[kind]
    panel.plot(before, y, color="#7f7f7f", marker="|", markersize=14, markeredgewidth=2)
    panel.annotate("", (after, y), (before, y), arrowprops={"arrowstyle": "-|>", "color": color, "alpha": 0.45})
    panel.plot([low, high], [y, y], color=color, linewidth=2.5)
    for end in (low, high):
        panel.plot([end, end], [y - 0.06, y + 0.06], color=color, linewidth=2)
    panel.plot(after, y, color=color, marker=marker, markersize=8, markeredgecolor="white")
    if len(seeds) > 1:
        panel.plot(seeds, [y + 0.11] * len(seeds), color=color, marker=".", markersize=5, linestyle="none")
    panel.annotate(name.replace("-", "−"), (after, y - 0.09), ha="center", va="bottom", fontsize=12, color=color)


def main(
    records: Annotated[Path, typer.Argument(help="CSV file with a record for each row, decoding and seed.")],
    picture: Annotated[Path, typer.Argument(help="PNG file to write.")],
    title: Annotated[str, typer.Option(help="What is seen in the picture.")] = TITLE,
) -> None:
    """Draw tokens and accuracy before and after training."""
    draw(read_records(records), picture, title)


if __name__ == "__main__":
    typer.run(main)
