"""Plots of a toy run as PNG: training curves, and one problem before and after."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CURVES = {
    "sgrpo/thought_length/mean": "length of the sampled thought (tokens)",
    "sgrpo/accuracy/full": "accuracy of the full response",
    "sgrpo/accuracy/exits": "accuracy of early exits",
    "sgrpo/reward/mean": "mean reward",
}


def plot_training_curves(steps: list[dict[str, float]], path: Path) -> None:
    """One panel for each of CURVES over the training steps; ``steps`` are verl's metrics, one dict a step."""
    figure, panels = plt.subplots(2, 2, figsize=(7, 5.6), sharex=True, layout="constrained")
    for panel, (metric, title) in zip(panels.flat, CURVES.items(), strict=True):
        panel.plot([step["step"] for step in steps], [step.get(metric) for step in steps], marker=".", color="#0072B2")
        panel.set_title(title, fontsize=11)
        panel.set_ylim(0, None)
        panel.grid(alpha=0.3)
    for panel in panels[1]:
        panel.set_xlabel("training step")
    figure.savefig(path, dpi=130, facecolor="white")
    plt.close(figure)


def plot_before_after(before: dict, after: dict, path: Path) -> None:
    """Bars of response tokens and accuracy, and one problem's response before and after, side by side."""
    figure = plt.figure(figsize=(5.2, 6.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[1, 3])
    for column, (key, title) in enumerate((("response_tokens", "tokens per response"), ("accuracy", "accuracy"))):
        panel = figure.add_subplot(grid[0, column])
        values = [before["summary"][key], after["summary"][key]]
        bars = panel.barh(["untrained", "S-GRPO"], values, color=["#7f7f7f", "#0072B2"])
        panel.bar_label(bars, [f"{value:.1%}" if key == "accuracy" else f"{value:.1f}" for value in values], padding=3)
        panel.set(title=title, xlim=(0, max(values) * 1.4), xticks=[])
        panel.tick_params(labelleft=column == 0)
        panel.invert_yaxis()
        panel.spines[["top", "right", "bottom"]].set_visible(False)
    for column, (title, run) in enumerate((("untrained", before), ("S-GRPO", after))):
        panel = figure.add_subplot(grid[1, column])
        example = run["example"]
        panel.set_title(f"{title}: {example['tokens']} tokens", loc="left")
        text = f"{example['question']}\n\n{example['text']}".replace("$", r"\$")
        panel.text(0, 1, text, family="monospace", fontsize=9, va="top", transform=panel.transAxes)
        panel.axis("off")
    figure.savefig(path, dpi=130, facecolor="white")
    plt.close(figure)
