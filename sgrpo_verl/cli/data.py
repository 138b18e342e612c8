"""``sgrpo data``: benchmarks and training sets as verl's parquet."""

from pathlib import Path
from typing import Annotated

import typer

from sgrpo_verl.cli.console import console
from sgrpo_verl.errors import UserError


def data(
    name: Annotated[
        str,
        typer.Argument(
            help="gsm8k, math-500, amc23, aime24, gpqa-diamond (benchmarks); "
            "deepmath-103k, gsm8k-train, math-train (training)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for NAME.parquet and NAME.json.")],
    local: Annotated[
        Path | None, typer.Option("--from", help="JSONL, .jsonl.gz, JSON, parquet or CSV to read instead of the hub.")
    ] = None,
    columns: Annotated[
        str, typer.Option(help="With --from: what its columns are called, such as problem=Question,answer=Answer.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of GPQA's shuffled choices.")] = 0,
    min_difficulty: Annotated[float | None, typer.Option(help="DeepMath: leave out easier problems.")] = None,
    max_difficulty: Annotated[float | None, typer.Option(help="DeepMath: leave out harder problems.")] = None,
    exclude: Annotated[
        Path | None, typer.Option(help="Problems to leave out: .txt with one a line, or rows with a problem column.")
    ] = None,
    decontaminate: Annotated[
        list[Path] | None,
        typer.Option(help="More prepared benchmarks whose problems a training set must not have; those in OUT count."),
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave out rows with an empty answer or an earlier row's problem.")
    ] = False,
) -> None:
    """A benchmark or training set as verl's parquet."""
    from sgrpo_verl.data.prepare import Filters, prepare

    filters = Filters(min_difficulty, max_difficulty, exclude, tuple(decontaminate or ()), skip_bad_rows)
    file = prepare(name, out, local, seed, filters, _columns(columns))
    console.print_json(file.with_suffix(".json").read_text())
    console.print(f"wrote {file}")


def _columns(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(ours.strip() and theirs.strip() for ours, _, theirs in pairs):
        raise UserError(f"--columns {text}: must be our name = the file's, such as problem=Question,answer=Answer")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
