"""The tables and plots of a bench, from its ``results.json``."""

import json
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from rich import box
from rich.console import Console
from rich.table import Table

from sgrpo_verl.eval.plots import COLORS, save, styles
from sgrpo_verl.eval.report import print_whole

PHASES = {"generation": "timing_s/gen", "old_log_prob": "timing_s/old_log_prob", "update": "timing_s/update_actor"}
LAYOUTS = ("GRPO", "rows", "unpadded", "packed")


def write(out: Path, console: Console) -> None:
    """``performance.md``, ``update.png`` and ``steps.png`` beside ``results.json``."""
    results = json.loads((out / "results.json").read_text())
    with (out / "performance.md").open("w") as file:
        document = Console(file=file, color_system=None)
        for table in _TABLES:
            print_whole(console, table(results, box.HEAVY_HEAD))
            print_whole(document, table(results, box.MARKDOWN))
            document.print()
    _plot_updates(results["updates"], out / "update.png")
    _plot_steps(results["steps"], out / "steps.png")


def _seconds(update: dict[str, Any]) -> float:
    return update["old_log_prob"] + update["update"]


def _update_table(results: dict, style: Any) -> Table:
    """old_log_prob and update alone, by the length of the thought."""
    table = Table(box=style)
    for column in ("thought", "layout", "tokens given to the model", "old_log_prob (s)", "update (s)"):
        table.add_column(column)
    for column in ("of GRPO", "of rows", "of unpadded rows", "peak memory (GiB)"):
        table.add_column(column, justify="right")
    updates = {(one["thought"], one["layout"]): one for one in results["updates"] if one["layout"] != "plain"}
    updates = {key: one for key, one in updates.items() if (key[0], "rows") in updates}
    for (thought, layout), one in updates.items():
        ratios = [f"{_seconds(one) / _seconds(updates[thought, other]):.2f}" for other in ("GRPO", "rows", "unpadded")]
        seconds = [f"{one[phase]:.2f}" for phase in ("old_log_prob", "update")]
        table.add_row(f"{thought}", layout, f"{one['tokens_given']}", *seconds, *ratios, f"{one['peak_memory_gb']:.2f}")
    return table


def _token_cost(packed: dict[str, Any], plain: dict[str, Any]) -> list[str]:
    """Seconds per thousand tokens, packed and plain, and their ratio: of the layers, and of the whole update."""
    cells = []
    for what in ("layers", "update"):
        ours, theirs = (1000 * one[what] / one["tokens_given"] for one in (packed, plain))
        cells += [f"{ours:.3f}", f"{theirs:.3f}", f"{ours / theirs:.2f}"]
    return cells


def _cost_table(results: dict, style: Any) -> Table:
    """What a packed token costs beside a token of plain sequences; 1 is the limit."""
    table = Table("groups", "model", "tokens", box=style)
    for what in ("layers", "update"):
        for column in (f"{what}, packed (s / 1,000)", "plain", "packed / plain"):
            table.add_column(column, justify="right")
    updates = {(one["thought"], one["layout"]): one for one in results["updates"]}
    for thought in sorted({thought for thought, _ in updates}):
        pair = updates[thought, "packed"], updates[thought, "plain"]
        table.add_row(f"1 of {thought}", "3.4 M", f"{pair[0]['tokens_given']:,}", *_token_cost(*pair))
    short = {(one["model"], one["layout"]): one for one in results["short_groups"]}
    for model in dict.fromkeys(model for model, _ in short):
        pair = short[model, "packed"], short[model, "plain"]
        table.add_row(
            f"{pair[0]['groups']} of {pair[0]['thought']}", model, f"{pair[0]['tokens_given']:,}", *_token_cost(*pair)
        )
    return table


def _memory_table(results: dict, style: Any) -> Table:
    """Peak memory with a large vocabulary, entropies in the update, by verl's ways to compute them."""
    table = Table("thought", "logits", "rows (GiB)", "packed (GiB)", box=style)
    found = {(one["thought"], one["logits"], one["layout"]): one["peak_memory_gb"] for one in results["memory"]}
    for thought, logits in dict.fromkeys((thought, logits) for thought, logits, _ in found):
        rows, packed = (f"{found[thought, logits, layout]:.2f}" for layout in ("rows", "packed"))
        table.add_row(f"{thought}", logits, rows, packed)
    return table


def _rollout_table(results: dict, style: Any) -> Table:
    """The rollout of serial groups beside that of their thoughts alone."""
    table = Table("prompts", "max_num_seqs", box=style)
    for unit in ("s", "tokens"):
        for column in (f"thoughts alone ({unit})", f"serial groups ({unit})", "ratio"):
            table.add_column(column, justify="right")
    table.add_column("seconds a token, ratio", justify="right")
    for one in results["rollouts"].values():
        seconds, tokens = one["groups"] / one["thoughts"], one["groups_tokens"] / one["thoughts_tokens"]
        table.add_row(
            *(f"{one['prompts']}", f"{one['max_num_seqs']}"),
            *(f"{one['thoughts']:.1f}", f"{one['groups']:.1f}", f"{seconds:.2f}"),
            *(f"{one['thoughts_tokens']:,.0f}", f"{one['groups_tokens']:,.0f}", f"{tokens:.2f}"),
            f"{seconds / tokens:.2f}",
        )
    return table


def _figures(run: dict[str, Any]) -> dict[str, float]:
    """Means over the steps of a run of main_ppo."""
    figures = {name: mean(step[key] for step in run["metrics"]) for name, key in PHASES.items()}
    return {
        "tokens generated": mean(_generated(step, run["rows"]) for step in run["metrics"]),
        "tokens trained": mean(step["global_seqlen/mean"] for step in run["metrics"]),
        **figures,
        "all three": sum(figures.values()),
        "peak memory of the actor (GiB)": max(step["actor/perf/max_memory_allocated_gb"] for step in run["metrics"]),
    }


def _generated(step: dict[str, float], rows: int) -> float:
    """Without early exits: every row's response."""
    return step.get("sgrpo/generated_tokens", step["response_length/mean"] * rows)


def _step_table(results: dict, style: Any) -> Table:
    """Whole steps of stock main_ppo."""
    figures = {name: _figures(run) for name, run in results["steps"].items()}
    table = Table("a step of", box=style)
    for column in next(iter(figures.values())):
        table.add_column(f"{column} (s)" if column in (*PHASES, "all three") else column, justify="right")
    for name, values in figures.items():
        table.add_row(
            name, *(f"{value:,.0f}" if key.startswith("tokens") else f"{value:.2f}" for key, value in values.items())
        )
    return table


def ratios(results: dict) -> dict[str, tuple[float, str]]:
    """Each ratio with its goal."""
    grpo, rows, packed = (_figures(results["steps"][name]) for name in ("GRPO", "S-GRPO-rows", "S-GRPO-packed"))
    exits = results["steps"]["S-GRPO-packed"]["exits"]
    block = results["block_size"]
    cacheable = sum(one["prefix"] // block * block for one in exits)
    updates = {(one["thought"], one["layout"]): _seconds(one) for one in results["updates"]}
    at = 2048 if (2048, "rows") in updates else max(thought for thought, _ in updates)
    trained = {name: run["old_log_prob"] + run["update"] for name, run in (("packed", packed), ("rows", rows))}
    return {
        f"old_log_prob + update, packed / rows, thought of {at}": (
            updates[at, "packed"] / updates[at, "rows"],
            "at most 0.4",
        ),
        "old_log_prob + update, packed / rows, whole steps": (trained["packed"] / trained["rows"], ""),
        "a step, packed S-GRPO / GRPO": (packed["all three"] / grpo["all three"], "at most 0.33"),
        "tokens generated, S-GRPO / GRPO": (packed["tokens generated"] / grpo["tokens generated"], "at most 0.2"),
        "cacheable prefix tokens of the exits that were cached": (
            sum(one["cached"] for one in exits) / cacheable,
            "at least 0.95",
        ),
        **{
            f"rollout, serial groups / their thoughts alone, {name}": (one["groups"] / one["thoughts"], "at most 1.15")
            for name, one in results["rollouts"].items()
        },
    }


def _agreement_table(results: dict, style: Any) -> Table:
    """What a few optimizer steps of main_ppo did to the weights, and how far apart the layouts are after them."""
    found = results["agreement"]
    names = ("packed", "packed-bypass")
    table = Table(f"{found['steps']} optimizer steps of main_ppo", "rows", "packed", "packed, bypass_mode", box=style)
    for name in ("learning_rate", "largest_movement", "median_movement"):
        table.add_row(name.replace("_", " "), f"{found[name]:.1e}", "", "")
    table.add_row(
        "the rollouts of rows in every step", "", *("yes" if found[name]["same_rollouts"] else "no" for name in names)
    )
    for what in ("largest_difference", "relative_difference"):
        table.add_row(what.replace("_", " ") + " from rows", "", *(f"{found[name][what]:.1e}" for name in names))
    return table


def _ratio_table(results: dict, style: Any) -> Table:
    table = Table("ratio", "measured", "goal", box=style)
    for name, (value, goal) in ratios(results).items():
        table.add_row(name, f"{value:.3f}", goal)
    return table


_TABLES = (_update_table, _cost_table, _memory_table, _rollout_table, _step_table, _agreement_table, _ratio_table)


def _plot_updates(updates: list[dict[str, Any]], path: Path) -> None:
    figure, panels = plt.subplots(2, 1, figsize=(6.5, 7), sharex=True, layout="constrained")
    for layout, style in zip(LAYOUTS, styles(), strict=False):
        points = [one for one in updates if one["layout"] == layout]
        thoughts = [one["thought"] for one in points]
        panels[0].errorbar(thoughts, [_seconds(one) for one in points], **style, label=layout)
        panels[1].errorbar(thoughts, [one["peak_memory_gb"] for one in points], **style, label=layout)
    panels[0].set(title="Time of one update", ylabel="old_log_prob + update (s)", yscale="log")
    panels[1].set(title="Memory of one update", ylabel="peak memory (GiB)", ylim=(0, None))
    thoughts = sorted({one["thought"] for one in updates})
    for panel in panels:
        panel.set(xscale="log")
        panel.set_xticks(thoughts, [str(thought) for thought in thoughts])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[1].set_xlabel("length of the thought (tokens)")
    panels[0].legend(frameon=False)
    save(figure, path)


def _plot_steps(steps: dict[str, Any], path: Path) -> None:
    """Mean seconds of each phase as bars in a row, and a point for what all phases of each step took."""
    figure, panel = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    names = list(steps)
    left = [0.0] * len(names)
    for phase, color in zip(PHASES, COLORS[1:], strict=False):
        seconds = [_figures(steps[name])[phase] for name in names]
        panel.barh(names, seconds, left=left, label=phase, color=color)
        left = [begin + more for begin, more in zip(left, seconds, strict=True)]
    single = [(sum(step[key] for key in PHASES.values()), name) for name in names for step in steps[name]["metrics"]]
    panel.plot(*zip(*single, strict=True), "o", color="white", markeredgecolor="black", label="single steps")
    panel.invert_yaxis()
    panel.set(title="Seconds of a training step, by phase", xlabel="time per step (s), mean", xlim=(0, None))
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    save(figure, path)
