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
    figure, panels = plt.subplots(1, len(CURVES), figsize=(4 * len(CURVES), 3.2), layout="constrained")
    for panel, (metric, title) in zip(panels, CURVES.items(), strict=True):
        panel.plot([step["step"] for step in steps], [step.get(metric) for step in steps], marker=".", color="#2b6cb0")
        panel.set(title=title, xlabel="training step", ylim=(0, None))
        panel.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_before_after(before: dict, after: dict, path: Path) -> None:
    """Bars of response tokens and accuracy, and one problem's response before and after, side by side."""
    figure = plt.figure(figsize=(11, 5), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=[1.1, 1.2, 1.2])
    for row, (key, title) in enumerate((("response_tokens", "tokens per response"), ("accuracy", "accuracy"))):
        panel = figure.add_subplot(grid[row, 0])
        values = [before["summary"][key], after["summary"][key]]
        bars = panel.barh(["untrained", "S-GRPO"], values, color=["#a0aec0", "#2b6cb0"])
        panel.bar_label(bars, [f"{value:.1%}" if key == "accuracy" else f"{value:.1f}" for value in values], padding=3)
        panel.set(title=title, xlim=(0, max(values) * 1.25))
        panel.invert_yaxis()
        panel.spines[["top", "right"]].set_visible(False)
    for column, (title, run) in enumerate((("untrained", before), ("S-GRPO", after)), start=1):
        panel = figure.add_subplot(grid[:, column])
        example = run["example"]
        panel.set_title(f"{title}: {example['tokens']} tokens", loc="left")
        text = f"{example['question']}\n\n{example['text']}".replace("$", r"\$")
        panel.text(0, 1, text, family="monospace", fontsize=9, va="top", transform=panel.transAxes)
        panel.axis("off")
    figure.savefig(path, dpi=120)
    plt.close(figure)
