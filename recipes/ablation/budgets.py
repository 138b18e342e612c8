"""What S-GRPO learns, beside what a limit on the thought alone does: budgets, and hard truncation."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from recipes.ablation.variants import UNTRAINED
from sgrpo_verl.eval.compare import compare


def budgets_and_truncation(
    folder: Path, untrained: Path, caps: str, evaluate: Callable[..., None], console: Console
) -> None:
    """Untrained and S-GRPO under caps on the thought; the untrained thought cut where S-GRPO's ends.

    Args:
        folder: has the data and both models' greedy runs; gets ``budgets`` and ``truncation``, with tables and plots.
        untrained: the model before training.
        caps: on the tokens of a thought, comma-separated.
        evaluate: called with a model, the data, the run's folder and further options of ``sgrpo eval``.
    """
    sgrpo, runs = folder / "sgrpo" / "seed0", folder / "budgets"
    for name, model in (("untrained", untrained), ("S-GRPO", sgrpo / "model")):
        evaluate(model, folder / "data", runs / name, "--method", "budget", "--caps", caps)
    compare([runs / "untrained", runs / "S-GRPO"], [], runs, console)
    cut = folder / "truncation" / "untrained, cut"
    evaluate(untrained, folder / "data", cut, "--method", "truncate-like", "--truncate-like", str(sgrpo / "greedy"))
    labels = ("untrained", "S-GRPO", "untrained, cut at S-GRPO's lengths")
    compare([folder / UNTRAINED / "greedy", sgrpo / "greedy", cut], labels, folder / "truncation", console)
